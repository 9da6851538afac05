package contract_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

func TestAuthorizeEchoesTheState(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		for _, state := range []string{"12345678", strings.Repeat("s", 512), "with spaces & = ? # %41 + / \\", `{"json":"of a web app"}`, "Grüße 日本"} {
			got := begin(t, h, h.User, p, url.Values{"state": {state}})
			if got.State != state || inside(t, got.RedirectURL, "state") != state {
				t.Errorf("%q became %q, and %q in the address", state, got.State, inside(t, got.RedirectURL, "state"))
			}
		}
		for _, state := range []string{"1234567", strings.Repeat("s", 513), "with\nline break", "with\x00NUL"} {
			wantFields(t, h.Do(t, h.User, "POST", authorizeAt(p)+"?"+url.Values{"state": {state}}.Encode(), nil), "state")
		}
		wantFields(t, h.Do(t, h.User, "POST", authorizeAt(p)+"?state=%ff%ff%ff%ff%ff%ff%ff%ff", nil), "state")
	})
}

func TestAuthorizeMakesAStateOfItsOwn(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		seen := map[string]bool{}
		for _, q := range []string{"", "?state=", "?state=&redirect_uri=" + url.QueryEscape(brokertest.Callback)} {
			a := h.Do(t, h.User, "POST", authorizeAt(p)+q, nil)
			body := want(t, 200, a)
			state := text(t, body, "state")
			if len(state) < 32 || len(state) > 64 || seen[state] || state != inside(t, text(t, body, "redirectUrl"), "state") {
				t.Errorf("%q: the state is %q", q, state)
			}
			seen[state] = true
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control is %q", a.Header.Get("Cache-Control"))
			}
		}
	})
}

// state and redirectUrl both end up in 4 kB cookies.
func TestTheAddressStaysBelow1500Characters(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	longest := url.Values{"state": {strings.Repeat("s", 512)}, "redirect_uri": {"http://localhost/" + strings.Repeat("x", 400)}}
	if got := begin(t, h, h.User, p, longest); len(got.RedirectURL) >= 1500 {
		t.Errorf("it has %d", len(got.RedirectURL))
	}
	longest.Set("redirect_uri", "http://localhost/"+strings.Repeat("x", 900))
	want(t, 422, h.Do(t, h.User, "POST", authorizeAt(p)+"?"+longest.Encode(), nil))
	tooWide := url.Values{"state": {strings.Repeat("ü", 250)}} // each is six characters there
	want(t, 422, h.Do(t, h.User, "POST", authorizeAt(p)+"?"+tooWide.Encode(), nil))
}

// A2: a client that asks twice, because its first try timed out, gets the same.
func TestA2_TheSameOpenStateGivesTheSameAnswer(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p, other := createID(t, h, nil), createID(t, h, nil)
		q := url.Values{"state": {"the-very-same"}, "redirect_uri": {brokertest.Callback}}
		first := begin(t, h, h.User, p, q)
		if again := begin(t, h, h.User, p, q); again != first {
			t.Errorf("first %v, then %v", first, again)
		}
		q.Set("redirect_uri", brokertest.Callback+"/elsewhere")
		wantFields(t, h.Do(t, h.User, "POST", authorizeAt(p)+"?"+q.Encode(), nil), "state")

		// It is unique only within the user and provider.
		q.Set("redirect_uri", brokertest.Callback)
		begin(t, h, h.Colleague, p, q)
		begin(t, h, h.User, other, q)

		back := h.Approve(t, first, "ada")
		want(t, 200, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": back.State.Reveal(), "code": secret(back.Code)}))
		wantFields(t, h.Do(t, h.User, "POST", authorizeAt(p)+"?"+q.Encode(), nil), "state")
	})
}

func TestASecondFlowLeavesTheFirstAlone(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		first, second := approved(t, h, h.User, p, "ada"), approved(t, h, h.User, p, "grace")
		want(t, 200, h.Do(t, h.User, "POST", callback, second))
		want(t, 200, h.Do(t, h.User, "POST", callback, first))
	})
}

