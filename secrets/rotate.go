package secrets

import (
	"context"
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

// Keys lists the keys of the keyset, in the file's order.
func (f File) Keys(ctx context.Context) ([]Key, error) {
	handle, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	return keysOf(f.Path, handle)
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

// AddKey adds a key to the keyset and returns its id. It opens, but does
// not seal before it is promoted.
func (f File) AddKey(ctx context.Context) (uint32, error) {
	var id uint32
	err := f.change(ctx, func(m *keyset.Manager, _ []Key) (err error) {
		id, err = m.Add(aead.AES256GCMKeyTemplate())
		return err
	})
	return id, err
}

// Promote makes a key of the keyset the one that seals.
func (f File) Promote(ctx context.Context, id uint32) error {
	return f.change(ctx, func(m *keyset.Manager, keys []Key) error {
		k, err := Find(f.Path, keys, id)
		if err == nil && !k.Enabled {
			err = fmt.Errorf("key %d is disabled and cannot seal", id)
		}
		if err != nil {
			return err
		}
		return m.SetPrimary(id)
	})
}

// Remove takes a key out of the keyset, for good. It refuses the primary;
// that nothing needs the key any more is for the caller to know.
func (f File) Remove(ctx context.Context, id uint32) error {
	return f.change(ctx, func(m *keyset.Manager, keys []Key) error {
		k, err := Find(f.Path, keys, id)
		if err == nil && k.Primary {
			err = fmt.Errorf("key %d is the primary, with which everything is sealed; promote another one first", id)
		}
		if err != nil {
			return err
		}
		return m.Delete(id)
	})
}

// Reencrypt has the keyset, which the former KEK opens, sealed by f's, under a new data key. nil stands for a keyset in clear.
// A KMS seals with the newest version of its key, so that an older one can be retired.
func (f File) Reencrypt(ctx context.Context, former KEK) error {
	return f.replace(ctx, File{f.Path, former, f.Installation}, func(*keyset.Manager, []Key) error { return nil })
}

func (f File) change(ctx context.Context, alter func(*keyset.Manager, []Key) error) error {
	return f.replace(ctx, f, alter)
}

// replace puts an altered keyset in the place of the former one, whole or not at all. No
// copy of the former one stays behind: it would be secrets that nobody looks after.
// Where the path is a link, what it points to is replaced.
func (f File) replace(ctx context.Context, former File, alter func(*keyset.Manager, []Key) error) error {
	if _, err := readPrivate(f.Path); err != nil {
		return err
	}
	target, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		return fmt.Errorf("finding the keyset: %w", err)
	}
	next, err := begin(target + ".new")
	if err != nil {
		return err
	}
	err = f.write(ctx, next, former, target, alter)
	if err = errors.Join(err, next.Close()); err == nil {
		err = rename(next.Name(), target)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return syncDir(filepath.Dir(target))
}

func rename(next, target string) error {
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
func (f File) write(ctx context.Context, next *os.File, former File, target string, alter func(*keyset.Manager, []Key) error) error {
	before, err := former.read(ctx)
	if err != nil {
		return err
	}
	keys, err := keysOf(f.Path, before)
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
	text, err := f.encode(ctx, after)
	if err != nil {
		return err
	}
	if err := dress(next, target); err != nil {
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
