package secrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// KEK is a key elsewhere, in a key management service (KMS), that a keyset is sealed by: a key-encryption key. It sees a
// data key of 32 random bytes, which is another one each time the file is written, and never the keyset. It is called when
// a keyset is read or written, and not for the secrets that the keyset seals.
type KEK interface {
	// Encrypt returns the data key, encrypted so that it opens only for the installation of this name, where the KMS can
	// bind it. Its error has ErrAway in its chain if a later try may succeed.
	Encrypt(ctx context.Context, installation string, key []byte) ([]byte, error)
	// Decrypt returns the data key that Encrypt was given. It may change nothing in what it is given.
	Decrypt(ctx context.Context, installation string, encrypted []byte) ([]byte, error)
	// String names the key in messages and in the file.
	String() string
}

// ErrAway is in the chain of an error of a KMS that may answer at a later try.
var ErrAway = errors.New("it may answer later")

// kekTimeout is how long a KMS may take to answer.
const kekTimeout = 10 * time.Second

// maxKEKAnswer bounds what is read of a KMS's answer.
const maxKEKAnswer = 64 << 10

// Patient asks kek again while it is away: after 1, 2, 4 and 8 seconds. tell is told each time why, and when it is asked
// again.
func Patient(kek KEK, tell func(err error, next time.Duration)) KEK {
	return patient{kek, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}, tell}
}

type patient struct {
	KEK
	waits []time.Duration
	tell  func(error, time.Duration)
}

func (p patient) Encrypt(ctx context.Context, installation string, key []byte) ([]byte, error) {
	return p.ask(ctx, func() ([]byte, error) { return p.KEK.Encrypt(ctx, installation, key) })
}

func (p patient) Decrypt(ctx context.Context, installation string, encrypted []byte) ([]byte, error) {
	return p.ask(ctx, func() ([]byte, error) { return p.KEK.Decrypt(ctx, installation, encrypted) })
}

func (p patient) ask(ctx context.Context, once func() ([]byte, error)) ([]byte, error) {
	for _, wait := range p.waits {
		answer, err := once()
		if !errors.Is(err, ErrAway) || ctx.Err() != nil {
			return answer, err
		}
		p.tell(err, wait)
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
	}
	return once()
}

// sealedFile is what is written in place of a keyset that is sealed.
type sealedFile struct {
	Version  int             `json:"grantdSealedKeyset"` // 1; tells such a file from a keyset in clear
	SealedBy string          `json:"sealedBy"`           // the KEK's name, for people
	DataKey  []byte          `json:"dataKey"`            // encrypted by the KEK
	Keyset   json.RawMessage `json:"keyset"`             // Tink's encrypted keyset, by the data key and AES-256-GCM
}

const sealedVersion = 1

// dataKeySize is the length of a data key, in bytes.
const dataKeySize = 32

// parseSealed returns a sealed keyset, or nil if the data is not one.
func parseSealed(data []byte) *sealedFile {
	var s sealedFile
	if json.Unmarshal(data, &s) != nil || s.Version == 0 {
		return nil
	}
	return &s
}

// bound is what a sealed keyset is bound to by its data key, whether or not the KMS binds that too.
func (f File) bound() []byte { return []byte("grantd sealed keyset 1\n" + f.Installation) }

func (f File) seal(ctx context.Context, handle *keyset.Handle) ([]byte, error) {
	key := make([]byte, dataKeySize)
	rand.Read(key)
	defer clear(key)
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, fmt.Errorf("sealing the keyset: %w", err)
	}
	var text bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewJSONWriter(&text), cipher, f.bound()); err != nil {
		return nil, fmt.Errorf("sealing the keyset: %w", err)
	}
	encrypted, err := f.KEK.Encrypt(ctx, f.Installation, key)
	if err != nil {
		return nil, fmt.Errorf("having the keyset sealed by %s: %w", f.KEK, err)
	}
	// Who may encrypt may not be allowed to decrypt: that is noticed before a keyset is replaced, not at the next start.
	again, err := f.KEK.Decrypt(ctx, f.Installation, bytes.Clone(encrypted))
	if err != nil {
		return nil, fmt.Errorf("%s sealed the keyset and does not open it again: %w", f.KEK, err)
	}
	defer clear(again)
	if !bytes.Equal(again, key) {
		return nil, fmt.Errorf("%s sealed the keyset and does not open it again: it returned another key than it was given", f.KEK)
	}
	file, err := json.MarshalIndent(sealedFile{sealedVersion, f.KEK.String(), encrypted, text.Bytes()}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the sealed keyset: %w", err)
	}
	return append(file, '\n'), nil
}

func (f File) unseal(ctx context.Context, s *sealedFile) (*keyset.Handle, error) {
	switch {
	case s.Version != sealedVersion:
		return nil, fmt.Errorf("%s was sealed by a newer grantd (version %d of the format)", f.Path, s.Version)
	case f.KEK == nil:
		return nil, fmt.Errorf("%s is sealed, by %q; set GRANTD_KEYSET_KEK to the key that opens it", f.Path, outside(s.SealedBy))
	}
	key, err := f.KEK.Decrypt(ctx, f.Installation, s.DataKey)
	if err != nil {
		return nil, fmt.Errorf("%s does not open %s, which was sealed by %q: %w", f.KEK, f.Path, outside(s.SealedBy), err)
	}
	defer clear(key)
	if len(key) != dataKeySize {
		return nil, fmt.Errorf("%s does not open %s: it returned %d bytes, which is no data key", f.KEK, f.Path, len(key))
	}
	cipher, err := subtle.NewAESGCM(key)
	if err != nil {
		return nil, fmt.Errorf("opening the keyset: %w", err)
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewJSONReader(bytes.NewReader(s.Keyset)), cipher, f.bound())
	if err != nil {
		return nil, fmt.Errorf("%s does not open with the key that %s returned: it is damaged, or GRANTD_KEYSET_CONTEXT is not the one that it was sealed with", f.Path, f.KEK)
	}
	return handle, nil
}

// longWord is what a data key may look like in a text: 32 bytes are 43 characters of base64 or 64 of hex.
var longWord = regexp.MustCompile(`[A-Za-z0-9+/_=-]{43,}`)

// outside makes a text that a KMS or a program wrote fit for a message: it is one line of at most 300 characters, and what
// may be a key is left out.
func outside(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, text)
	text = longWord.ReplaceAllString(strings.TrimSpace(text), "[…]")
	if short := []rune(text); len(short) > 300 {
		return string(short[:300]) + "…"
	}
	return text
}
