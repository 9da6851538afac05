package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/models"
)

var authorizationColumns = []string{"id", "org_id", "user_id", "provider_id", "credential_id", "oauth_client_id",
	"sub", "login", "email", "picture", "id_token_account", "introspection_account", "scopes", "missing_scopes", "scopes_cut", "fingerprint", "fingerprint_v2", "grant_key_v2", "grant_key", "unlinked_at", "revoke_scope", "outcome",
	"created_at", "updated_at"}

var providerColumns = []string{"id", "org_id", "name", "slug", "type", "status", "client_id", "secure_config_id",
	"skip_consent", "host", "settings_url", "scopes", "redirect_uris", "config", "fingerprint", "fingerprint_v2", "secret_version",
	"trouble", "trouble_code", "trouble_version", "trouble_since", "probe_at", "probed_by", "delete_job_id", "created_at", "updated_at"}

var credentialColumns = []string{"id", "authorization_id", "sealed", "generation", "saved_by", "has_refresh_token",
	"expires_at", "refresh_after", "refresh_expires_at", "keep_alive_at", "saved_at", "lease_owner", "lease_until", "attempt_id", "lost_answers",
	"next_attempt_at", "gate_version", "failures", "last_attempt", "last_error", "verdict", "verdict_reason", "verdict_generation",
	"verdict_secret_version", "refusal", "refusals", "refusal_since", "refused_since", "suspected", "checked_at", "check_generation", "check_valid"}

func linkedQuery(d dialect) string {
	return "SELECT " + linkedColumns(d) + ` FROM authorizations a JOIN providers p ON p.id = a.provider_id
		JOIN credentials c ON c.authorization_id = a.id WHERE a.id = ?`
}

// linkedColumns are those of an authorization a, its provider p and its credential c, and on PostgreSQL the time.
func linkedColumns(d dialect) string {
	columns := func(alias string, names []string) string { return alias + "." + strings.Join(names, ", "+alias+".") }
	ofAuthorization := strings.Replace(columns("a", authorizationColumns), "a.unlinked_at", unlinkedAt("a"), 1)
	all := ofAuthorization + ", " + columns("p", providerColumns) + ", " + columns("c", credentialColumns)
	if d.name == migrations.Postgres {
		all += ", statement_timestamp()"
	}
	return all
}

// linkedTargets returns where linkedColumns go, in their order, but for the time.
func linkedTargets(l *models.Linked) []any {
	a, p, c := &l.Authorization, &l.Provider, &l.Credential
	return []any{
		&a.ID, &a.OrgID, &a.UserID, &a.ProviderID, &a.CredentialID, &a.OAuthClientID,
		&a.Sub, &a.Login, &a.Email, &a.Picture, &a.IDTokenAccount, &a.IntrospectionAccount, &a.Scopes, &a.MissingScopes, &a.ScopesCut, &a.Fingerprint, &a.FingerprintV2, &a.GrantKey, &a.GrantKeyV1, timeOrText{&a.UnlinkedAt}, &a.Revoke, &a.Outcome,
		&a.CreatedAt, &a.UpdatedAt,
		&p.ID, &p.OrgID, &p.Name, &p.Slug, &p.Type, &p.Status, &p.ClientID, &p.SecureConfigID,
		&p.SkipConsent, &p.Metadata.Host, &p.Metadata.SettingsURL, &p.Scopes, &p.RedirectURIs, &p.Config, &p.Fingerprint, &p.FingerprintV2, &p.SecretVersion,
		&p.Trouble, &p.TroubleCode, &p.TroubleVersion, &p.TroubleSince, &p.ProbeAt, &p.ProbedBy,
		&p.DeleteJobID, &p.CreatedAt, &p.UpdatedAt,
		&c.ID, &c.AuthorizationID, &c.Sealed, &c.Generation, &c.SavedBy, &c.HasRefreshToken,
		&c.ExpiresAt, &c.RefreshAfter, &c.RefreshExpiresAt, &c.KeepAliveAt, &c.SavedAt, &c.LeaseOwner, &c.LeaseUntil, &c.AttemptID, &c.LostAnswers,
		&c.NextAttemptAt, &c.GateVersion, &c.Failures, &c.LastAttempt, &c.LastError, &c.Verdict, &c.VerdictReason, &c.VerdictGeneration,
		&c.VerdictSecretVersion, &c.Refusal, &c.Refusals, &c.RefusalSince, &c.RefusedSince, &c.Suspected, &c.CheckedAt, &c.CheckGeneration, &c.CheckValid,
	}
}

// Linked returns an authorization with its provider and credential, linked or
// not, and the database's time. ErrNotFound where any of the three is gone.
func (s *Store) Linked(ctx context.Context, authorization string) (models.Linked, error) {
	var l models.Linked
	targets := linkedTargets(&l)
	if s.dialect.name == migrations.Postgres {
		targets = append(targets, &l.Now)
	}
	err := scanRow(s.db.WithContext(ctx).Raw(linkedQuery(s.dialect), authorization), targets...)
	if s.dialect.name == migrations.SQLite { // not before: the query may have waited for a connection
		l.Now = s.clock()
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return models.Linked{}, NotFound("OAuth provider authorization")
	case err != nil:
		return models.Linked{}, fmt.Errorf("loading authorization %s: %w", authorization, err)
	}
	return l, nil
}

// timeOrText reads a time that a query works out. Of those SQLite does not tell that they
// are times.
type timeOrText struct{ to **time.Time }

// Scan implements sql.Scanner.
func (t timeOrText) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*t.to = nil
	case time.Time:
		*t.to = &v
	case string:
		at, err := readSQLiteTime(v)
		*t.to = &at
		return err
	default:
		return fmt.Errorf("%T is no time", value)
	}
	return nil
}
