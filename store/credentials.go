package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/models"
)

// Save is a pair of tokens on its way into a credential: sealed, with what is
// known of its life. Durations count from Since; 0 means unknown.
type Save struct {
	Attempt          string
	Since            time.Time // by the database's clock; zero for when it is saved
	Sealed           []byte
	HasRefreshToken  bool
	ExpiresIn        time.Duration
	Known            bool          // whether ExpiresIn says anything; it may be negative by now
	RefreshAfter     time.Duration // from when on a read refreshes; where nothing is Known, 0 for never
	RefreshExpiresIn time.Duration
	AheadAfter       time.Duration // from when on it is refreshed ahead of callers; 0 for RefreshAfter
	AccessMAC        []byte        // of the access token, to find it by
	KeepsFormer      bool          // whether the access token from before stays alive until it expires
}

// columns are what a save sets, whichever way it comes in: new tokens void every
// verdict, back-off and lease that concerned the old ones (R1).
func (v Save) columns(s *Store) map[string]any {
	row := map[string]any{
		"sealed": v.Sealed, "saved_by": v.Attempt, "saved_at": s.now(),
		"has_refresh_token": v.HasRefreshToken, "access_mac": v.AccessMAC, "previous_mac": nil, "previous_until": nil,
		"expires_at": nil, "refresh_after": nil, "ahead_after": nil, "refresh_expires_at": nil, "keep_alive_at": nil, "expiring_at": nil,
		"lease_owner": nil, "lease_until": nil, "attempt_id": nil,
		"next_attempt_at": nil, "gate_version": 0, "lost_answers": 0, "failures": 0, "last_attempt": v.Attempt, "last_error": "",
		"verdict": nil, "verdict_reason": "", "verdict_generation": 0, "verdict_secret_version": 0,
		"refusal": "", "refusals": 0, "refusal_since": nil, "refused_since": nil,
	}
	at := s.in
	if !v.Since.IsZero() {
		at = func(d time.Duration) clause.Expr { return gorm.Expr("?", v.Since.Add(d)) }
	}
	if v.Known {
		row["expires_at"] = at(v.ExpiresIn)
	}
	if v.HasRefreshToken && (v.Known || v.RefreshAfter > 0) {
		row["refresh_after"] = at(v.RefreshAfter)
	}
	if v.RefreshExpiresIn > 0 {
		row["refresh_expires_at"] = at(v.RefreshExpiresIn)
		row["keep_alive_at"] = at(v.RefreshExpiresIn / 5 * 4)
	}
	if life := v.life(); life > 0 {
		row["expiring_at"] = at(life - min(expiringNotice, life/10))
	}
	if v.AheadAfter > 0 {
		row["ahead_after"] = at(v.AheadAfter)
	}
	if v.KeepsFormer {
		row["previous_mac"], row["previous_until"] = gorm.Expr("access_mac"), gorm.Expr("expires_at")
	}
	return row
}

// expiringNotice is how long before the end of a connection it is told that it will end; before the last tenth of its life in
// any case.
const expiringNotice = 24 * time.Hour

// life is how long the connection lasts with these tokens unless the person consents again, as far as it is known that it
// ends: as long as the refresh token, or as the access token where there is no other.
func (v Save) life() time.Duration {
	switch {
	case v.HasRefreshToken:
		return v.RefreshExpiresIn
	case v.Known:
		return v.ExpiresIn
	}
	return 0
}

func (s *Store) credential(ctx context.Context, id string) *gorm.DB {
	return s.db.WithContext(ctx).Model(&models.Credential{}).Where("id = ?", id)
}

// SaveTokens writes tokens over generation g, however late, and reports whether
// g was still the newest (R1). The generation is the fence; the lease is not.
func (s *Store) SaveTokens(ctx context.Context, credential string, g int64, save Save) (bool, error) {
	statement, values := saveTokens(credential, g, save.columns(s))
	return changed(s.db.WithContext(ctx).Exec(statement, values...))
}

