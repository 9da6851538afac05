package simulation

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// lookout reads the tables, with statements that are prepared once.
type lookout struct {
	rows, providers, jobs *sqlite3.Stmt // of them jobs counts the items that were settled, too
	grants                *sqlite3.Stmt // the leases that an owner has on grants
	exchanges             *sqlite3.Stmt // by provider, consents whose code is being exchanged
}

const (
	lookAtRows = `SELECT a.id, a.org_id, a.user_id, a.provider_id, a.credential_id,
	a.unlinked_at IS NOT NULL OR EXISTS (SELECT 1 FROM user_revocations r WHERE r.org_id = a.org_id AND r.user_id = a.user_id AND r.at >= a.created_at), a.outcome,
	c.sealed, c.generation, c.lease_owner, c.lease_until, c.attempt_id,
	CASE WHEN c.verdict_generation = c.generation THEN c.verdict END, c.verdict_reason, c.next_attempt_at,
	a.item_lease, c.saved_by, c.last_attempt
	FROM authorizations a LEFT JOIN credentials c ON c.authorization_id = a.id ORDER BY a.created_at, a.id`
	lookAtProviders = "SELECT id, status, delete_job_id IS NOT NULL FROM providers"
	lookAtJobs      = `SELECT id, type, status, provider_id, user_id, total,
	revoked + already_revoked + superseded + no_live_token + unsupported + failed + abandoned,
	(SELECT count(*) FROM authorizations a WHERE a.job_id = jobs.id AND a.outcome IS NOT NULL) FROM jobs ORDER BY created_at, id`
	lookAtExchanges = "SELECT provider_id, count(*) FROM flows WHERE status = 'claimed' GROUP BY provider_id"
	lookAtGrants    = "SELECT count(*) FROM grant_leases WHERE owner = ? AND until > ?"
)

func (l *lookout) open(c *sqlite3.Conn) (err error) {
	for _, s := range []struct {
		text string
		to   **sqlite3.Stmt
	}{{lookAtRows, &l.rows}, {lookAtProviders, &l.providers}, {lookAtJobs, &l.jobs}, {lookAtGrants, &l.grants}, {lookAtExchanges, &l.exchanges}} {
		if *s.to, _, err = c.PrepareFlags(s.text, sqlite3.PREPARE_PERSISTENT); err != nil {
			return fmt.Errorf("preparing to look at the database: %w", err)
		}
	}
	return nil
}

func (l *lookout) close() error {
	return errors.Join(l.rows.Close(), l.providers.Close(), l.jobs.Close(), l.grants.Close(), l.exchanges.Close())
}

// changes notes that tables were written to.
func (w *world) changes(tables ...string) {
	for _, t := range tables {
		switch t {
		case "credentials", "authorizations", "providers", "jobs", "flows", "user_revocations":
			w.changed.Store(true)
		}
	}
}

// each calls f at each row of a statement.
func each(s *sqlite3.Stmt, f func() error) (err error) {
	for err == nil && s.Step() {
		err = f()
	}
	return errors.Join(err, s.Err(), s.Reset())
}
