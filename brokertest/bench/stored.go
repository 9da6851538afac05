package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
)

// A million consents would take an hour, so all but the first of a provider's
// authorizations are written into the tables: each a copy of the first one's rows,
// with ids, an account and sealed tokens of its own.

// shelf is a provider whose authorizations were stored that way.
type shelf struct {
	provider models.Provider
	copies   int // beside the authorization that was consented to
	owner    func(i int) string
}

// draw is how the tokens of the i-th authorization are made; there may be no refresh
// token. Only those that are
// refreshed or revoked need be known upstream.
type draw func(i int) (access, refresh string)

// madeUp are tokens that the upstream does not know.
func madeUp(i int) (access, refresh string) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return "tia_" + hex.EncodeToString(sum[:16]), "tir_" + hex.EncodeToString(sum[16:])
}

// store registers a provider with n authorizations, all the caller's own.
func (h *instance) store(ctx context.Context, base string, n int, of draw) (*shelf, error) {
	return h.storeFor(ctx, base, n, of, nil)
}

// storeFor registers a provider with n authorizations, each of the user that owner names; nil for the caller.
func (h *instance) storeFor(ctx context.Context, base string, n int, of draw, owner func(i int) string) (*shelf, error) {
	admin := processes.NewClient(base, h.token)
	p, err := processes.Provider(ctx, admin)
	if err != nil {
		return nil, err
	}
	first, err := processes.Consent(ctx, admin, p.ID, "the-first")
	if err != nil {
		return nil, err
	}
	keys, err := secrets.File{Path: h.Keyset}.Load(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, h.DatabaseURL)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET session_replication_role = replica"); err != nil { // no check of each foreign key
		return nil, err
	}
	if owner == nil {
		owner = func(int) string { return first.UserID }
	}
	s := &shelf{provider: p, copies: n - 1, owner: owner}
	if err := s.copyAuthorizations(ctx, conn, first.ID); err != nil {
		return nil, fmt.Errorf("storing authorizations: %w", err)
	}
	if err := s.copyCredentials(ctx, conn, first, keys, of); err != nil {
		return nil, fmt.Errorf("storing credentials: %w", err)
	}
	return s, h.settleTables(ctx)
}

// settleTables has what was stored written out before anything is measured: left to itself,
// PostgreSQL spreads that over the next minutes. session_replication_role takes a
// superuser already.
func (h *instance) settleTables(ctx context.Context) error {
	for _, statement := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if err := h.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// minted are the scopes that the upstream grants with tokens that it mints.
var minted = []string{"openid", "profile", "email"}

func (s *shelf) copyAuthorizations(ctx context.Context, conn *pgx.Conn, first string) error {
	return copies(ctx, conn, "authorizations", "id", first, s.copies, func(i int, row map[string]any) error {
		sub := fmt.Sprint("person-", i)
		key := sha256.Sum256([]byte(s.provider.ID + sub))
		row["id"], row["credential_id"] = s.authorization(i), s.credential(i)
		row["user_id"], row["sub"], row["login"], row["grant_key_v2"] = s.owner(i), sub, sub, hex.EncodeToString(key[:])
		row["scopes"] = minted // or each first refresh would write them down
		row["created_at"] = row["created_at"].(time.Time).Add(time.Duration(i) * time.Millisecond)
		return nil
	})
}

func (s *shelf) copyCredentials(ctx context.Context, conn *pgx.Conn, first models.Authorization, keys *secrets.Keyring, of draw) error {
	return copies(ctx, conn, "credentials", "authorization_id", first.ID, s.copies, func(i int, row map[string]any) (err error) {
		row["id"], row["authorization_id"] = s.credential(i), s.authorization(i)
		if made, ok := row["made_at"].(time.Time); ok { // older schemas have none
			row["made_at"] = made.Add(time.Duration(i) * time.Millisecond) // as of its authorization
		}
		access, refresh := of(i)
		if refresh == "" {
			row["has_refresh_token"], row["refresh_after"], row["refresh_expires_at"], row["keep_alive_at"] = false, nil, nil, nil
		}
		owner := secrets.CredentialOwner(s.credential(i), s.authorization(i), first.OrgID, s.owner(i), s.provider.ID)
		row["sealed"], err = sealed(keys, owner, access, refresh)
		return err
	})
}

// sealed is a pair of tokens as grantd keeps it.
func sealed(keys *secrets.Keyring, owner secrets.Owner, access, refresh string) ([]byte, error) {
	plain, err := json.Marshal(struct {
		Access  string `json:"a"`
		Refresh string `json:"r,omitempty"`
	}{access, refresh})
	if err != nil {
		return nil, err
	}
	return keys.Seal(owner, plain)
}

// copies stores n more rows like the one whose column has the value, each changed
// first. Columns that the bench does not know of are copied as well.
func copies(ctx context.Context, conn *pgx.Conn, table, column, value string, n int, change func(i int, row map[string]any) error) error {
	rows, err := conn.Query(ctx, fmt.Sprintf("SELECT * FROM %s WHERE %s = $1", table, column), value)
	if err != nil {
		return err
	}
	first, err := pgx.CollectExactlyOneRow(rows, pgx.RowToMap)
	if err != nil {
		return err
	}
	columns := slices.Sorted(maps.Keys(first))
	i := 0
	_, err = conn.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if i == n {
			return nil, nil
		}
		row := maps.Clone(first)
		err := change(i, row)
		i++
		values := make([]any, len(columns))
		for c, name := range columns {
			values[c] = row[name]
		}
		return values, err
	}))
	return err
}

func (s *shelf) authorization(i int) string { return s.id("authorization", i) }
func (s *shelf) credential(i int) string    { return s.id("credential", i) }

// id is made like a UUIDv7: those of later rows sort behind those of earlier ones.
func (s *shelf) id(kind string, i int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", s.provider.ID, kind, i))
	random := hex.EncodeToString(sum[:])
	millisecond := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() + int64(i)
	return fmt.Sprintf("%08x-%04x-7%s-9%s-%s", millisecond>>16, millisecond&0xffff, random[:3], random[3:6], random[6:18])
}
