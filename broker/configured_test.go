package broker_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/testidp"
)

// oauth2Provider is the authorization server as one of which only config knows where
// it is.
func oauth2Provider(t *testing.T, h *brokertest.Instance, changes map[string]any) models.Provider {
	t.Helper()
	return must(h.Service.CreateProvider(ctx, h.Admin.Caller, models.ProviderInput{Name: "Configured", Type: "oauth2",
		ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret, Config: oauth2Config(h.IdPURL, changes)}))(t)
}

func oauth2Config(base string, changes map[string]any) map[string]any {
	config := map[string]any{"authStyle": "basic", "authorizeUrl": base + "/authorize", "tokenUrl": base + "/token",
		"revokeUrl": base + "/revoke", "userInfoUrl": base + "/userinfo", "issuer": base}
	maps.Copy(config, changes)
	return config
}

// A4: while tokens depend on them, no endpoint of a provider moves, not even on the
// same host; nor does the field that names an account.
func TestA4_AConfiguredEndpointCannotBeMoved(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := oauth2Provider(t, h, nil)
		to := func(name string, v any) models.ProviderPatch {
			config := oauth2Config(h.IdPURL, map[string]any{name: v})
			return models.ProviderPatch{Config: &config}
		}
		_, err := h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, to("tokenUrl", h.IdPURL+"/other"))
		wantCode(t, err, models.CodeInvalid) // without the secret again
		secret := models.Secret(brokertest.ClientSecret)
		for _, place := range []string{"/other", "/token"} {
			change := to("tokenUrl", h.IdPURL+place)
			change.ClientSecret = &secret
			must(h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, change))(t)
		}
		a := h.Consent(t, h.User, p, "ada")
		for _, name := range []string{"authorizeUrl", "tokenUrl", "revokeUrl", "userInfoUrl", "introspectUrl", "deviceUrl", "issuer"} {
			change := to(name, h.IdPURL+"/other")
			change.ClientSecret = &secret
			_, err := h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, change)
			wantCode(t, err, models.CodeConflict)
		}
		change := to("claims", map[string]any{"sub": "email"})
		change.ClientSecret = &secret
		_, err = h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, change)
		wantCode(t, err, models.CodeConflict)
		for name, v := range map[string]any{"settingsUrl": "https://idp.example/apps", "revokesSingly": true, "pkce": false} {
			must(h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, to(name, v)))(t)
		}
		must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
	})
}

// A4: what tokens were minted under is stored, so how it is made may not change for
// the types whose rows there are.
func TestA4_FingerprintsStayWhatTheyWere(t *testing.T) {
	h := brokertest.New(t, nil)
	for _, tc := range []struct {
		n     models.ProviderInput
		parts []string
	}{
		{models.ProviderInput{Type: "github", ClientID: "c", Config: map[string]any{"pkce": false}}, []string{"github", "c", "https://api.github.com", "https://github.com"}},
		{models.ProviderInput{Type: "github", ClientID: "c", Metadata: models.ProviderMetadataInput{Host: "git.example.com"}}, []string{"github", "c", "https://git.example.com"}},
		{models.ProviderInput{Type: "oidc", ClientID: "c", Config: map[string]any{"issuer": "https://idp.example/a"}}, []string{"oidc", "c", "https://idp.example/a"}},
		{models.ProviderInput{Type: "test", ClientID: "c"}, []string{"test", "c", h.IdPURL}},
	} {
		tc.n.Name, tc.n.ClientSecret = "P", "s"
		p := must(h.Service.CreateProvider(ctx, h.Admin.Caller, tc.n))(t)
		sum := sha256.Sum256([]byte(strings.Join(tc.parts, "\x00")))
		if want := hex.EncodeToString(sum[:]); p.Fingerprint != want {
			t.Errorf("%v: the fingerprint of the first version is %s, was %s", tc.parts, p.Fingerprint, want)
		}
		c := providers.Client{Type: p.Type, ID: p.ClientID, Host: p.Metadata.Host, Config: p.Config}
		v2 := "fingerprint v2"
		for _, part := range append([]string{c.Type, c.ID}, h.Upstream.At(c).Bound()...) { // see providers: TestA4_WhatIsBoundStaysWhatItWas
			v2 += fmt.Sprintf("\n%d:%s", len(part), part)
		}
		sum = sha256.Sum256([]byte(v2))
		if want := hex.EncodeToString(sum[:]); p.FingerprintV2 != want {
			t.Errorf("%v: the fingerprint is %s, was %s", tc.parts, p.FingerprintV2, want)
		}
	}
}

