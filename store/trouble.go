package store

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
)

// What is wrong with a provider as a whole is read from its last answers, in the audit
// log, and kept on the provider's row.

// Answered is one answer of a provider's token endpoint about one person's grant.
type Answered struct {
	At              time.Time
	AuthorizationID string // "" for the exchange of a code
	UserID          string
	Action          models.Action
	Code            string // of a refusal or failure
}

// Accepted reports whether the upstream accepted the grant and the client.
func (a Answered) Accepted() bool {
	switch a.Action {
	case models.ActionRefreshed, models.ActionReset:
		return true
	case models.ActionAuthorizationMade, models.ActionAuthorizationRenewed:
		return a.Code == "" // an import says nothing of our client
	default:
		return false
	}
}

// LastAnswers returns what a provider's token endpoint answered since the last success or
// the last change of the provider, newest first, and the newest only, if there are many.
func (s *Store) LastAnswers(ctx context.Context, provider string, last time.Duration) ([]Answered, error) {
	const most = 500
	var all []Answered
	err := s.db.WithContext(ctx).Raw(`SELECT e.at, e.authorization_id, COALESCE(a.user_id, e.user_id) AS user_id, e.action, e.code
		FROM audit_events e LEFT JOIN authorizations a ON a.id = e.authorization_id
		WHERE e.provider_id = ? AND e.at > ? AND e.action IN ?
		ORDER BY e.at DESC, e.id DESC LIMIT ?`, provider, s.in(-last),
		[]models.Action{models.ActionRefreshed, models.ActionReset, models.ActionAuthorizationMade, models.ActionAuthorizationRenewed, models.ActionRefreshFailed, models.ActionFlowFailed, models.ActionProviderChanged, models.ActionTroubleEnded},
		most).Scan(&all).Error
	for i, a := range all {
		if a.Accepted() || a.Action == models.ActionProviderChanged || a.Action == models.ActionTroubleEnded {
			return all[:i], err
		}
	}
	return all, err
}

// AcceptedSince reports whether the upstream accepted another grant of the provider's.
func (s *Store) AcceptedSince(ctx context.Context, l models.Linked, since time.Time) (bool, error) {
	var accepted bool
	return accepted, s.db.WithContext(ctx).Raw(`SELECT EXISTS (SELECT 1 FROM audit_events WHERE provider_id = ? AND at > ?
		AND authorization_id <> ? AND (action = ? OR action IN ? AND code = ''))`, l.Provider.ID, since, l.Authorization.ID,
		models.ActionRefreshed, []models.Action{models.ActionAuthorizationMade, models.ActionAuthorizationRenewed}).Scan(&accepted).Error
}

// living are the authorizations of a provider that could be refreshed.
var living = `authorizations a JOIN credentials c ON c.authorization_id = a.id JOIN providers p ON p.id = a.provider_id
	WHERE a.outcome IS NULL AND ` + linked("a") + ` AND c.has_refresh_token AND NOT ` + verdictHolds

// Living counts a provider's authorizations that could be refreshed, up to a limit.
func (s *Store) Living(ctx context.Context, provider string, limit int) (int, error) {
	var n int
	return n, s.db.WithContext(ctx).Raw(`SELECT count(*) FROM (SELECT 1 FROM `+living+` AND a.provider_id = ? LIMIT ?) AS l`,
		provider, limit).Scan(&n).Error
}

// AnyLivingBeside reports whether somebody else than these users could be refreshed.
func (s *Store) AnyLivingBeside(ctx context.Context, provider string, users []string) (bool, error) {
	var any bool
	return any, s.db.WithContext(ctx).Raw(`SELECT EXISTS (SELECT 1 FROM `+living+` AND a.provider_id = ? AND a.user_id NOT IN ?)`,
		provider, users).Scan(&any).Error
}

// inTrouble says in SQL that a provider is in trouble, as models.Provider.InTrouble does.
// Of the tables that are joined here, only providers have these columns.
const inTrouble = `(trouble <> '' AND trouble_version = secret_version)`

// BeginTrouble notes what is wrong with a provider, unless something is already. It
// reports whether it did.
func (s *Store) BeginTrouble(ctx context.Context, p models.Provider, probeIn time.Duration) (bool, error) {
	return changed(s.db.WithContext(ctx).Model(&models.Provider{}).
		Where("id = ? AND secret_version = ? AND NOT "+inTrouble, p.ID, p.TroubleVersion).
		UpdateColumns(map[string]any{"trouble": p.Trouble, "trouble_code": p.TroubleCode, "trouble_version": p.TroubleVersion,
			"trouble_since": p.TroubleSince, "probe_at": s.in(probeIn), "probed_by": p.ProbedBy}))
}

// TakeProbe lets an authorization ask while its provider is in trouble: one each d, and
// not the one that asked last while there is another that waits for its turn (R5). The
// exchange of a code has no authorization yet, and asks as "".
func (s *Store) TakeProbe(ctx context.Context, provider, authorization string, d time.Duration) (bool, error) {
	return changed(s.db.WithContext(ctx).Exec(`UPDATE providers SET probe_at = ?, probed_by = ?
		WHERE id = ? AND `+inTrouble+` AND (probe_at <= ? OR probed_by = '`+models.ProbedByNobody+`')
		AND (probed_by <> ? OR NOT EXISTS (SELECT 1 FROM `+living+` AND a.provider_id = ? AND a.id <> ? AND c.refresh_after <= ?))`,
		s.in(d), authorization, provider, s.now(), authorization, provider, authorization, s.now()))
}

