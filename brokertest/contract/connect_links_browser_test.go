package contract_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// webApp is an app with sessions of its own, which sends its people to connect links and confirms in their sessions.
type webApp struct {
	url      string
	client   *client.Client
	provider string
	// helper is the browser helper of the TypeScript client, as JavaScript; "" where the app does without.
	helper string
}

// newWebApp starts an app of acme's that may use a provider.
func newWebApp(t *testing.T, h *brokertest.Instance, provider string) *webApp {
	t.Helper()
	site := httptest.NewUnstartedServer(nil)
	app := &webApp{provider: provider, url: "http://" + strings.Replace(site.Listener.Addr().String(), "127.0.0.1", "localhost", 1)}
	app.client = h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Name: "Web app",
		Providers: []string{provider}, ReturnOrigins: []string{app.url}}).Client
	site.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/helper.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, app.helper)
			return
		case "/link":
			fmt.Fprint(w, app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: app.provider, Popup: true}).URL)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		defer func() {
			if app.helper != "" {
				fmt.Fprint(w, usesHelper)
			}
		}()
		fmt.Fprintf(w, `<!doctype html><title>App</title><link rel="icon" href="data:,"><p id="outcome">%s</p><p id="said"></p><script>
			addEventListener("message", e => document.getElementById("said").textContent += e.origin + " " + JSON.stringify(e.data))</script>`,
			html.EscapeString(app.answer(w, r)))
	})
	site.Start()
	t.Cleanup(site.Close)
	return app
}

// usesHelper is what a page of an app does with the helper.
const usesHelper = `<button id="connect">Connect</button><p id="helped"></p><script type="module">
	import { connect, returned } from "/helper.js";
	const show = (what) => document.getElementById("helped").textContent = JSON.stringify(what) + " at " + location;
	if (location.search) show(returned());
	document.getElementById("connect").onclick = () =>
		connect(fetch("/link").then((answer) => answer.text())).then(show, (problem) => show(problem.message));
</script>`

