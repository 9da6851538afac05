package api

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// An admin's consent comes back as a query that anybody can write. There is no
// service behind this server, so whatever would take it for more than a page panics
// and shows; and nothing of the query does.
func TestA2_AnAdminsConsentIsOnlyAPage(t *testing.T) {
	s := newTestServer(t)
	const path = "/external-auth/p1/callback?"
	for _, query := range []string{"admin_consent=True&tenant=evil-tenant&scope=User.Read", "admin_consent=true&tenant=evil-tenant"} {
		got := s.send(t, httptest.NewRequest("GET", path+query, nil))
		if got.status != 200 || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", query, got.status, got.header)
		}
		if !strings.Contains(got.raw, "an administrator has consented") || strings.Contains(got.raw, "must finish it") {
			t.Errorf("%s: shows %s", query, got.raw)
		}
		if strings.Contains(got.raw, "evil") || strings.Contains(got.raw, "{{") {
			t.Errorf("%s: repeats the query: %s", query, got.raw)
		}
	}
}

// As the result of a consent it is refused: there is neither code nor error in it.
func TestA2_AnAdminsConsentIsNoCallback(t *testing.T) {
	s := newTestServer(t)
	got := s.ask(t, "POST", "/api/v2/externalOAuth/providers/callback/",
		`{"providerId":"p1","state":"some-state","admin_consent":"True","tenant":"t"}`)
	if got.status != 422 || got.field("admin_consent") == "" || got.field("tenant") == "" {
		t.Errorf("%d %s", got.status, got.raw)
	}
}
