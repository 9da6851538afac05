package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// deletions measures how long after the answer to DELETE a client that keeps
// asking sees the job running, with one API and one worker.
func (b *bench) deletions(ctx context.Context, r *report) error {
	h, err := b.open(ctx, "api", "worker")
	if err != nil {
		return err
	}
	defer h.close()
	admin := processes.NewClient(h.running[0].URL, h.token)
	var running []time.Duration
	for i := range b.options.deletions {
		d, err := deletion(ctx, admin, 1+i%5)
		if err != nil {
			return err
		}
		running = append(running, d)
	}
	slices.Sort(running)
	r.deletions(percentile(running, 50), percentile(running, 95), len(running))
	return nil
}

// deletion makes a provider with a few authorizations, deletes it, and returns
// the time from the answer until the job was seen to run. It returns when the job
// is over, so that the next deletion finds an idle worker.
func deletion(ctx context.Context, admin *client.Client, authorizations int) (time.Duration, error) {
	provider, err := processes.Provider(ctx, admin)
	if err != nil {
		return 0, err
	}
	if _, err := processes.Consents(ctx, admin, provider.ID, authorizations); err != nil {
		return 0, err
	}
	location, err := admin.DeleteProvider(ctx, provider.ID)
	if err != nil {
		return 0, err
	}
	answered := time.Now()
	var running time.Duration
	for ctx.Err() == nil && running == 0 { // not by waiting: that is told of changes in steps of its own
		j, err := admin.Job(ctx, location)
		if err != nil {
			return 0, err
		}
		if j.Status != models.JobPending {
			running = time.Since(answered)
		}
		time.Sleep(time.Millisecond)
	}
	job, err := admin.WaitJob(ctx, location, time.Millisecond, nil)
	if err == nil && job.Status != models.JobCompleted {
		err = fmt.Errorf("a deletion ended as %s: %v", job.Status, job.Details)
	}
	return running, err
}

func (r *report) deletions(p50, p95 time.Duration, n int) {
	r.add(row{what: fmt.Sprintf("DELETE answered → RUNNING, p50 of %d", n)}.within(p50, mostRunning),
		row{what: "– p95"}.within(p95, mostRunning95))
}
