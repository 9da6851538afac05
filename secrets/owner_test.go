package secrets

import "testing"

// Each list begins with the rightful owner; the others differ from it in one
// value, or shift bytes from one value to its neighbour.
var rivals = map[string][]Owner{
	"credential": {
		CredentialOwner("c", "a", "org", "user", "p"),
		CredentialOwner("d", "a", "org", "user", "p"),
		CredentialOwner("c", "b", "org", "user", "p"),
		CredentialOwner("c", "a", "org2", "user", "p"),
		CredentialOwner("c", "a", "org", "user2", "p"),
		CredentialOwner("c", "a", "org", "user", "q"),
		CredentialOwner("ca", "", "org", "user", "p"),
		CredentialOwner("c", "a", "orgu", "ser", "p"),
		CredentialOwner("c", "a", "org", "", "userp"),
		FlowOwner("c", "a", "org", "user", "p"),
		SecretOwner("c", "a", "org", "user", "p", nil),
	},
	"secret": {
		SecretOwner("s", "p", "org", "gitlab", "client", []string{"https://a", "https://b"}),
		SecretOwner("s", "p", "org", "gitlab", "client2", []string{"https://a", "https://b"}),
		SecretOwner("s", "p", "org", "github", "client", []string{"https://a", "https://b"}),
		SecretOwner("s", "p", "org", "gitlab", "client", []string{"https://a", "https://evil"}),
		SecretOwner("s", "p", "org", "gitlab", "client", []string{"https://b", "https://a"}),
		SecretOwner("s", "p", "org", "gitlab", "client", []string{"https://ahttps://b"}),
		SecretOwner("s", "p", "org", "gitlab", "client", []string{"https://a", "https://b", ""}),
		SecretOwner("s", "p", "org", "gitlab", "client", []string{"https://a"}),
		SecretOwner("s", "p", "org", "gitlab", "client", nil),
		SecretOwnerV1("s", "p", "org", "gitlab", "client", []string{"https://a", "https://b"}),
	},
	"superseded": {
		SupersededOwner("k", "org", "grant"),
		SupersededOwner("k2", "org", "grant"),
		SupersededOwner("k", "org2", "grant"),
		SupersededOwner("k", "org", "grant2"),
		FlowOwner("k", "org", "grant", "", ""),
	},
	"flow": {
		FlowOwner("f", FlowRequest, "org", "user", "p"),
		FlowOwner("f", FlowTokens, "org", "user", "p"),
		FlowOwner("g", FlowRequest, "org", "user", "p"),
		FlowOwner("f", FlowRequest, "org", "other", "p"),
		CredentialOwner("f", FlowRequest, "org", "user", "p"),
		canaryOwner,
	},
}

// TestK1_ARowCopiedToAnotherOwnerDoesNotOpen: somebody who can write the database
// must not be able to read a token by copying its row to an owner of their own.
func TestK1_ARowCopiedToAnotherOwnerDoesNotOpen(t *testing.T) {
	t.Parallel()
	k := generate(t)
	for name, owners := range rivals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sealed := seal(t, k, owners[0], "token")
			mustOpen(t, k, owners[0], sealed, "token")
			for _, rival := range owners[1:] {
				mustNotOpen(t, k, rival, sealed)
			}
		})
	}
}

// TestK1_LengthsKeepValuesApart: without length prefixes these would be one.
func TestK1_LengthsKeepValuesApart(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	owners := []Owner{
		CredentialOwner("a", "bc", "d", "e", "f"), CredentialOwner("ab", "c", "d", "e", "f"),
		CredentialOwner("abcdef", "", "", "", ""), CredentialOwner("", "", "", "", "abcdef"),
		SecretOwner("a", "b", "c", "d", "e", []string{"f"}), SecretOwner("a", "b", "c", "d", "ef", nil),
		SecretOwner("a", "b", "c", "d", "e", []string{"f", ""}), SecretOwner("a", "b", "c", "d", "e", []string{"", "f"}),
	}
	for i, o := range owners {
		if other, ok := seen[string(o.data)]; ok {
			t.Errorf("owners %d and %d are the same", i, other)
		}
		seen[string(o.data)] = i
	}
}

// TestK1_TheFormIsFixed: what was sealed years ago must still open, so the bytes
// of an owner may never change.
func TestK1_TheFormIsFixed(t *testing.T) {
	t.Parallel()
	const rest = "\x00\x00\x00\x06secret\x00\x00\x00\x01s\x00\x00\x00\x01p" +
		"\x00\x00\x00\x01o\x00\x00\x00\x01t\x00\x00\x00\x01c\x00\x00\x00\x01\x00\x00\x00\x03x:y"
	for version, o := range map[string]Owner{
		"v1": SecretOwnerV1("s", "p", "o", "t", "c", []string{"x:y"}),
		"v2": SecretOwner("s", "p", "o", "t", "c", []string{"x:y"}),
	} {
		if got, want := string(o.data), "\x00\x00\x00\x02"+version+rest; got != want {
			t.Errorf("the owner of %s is %q, was %q", version, got, want)
		}
	}
}
