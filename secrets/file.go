package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// maxFile bounds what is read in place of a keyset; one of 100 keys has 20 kB.
const maxFile = 1 << 20

// File is where a keyset is kept.
type File struct {
	Path string
	// KEK seals the keyset. Where it is nil the keys are in clear, and the file is the secret.
	KEK KEK
	// Installation is the name that a sealed keyset is bound to.
	Installation string
}

// Create writes a new keyset, readable by its owner alone (0600), and
// makes the folder (0700) when it is missing. It never overwrites: where the file
// exists the error has fs.ErrExist in its chain, because a lost keyset is the
// loss of every token.
func (f File) Create(ctx context.Context) error {
	if _, err := os.Lstat(f.Path); err == nil {
		return exists(f.Path) // before a KMS is asked for nothing
	}
	handle, err := newHandle()
	if err != nil {
		return err
	}
	text, err := f.encode(ctx, handle)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("making the keyset's folder: %w", err)
	}
	return writeNew(f.Path, text)
}

func exists(path string) error {
	return fmt.Errorf("%s already exists, and a keyset is never overwritten: %w", path, fs.ErrExist)
}

// writeNew makes path with data, whole and durable, or leaves nothing behind. The
// name comes last, since a crash in the middle of writing would leave half of a
// keyset; and by a link, since a rename would replace one that somebody else made.
func writeNew(path string, data []byte) error {
	dir := filepath.Dir(path)
	draft, err := writeDraft(dir, data)
	if err != nil {
		return fmt.Errorf("writing the keyset: %w", err)
	}
	defer os.Remove(draft)
	err = os.Link(draft, path)
	if errors.Is(err, fs.ErrExist) {
		return exists(path)
	}
	if err != nil {
		return fmt.Errorf("creating the keyset, by a hard link in its folder: %w", err)
	}
	if err := errors.Join(os.Remove(draft), syncDir(dir)); err != nil {
		return fmt.Errorf("writing the keyset: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// writeDraft writes data to a new file (0600) in the folder, to its disk.
func writeDraft(dir string, data []byte) (string, error) {
	f, err := os.CreateTemp(dir, ".keyset-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// syncDir makes the file's name durable: data without a name is lost as well.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Load reads the keyset, and has it opened by the KEK where it is sealed. It refuses a file that others may read, and
// says what to do about one that is missing, open to others or not a keyset.
func (f File) Load(ctx context.Context) (*Keyring, error) {
	handle, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	k, err := newKeyring(handle)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return k, nil
}

// Sealed reports whether the keyset is sealed by a key elsewhere.
func (f File) Sealed() (bool, error) {
	data, err := readPrivate(f.Path)
	return parseSealed(data) != nil, err
}

func (f File) read(ctx context.Context) (*keyset.Handle, error) {
	data, err := readPrivate(f.Path)
	if err != nil {
		return nil, err
	}
	if s := parseSealed(data); s != nil {
		return f.unseal(ctx, s)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, fmt.Errorf("%s is not a keyset (Tink, JSON, in clear or sealed by grantd): %w", f.Path, err)
	}
	if f.KEK != nil {
		return nil, fmt.Errorf("%s is in clear, although GRANTD_KEYSET_KEK is set; seal it with `grantd keys seal`", f.Path)
	}
	return handle, nil
}

func (f File) encode(ctx context.Context, handle *keyset.Handle) ([]byte, error) {
	if f.KEK != nil {
		return f.seal(ctx, handle)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("encoding the keyset: %w", err)
	}
	return append(text.Bytes(), '\n'), nil
}

// readPrivate asks the open file for its mode, not the path, so that the file
// which is judged is the file which is read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no keyset at %s; make one with `grantd keys init`: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the keyset: %w", err)
	}
	defer f.Close()
	if err := checkMode(path, f); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("reading the keyset: %w", err)
	}
	return data, nil
}

func checkMode(path string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("reading the keyset's mode: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 {
		return fmt.Errorf("the keyset %s may be read by everyone or written by others (mode %04o); close it with `chmod 600 %s`", path, mode, path)
	}
	return nil
}
