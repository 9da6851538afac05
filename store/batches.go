package store

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
)

// batches is natural batching. A query starts as soon as one may; a caller that asks while
// the allowed number of queries is under way is answered by the next one, together with
// everybody who asked meanwhile. Nobody waits for others to come, nothing is kept, and
// each is answered by a query that was sent after it had asked, so that it sees what was
// committed before (H1).
type batches struct {
	load loadFunc
	most int // queries under way at once

	mu       sync.Mutex
	waiting  []*fetch
	underWay int

	answered sync.Pool // of *fetch, which can be used again
}

// loadFunc runs the hot query for all of the ids, and returns those that it found.
type loadFunc = func(ctx context.Context, ids []string) (map[string]*models.Linked, error)

const (
	// mostFetched bounds the ids of a query: beyond it a larger one saves little, and
	// makes those who are in it wait for each other.
	mostFetched = 128
	// fetchTime bounds a query, which no caller's deadline does. A connection that
	// does not answer is given up after it.
	fetchTime = 5 * time.Second
)

// fetch is a caller that waits.
type fetch struct {
	ctx    context.Context
	id     string
	answer chan fetched // has room, so that nobody waits for a caller that left
}

type fetched struct {
	row *models.Linked
	err error
}

// get returns the authorization that an id, or another key, stands for. A caller whose context ends leaves; the
// query goes on for the others. The query of a caller who met none under way runs in the
// caller's goroutine where it has no deadline to keep, and is not cancelled with it either.
func (b *batches) get(ctx context.Context, id string) (models.Linked, error) {
	f, used := b.answered.Get().(*fetch)
	if !used {
		f = &fetch{answer: make(chan fetched, 1)}
	}
	f.ctx, f.id = ctx, id
	b.mu.Lock()
	b.waiting = append(b.waiting, f)
	starts := b.underWay < b.most
	if starts {
		b.underWay++
	}
	b.mu.Unlock()
	if _, bounded := ctx.Deadline(); starts && bounded {
		go b.query()
	} else if starts {
		// Nobody else's id is in this query, and a caller without a deadline is delayed by
		// it for fetchTime at most. Two goroutines fewer wake up.
		b.query()
	}
	a, err := f.await()
	if err == nil { // nobody else has it any more
		f.ctx = nil
		b.answered.Put(f)
		err = a.err
	}
	switch {
	case err != nil:
		return models.Linked{}, fmt.Errorf("loading authorization %s: %w", id, translate(err))
	case a.row == nil:
		return models.Linked{}, NotFound("OAuth provider authorization")
	}
	return *a.row, nil
}

// await returns the answer, or fails when the caller leaves.
func (f *fetch) await() (fetched, error) {
	select {
	case a := <-f.answer: // it is there where the caller ran the query itself
		return a, nil
	default:
	}
	select {
	case a := <-f.answer:
		return a, nil
	case <-f.ctx.Done():
		return fetched{}, f.ctx.Err()
	}
}

// query answers those who wait, as many as fit. The next query runs in a goroutine of
// its own, so that it is on its way while this one's answers are handed out.
func (b *batches) query() {
	runtime.Gosched() // callers who are about to ask, and only have to be run, are in this query then
	b.mu.Lock()
	ids, asked := b.take()
	b.mu.Unlock()
	rows, errs := b.ask(ids)
	b.mu.Lock()
	if len(b.waiting) > 0 {
		go b.query()
	} else {
		b.underWay--
	}
	b.mu.Unlock()
	for _, f := range asked {
		f.answer <- fetched{rows[f.id], errs[f.id]}
	}
}

// take returns who is answered next, and their ids, each once. Who has left is dropped.
func (b *batches) take() (ids []string, asked []*fetch) {
	seen := make(map[string]bool, min(len(b.waiting), mostFetched))
	taken := 0
	for _, f := range b.waiting {
		left := f.ctx.Err() != nil
		if !left && !seen[f.id] {
			if len(ids) == mostFetched {
				break
			}
			seen[f.id] = true
			ids = append(ids, f.id)
		}
		if !left {
			asked = append(asked, f)
		}
		taken++
	}
	if taken == len(b.waiting) {
		b.waiting = nil
	} else {
		b.waiting = b.waiting[taken:]
	}
	return ids, asked
}

// ask runs the query. Where it fails, each id is asked for alone and once more: one which
// the database cannot take is no failure of the others', and a connection that was cut off
// is nobody's. Where the database is away, that is found out once and not for each.
func (b *batches) ask(ids []string) (rows map[string]*models.Linked, errs map[string]error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	rows, err := b.run(ctx, ids)
	if err == nil {
		return rows, nil
	}
	rows, errs = map[string]*models.Linked{}, map[string]error{}
	alone := true
	for _, id := range ids {
		if alone {
			var row map[string]*models.Linked
			row, err = b.run(ctx, []string{id})
			rows[id], alone = row[id], !IsUnavailable(err)
		}
		errs[id] = err
	}
	return rows, errs
}

// run is load, in which a panic is an error: it is no caller's goroutine that it runs in.
func (b *batches) run(ctx context.Context, ids []string) (rows map[string]*models.Linked, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			rows, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	return b.load(ctx, ids)
}
