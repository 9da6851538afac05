package store

import (
	"context"
	"math/rand/v2"
)

// A sweep takes up a limited number of rows of each kind that are due, and one organisation
// may have very many. So what it takes up is divided among the organisations that have
// something due: rows of one of them, however many and however long they have been due, are not
// before those of another (T1).

// dueRows are the rows of a kind of work. An index on the organisation and the due time, with
// the condition as its predicate, finds those of an organisation.
type dueRows struct {
	table   string
	pending string // a condition: the row is to be worked on, at some time
	due     string // a column or expression: when
}

var (
	tombstones     = dueRows{"authorizations", "unlinked_at IS NOT NULL AND outcome IS NULL AND job_id IS NULL", "item_due_at"}
	unfinishedJobs = dueRows{"jobs", "status IN ('PENDING', 'RUNNING')", "due_at"}
	unsettledFlows = dueRows{"flows", "status = 'exchanged'", later("settle_at", "expires_at")}
)

// of is a selection of at most so many of an organisation's rows that are due, those first that
// are due longest. Its parameters are the organisation, the time and the limit; and is one more
// condition, or empty.
func (d dueRows) of(and string) string {
	return d.table + " WHERE " + d.pending + " AND org_id = ? AND " + d.due + " <= ?" + and + " ORDER BY " + d.due + " LIMIT ?"
}

// claimOfEach claims up to limit rows: of each organisation that has some due about as many, and
// more where others have fewer. claim takes up at most limit of one organisation's.
func claimOfEach[T any](ctx context.Context, s *Store, d dueRows, limit int, claim func(org string, limit int) ([]T, error)) ([]T, error) {
	orgs, err := s.orgsWith(ctx, d)
	if err != nil {
		return nil, err
	}
	if len(orgs) > limit { // each has its turn in one of the next sweeps
		rand.Shuffle(len(orgs), func(i, j int) { orgs[i], orgs[j] = orgs[j], orgs[i] })
		orgs = orgs[:limit]
	}
	var all []T
	for len(orgs) > 0 && len(all) < limit {
		var more []string // those that may have more due than their part
		for i, org := range orgs {
			left, others := limit-len(all), len(orgs)-i
			part := (left + others - 1) / others
			if part == 0 {
				break
			}
			some, err := claim(org, part)
			if all = append(all, some...); err != nil {
				return all, err
			}
			if len(some) == part {
				more = append(more, org)
			}
		}
		orgs = more
	}
	return all, nil
}

// orgsWith returns the organisations that have rows which are due. It goes from one
// organisation to the next by the index and reads one or two entries of each, however many
// there are.
func (s *Store) orgsWith(ctx context.Context, d dueRows) ([]string, error) {
	pending := " FROM " + d.table + " WHERE " + d.pending
	var orgs []string
	return orgs, s.db.WithContext(ctx).Raw(`WITH RECURSIVE orgs (org) AS (SELECT CAST('' AS TEXT) UNION ALL
		SELECT (SELECT org_id`+pending+` AND org_id > org ORDER BY org_id LIMIT 1) FROM orgs WHERE org IS NOT NULL)
		SELECT org FROM orgs WHERE (SELECT `+d.due+pending+` AND org_id = org ORDER BY `+d.due+` LIMIT 1) <= ?`, s.now()).Scan(&orgs).Error
}
