package store

import (
	"context"
	"slices"
	"time"
)

// Of a million tokens few are in use. Their rows in token_use say so, and when a sweep is
// to look at each: a fetch makes that time, and what the sweep finds moves it. So a save of
// tokens writes no second row.

// dueAhead is when a token is refreshed ahead of callers.
var dueAhead = later("c.ahead_after", "c.refresh_after")

// NoteUse notes that the tokens of these authorizations were fetched, and are in use for
// the given time from now. A row is written only where that moves its time by step or more;
// then it is due no later than the token.
func (s *Store) NoteUse(ctx context.Context, authorizations []string, inUse, step time.Duration) error {
	// The order is the same in every process, which keeps two of them from waiting for each
	// other's rows.
	return s.db.WithContext(ctx).Exec(`INSERT INTO token_use AS u (authorization_id, used_until, due_at)
		SELECT c.authorization_id, ?, `+dueAhead+` FROM credentials c WHERE c.authorization_id IN `+s.dialect.list+`
			AND NOT EXISTS (SELECT 1 FROM token_use n WHERE n.authorization_id = c.authorization_id AND n.used_until > ?)
			ORDER BY c.authorization_id
		ON CONFLICT (authorization_id) DO UPDATE SET used_until = excluded.used_until, due_at = CASE WHEN u.due_at < excluded.due_at THEN u.due_at ELSE excluded.due_at END`,
		s.in(inUse), listed(authorizations), s.in(inUse-step)).Error
}

// EndUse empties the due time of at most limit tokens that are not in use any more, so
// that no sweep looks at them, and returns of how many.
func (s *Store) EndUse(ctx context.Context, limit int) (int64, error) {
	r := s.db.WithContext(ctx).Exec(`UPDATE token_use SET due_at = NULL WHERE `+s.dialect.rowsOf(
		`token_use WHERE due_at IS NOT NULL AND used_until <= ? ORDER BY used_until LIMIT ?`), s.now(), limit)
	return r.RowsAffected, r.Error
}

// InUseAndDue claims up to limit authorizations whose tokens are in use and due for a
// refresh, those first that are due longest, and moves each back by next. Of the others
// that it looks at, those that were refreshed meanwhile are due when they are, and those
// that may not be refreshed now are looked at again after a while; those that cannot be,
// when they are fetched again. Those of the providers in except are passed over, and stay due.
func (s *Store) InUseAndDue(ctx context.Context, next time.Duration, limit int, except []string) ([]string, error) {
	soon := s.in(next)
	due, args := "due_at IS NOT NULL AND due_at <= ?", []any{s.now()}
	if len(except) > 0 { // a join could read all authorizations, to find the providers of a few
		due += " AND (SELECT o.provider_id FROM authorizations o WHERE o.id = token_use.authorization_id) NOT IN " + s.dialect.list
		args = append(args, listed(except))
	}
	return claimReady(limit, func(limit int) ([]claimed, error) {
		var taken []claimed
		return taken, s.db.WithContext(ctx).Raw(`UPDATE token_use AS u SET due_at = CASE WHEN u.used_until > ? THEN (
				SELECT CASE WHEN `+dueAhead+` > ? THEN `+dueAhead+`
					WHEN `+verdictHolds+` OR p.status <> 'active' THEN NULL
					WHEN TRUE`+refreshable+untroubled+` THEN ? ELSE ? END
				FROM credentials c JOIN authorizations a ON a.id = c.authorization_id JOIN providers p ON p.id = a.provider_id
				WHERE c.authorization_id = u.authorization_id AND `+linked("a")+` AND c.has_refresh_token AND c.refresh_after IS NOT NULL) END
			WHERE `+s.dialect.rowsOf("token_use WHERE "+due+" ORDER BY due_at LIMIT ?")+`
			RETURNING authorization_id, COALESCE(due_at = ?, FALSE) AS ready`,
			slices.Concat([]any{s.now(), s.now(), s.now(), s.now(), s.now(), soon, s.in(next + blockedFor)}, args, []any{limit, soon})...).Scan(&taken).Error
	})
}
