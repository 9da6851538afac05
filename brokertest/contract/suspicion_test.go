package contract_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/oidcprovider"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

func checkOf(id string) string { return authorization(id) + "check/" }
func resetOf(id string) string { return authorization(id) + "reset/" }

// withoutRefresh lets the authorization server give out tokens that do not end and
// have no refresh token, as GitHub does for its OAuth Apps.
func withoutRefresh(h *brokertest.Instance) {
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, OmitRefresh: true, ExpiresIn: json.RawMessage("null")})
}

// gitHubApp registers an OAuth App at the instance's GitHub.
func gitHubApp(t *testing.T, h *brokertest.Instance) string {
	return createID(t, h, object{"type": "github", "metadata": object{"host": h.IdPURL}})
}

// forgottenChecks lets the upstream be asked again.
const forgottenChecks = `UPDATE credentials SET check_generation = 0`

func calls(h *brokertest.Instance, e testidp.Endpoint) int64 { return h.IdP.Stats().Calls[e] }

func texts(t testing.TB, v any) []string {
	t.Helper()
	all, ok := v.([]any)
	if !ok {
		t.Fatalf("%v is no list", v)
	}
	got := []string{}
	for _, s := range all {
		got = append(got, s.(string))
	}
	return got
}

// plainly posts without a look at the document, which is read by one at a time.
func plainly(t testing.TB, h *brokertest.Instance, who brokertest.Person, path string) (int, string) {
	r, err := http.NewRequest("POST", h.URL+path, nil)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	r.Header.Set("Authorization", "Bearer "+secret(who.Token))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	return res.StatusCode, read(t, res)
}

// wantScopes fails unless an authorization, or the answer of a check, has these.
func wantScopes(t testing.TB, a object, granted, missing string) {
	t.Helper()
	got, lacking := texts(t, a["scopes"]), texts(t, a["missingScopes"])
	if !slices.Equal(got, strings.Fields(granted)) || !slices.Equal(lacking, strings.Fields(missing)) {
		t.Errorf("granted %v, missing %v; want [%s] and [%s]", got, lacking, granted, missing)
	}
}

// A person may grant less than was asked for, and a refresh may bring something else.
func TestWhatWasGrantedIsTold(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, object{"scopes": []string{"profile", "email", "files"}})
		begun := begin(t, h, h.User, p, nil)
		narrowed, _ := url.Parse(begun.RedirectURL)
		q := narrowed.Query()
		q.Set("scope", "profile email")
		narrowed.RawQuery = q.Encode()
		begun.RedirectURL = narrowed.String()
		back := h.Approve(t, begun, "ada")
		a := want(t, 200, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": back.State.Reveal(), "code": secret(back.Code)}))["authorizedProvider"].(object)
		wantScopes(t, a, "profile email", "files")
		id := text(t, a, "id")
		wantScopes(t, list(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/", nil))["data"])[0], "profile email", "files")
		tokenAnswer := func() object {
			return want(t, 201, h.Do(t, h.User, "POST", tokenOf(id), nil))["authorizedOauthProvider"].(object)
		}
		wantScopes(t, tokenAnswer(), "profile email", "files")

		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"scopes": []string{"profile"}}))
		change(t, h, tokensHaveDied)
		wantScopes(t, tokenAnswer(), "profile email", "")
	})
}

// Where the upstream does not say, what was asked for was granted (RFC 6749 section
// 5.1); a GitHub App has no scopes, and says so.
func TestScopesThatAreNotSaid(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for said, wanted := range map[string]string{`"x":1`: "profile email", `"scope":""`: ""} {
			p := createID(t, h, nil)
			body := approved(t, h, h.User, p, "ada")
			access, _ := h.IdP.Mint(brokertest.ClientID, "ada")
			h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, Status: 200, Times: 1, ContentType: "application/json",
				Body: `{"access_token":"` + access + `","token_type":"bearer",` + said + `}`})
			done := want(t, 200, h.Do(t, h.User, "POST", callback, body))
			wantScopes(t, done["authorizedProvider"].(object), wanted, "")
		}
	})
}