// saveTokens is the statement that saves tokens over generation g.
func saveTokens(credential string, g int64, row map[string]any) (string, []any) {
	row["generation"] = g + 1
	var set []string
	var values []any
	for _, column := range slices.Sorted(maps.Keys(row)) { // a statement that differs each time is prepared each time
		set, values = append(set, column+" = ?"), append(values, row[column])
	}
	return "UPDATE credentials SET " + strings.Join(set, ", ") + " WHERE id = ? AND generation = ?", append(values, credential, g)
}

// refreshed are the columns of a save that no consent is behind: that the tokens are another
// account's ends with a consent only (R12).
func (v Save) refreshed(s *Store) map[string]any {
	const foreign = "CASE WHEN " + isForeign + " THEN "
	row := v.columns(s)
	row["verdict"], row["verdict_reason"] = gorm.Expr(foreign+"verdict END"), gorm.Expr(foreign+"verdict_reason ELSE '' END")
	row["verdict_generation"] = gorm.Expr(foreign + "generation + 1 ELSE 0 END")
	return row
}

// SaveRefreshed is SaveTokens for l's credential, together with the event of the audit log. Where it
// saved, it returns the authorization as it is then (R9); where it did not, or where provider or
// authorization are gone, it returns false.
func (s *Store) SaveRefreshed(ctx context.Context, l models.Linked, save Save, event models.AuditEvent) (now models.Linked, saved bool, err error) {
	if s.dialect.name != migrations.Postgres {
		err = s.Tx(ctx, func(tx *Store) error {
			update, values := saveTokens(l.Credential.ID, l.Credential.Generation, save.refreshed(tx))
			if saved, err = changed(tx.db.WithContext(ctx).Exec(update, values...)); err != nil || !saved {
				return err
			}
			if err := tx.Audit(ctx, event); err != nil {
				return err
			}
			now, err = tx.Linked(ctx, l.Authorization.ID)
			if IsNotFound(err) {
				saved, err = false, nil
			}
			return err
		})
		return now, saved && err == nil, err
	}
	update, values := saveTokens(l.Credential.ID, l.Credential.Generation, save.refreshed(s))
	err = scanRow(s.db.WithContext(ctx).Raw(`WITH saved AS (`+update+` RETURNING `+strings.Join(credentialColumns, ", ")+`), audited AS (
		INSERT INTO audit_events (id, org_id, at, user_id, actor, token_id, action, provider_id, authorization_id, job_id, code)
		SELECT CAST(? AS TEXT), CAST(? AS TEXT), statement_timestamp(), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), authorization_id, CAST(? AS TEXT), CAST(? AS TEXT) FROM saved)
		SELECT `+linkedColumns(s.dialect)+` FROM saved c JOIN authorizations a ON a.id = c.authorization_id JOIN providers p ON p.id = a.provider_id`,
		append(values, event.ID, event.OrgID, event.UserID, event.Actor, event.TokenID, event.Action, event.ProviderID, event.JobID, event.Code)...),
		append(linkedTargets(&now), &now.Now)...)
	if errors.Is(err, sql.ErrNoRows) {
		return models.Linked{}, false, nil
	}
	return now, err == nil, err
}

// Credential returns a credential by its id.
func (s *Store) Credential(ctx context.Context, id string) (models.Credential, error) {
	var c models.Credential
	return c, s.db.WithContext(ctx).First(&c, "id = ?", id).Error
}

// Seen is what somebody knows of the credential that is to be refreshed.
type Seen struct {
	AuthorizationID string
	Generation      int64
	Attempt         *string  // whose outcome is unknown, if any (R3)
	Origins         []string // that the refresh would call
	InTrouble       bool     // the provider, which somebody is chosen to ask
	// Passed is whether Pass let the call through. Where it was not asked, the lease is refused while there is any pause of
	// the token endpoint, even one that is over and waits for a probe.
	Passed bool
}

// SeenIn is what is to be kept of a row that was read.
func SeenIn(l models.Linked, origins []string) Seen {
	return Seen{AuthorizationID: l.Authorization.ID, Generation: l.Credential.Generation, Attempt: l.Credential.AttemptID, Origins: origins,
		InTrouble: l.Provider.InTrouble() != ""}
}

// Leased is an authorization whose lease for a refresh was taken, as it was when it was taken, and
// as much of its provider's client secret as opening it needs: none where that is gone.
type Leased struct {
	models.Linked
	Secret models.SecureConfig
}