// answer is what the app shows. It takes the user from its session and from nowhere else.
func (a *webApp) answer(w http.ResponseWriter, r *http.Request) string {
	if user := r.URL.Query().Get("user"); r.URL.Path == "/login" {
		http.SetCookie(w, &http.Cookie{Name: "app", Value: user, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		return "signed in as " + user
	}
	q := r.URL.Query()
	session, err := r.Cookie("app")
	switch {
	case err != nil:
		return "nobody is signed in"
	case q.Get("error") != "":
		return session.Value + ": " + q.Get("error")
	case q.Get("result") == "":
		return "the app"
	}
	done, err := a.client.ConfirmConnectLink(r.Context(), q.Get("link"), models.Secret(q.Get("result")), session.Value)
	if e, refused := errors.AsType[*client.Error](err); refused {
		return fmt.Sprintf("%s: %d %s", session.Value, e.Status, e.Detail)
	}
	return session.Value + ": connected for " + done.Authorization.UserID
}

// nowhere has a link return to nowhere.
const nowhere = "nowhere"

// link makes a link for a user, which returns to the app unless it says otherwise.
func (a *webApp) link(t *testing.T, n client.NewConnectLink) client.MadeConnectLink {
	t.Helper()
	switch n.ReturnURL {
	case "":
		n.ReturnURL = a.url + "/connected"
	case nowhere:
		n.ReturnURL = ""
	}
	l, err := a.client.CreateConnectLink(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// consents answers the upstream's question.
func (b *browser) consents(t *testing.T, account, decision string) {
	t.Helper()
	b.do(t, chromedp.WaitVisible(chromedp.CSS("button[value="+decision+"]")), chromedp.Click(chromedp.CSS("input[value="+account+"]")),
		chromedp.Click(chromedp.CSS("button[value="+decision+"]")))
}

// ends fails unless the browser comes back to the app with the outcome.
func (b *browser) ends(t *testing.T, app *webApp, outcome string) {
	t.Helper()
	b.landed(t, app.url+"/connected?")
	if got := b.shows(t, "#outcome"); got != outcome {
		t.Errorf("the app shows %q, want %q", got, outcome)
	}
}

// Two people, each with a browser: Ada connects by a link of her own. Mallory sends one that was made for her to Ada, who
// consents: Ada's browser comes back in Ada's session, so that nothing is connected for Mallory, and what Ada granted is
// revoked.
func TestAForwardedLinkIsRefusedInABrowser(t *testing.T) {
	t.Parallel()
	ada, mallory := openBrowser(t), openBrowser(t)
	h := asking(t)
	p := createID(t, h, gitHubAt(h, nil))
	app := newWebApp(t, h, p)
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }
	for who, b := range map[string]*browser{"ada": ada, "mallory": mallory} {
		b.do(t, chromedp.Navigate(app.url+"/login?user="+who), chromedp.WaitReady(css("#outcome")))
	}

	own := app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p})
	ada.do(t, chromedp.Navigate(own.URL), chromedp.WaitVisible(css("#start")), chromedp.Click(css("#cancel")))
	ada.ends(t, app, "ada: access_denied")
	own = app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p})
	ada.do(t, chromedp.Navigate(own.URL), chromedp.WaitVisible(css("#start")))
	if asked := ada.shows(t, "main"); !strings.Contains(asked, "Web app") || !strings.Contains(asked, "acme") || !strings.Contains(asked, host(t, app.url)) {
		t.Errorf("the page tells %s", asked)
	}
	ada.do(t, chromedp.Click(css("#start")))
	ada.consents(t, "ada", "deny")
	ada.ends(t, app, "ada: access_denied")
	own = app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p})
	ada.do(t, chromedp.Navigate(own.URL), chromedp.WaitVisible(css("#start")), chromedp.Click(css("#start")))
	ada.consents(t, "grace", "allow")
	ada.ends(t, app, "ada: connected for ada")

	sent := app.link(t, client.NewConnectLink{UserID: "mallory", ProviderID: p})
	mallory.do(t, chromedp.Navigate(sent.URL), chromedp.WaitVisible(css("#start"))) // looks at it, which uses nothing up
	ada.do(t, chromedp.Navigate(sent.URL), chromedp.WaitVisible(css("#start")), chromedp.Click(css("#start")), chromedp.WaitVisible(css("button[value=allow]")))
	mallory.do(t, chromedp.Click(css("#start")), chromedp.WaitNotPresent(css("#start")), chromedp.WaitReady(css("main")))
	if told := mallory.shows(t, "main"); !strings.Contains(told, "opened in another browser") {
		t.Errorf("Mallory is told %s", told)
	}
	ada.consents(t, "ada", "allow")
	ada.ends(t, app, "ada: 403 another_user")
	if l, err := app.client.ConnectLink(ctx, sent.ID); err != nil || l.Status != models.LinkFailed || l.Error != models.LinkAnotherUser || l.AuthorizationID != nil {
		t.Errorf("the link is %+v, %v", l, err)
	}
	if live := column(t, h, "SELECT user_id FROM authorizations WHERE unlinked_at IS NULL"); len(live) != 1 || live[0] != "ada" {
		t.Errorf("connected are %q", live)
	}
	brokertest.Eventually(t, "what Ada granted is revoked", func() bool {
		return len(column(t, h, "SELECT id FROM authorizations WHERE outcome = 'revoked' AND user_id = 'mallory'")) == 1
	})
	ada.wantQuiet(t, host(t, h.URL), host(t, h.IdPURL), host(t, app.url))
}

// popup returns the window that something opens in the browser.
func (b *browser) popup(t *testing.T, open ...chromedp.Action[chromedp.Void]) *browser {
	t.Helper()
	opened := chromedp.WaitNewTarget(b, func(*target.Info) bool { return true })
	b.do(t, open...)
	id, ok := <-opened
	if !ok {
		t.Fatal("no window was opened")
	}
	tab, closeTab := chromedp.NewContext(b, chromedp.WithTargetID(id))
	t.Cleanup(closeTab)
	return &browser{Context: tab}
}