// A check says what the upstream says, and asks it once for as many as ask.
func TestACheckAsksTheUpstreamOnce(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for typ, endpoint := range map[string]testidp.Endpoint{"test": testidp.Introspect, "github": testidp.TokenCheck} {
			p := h.Provider(t, typ)
			id := consent(t, h, h.User, p.ID, "ada")
			before := calls(h, endpoint)
			var wg sync.WaitGroup
			for i := range 20 {
				who := []brokertest.Person{h.User, h.Admin}[i%2]
				wg.Go(func() {
					if status, body := plainly(t, h, who, checkOf(id)); status != 200 || !strings.Contains(body, `"valid":true`) {
						t.Errorf("%d %s", status, body)
					}
				})
			}
			wg.Wait()
			if n := calls(h, endpoint) - before; n != 1 {
				t.Errorf("%s: the upstream was asked %d times, want once", typ, n)
			}
			got := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil))
			wantTime(t, "checkedAt", got["checkedAt"])
			wantTime(t, "expiresAt", got["expiresAt"])
			if got["status"] != "active" || len(texts(t, got["missingScopes"])) > 0 {
				t.Errorf("the check says %v", got)
			}
			change(t, h, forgottenChecks)
			want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil))
			if n := calls(h, endpoint) - before; n != 2 {
				t.Errorf("%s: after a while the upstream was asked %d times in all, want twice", typ, n)
			}
		}
	})
}

// An invalid token that can be refreshed is, at the next fetch.
func TestR5_AnInvalidTokenIsRefreshedAtTheNextFetch(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := consent(t, h, h.User, createID(t, h, nil), "ada")
		old := accessToken(t, h, h.User, id)
		h.IdP.ExpireAccessTokens()
		got := want(t, 200, h.Do(t, h.Admin, "POST", checkOf(id), nil))
		if got["valid"] != false || got["status"] != "active" {
			t.Errorf("the check says %v", got)
		}
		if fresh := accessToken(t, h, h.User, id); fresh == old {
			t.Error("the invalid token was handed out")
		}
		if got := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil)); got["valid"] != true {
			t.Errorf("of the new token the check says %v", got)
		}
	})
}

// An invalid token that nothing can replace ends the authorization, until the person consents
// again; R5: the verdict ends with its cause.
func TestR5_AnInvalidTokenWithoutARefreshTokenExpires(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		p := gitHubApp(t, h)
		id := consent(t, h, h.User, p, "ada")
		access := accessToken(t, h, h.User, id)
		withdraw(t, h, access)
		got := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil))
		if got["valid"] != false || got["status"] != "expired" {
			t.Errorf("the check says %v", got)
		}
		want(t, 410, h.Do(t, h.User, "POST", tokenOf(id), nil))
		want(t, 410, h.Do(t, h.User, "POST", resetOf(id), nil))
		if ids := ids(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/?status=expired", nil))); len(ids) != 1 {
			t.Errorf("expired are %v", ids)
		}
		if again := consent(t, h, h.User, p, "ada"); again != id {
			t.Errorf("the renewed consent is %s", again)
		}
		accessToken(t, h, h.User, id)
	})
}

// GitHub's replicas learn of a new token one after the other: one refusal of a token
// that was saved a moment ago proves nothing.
func TestTrap21_AFreshTokenIsAskedAboutTwice(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		id := consent(t, h, h.User, gitHubApp(t, h), "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.TokenCheck, Times: 1, Status: 404, ContentType: "application/json", Body: `{"message":"Not Found"}`},
			testidp.Fault{Endpoint: testidp.UserInfo, Times: 1, Status: 401, ContentType: "application/json", Body: `{"message":"Bad credentials"}`})
		change(t, h, `UPDATE credentials SET saved_at = `+now(h))
		if got := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil)); got["valid"] != true || calls(h, testidp.TokenCheck) != 2 {
			t.Errorf("after %d calls the check says %v", calls(h, testidp.TokenCheck), got)
		}
		change(t, h, `UPDATE credentials SET saved_at = `+now(h))
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
	})
}

