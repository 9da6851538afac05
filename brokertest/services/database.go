package services

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// NewDatabase makes an empty database with a random name. Drop removes it,
// clients that are still connected.
func (s *Set) NewDatabase(ctx context.Context) (dbURL string, drop func(), err error) {
	// template0, because nobody can be connected to it: while somebody is
	// connected to template1, nothing can be made from that.
	return s.copyDatabase(ctx, "template0")
}

// copyDatabase makes a database like the template, which nobody may be connected to.
// Its files are copied, which is faster than to write all of them to the log.
func (s *Set) copyDatabase(ctx context.Context, template string) (dbURL string, drop func(), err error) {
	if s.PostgresURL == "" {
		return "", nil, errors.New("there is no PostgreSQL")
	}
	u, err := url.Parse(s.PostgresURL)
	if err != nil {
		return "", nil, errors.New("GRANTD_TEST_DATABASE_URL is not a URL") // the cause quotes the password
	}
	name := "grantd_test_" + strings.ToLower(rand.Text()[:12])
	if err := execute(ctx, s.PostgresURL, "CREATE DATABASE "+name+" TEMPLATE "+template+" STRATEGY FILE_COPY"); err != nil {
		return "", nil, fmt.Errorf("making a database for a test: %w", err)
	}
	u.Path = "/" + name
	return u.String(), func() { s.drop(name) }, nil
}

// drop does not report: a test that killed the server cannot have it both ways.
func (s *Set) drop(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = execute(ctx, s.PostgresURL, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
}

func execute(ctx context.Context, dbURL, statement string) error {
	c, err := pgx.Connect(ctx, dbURL)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, statement)
	return err
}
