package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
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
	var l Linked
	err := s.pool.QueryRow(ctx, fetchQuery, authorization).Scan(l.fetchTargets()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return Linked{}, ErrNotFound
	}
	if err != nil {
		return Linked{}, fmt.Errorf("loading authorization %s: %w", authorization, err)
	}
	return l, nil
}

var fetchQuery = "SELECT a." + strings.Join([]string{"id", "org_id", "user_id", "provider_id", "credential_id",
	"oauth_client_id", "fingerprint", "unlinked_at", "created_at"}, ", a.") +
	", p." + strings.Join(providerColumns, ", p.") +
	", c." + strings.Join([]string{"id", "sealed", "generation", "has_refresh_token", "expires_at", "refresh_after",
	"refresh_expires_at", "saved_at", "next_attempt_at", "verdict", "verdict_generation", "verdict_secret_version"}, ", c.") +
	`, statement_timestamp() FROM authorizations a JOIN providers p ON p.id = a.provider_id
	JOIN credentials c ON c.authorization_id = a.id WHERE a.id = $1`

// fetchTargets returns where fetchQuery's columns go, in their order.
func (l *Linked) fetchTargets() []any {
	a, p, c := &l.Authorization, &l.Provider, &l.Credential
	return []any{
		&a.ID, &a.OrgID, &a.UserID, &a.ProviderID, &a.CredentialID,
		&a.OAuthClientID, &a.Fingerprint, &a.UnlinkedAt, &a.CreatedAt,
		&p.ID, &p.OrgID, &p.Name, &p.Slug, &p.Type, (*string)(&p.Status), &p.ClientID, &p.SecureConfigID,
		&p.SkipConsent, &p.Metadata.Host, &p.Metadata.SettingsURL, &p.Scopes, &p.RedirectURIs, &p.Config, &p.Fingerprint, &p.SecretVersion,
		&p.DeleteJobID, &p.CreatedAt, &p.UpdatedAt,
		&c.ID, &c.Sealed, &c.Generation, &c.HasRefreshToken, &c.ExpiresAt, &c.RefreshAfter,
		&c.RefreshExpiresAt, &c.SavedAt, &c.NextAttemptAt, &c.Verdict, &c.VerdictGeneration, &c.VerdictSecretVersion,
		&l.Now,
	}
}