func TestConsentNeedsAnActiveProvider(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for _, status := range []string{"inactive", "disabled"} {
			p := createID(t, h, nil)
			back := approved(t, h, h.User, p, "ada")
			want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"status": status}))
			want(t, 409, h.Do(t, h.User, "POST", authorizeAt(p), nil))
			want(t, 404, h.Do(t, h.User, "POST", callback, back))
			want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"status": "active"}))
			want(t, 400, h.Do(t, h.User, "POST", callback, back)) // the state is spent
			consent(t, h, h.User, p, "ada")
		}
		if calls := h.IdP.Stats().Calls[testidp.Exchange]; calls != 2 {
			t.Errorf("%d codes were spent, want 2: those of providers that are off are not", calls)
		}
	})
}

func TestSkipConsentIsAboutThePrompt(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	for _, value := range []string{"true", "false", ""} {
		begin(t, h, h.User, p, url.Values{"skip_consent": {value}})
	}
	wantFields(t, h.Do(t, h.User, "POST", authorizeAt(p)+"?skip_consent=perhaps", nil), "skip_consent")
}

func TestACompletedConsentIsAnsweredWhole(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for typ, sub := range map[string]string{"test": "grace", "github": "2"} {
			made := create(t, h, object{"type": typ, "metadata": object{"host": map[string]string{"test": "", "github": h.IdPURL}[typ]}})
			p := text(t, made, "id")
			a := h.Do(t, h.User, "POST", callback, approved(t, h, h.User, p, "grace"))
			done := want(t, 200, a)
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control is %q", a.Header.Get("Cache-Control"))
			}
			wantAuthorization(t, done["authorizedProvider"].(object), made, "ada")
			wantUser(t, done["userInfo"].(object), sub)
			id := text(t, done["authorizedProvider"].(object), "id")
			wantUser(t, want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil)), sub)
		}
	})
}

func wantAuthorization(t *testing.T, a, provider object, user string) {
	t.Helper()
	for name, value := range map[string]any{"userId": user, "orgId": "acme", "status": "active", "oauthClientId": brokertest.ClientID} {
		if a[name] != value {
			t.Errorf("%s is %v, want %v", name, a[name], value)
		}
	}
	if text(t, a, "id") == "" || text(t, a, "credentialId") == "" {
		t.Errorf("ids are missing: %v", a)
	}
	wantTime(t, "createdAt", a["createdAt"])
	if !same(a["provider"].(object), provider) {
		t.Errorf("its provider is %v, want %v", a["provider"], provider)
	}
}

func wantUser(t *testing.T, u object, sub string) {
	t.Helper()
	for name, value := range map[string]any{"sub": sub, "nickName": "grace", "nickname": "grace", "name": "Grace Hopper", "email": "grace@example.test"} {
		if u[name] != value {
			t.Errorf("%s is %v, want %v", name, u[name], value)
		}
	}
	for _, name := range []string{"givenName", "familyName", "picture", "locale", "description"} {
		text(t, u, name)
	}
	if raw, ok := u["raw"].(object); !ok || len(raw) == 0 {
		t.Errorf("raw is %v, want what the provider said", u["raw"])
	}
}

// What a provider leaves out is empty, never null; a numeric sub is text here.
func TestAUserOfWhomNothingIsKnown(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 200, Body: `{"sub":12345678901234567890,"email":null,"name":7}`, ContentType: "application/json", Times: 1})
		want(t, 502, h.Do(t, h.User, "POST", callback, approved(t, h, h.User, p, "ada"))) // no whole number that is exact
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 200, Body: `{"sub":9007199254740993,"email":null,"name":7}`, ContentType: "application/json"})
		user := want(t, 200, h.Do(t, h.User, "POST", callback, approved(t, h, h.User, p, "ada")))["userInfo"].(object)
		if user["sub"] != "9007199254740993" {
			t.Errorf("sub is %v", user["sub"])
		}
		for _, name := range []string{"email", "name", "givenName", "familyName", "nickName", "nickname", "picture", "locale", "description"} {
			if user[name] != "" {
				t.Errorf("%s is %v, want \"\"", name, user[name])
			}
		}
		if _, ok := user["raw"].(object); !ok {
			t.Errorf("raw is %v", user["raw"])
		}
	})
}