// R7: where config says that a refresh leaves the old access token valid, nobody waits
// for one; where it does not, who asks gets what the refresh brought.
func TestR7_ConfigDecidesWhoWaitsForARefresh(t *testing.T) {
	for said, waits := range map[string]bool{"": true, "true": true, "false": false} {
		t.Run("refreshKillsAccess "+said, func(t *testing.T) {
			gate := newGate(t)
			o := brokertest.Options{Allow: []string{gate.host()}, WithoutWorker: true}
			h := brokertest.New(t, &o)
			gate.to(t, h.IdPURL)
			changes := map[string]any{"tokenUrl": gate.URL + "/token"}
			if said != "" {
				changes["refreshKillsAccess"] = said == "true"
			}
			a := h.Consent(t, h.User, oauth2Provider(t, h, changes), "ada")
			first := must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
			due(t, h, a)
			if !waits { // the caller leaves as soon as there is something to wait for
				impatient, leave := context.WithCancel(ctx)
				go func() { <-gate.reached; leave() }()
				got := must(h.Service.Token(impatient, h.User.Caller, a.ID, 0))(t)
				if got.Access.Reveal() != first.Access.Reveal() {
					t.Error("another token than the one that stays valid")
				}
				gate.open()
			} else {
				go func() { <-gate.reached; gate.open() }()
			}
			brokertest.Eventually(t, "the refreshed token is served", func() bool {
				got := must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
				fresh := got.Access.Reveal() != first.Access.Reveal()
				if waits && !fresh {
					t.Fatal("a token was served that the refresh may have killed")
				}
				return fresh
			})
		})
	}
}

// gate stands before the token endpoint and holds refreshes until it is opened.
type gate struct {
	*httptest.Server
	target  *httputil.ReverseProxy
	reached chan struct{} // holds one for a refresh that has come
	opened  chan struct{}
}

func newGate(t *testing.T) *gate {
	g := &gate{reached: make(chan struct{}, 16), opened: make(chan struct{})}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		if r.PostForm.Get("grant_type") == "refresh_token" {
			g.reached <- struct{}{}
			select {
			case <-g.opened:
			case <-r.Context().Done():
				return
			}
		}
		body := r.PostForm.Encode()
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		g.target.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *gate) host() string { return strings.TrimPrefix(g.URL, "http://") }
func (g *gate) open()        { close(g.opened) }

func (g *gate) to(t *testing.T, base string) {
	g.target = httputil.NewSingleHostReverseProxy(must(url.Parse(base))(t))
}

// D1, R9: what a revocation also ends is unknown of an unknown server, so none is
// sent while a sibling's consent lives; unless config says that it takes nothing.
func TestD1_ConfigDecidesWhetherOnePairMayBeRevoked(t *testing.T) {
	for _, singly := range []bool{false, true} {
		each(t, func(t *testing.T, h *brokertest.Instance) {
			p := oauth2Provider(t, h, map[string]any{"revokesSingly": singly})
			mine, theirs := h.Consent(t, h.User, p, "ada"), h.Consent(t, h.Colleague, p, "ada")
			if err := h.Service.Disconnect(ctx, h.User.Caller, mine.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Service.UserInfo(ctx, h.Colleague.Caller, theirs.ID); err != nil {
				t.Errorf("singly %v: the sibling's token died: %v", singly, err)
			}
			revoked, alive := 0, int64(2)
			if singly {
				revoked, alive = 2, 1
			}
			if s := h.IdP.Stats(); int(s.Calls[testidp.Revoke]) != revoked || s.LiveAccessTokens != alive {
				t.Errorf("singly %v: %d revocations, and %d tokens live", singly, s.Calls[testidp.Revoke], s.LiveAccessTokens)
			}
		})
	}
}

// R9: what a reset says of the old token was found out; what config says of it counts
// for nothing.
func TestR9_AResetSaysWhatWasFoundOut(t *testing.T) {
	for _, kills := range []bool{false, true} {
		each(t, func(t *testing.T, h *brokertest.Instance) {
			p := oauth2Provider(t, h, map[string]any{"refreshKillsAccess": kills})
			got := must(h.Service.Reset(ctx, h.User.Caller, h.Consent(t, h.User, p, "ada").ID))(t)
			if !got.OldRevoked { // this server ends it
				t.Errorf("refreshKillsAccess %v: the old token is revoked: %v", kills, got.OldRevoked)
			}
		})
	}
}

// D1: one access token of a grant that two live on is revoked only where config says
// that its revocation takes nothing else.
func TestD1_ConfigDecidesWhetherOneTokenMayBeRevoked(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		whole := oauth2Provider(t, h, nil)
		mine := h.Consent(t, h.User, whole, "ada")
		h.Consent(t, h.Colleague, whole, "ada")
		_, err := h.Service.RevokeToken(ctx, h.User.Caller, mine.ID)
		wantCode(t, err, models.CodeConflict)
	})
	each(t, func(t *testing.T, h *brokertest.Instance) {
		singly := oauth2Provider(t, h, map[string]any{"revokesSingly": true})
		mine, theirs := h.Consent(t, h.User, singly, "ada"), h.Consent(t, h.Colleague, singly, "ada")
		if got := must(h.Service.RevokeToken(ctx, h.User.Caller, mine.ID))(t); got.Outcome != models.OutcomeRevoked {
			t.Errorf("the outcome is %s", got.Outcome)
		}
		must(h.Service.UserInfo(ctx, h.Colleague.Caller, theirs.ID))(t)
	})
}
