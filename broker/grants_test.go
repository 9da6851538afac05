package broker_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// realms serves the authorization server below /realms/A and /realms/B as well, as a
// server does that has several realms on one origin.
func realms(t *testing.T, base string) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(must(url.Parse(base))(t))
	mux := http.NewServeMux()
	for _, realm := range []string{"/realms/A", "/realms/B"} {
		mux.Handle(realm+"/", http.StripPrefix(realm, proxy))
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// Finding F2: an authorization of another realm, of another organisation or of another
// field that is read as sub kept a deletion from revoking anything: it ended COMPLETED
// with superseded: 1, and the tokens lived on.
func TestD1_AnotherPlaceShieldsNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		theirs        map[string]any // what differs in the config of the provider that stays
		otherOrg      bool
		revoked, kept string
	}{
		"the same place":                   {map[string]any{}, false, "0", "1"},
		"another revocation endpoint":      {map[string]any{"revokeUrl": "/realms/B/revoke"}, false, "0", "1"},
		"another device endpoint":          {map[string]any{"deviceUrl": "/realms/B/device"}, false, "0", "1"},
		"another realm":                    {map[string]any{"authorizeUrl": "/realms/B/authorize", "tokenUrl": "/realms/B/token", "userInfoUrl": "/realms/B/userinfo"}, false, "1", ""},
		"another user info":                {map[string]any{"userInfoUrl": "/realms/B/userinfo"}, false, "1", ""},
		"another field":                    {map[string]any{"claims": map[string]any{"sub": "preferred_username"}}, false, "1", ""},
		"another organisation's authority": {map[string]any{}, true, "1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := brokertest.New(t, nil)
			base := realms(t, h.IdPURL)
			o := brokertest.Options{DatabaseURL: h.DatabaseURL, RedisURL: h.RedisURL, Clock: h.Clock, Keys: h.Keys, IdP: h.IdP, IdPURL: h.IdPURL,
				Allow: []string{strings.TrimPrefix(base, "http://")}}
			h = brokertest.New(t, &o)
			register := func(who brokertest.Person, changes map[string]any) models.Provider {
				config := oauth2Config(base+"/realms/A", nil)
				config["issuer"] = base // as it says whichever the realm
				for name, v := range changes {
					if path, ok := v.(string); ok {
						v = base + path
					}
					config[name] = v
				}
				return must(h.Service.CreateProvider(ctx, who.Caller, models.ProviderInput{Name: "Realm", Type: "oauth2",
					ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret, Config: config}))(t)
			}
			admin, colleague := h.Admin, h.Colleague
			if tc.otherOrg {
				admin, colleague = h.Other, h.Other
			}
			mine, theirs := register(h.Admin, nil), register(admin, tc.theirs)
			h.Consent(t, h.User, mine, "ada")
			h.Consent(t, colleague, theirs, "ada")
			j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, mine.ID, false))(t).ID)
			kept, _ := detail(j, "kept").(string)
			if j.Status != models.JobCompleted || detail(j, "revoked") != tc.revoked || kept != tc.kept {
				t.Errorf("the job ended %s with %v", j.Status, j.Details)
			}
		})
	}
}

// D1: where the endpoints are the type's own, another organisation's authorization of
// the same client and account is spared, and the job tells so.
func TestD1_WhatAnotherOrganisationSparesIsTold(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		mine := h.Provider(t, "github")
		theirs := must(h.Service.CreateProvider(ctx, h.Other.Caller, models.ProviderInput{Name: "Theirs", Type: "github", Metadata: models.ProviderMetadataInput{Host: h.IdPURL},
			ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret}))(t)
		h.Consent(t, h.User, mine, "ada")
		other := h.Consent(t, h.Other, theirs, "ada")
		j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, mine.ID, false))(t).ID)
		if detail(j, "revoked") != "1" || detail(j, "spared_for_other_organisations") != "1" {
			t.Errorf("the job ended %s with %v", j.Status, j.Details)
		}
		must(h.Service.UserInfo(ctx, h.Other.Caller, other.ID))(t)
		last := must(h.Service.DeleteProvider(ctx, h.Other.Caller, theirs.ID, false))(t)
		brokertest.Eventually(t, "their job ends", func() bool {
			j = must(h.Service.Job(ctx, h.Other.Caller, last.ID))(t)
			return j.Status.Final()
		})
		if detail(j, "revoked") != "1" || detail(j, "spared_for_other_organisations") != nil {
			t.Errorf("the last one's job ended %s with %v", j.Status, j.Details)
		}
	})
}

