package services

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Template is a PostgreSQL database that tests get copies of, since a copy takes a third
// of the time in which a schema is made. It is made once for each process, when it is
// first needed, and dropped when the shared services stop.
type Template struct {
	fill func(ctx context.Context, dbURL string) error
	once sync.Once
	name string
	err  error
}

// NewTemplate returns a template that fill makes out of the empty database at dbURL. It
// must leave no connection open.
func NewTemplate(fill func(ctx context.Context, dbURL string) error) *Template {
	return &Template{fill: fill}
}

// Database returns the URL of a copy that is dropped with the test. The test is skipped
// when there is no PostgreSQL.
func (m *Template) Database(t testing.TB) string {
	t.Helper()
	return lend(t, postgres, func(s *Set) string { return s.PostgresURL }, m.copy)
}

func (m *Template) copy(s *Set, ctx context.Context) (dbURL string, drop func(), err error) {
	m.once.Do(func() { m.name, m.err = m.make(context.WithoutCancel(ctx), s) })
	if m.err != nil {
		return "", nil, m.err
	}
	return s.copyDatabase(ctx, m.name)
}

func (m *Template) make(ctx context.Context, s *Set) (name string, err error) {
	dbURL, drop, err := s.NewDatabase(ctx)
	if err != nil {
		return "", err
	}
	s.closers = slices.Insert(s.closers, 0, func() error { drop(); return nil })
	u, err := url.Parse(dbURL)
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(u.Path, "/"), m.fill(ctx, dbURL)
}