// now is the instance's time in SQL.
func now(h *brokertest.Instance) string {
	if strings.HasPrefix(h.DatabaseURL, "sqlite:") {
		return `strftime('%Y-%m-%d %H:%M:%f', 'now')`
	}
	return `statement_timestamp()`
}

// S3: a rate limit says nothing about the token, and is respected.
func TestS3_ARateLimitIsNoVerdict(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := gitHubApp(t, h)
		id := consent(t, h, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.TokenCheck, Status: 403, RetryAfter: "30",
			ContentType: "application/json", Body: `{"message":"API rate limit exceeded"}`})
		for range 3 {
			a := h.Do(t, h.User, "POST", checkOf(id), nil)
			want(t, 502, a)
			wantRetryAfter(t, a)
		}
		if n := calls(h, testidp.TokenCheck); n != 1 {
			t.Errorf("the upstream was asked %d times although it is rate limiting", n)
		}
		accessToken(t, h, h.User, id)
	})
}

// A6: an admin resets what it may not read.
func TestA6_AnAdminResetsATokenUnseen(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := consent(t, h, h.User, createID(t, h, nil), "ada")
		old := accessToken(t, h, h.User, id)
		a := h.Do(t, h.Admin, "POST", resetOf(id), nil)
		got := want(t, 201, a)
		fresh := accessToken(t, h, h.User, id)
		if _, told := got["accessToken"]; told || strings.Contains(string(a.Body), fresh) || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("the admin was told %v", got)
		}
		if fresh == old || got["oldTokenRevoked"] != true || got["authorizedOauthProvider"].(object)["status"] != "active" {
			t.Errorf("the token was not replaced: %v", got)
		}
		mine := want(t, 201, h.Do(t, h.User, "POST", resetOf(id), nil))
		if text(t, mine, "accessToken") != accessToken(t, h, h.User, id) || mine["accessToken"] == fresh {
			t.Error("the owner got another token than the one that is served")
		}
		check := want(t, 200, h.Do(t, h.Admin, "POST", checkOf(id), nil))
		if check["valid"] != true {
			t.Errorf("of the new token the check says %v", check)
		}
	})
}

// Without a refresh token GitHub replaces an access token in place; others cannot.
func TestAResetInPlace(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		id := consent(t, h, h.User, gitHubApp(t, h), "ada")
		old := accessToken(t, h, h.User, id)
		got := want(t, 201, h.Do(t, h.User, "POST", resetOf(id), nil))
		if fresh := text(t, got, "accessToken"); fresh == old || fresh != accessToken(t, h, h.User, id) || got["oldTokenRevoked"] != true {
			t.Errorf("the token was not replaced: %v", got)
		}
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
		if n := calls(h, testidp.TokenReset); n != 1 || grants(h) != 1 {
			t.Errorf("%d resets, %d grants are left", n, grants(h))
		}

		other := consent(t, h, h.User, createID(t, h, nil), "ada")
		kept := accessToken(t, h, h.User, other)
		if m := text(t, want(t, 422, h.Do(t, h.User, "POST", resetOf(other), nil)), "message"); !strings.Contains(m, "no refresh token") {
			t.Errorf("why not is %q", m)
		}
		if accessToken(t, h, h.User, other) != kept {
			t.Error("the refused reset changed the token")
		}
	})
}

// A token that was already invalid is found out by its reset.
func TestR5_AResetFindsAnInvalidToken(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		id := consent(t, h, h.User, gitHubApp(t, h), "ada")
		withdraw(t, h, accessToken(t, h, h.User, id))
		want(t, 410, h.Do(t, h.Admin, "POST", resetOf(id), nil))
		want(t, 410, h.Do(t, h.User, "POST", tokenOf(id), nil))
	})
}

