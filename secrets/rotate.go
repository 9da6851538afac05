package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Rotation takes two steps (K3): a key is added to the keyset of every process,
// and only then promoted. A process that has not read the file since the key was
// added cannot open what the promoted key seals. A key leaves when no sealed
// value begins with its prefix any more.

// Key is one key of a keyset, without the key.
type Key struct {
	ID      uint32
	Primary bool // the one that seals
	Enabled bool // a disabled key, which only other tools make, opens nothing
	// Prefix begins every value that the key sealed. "" is a key that leaves no
	// mark; grantd never seals with one.
	Prefix string
}

// Keys lists the keys of the keyset at path, in the file's order.
func Keys(path string) ([]Key, error) {
	handle, err := readHandle(path)
	if err != nil {
		return nil, err
	}
	return keysOf(path, handle)
}

func keysOf(path string, handle *keyset.Handle) ([]Key, error) {
	keys := make([]Key, handle.Len())
	for i := range keys {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("%s: key %d of %d: %w", path, i+1, len(keys), err)
		}
		keys[i] = Key{ID: entry.KeyID(), Primary: entry.IsPrimary(), Enabled: entry.KeyStatus() == keyset.Enabled}
		if marked, ok := entry.Key().(interface{ OutputPrefix() []byte }); ok {
			keys[i].Prefix = string(marked.OutputPrefix())
		}
	}
	return keys, nil
}

// Find returns the key with this id among those of the keyset at path.
func Find(path string, keys []Key, id uint32) (Key, error) {
	for _, k := range keys {
		if k.ID == id {
			return k, nil
		}
	}
	return Key{}, fmt.Errorf("there is no key %d in %s; `grantd keys list` shows those there are", id, path)
}

// AddKey adds a key to the keyset at path and returns its id. It opens, but does
// not seal before it is promoted.
func AddKey(path string) (uint32, error) {
	var id uint32
	err := change(path, func(m *keyset.Manager, _ []Key) (err error) {
		id, err = m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
	return id, err
}

// Promote makes a key of the keyset at path the one that seals.
func Promote(path string, id uint32) error {
	return change(path, func(m *keyset.Manager, keys []Key) error {
		k, err := Find(path, keys, id)
		if err == nil && !k.Enabled {
			err = fmt.Errorf("key %d is disabled and cannot seal", id)
		}
		if err != nil {
			return err
		}
		return m.SetPrimary(id)
	})
}

// Remove takes a key out of the keyset at path, for good. It refuses the primary;
// that nothing needs the key any more is for the caller to know.
func Remove(path string, id uint32) error {
	return change(path, func(m *keyset.Manager, keys []Key) error {
		k, err := Find(path, keys, id)
		if err == nil && k.Primary {
			err = fmt.Errorf("key %d is the primary, with which everything is sealed; promote another one first", id)
		}
		if err != nil {
			return err
		}
		return m.Delete(id)
	})
}

// change replaces the keyset at path with an altered one, whole or not at all. No
// copy of the old one stays behind: it would be secrets that nobody looks after.
// Where path is a link, what it points to is replaced.
func change(path string, alter func(*keyset.Manager, []Key) error) error {
	if _, err := readHandle(path); err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("finding the keyset: %w", err)
	}
	next, err := begin(target + ".new")
	if err != nil {
		return err
	}
	err = write(next, target, alter)
	if err = errors.Join(err, next.Close()); err == nil {
		err = replace(next.Name(), target)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return syncDir(filepath.Dir(target))
}

func replace(next, target string) error {
	if err := os.Rename(next, target); err != nil {
		return fmt.Errorf("replacing the keyset, which stays as it was: %w", err)
	}
	return nil
}

// begin makes the file that will be the keyset. Its name is the lock, too: two
// changes at once would lose one of them.
func begin(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("another command is changing the keyset, or was killed while it did; if none is running, delete %s: %w", path, fs.ErrExist)
	}
	if err != nil {
		return nil, fmt.Errorf("the keyset is replaced by writing a new file beside it, which failed: %w", err)
	}
	return f, nil
}

// write fills next with the altered keyset, on disk before it is renamed. What
// Load would refuse is not written.
func write(next *os.File, path string, alter func(*keyset.Manager, []Key) error) error {
	before, err := readHandle(path)
	if err != nil {
		return err
	}
	keys, err := keysOf(path, before)
	if err != nil {
		return err
	}
	m := keyset.NewManagerFromHandle(before)
	if err := alter(m, keys); err != nil {
		return err
	}
	after, err := m.Handle()
	if err != nil {
		return fmt.Errorf("altering the keyset: %w", err)
	}
	if _, err := newKeyring(after); err != nil {
		return err
	}
	text, err := encode(after)
	if err != nil {
		return err
	}
	if err := dress(next, path); err != nil {
		return err
	}
	_, err = next.Write(text)
	if err = errors.Join(err, next.Sync()); err != nil {
		return fmt.Errorf("writing the new keyset; the old one stays as it was: %w", err)
	}
	return nil
}

// dress gives the new file the owner and the mode of the old one, so that who
// could read the keyset still can: root may be the one who rotates.
func dress(next *os.File, path string) error {
	was, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := keepOwner(next, was); err != nil {
		return fmt.Errorf("the new keyset file cannot be given the owner of the old one, who could then not read it; run this command as that user: %w", err)
	}
	return next.Chmod(was.Mode().Perm())
}

// Reseal opens what was sealed for o with any key and seals it with the primary.
func (k *Keyring) Reseal(o Owner, sealed []byte) ([]byte, error) {
	plaintext, err := k.Open(o, sealed)
	if err != nil {
		return nil, err
	}
	return k.Seal(o, plaintext)
}

// ResealCanary is Reseal for the canary.
func (k *Keyring) ResealCanary(sealed []byte) ([]byte, error) {
	return k.Reseal(canaryOwner, sealed)
}
