package pages

import (
	"bytes"
	"cmp"
	_ "embed"
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"
)

// The page that renders the document comes with the binary: it works offline,
// and nobody else learns who reads it.
var (
	//go:embed docs.html
	docsSource string
	//go:embed redoc/redoc.standalone.js
	docsScript []byte
	//go:embed redoc/LICENSE
	docsLicense []byte
)

// docsPage is the page for a server whose public URL has this prefix and that serves its document at this path.
func docsPage(prefix, document, brand string) []byte {
	var page bytes.Buffer
	names := struct{ Document, Script, Brand string }{prefix + document, prefix + docsScriptPath, cmp.Or(brand, "grantd")}
	if err := template.Must(template.New("docs").Parse(docsSource)).Execute(&page, names); err != nil {
		panic(err) // made of our own texts only
	}
	return page.Bytes()
}

const docsScriptPath = "/docs/redoc.standalone.js"

// serveDocsScript serves Redoc without its maker's logo, of which the browser complains because of the policy: an address
// where there is none is fine with it. The changed script, 1 MB, is not kept.
func serveDocsScript(c echo.Context) error {
	script := bytes.ReplaceAll(docsScript, []byte("https://cdn.redoc.ly/redoc/logo-mini.svg"), []byte("data:,"))
	return serve("text/javascript; charset=utf-8", script)(c)
}

// docsPolicy lets the page load from here only. Redoc writes its styles into
// the page and its search into a worker, which is why those may be inline.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func serve(contentType string, content []byte) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		guardPage(h, docsPolicy)
		h.Set("Cache-Control", "no-cache") // there is nothing of anybody's in it
		return c.Blob(http.StatusOK, contentType, content)
	}
}
