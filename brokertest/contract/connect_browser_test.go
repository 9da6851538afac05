package contract_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/brokertest"
)

// landed waits until the browser is at an address that begins so.
func (b *browser) landed(t *testing.T, prefix string) string {
	t.Helper()
	var at string
	brokertest.Eventually(t, "the browser is at "+prefix, func() bool {
		var err error
		if at, err = chromedp.Run(b, chromedp.Location()); err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(at, prefix)
	})
	return at
}

// A person comes by a link, signs in, consents, connects another account, keeps
// one, and signs out: in a real browser, under the policies that the pages set.
func TestAPersonConnectsInABrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	h := asking(t)
	p := createID(t, h, gitHubAt(h, nil))
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }
	allow := func(account string) {
		t.Helper()
		b.do(t, chromedp.Click(css("input[value="+account+"]")), chromedp.Click(css("button[value=allow]")))
	}

	b.do(t, chromedp.Navigate(h.URL+connectAt(p)+"?redirect=%2Fdocs"), chromedp.WaitVisible(css("input[name=token]")))
	b.do(t, chromedp.SendKeys(css("input[name=token]"), secret(h.User.Token)), chromedp.Click(css("button[type=submit]")),
		chromedp.WaitVisible(css("button[value=allow]")))
	allow("ada")
	b.landed(t, h.URL+"/docs")
	if got := login(t, h, h.User, p); got != "ada" {
		t.Fatalf("%q is connected", got)
	}

	// From a page of another site, with the session that is there.
	elsewhere := anotherSite(t, h.URL+connectAt(p))
	b.do(t, chromedp.Navigate(elsewhere), chromedp.Click(css("#lure")), chromedp.WaitVisible(css("#start")), chromedp.Click(css("#start")),
		chromedp.WaitVisible(css("button[value=allow]")))
	allow("grace")
	b.do(t, chromedp.WaitVisible(css("#now")))
	if was, now := b.shows(t, "#was"), b.shows(t, "#now"); was != "ada" || now != "grace" {
		t.Errorf("asked about %q and %q", was, now)
	}
	at := b.landed(t, h.URL+"/external-auth/"+p+"/confirm?flow=")
	if strings.Contains(at, "code=") || strings.Contains(at, "state=") {
		t.Errorf("the browser rests at %s", at)
	}
	b.do(t, chromedp.Click(css("button[value=connect]")), chromedp.WaitVisible(css("#sign-out")))
	b.landed(t, h.URL+"/external-auth/"+p+"/connected")
	if got := login(t, h, h.User, p); got != "grace" {
		t.Errorf("%q is connected", got)
	}

	b.do(t, chromedp.Click(css("#sign-out")), chromedp.WaitVisible(css("#sign-in")), chromedp.Navigate(h.URL+connectAt(p)),
		chromedp.WaitVisible(css("input[name=token]")))
	b.wantQuiet(t, host(t, h.URL), host(t, h.IdPURL), host(t, elsewhere))
}
