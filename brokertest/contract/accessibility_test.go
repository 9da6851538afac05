package contract_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/testidp"
)

// axe returns the script of axe-core, which npm installs.
func axe(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile("../axe/node_modules/axe-core/axe.min.js")
	if err == nil {
		return string(script)
	}
	services.Skip(t, "accessibility of the pages, because axe-core is not installed (`npm ci` in brokertest/axe)")
	return ""
}

// violations is an expression for what is wrong on the page, as text.
const violations = `axe.run({resultTypes: ["violations"]}).then(r => r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; ")).join("\n"))`

// looks gives the window a colour scheme and a size.
func (b *browser) looks(t *testing.T, scheme string, width, height int64) {
	t.Helper()
	b.do(t, chromedp.EmulateViewport(width, height), told(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
}

// signsIn signs somebody in with their API token, even if somebody else was signed in before, and waits until an element is shown. It
// must be one of the page that they come to: the pages on the way there go on by themselves.
func (b *browser) signsIn(t *testing.T, h *brokertest.Instance, who brokertest.Person, until string) {
	t.Helper()
	b.do(t, chromedp.Navigate(h.URL+"/sign-in?again=1"), chromedp.SendKeys(chromedp.CSS("#token"), secret(who.Token)),
		chromedp.Click(chromedp.CSS("main button")), chromedp.WaitVisible(chromedp.CSS(until)))
}

// isAccessible fails where axe-core finds a violation on the page that is shown: in light and in dark, narrow and wide.
func (b *browser) isAccessible(t *testing.T, script, page string) {
	t.Helper()
	if _, err := chromedp.Run(b, chromedp.Evaluate[bool](script+"\n;true")); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1280} {
			b.looks(t, scheme, width, 900)
			found, err := chromedp.Run(b, chromedp.Evaluate[string](violations, chromedp.EvalAwaitPromise))
			if err != nil || found != "" {
				t.Errorf("%s, %s, %d px: %s %v", page, scheme, width, found, err)
			}
			if wide, err := chromedp.Run(b, chromedp.Evaluate[int64]("document.documentElement.scrollWidth")); err != nil || wide > width {
				t.Errorf("%s, %d px: the content is %d px wide: %v", page, width, wide, err)
			}
		}
	}
}