// A link in a window of its own posts one message to the app that opened it, to the app's origin and to no other, and
// closes; without a window that opened it, it returns like any other.
func TestALinkInAWindowOfItsOwn(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	h := asking(t)
	p := createID(t, h, gitHubAt(h, nil))
	app := newWebApp(t, h, p)
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }
	windows := func() int {
		all, err := chromedp.Targets(b)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, one := range all {
			if strings.HasPrefix(one.URL, h.URL) || strings.HasPrefix(one.URL, h.IdPURL) {
				n++
			}
		}
		return n
	}
	opens := func(l client.MadeConnectLink) *browser {
		t.Helper()
		return b.popup(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void window.open(%q, "connect", "popup")`, l.URL)))
	}
	closed := func(what string) {
		t.Helper()
		brokertest.Eventually(t, what+": the window is closed", func() bool { return windows() == 0 })
	}
	told := func(message string) string {
		t.Helper()
		var said string
		brokertest.Eventually(t, "the app is told", func() bool { said = b.shows(t, "#said"); return said != "" })
		if !strings.HasPrefix(said, h.URL+" "+message) || strings.Count(said, "{") != 1 {
			t.Fatalf("the app was told %q, want %s", said, message)
		}
		return said
	}

	b.do(t, chromedp.Navigate(app.url+"/login?user=ada"), chromedp.WaitReady(css("#outcome")))
	l := app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p, Popup: true})
	w := opens(l)
	w.do(t, chromedp.WaitVisible(css("#start")), chromedp.Click(css("#start")))
	w.consents(t, "ada", "allow")
	closed("consented")
	said := told(`{"link":"` + l.ID + `","result":"`)
	result, _, _ := strings.Cut(strings.SplitN(said, `"result":"`, 2)[1], `"`)
	if done, err := app.client.ConfirmConnectLink(ctx, l.ID, models.Secret(result), "ada"); err != nil || done.Authorization.UserID != "ada" {
		t.Errorf("confirmed: %+v, %v", done, err)
	}

	l = app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p, Popup: true})
	b.do(t, chromedp.Navigate(app.url), chromedp.WaitReady(css("#outcome")))
	w = opens(l)
	w.do(t, chromedp.WaitVisible(css("#cancel")), chromedp.Click(css("#cancel")))
	closed("cancelled")
	told(`{"link":"` + l.ID + `","error":"access_denied"}`)

	// A page of another origin opened the window.
	l = app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p, Popup: true})
	b.do(t, chromedp.Navigate(strings.Replace(app.url, "localhost", "127.0.0.1", 1)), chromedp.WaitReady(css("#outcome")))
	w = opens(l)
	w.do(t, chromedp.WaitVisible(css("#start")), chromedp.Click(css("#start")))
	w.consents(t, "ada", "allow")
	closed("opened by another origin")
	if said := b.shows(t, "#said"); said != "" {
		t.Errorf("another origin was told %q", said)
	}

	// Nothing opened the window.
	l = app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p, Popup: true})
	b.do(t, chromedp.Navigate(l.URL), chromedp.WaitVisible(css("#start")), chromedp.Click(css("#start")))
	b.consents(t, "ada", "allow")
	b.ends(t, app, "ada: connected for ada")

	// With the helper of the TypeScript client: a window that ends well, one that is closed, and a return.
	app.helper = browserHelper(t)
	helped := func(want string) string {
		t.Helper()
		var got string
		brokertest.Eventually(t, "the helper tells "+want, func() bool { got = b.shows(t, "#helped"); return strings.Contains(got, want) })
		return got
	}
	b.do(t, chromedp.Navigate(app.url), chromedp.WaitVisible(css("#connect")))
	w = b.popup(t, chromedp.Click(css("#connect")))
	w.do(t, chromedp.WaitVisible(css("#start")), chromedp.Click(css("#start")))
	w.consents(t, "ada", "allow")
	closed("consented, with the helper")
	var came struct{ Link, Result string }
	said = helped(`"result":`)
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&came); err != nil {
		t.Fatalf("the helper tells %s: %v", said, err)
	}
	if done, err := app.client.ConfirmConnectLink(ctx, came.Link, models.Secret(came.Result), "ada"); err != nil || done.Authorization.UserID != "ada" {
		t.Errorf("confirmed: %+v, %v", done, err)
	}
	w = b.popup(t, chromedp.Click(css("#connect")))
	w.do(t, chromedp.WaitVisible(css("#start")), chromedp.Evaluate[chromedp.Void](`setTimeout(() => window.close())`))
	helped("the window was closed")
	l = app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p})
	b.do(t, chromedp.Navigate(l.URL), chromedp.WaitVisible(css("#cancel")), chromedp.Click(css("#cancel")))
	if said := helped("access_denied"); said != `{"link":"`+l.ID+`","error":"access_denied"} at `+app.url+"/connected" {
		t.Errorf("after the return the helper tells %s", said)
	}
}

