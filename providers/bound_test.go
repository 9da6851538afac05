package providers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Finding F13: the same place written in another way was another place.
func TestPlacesAreWrittenInOneWay(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		"https://idp.example/a":               "https://idp.example/a",
		"HTTPS://IDP.Example/A":               "https://idp.example/A",
		"https://idp.example:443/a":           "https://idp.example/a",
		"https://idp.example.:443/a":          "https://idp.example/a",
		"http://idp.example:80":               "http://idp.example",
		"https://idp.example:80/":             "https://idp.example:80/",
		"http://idp.example:443/":             "http://idp.example:443/",
		"https://[2001:DB8::1]:443/a":         "https://[2001:db8::1]/a",
		"https://[2001:db8::1]:8443/a":        "https://[2001:db8::1]:8443/a",
		"https://idp.example/a%2fb?x=%C3%A9y": "https://idp.example/a%2fb?x=%C3%A9y",
		"https://idp.example/a/":              "https://idp.example/a/", // another path
		"":                                    "",
		"https://%zz":                         "https://%zz",
		"/a":                                  "/a",
	} {
		if got := normalised(written); got != want {
			t.Errorf("%q is written %q, want %q", written, got, want)
		}
	}
}

// A4, D1: digests of these lists are stored, so that they may not change for a client,
// or its tokens are served no more. A change of one needs a third version and
// keeps this one beside it.
func TestA4_WhatIsBoundStaysWhatItWas(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{TestHost: "http://idp.test:9000"})
	for _, tc := range []struct {
		c            Client
		bound, grant string
	}{
		{Client{Type: "github", ID: "c"},
			"issuer https://github.com/login/oauth, authorize https://github.com/login/oauth/authorize, token https://github.com/login/oauth/access_token, device https://github.com/login/device/code, api https://api.github.com",
			"github, , c, https://github.com/login/oauth/authorize, https://github.com/login/oauth/access_token, , https://api.github.com"},
		{Client{Type: "github", ID: "c", Host: "git.example.com"},
			"issuer https://git.example.com/login/oauth, authorize https://git.example.com/login/oauth/authorize, token https://git.example.com/login/oauth/access_token, device https://git.example.com/login/device/code, api https://git.example.com/api/v3",
			"github, , c, https://git.example.com/login/oauth/authorize, https://git.example.com/login/oauth/access_token, , https://git.example.com/api/v3"},
		{Client{Type: "gitlab", ID: "c", Host: "git.example.com", Config: map[string]any{"path": "/lab"}},
			"issuer https://git.example.com/lab, authorize https://git.example.com/lab/oauth/authorize, token https://git.example.com/lab/oauth/token, device https://git.example.com/lab/oauth/authorize_device, revoke https://git.example.com/lab/oauth/revoke, userinfo https://git.example.com/lab/oauth/userinfo",
			"gitlab, , c, https://git.example.com/lab/oauth/authorize, https://git.example.com/lab/oauth/token, https://git.example.com/lab/oauth/userinfo, "},
		{Client{Type: "google", ID: "123-x.apps.googleusercontent.com"},
			"issuer https://accounts.google.com, authorize https://accounts.google.com/o/oauth2/v2/auth, token https://oauth2.googleapis.com/token, device https://oauth2.googleapis.com/device/code, revoke https://oauth2.googleapis.com/revoke, userinfo https://openidconnect.googleapis.com/v1/userinfo",
			"google, , 123, https://accounts.google.com/o/oauth2/v2/auth, https://oauth2.googleapis.com/token, https://openidconnect.googleapis.com/v1/userinfo, "},
		{Client{Type: "microsoft", ID: "c"},
			"authorize https://login.microsoftonline.com/common/oauth2/v2.0/authorize, token https://login.microsoftonline.com/common/oauth2/v2.0/token, device https://login.microsoftonline.com/common/oauth2/v2.0/devicecode, api https://graph.microsoft.com/v1.0",
			"microsoft, , c, https://login.microsoftonline.com/common/oauth2/v2.0/authorize, https://login.microsoftonline.com/common/oauth2/v2.0/token, , https://graph.microsoft.com/v1.0"},
		{Client{Type: "box", ID: "c"},
			"authorize https://account.box.com/api/oauth2/authorize, token https://api.box.com/oauth2/token, revoke https://api.box.com/oauth2/revoke, api https://api.box.com/2.0",
			"box, , c, https://account.box.com/api/oauth2/authorize, https://api.box.com/oauth2/token, , https://api.box.com/2.0"},
		{Client{Type: "bitbucket", ID: "c"},
			"authorize https://bitbucket.org/site/oauth2/authorize, token https://bitbucket.org/site/oauth2/access_token, api https://api.bitbucket.org/2.0",
			"bitbucket, , c, https://bitbucket.org/site/oauth2/authorize, https://bitbucket.org/site/oauth2/access_token, , https://api.bitbucket.org/2.0"},
		{Client{Type: "oidc", ID: "c", Config: map[string]any{"issuer": "https://IDP.example:443/a", "revokeUrl": "https://idp.example/r"}},
			"issuer https://idp.example/a, revoke https://idp.example/r",
			"oidc, acme, c, https://idp.example/a"},
		{Client{Type: "oauth2", ID: "c", Config: map[string]any{"authorizeUrl": "https://idp.example/a", "tokenUrl": "https://idp.example/t", "userInfoUrl": "https://idp.example/u",
			"revokeUrl": "https://idp.example/r", "introspectUrl": "https://idp.example/i", "deviceUrl": "https://idp.example/d", "issuer": "https://idp.example", "settingsUrl": "https://idp.example/s",
			"claims": map[string]any{"sub": "data.id"}}},
			"issuer https://idp.example, authorize https://idp.example/a, token https://idp.example/t, device https://idp.example/d, revoke https://idp.example/r, introspect https://idp.example/i, userinfo https://idp.example/u, sub data.id",
			"oauth2, acme, c, https://idp.example/a, https://idp.example/t, https://idp.example/u, , data.id"},
		{Client{Type: "test", ID: "c"},
			"issuer http://idp.test:9000, authorize http://idp.test:9000/authorize, token http://idp.test:9000/token, device http://idp.test:9000/device, revoke http://idp.test:9000/revoke, introspect http://idp.test:9000/introspect, userinfo http://idp.test:9000/userinfo",
			"test, , c, http://idp.test:9000/authorize, http://idp.test:9000/token, http://idp.test:9000/userinfo, "},
	} {
		if diff := cmp.Diff(tc.bound, strings.Join(r.At(tc.c).Bound(), ", ")); diff != "" {
			t.Errorf("%s is bound to: %s", tc.c.Type, diff)
		}
		if diff := cmp.Diff(tc.grant, strings.Join(r.At(tc.c).Grant("acme"), ", ")); diff != "" {
			t.Errorf("the grant of %s: %s", tc.c.Type, diff)
		}
	}
}
