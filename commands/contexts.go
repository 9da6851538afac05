package commands

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// account is one grantd and what signs in there. It is kept in a file that only its owner can read, and is never printed.
type account struct {
	URL    string            `json:"url"`
	As     string            `json:"as,omitempty"`     // the user that a service acts for, where the command does not say
	Token  string            `json:"token,omitempty"`  // an API token
	SignIn *signIn           `json:"signIn,omitempty"` // where an issuer's tokens are used in place of an API token
	Git    map[string]string `json:"git,omitempty"`    // by host: the slug of the provider whose tokens the user lets git send there
}

// signIn is what an issuer gave out.
type signIn struct {
	Issuer        string    `json:"issuer"`
	ClientID      string    `json:"clientId"`
	TokenEndpoint string    `json:"tokenEndpoint"`
	Bearer        string    `json:"bearer"`
	Refresh       string    `json:"refresh,omitempty"`
	AccessToken   bool      `json:"accessToken,omitempty"` // whether Bearer is the access token and not the id_token
	ExpiresAt     time.Time `json:"expiresAt"`
}

// contextStore is the file with the contexts.
type contextStore struct {
	path string
	lock func(*os.File) error

	Current  string              `json:"current"`
	Accounts map[string]*account `json:"contexts"`
}

var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}$`)

// configFolder is where grantd keeps the files of the user who runs it.
func (s *Session) configFolder() (string, error) {
	if folder := s.Env("XDG_CONFIG_HOME"); filepath.IsAbs(folder) {
		return filepath.Join(folder, "grantd"), nil
	}
	home := s.Env("HOME")
	switch runtime.GOOS {
	case "windows":
		home = s.Env("AppData")
	case "darwin":
		home = filepath.Join(home, "Library", "Application Support")
	default:
		home = filepath.Join(home, ".config")
	}
	if !filepath.IsAbs(home) {
		return "", errors.New("the folder for settings of the user is unknown: set HOME or XDG_CONFIG_HOME")
	}
	return filepath.Join(home, "grantd"), nil
}

// contexts reads the file. Where there is none, there are no contexts.
func (s *Session) contexts() (*contextStore, error) {
	folder, err := s.configFolder()
	if err != nil {
		return nil, err
	}
	c := &contextStore{path: filepath.Join(folder, "contexts.json"), lock: s.Lock, Accounts: map[string]*account{}}
	return c, c.read()
}

func (c *contextStore) read() error {
	info, err := os.Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the contexts: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has tokens in it, and other users of this machine may read it: run chmod 600 on it", c.path)
	}
	raw, err := os.ReadFile(c.path)
	if err != nil {
		return fmt.Errorf("reading the contexts: %w", err)
	}
	read := contextStore{}
	if err := json.Unmarshal(raw, &read); err != nil {
		// The error of the decoder may quote a token.
		return fmt.Errorf("%s is not a file that grantd login writes; delete it and sign in again", c.path)
	}
	c.Current = read.Current
	for name, a := range read.Accounts {
		if a != nil {
			c.Accounts[name] = a
		}
	}
	return nil
}

// change lets f change the contexts as they are now, and writes them. Other processes wait meanwhile.
func (c *contextStore) change(f func() error) error {
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return fmt.Errorf("making the folder of the contexts: %w", err)
	}
	held, err := os.OpenFile(c.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the lock of the contexts: %w", err)
	}
	defer held.Close()
	if err := c.lock(held); err != nil {
		return fmt.Errorf("locking the contexts: %w", err)
	}
	c.Current, c.Accounts = "", map[string]*account{}
	if err := c.read(); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return c.write()
}

// write replaces the file as a whole, so that a process that ends in the middle leaves the former one.
func (c *contextStore) write() error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	// os.CreateTemp makes a file that only its owner can read.
	f, err := os.CreateTemp(filepath.Dir(c.path), ".contexts-*")
	if err != nil {
		return fmt.Errorf("writing the contexts: %w", err)
	}
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the contexts: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// chosen returns the context with a name, or ("") the current one.
func (c *contextStore) chosen(name string) (string, *account, error) {
	if name == "" {
		name = c.Current
	}
	if name == "" {
		return "", nil, failed(ExitSignedOut, "nobody is signed in: run grantd login, or set $GRANTD_URL and $%s", TokenVariable)
	}
	a := c.Accounts[name]
	if a == nil {
		return "", nil, failed(ExitSignedOut, "there is no context %q; there are %s", name, c.names())
	}
	return name, a, nil
}

func (c *contextStore) names() string {
	if len(c.Accounts) == 0 {
		return "none: run grantd login"
	}
	return strings.Join(slices.Sorted(maps.Keys(c.Accounts)), ", ")
}
