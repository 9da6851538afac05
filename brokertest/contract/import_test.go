package contract_test

import (
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

const importAt = root + "authorizedProviders/import/"

func imported(t testing.TB, h *brokertest.Instance, who brokertest.Person, body object) object {
	t.Helper()
	return want(t, 200, h.Do(t, who, "POST", importAt, body))["authorizedProvider"].(object)
}

func authorizations(t testing.TB, h *brokertest.Instance) []string {
	t.Helper()
	return ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"authorizedProviders/", nil)))
}

// A refresh token is imported by a refresh, one however often it is sent, and
// becomes the caller's own (A6).
func TestA6_AnImportIsTheCallersOwn(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for n, typ := range []string{"test", "github"} {
			p := h.Provider(t, typ).ID
			_, refresh := h.IdP.Mint(brokertest.ClientID, "ada")
			body := object{"providerId": p, "refreshToken": refresh}
			a := imported(t, h, h.User, body)
			if a["userId"] != "ada" || a["status"] != "active" || a["orgId"] != "acme" {
				t.Errorf("imported was %v", a)
			}
			id := text(t, a, "id")
			if again := imported(t, h, h.User, body); again["id"] != id {
				t.Errorf("sent again it is %v", again)
			}
			if s := h.IdP.Stats(); s.Calls[testidp.Refresh] != int64(2*n+1) || s.RefreshReused != 0 {
				t.Errorf("%d refreshes, %d spent twice", s.Calls[testidp.Refresh], s.RefreshReused)
			}
			if user := want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil)); user["nickName"] != "ada" {
				t.Errorf("it belongs to %v", user)
			}
			want(t, 403, h.Do(t, h.Admin, "POST", tokenOf(id), nil))
			change(t, h, tokensHaveDied)
			accessToken(t, h, h.User, id)
		}
	})
}

// An import of an account that has an authorization renews it, like a consent.
func TestAnImportRenews(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		id := consent(t, h, h.User, p, "ada")
		old := accessToken(t, h, h.User, id)
		_, refresh := h.IdP.Mint(brokertest.ClientID, "ada")
		if a := imported(t, h, h.User, object{"providerId": p, "refreshToken": refresh}); a["id"] != id {
			t.Errorf("imported was %v", a)
		}
		if accessToken(t, h, h.User, id) == old {
			t.Error("the old token is served")
		}
		brokertest.Eventually(t, "the replaced pair is revoked", func() bool { return grants(h) == 1 })
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
	})
}

// An access token is imported if the upstream says that it is this client's.
func TestAnAccessTokenIsImportedWithProof(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		h.IdP.AddClient(testidp.Client{ID: "another", Secret: "s"})
		for _, typ := range []string{"test", "github"} {
			p := h.Provider(t, typ).ID
			access, _ := h.IdP.Mint(brokertest.ClientID, "ada")
			id := text(t, imported(t, h, h.User, object{"providerId": p, "accessToken": access, "expiresIn": 60}), "id")
			if accessToken(t, h, h.User, id) != access {
				t.Error("another token is served")
			}
			foreign, _ := h.IdP.Mint("another", "ada")
			a := h.Do(t, h.User, "POST", importAt, object{"providerId": p, "accessToken": foreign})
			if got := want(t, 400, a); got["detail"] != "invalid_grant" {
				t.Errorf("another client's is answered with %v", got)
			}
		}
		p := createID(t, h, nil)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Introspect, Status: 200, ContentType: "application/json", Body: `{"active":true}`})
		access, _ := h.IdP.Mint(brokertest.ClientID, "ada")
		a := h.Do(t, h.User, "POST", importAt, object{"providerId": p, "accessToken": access})
		if m := text(t, want(t, 422, a), "message"); !strings.Contains(m, "import a refresh token") {
			t.Errorf("without proof: %q", m)
		}
	})
}

