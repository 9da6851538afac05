package simulation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/grantd/grantd/models"
)

// operation is something that somebody asked of a replica.
type operation struct {
	number  int
	kind    string
	who     string
	person  int    // index, -1 for none
	place   int    // index, -1 for none
	of      string // the authorization that it is about
	replica *replica

	begun, ended   int // steps
	began, endedAt time.Time
	result         string
	token          string
	attempt        string // a fetch's: the refresh that ran when it began, "" for none
	err            error
	done, lost     bool // lost: the process was killed
}

func (o *operation) String() string {
	return fmt.Sprintf("%s %d of %s", o.kind, o.number, o.who)
}

// begin has a replica do something in a goroutine of its own.
func (w *world) begin(o *operation, do func(ctx context.Context) (string, error)) {
	o.number, o.begun, o.began = len(w.operations)+1, w.tick(), time.Now()
	w.operations = append(w.operations, o)
	w.organisations[o.String()] = w.organisationOf(o)
	ctx := as(o.replica.ctx, o.String())
	go func() {
		ended := false
		defer func() {
			if w.postgres != nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				o.ended = w.tick()
			}
			w.gates.mu.Lock()
			defer w.gates.mu.Unlock()
			o.lost = !ended
			w.finished = append(w.finished, o)
		}()
		o.result, o.err = do(ctx)
		o.endedAt = time.Now()
		ended = true
	}()
}

// tick is the number of this step. In real time each is one of its own, so that they tell what
// came first.
func (w *world) tick() int {
	if w.postgres != nil {
		w.step++
	}
	return w.step
}

// takeFinished returns what has ended, in an order that is the same in every play.
func (w *world) takeFinished() []*operation {
	w.gates.mu.Lock()
	defer w.gates.mu.Unlock()
	done := w.finished
	w.finished = nil
	slices.SortFunc(done, func(a, b *operation) int { return a.number - b.number })
	return done
}

// noteFinished tells what has ended, and judges it.
func (w *world) noteFinished(done []*operation) {
	for _, o := range done {
		o.done, o.ended = true, cmp.Or(o.ended, w.step)
		if o.lost || o.replica.dead {
			o.lost = true
			continue
		}
		switch {
		case o.err != nil:
			w.logf("%s ends: %s", o, models.CodeOf(o.err))
		default:
			w.logf("%s ends%s", o, o.result)
		}
		w.judgeOperation(o)
	}
}
