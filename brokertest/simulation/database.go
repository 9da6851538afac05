package simulation

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/store"
)

// runner runs a replica's statements, behind the gate, on a connection of its own to the
// database that all replicas share.
type runner struct {
	w       *world
	replica *replica
	next    gorm.ConnPool
	tx      *transaction // nil outside of one
}

// transaction is one that has begun. After a statement of it failed nothing of it is kept,
// as in PostgreSQL, whatever the caller does then.
type transaction struct {
	replica *replica
	broken  bool
	begin   func() (*sql.Tx, error) // nil once it has begun
	wrote   []string                // to these tables
}

// pool is a runner outside of a transaction, which may begin one.
type pool struct{ runner }

// committer is a runner inside of one. Of its end gorm does not say for whom it is.
type committer struct {
	runner
	actor string
}

var (
	_ gorm.ConnPoolBeginner = (*pool)(nil)
	_ gorm.TxCommitter      = (*committer)(nil)
)

// errLost is what database/sql answers with when a connection breaks.
var errLost = fmt.Errorf("the connection to the database broke: %w", driver.ErrBadConn)

func (w *world) between(r *replica) *store.Between {
	between := &store.Between{
		Pool: func(next gorm.ConnPool) gorm.ConnPool { return &pool{runner{w: w, replica: r, next: next}} },
		Asks: func(ctx context.Context, id string) {
			w.pass(&gate{kind: gateAsk, replica: r, actor: actorOf(ctx), what: "ask for " + w.nameOf(id), about: []string{id}}, ctx.Done())
		},
		Answered: func(ctx context.Context, id string) {
			w.pass(&gate{kind: gateAsk, replica: r, actor: actorOf(ctx), what: "take the answer for " + w.nameOf(id)}, ctx.Done())
		},
		Fetch: func(ids []string, query func() error) error {
			var names []string
			for _, id := range ids {
				names = append(names, w.nameOf(id))
			}
			v, _ := w.pass(&gate{kind: gateFetch, replica: r, actor: "hot query", what: "hot query for " + strings.Join(names, ", ")}, nil)
			if v != goOn {
				return errLost
			}
			return query()
		},
	}
	if w.shared != nil {
		between.SQLite, between.Prepare, between.Like = w.shared.db, w.shared.prepareHot, w.like
	}
	return between
}

// stop waits at the gate before a statement. Times among its values are the database's, who
// tells them when the statement runs: on SQLite they were put in before, so that the time that
// the statement waited is added.
func (p *runner) stop(ctx context.Context, query string, args []any) verdict {
	s := statementOf(query)
	asked := p.w.now()
	defer func() {
		if p.w.postgres != nil {
			return
		}
		waited := p.w.now().Sub(asked)
		for i, a := range args {
			if t, ok := a.(time.Time); ok && !s.dated {
				args[i] = t.Add(waited)
			}
		}
	}()
	kind := gateRead
	if s.writes {
		kind = gateWrite
	}
	words, order, about := p.w.describe(args)
	if p.tx != nil && p.tx.begin != nil {
		if err := p.begin(actorOf(ctx), s.words+words); err != nil {
			p.tx.broken = true
			return fails
		}
	}
	v, _ := p.w.pass(&gate{kind: kind, replica: p.replica, actor: actorOf(ctx), what: strings.TrimSpace(s.words + words), order: order, about: about, tx: p.tx}, nil)
	if p.tx != nil && v != goOn {
		p.tx.broken = true
		return fails
	}
	if s.writes && v != fails {
		p.wrote(s.table)
	}
	return v
}

// wrote notes which table a statement writes to.
func (p *runner) wrote(table string) {
	if p.tx != nil {
		p.tx.wrote = append(p.tx.wrote, table)
		return
	}
	p.w.changes(table)
}

// PrepareContext implements gorm.ConnPool.
func (p *runner) PrepareContext(context.Context, string) (*sql.Stmt, error) {
	return nil, errors.New("the store prepares no statements through gorm")
}

// ExecContext implements gorm.ConnPool.
func (p *runner) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	v := p.stop(ctx, query, args)
	if v == fails {
		return nil, errLost
	}
	result, err := p.next.ExecContext(ctx, query, args...)
	if v == loses {
		return nil, errLost
	}
	return result, err
}

// QueryContext implements gorm.ConnPool.
func (p *runner) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	v := p.stop(ctx, query, args)
	if v == fails {
		return nil, errLost
	}
	rows, err := p.next.QueryContext(ctx, query, args...)
	if v != loses || err != nil {
		return rows, err
	}
	defer rows.Close()
	for rows.Next() { // SQLite changes the rows as they are read
	}
	return nil, errors.Join(errLost, rows.Err())
}

// QueryRowContext implements gorm.ConnPool. A row with an error cannot be made, but a
// deadline that is over makes one.
func (p *runner) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	v := p.stop(ctx, query, args)
	if v == goOn {
		return p.next.QueryRowContext(ctx, query, args...)
	}
	if v == loses {
		_ = p.next.QueryRowContext(ctx, query, args...).Scan() // SQLite changes the row as it is read
	}
	over, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	return p.next.QueryRowContext(over, query, args...)
}

