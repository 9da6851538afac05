package contract_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// loaded is how often the browser asked for an address.
func (b *browser) loaded(address string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, asked := range b.requests {
		if asked == address {
			n++
		}
	}
	return n
}

// In a browser the page of a job follows the job without loading itself again, a list is filtered while somebody types, and
// a value is copied with a button. The browser complains of nothing: the policy of the pages holds.
func TestTheConsoleIsLiveInABrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }
	p := createID(t, h, object{"name": "Tracker"})
	consent(t, h, h.User, p, "ada")
	consent(t, h, h.Colleague, p, "grace")
	b.signsIn(t, h, h.Admin, "#now")

	job := jobOf(t, h, h.Do(t, h.Admin, "DELETE", provider(p), nil))
	b.do(t, chromedp.Navigate(h.URL+"/console/jobs/"+job), chromedp.WaitVisible(css("#outcomes")))
	visits := b.loaded(h.URL + "/console/jobs/" + job)
	change(t, h, "UPDATE jobs SET status = 'RUNNING', revoked = 1 WHERE id = '"+job+"'")
	b.becomes(t, "the page shows that the job runs", "#status", "Running")
	b.becomes(t, "the bar moves", "table", "Revoked at the provider\t1")
	if _, err := h.Store.FinishJob(ctx, job, models.JobCompleted, "", nil); err != nil {
		t.Fatal(err)
	}
	b.becomes(t, "the page shows the end", "#status", "Completed")
	b.becomes(t, "screen readers are told", "#said", "Completed")
	if again := b.loaded(h.URL + "/console/jobs/" + job); again != visits {
		t.Errorf("the page was loaded %d times more", again-visits)
	}

	b.do(t, chromedp.Navigate(h.URL+"/console/connections"), chromedp.WaitVisible(css("#by-user")))
	other := createID(t, h, object{"name": "Notebooks"})
	consent(t, h, h.User, other, "ada")
	consent(t, h, h.Colleague, other, "grace")
	b.do(t, chromedp.SendKeys(css("#by-account"), "grace"))
	b.becomes(t, "the list is filtered", "#said", "2 rows on this page")
	b.becomes(t, "the list has who was searched for", "#results", "grace")
	address, err := chromedp.Run(b, chromedp.Evaluate[string](`location.search + " " + document.activeElement.id`))
	if err != nil || address != "?account=grace by-account" {
		t.Errorf("the page is at %q: %v", address, err)
	}

	b.do(t, chromedp.Navigate(h.URL+"/console/providers/"+other), chromedp.WaitVisible(css(".copy")), chromedp.Click(css(".copy")))
	b.becomes(t, "the button says that it copied", ".copy", "Copied")
	b.handsOutAccess(t, h, other)
	b.wantQuiet(t, strings.TrimPrefix(h.URL, "http://"))
}

// handsOutAccess has an admin make an API token for a machine, which is shown once, and revoke it, and take back a connect
// link that an app made.
func (b *browser) handsOutAccess(t *testing.T, h *brokertest.Instance, provider string) {
	t.Helper()
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }
	b.do(t, chromedp.Navigate(h.URL+"/console/tokens"), chromedp.WaitVisible(css("#new")), chromedp.Click(css("#new")), chromedp.WaitVisible(css("#save")),
		chromedp.SendKeys(css("#name"), "Nightly import"), chromedp.SetValue(css("#userId"), "app-nightly"), chromedp.SendKeys(css("#providers"), provider),
		chromedp.Click(css("#save")), chromedp.WaitVisible(css("#token")))
	token, err := chromedp.Run(b, chromedp.Evaluate[string](`document.querySelector("#token").value`))
	if err != nil {
		t.Fatal(err)
	}
	machine := h.Bearer(t, models.Secret(token))
	me, err := machine.Client.Me(ctx)
	if err != nil || me.UserID != "app-nightly" || !slices.Equal(me.Providers, []string{provider}) {
		t.Fatalf("the API token that is shown is that of %+v, %v", me, err)
	}
	b.do(t, chromedp.Click(css("#done")), chromedp.WaitVisible(css("#token-"+me.TokenID)))
	if shown := b.shows(t, "html"); strings.Contains(shown, token) {
		t.Error("the API token is shown again")
	}
	row := "#token-" + me.TokenID
	b.do(t, chromedp.Click(css(row+" a[href$='/revoke']")), chromedp.WaitVisible(css("#revoke")), chromedp.Click(css("#revoke")), chromedp.WaitVisible(css("#new")))
	b.becomes(t, "the list tells that it is revoked", css(row), "revoked")
	if _, err := machine.Client.Me(ctx); !errors.Is(err, client.ErrUnauthenticated) {
		t.Errorf("with the API token that was revoked: %v", err)
	}

	app := linker(t, h, provider)
	l, err := app.Client.CreateConnectLink(ctx, client.NewConnectLink{UserID: "ada", ProviderID: provider, ReturnURL: appReturn})
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.Navigate(h.URL+"/console/links"), chromedp.WaitVisible(css("#link-"+l.ID)), chromedp.Click(css("#link-"+l.ID+" a[href$='/withdraw']")),
		chromedp.WaitVisible(css("#withdraw")), chromedp.Click(css("#withdraw")), chromedp.WaitVisible(css("#none")))
	if ended, err := app.Client.ConnectLink(ctx, l.ID); err != nil || ended.Status != models.LinkFailed {
		t.Errorf("the link that was taken back is %+v, %v", ended, err)
	}
}
