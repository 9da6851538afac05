package contract_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/oidcprovider"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// A person signs in at a certified OpenID Connect server on the way to connecting an account, sees where they are signed
// in, and signs out everywhere: in a real browser.
func TestAPersonSignsInAtARealIssuerInABrowser(t *testing.T) {
	t.Parallel()
	script, b := axe(t), openBrowser(t)
	issuer := oidcprovider.Start(t, oidcprovider.Options{RedirectURIs: []string{"http://127.0.0.1" + broker.SignInPath}})
	idp, idpURL := testidp.Start(t, testidp.Options{Clients: []testidp.Client{{ID: brokertest.ClientID, Secret: brokertest.ClientSecret}}})
	h := brokertest.New(t, &brokertest.Options{IdP: idp, IdPURL: idpURL, Allow: []string{host(t, issuer.Issuer)},
		SignIn: broker.SignIn{Name: "corp-sso", Issuer: issuer.Issuer, ClientID: issuer.ClientID, ClientSecret: models.Secret(issuer.ClientSecret),
			Scopes: []string{"openid", "profile"}, Org: "acme", UserClaim: "sub"}})
	p := createID(t, h, nil)
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }

	b.do(t, chromedp.Navigate(h.URL+connectAt(p)+"?redirect=%2F"), chromedp.WaitVisible(css("#issuer")))
	b.isAccessible(t, script, "sign-in with an issuer")
	b.do(t, chromedp.Click(css("#issuer")), chromedp.WaitVisible(css("button[value=allow]")), chromedp.Click(css("button[value=allow]")),
		chromedp.WaitVisible(css(".connection")))
	if who := b.shows(t, ".who"); who != "Signed in as Ada (corp-sso:ada) of acme" {
		t.Errorf("%q", who)
	}
	b.do(t, chromedp.Click(css("#sessions")), chromedp.WaitVisible(css("#everywhere")))
	b.isAccessible(t, script, "sessions")
	b.do(t, chromedp.Click(css("#everywhere")), chromedp.WaitVisible(css("#sign-in")))
	b.isAccessible(t, script, "signed out everywhere")
	if sessions(t, h) != 0 {
		t.Error("the session lives")
	}

	// The address that dev prints.
	b.do(t, chromedp.Navigate(h.URL+"/sign-in/once?code="+secret(h.Service.OfferOnce(h.Admin.Caller, time.Minute))), chromedp.WaitVisible(css("#once")))
	b.isAccessible(t, script, "sign-in, once")
	b.do(t, chromedp.Click(css("#once")), chromedp.WaitVisible(css("#quiet")))
	if who := b.shows(t, ".who"); who != "Signed in as root of acme" {
		t.Errorf("%q", who)
	}
	b.wantQuiet(t, host(t, h.URL), host(t, h.IdPURL), host(t, issuer.Issuer))
	if strings.Contains(dump(t, h), issuer.ClientSecret) || strings.Contains(h.Log.String(), issuer.ClientSecret) {
		t.Error("the client's secret is kept")
	}
}