// BeginTx implements gorm.ConnPoolBeginner. The transaction begins with its first statement,
// which tells it apart from others that wait to begin.
func (p *pool) BeginTx(ctx context.Context, o *sql.TxOptions) (gorm.ConnPool, error) {
	tx := &transaction{replica: p.replica, begin: func() (*sql.Tx, error) { return p.next.(gorm.TxBeginner).BeginTx(ctx, o) }}
	return &committer{runner{w: p.w, replica: p.replica, next: p.next, tx: tx}, actorOf(ctx)}, nil
}

// begin begins a transaction that has not begun.
func (p *runner) begin(actor, first string) error {
	v, _ := p.w.pass(&gate{kind: gateBegin, replica: p.replica, actor: actor, what: "BEGIN", order: first}, nil)
	if v != goOn {
		return errLost
	}
	begun, err := p.tx.begin()
	if err != nil {
		return err
	}
	p.next, p.tx.begin = begun, nil
	p.w.gates.mu.Lock()
	p.w.gates.open = p.tx
	p.w.gates.mu.Unlock()
	return nil
}

// Commit implements gorm.TxCommitter.
func (c *committer) Commit() error {
	if c.tx.begin != nil { // nothing was done in it
		return nil
	}
	what := "COMMIT"
	if len(c.tx.wrote) == 0 {
		what = "COMMIT of nothing"
	}
	killed := true // gorm does not roll back once it commits
	defer func() {
		if killed {
			_ = c.Rollback()
		}
	}()
	v, _ := c.w.pass(&gate{kind: gateCommit, replica: c.replica, actor: c.actor, what: what, tx: c.tx}, nil)
	killed = false
	if v == fails || c.tx.broken {
		return errors.Join(errLost, c.Rollback())
	}
	err := c.next.(gorm.TxCommitter).Commit()
	c.ended()
	if err == nil {
		c.w.changes(c.tx.wrote...)
	}
	if v == loses {
		return errLost
	}
	return err
}

// Rollback implements gorm.TxCommitter. It passes no gate: a replica that was killed rolls
// back too.
func (c *committer) Rollback() error {
	if c.tx.begin != nil {
		return nil
	}
	defer c.ended()
	return c.next.(gorm.TxCommitter).Rollback()
}

func (c *committer) ended() {
	c.w.gates.mu.Lock()
	defer c.w.gates.mu.Unlock()
	if c.w.gates.open == c.tx {
		c.w.gates.open = nil
	}
}

// statement is what a query is, in few words.
type statement struct {
	words  string
	writes bool
	table  string // that it writes to
	dated  bool   // its times are no moments but parts of keys
}

var (
	statements   sync.Map // by the query's text
	tableOf      = regexp.MustCompile("(?i)(?:UPDATE|INTO|DELETE FROM|FROM)\\s+[`\"]?([a-z_]+)")
	changes      = regexp.MustCompile("(?i)\\b(UPDATE|INSERT INTO|DELETE FROM)\\s+[`\"]?([a-z_]+)")
	assigned     = regexp.MustCompile("[`\"]?([a-z_0-9]+)[`\"]?\\s*=")
	subqueries   = regexp.MustCompile(`(?i)\(SELECT [^()]*\)`)
	withoutWhere = regexp.MustCompile(`(?is)\bWHERE\b.*`)
)

func statementOf(query string) statement {
	if known, ok := statements.Load(query); ok {
		return known.(statement)
	}
	var s statement
	if c := changes.FindStringSubmatch(query); c != nil {
		s.writes, s.table, s.words = true, c[2], strings.ToUpper(c[1])+" "+c[2]
		if _, set, ok := strings.Cut(query, "SET "); ok && strings.EqualFold(c[1], "UPDATE") {
			var columns []string
			for _, a := range assigned.FindAllStringSubmatch(withoutWhere.ReplaceAllString(set, ""), 4) {
				columns = append(columns, a[1])
			}
			s.words += " (" + strings.Join(columns, ", ") + ")"
		}
	} else if t := tableOf.FindStringSubmatch(subqueries.ReplaceAllString(query, "")); t != nil {
		s.words = "SELECT from " + t[1]
	} else {
		s.words = "SELECT"
	}
	s.dated = strings.HasSuffix(s.words, " token_fetches")
	statements.Store(query, s)
	return s
}

// describe says whom a statement is about, and what else tells it apart from others that
// wait at the same time. It also returns the authorizations.
func (w *world) describe(args []any) (words, order string, authorizations []string) {
	var about []string
	var rest strings.Builder
	for _, a := range args {
		var text string
		switch a := a.(type) {
		case string:
			text = a
		case *string:
			if a != nil {
				text = *a
			}
		case int, int64, bool:
			fmt.Fprint(&rest, a, " ")
		}
		if text == "" {
			continue
		}
		rest.WriteString(text + " ")
		if name, ok := w.named(text); ok && len(about) < 3 {
			about = append(about, name)
		}
		if id := w.authorizationOf(text); id != "" {
			authorizations = append(authorizations, id)
		}
	}
	if len(about) > 0 {
		words = " of " + strings.Join(about, ", ")
	}
	return words, rest.String(), authorizations
}