// R2: many resets, fetches and a refresh that is due at the same time make one call,
// across processes.
func TestR2_ResetsAndFetchesShareOneRefresh(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		other := brokertest.New(t, &brokertest.Options{DatabaseURL: h.DatabaseURL, RedisURL: h.RedisURL, Keys: h.Keys, IdP: h.IdP, IdPURL: h.IdPURL})
		id := consent(t, h, h.User, createID(t, h, nil), "ada")
		old := accessToken(t, h, h.User, id)
		change(t, h, tokensAreDue)
		// The refresh is answered when each reset has read the token that it is to replace:
		// one that began later would rightly replace the next token too.
		begun := make(chan struct{})
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Until: begun})
		var wg sync.WaitGroup
		for i := range 24 {
			instance := []*brokertest.Instance{h, other}[i%2]
			path := []string{tokenOf(id), resetOf(id), resetOf(id)}[i%3]
			wg.Go(func() {
				if status, body := plainly(t, instance, h.User, path); status != 201 {
					t.Errorf("%s: %d %.300s", path, status, body)
				}
			})
		}
		db := database(t, h)
		brokertest.Eventually(t, "all resets have begun", func() bool {
			var n int
			if err := db.QueryRow(`SELECT count(*) FROM audit_events WHERE action = 'token.reset_asked'`).Scan(&n); err != nil {
				t.Error(err)
			}
			return n == 16
		})
		close(begun)
		wg.Wait()
		if s := h.IdP.Stats(); s.Calls[testidp.Refresh] != 1 || s.RefreshReused != 0 {
			t.Errorf("%d refreshes, %d refresh tokens spent twice; want 1 and 0", s.Calls[testidp.Refresh], s.RefreshReused)
		}
		if accessToken(t, h, h.User, id) == old {
			t.Error("the old token is still served")
		}
	})
}

// R3: the answer to a reset in place is the only copy of the new token. When it is
// lost that is said, and a sweep finds out that the old one is no longer valid.
func TestR3_ALostResetIsFoundOut(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		id := consent(t, h, h.User, gitHubApp(t, h), "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.TokenReset, ResetAfter: true, Times: 1})
		a := h.Do(t, h.User, "POST", resetOf(id), nil)
		if got := want(t, 502, a); got["detail"] != "lost_response" {
			t.Errorf("what is said is %v", got)
		}
		brokertest.Eventually(t, "the loss is found out", func() bool {
			return h.Do(t, h.User, "POST", tokenOf(id), nil).Status == 410
		})
		brokertest.Eventually(t, "the attempt has ended", func() bool {
			l, err := h.Store.Linked(ctx, id)
			if err != nil || l.Credential.VerdictReason != "lost_response" {
				t.Fatalf("the reason is %q: %v", l.Credential.VerdictReason, err)
			}
			return l.Credential.AttemptID == nil
		})
		if n := calls(h, testidp.TokenReset); n != 1 {
			t.Errorf("the upstream was asked %d times to reset", n)
		}
	})
}

// R3: where the reset never reached the upstream, the check finds the old token good.
func TestR3_ALostResetMayHaveDoneNothing(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		id := consent(t, h, h.User, gitHubApp(t, h), "ada")
		old := accessToken(t, h, h.User, id)
		l, err := h.Store.Linked(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := h.Store.LeaseForRefresh(ctx, store.SeenIn(l, nil), "died", 50*time.Millisecond); !ok || err != nil {
			t.Fatal(ok, err)
		}
		brokertest.Eventually(t, "the attempt is over", func() bool {
			l, err := h.Store.Linked(ctx, id)
			return err == nil && l.Credential.AttemptID == nil
		})
		if accessToken(t, h, h.User, id) != old {
			t.Error("the token is another one")
		}
		want(t, 201, h.Do(t, h.User, "POST", resetOf(id), nil))
	})
}

// One access token is revoked, and the grant stays: the next fetch refreshes.
func TestARevokedTokenIsRefreshed(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for typ, endpoint := range map[string]testidp.Endpoint{"test": testidp.Revoke, "github": testidp.TokenDelete} {
			id := consent(t, h, h.User, h.Provider(t, typ).ID, "ada")
			old := accessToken(t, h, h.User, id)
			got := want(t, 200, h.Do(t, h.Admin, "DELETE", tokenOf(id), nil))
			if got["outcome"] != "revoked" || got["status"] != "active" || calls(h, endpoint) != 1 {
				t.Errorf("%s: after %d calls: %v", typ, calls(h, endpoint), got)
			}
			if check := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil)); check["valid"] != false {
				t.Errorf("of a revoked token the check says %v", check)
			}
			if accessToken(t, h, h.User, id) == old {
				t.Error("the revoked token was handed out")
			}
			want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
		}
	})
}

