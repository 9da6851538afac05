package providers

import (
	"testing"
)

// What the id_token says stands. User info is asked only for what is missing, adds to it only for the same person, and
// may be away where nothing needed is missing.
func TestProtocolRule10_ClaimsOfASignIn(t *testing.T) {
	t.Parallel()
	const answer = `{"sub":"u1","name":"Ada","groups":["admins"],"email":"other@x.example","iss":"https://evil.example"}`
	for _, c := range []struct {
		about          string
		needed, wanted []string
		nonce          string
		status         int
		userInfo       string
		asked          bool
		kind           Kind
		groups, name   bool // whether they are among the claims
	}{
		{"nothing is missing", []string{"sub", "email"}, nil, "n", 200, answer, false, "", false, false},
		{"something needed is missing", []string{"groups"}, nil, "n", 200, answer, true, "", true, true},
		{"something wanted is missing", []string{"sub"}, []string{"name"}, "n", 200, answer, true, "", true, true},
		{"needed, and user info is away", []string{"groups"}, nil, "n", 503, "{}", true, KindTransient, false, false},
		{"wanted, and user info is away", []string{"sub"}, []string{"name"}, "n", 503, "{}", true, "", false, false},
		{"user info names another person", []string{"groups"}, nil, "n", 200, `{"sub":"u2","groups":["admins"]}`, true, KindProtocol, false, false},
		{"another nonce", []string{"sub"}, nil, "m", 200, answer, false, KindProtocol, false, false},
		{"no nonce", []string{"sub"}, nil, "", 200, answer, false, KindProtocol, false, false},
	} {
		t.Run(c.about, func(t *testing.T) {
			t.Parallel()
			f, r, client := oidcUpstream(t)
			f.says("GET /userinfo", c.status, c.userInfo)
			got, err := r.At(client).Claims(t.Context(), Tokens{Access: theAccess, ID: sign(claims(f.URL))}, c.nonce, c.needed, c.wanted)
			asked := false
			for _, q := range f.requests() {
				asked = asked || q.path == "/userinfo"
			}
			if asked != c.asked {
				t.Errorf("user info was asked: %t", asked)
			}
			if c.kind != "" {
				want(t, err, c.kind, "")
				return
			}
			_, groups := got["groups"]
			_, name := got["name"]
			if err != nil || got["email"] != "ada@x.example" || got["iss"] != f.URL || groups != c.groups || name != c.name {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
