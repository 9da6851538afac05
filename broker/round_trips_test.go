package broker_test

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Finding S-I: a refresh was 13 statements. One that succeeds takes few round trips, of which
// two commit; on SQLite, few transactions.
func TestARefreshTakesFewRoundTrips(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		var seen roundTrips
		h := brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true, Between: seen.between()})
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		for range 2 { // what an upstream says for the first time is stored
			stale(t, h, a)
			seen.begin()
			must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
			if err := h.Service.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		all := seen.end()
		most := map[brokertest.Backend][3]int{brokertest.Servers: {3, 2, 3}, brokertest.Embedded: {11, 2, 3}}[b] // with the fetch's own query
		if got := [3]int{len(all), seen.commits(), seen.transactions()}; got[0] > most[0] || got[1] > most[1] || got[2] > most[2] {
			t.Errorf("a refresh takes %v statements, commits and transactions, and may take %v:\n%s", got, most, strings.Join(all, "\n"))
		}
	})
}

// roundTrips are the statements that a store runs.
type roundTrips struct {
	meets func(statement string) // called before each one is run; may be nil

	mu  sync.Mutex
	all []string
	on  bool
}

func (r *roundTrips) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all, r.on = nil, true
}

func (r *roundTrips) end() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = false
	return r.all
}

func (r *roundTrips) add(statement string) {
	if r.meets != nil {
		r.meets(statement)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on {
		r.all = append(r.all, statement)
	}
}

var writes = regexp.MustCompile(`(?i)\b(INSERT INTO|UPDATE|DELETE FROM)\b`)

// commits is how many of the round trips have to be durable.
func (r *roundTrips) commits() (n int) {
	inTx, wrote := false, false
	for _, s := range r.all {
		switch {
		case s == "BEGIN":
			inTx, wrote = true, false
		case s == "COMMIT":
			if inTx = false; wrote {
				n++
			}
		case writes.MatchString(s):
			if wrote = true; !inTx {
				n++
			}
		}
	}
	return n
}

// transactions counts those statements that are none of a transaction as one each.
func (r *roundTrips) transactions() (n int) {
	inTx := false
	for _, s := range r.all {
		switch {
		case s == "COMMIT":
			inTx = false
		case !inTx:
			n++
			inTx = s == "BEGIN"
		}
	}
	return n
}

func (r *roundTrips) between() *store.Between {
	return &store.Between{
		Pool: func(next gorm.ConnPool) gorm.ConnPool { return &countedPool{counted{next, r}} },
		Fetch: func(_ []string, query func() error) error {
			r.add("SELECT: the hot query")
			return query()
		},
	}
}

// counted tells of every statement.
type counted struct {
	gorm.ConnPool
	seen *roundTrips
}

type countedPool struct{ counted }

type countedTx struct{ counted }

func (c *counted) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	c.seen.add(query)
	return c.ConnPool.ExecContext(ctx, query, args...)
}

func (c *counted) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.seen.add(query)
	return c.ConnPool.QueryContext(ctx, query, args...)
}

func (c *counted) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	c.seen.add(query)
	return c.ConnPool.QueryRowContext(ctx, query, args...)
}

func (p *countedPool) BeginTx(ctx context.Context, o *sql.TxOptions) (gorm.ConnPool, error) {
	p.seen.add("BEGIN")
	tx, err := p.ConnPool.(gorm.TxBeginner).BeginTx(ctx, o)
	return &countedTx{counted{tx, p.seen}}, err
}

func (t *countedTx) Commit() error {
	t.seen.add("COMMIT")
	return t.ConnPool.(gorm.TxCommitter).Commit()
}

func (t *countedTx) Rollback() error {
	t.seen.add("ROLLBACK")
	return t.ConnPool.(gorm.TxCommitter).Rollback()
}

// A batch of revocations asked twice for each of its items, the second time while it kept every other batch of the job from
// counting. What it asks does not depend on how many items it has, and it counts in the job last of all.
func TestABatchOfRevocationsTakesAsManyRoundTripsAsOneItem(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		var seen roundTrips
		h := brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true, Between: seen.between()})
		asked := func(items int) []string {
			p := h.Provider(t, "test")
			for i := range items {
				h.Consent(t, h.User, p, fmt.Sprint("person-", i))
			}
			job := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t)
			seen.begin()
			if err := h.Service.RunRevocation(ctx, job.ID); err != nil {
				t.Fatal(err)
			}
			all := seen.end()
			if j := must(h.Store.Job(ctx, job.ID))(t); j.Status != models.JobCompleted || j.Revoked != int64(items) {
				t.Fatalf("the deletion of %d is %s with %d revoked", items, j.Status, j.Revoked)
			}
			counts := slices.IndexFunc(all, func(s string) bool {
				return strings.Contains(s, `"revoked"=revoked +`) || strings.Contains(s, "`revoked`=revoked +")
			})
			if counts < 0 || all[counts+1] != "COMMIT" {
				t.Errorf("the transaction that counts in the job goes on:\n%s", strings.Join(all[max(counts, 0):], "\n"))
			}
			return all
		}
		one, many := asked(1), asked(20)
		if len(many) > len(one) {
			t.Errorf("a job of 20 items takes %d statements, and of one %d:\n%s", len(many), len(one), strings.Join(many, "\n"))
		}
	})
}