// Without a refresh token nothing is left.
func TestARevokedTokenWithoutARefreshTokenExpires(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		id := consent(t, h, h.User, gitHubApp(t, h), "ada")
		got := want(t, 200, h.Do(t, h.User, "DELETE", tokenOf(id), nil))
		if got["outcome"] != "revoked" || got["status"] != "expired" || grants(h) != 0 {
			t.Errorf("%d grants are left: %v", grants(h), got)
		}
		want(t, 410, h.Do(t, h.User, "POST", tokenOf(id), nil))
		if got := want(t, 200, h.Do(t, h.User, "DELETE", tokenOf(id), nil)); got["outcome"] != "already_revoked" {
			t.Errorf("a second time: %v", got)
		}
	})
}

// A token under suspicion is not handed out again, though the upstream could not be
// asked to revoke it; and asking again does revoke it.
func TestASuspectedTokenIsNotHandedOut(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		p := gitHubApp(t, h)
		id := consent(t, h, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.TokenDelete, Status: 503})
		wantRetryAfter(t, h.Do(t, h.User, "DELETE", tokenOf(id), nil))
		a := h.Do(t, h.User, "POST", tokenOf(id), nil)
		if m := text(t, want(t, 410, a), "message"); !strings.Contains(m, "no longer handed out") {
			t.Errorf("why not is %q", m)
		}
		if got := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil)); got["valid"] != true || got["status"] != "expired" {
			t.Errorf("the check says %v", got)
		}
		if n := len(ids(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/?status=expired", nil)))); n != 1 {
			t.Errorf("%d are expired", n)
		}
		h.IdP.ClearFaults()
		if got := want(t, 200, h.Do(t, h.User, "DELETE", tokenOf(id), nil)); got["outcome"] != "revoked" || grants(h) != 0 {
			t.Errorf("%d grants are left: %v", grants(h), got)
		}
	})
}

// D4: what was suspected and could not be revoked then is revoked with its provider.
func TestD4_ASuspectedTokenIsStillProof(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		p := gitHubApp(t, h)
		id := consent(t, h, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.TokenDelete, Status: 500, Times: 1})
		want(t, 502, h.Do(t, h.User, "DELETE", tokenOf(id), nil))
		if d := details(t, deleted(t, h, p)); d["revoked"] != "1" || grants(h) != 0 {
			t.Errorf("%d grants are left: %v", grants(h), d)
		}
	})
}

// D1: where only whole grants can be revoked, somebody else's authorization is not
// taken along.
func TestD1_ATokenIsNotRevokedAtASiblingsCost(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		wholeGrants(h)
		p := createID(t, h, nil)
		mine, theirs := consent(t, h, h.User, p, "ada"), consent(t, h, h.Colleague, p, "ada")
		before := accessToken(t, h, h.User, mine)
		m := text(t, want(t, 409, h.Do(t, h.User, "DELETE", tokenOf(mine), nil)), "message")
		if !strings.Contains(m, "another authorization") || calls(h, testidp.Revoke) != 0 {
			t.Errorf("after %d revocations: %q", calls(h, testidp.Revoke), m)
		}
		if accessToken(t, h, h.User, mine) != before {
			t.Error("what was refused has changed the token")
		}
		want(t, 200, h.Do(t, h.Colleague, "GET", userinfoOf(theirs), nil))

		want(t, 204, h.Do(t, h.Colleague, "DELETE", authorization(theirs), nil))
		got := want(t, 200, h.Do(t, h.User, "DELETE", tokenOf(mine), nil))
		if got["outcome"] != "revoked" || got["status"] != "expired" {
			t.Errorf("alone: %v", got)
		}
		want(t, 410, h.Do(t, h.User, "POST", tokenOf(mine), nil))
		again := consent(t, h, h.User, p, "ada")
		accessToken(t, h, h.User, again)
	})
}

