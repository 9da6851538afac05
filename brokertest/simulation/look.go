package simulation

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// tables are those of a database, as they are at one time.
type tables interface {
	// each calls f at each record that a query answers with; f does not keep it.
	each(query string, f func(record) error) error
}

// record is what a query answers with, by columns. *sqlite3.Stmt is one.
type record interface {
	ColumnText(column int) string
	ColumnBool(column int) bool
	ColumnInt64(column int) int64
	ColumnRawText(column int) []byte
	ColumnRawBlob(column int) []byte
}

// lookout reads the tables of SQLite, with statements that are prepared once.
type lookout map[string]*sqlite3.Stmt

// What is looked at. Both databases take these queries.
const (
	lookAtRows = `SELECT a.id, a.org_id, a.user_id, a.provider_id, a.credential_id,
	a.unlinked_at IS NOT NULL OR EXISTS (SELECT 1 FROM user_revocations r WHERE r.org_id = a.org_id AND r.user_id = a.user_id AND r.at >= a.created_at), a.outcome,
	c.sealed, c.generation, c.lease_owner, c.lease_until, c.attempt_id,
	CASE WHEN c.verdict_generation = c.generation THEN c.verdict END, c.verdict_reason, c.next_attempt_at,
	a.item_lease, c.saved_by, c.last_attempt
	FROM authorizations a LEFT JOIN credentials c ON c.authorization_id = a.id ORDER BY a.created_at, a.id`
	lookAtProviders = "SELECT id, status, delete_job_id IS NOT NULL, trouble <> '' FROM providers"
	// Of the items those are counted that were settled.
	lookAtJobs = `SELECT id, type, status, provider_id, user_id, total,
	revoked + already_revoked + superseded + no_live_token + unsupported + failed + abandoned,
	(SELECT count(*) FROM authorizations a WHERE a.job_id = jobs.id AND a.outcome IS NOT NULL) FROM jobs ORDER BY created_at, id`
	// Consents whose code is being exchanged.
	lookAtExchanges = "SELECT provider_id, count(*) FROM flows WHERE status = 'claimed' GROUP BY provider_id"
	// The leases that an owner has on grants.
	lookAtGrants = "SELECT count(*) FROM grant_leases WHERE owner = ? AND until > ?"
)

func (l lookout) open(c *sqlite3.Conn) (err error) {
	for _, query := range []string{lookAtRows, lookAtProviders, lookAtJobs, lookAtGrants, lookAtExchanges} {
		if l[query], _, err = c.PrepareFlags(query, sqlite3.PREPARE_PERSISTENT); err != nil {
			return fmt.Errorf("preparing to look at the database: %w", err)
		}
	}
	return nil
}

func (l lookout) close() (err error) {
	for _, s := range l {
		err = errors.Join(err, s.Close())
	}
	return err
}

// each implements tables.
func (l lookout) each(query string, f func(record) error) (err error) {
	s := l[query]
	for err == nil && s.Step() {
		err = f(s)
	}
	return errors.Join(err, s.Err(), s.Reset())
}

// parts are those of the tables that are looked at.
type parts uint32

const (
	theRows parts = 1 << iota
	theProviders
	theJobs
	theExchanges
	everything = theRows | theProviders | theJobs | theExchanges
)

// partsOf are those that a table is read for; a flow goes with its provider.
var partsOf = map[string]parts{"credentials": theRows, "authorizations": theRows | theJobs, "user_revocations": theRows,
	"providers": theProviders | theExchanges, "jobs": theJobs, "flows": theExchanges}

// changes notes that tables were written to.
func (w *world) changes(tables ...string) {
	for _, t := range tables {
		w.changed.Or(uint32(partsOf[t]))
	}
}
