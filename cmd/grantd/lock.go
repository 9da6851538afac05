package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// lockDatabase keeps other servers off a SQLite database for as long as this one runs:
// each would count, pace and refresh as if it were alone. Commands that end by
// themselves, such as token create, work beside a server and take no lock. The lock is on
// a file of its own, because closing another handle of the database's file would end
// SQLite's own locks.
func (c *Config) lockDatabase() (unlock func() error, err error) {
	path := c.sqlitePath()
	if path == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the database: %w", err)
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("GRANTD_DATABASE_URL: opening the lock of the database: %w", err)
	}
	if err := lockFile(f); err != nil {
		holder := make([]byte, 20)
		n, _ := f.Read(holder)
		err = fmt.Errorf("GRANTD_DATABASE_URL: another grantd serves the database %s%s; stop it first, or use PostgreSQL, "+
			"which several processes may share", path, processOf(string(holder[:n])))
		return nil, errors.Join(err, f.Close())
	}
	// For the message above only: the lock ends with the process, whatever the file says.
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(f, os.Getpid())
	}
	return f.Close, nil
}

func processOf(pid string) string {
	if pid = strings.TrimSpace(pid); pid == "" {
		return ""
	}
	return fmt.Sprintf(" (process %.10q)", pid)
}
