package models

import (
	"strings"
	"testing"
)

// A5: two subs never become one user, and none becomes a user that an operator names.
func TestA5_ASubBecomesAUserOfItsIssuer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for sub, want := range map[string]string{
		"248289761001": "corp:248289761001", "auth0|5f7c8ec7c33c6c004bbafe82": "corp:auth0%7C5f7c8ec7c33c6c004bbafe82", "a/b:c": "corp:a/b:c",
		"a%7Cb": "corp:a%257Cb", "a|b": "corp:a%7Cb", "Ada": "corp:Ada", "ada": "corp:ada", "é": "corp:%C3%A9", " ": "corp:%20", "<script>": "corp:%3Cscript%3E",
		"\xff": "corp:%FF", strings.Repeat("x", 507): "corp:" + strings.Repeat("x", 507),
	} {
		user, ok := IssuersUser("corp", sub)
		if !ok || user != want || !ValidUser(user) || ValidIdentity(user) {
			t.Errorf("%q: %q, %t", sub, user, ok)
		}
		if other, taken := seen[user]; taken {
			t.Errorf("%q and %q are both %q", sub, other, user)
		}
		seen[user] = sub
	}
	for _, sub := range []string{"", strings.Repeat("x", 508), strings.Repeat("|", 170)} {
		if user, ok := IssuersUser("corp", sub); ok {
			t.Errorf("%q became %q", sub, user)
		}
	}
	for _, user := range []string{"corp:", ":x", "Corp:x", "corp:a b", "corp:%7c", "corp:%7", "corp:\x00", strings.Repeat("n", 33) + ":x", "corp:" + strings.Repeat("x", 508)} {
		if ValidUser(user) {
			t.Errorf("%q is a user", user)
		}
	}
}