// axe-core finds no violation on the pages, also with long names and a problem to tell.
func TestThePagesAreAccessible(t *testing.T) {
	t.Parallel()
	script := axe(t)
	b := openBrowser(t)
	h := asking(t)
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }
	name := "A provider " + strings.Repeat("withaverylongname", 4)
	p := createID(t, h, object{"name": name, "type": "github", "metadata": object{"host": h.IdPURL}})
	at := func(page, path string) {
		t.Helper()
		b.do(t, chromedp.Navigate(h.URL+path), chromedp.WaitReady(css("main")))
		b.isAccessible(t, script, page)
	}
	consent := func(account, decision, until string) {
		t.Helper()
		b.do(t, chromedp.WaitVisible(css("button[value=allow]")), chromedp.Click(css("input[value="+account+"]")), chromedp.Click(css("button[value="+decision+"]")),
			chromedp.WaitVisible(css(until)))
	}

	at("signed out", "/")
	at("sign-in", "/sign-in?provider="+p)
	b.do(t, chromedp.SendKeys(css("#token"), "grd_wrong"), chromedp.Click(css("main button")), chromedp.WaitVisible(css("#problem")))
	b.isAccessible(t, script, "a wrong token")
	b.do(t, chromedp.Navigate(h.URL+"/sign-in"), chromedp.SendKeys(css("#token"), secret(h.User.Token)), chromedp.Click(css("main button")), chromedp.WaitVisible(css("#new")))
	b.isAccessible(t, script, "nothing connected")
	at("not connected", "/external-auth/"+p+"/connected")

	elsewhere := anotherSite(t, h.URL+connectAt(p))
	b.do(t, chromedp.Navigate(elsewhere), chromedp.Click(css("#lure")), chromedp.WaitVisible(css("#start")))
	b.isAccessible(t, script, "asked by another site")
	b.do(t, chromedp.Click(css("#start")))
	consent("ada", "deny", "#again")
	b.isAccessible(t, script, "declined")
	b.do(t, chromedp.Click(css("#again")))
	consent("ada", "allow", "#account")
	b.isAccessible(t, script, "connected")
	b.do(t, chromedp.Navigate(h.URL+connectAt(p)))
	consent("grace", "allow", "#now")
	b.isAccessible(t, script, "another account")
	b.do(t, chromedp.Click(css("button[value=keep]")), chromedp.WaitNotPresent(css("#now")), chromedp.WaitReady(css("main")))
	b.isAccessible(t, script, "kept")

	at("one connection", "/")
	change(t, h, `UPDATE authorizations SET missing_scopes = '["repo"]', email = '`+strings.Repeat("x", 80)+`@example.com'`)
	at("scopes are missing", "/")
	id := connectionOf(t, h, h.User)
	change(t, h, "UPDATE credentials SET verdict = 'expired', verdict_generation = generation, verdict_secret_version = 0, verdict_reason = 'invalid_grant'")
	at("expired", "/")
	at("disconnect", disconnectAt(id))
	b.do(t, chromedp.Click(css("#disconnect")), chromedp.WaitVisible(css("#upstream")))
	b.isAccessible(t, script, "disconnected")
	for page, path := range map[string]string{
		"an error": disconnectAt(unknownID), "an installation": connectAt(p) + "?setup_action=request", "an admin's consent": connectAt(p) + "?admin_consent=True",
	} {
		at(page, path)
	}
	b.do(t, chromedp.Click(css("#sign-out")), chromedp.WaitVisible(css("#sign-in")))
	b.isAccessible(t, script, "signed out just now")
}