// What the upstream denies leaves nothing behind, and is not told to anybody.
func TestP1_ADeniedImportStoresNothing(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		const token = "tir_never-issued-and-very-secret"
		a := h.Do(t, h.User, "POST", importAt, object{"providerId": p, "refreshToken": token})
		if got := want(t, 400, a); got["detail"] != "invalid_grant" {
			t.Errorf("the answer is %v", got)
		}
		answers := string(a.Body)
		for _, wrong := range []object{
			{"providerId": p, "refreshToken": token, "accessToken": token}, {"providerId": p},
			{"providerId": p, "refreshToken": []string{token}}, {"providerId": p, "token": token, "refreshToken": token},
			{"providerId": p, "refreshToken": nil, "accessToken": token}, {"providerId": p, "refreshToken": token, "expiresIn": 5},
			{"providerId": p, "accessToken": token, "expiresIn": token}, {"providerId": p, "accessToken": token, "expiresIn": -1},
			{"providerId": token + token + token, "refreshToken": object{"x": token}},
			{"providerId": p, "refreshToken": strings.Repeat(token, 600)},
		} {
			a := h.Do(t, h.User, "POST", importAt, wrong)
			want(t, 422, a)
			answers += string(a.Body)
		}
		if strings.Contains(answers, token) || strings.Contains(h.Log.String(), token) {
			t.Error("an answer or the log tells the token")
		}
		if all := authorizations(t, h); len(all) != 0 || calls(h, testidp.Refresh) != 1 {
			t.Errorf("stored is %v after %d refreshes", all, calls(h, testidp.Refresh))
		}
		want(t, 409, offImport(t, h))
	})
}

func offImport(t testing.TB, h *brokertest.Instance) brokertest.Answer {
	off := createID(t, h, nil)
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(off), object{"status": "inactive"}))
	return h.Do(t, h.User, "POST", importAt, object{"providerId": off, "refreshToken": "x"})
}

// R10: what a refresh token was spent on is kept, also when the process dies before
// it is known whose it is. The sweeper brings the import to its end.
func TestR10_AnImportIsNotLostHalfway(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		_, refresh := h.IdP.Mint(brokertest.ClientID, "ada")
		body := object{"providerId": p, "refreshToken": refresh}
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 503})
		wantRetryAfter(t, h.Do(t, h.User, "POST", importAt, body))
		wantRetryAfter(t, h.Do(t, h.User, "POST", importAt, body))
		if all := authorizations(t, h); len(all) != 0 {
			t.Errorf("without an owner there are %v", all)
		}
		h.IdP.ClearFaults()
		change(t, h, statesAreTooOld)
		brokertest.Eventually(t, "the sweeper finishes the import", func() bool { return len(authorizations(t, h)) == 1 })
		accessToken(t, h, h.User, authorizations(t, h)[0])
		if s := h.IdP.Stats(); s.Calls[testidp.Refresh] != 1 || s.RefreshReused != 0 || s.Calls[testidp.Revoke] != 0 {
			t.Errorf("%d refreshes, %d spent twice, %d revocations", s.Calls[testidp.Refresh], s.RefreshReused, s.Calls[testidp.Revoke])
		}
	})
}

// Tokens of an import that finds no owner are revoked only if they are ours: a refresh
// token that the upstream did not replace is in use where it came from.
func TestR10_AnImportWithoutAnOwner(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		nameless := testidp.Fault{Endpoint: testidp.UserInfo, Status: 200, ContentType: "application/json", Body: `{}`}
		h.IdP.Inject(nameless, testidp.Fault{Endpoint: testidp.Refresh, OmitRefresh: true, Times: 1})
		_, kept := h.IdP.Mint(brokertest.ClientID, "ada")
		want(t, 502, h.Do(t, h.User, "POST", importAt, object{"providerId": p, "refreshToken": kept}))
		_, replaced := h.IdP.Mint(brokertest.ClientID, "grace")
		want(t, 502, h.Do(t, h.User, "POST", importAt, object{"providerId": p, "refreshToken": replaced}))
		brokertest.Eventually(t, "our own pair is revoked", func() bool { return grants(h) == 1 })

		h.IdP.ClearFaults()
		id := text(t, imported(t, h, h.User, object{"providerId": p, "refreshToken": kept}), "id")
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
	})
}

// A refresh token that the upstream does not replace may be imported where it is held
// already: what is replaced then is not revoked, for the new pair would go along.
func TestAnImportOfWhatIsHeldAlready(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, OmitRefresh: true})
		p := createID(t, h, nil)
		_, refresh := h.IdP.Mint(brokertest.ClientID, "ada")
		body := object{"providerId": p, "refreshToken": refresh}
		id := text(t, imported(t, h, h.User, body), "id")
		change(t, h, statesAreTooOld)
		if a := imported(t, h, h.User, body); a["id"] != id || calls(h, testidp.Refresh) != 2 {
			t.Errorf("after %d refreshes: %v", calls(h, testidp.Refresh), a)
		}
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
		change(t, h, tokensHaveDied)
		accessToken(t, h, h.User, id)
		if calls(h, testidp.Revoke) != 0 {
			t.Error("the pair that was replaced was revoked")
		}
	})
}