// EndTrouble notes that the upstream accepts the provider's client again, and has the
// verdicts and waits that were reached meanwhile count for nothing. Who only waited may ask
// at once; who had a verdict is asked once more, one after the other, every so often. It
// reports whether there was any trouble.
func (s *Store) EndTrouble(ctx context.Context, provider string, every time.Duration) (bool, error) {
	var ended bool
	err := s.Tx(ctx, func(tx *Store) error {
		p, err := tx.LockProvider(ctx, provider)
		if err != nil || p.Trouble == "" {
			return err
		}
		ended = true
		var ids []string
		err = tx.db.Raw(`SELECT authorization_id FROM audit_events WHERE provider_id = ? AND at >= ? AND action = ?
			AND (code LIKE 'denied:%' OR code LIKE 'client:%' OR code LIKE 'refused:%')
			GROUP BY authorization_id ORDER BY min(at), authorization_id`, provider, p.TroubleSince, models.ActionRefreshFailed).Scan(&ids).Error
		if err != nil {
			return err
		}
		const forget = `gate_version = 0, refusal = '', refusals = 0, refusal_since = NULL, refused_since = NULL
			WHERE has_refresh_token AND attempt_id IS NULL AND saved_at <= ?`
		if err := tx.db.Exec(`UPDATE credentials SET next_attempt_at = NULL, `+forget+` AND verdict IS NULL AND authorization_id IN ?`,
			p.TroubleSince, ids).Error; err != nil {
			return err
		}
		next := time.Duration(0)
		for _, id := range ids {
			void, err := changed(tx.db.Exec(`UPDATE credentials SET verdict = NULL, verdict_reason = '', next_attempt_at = ?, `+forget+`
				AND verdict IS NOT NULL AND verdict_secret_version <> 0 AND verdict_reason <> 'lost_response' AND authorization_id = ?`,
				tx.in(next), p.TroubleSince, id))
			if err != nil {
				return err
			}
			if !void {
				continue
			}
			next += every
			if err := tx.tellAsked(ctx, id); err != nil {
				return err
			}
		}
		return tx.db.Model(&models.Provider{}).Where("id = ?", provider).UpdateColumns(map[string]any{"trouble": "", "trouble_code": "",
			"trouble_version": 0, "trouble_since": nil, "probe_at": nil, "probed_by": ""}).Error
	})
	return ended, err
}

// tellAsked tells that the verdict on a connection is void.
func (s *Store) tellAsked(ctx context.Context, id string) error {
	l, err := s.Linked(ctx, id)
	if IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Tell(ctx, l.Event(models.EventConnectionRecovered, "trouble_ended"))
}

// Probes claims for each provider in trouble that may be asked again the authorization
// that is to ask: one that is due, in turn, and if possible not the one that asked last. A
// provider that has none is looked at again after a while; whoever asks meanwhile, such as
// what is to be revoked and needs a valid token for it, need not wait.
func (s *Store) Probes(ctx context.Context, next time.Duration, limit int) ([]string, error) {
	var troubled []models.Provider
	err := s.db.WithContext(ctx).Order("probe_at").Limit(limit).
		Find(&troubled, inTrouble+" AND status = 'active' AND probe_at <= ?", s.now()).Error
	var all []string
	for _, p := range troubled {
		id, found, probeErr := s.claimProbe(ctx, p, next)
		if probeErr == nil && !found {
			probeErr = s.db.WithContext(ctx).Exec("UPDATE providers SET probed_by = ?, probe_at = ? WHERE id = ? AND probe_at <= ? AND "+inTrouble,
				models.ProbedByNobody, s.in(noProbe), p.ID, s.now()).Error
		}
		if probeErr != nil {
			return all, probeErr
		}
		if id != "" {
			all = append(all, id)
		}
	}
	return all, err
}

// noProbe is how long a provider in trouble is not looked at again of whose authorizations
// none is due.
const noProbe = time.Minute

// claimProbe claims the authorization of a provider that is to ask, and reports whether
// there is one: first those that had no turn yet since the trouble began, the one that asked
// last at the end. Those that the sweep put off because of the trouble are among them: they have a
// later time than any claim. id is "" where another process was faster.
func (s *Store) claimProbe(ctx context.Context, p models.Provider, next time.Duration) (id string, found bool, err error) {
	const beside, notYet = "a.id <> ?", " AND (c.sweep_at IS NULL OR c.sweep_at < p.trouble_since)"
	const unclaimed = "(sweep_at IS NULL OR sweep_at <= ? OR sweep_at > ?)"
	for _, turn := range [][2]string{{beside, notYet}, {beside, ""}, {"a.id = ?", ""}} {
		var due []string
		// As a condition of its own EXISTS is a join, and PostgreSQL may make it before it
		// looks for the one row that is wanted.
		err := s.db.WithContext(ctx).Raw(`SELECT a.id FROM authorizations a WHERE a.provider_id = ? AND `+linked("a")+` AND `+turn[0]+`
			AND CASE WHEN EXISTS (SELECT 1 FROM credentials c JOIN providers p ON p.id = a.provider_id WHERE c.authorization_id = a.id
				AND c.refresh_after <= ? AND `+unclaimed+turn[1]+refreshable+`) THEN TRUE ELSE FALSE END LIMIT 1`,
			p.ID, p.ProbedBy, s.now(), s.now(), s.in(next), s.now(), s.now(), s.now()).Scan(&due).Error
		if err != nil {
			return "", false, err
		}
		if len(due) == 0 {
			continue
		}
		claimed, err := changed(s.db.WithContext(ctx).Exec(`UPDATE credentials SET sweep_at = ?
			WHERE authorization_id = ? AND `+unclaimed, s.in(next), due[0], s.now(), s.in(next)))
		if err != nil || !claimed {
			return "", true, err
		}
		return due[0], true, nil
	}
	return "", false, nil
}