// twice is one client that is registered as two providers, with ada's consent to both.
func twice(t *testing.T, h *brokertest.Instance) (first, second models.Provider, of, with models.Authorization) {
	t.Helper()
	first, second = oauth2Provider(t, h, nil), oauth2Provider(t, h, nil)
	return first, second, h.Consent(t, h.User, first, "ada"), h.Consent(t, h.User, second, "ada")
}

func deletes(t *testing.T, h *brokertest.Instance, p models.Provider, force bool) models.Job {
	t.Helper()
	return ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, force))(t).ID)
}

func rows(t *testing.T, h *brokertest.Instance, query string) int {
	t.Helper()
	var n int
	if err := brokertest.SQL(t, h.DatabaseURL).QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Finding G2: the same client registered twice, one person's consent to both: with
// both providers deleted one refresh token lived on upstream, and nothing knew of it.
func TestD7_ASupersededPairIsRevokedWithTheLastOfItsGrant(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		first, second, _, last := twice(t, h)
		j := deletes(t, h, first, false)
		if j.Status != models.JobCompleted || detail(j, "superseded") != "1" || detail(j, "kept") != "1" {
			t.Fatalf("the first job ended %s with %v", j.Status, j.Details)
		}
		if h.IdP.Stats().Calls[testidp.Revoke] != 0 {
			t.Error("something was revoked while a newer consent lived")
		}
		must(h.Service.UserInfo(ctx, h.User.Caller, last.ID))(t)
		j = deletes(t, h, second, false)
		if j.Status != models.JobCompleted || detail(j, "revoked") != "2" || detail(j, "total") != "2" {
			t.Errorf("the second job ended %s with %v", j.Status, j.Details)
		}
		if s := h.IdP.Stats(); s.LiveGrants != 0 || s.LiveRefreshTokens != 0 {
			t.Errorf("%d grants and %d refresh tokens live on", s.LiveGrants, s.LiveRefreshTokens)
		}
		if n := rows(t, h, "SELECT count(*) FROM superseded_pairs"); n != 0 {
			t.Errorf("%d pairs are kept", n)
		}
	})
}

// D7: what single disconnects supersede is kept just so, and goes with the grant's
// last authorization, whichever way that one ends.
func TestD7_DisconnectsKeepAndTakeUpPairs(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *brokertest.Instance, models.Provider, models.Authorization){
		"disconnect": func(t *testing.T, h *brokertest.Instance, _ models.Provider, a models.Authorization) {
			if err := h.Service.Disconnect(ctx, h.User.Caller, a.ID); err != nil {
				t.Fatal(err)
			}
		},
		"provider": func(t *testing.T, h *brokertest.Instance, p models.Provider, _ models.Authorization) {
			if j := deletes(t, h, p, false); detail(j, "revoked") != "2" {
				t.Errorf("the job ended %s with %v", j.Status, j.Details)
			}
		},
		"user": func(t *testing.T, h *brokertest.Instance, _ models.Provider, _ models.Authorization) {
			j := ended(t, h, must(h.Service.RevokeUser(ctx, h.Admin.Caller, h.User.Caller.UserID))(t).ID)
			if j.Status != models.JobCompleted || detail(j, "revoked") != "2" {
				t.Errorf("the job ended %s with %v", j.Status, j.Details)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *brokertest.Instance) {
				_, second, mine, last := twice(t, h)
				if err := h.Service.Disconnect(ctx, h.User.Caller, mine.ID); err != nil {
					t.Fatal(err)
				}
				brokertest.Eventually(t, "the pair is kept", func() bool { return rows(t, h, "SELECT count(*) FROM superseded_pairs") == 1 })
				must(h.Service.UserInfo(ctx, h.User.Caller, last.ID))(t)
				end(t, h, second, last)
				brokertest.Eventually(t, "nothing remains valid upstream", func() bool { return h.IdP.Stats().LiveGrants == 0 })
				if n := rows(t, h, "SELECT count(*) FROM superseded_pairs"); n != 0 {
					t.Errorf("%d pairs are kept", n)
				}
			})
		})
	}
}

