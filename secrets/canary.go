package secrets

import (
	"errors"
	"fmt"
)

var (
	canaryOwner = owner("canary")
	canaryText  = "grantd"
)

// Canary seals a known value. The database keeps it, so that a start with the
// keyset of another database is noticed before anything is written.
func (k *Keyring) Canary() ([]byte, error) {
	return k.Seal(canaryOwner, []byte(canaryText))
}

// CheckCanary reports whether this keyset belongs to the database which the
// canary was read from; when not, the error has ErrUndecryptable in its chain.
func (k *Keyring) CheckCanary(sealed []byte) error {
	text, err := k.Open(canaryOwner, sealed)
	if err != nil {
		return fmt.Errorf("the keyset does not belong to this database: %w", err)
	}
	if string(text) != canaryText {
		return errors.New("the database's canary holds something else")
	}
	return nil
}
