package broker

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

// watched is a job that tests change, and its pollers.
type watched struct {
	pollers pollers[models.Job]
	total   atomic.Int64
	polls   atomic.Int64
	// gate, unless nil, holds up polls until it is closed.
	gate chan struct{}
}

func (w *watched) load(context.Context) (models.Job, error) {
	w.polls.Add(1)
	total := w.total.Load()
	if w.gate != nil {
		<-w.gate
	}
	return models.Job{ID: "j", Status: models.JobRunning, Total: total}, nil
}

func (w *watched) watch(ctx context.Context) (*JobWatch, error) {
	p, before := w.pollers.join("j", func() *poller[models.Job] {
		return newPoller(w.load, sameJob, func(_ context.Context, j models.Job) (models.Job, error) { return j, nil })
	})
	j := &JobWatch{pollers: &w.pollers, id: "j", poller: p}
	var err error
	j.seen, err = p.await(ctx, func(now snapshot[models.Job]) bool { return now.poll > before })
	return j, err
}

func (w *watched) watchers() int {
	w.pollers.mu.Lock()
	defer w.pollers.mu.Unlock()
	if p := w.pollers.byID["j"]; p != nil {
		return p.waiting
	}
	return 0
}

// eventually is brokertest's, which this package cannot import.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute without success: %s", what)
		}
	}
}

// polling counts the goroutines that poll.
func polling() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "(*poller[...]).run(")
}

func TestManyWhoWaitForAJobShareItsQueries(t *testing.T) {
	w := &watched{gate: make(chan struct{})}
	const many = 200
	var all, seen sync.WaitGroup
	for range many {
		seen.Add(1)
		all.Go(func() {
			j, err := w.watch(t.Context())
			if seen.Done(); err != nil {
				t.Error(err)
				return
			}
			defer j.Close()
			if !j.Changed(t.Context()) {
				t.Error("the change was not seen")
			}
			if now, err := j.Job(); err != nil || now.Total != 1 {
				t.Errorf("the job shows %d, %v", now.Total, err)
			}
		})
	}
	eventually(t, "all have come", func() bool { return w.watchers() == many })
	close(w.gate)
	seen.Wait()
	w.total.Store(1)
	all.Wait()
	if n := w.polls.Load(); n > many/4 {
		t.Errorf("%d who waited cost %d queries", many, n)
	}
	if n := w.watchers(); n != 0 || len(w.pollers.byID) != 0 {
		t.Errorf("%d who wait and %d pollers are left", n, len(w.pollers.byID))
	}
	eventually(t, "no poller is left", func() bool { return polling() == 0 })
}

// A poll that began before somebody came may show less than what they know
// already: it is no news to them.
func TestWhatWasSeenBeforeOneCameIsNoNews(t *testing.T) {
	w := &watched{gate: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := make(chan *JobWatch)
	go func() {
		j, _ := w.watch(ctx)
		first <- j
	}()
	eventually(t, "a poll has begun", func() bool { return w.polls.Load() == 1 })
	w.total.Store(1) // and the poll under way has 0
	second := make(chan *JobWatch)
	go func() {
		j, _ := w.watch(ctx)
		second <- j
	}()
	eventually(t, "the second has come", func() bool { return w.watchers() == 2 })
	close(w.gate)
	a, b := <-first, <-second
	defer a.Close()
	defer b.Close()
	if b.seen.row.Total != 1 {
		t.Error("the second was shown what was seen before it came")
	}
	if a.seen.row.Total == 0 && !a.Changed(ctx) {
		t.Error("the first missed the change")
	}
	cancel()
	if b.Changed(ctx) {
		t.Error("the second was told what it knew")
	}
}
