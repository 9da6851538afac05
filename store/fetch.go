package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// The hot path: one query loads what decides about a token, and no more. On
// PostgreSQL it runs on pgx itself, under the pool that gorm uses: database/sql
// would convert every value twice, which costs more than the query.

// Fetchable returns as much of an authorization, its provider and its credential
// as handing out a token takes. Refresh and revocation need the rest: see Linked.
func (s *Store) Fetchable(ctx context.Context, authorization string) (Linked, error) {
	if s.pool == nil || s.inTx {
		return s.Linked(ctx, authorization)
	}
	rows, err := s.pool.Query(ctx, fetchQuery, authorization)
	if err != nil {
		return Linked{}, fmt.Errorf("loading authorization %s: %w", authorization, err)
	}
	defer rows.Close()
	if !rows.Next() {
		return Linked{}, cmp.Or(rows.Err(), error(ErrNotFound))
	}
	var l Linked
	err = l.decode(&fields{values: rows.RawValues()})
	return l, err
}

var fetchQuery = "SELECT a." + strings.Join([]string{"id", "org_id", "user_id", "provider_id", "credential_id",
	"oauth_client_id", "scopes", "missing_scopes", "scopes_cut", "fingerprint", "fingerprint_v2", "unlinked_at", "created_at"}, ", a.") +
	", p." + strings.Join(providerColumns, ", p.") +
	", c." + strings.Join([]string{"id", "sealed", "generation", "has_refresh_token", "expires_at", "refresh_after",
	"refresh_expires_at", "saved_at", "next_attempt_at", "verdict", "verdict_generation", "verdict_secret_version", "suspected"}, ", c.") +
	`, statement_timestamp() FROM authorizations a JOIN providers p ON p.id = a.provider_id
	JOIN credentials c ON c.authorization_id = a.id WHERE a.id = $1`

// decode reads fetchQuery's columns, in their order. pgx would look up for each of
// them how to scan it, which takes longer than the reading.
func (l *Linked) decode(f *fields) error {
	a, p, c := &l.Authorization, &l.Provider, &l.Credential
	a.ID, a.OrgID, a.UserID, a.ProviderID, a.CredentialID = f.text(), f.text(), f.text(), f.text(), f.text()
	a.OAuthClientID = f.text()
	err := errors.Join(a.Scopes.Scan(f.next()), a.MissingScopes.Scan(f.next()))
	a.ScopesCut = f.bool()
	a.Fingerprint, a.FingerprintV2, a.UnlinkedAt, a.CreatedAt = f.text(), f.text(), f.timeOrNil(), f.time()

	p.ID, p.OrgID, p.Name, p.Slug, p.Type = f.text(), f.text(), f.text(), f.text(), f.text()
	p.Status, p.ClientID, p.SecureConfigID = models.ProviderStatus(f.text()), f.text(), f.text()
	p.SkipConsent, p.Metadata.Host, p.Metadata.SettingsURL = f.bool(), f.text(), f.text()
	err = errors.Join(err, p.Scopes.Scan(f.next()), p.RedirectURIs.Scan(f.next()), p.Config.Scan(f.next()))
	p.Fingerprint, p.FingerprintV2, p.SecretVersion, p.DeleteJobID = f.text(), f.text(), f.int(), f.textOrNil()
	p.CreatedAt, p.UpdatedAt = f.time(), f.time()

	c.ID, c.Sealed, c.Generation, c.HasRefreshToken = f.text(), bytes.Clone(f.next()), f.int(), f.bool()
	c.ExpiresAt, c.RefreshAfter, c.RefreshExpiresAt = f.timeOrNil(), f.timeOrNil(), f.timeOrNil()
	c.SavedAt, c.NextAttemptAt = f.time(), f.timeOrNil()
	c.Verdict, c.VerdictGeneration, c.VerdictSecretVersion = (*models.Verdict)(f.textOrNil()), f.int(), f.int()
	c.Suspected = f.int()
	l.Now = f.time()
	return err
}

// fields reads the values of one row, one after the other, in the formats that pgx
// asks PostgreSQL for: texts and JSON as text, everything else binary.
type fields struct {
	values [][]byte
	at     int
}

func (f *fields) next() []byte {
	f.at++
	return f.values[f.at-1]
}

func (f *fields) text() string { return string(f.next()) }
func (f *fields) bool() bool   { return f.next()[0] == 1 }
func (f *fields) int() int64   { return int64(binary.BigEndian.Uint64(f.next())) }

// postgresEpoch is 2000-01-01, from which PostgreSQL counts microseconds.
const postgresEpoch = 946684800_000_000

func (f *fields) time() time.Time { return time.UnixMicro(f.int() + postgresEpoch).UTC() }

func (f *fields) textOrNil() *string {
	if f.values[f.at] == nil {
		f.at++
		return nil
	}
	t := f.text()
	return &t
}

func (f *fields) timeOrNil() *time.Time {
	if f.values[f.at] == nil {
		f.at++
		return nil
	}
	t := f.time()
	return &t
}
