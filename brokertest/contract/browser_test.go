package contract_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/testidp"
)

// browser is a person's: a window of Chromium with cookies of its own, and a note of
// what it asked for and complained about.
type browser struct {
	context.Context

	mu         sync.Mutex
	requests   []string
	complaints []string
}

// openBrowser opens the browser of one more person, whose cookies nobody else has, and
// prepares it.
func openBrowser(t *testing.T, prepare ...chromedp.Action[chromedp.Void]) *browser {
	t.Helper()
	if chromium() == "" {
		services.Skip(t, "tests with a browser, because no Chromium is installed")
	}
	process, err := started()
	if err != nil {
		t.Fatalf("starting %s: %v", chromium(), err)
	}
	limited, cancel := brokertest.WithPatience(process, 2*time.Minute)
	t.Cleanup(cancel)
	tab, closeTab := chromedp.NewContext(limited, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	b := &browser{Context: tab}
	if err := chromedp.Listen(tab, b.note); err != nil {
		t.Fatalf("opening a window: %v", err)
	}
	if err := chromedp.Do(tab, prepare...); err != nil { // there may be none: then it only opens the window
		t.Fatalf("opening a window: %v", err)
	}
	return b
}

// chromium returns the path of the program, "" where none is installed.
var chromium = sync.OnceValue(func() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
})

// started is the process whose windows all tests open: to start it costs more than most
// of them do. quit ends it.
var started = sync.OnceValues(func() (context.Context, error) {
	profile, err := os.MkdirTemp("", "grantd-browser-")
	if err != nil {
		return nil, err
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(chromium()), chromedp.UserDataDir(profile),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	allocated, free := chromedp.NewExecAllocator(context.Background(), options...)
	process, end := chromedp.NewContext(allocated)
	quit = func() {
		end()
		free()
		os.RemoveAll(profile)
	}
	return process, chromedp.Do(process)
})

var quit = func() {}

// told sends a command to the browser's window.
func told[P any](command cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, window *chromedp.Target) error {
		_, err := cdp.Call(ctx, window, command, params)
		return err
	})
}

func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var said []string
			for _, a := range e.Args {
				said = append(said, string(a.Value)+a.Description)
			}
			b.complaints = append(b.complaints, "console: "+strings.Join(said, " "))
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception: "+e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complaints = append(b.complaints, "log: "+e.Entry.Text)
		}
	}
}

// do takes steps. The last one may lead to another page, or close this one, before Chromium has
// answered that it is done.
func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	last := len(steps) - 1
	if err := chromedp.Do(b, steps[:last]...); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(b, steps[last]); err != nil && !strings.Contains(err.Error(), "Inspected target navigated or closed") {
		t.Fatal(err)
	}
}

// shows returns the text of an element, as soon as there is one. It is found and read in
// one step: a page that replaces its elements meanwhile may have taken away what was found.
func (b *browser) shows(t *testing.T, element chromedp.CSS) string {
	t.Helper()
	var text string
	brokertest.Eventually(t, string(element)+" has a text", func() bool {
		var err error
		text, err = chromedp.Run(b, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q)?.innerText ?? null", element)))
		if b.Err() != nil {
			t.Fatal(err)
		}
		return err == nil
	})
	return text
}

// becomes waits until an element has a text.
func (b *browser) becomes(t *testing.T, what string, element chromedp.CSS, wanted string) {
	t.Helper()
	brokertest.Eventually(t, what, func() bool { return strings.Contains(b.shows(t, element), wanted) })
}

