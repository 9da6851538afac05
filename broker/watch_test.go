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

// watched is a job that tests change, and the hub from which it is watched.
type watched struct {
	hub   watches[models.Job]
	total atomic.Int64
	looks atomic.Int64
	// gate, unless nil, holds up looks until it is closed.
	gate chan struct{}
}

func (w *watched) load(context.Context) (models.Job, error) {
	w.looks.Add(1)
	total := w.total.Load()
	if w.gate != nil {
		<-w.gate
	}
	return models.Job{ID: "j", Status: models.JobRunning, Total: total}, nil
}

func (w *watched) watch(ctx context.Context) (*JobWatch, error) {
	p, before := w.hub.join("j", func() *post[models.Job] {
		return newPost(w.load, alike, func(_ context.Context, j models.Job) (models.Job, error) { return j, nil })
	})
	j := &JobWatch{hub: &w.hub, id: "j", post: p}
	var err error
	j.seen, err = p.await(ctx, func(now sighting[models.Job]) bool { return now.look > before })
	return j, err
}

func (w *watched) watchers() int {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	if p := w.hub.posts["j"]; p != nil {
		return p.watchers
	}
	return 0
}

// eventually is brokertest's, which this package cannot import.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute in vain: %s", what)
		}
	}
}

// pollers counts the goroutines that look at jobs.
func pollers() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "(*post[...]).stand(")
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
	if n := w.looks.Load(); n > many/4 {
		t.Errorf("%d who waited cost %d queries", many, n)
	}
	if n := w.watchers(); n != 0 || len(w.hub.posts) != 0 {
		t.Errorf("%d watchers and %d posts are left", n, len(w.hub.posts))
	}
	eventually(t, "no poller is left", func() bool { return pollers() == 0 })
}

// A look that began before somebody came may show less than what they know
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
	eventually(t, "a look has begun", func() bool { return w.looks.Load() == 1 })
	w.total.Store(1) // and the look under way has 0
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