// Web apps run all their users through one API token: accounts are told apart by
// their sub, and the same account keeps its authorization.
func TestOneUserMayLinkSeveralAccounts(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		ada, grace := consent(t, h, h.User, p, "ada"), consent(t, h, h.User, p, "grace")
		before := accessToken(t, h, h.User, ada)
		if again := consent(t, h, h.User, p, "ada"); again != ada || ada == grace {
			t.Errorf("ada %s and %s, grace %s", ada, again, grace)
		}
		if after := accessToken(t, h, h.User, ada); after == before || after == accessToken(t, h, h.User, grace) {
			t.Error("a renewed consent has no tokens of its own")
		}
		if elsewhere := consent(t, h, h.Colleague, p, "ada"); elsewhere == ada {
			t.Error("two users share an authorization")
		}
		if got := ids(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/", nil))); len(got) != 2 {
			t.Errorf("%d authorizations", len(got))
		}
	})
}

func TestADeclinedConsentIsA400(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		for _, c := range []object{
			{"error": "access_denied"},
			{"error": "access_denied", "error_description": "the person said no", "iss": h.IdPURL},
			{"error": "server_error"},
			{"error": "<script>alert(1)</script>"},
		} {
			c["providerId"], c["state"] = p, begin(t, h, h.User, p, nil).State
			body := want(t, 400, h.Do(t, h.User, "POST", callback, c))
			if strings.Contains(text(t, body, "message"), "<") {
				t.Errorf("the message repeats it: %v", body)
			}
			want(t, 400, h.Do(t, h.User, "POST", callback, c)) // the state is spent
		}
		if calls := h.IdP.Stats().Calls[testidp.Exchange]; calls != 0 {
			t.Errorf("%d codes were exchanged", calls)
		}
	})
}

func TestACallbackWithTheWrongFields(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		good := approved(t, h, h.User, p, "ada")
		with := func(changes object) object {
			body := object{}
			for k, v := range good {
				body[k] = v
			}
			for k, v := range changes {
				if body[k] = v; v == "-" {
					delete(body, k)
				}
			}
			return body
		}
		for _, c := range []struct {
			name  string
			body  object
			field string
		}{
			{"both", with(object{"error": "access_denied"}), "code"},
			{"neither", with(object{"code": "-"}), "code"},
			{"both empty", with(object{"code": "", "error": ""}), "code"},
			{"a null code", with(object{"code": nil}), "code"},
			{"a null error", with(object{"error": nil}), "error"},
			{"a null state", with(object{"state": nil}), "state"},
			{"a null provider", with(object{"providerId": nil}), "providerId"},
			{"no state", with(object{"state": "-"}), "state"},
			{"no provider", with(object{"providerId": "-"}), "providerId"},
			{"a code that is a number", with(object{"code": 7}), "code"},
			{"an unknown field", with(object{"redirect_uri": "x"}), "redirect_uri"},
		} {
			t.Run(c.name, func(t *testing.T) { wantFields(t, h.Do(t, h.User, "POST", callback, c.body), c.field) })
		}
		// None of them spent the state.
		want(t, 200, h.Do(t, h.User, "POST", callback, good))
	})
}

// A2: a state that is not found this way is not found, and nothing is spent.
func TestA2_StatesThatCannotBeUsed(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p, other := createID(t, h, nil), createID(t, h, nil)
		good := approved(t, h, h.User, p, "ada")
		with := func(name string, value any) object {
			body := decoded(t, good)
			body[name] = value
			return body
		}
		want(t, 400, h.Do(t, h.Colleague, "POST", callback, good))
		want(t, 400, h.Do(t, h.Admin, "POST", callback, good))
		want(t, 404, h.Do(t, h.Other, "POST", callback, good))
		want(t, 404, h.Do(t, h.User, "POST", callback, with("providerId", unknownID)))
		want(t, 400, h.Do(t, h.User, "POST", callback, with("providerId", other)))
		want(t, 400, h.Do(t, h.User, "POST", callback, with("state", "never issued")))
		want(t, 400, h.Do(t, h.User, "POST", callback, with("state", "")))
		want(t, 400, h.Do(t, h.User, "POST", callback, with("state", good["state"].(string)+"x")))
		if calls := h.IdP.Stats().Calls[testidp.Exchange]; calls != 0 {
			t.Errorf("%d codes were exchanged", calls)
		}
		want(t, 200, h.Do(t, h.User, "POST", callback, good))
		want(t, 400, h.Do(t, h.User, "POST", callback, good)) // delivered once
		want(t, 400, h.Do(t, h.User, "POST", callback, with("code", "another")))
		if stats := h.IdP.Stats(); stats.CodesReused != 0 || stats.Calls[testidp.Exchange] != 1 {
			t.Errorf("codes were sent again: %+v", stats)
		}
	})
}

