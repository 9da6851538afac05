package secrets

import (
	"bytes"
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

// Create writes a new keyset to path, readable by its owner alone (0600), and
// makes the folder (0700) when it is missing. It never overwrites: where path
// exists the error has fs.ErrExist in its chain, because a lost keyset is the
// loss of every token. The keys are in clear; the file is the secret.
func Create(path string) error {
	handle, err := newHandle()
	if err != nil {
		return err
	}
	text, err := encode(handle)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the keyset's folder: %w", err)
	}
	return writeNew(path, text)
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
		return fmt.Errorf("%s already exists, and a keyset is never overwritten: %w", path, fs.ErrExist)
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

// Load reads the keyset at path. It refuses a file that others may read, and
// says what to do about one that is missing, open to others or not a keyset.
func Load(path string) (*Keyring, error) {
	handle, err := readHandle(path)
	if err != nil {
		return nil, err
	}
	k, err := newKeyring(handle)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// readHandle reads the keyset at path.
func readHandle(path string) (*keyset.Handle, error) {
	data, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, fmt.Errorf("%s is not a keyset (Tink, JSON, in clear): %w", path, err)
	}
	return handle, nil
}

func encode(handle *keyset.Handle) ([]byte, error) {
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
