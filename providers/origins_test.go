package providers

import (
	"context"
	"net/url"
	"slices"
	"testing"

	"github.com/grantd/grantd/models"
)

// cellOrigins: what a type's calls are expected to reach is what they reach, so that a
// pause which was noted for the origin that answered is found before the next call.
func cellOrigins(t *testing.T, s *strict) {
	tokens := s.login()
	calls := []struct {
		name    string
		purpose Purpose
		call    func(context.Context) error
	}{
		{"refresh", ForTokens, func(ctx context.Context) error {
			if tokens.Refresh == "" {
				return nil
			}
			fresh, err := s.r.At(s.c).Refresh(ctx, tokens)
			if fresh.Refresh == "" {
				fresh.Refresh = tokens.Refresh
			}
			tokens = fresh
			return err
		}},
		{"reset", ForTokens, func(ctx context.Context) error {
			if !s.typ.ResetsInPlace {
				return nil
			}
			fresh, err := s.r.At(s.c).Reset(ctx, tokens)
			fresh.Refresh = tokens.Refresh
			tokens = fresh
			return err
		}},
		{"user info", ForFacts, func(ctx context.Context) error {
			_, err := s.r.At(s.c).UserInfo(ctx, tokens.Access)
			return err
		}},
		{"check", ForFacts, func(ctx context.Context) error { _, err := s.r.At(s.c).Check(ctx, tokens); return err }},
		{"revoke", ForRevocation, func(ctx context.Context) error {
			_, err := s.r.At(s.c).Revoke(ctx, tokens, models.RevokeGrant)
			return err
		}},
	}
	for _, c := range calls {
		ctx := WithAnswers(t.Context())
		if err := c.call(ctx); err != nil {
			t.Fatalf("%s: %v (%s)", c.name, err, texts(err))
		}
		expected := s.r.At(s.c).CalledAt(c.purpose)
		for _, origin := range AnsweredBy(ctx) {
			if !slices.Contains(expected, origin) {
				t.Errorf("%s was answered by %s, expected were %v", c.name, origin, expected)
			}
		}
	}
}

// One origin has one name, however a config spells it.
func TestOriginsAreNamedInOneWay(t *testing.T) {
	for spelled, want := range map[string]string{
		"https://API.Example.com/x":      "https://api.example.com",
		"https://api.example.com:443/":   "https://api.example.com",
		"http://api.example.com:80":      "http://api.example.com",
		"https://api.example.com:80/":    "https://api.example.com:80",
		"https://api.example.com:8443/y": "https://api.example.com:8443",
	} {
		at, err := url.Parse(spelled)
		if err != nil {
			t.Fatal(err)
		}
		if got := called(at); got != want {
			t.Errorf("%s is named %s, want %s", spelled, got, want)
		}
	}
}