// wholeGrants makes the type test one that revokes whole grants only, as Google does.
func wholeGrants(h *brokertest.Instance) {
	typ, _ := h.Upstream.Type("test")
	typ.RevokesAccessAlone, typ.RevokesSingly = false, false
}

// A reset revokes the old access token, where that can be done alone, and else asks
// about it. Where neither succeeds nobody knows.
func TestAResetSeesToTheOldToken(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		typ, _ := h.Upstream.Type("test")
		typ.RefreshKillsAccess = false
		id := consent(t, h, h.User, createID(t, h, nil), "ada")
		got := want(t, 201, h.Do(t, h.User, "POST", resetOf(id), nil))
		if got["oldTokenRevoked"] != true || calls(h, testidp.Revoke) != 1 {
			t.Errorf("after %d revocations: %v", calls(h, testidp.Revoke), got)
		}
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))

		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500, Times: 1})
		if got := want(t, 201, h.Do(t, h.User, "POST", resetOf(id), nil)); got["oldTokenRevoked"] != false {
			t.Errorf("although the revocation failed: %v", got)
		}
		wholeGrants(h)
		if got := want(t, 201, h.Do(t, h.User, "POST", resetOf(id), nil)); got["oldTokenRevoked"] != true || calls(h, testidp.Revoke) != 2 {
			t.Errorf("although introspection says that it is no longer valid: %v", got)
		}
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Introspect, Status: 500, Times: 1})
		if got := want(t, 201, h.Do(t, h.User, "POST", resetOf(id), nil)); got["oldTokenRevoked"] != false || calls(h, testidp.Revoke) != 2 {
			t.Errorf("although nobody knows: %v", got)
		}
	})
}

// A revocation waits for a refresh that is running, and revokes what that brings (R9).
func TestR9_ATokensRevocationWaitsForARefresh(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		id := consent(t, h, h.User, createID(t, h, nil), "ada")
		change(t, h, tokensHaveDied)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, AnswerLatencyMS: 400, Times: 1})
		done := make(chan struct{})
		go func() {
			defer close(done)
			plainly(t, h, h.User, tokenOf(id))
		}()
		brokertest.Eventually(t, "the refresh is at the upstream", func() bool { return calls(h, testidp.Refresh) == 1 })
		got := want(t, 200, h.Do(t, h.User, "DELETE", tokenOf(id), nil))
		<-done
		if got["outcome"] != "revoked" || h.IdP.Stats().RefreshReused != 0 {
			t.Errorf("%v", got)
		}
		accessToken(t, h, h.User, id)
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
	})
}

// What cannot be revoked is said, and stays as it is.
func TestATokenThatCannotBeRevoked(t *testing.T) {
	openID(t, oidcprovider.Options{WithoutRevocation: true}, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		id := i.consent(t, i.provider(t, nil), "ada")
		before := accessToken(t, h, h.User, id)
		if m := text(t, want(t, 422, h.Do(t, h.User, "DELETE", tokenOf(id), nil)), "message"); !strings.Contains(m, "no way to revoke") {
			t.Errorf("why not is %q", m)
		}
		if accessToken(t, h, h.User, id) != before {
			t.Error("the token has changed")
		}
	})
}

// At a certified OpenID Connect server, which revokes whole grants: reset, check,
// and the token's revocation.
func TestOpenIDConnectUnderSuspicion(t *testing.T) {
	openID(t, oidcprovider.Options{}, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		id := i.consent(t, i.provider(t, nil), "ada")
		old := accessToken(t, h, h.User, id)
		if got := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil)); got["valid"] != true {
			t.Errorf("the check says %v", got)
		}
		if got := want(t, 201, h.Do(t, h.User, "POST", resetOf(id), nil)); text(t, got, "accessToken") == old {
			t.Error("the token was not replaced")
		}
		got := want(t, 200, h.Do(t, h.User, "DELETE", tokenOf(id), nil))
		if got["outcome"] != "revoked" || got["status"] != "expired" {
			t.Errorf("revoked: %v", got)
		}
		if held := i.State(t); held["LiveRefreshToken"] != 0 {
			t.Errorf("the server holds %v", held)
		}
		want(t, 410, h.Do(t, h.User, "POST", tokenOf(id), nil))
	})
}