func TestAStateIsGoneAfterTenMinutes(t *testing.T) {
	t.Run("by the clock", func(t *testing.T) {
		h := embedded(t)
		p := createID(t, h, nil)
		late, inTime := approved(t, h, h.User, p, "ada"), approved(t, h, h.User, p, "grace")
		h.Clock.Advance(9*60*1e9 + 30*1e9)
		want(t, 200, h.Do(t, h.User, "POST", callback, inTime))
		h.Clock.Advance(31 * 1e9)
		want(t, 400, h.Do(t, h.User, "POST", callback, late))
	})
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		late := approved(t, h, h.User, p, "ada")
		change(t, h, statesAreTooOld)
		want(t, 400, h.Do(t, h.User, "POST", callback, late))
		if calls := h.IdP.Stats().Calls[testidp.Exchange]; calls != 0 {
			t.Error("its code was exchanged")
		}
	})
}

func TestABadCodeIsA400(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for _, typ := range []string{"test", "github"} { // GitHub says it with HTTP 200
			p := h.Provider(t, typ).ID
			good := approved(t, h, h.User, p, "ada")
			bad := decoded(t, good)
			bad["code"] = "made-up"
			if body := want(t, 400, h.Do(t, h.User, "POST", callback, bad)); body["detail"] != "invalid_grant" {
				t.Errorf("%s: detail is %v", typ, body["detail"])
			}
			want(t, 400, h.Do(t, h.User, "POST", callback, good)) // the state is spent
		}
	})
}

// A3: an issuer that is given must be the right one (RFC 9207).
func TestA3_AForeignIssuerIsRefused(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		for iss, status := range map[string]int{h.IdPURL: 200, "": 200, h.IdPURL + "/": 400, "https://evil.example": 400} {
			body := approved(t, h, h.User, p, "ada")
			body["iss"] = iss
			want(t, status, h.Do(t, h.User, "POST", callback, body))
		}
		strict := createID(t, h, object{"config": object{"requireIss": true}})
		body := approved(t, h, h.User, strict, "ada")
		want(t, 400, h.Do(t, h.User, "POST", callback, body))
	})
}

func TestAnUpstreamThatIsDownDuringTheCallback(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		body := approved(t, h, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, Status: 503, Times: 1})
		a := h.Do(t, h.User, "POST", callback, body)
		// The code may be spent: only a new consent helps, so there is no Retry-After.
		if answer := want(t, 502, a); !strings.Contains(text(t, answer, "message"), "again") {
			t.Errorf("does not say how to go on: %v", answer)
		}

		// R10: a code that was spent is not lost when user info fails.
		body = approved(t, h, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 500, Times: 1})
		a = h.Do(t, h.User, "POST", callback, body)
		want(t, 502, a)
		wantRetryAfter(t, a)
		want(t, 200, h.Do(t, h.User, "POST", callback, body))
		if stats := h.IdP.Stats(); stats.CodesReused != 0 {
			t.Error("the code was sent twice")
		}
	})
}

func TestATokenIsAnsweredWhole(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		made := create(t, h, nil)
		id := consent(t, h, h.User, text(t, made, "id"), "ada")
		var first string
		for _, path := range []string{"token/", "token", "accessToken/", "accessToken"} {
			a := h.Do(t, h.User, "POST", authorization(id)+path, nil)
			body := want(t, 201, a)
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control is %q", path, a.Header.Get("Cache-Control"))
			}
			wantTime(t, "expiresAt", body["expiresAt"])
			wantAuthorization(t, body["authorizedOauthProvider"].(object), made, "ada")
			if first == "" {
				first = text(t, body, "accessToken")
			}
			if body["accessToken"] != first || first == "" {
				t.Errorf("%s gives another token", path)
			}
			for name := range body {
				if name != "accessToken" && name != "expiresAt" && name != "authorizedOauthProvider" {
					t.Errorf("%s tells %s", path, name)
				}
			}
		}
	})
}

