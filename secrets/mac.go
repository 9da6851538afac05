package secrets

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// An access token can be looked up by its MAC without being stored: whoever reads the database can neither tell the
// token from it, nor try tokens against it without the keyset.

// macUse separates the keys of MACs from whatever else may be derived from a keyset.
const macUse = "grantd v1 access token MAC"

// macKey is derived from one key of the keyset, whose prefix begins every MAC that is made with it.
type macKey struct{ prefix, key []byte }

func (k macKey) sum(text []byte) []byte {
	h := hmac.New(sha256.New, k.key)
	h.Write(text)
	return h.Sum(append([]byte{}, k.prefix...))
}

// macKeys derives a key from each enabled key of the keyset, the primary one first.
func macKeys(handle *keyset.Handle) ([]macKey, error) {
	var keys []macKey
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("reading key %d of the keyset: %w", i+1, err)
		}
		sealing, ok := entry.Key().(*aesgcm.Key)
		if !ok || entry.KeyStatus() != keyset.Enabled {
			continue
		}
		derived, err := hkdf.Key(sha256.New, sealing.KeyBytes().Data(insecuresecretdataaccess.Token{}), nil, macUse, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("deriving a key from key %d of the keyset: %w", i+1, err)
		}
		k := macKey{sealing.OutputPrefix(), derived}
		if entry.IsPrimary() {
			keys = append([]macKey{k}, keys...)
		} else {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// MAC returns what text is looked up by once it is stored: the prefix of the primary key, and an HMAC-SHA-256 under a key
// that is derived from it.
func (k *Keyring) MAC(text []byte) []byte { return k.macs[0].sum(text) }

// MACs returns what text may have been stored as: a MAC for each key of the keyset, the primary one's first.
func (k *Keyring) MACs(text []byte) [][]byte {
	all := make([][]byte, len(k.macs))
	for i, key := range k.macs {
		all[i] = key.sum(text)
	}
	return all
}
