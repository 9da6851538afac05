package simulation

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// replica is a process of grantd: its memory is the service, which goes when it is killed.
type replica struct {
	name    string
	dead    bool // under the mutex of the gates
	ctx     context.Context
	cancel  context.CancelFunc
	db      *store.Store
	service *broker.Service // nil until it has started
	tasks   map[string]func(context.Context, []byte) error
	sweeps  bool // a sweep is under way
}

// start begins a process in the place of one that was killed.
func (w *world) start(place int) error {
	w.starts++
	r := &replica{name: fmt.Sprintf("replica %d.%d", place+1, w.starts), tasks: map[string]func(context.Context, []byte) error{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	w.replicas[place] = r
	w.every = append(w.every, r)
	if w.postgres == nil {
		if err := w.connect(r, store.Options{URL: "sqlite:", Clock: w.now}); err != nil {
			return err
		}
	}
	registry, err := providers.New(providers.Options{TestHost: upstreamURL, Transport: network{w, r}})
	if err != nil {
		return err
	}
	// A batch revokes one item after another: which of two goroutines opens its provider first is nothing that a seed can decide.
	o := broker.Options{Upstream: registry, Keys: w.image.keys, PublicURL: publicURL, AnyRedirect: true, Random: w.jitter, Concurrency: 1, Metrics: w.metrics,
		Log: slog.New(slog.DiscardHandler), Bell: jobs.NewBellFor(func(ctx context.Context, t jobs.Task) error { return w.enqueue(ctx, r, t) })}
	w.logf("%s starts", r.name)
	if w.postgres != nil {
		o.Concurrency, o.Random, o.Timing = 0, nil, realTiming
	}
	w.begin(&operation{kind: "start", who: r.name, person: -1, place: -1, replica: r}, func(ctx context.Context) (string, error) {
		if w.postgres != nil {
			if err := w.connect(r, w.postgres.options(r)); err != nil {
				return "", err
			}
		}
		o.Store = r.db
		s, err := broker.New(ctx, o)
		if err != nil {
			return "", err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, h := range s.Tasks() {
			r.tasks[h.Kind] = h.Run
		}
		r.service = s
		return "", nil
	})
	return nil
}

// connect opens a process's store.
func (w *world) connect(r *replica, o store.Options) error {
	o.Between = w.between(r)
	db, err := store.Open(r.ctx, o)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r.db = db
	if w.like == nil {
		w.like = db
	}
	if w.postgres != nil && w.isDead(r) {
		w.postgres.close(db)
	}
	return nil
}

// kill ends a process where it stands: what has not reached the database is lost.
func (w *world) kill(r *replica) {
	w.gates.mu.Lock()
	r.dead = true
	var there []*gate
	for _, g := range w.gates.waiting {
		if g.replica == r {
			there = append(there, g)
		}
	}
	w.gates.mu.Unlock()
	for _, g := range there {
		w.tell(g, exits)
	}
	r.cancel()
	w.followKill(r)
	if w.postgres != nil && r.db != nil {
		w.postgres.close(r.db)
	}
}

// queued is a task on its way.
type queued struct {
	task jobs.Task
	name string
}

// enqueue is the bell's end.
func (w *world) enqueue(ctx context.Context, r *replica, t jobs.Task) error {
	v, _ := w.pass(&gate{kind: gateTask, replica: r, actor: actorOf(ctx), what: "enqueue " + w.taskName(t), order: t.ID}, nil)
	if v != goOn {
		return fmt.Errorf("enqueueing a task: %w", errLost)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tasks = append(w.tasks, queued{t, w.taskName(t)})
	return nil
}

func (w *world) taskName(t jobs.Task) string {
	w.namesMu.Lock()
	defer w.namesMu.Unlock()
	for id, name := range w.names {
		if len(t.ID) > len(id) && t.ID[:len(id)] == id {
			return t.Kind + " of " + name
		}
	}
	return t.Kind
}
