package contract_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// GRANTD_PICTURES names the folder that TestTheMainPagesArePictured writes to; `make
// pictures` has it write those of the documentation.
const picturesFolder = "GRANTD_PICTURES"

// pictured are the looks of a page in the documentation: what its file's name ends in, and what the browser is.
var pictured = []struct {
	name, scheme  string
	width, height int64
}{{"light", "light", 1100, 760}, {"dark", "dark", 1100, 760}, {"phone", "light", 390, 760}}

// picture takes the page that is shown, in every look. Without a folder it only sees that
// there is something to show.
func (b *browser) picture(t *testing.T, page string) {
	t.Helper()
	for _, look := range pictured {
		b.looks(t, look.scheme, look.width, look.height)
		png, err := chromedp.Run(b, chromedp.CaptureScreenshot())
		if err != nil || len(png) < 4096 { // an empty page is smaller
			t.Errorf("%s, %s: a picture of %d bytes: %v", page, look.name, len(png), err)
		}
		folder := os.Getenv(picturesFolder)
		if folder == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, page+"-"+look.name+".png"), png, 0o644); err != nil {
			t.Error(err)
		}
	}
}

// The pictures of the documentation are of the pages as they are: an organisation with a
// few providers, one in trouble, and a deletion that could not revoke everything.
func TestTheMainPagesArePictured(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	h := brokertest.New(t, &brokertest.Options{Timing: broker.Timing{Backoff: time.Millisecond}})
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }
	at := func(page, path, until string) {
		t.Helper()
		b.do(t, chromedp.Navigate(h.URL+path), chromedp.WaitVisible(css(until)))
		b.picture(t, page)
	}
	repositories := createID(t, h, object{"name": "Repositories", "description": "The build service reads your repositories.", "scopes": []any{"profile", "email", "read", "write"}})
	notebooks := createID(t, h, object{"name": "Notebooks"})
	retired := createID(t, h, object{"name": "Old tracker"})
	for i, account := range []string{"ada", "grace", "linus"} {
		who := h.Person(t, h.Admin.Caller.OrgID, fmt.Sprint("person", i), "user")
		for _, p := range []string{repositories, notebooks, retired} {
			consent(t, h, who, p, account)
		}
	}
	consent(t, h, h.User, repositories, "ada")
	consent(t, h, h.User, notebooks, "ada")
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500})
	failed := text(t, deleted(t, h, retired), "id")
	pastDays(t, h)
	ended(t, h, startStats(t, h))
	change(t, h, "UPDATE providers SET trouble = 'client', trouble_version = secret_version, trouble_since = created_at, trouble_code = 'client:401:invalid_client' WHERE id = '"+notebooks+"'")

	b.signsIn(t, h, h.User, "main.wide")
	at("connections", "/connections", "main")
	b.do(t, chromedp.Navigate(anotherSite(t, h.URL+connectAt(repositories))), chromedp.Click(css("#lure")), chromedp.WaitVisible(css("#start")))
	b.picture(t, "connect")
	app := h.Limited(t, broker.NewAPIToken{OrgID: h.Admin.Caller.OrgID, UserID: "app-builds", Role: models.RoleService, Name: "Build dashboard", Providers: []string{repositories},
		ReturnOrigins: []string{"https://builds.example.com"}})
	for _, user := range []string{"ada", "person1", "person2"} {
		_, path := link(t, h, app, repositories, object{"userId": user, "returnUrl": "https://builds.example.com/connected"})
		b.do(t, chromedp.Navigate(h.URL+path), chromedp.WaitVisible(css("#start")))
	}
	b.picture(t, "link")
	b.signsIn(t, h, h.Admin, "#now")
	at("overview", "/console/", "main")
	at("provider", "/console/providers/"+repositories, "main")
	at("job", "/console/jobs/"+failed, "main")
	at("links", "/console/links", "#results table")
	at("statistics", "/console/statistics", "main")
}

// pastDays gives the organisation statistics of the last months, as if it had grown.
func pastDays(t *testing.T, h *brokertest.Instance) {
	t.Helper()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for ago := int64(1); ago < 90; ago++ {
		n := 90 - ago
		counts := map[models.Statistic]int64{
			models.StatisticActive: n/12 + 2, models.StatisticExpired: n % 9 / 4, models.StatisticMade: n % 7, models.StatisticRevoked: n % 5 / 3,
			models.StatisticRefreshed: 20*n + 150*(n%7), models.StatisticRefreshFailed: 40 * (n % 11 / 9), models.StatisticFetched: 900*n + 9000*(n%7),
		}
		if err := h.Store.SetStatistics(ctx, h.Admin.Caller.OrgID, today.AddDate(0, 0, -int(ago)), counts); err != nil {
			t.Fatal(err)
		}
	}
}
