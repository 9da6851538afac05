package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
)

// The bare limit: what any service must do that keeps sealed tokens in PostgreSQL
// and gives them out over HTTP with the same libraries. No caller, no policy, no
// freshness, no metrics. It is a process of its own, as grantd is, with as many
// connections.

const (
	bareDatabase = "BENCH_DATABASE_URL"
	bareKeyset   = "BENCH_KEYSET"
	bareConns    = 16
)

// bare serves until ctx ends, and prints where.
func bare(ctx context.Context) error {
	config, err := pgxpool.ParseConfig(os.Getenv(bareDatabase))
	if err != nil {
		return err
	}
	config.MaxConns = bareConns
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	keys, err := secrets.File{Path: os.Getenv(bareKeyset)}.Load(ctx)
	if err != nil {
		return err
	}
	e := echo.New()
	e.POST("/pgx/:id", withPgx(pool, keys))
	e.POST("/row/:id", withRow(pool, keys))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + listener.Addr().String())
	server := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// withPgx reads the credential by its primary key, and beside it only what opens
// it.
func withPgx(pool *pgxpool.Pool, keys *secrets.Keyring) echo.HandlerFunc {
	const query = `SELECT c.id, a.id, a.org_id, a.user_id, a.provider_id, c.sealed, c.expires_at
		FROM credentials c JOIN authorizations a ON a.id = c.authorization_id WHERE c.id = $1`
	return func(c echo.Context) error {
		var id, authorization, org, user, provider string
		var sealed []byte
		var expires *time.Time
		err := pool.QueryRow(c.Request().Context(), query, c.Param("id")).
			Scan(&id, &authorization, &org, &user, &provider, &sealed, &expires)
		if err != nil {
			return err
		}
		return give(c, keys, secrets.CredentialOwner(id, authorization, org, user, provider), sealed, expires)
	}
}

// withRow reads the row that grantd reads, one query for each request, and decodes only
// what opens the tokens: what grantd costs more or less than this is all the rest, and
// that it answers many with one query.
func withRow(pool *pgxpool.Pool, keys *secrets.Keyring) echo.HandlerFunc {
	query := "SELECT a.id, a.org_id, a.user_id, a.provider_id, c.id, c.sealed, c.expires_at, " + strings.Join(store.FetchColumns(), ", ") +
		" FROM authorizations a JOIN providers p ON p.id = a.provider_id JOIN credentials c ON c.authorization_id = a.id WHERE a.id = $1"
	return func(c echo.Context) error {
		rows, err := pool.Query(c.Request().Context(), query, c.Param("id"))
		if err != nil {
			return err
		}
		defer rows.Close()
		if !rows.Next() {
			return cmp.Or(rows.Err(), error(store.ErrNotFound))
		}
		v := rows.RawValues()
		var expires *time.Time
		if v[6] != nil {
			const epoch = 946684800_000_000 // 2000-01-01, from which PostgreSQL counts microseconds
			at := time.UnixMicro(int64(binary.BigEndian.Uint64(v[6])) + epoch).UTC()
			expires = &at
		}
		owner := secrets.CredentialOwner(string(v[4]), string(v[0]), string(v[1]), string(v[2]), string(v[3]))
		sealed := bytes.Clone(v[5])
		rows.Close() // the connection is free again
		return give(c, keys, owner, sealed, expires)
	}
}

// give opens the tokens and answers with the access token.
func give(c echo.Context, keys *secrets.Keyring, o secrets.Owner, sealed []byte, expires *time.Time) error {
	plain, err := keys.Open(o, sealed)
	if err != nil {
		return err
	}
	var tokens struct {
		Access string `json:"a"`
	}
	if err := json.Unmarshal(plain, &tokens); err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		AccessToken string     `json:"accessToken"`
		ExpiresAt   *time.Time `json:"expiresAt,omitempty"`
	}{tokens.Access, expires})
}

// startBare runs this binary as the bare limit beside h, and returns where it
// listens.
func startBare(ctx context.Context, h *instance) (base string, pid int, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", 0, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, self, "bare")
	cmd.Env = append(os.Environ(), bareDatabase+"="+h.DatabaseURL, bareKeyset+"="+h.Keyset)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return "", 0, nil, err
	}
	stop = func() { cancel(); _ = cmd.Wait() } // it was killed, and says so
	base, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", 0, nil, fmt.Errorf("starting the bare limit: %w", err)
	}
	return strings.TrimSpace(base), cmd.Process.Pid, stop, nil
}