// D7: a renewed consent's old pair is kept too, and goes with the authorization.
func TestD7_ARenewedConsentKeepsTheOldPair(t *testing.T) {
	h := brokertest.New(t, nil)
	p := oauth2Provider(t, h, nil)
	h.Consent(t, h.User, p, "ada")
	h.Consent(t, h.User, p, "ada")
	brokertest.Eventually(t, "the old pair is kept", func() bool { return rows(t, h, "SELECT count(*) FROM superseded_pairs") == 1 })
	if j := deletes(t, h, p, false); detail(j, "revoked") != "2" {
		t.Errorf("the job ended %s with %v", j.Status, j.Details)
	}
	if s := h.IdP.Stats(); s.LiveGrants != 0 {
		t.Errorf("%d grants live on", s.LiveGrants)
	}
}

// D7: a kept pair is deleted by force, with its user, and after the retention; and
// where a revocation takes all of a grant, or another organisation shields it, none
// is kept.
func TestD7_WhatEndsAKeptPair(t *testing.T) {
	kept := func(t *testing.T, h *brokertest.Instance) int {
		return rows(t, h, "SELECT count(*) FROM superseded_pairs")
	}
	t.Run("force of the provider that kept it", func(t *testing.T) {
		each(t, func(t *testing.T, h *brokertest.Instance) {
			first, _, _, last := twice(t, h)
			j := deletes(t, h, first, true)
			if detail(j, "abandoned") != "1" || kept(t, h) != 0 {
				t.Errorf("the job ended %s with %v, and %d pairs are kept", j.Status, j.Details, kept(t, h))
			}
			must(h.Service.UserInfo(ctx, h.User.Caller, last.ID))(t)
		})
	})
	t.Run("force of the last of its grant", func(t *testing.T) {
		each(t, func(t *testing.T, h *brokertest.Instance) {
			first, second, _, _ := twice(t, h)
			deletes(t, h, first, false)
			if n := kept(t, h); n != 1 {
				t.Fatalf("%d pairs are kept", n)
			}
			deletes(t, h, second, true)
			if n := kept(t, h); n != 0 {
				t.Errorf("%d pairs are kept", n)
			}
		})
	})
	t.Run("its user", func(t *testing.T) {
		each(t, func(t *testing.T, h *brokertest.Instance) {
			first, second := oauth2Provider(t, h, nil), oauth2Provider(t, h, nil)
			h.Consent(t, h.User, first, "ada")
			h.Consent(t, h.Colleague, second, "ada")
			deletes(t, h, first, false)
			if n := kept(t, h); n != 1 {
				t.Fatalf("%d pairs are kept", n)
			}
			ended(t, h, must(h.Service.RevokeUser(ctx, h.Admin.Caller, h.User.Caller.UserID))(t).ID)
			if n := kept(t, h); n != 0 {
				t.Errorf("%d pairs are kept", n)
			}
			if n := rows(t, h, "SELECT count(*) FROM audit_events WHERE action = 'authorization.revoked' AND code = 'abandoned'"); n != 1 {
				t.Errorf("%d audit events tell of it", n)
			}
		})
	})
	t.Run("its time", func(t *testing.T) {
		h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
		_, _, mine, _ := twice(t, h)
		if err := h.Service.Disconnect(ctx, h.User.Caller, mine.ID); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			after time.Duration
			left  int
		}{{89 * 24 * time.Hour, 1}, {2 * 24 * time.Hour, 0}} {
			h.Clock.Advance(step.after)
			if err := h.Service.Sweep(ctx); err != nil {
				t.Fatal(err)
			}
			if n := kept(t, h); n != step.left {
				t.Errorf("%d pairs are kept, want %d", n, step.left)
			}
		}
	})
}