func TestAnUnknownExpiryIsLeftOut(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for i, expiry := range []string{"null", `"soon"`, "0", "-5"} {
			h.IdP.ClearFaults()
			h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, ExpiresIn: []byte(expiry)})
			id := consent(t, h, h.User, createID(t, h, nil), fmt.Sprint("account", i))
			body := want(t, 201, h.Do(t, h.User, "POST", tokenOf(id), nil))
			if expiresAt, there := body["expiresAt"]; there && expiresAt != nil {
				t.Errorf("expires_in %s became %v", expiry, expiresAt)
			}
		}
	})
}

func TestATokenThatExpiredIsRefreshed(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for _, typ := range []string{"test", "github"} {
			id := consent(t, h, h.User, h.Provider(t, typ).ID, "ada")
			seen := map[string]bool{accessToken(t, h, h.User, id): true}
			for range 3 {
				change(t, h, tokensHaveDied)
				h.IdP.ExpireAccessTokens()
				fresh := accessToken(t, h, h.User, id)
				if seen[fresh] {
					t.Errorf("%s: the same token again", typ)
				}
				seen[fresh] = true
				want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
			}
		}
		if stats := h.IdP.Stats(); stats.RefreshReused != 0 {
			t.Errorf("%d refresh tokens were sent twice", stats.RefreshReused)
		}
	})
}

func TestAGrantThatDiedUpstreamIsGone(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for _, typ := range []string{"test", "github"} {
			p := h.Provider(t, typ).ID
			id := consent(t, h, h.User, p, "ada")
			withdraw(t, h, accessToken(t, h, h.User, id))
			change(t, h, tokensHaveDied)
			for range 2 {
				want(t, 410, h.Do(t, h.User, "POST", tokenOf(id), nil))
				want(t, 410, h.Do(t, h.User, "GET", userinfoOf(id), nil))
				want(t, 410, h.Do(t, h.User, "POST", authorization(id)+"accessToken/", nil))
			}
			if got := ids(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/?status=expired&providerId="+p, nil))); len(got) != 1 {
				t.Errorf("%s: %d authorizations are expired", typ, len(got))
			}
			// Authorizing again is all it takes, and the authorization stays the same.
			if again := consent(t, h, h.User, p, "ada"); again != id {
				t.Errorf("%s: %s became %s", typ, id, again)
			}
			accessToken(t, h, h.User, id)
		}
	})
}

func TestUserInfoOfAGrantThatDiedUpstreamIsGone(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := consent(t, h, h.User, createID(t, h, nil), "ada")
		withdraw(t, h, accessToken(t, h, h.User, id)) // and our record says that it lives
		want(t, 410, h.Do(t, h.User, "GET", userinfoOf(id), nil))
	})
}

func TestATokenWithoutARefreshTokenIsGoneOnceItExpired(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, OmitRefresh: true})
		id := consent(t, h, h.User, createID(t, h, nil), "ada")
		accessToken(t, h, h.User, id)
		change(t, h, tokensHaveDied)
		want(t, 410, h.Do(t, h.User, "POST", tokenOf(id), nil))
	})
}

func TestAnUpstreamThatIsDown(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := consent(t, h, h.User, createID(t, h, nil), "ada")
		before := accessToken(t, h, h.User, id)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Any, Status: 503, Body: "<html>down</html>", ContentType: "text/html"})

		// What still lives is served, though it is due.
		change(t, h, tokensAreDue)
		if got := accessToken(t, h, h.User, id); got != before {
			t.Error("another token was served")
		}
		a := h.Do(t, h.User, "GET", userinfoOf(id), nil)
		want(t, 502, a)
		wantRetryAfter(t, a)

		change(t, h, tokensHaveDied)
		change(t, h, nothingWasFailed)
		for range 2 { // asked, then not asked again at once
			a = h.Do(t, h.User, "POST", tokenOf(id), nil)
			want(t, 502, a)
			wantRetryAfter(t, a)
		}

		h.IdP.ClearFaults()
		change(t, h, nothingWasFailed)
		if accessToken(t, h, h.User, id) == before {
			t.Error("it was not refreshed")
		}
	})
}

