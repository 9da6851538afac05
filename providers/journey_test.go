package providers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// A whole life with an authorization server that keeps count: consent, exchange,
// user info, refresh, revocation, in both of its dialects.
func TestJourney(t *testing.T) {
	t.Parallel()
	_, url := testidp.Start(t, testidp.Options{AutoConsent: true, Clients: []testidp.Client{{ID: "my id", Secret: theSecret}}})
	r := newRegistry(t, Options{TestHost: url})

	for _, c := range []Client{
		{Type: "test", ID: "my id", Secret: theSecret},
		{Type: "github", ID: "my id", Secret: theSecret, Host: url},
	} {
		for _, scope := range []models.RevokeScope{models.RevokeToken, models.RevokeGrant} {
			t.Run(c.Type+" "+string(scope), func(t *testing.T) { journey(t, r, c, scope) })
		}
	}
}

func journey(t *testing.T, r *Registry, c Client, scope models.RevokeScope) {
	const callback = "https://broker.example/cb"
	verifier := NewVerifier()
	link, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "some-state", RedirectURI: callback, Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	answer := consent(t, link)
	if err := r.At(c).CheckIssuer(t.Context(), answer.Get("iss"), true); err != nil {
		t.Fatal(err)
	}
	first, err := r.At(c).Exchange(t.Context(), ExchangeRequest{Code: models.Secret(answer.Get("code")), RedirectURI: callback, Verifier: verifier})
	if err != nil || first.Refresh == "" || first.ExpiresIn <= 0 || first.Flags != nil {
		t.Fatalf("%+v, %v", first, err)
	}
	user, err := r.At(c).Identify(t.Context(), first, "")
	if err != nil || user.Sub == "" || user.Email == "" {
		t.Fatalf("%+v, %v", user, err)
	}
	second, err := r.At(c).Refresh(t.Context(), first)
	if err != nil || second.Refresh == first.Refresh || second.Refresh == "" {
		t.Fatalf("%+v, %v", second, err)
	}
	_, err = r.At(c).UserInfo(t.Context(), first.Access)
	if KindOf(err) != KindDenied {
		t.Errorf("R7: the old access token: %v", err)
	}
	if outcome, err := r.At(c).Revoke(t.Context(), second, scope); outcome != models.OutcomeRevoked || err != nil {
		t.Errorf("%q, %v", outcome, err)
	}
	if _, err := r.At(c).UserInfo(t.Context(), second.Access); KindOf(err) != KindDenied {
		t.Errorf("after the revocation: %v", err)
	}
	outcome, err := r.At(c).Revoke(t.Context(), second, scope)
	if err != nil || outcome != models.OutcomeRevoked && outcome != models.OutcomeAlreadyRevoked {
		t.Errorf("again: %q, %v", outcome, err)
	}
	c.Secret = "wrong"
	if _, err := r.At(c).Refresh(t.Context(), second); KindOf(err) != KindClient {
		t.Errorf("wrong secret: %v", err)
	}
}

// consent is a browser that says yes, and the query it comes back with.
func consent(t *testing.T, link string) url.Values {
	t.Helper()
	browser := &http.Client{CheckRedirect: noRedirect}
	resp, err := browser.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil || !strings.HasPrefix(back.String(), "https://broker.example/cb") {
		t.Fatalf("sent to %v, %v", back, err)
	}
	return back.Query()
}
