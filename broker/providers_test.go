package broker_test

import (
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// Finding F14: http://localhost:99999/ passed as redirect_uri (A1).
func TestA1_RedirectURI(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{RedirectAllow: []string{"https://app.example.com"}})
	open := h.Provider(t, "test")
	listed := must(h.Service.CreateProvider(ctx, h.Admin.Caller, models.ProviderInput{Name: "Listed", Type: "test",
		ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret,
		RedirectURIs: []string{"https://listed.example.com/cb", "http://127.0.0.1/cb"}}))(t)
	for _, c := range []struct {
		p   models.Provider
		uri string
		ok  bool
	}{
		{open, "", true},
		{open, "https://app.example.com/any/path?x=1", true},
		{open, "http://localhost:5173/oauth/callback", true},
		{open, "http://[::1]:9/cb", true},
		{open, h.URL + "/cb", true},
		{open, "https://evil.example.com/cb", false},
		{open, "https://app.example.com.evil.example/cb", false},
		{open, "http://app.example.com/cb", false},
		{open, "https://user:pw@app.example.com/cb", false},
		{open, "https://app.example.com/cb#fragment", false},
		{open, "https://app.example.com/a/../b", false},
		{open, "https://app.example.com/a\\b", false},
		{open, "/relative", false},
		{open, "http://localhost:99999/", false},
		{open, "http://localhost:65536/cb", false},
		{open, "http://localhost:0/cb", false},
		{open, "http://localhost:/cb", false},
		{open, "https://app.example.com:99999/any", false},
		{open, "http://localhost:65535/cb", true},
		{open, "javascript:alert(1)", false},
		{listed, "https://listed.example.com/cb", true},
		{listed, "https://listed.example.com/cb/", false},
		{listed, "https://app.example.com/cb", false},
		{listed, "http://127.0.0.1:4711/cb", true},
		{listed, "http://127.0.0.1:4711/other", false},
		{listed, "http://127.0.0.1:4711/cb?x=1", false},
		{listed, "http://127.0.0.1:4711/%63b", false},
		{listed, "http://localhost:4711/cb", false},
	} {
		_, err := h.Service.Authorize(ctx, h.User.Caller, broker.AuthorizeRequest{ProviderID: c.p.ID, RedirectURI: c.uri})
		if c.ok && err != nil || !c.ok && models.CodeOf(err) != models.CodeInvalid {
			t.Errorf("%s at %q: %v", c.uri, c.p.Name, err)
		}
	}
}

// A2: a flow is found by its owner alone, and a foreign try consumes nothing.
func TestA2_StatesBelongToTheirOwner(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		answer := h.Authorize(t, h.User, p)
		back := h.Approve(t, answer, "ada")
		back.ProviderID = p.ID
		for _, foreign := range []brokertest.Person{h.Colleague, h.Admin} {
			_, err := h.Service.Complete(ctx, foreign.Caller, back)
			wantCode(t, err, models.CodeBadRequest)
		}
		_, err := h.Service.Complete(ctx, h.Other.Caller, back)
		wantCode(t, err, models.CodeNotFound)
		if _, err := h.Service.Complete(ctx, h.User.Caller, back); err != nil {
			t.Errorf("after foreign tries its owner got %v", err)
		}
		_, err = h.Service.Complete(ctx, h.User.Caller, back)
		wantCode(t, err, models.CodeBadRequest)
		if n := h.IdP.Stats().Calls[testidp.Exchange]; n != 1 {
			t.Errorf("the code was sent %d times, want once", n)
		}
	})
}