// Finding F11: a path that was edited in SQL on the same origin received tokens and
// the client secret. Nothing is sent with a row that names other endpoints than those
// the secret was given for.
func TestK1_AnEditedPathReceivesNothing(t *testing.T) {
	for _, name := range []string{"tokenUrl", "userInfoUrl", "revokeUrl", "introspectUrl"} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *brokertest.Instance) {
				p := oauth2Provider(t, h, nil)
				a := h.Consent(t, h.User, p, "ada")
				row := must(h.Store.Provider(ctx, p.ID))(t)
				row.Config[name] = h.IdPURL + "/token?to=me"
				if err := h.Store.SaveProvider(ctx, &row); err != nil {
					t.Fatal(err)
				}
				before := h.IdP.Stats().Calls
				_, err := h.Service.UserInfo(ctx, h.User.Caller, a.ID)
				wantCode(t, err, models.CodeUnavailable)
				_, err = h.Service.Reset(ctx, h.User.Caller, a.ID)
				wantCode(t, err, models.CodeUnavailable)
				_, err = h.Service.RevokeToken(ctx, h.User.Caller, a.ID)
				wantCode(t, err, models.CodeUnavailable)
				for endpoint, n := range h.IdP.Stats().Calls {
					if n != before[endpoint] {
						t.Errorf("%s was called", endpoint)
					}
				}
			})
		})
	}
}

// Finding F13: `https://IDP.example:443` and `https://idp.example` were two places.
// Another spelling of the same endpoint moves nothing: tokens are served on, with the
// secret that is there.
func TestA4_AnotherSpellingIsTheSamePlace(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := oauth2Provider(t, h, map[string]any{"introspectUrl": "https://idp.example/introspect"})
		a := h.Consent(t, h.User, p, "ada")
		for _, spelt := range []string{"https://idp.example:443/introspect", "https://IDP.example/introspect"} {
			config := oauth2Config(h.IdPURL, map[string]any{"introspectUrl": spelt})
			_, err := h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{Config: &config})
			if err != nil {
				t.Fatalf("%s: %v", spelt, err)
			}
			must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
			must(h.Service.UserInfo(ctx, h.User.Caller, a.ID))(t)
		}
		config := oauth2Config(h.IdPURL, map[string]any{"introspectUrl": "https://idp.example:8443/introspect"})
		_, err := h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{Config: &config})
		wantCode(t, err, models.CodeConflict)
	})
}

// D1: while processes of the release before may run, a grant is leased under the key
// that they know too, and a grant that they revoked whole is asked about.
func TestD1_AProcessOfTheReleaseBeforeIsRespected(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		if err := h.Store.BeginUpgrade(ctx); err != nil {
			t.Fatal(err)
		}
		o := brokertest.Options{DatabaseURL: h.DatabaseURL, RedisURL: h.RedisURL, Clock: h.Clock, Keys: h.Keys, IdP: h.IdP, IdPURL: h.IdPURL, WithoutWorker: true}
		h = brokertest.New(t, &o)
		a := h.Consent(t, h.User, h.Provider(t, "github"), "ada")
		key := must(h.Store.Linked(ctx, a.ID))(t).Authorization.GrantKeyV1
		if key == "" {
			t.Fatal("the key of the first version is not written")
		}
		if ok := must(h.Store.LeaseGrant(ctx, key, "the release before", time.Minute))(t); !ok {
			t.Fatal("the grant is leased")
		}
		if err := h.Service.Disconnect(ctx, h.User.Caller, a.ID); err != nil {
			t.Fatal(err)
		}
		if n := rows(t, h, "SELECT count(*) FROM authorizations WHERE outcome IS NULL AND outcome_reason = 'grant_busy'"); n != 1 {
			t.Error("a grant was revoked that the release before had leased")
		}
		if err := h.Store.ReleaseGrants(ctx, "the release before", nil); err != nil {
			t.Fatal(err)
		}
		if err := h.Service.RevokeOne(ctx, a.ID); err != nil {
			t.Fatal(err)
		}
		if h.IdP.Stats().LiveGrants != 0 {
			t.Error("the grant is still valid")
		}
		for _, k := range []string{key, a.GrantKey} {
			if k != "" && !must(h.Store.GrantRevokedSince(ctx, []string{k}, time.Now().Add(-time.Hour)))(t) {
				t.Error("the revocation of the grant is not remembered under each key")
			}
		}
	})
}
