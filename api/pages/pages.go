package pages

import (
	"context"
	"html/template"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// Options are what the pages are made of.
type Options struct {
	Service *broker.Service
	// PublicURL is where browsers reach this instance, and Prefix is its path, "" for none.
	PublicURL, Prefix string
	// Document is the path of the OpenAPI document, which the page at /docs renders.
	Document string
	Edge     Edge
	// Brand is what the operator calls the service.
	Brand Brand
	// Console is the path of the admins' console, "" where there is none.
	Console string
}

// Edge is what the pages use of the HTTP edge that they are mounted in.
type Edge struct {
	// Authenticate returns the caller that an API token stands for.
	Authenticate func(context.Context, models.Secret) (models.Caller, error)
	// Caller is who the request is known to come from; the code that finds that out sets it. The access log shows it.
	Caller func(context.Context) *models.Caller
	// TakePlace counts a request of the caller's until it has been answered, or says that there are too many (T2).
	TakePlace func(context.Context) error
	// CountFailure counts a failed authentication for the address that it comes from. It returns what to answer: the error,
	// or that there were too many.
	CountFailure func(echo.Context, error) error
	// Problem logs an error, and says what a client may be told of it.
	Problem func(context.Context, error) Problem
}

// Problem is an error as clients see it.
type Problem struct {
	Status             int
	Message, RequestID string
	Header             http.Header
	// WriteJSON sends it as the error body of the API.
	WriteJSON func(echo.Context)
}

// Pages answers what browsers ask for.
type Pages struct {
	service   *broker.Service
	edge      Edge
	publicURL string
	prefix    string
	document  string
	console   string
	templates *template.Template
	brand     Brand
	origins   *http.CrossOriginProtection
}

// New builds the pages. It opens nothing.
func New(o Options) *Pages {
	return &Pages{
		service:   o.Service,
		edge:      o.Edge,
		publicURL: strings.TrimRight(o.PublicURL, "/"),
		prefix:    o.Prefix,
		document:  o.Document,
		console:   o.Console,
		templates: parseTemplates(o.Prefix, o.Console, o.Brand, o.Service.ScopeInWords),
		brand:     o.Brand,
		origins:   newOrigins(o.PublicURL),
	}
}

// ConnectPath is what the addresses of the pages for one provider begin with. They stand in vendors' consoles.
const ConnectPath = "/external-auth"

// Mount adds the routes. The server routes what is below ConnectPath with its API's version before it.
func (p *Pages) Mount(e *echo.Echo, version string) {
	connect := version + ConnectPath + "/:provider/"
	e.GET(connect+"callback", p.Page(p.connect))
	e.POST(connect+"callback", p.Form(p.takeBegin))
	e.GET(connect+"confirm", p.Page(p.askAboutAccount))
	e.POST(connect+"confirm", p.Form(p.takeAccount))
	e.GET(connect+"connected", p.Page(p.showConnected))
	e.GET(broker.ConnectLinkPath+":key", p.Page(p.showLink))
	e.POST(broker.ConnectLinkPath+":key", p.Form(p.takeLink))
	e.GET(linkScript.path, linkScript.serve)
	e.GET("/", p.Page(p.home))
	e.GET(connectionsPath, p.Page(p.showConnections))
	e.GET("/connections/:id/disconnect", p.Page(p.askToDisconnect))
	e.POST("/connections/:id/disconnect", p.Form(p.takeDisconnect))
	e.GET("/connections/:id/disconnected", p.Page(p.showDisconnected))
	e.GET(signInPath, p.Page(p.askToSignIn))
	e.POST(signInPath, p.Form(p.takeSignIn))
	e.POST(signInIssuerPath, p.Form(p.beginSignIn))
	e.GET(broker.SignInPath, p.Page(p.takeSignedIn))
	e.GET(OncePath, p.Page(p.showOnce))
	e.POST(OncePath, p.Form(p.takeOnce))
	e.POST(signOutPath, p.Form(p.signOut))
	e.GET(sessionsPath, p.Page(p.showSessions))
	e.POST(sessionsPath+"/end", p.Form(p.takeEndSessions))
	e.POST(sessionsPath+"/:id/end", p.Form(p.takeEndSession))
	e.GET(styleSheet.path, styleSheet.serve)
	if logo := p.brand.logoPath(); logo != "" {
		e.GET(logo, p.brand.serveLogo)
	}
	docs := serve("text/html; charset=utf-8", docsPage(p.prefix, p.document, p.brand.Name))
	e.GET("/docs", docs)
	e.GET("/docs/", docs)
	e.GET(docsScriptPath, serveDocsScript)
	e.GET("/docs/LICENSE", serve("text/plain; charset=utf-8", docsLicense))
}

// At returns the address, on this host, of a path of ours.
func (p *Pages) At(path string) string { return p.prefix + path }