// A2: the same open state again gives the same answer; with another redirect_uri,
// or once used, it is refused.
func TestA2_TheSameStateAgain(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		r := broker.AuthorizeRequest{ProviderID: p.ID, State: "a-state-of-mine", RedirectURI: brokertest.Callback}
		first := must(h.Service.Authorize(ctx, h.User.Caller, r))(t)
		if again := must(h.Service.Authorize(ctx, h.User.Caller, r))(t); again != first || first.State != r.State {
			t.Errorf("the answers differ: %+v and %+v", first, again)
		}
		if _, err := h.Service.Authorize(ctx, h.Colleague.Caller, r); err != nil {
			t.Errorf("another user may not use the same state: %v", err)
		}
		r.RedirectURI = "http://localhost:1/other"
		_, err := h.Service.Authorize(ctx, h.User.Caller, r)
		wantCode(t, err, models.CodeInvalid)
	})
}

// A4: a provider that tokens were minted for stays the client it is; an unused one
// moves only together with a new secret.
func TestA4_AProviderCannotBeMoved(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := must(h.Service.CreateProvider(ctx, h.Admin.Caller, models.ProviderInput{Name: "GHES", Type: "github",
			ClientID: "c", ClientSecret: "s", Metadata: models.ProviderMetadataInput{Host: "github.example.com"}}))(t)
		host, secret := "other.example.com", models.Secret("new")
		_, err := h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{Metadata: &models.ProviderMetadataInput{Host: host}})
		wantCode(t, err, models.CodeInvalid)
		moved := must(h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{Metadata: &models.ProviderMetadataInput{Host: host}, ClientSecret: &secret}))(t)
		if moved.Metadata.Host != host {
			t.Errorf("the host is %q", moved.Metadata.Host)
		}
		h.Authorize(t, h.User, moved)
		back := "github.example.com"
		_, err = h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{Metadata: &models.ProviderMetadataInput{Host: back}, ClientSecret: &secret})
		wantCode(t, err, models.CodeConflict)
	})
}

// A5: names of organisations and users.
func TestA5_Names(t *testing.T) {
	h := brokertest.New(t, nil)
	for name, ok := range map[string]bool{"a": true, "A.b_c@d+e-f": true, "": false, "a:b": false, "a b": false, "ä": false, "a/b": false} {
		_, _, err := h.Service.CreateAPIToken(ctx, broker.NewAPIToken{OrgID: "acme", UserID: name, Role: models.RoleUser})
		if ok != (err == nil) {
			t.Errorf("user %q: %v", name, err)
		}
	}
}

// H1: a revoked API token ends at once where it was revoked.
func TestH1_ARevokedTokenEndsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		who := h.Person(t, "acme", "eve", models.RoleUser)
		must(h.Service.Authenticate(ctx, who.Token))(t)
		if _, err := h.Service.RevokeAPIToken(ctx, who.Caller.TokenID, false); err != nil {
			t.Fatal(err)
		}
		_, err := h.Service.Authenticate(ctx, who.Token)
		wantCode(t, err, models.CodeUnauthenticated)
		for _, bad := range []models.Secret{"", "grd_", "grd_x_y", who.Token + "x", "Bearer"} {
			_, err := h.Service.Authenticate(ctx, bad)
			wantCode(t, err, models.CodeUnauthenticated)
		}
	})
}

// H2: fetches are counted in memory and written in batches.
func TestH2_FetchesAreCounted(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		for range 7 {
			must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
		}
		if err := h.Service.FlushFetches(ctx); err != nil {
			t.Fatal(err)
		}
		row := brokertest.SQL(t, h.DatabaseURL).QueryRow("SELECT SUM(fetches), MIN(org_id), MIN(user_id), MIN(token_id) FROM token_fetches WHERE authorization_id = $1", a.ID)
		var n int
		var who models.Caller
		if err := row.Scan(&n, &who.OrgID, &who.UserID, &who.TokenID); err != nil {
			t.Fatal(err)
		}
		if n != 7 || who.OrgID != "acme" || who.UserID != "ada" || who.TokenID != h.User.Caller.TokenID {
			t.Errorf("%d fetches are counted for %+v, want 7 for who fetched", n, who)
		}
	})
}