// The same of the console, with long names, troubles, failures and bars.
func TestTheConsoleIsAccessible(t *testing.T) {
	t.Parallel()
	script := axe(t)
	b := openBrowser(t)
	h := brokertest.New(t, &brokertest.Options{Timing: broker.Timing{Backoff: time.Millisecond}})
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }
	at := func(page, path string) {
		t.Helper()
		b.do(t, chromedp.Navigate(h.URL+path), chromedp.WaitReady(css("main")))
		b.isAccessible(t, script, page)
	}
	b.signsIn(t, h, h.User, "main.wide")
	at("no admin", "/console/")
	b.signsIn(t, h, h.Admin, "#quiet")
	b.isAccessible(t, script, "nothing yet")
	at("no providers", "/console/providers")

	name := "A provider " + strings.Repeat("withaverylongname", 4)
	p := createID(t, h, object{"name": name, "type": "github", "metadata": object{"host": h.IdPURL}})
	for who, person := range map[string]brokertest.Person{"ada": h.User, "grace": h.Colleague} {
		consent(t, h, person, p, who)
	}
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"redirectUris": []any{"https://app.example.com/" + strings.Repeat("long", 30)}}))
	gone := createID(t, h, object{"name": name})
	consent(t, h, h.User, gone, "ada")
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500})
	failed := text(t, deleted(t, h, gone), "id")
	change(t, h, "UPDATE providers SET trouble = 'client', trouble_version = secret_version, trouble_since = created_at, trouble_code = 'client:401:invalid_client' WHERE id = '"+p+"'")
	pauses(t, h, p, "acme", "https://"+strings.Repeat("long", 20)+".example")
	for _, path := range append(consolePages(p, failed), "/console/providers/"+gone, "/console/providers/"+gone+"/delete", "/console/jobs/"+unknownID) {
		at(path, path)
	}
	b.do(t, chromedp.Navigate(h.URL+"/console/providers/"+p+"/delete"), chromedp.WaitVisible(css("#name")), chromedp.SendKeys(css("#name"), "another"), chromedp.Click(css("#confirm")), chromedp.WaitVisible(css("#problem")))
	b.isAccessible(t, script, "the wrong name")
	b.do(t, chromedp.Navigate(h.URL+"/console/tokens/new"), chromedp.WaitVisible(css("#save")), chromedp.SetValue(css("#userId"), "ada"), chromedp.Click(css("#save")), chromedp.WaitVisible(css("#problem")))
	b.isAccessible(t, script, "an API token that cannot be made")
	b.do(t, chromedp.SetValue(css("#userId"), "app-nightly"), chromedp.Click(css("#save")), chromedp.WaitVisible(css("#token")))
	b.isAccessible(t, script, "an API token")
	at("revoking an API token", "/console/tokens/"+h.Admin.Caller.TokenID+"/revoke")
	b.do(t, chromedp.Navigate(h.URL+"/console/webhooks/new"), chromedp.WaitVisible(css("#save")), chromedp.SetValue(css("#url"), "http://app.example.test/"), chromedp.Click(css("#save")), chromedp.WaitVisible(css("#url-problem")))
	b.isAccessible(t, script, "a webhook that cannot be made")
	b.do(t, chromedp.SetValue(css("#url"), "https://"+strings.Repeat("long", 12)+".example.test/"), chromedp.Click(css("#save")), chromedp.WaitVisible(css("#secret")))
	b.isAccessible(t, script, "the secret of a webhook")
	b.do(t, chromedp.Click(css("#done")), chromedp.WaitVisible(css("#deliveries")))
	b.isAccessible(t, script, "a webhook")
	hook := column(t, h, "SELECT id FROM webhooks")[0]
	brokertest.Eventually(t, "the test event was tried", func() bool {
		return strings.Contains(string(h.Do(t, h.Admin, "GET", root+"webhooks/"+hook+"/deliveries/", nil).Body), "not_delivered")
	})
	for _, page := range []string{"/console/webhooks", "/console/webhooks/" + hook, "/console/webhooks/" + hook + "/rotate", "/console/webhooks/" + hook + "/delete"} {
		at(page, page)
	}
	replaceSecret(t, h, p)
	at("a former secret", "/console/providers/"+p)
	tried := createID(t, h, object{"name": name})
	at("before a trial", "/console/providers/"+tried+"/try")
	b.do(t, chromedp.Click(css("#begin")), chromedp.WaitVisible(css("#keep")))
	b.isAccessible(t, script, "a trial")
	b.do(t, chromedp.Click(css("#remove")), chromedp.WaitVisible(css("#done")))
	asked, _ := link(t, h, h.Admin, tried, object{"returnUrl": nil, "signIn": true})
	at("connect links", "/console/links")
	at("taking a link back", "/console/links/"+asked+"/withdraw")
	counted := startStats(t, h)
	ended(t, h, counted)
	at("statistics", "/console/statistics")
	at("a statistic's job", "/console/jobs/"+counted)
	at("disconnect", "/console/connections/"+ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"authorizedProviders/?limit=1", nil)))[0]+"/disconnect")
	at("a form with long choices", "/console/providers/new?type=oauth2")
	b.do(t, chromedp.Navigate(h.URL+"/console/providers/"+p+"/edit"), chromedp.WaitVisible(css("#slug ~ *, summary")), chromedp.SetValue(css("#slug"), "No Slug"), chromedp.SetValue(css("[id='metadata.host']"), "no host"),
		chromedp.Click(css("#save")), chromedp.WaitVisible(css("#problem")))
	b.isAccessible(t, script, "a form with errors")
	b.do(t, chromedp.Navigate(h.URL+"/console/providers/"+p), chromedp.Click(css("#switch")), chromedp.WaitVisible(css("#done")))
	b.isAccessible(t, script, "switched off")
}
