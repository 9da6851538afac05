package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/grantd/grantd/models"
)

func generate(t testing.TB) *Keyring {
	t.Helper()
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t testing.TB, k *Keyring, o Owner, text string) []byte {
	t.Helper()
	sealed, err := k.Seal(o, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func mustOpen(t *testing.T, k *Keyring, o Owner, sealed []byte, want string) {
	t.Helper()
	if got, err := k.Open(o, sealed); err != nil || string(got) != want {
		t.Fatalf("Open = %q, %v; want %q", got, err, want)
	}
}

func mustNotOpen(t *testing.T, k *Keyring, o Owner, sealed []byte) {
	t.Helper()
	if got, err := k.Open(o, sealed); !errors.Is(err, ErrUndecryptable) || got != nil {
		t.Fatalf("Open = %q, %v; want ErrUndecryptable", got, err)
	}
}

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	t.Parallel()
	k, o := generate(t), CredentialOwner("c", "a", "o", "u", "p")
	for _, text := range []string{"", "token", strings.Repeat("x", 32<<10)} {
		sealed := seal(t, k, o, text)
		if len(text) > 0 && bytes.Contains(sealed, []byte(text)) {
			t.Fatal("the sealed value shows its text")
		}
		mustOpen(t, k, o, sealed, text)
	}
}

func TestOpenRefusesWhatWasDamaged(t *testing.T) {
	t.Parallel()
	k, o := generate(t), CredentialOwner("c", "a", "o", "u", "p")
	sealed := seal(t, k, o, "token")
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		mustNotOpen(t, k, o, damaged)
	}
	mustNotOpen(t, k, o, nil)
	mustNotOpen(t, k, o, sealed[:PrefixSize])
	mustNotOpen(t, generate(t), o, sealed)
}

func TestUndecryptableIsOurUnavailability(t *testing.T) {
	t.Parallel()
	_, err := generate(t).Open(CredentialOwner("c", "a", "o", "u", "p"), []byte("nothing"))
	if code := models.CodeOf(err); code != models.CodeUnavailable {
		t.Fatalf("code = %q", code)
	}
}

func TestNobodyOwnsNothing(t *testing.T) {
	t.Parallel()
	if _, err := generate(t).Seal(Owner{}, []byte("token")); err == nil {
		t.Fatal("sealed without an owner")
	}
}

func TestKeyringPrintsRedacted(t *testing.T) {
	t.Parallel()
	k := generate(t)
	encoded, err := json.Marshal(map[string]any{"k": k, "v": *k})
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("start", "keys", k)
	prints := []string{fmt.Sprint(k), fmt.Sprintf("%+v", *k), fmt.Sprintf("%#v", k), fmt.Sprintf("%x", k), string(encoded), logged.String()}
	for _, p := range prints {
		if !strings.Contains(p, redacted) || strings.Contains(p, "{0x") {
			t.Errorf("prints %s", p)
		}
	}
}

// TestK3_RowsOfAnOlderKeyAreTold rotates: the old key goes on opening, and the
// prefix tells its rows from those of the new primary key.
func TestK3_RowsOfAnOlderKeyAreTold(t *testing.T) {
	t.Parallel()
	handle, err := newHandle()
	if err != nil {
		t.Fatal(err)
	}
	before, after := keyring(t, handle), keyring(t, rotated(t, handle))

	o := SecretOwner("s", "p", "o", "github", "client", nil)
	old, fresh := seal(t, before, o, "old"), seal(t, after, o, "fresh")
	mustOpen(t, after, o, old, "old")
	mustNotOpen(t, before, o, fresh)
	if !bytes.HasPrefix(old, before.PrimaryPrefix()) || bytes.HasPrefix(old, after.PrimaryPrefix()) {
		t.Error("a row of the old key is not told by its prefix")
	}
	if !bytes.HasPrefix(fresh, after.PrimaryPrefix()) {
		t.Error("a row of the new key is not told by its prefix")
	}
}

func keyring(t *testing.T, handle *keyset.Handle) *Keyring {
	t.Helper()
	k, err := newKeyring(handle)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rotated returns handle with one more key, which is the primary.
func rotated(t *testing.T, handle *keyset.Handle) *keyset.Handle {
	t.Helper()
	m := keyset.NewManagerFromHandle(handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetPrimary(id); err != nil {
		t.Fatal(err)
	}
	next, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestK3_KeysWithoutAPrefixAreRefused(t *testing.T) {
	t.Parallel()
	handle, err := keyset.NewHandle(aead.AES256GCMNoPrefixKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newKeyring(handle); err == nil || !strings.Contains(err.Error(), "prefix") {
		t.Fatalf("err = %v", err)
	}
}

func BenchmarkOpen(b *testing.B) {
	k, o := generate(b), CredentialOwner("c", "a", "o", "u", "p")
	sealed := seal(b, k, o, strings.Repeat("x", 1200))
	for b.Loop() {
		if _, err := k.Open(o, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
