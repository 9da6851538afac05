package contract_test

import (
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// Finding G4: zitadel's user info answers 403 {} for a token that was revoked. That was
// "try again shortly" until the token expired, and the external-auth API said
// authenticated: true.
func TestA403OfUserInfoForARevokedTokenLeadsToOneRefresh(t *testing.T) {
	strange(t, func(t *testing.T, h *brokertest.Instance, f *openIDFake, p string) {
		f.set(func() { f.forbids = true })
		id := f.consent(t, h, p)
		revokedUpstream := func() {
			f.set(func() { clear(f.tokens) })
			change(t, h, checksAreForgotten)
		}
		for name, ask := range map[string]func(){
			"user info": func() {
				if got := want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil)); got["sub"] != "ada" {
					t.Errorf("user info says %v", got)
				}
			},
			"external-auth": func() {
				if got := want(t, 200, h.Do(t, h.User, "GET", "/api/v2/external-auth/"+p, nil)); got["authenticated"] != true || got["user"] == nil {
					t.Errorf("external-auth says %v", got)
				}
			},
		} {
			revokedUpstream()
			before := f.refreshed()
			ask()
			if n := f.refreshed() - before; n != 1 {
				t.Errorf("%s refreshed %d times", name, n)
			}
		}

		// A refusal by a policy is about this request: the token stays.
		f.set(func() {
			f.introspect = func(string) (int, any) { return 200, object{"active": true} }
			clear(f.tokens)
		})
		before := f.refreshed()
		want(t, 502, h.Do(t, h.User, "GET", userinfoOf(id), nil))
		if n := f.refreshed() - before; n != 0 {
			t.Errorf("a refusal by a policy led to %d refreshes", n)
		}
		f.set(func() { f.introspect = nil })

		// Where the grant was revoked too, that is the end.
		f.set(func() { clear(f.refreshes) })
		if got := want(t, 200, h.Do(t, h.User, "GET", "/api/v2/external-auth/"+p, nil)); got["authenticated"] != false || got["user"] != nil {
			t.Errorf("of a revoked grant external-auth says %v", got)
		}
		want(t, 410, h.Do(t, h.User, "GET", userinfoOf(id), nil))
		if got := want(t, 200, h.Do(t, h.User, "GET", authorization(id), nil)); got["status"] != "expired" || got["reason"] != "invalid_grant" {
			t.Errorf("the authorization is %v because of %v", got["status"], got["reason"])
		}
	})
}

// refreshed counts the tokens that were made.
func (f *openIDFake) refreshed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}
