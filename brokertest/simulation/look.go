package simulation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// lookout reads the tables on a connection of its own, with statements that are prepared
// once for a play.
type lookout struct {
	db                    *sql.DB
	rows, providers, jobs *sql.Stmt // of them jobs counts the items that were settled, too
}

const (
	lookAtRows = `SELECT a.id, a.org_id, a.user_id, a.provider_id, a.credential_id, a.unlinked_at IS NOT NULL, COALESCE(a.outcome, ''),
	c.sealed, COALESCE(c.generation, 0), COALESCE(c.lease_owner, ''), COALESCE(c.lease_until, ''), COALESCE(c.attempt_id, ''),
	CASE WHEN c.verdict_generation = c.generation THEN COALESCE(c.verdict, '') ELSE '' END, COALESCE(c.verdict_reason, ''), COALESCE(c.next_attempt_at, ''),
	COALESCE(a.item_lease, ''), COALESCE(c.saved_by, ''), COALESCE(c.last_attempt, '')
	FROM authorizations a LEFT JOIN credentials c ON c.authorization_id = a.id ORDER BY a.created_at, a.id`
	lookAtProviders = "SELECT id, status, delete_job_id IS NOT NULL FROM providers"
	lookAtJobs      = `SELECT id, type, status, COALESCE(provider_id, ''), COALESCE(user_id, ''), total,
	revoked + already_revoked + superseded + no_live_token + unsupported + failed + abandoned,
	(SELECT count(*) FROM authorizations a WHERE a.job_id = jobs.id AND a.outcome IS NOT NULL) FROM jobs ORDER BY created_at, id`
)

func openToLook(path string) (*lookout, error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro&_pragma=busy_timeout(1000)")
	if err != nil {
		return nil, fmt.Errorf("opening the database to look at it: %w", err)
	}
	db.SetMaxOpenConns(1)
	l := &lookout{db: db}
	ctx := context.Background()
	var err1, err2, err3 error
	l.rows, err1 = db.PrepareContext(ctx, lookAtRows)
	l.providers, err2 = db.PrepareContext(ctx, lookAtProviders)
	l.jobs, err3 = db.PrepareContext(ctx, lookAtJobs)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing to look at the database: %w", err), l.close())
	}
	return l, nil
}

func (l *lookout) close() error {
	var err error
	for _, s := range []*sql.Stmt{l.rows, l.providers, l.jobs} {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}
	return errors.Join(err, l.db.Close())
}