func (b *browser) cookies(t *testing.T) []*network.Cookie {
	t.Helper()
	cookies, err := chromedp.Run(b, func(ctx context.Context, tab *chromedp.Target) ([]*network.Cookie, error) {
		got, err := cdp.Call(ctx, tab, network.GetCookies, network.GetCookiesParams{})
		return got.Cookies, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return cookies
}

// wantQuiet fails if the browser asked anybody but the hosts, or complained.
func (b *browser) wantQuiet(t *testing.T, hosts ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, asked := range b.requests {
		u, err := url.Parse(asked)
		if err != nil || (u.Scheme == "http" || u.Scheme == "https") && !slices.Contains(hosts, u.Host) || u.Host == "" && u.Scheme != "data" && u.Scheme != "blob" {
			t.Errorf("the browser asked for %.200s", asked)
		}
	}
	if len(b.requests) == 0 {
		t.Error("the browser asked for nothing")
	}
	for _, c := range b.complaints {
		t.Errorf("the browser complained: %.300s", c)
	}
}

func host(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// browserBackend names what the tests with a browser run on, instead of what browsing chooses.
const browserBackend = "GRANTD_BROWSER_BACKEND"

// browsing is what the tests with a browser run on: PostgreSQL and Redis where these are required, as in CI, else what needs
// no server.
func browsing() brokertest.Backend {
	switch named := os.Getenv(browserBackend); {
	case named != "":
		return brokertest.Backend(named)
	case services.Required():
		return brokertest.Servers
	}
	return brokertest.Embedded
}

// asking makes an instance whose authorization server asks before it grants.
func asking(t *testing.T) *brokertest.Instance {
	return askingWith(t, brokertest.Options{})
}

func askingWith(t *testing.T, o brokertest.Options) *brokertest.Instance {
	idp, idpURL := testidp.Start(t, testidp.Options{Clients: []testidp.Client{{ID: brokertest.ClientID, Secret: brokertest.ClientSecret}}})
	o.Backend, o.IdP, o.IdPURL = browsing(), idp, idpURL
	return brokertest.New(t, &o)
}

// A person reads what is asked, chooses who they are, allows it, and lands at the
// web app, which completes.
func TestAPersonConsentsInABrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	h := asking(t)
	arrived := make(chan url.Values, 1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth/callback" {
			arrived <- r.URL.Query()
		}
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<!doctype html><title>The app</title><link rel="icon" href="data:,"><h1 id="welcome">Welcome back</h1>`))
	}))
	t.Cleanup(app.Close)

	for _, c := range []struct{ typ, sub string }{{"test", "grace"}, {"github", "2"}} {
		p := h.Provider(t, c.typ).ID
		begun := begin(t, h, h.User, p, url.Values{"redirect_uri": {app.URL + "/oauth/callback"}})
		b.do(t, chromedp.Navigate(begun.RedirectURL))
		asked := b.shows(t, "main")
		for _, told := range []string{brokertest.ClientID, "email", "Ada Lovelace", host(t, app.URL), "Deny"} {
			if !strings.Contains(asked, told) {
				t.Errorf("%s: the page does not tell %q: %s", c.typ, told, asked)
			}
		}
		b.do(t, chromedp.Click(chromedp.CSS("input[value=grace]")), chromedp.Click(chromedp.CSS("button[value=allow]")),
			chromedp.WaitVisible(chromedp.CSS("#welcome")))
		back := <-arrived
		if back.Get("state") != begun.State {
			t.Errorf("%s: the state came back as %q, want %q", c.typ, back.Get("state"), begun.State)
		}
		body := object{"providerId": p, "state": back.Get("state"), "code": back.Get("code")}
		if back.Has("iss") {
			body["iss"] = back.Get("iss")
		}
		done := want(t, 200, h.Do(t, h.User, "POST", callback, body))
		if user := done["userInfo"].(object); user["sub"] != c.sub || user["name"] != "Grace Hopper" {
			t.Errorf("%s: the user is %v", c.typ, user)
		}
		accessToken(t, h, h.User, text(t, done["authorizedProvider"].(object), "id"))
	}
	b.wantQuiet(t, host(t, h.IdPURL), host(t, app.URL))
}

func TestAPersonDeclinesInABrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	h := asking(t)
	p := h.Provider(t, "test").ID
	begun := begin(t, h, h.User, p, url.Values{}) // and returns to grantd's own page
	b.do(t, chromedp.Navigate(begun.RedirectURL), chromedp.Click(chromedp.CSS("button[value=deny]")),
		chromedp.WaitNotPresent(chromedp.CSS("button")), chromedp.WaitReady(chromedp.CSS("main")))
	landed, err := chromedp.Run(b, chromedp.Location())
	if err != nil {
		t.Fatal(err)
	}
	page := b.shows(t, "body")
	if !strings.HasPrefix(landed, h.URL+"/external-auth/"+p+"/callback?") || inside(t, landed, "error") != "access_denied" {
		t.Errorf("the person landed at %s", landed)
	}
	if len(strings.TrimSpace(page)) < 20 || strings.Contains(page, begun.State) {
		t.Errorf("and reads %q", page)
	}
	want(t, 400, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": begun.State, "error": inside(t, landed, "error")}))
	b.wantQuiet(t, host(t, h.IdPURL), host(t, h.URL))
}

// The API's page comes with the binary: it asks nobody else for anything.
func TestTheDocsRenderOffline(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	h := brokertest.New(t, nil)
	var page string
	b.do(t, chromedp.Navigate(h.URL+"/docs"))
	brokertest.Eventually(t, "the page shows the operations", func() bool {
		page = b.shows(t, "body")
		return strings.Contains(page, "Register a provider") && strings.Contains(page, "See how a job is doing")
	})
	for _, title := range []string{"List the providers", "Begin a consent", "Complete a consent", "Get an access token", "Disconnect", "/api/v2/externalOAuth/providers/"} {
		if !strings.Contains(page, title) {
			t.Errorf("the page does not show %q", title)
		}
	}
	b.wantQuiet(t, host(t, h.URL))
}

// anotherSite is the address of a page of another site that links to the given one.
func anotherSite(t testing.TB, to string) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<!doctype html><title>Elsewhere</title><link rel="icon" href="data:,"><a id="lure" href="` + to + `">Look</a>`))
	}))
	t.Cleanup(site.Close)
	return strings.Replace(site.URL, "127.0.0.1", "localhost", 1)
}