// LeaseForRefresh gives the attempt the right to call the upstream for the given time, unless
// somebody else has it, a back-off or a pause is running, or the row is not as it was seen.
func (s *Store) LeaseForRefresh(ctx context.Context, seen Seen, attempt string, lease time.Duration) (leased Leased, won bool, err error) {
	statement := `UPDATE credentials AS c SET attempt_id = ?, lease_owner = ?, lease_until = ?
		FROM authorizations a JOIN providers p ON p.id = a.provider_id LEFT JOIN secure_configs k ON k.id = p.secure_config_id
		WHERE a.id = ? AND c.authorization_id = a.id
		AND c.generation = ? AND c.attempt_id IS NOT DISTINCT FROM ? AND (c.lease_until IS NULL OR c.lease_until <= ?)
		AND (c.next_attempt_at IS NULL OR c.next_attempt_at <= ? OR c.gate_version NOT IN (p.secret_version, 0))`
	values := []any{attempt, attempt, s.in(lease), seen.AuthorizationID, seen.Generation, seen.Attempt, s.now(), s.now()}
	if !seen.Passed {
		statement += ` AND NOT EXISTS (SELECT 1 FROM pauses w WHERE w.class = ? AND (w.provider_id = p.id OR w.provider_id = '' AND w.host IN ` + s.dialect.list + `))`
		values = append(values, ClassToken, listed(append([]string{""}, seen.Origins...)))
	}
	if s.dialect.name != migrations.Postgres { // SQLite returns nothing of the tables that it joins
		err = s.Tx(ctx, func(tx *Store) error {
			if won, err = changed(tx.db.Exec(statement, values...)); err != nil || !won {
				return err
			}
			if leased.Linked, err = tx.Linked(ctx, seen.AuthorizationID); err != nil {
				return err
			}
			leased.Secret, err = tx.ProviderSecret(ctx, leased.Provider)
			if IsNotFound(err) {
				err = nil
			}
			return err
		})
		return leased, won && err == nil, err
	}
	var secret *string
	targets := append(linkedTargets(&leased.Linked), &leased.Now, &secret, &leased.Secret.Sealed)
	err = scanRow(s.db.WithContext(ctx).Raw(statement+" RETURNING "+linkedColumns(s.dialect)+", k.id, k.sealed", values...), targets...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Leased{}, false, nil
	case err != nil:
		return Leased{}, false, err
	case secret != nil:
		leased.Secret.ID = *secret
	}
	return leased, true, nil
}

// LeaseForRevocation gives owner the credential to itself, unless a refresh or
// another revocation is running (R9). It starts no attempt.
func (s *Store) LeaseForRevocation(ctx context.Context, credential, owner string, lease time.Duration) (bool, error) {
	return changed(s.credential(ctx, credential).
		Where("lease_until IS NULL OR lease_until <= ? OR lease_owner = ?", s.now(), owner).
		Updates(map[string]any{"lease_owner": owner, "lease_until": s.in(lease)}))
}

// leaseOver is the end of a lease that was given back: none, or now where an attempt before
// it has an unknown outcome. From that time on AmbiguousAndOver finds the attempt.
func (s *Store) leaseOver() clause.Expr {
	return gorm.Expr("CASE WHEN attempt_id IS NULL THEN NULL ELSE ? END", s.now())
}

// ReleaseLease gives a lease back, if owner still has it.
func (s *Store) ReleaseLease(ctx context.Context, credential, owner string) error {
	return s.credential(ctx, credential).Where("lease_owner = ?", owner).
		Updates(map[string]any{"lease_owner": nil, "lease_until": s.leaseOver()}).Error
}

// AbandonAttempt ends an attempt that did not call the upstream after all.
func (s *Store) AbandonAttempt(ctx context.Context, credential, attempt string, before *string) error {
	var until any
	if before != nil { // due for its replay, as it was
		until = s.now()
	}
	return s.credential(ctx, credential).Where("attempt_id = ? AND lease_owner = ?", attempt, attempt).
		Updates(map[string]any{"attempt_id": before, "lease_owner": nil, "lease_until": until}).Error
}

