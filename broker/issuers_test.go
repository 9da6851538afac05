package broker

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func decodedClaims(t *testing.T, raw string) map[string]any {
	t.Helper()
	var claims map[string]any
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// Two bearers never become one user, whatever stands in their claims.
func TestA5_ATemplateKeepsBearersApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		template, claims, user string
		shared                 bool
	}{
		{"sub", `{"sub":"a"}`, "ci:a", false},
		{"sub", `{"sub":"system:serviceaccount:web:backend"}`, "ci:system:serviceaccount:web:backend", false},
		{"sub", `{"sub":"ä b"}`, "ci:%C3%A4%20b", false},
		{"id", `{"id":12345678901234567890}`, "ci:12345678901234567890", false},
		{"{org}:{project}", `{"org":"1","project":2}`, "ci:1:2", false},
		{"job/{org}/{project}", `{"org":"1:2","project":"3"}`, "ci:job/1:2/3", false},
		{"{org}:{project}", `{"org":"1:2","project":"3"}`, "", false},
		{"{org}:{project}", `{"org":"1","project":"2:3"}`, "", false},
		{"{org}:{project}", `{"org":"1"}`, "", false},
		{"sub", `{"sub":["a"]}`, "", false}, {"sub", `{"sub":""}`, "", false}, {"sub", `{"sub":null}`, "", false}, {"sub", `{"sub":true}`, "", false},
		{"sub", `{"sub":"\ud800"}`, "", false}, {"sub", "{\"sub\":\"a\xff\"}", "", false}, // which would become one character
		{"sub", `{"sub":"ada"}`, "ada", true}, {"sub", `{"sub":"a:b"}`, "", true}, {"sub", `{"sub":"app-web"}`, "", true},
	} {
		entry := TrustedIssuer{Name: "ci", User: UserClaim{Template: c.template, Shared: c.shared}}
		if user, ok := entry.userOf(decodedClaims(t, c.claims)); ok != (c.user != "") || ok && user != c.user {
			t.Errorf("%s of %s: %q, %v", c.template, c.claims, user, ok)
		}
	}
}

func TestA5_RulesAreExactOrPrefixes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule   Rule
		claims string
		fits   bool
	}{
		{Rule{"c", "a", false}, `{"c":"a"}`, true},
		{Rule{"c", "a", false}, `{"c":"A"}`, false},
		{Rule{"c", "a", false}, `{"c":["b","a"]}`, true},
		{Rule{"c", "a", false}, `{"c":[["a"]]}`, false},
		{Rule{"c", "a", false}, `{"c":{"a":"a"}}`, false},
		{Rule{"c", "a", false}, `{"d":"a"}`, false},
		{Rule{"c", "12", false}, `{"c":12}`, true},
		{Rule{"c", "12", false}, `{"c":12.0}`, false},
		{Rule{"c", "9007199254740993", false}, `{"c":[9007199254740992]}`, false},
		{Rule{"c", "9007199254740993", false}, `{"c":[9007199254740993]}`, true},
		{Rule{"c", "true", false}, `{"c":true}`, false},
		{Rule{"c", "a/", true}, `{"c":"a/b"}`, true},
		{Rule{"c", "a/", true}, `{"c":"a-evil/b"}`, false},
		{Rule{"c", "a/", true}, `{"c":["x","a/"]}`, true},
	} {
		if got := c.rule.fits(decodedClaims(t, c.claims)); got != c.fits {
			t.Errorf("%v of %s: %v", c.rule, c.claims, got)
		}
	}
}

// A full share of remembered tokens makes room for a new one, and never grows.
func TestH1_AnIssuersShareOfRememberedBearersIsBounded(t *testing.T) {
	t.Parallel()
	i := &issuer{bearers: map[[32]byte]bearer{}}
	for n := range bearerLimit + 10 {
		i.remember([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}, bearer{}, time.Now())
	}
	if len(i.bearers) != bearerLimit {
		t.Errorf("%d are remembered, want %d", len(i.bearers), bearerLimit)
	}
	if _, ok := i.bearers[[32]byte{byte((bearerLimit + 9) & 255), byte((bearerLimit + 9) >> 8)}]; !ok {
		t.Error("the latest is not among them")
	}
}
