package contract_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/brokertest"
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
	becomes := func(what string, of chromedp.CSS, wanted string) {
		t.Helper()
		brokertest.Eventually(t, what, func() bool { return strings.Contains(b.shows(t, of), wanted) })
	}
	p := createID(t, h, object{"name": "Tracker"})
	consent(t, h, h.User, p, "ada")
	consent(t, h, h.Colleague, p, "grace")
	b.signsIn(t, h, h.Admin, "#now")

	job := jobOf(t, h, h.Do(t, h.Admin, "DELETE", provider(p), nil))
	b.do(t, chromedp.Navigate(h.URL+"/console/jobs/"+job), chromedp.WaitVisible(css("#outcomes")))
	visits := b.loaded(h.URL + "/console/jobs/" + job)
	change(t, h, "UPDATE jobs SET status = 'RUNNING', revoked = 1 WHERE id = '"+job+"'")
	becomes("the page shows that the job runs", "#status", "Running")
	becomes("the bar moves", "table", "Revoked at the provider\t1")
	if _, err := h.Store.FinishJob(ctx, job, models.JobCompleted, "", nil); err != nil {
		t.Fatal(err)
	}
	becomes("the page shows the end", "#status", "Completed")
	becomes("screen readers are told", "#said", "Completed")
	if again := b.loaded(h.URL + "/console/jobs/" + job); again != visits {
		t.Errorf("the page was loaded %d times more", again-visits)
	}

	b.do(t, chromedp.Navigate(h.URL+"/console/connections"), chromedp.WaitVisible(css("#by-user")))
	other := createID(t, h, object{"name": "Notebooks"})
	consent(t, h, h.User, other, "ada")
	consent(t, h, h.Colleague, other, "grace")
	b.do(t, chromedp.SendKeys(css("#by-account"), "grace"))
	becomes("the list is filtered", "#said", "2 rows on this page")
	becomes("the list has who was searched for", "#results", "grace")
	address, err := chromedp.Run(b, chromedp.Evaluate[string](`location.search + " " + document.activeElement.id`))
	if err != nil || address != "?account=grace by-account" {
		t.Errorf("the page is at %q: %v", address, err)
	}

	b.do(t, chromedp.Navigate(h.URL+"/console/providers/"+other), chromedp.WaitVisible(css(".copy")), chromedp.Click(css(".copy")))
	becomes("the button says that it copied", ".copy", "Copied")
	b.wantQuiet(t, strings.TrimPrefix(h.URL, "http://"))
}