// refreshable is what makes a refresh worth ringing for: an authorization in use,
// with no lease, back-off or verdict in the way, of a provider whose share of the
// token endpoint is not used up (S3). The broker judges again.
var refreshable = ` AND c.has_refresh_token AND NOT ` + verdictHolds + ` AND ` + linked("a") + ` AND p.status = 'active'
	AND (c.lease_until IS NULL OR c.lease_until <= ?) AND (c.next_attempt_at IS NULL OR c.next_attempt_at <= ? OR c.gate_version NOT IN (p.secret_version, 0))
	AND NOT EXISTS (SELECT 1 FROM pauses w WHERE w.provider_id = p.id AND w.class = 'token_pace' AND w.until > ?)`

// untroubled leaves out the providers that are in trouble: of those, Probes chooses who asks.
const untroubled = ` AND NOT ` + inTrouble

// IdleAndLapsing claims authorizations whose refresh token will lapse unless it is used.
func (s *Store) IdleAndLapsing(ctx context.Context, next time.Duration, limit int) ([]string, error) {
	return s.claimDue(ctx, "keep_alive_at", "keep_alive_at IS NOT NULL", next, idleBlocked, limit, refreshable+untroubled, s.now(), s.now(), s.now())
}

// AmbiguousAndOver claims authorizations of whose last attempt nobody knows how it
// ended, and which cannot be running any more (R3).
func (s *Store) AmbiguousAndOver(ctx context.Context, next time.Duration, limit int) ([]string, error) {
	return s.claimDue(ctx, "lease_until", "attempt_id IS NOT NULL", next, blockedFor, limit,
		` AND (c.next_attempt_at IS NULL OR c.next_attempt_at <= ?)`+untroubled, s.now())
}

// claimDue takes up the credentials that are due by the time in a column, those first that
// are due longest. It returns up to limit authorizations that meet the condition, which is
// about credential c, authorization a and provider p, and moves each back by next, whatever
// becomes of it: a row whose refresh cannot begin would else be the first in every sweep
// (T4). Those that do not meet it are moved back by blocked more, so that not every sweep reads
// them. among is the predicate of the index on the column.
func (s *Store) claimDue(ctx context.Context, column, among string, next, blocked time.Duration, limit int, condition string, args ...any) ([]string, error) {
	due, soon := later("sweep_at", column), s.in(next)
	return claimReady(limit, func(limit int) ([]claimed, error) {
		var taken []claimed
		return taken, s.db.WithContext(ctx).Raw(`UPDATE credentials AS c SET sweep_at = CASE WHEN EXISTS (SELECT 1 FROM authorizations a
			JOIN providers p ON p.id = a.provider_id WHERE a.id = c.authorization_id`+condition+`) THEN ? ELSE ? END
			WHERE `+s.dialect.rowsOf("credentials WHERE "+among+" AND "+due+" <= ? ORDER BY "+due+" LIMIT ?")+`
			RETURNING authorization_id, sweep_at = ? AS ready`,
			slices.Concat(args, []any{soon, s.in(next + blocked), s.now(), limit, soon})...).Scan(&taken).Error
	})
}

// claimed is an authorization that a sweep took up, and whether it may be refreshed.
type claimed struct {
	AuthorizationID string
	Ready           bool
}

// claimReady claims batches until limit of what was claimed may be refreshed, or nothing
// else is due; but not for ever.
func claimReady(limit int, claim func(limit int) ([]claimed, error)) ([]string, error) {
	var ids []string
	for range claimRounds {
		most := limit - len(ids)
		taken, err := claim(most)
		for _, t := range taken {
			if t.Ready {
				ids = append(ids, t.AuthorizationID)
			}
		}
		if err != nil || len(taken) < most || len(ids) == limit {
			return ids, err
		}
	}
	return ids, nil
}

const (
	// blockedFor and idleBlocked are how long those are moved back that are due and may not
	// be refreshed: those that somebody may wait for, and those that lie idle.
	blockedFor  = time.Minute
	idleBlocked = time.Hour
	// claimRounds is how many batches a sweep takes up in which some may not be refreshed,
	// before it leaves the rest to the next one.
	claimRounds = 100
)