func TestAWrongClientSecretCostsNobodyTheirAuthorization(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		id := consent(t, h, h.User, p, "ada")
		h.IdP.SetSecret(brokertest.ClientID, "rotated")
		change(t, h, tokensAreDue)
		accessToken(t, h, h.User, id) // still lives
		change(t, h, tokensHaveDied)
		for i, status := range []string{"active", "active", "invalidOAuthClient"} { // one answer, or two, are not enough
			if got := want(t, 502, h.Do(t, h.User, "POST", tokenOf(id), nil)); i < 2 && got["detail"] != "invalid_client" {
				t.Errorf("the caller is told %v", got)
			}
			if got := ids(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/?status="+status, nil))); len(got) != 1 {
				t.Errorf("after %d refusals %d authorizations are %s, want 1", i+1, len(got), status)
			}
			change(t, h, nothingWasFailed)
		}
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": "rotated"}))
		accessToken(t, h, h.User, id)
	})
}

func TestAProviderThatIsOffGivesNoTokens(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		id := consent(t, h, h.User, p, "ada")
		for _, status := range []string{"inactive", "disabled"} {
			want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"status": status}))
			want(t, 403, h.Do(t, h.User, "POST", tokenOf(id), nil))
			want(t, 403, h.Do(t, h.User, "POST", authorization(id)+"accessToken/", nil))
			want(t, 403, h.Do(t, h.User, "GET", userinfoOf(id), nil))
			listed := list(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/", nil))["data"])[0]
			if listed["status"] != "invalidProviderState" || listed["provider"].(object)["status"] != status {
				t.Errorf("listed as %v of a provider that is %v", listed["status"], listed["provider"].(object)["status"])
			}
			want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"status": "active"}))
			accessToken(t, h, h.User, id)
		}
	})
}

func TestDisconnectingRevokesUpstream(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for _, typ := range []string{"test", "github"} {
			p := h.Provider(t, typ).ID
			id, kept := consent(t, h, h.User, p, "ada"), consent(t, h, h.User, p, "grace")
			a := h.Do(t, h.User, "DELETE", authorization(id), nil)
			want(t, 204, a)
			if len(a.Body) != 0 {
				t.Errorf("a 204 with a body: %s", a.Body)
			}
			if n := grants(h); n != 1 {
				t.Errorf("%s: %d grants are left upstream after the answer, want 1", typ, n)
			}
			want(t, 404, h.Do(t, h.User, "DELETE", authorization(id), nil))
			want(t, 404, h.Do(t, h.User, "POST", tokenOf(id), nil))
			want(t, 404, h.Do(t, h.User, "GET", userinfoOf(id), nil))
			want(t, 404, h.Do(t, h.Admin, "DELETE", authorization(id), nil))
			if got := ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"authorizedProviders/?providerId="+p, nil))); len(got) != 1 || got[0] != kept {
				t.Errorf("%s: listed are %v", typ, got)
			}
			if again := consent(t, h, h.User, p, "ada"); again == id {
				t.Errorf("%s: what was disconnected is back", typ)
			}
			deleted(t, h, p)
			if n := grants(h); n != 0 {
				t.Fatalf("%s: %d grants are left", typ, n)
			}
		}
	})
}

func TestDisconnectingDoesNotNeedTheUpstream(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := consent(t, h, h.User, createID(t, h, nil), "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500, Times: 1})
		want(t, 204, h.Do(t, h.User, "DELETE", authorization(id), nil))
		want(t, 404, h.Do(t, h.User, "POST", tokenOf(id), nil))
		brokertest.Eventually(t, "the worker revokes it", func() bool { return grants(h) == 0 })
	})
}

// Trap 8: where refresh tokens are not replaced, a person's second consent brings none.
// The one they have goes with the new access token, and is not revoked.
func TestTrap8_AConsentWithoutARefreshTokenKeepsTheOneThereIs(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		typ, _ := h.Upstream.Type("test")
		typ.Rotates = false
		p := h.Provider(t, "test").ID
		first := consent(t, h, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, OmitRefresh: true, Times: 1})
		if again := consent(t, h, h.User, p, "ada"); again != first {
			t.Fatalf("%s became %s", first, again)
		}
		change(t, h, tokensHaveDied)
		h.IdP.ExpireAccessTokens()
		accessToken(t, h, h.User, first)
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(first), nil))
	})
}