// browserHelper is the browser helper of the TypeScript client, without its types.
func browserHelper(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		services.Skip(t, "node is not installed")
	}
	source := filepath.Join("..", "..", "sdk", "typescript")
	if _, err := os.Stat(filepath.Join(source, "node_modules", "typescript")); err != nil {
		services.Skip(t, "the npm packages of sdk/typescript are not installed (`npm ci` there)")
	}
	return runIn(t, source, os.Environ(), node, "-e", `const ts = require("typescript"), compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
		process.stdout.write(ts.transpileModule(require("fs").readFileSync("src/browser.ts", "utf8"), { compilerOptions }).outputText);`)
}

// A link for a person who signs in, by keyboard, with what axe-core says of every page on the way.
func TestTheLinkPagesAreAccessible(t *testing.T) {
	t.Parallel()
	script, b := axe(t), openBrowser(t)
	h := asking(t)
	p := createID(t, h, object{"name": "A provider " + strings.Repeat("withaverylongname", 4), "description": strings.Repeat("long ", 60), "type": "github", "metadata": object{"host": h.IdPURL}})
	app := newWebApp(t, h, p)
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }

	confirmed := app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p})
	b.do(t, chromedp.Navigate(confirmed.URL), chromedp.WaitVisible(css("#start")))
	b.isAccessible(t, script, "a link")
	l := app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p, SignIn: true})
	b.do(t, chromedp.Navigate(l.URL), chromedp.WaitVisible(css("#token")), chromedp.SendKeys(css("#token"), secret(h.Colleague.Token)), chromedp.Click(css("main button")),
		chromedp.WaitNotPresent(css("#token")), chromedp.WaitVisible(css("#sign-out")), chromedp.WaitReady(css("main")))
	if told := b.shows(t, "main"); !strings.Contains(told, "somebody else") {
		t.Errorf("Grace is told %s", told)
	}
	b.isAccessible(t, script, "somebody else's link")
	b.do(t, chromedp.Click(css("#sign-out")), chromedp.WaitVisible(css("#sign-in")), chromedp.Navigate(l.URL), chromedp.WaitVisible(css("#token")),
		chromedp.SendKeys(css("#token"), secret(h.User.Token)), chromedp.Click(css("main button")), chromedp.WaitVisible(css("#start")))
	b.isAccessible(t, script, "a link, signed in")
	b.do(t, chromedp.Click(css("#start")))
	b.consents(t, "ada", "allow")
	b.landed(t, app.url+"/connected?link="+l.ID)
	if linked, err := app.client.ConnectLink(ctx, l.ID); err != nil || linked.Status != models.LinkConnected {
		t.Errorf("the link is %+v, %v", linked, err)
	}
	b.do(t, chromedp.Navigate(l.URL), chromedp.WaitReady(css("main")))
	b.isAccessible(t, script, "a link that was used")
	l = app.link(t, client.NewConnectLink{UserID: "ada", ProviderID: p, SignIn: true, ReturnURL: nowhere})
	b.do(t, chromedp.Navigate(l.URL), chromedp.WaitVisible(css("#cancel")), chromedp.Click(css("#cancel")), chromedp.WaitNotPresent(css("#cancel")), chromedp.WaitReady(css("main")))
	b.isAccessible(t, script, "a link that was cancelled")
}
