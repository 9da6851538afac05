package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/grantd/grantd/models"
)

// ErrUndecryptable means that a sealed value does not open: it belongs to
// another owner, was damaged, or its key is not in the keyset. Nothing follows
// from it about the value itself, so it is our own unavailability, never a
// change of status.
var ErrUndecryptable error = &models.Error{
	Code:    models.CodeUnavailable,
	Message: "A stored secret cannot be opened with this server's keys.",
	Detail:  "undecryptable",
}

// PrefixSize is how many bytes at the start of a sealed value name its key.
const PrefixSize = 5

// Keyring seals with its primary key and opens with any of its keys. It is safe
// for concurrent use and prints as "[redacted]".
type Keyring struct {
	aead   tink.AEAD
	prefix []byte
	macs   []macKey // the primary key's first
}

// Generate makes a Keyring that lives in memory only, for tests and demos: what
// it sealed is lost with the process.
func Generate() (*Keyring, error) {
	handle, err := newHandle()
	if err != nil {
		return nil, err
	}
	return newKeyring(handle)
}

func newHandle() (*keyset.Handle, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a keyset: %w", err)
	}
	return handle, nil
}

// newKeyring builds the primitive once, so that Open costs one decryption.
func newKeyring(handle *keyset.Handle) (*Keyring, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("the keyset holds no usable AEAD keys: %w", err)
	}
	prefix, err := primaryPrefix(handle)
	if err != nil {
		return nil, err
	}
	macs, err := macKeys(handle)
	if err != nil {
		return nil, err
	}
	if len(macs) == 0 || !bytes.Equal(macs[0].prefix, prefix) {
		return nil, errors.New("the primary key is not of the kind that grantd makes (AES-256-GCM)")
	}
	return &Keyring{aead: primitive, prefix: prefix, macs: macs}, nil
}

// primaryPrefix refuses keys without a prefix: of what they sealed nobody could
// say which key it needs, so no key could ever leave the keyset.
func primaryPrefix(handle *keyset.Handle) ([]byte, error) {
	entry, err := handle.Primary()
	if err != nil {
		return nil, fmt.Errorf("the keyset has no primary key: %w", err)
	}
	key, ok := entry.Key().(interface{ OutputPrefix() []byte })
	if !ok || len(key.OutputPrefix()) != PrefixSize {
		return nil, errors.New("the primary key does not put its name before what it seals (output prefix TINK)")
	}
	return key.OutputPrefix(), nil
}

// Seal encrypts plaintext so that it opens only for o.
func (k *Keyring) Seal(o Owner, plaintext []byte) ([]byte, error) {
	if len(o.data) == 0 {
		return nil, errors.New("sealing: no owner given")
	}
	sealed, err := k.aead.Encrypt(plaintext, o.data)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return sealed, nil
}

// Open decrypts what was sealed for o. It fails with ErrUndecryptable and says
// nothing about why: a cipher that explains itself helps those who probe it.
func (k *Keyring) Open(o Owner, sealed []byte) ([]byte, error) {
	plaintext, err := k.aead.Decrypt(sealed, o.data)
	if err != nil || len(o.data) == 0 {
		return nil, ErrUndecryptable
	}
	return plaintext, nil
}

// PrimaryPrefix returns the 5 bytes that begin everything the primary key seals.
// Rows that begin otherwise wait to be sealed again.
func (k *Keyring) PrimaryPrefix() []byte { return bytes.Clone(k.prefix) }

const redacted = "[redacted]"

// String returns "[redacted]".
func (Keyring) String() string { return redacted }

// Format prints "[redacted]" for every verb.
func (Keyring) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue implements slog.LogValuer.
func (Keyring) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which JSON uses too.
func (Keyring) MarshalText() ([]byte, error) { return []byte(redacted), nil }
