package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/models"
)

// asked compares the answer to DELETE for a provider with very many authorizations
// with that for a provider with one, and then looks on while the former is deleted.
// It comes after everything else that uses the crowded instance.
func (b *bench) asked(ctx context.Context, r *report) error {
	m, err := b.crowded(ctx)
	if err != nil {
		return err
	}
	one, err := m.store(ctx, m.api.URL, 1, madeUp)
	if err != nil {
		return err
	}
	took := map[*shelf][]time.Duration{}
	for range b.asks {
		for _, s := range []*shelf{m.shelf, one} {
			d, err := m.askAndUndo(ctx, s.provider.ID)
			if err != nil {
				return err
			}
			took[s] = append(took[s], d)
		}
	}
	r.asked(median(took[m.shelf]), median(took[one]), b.options)
	return b.lookOn(ctx, m, r)
}

// askAndUndo asks for a deletion that nobody works on, and takes it back behind
// grantd's back, so that it can be asked for again.
func (m *million) askAndUndo(ctx context.Context, provider string) (time.Duration, error) {
	begin := time.Now()
	_, err := processes.NewClient(m.api.URL, m.token).DeleteProvider(ctx, provider)
	took := time.Since(begin)
	if err == nil {
		err = m.exec(ctx, "UPDATE providers SET status = 'active', delete_job_id = NULL WHERE id = $1", provider)
	}
	if err == nil {
		err = m.exec(ctx, "DELETE FROM jobs WHERE provider_id = $1", provider)
	}
	return took, err
}

// lookOn deletes the crowded provider and asks for its job again and again, for a
// while: with so many items it would take half an hour to the end.
func (b *bench) lookOn(ctx context.Context, m *million, r *report) error {
	admin := processes.NewClient(m.api.URL, m.token)
	location, err := admin.DeleteProvider(ctx, m.shelf.provider.ID)
	if err != nil {
		return err
	}
	worker, err := m.Start(ctx, "worker")
	if err != nil {
		return err
	}
	defer worker.Kill()
	for job := (models.Job{Status: models.JobPending}); job.Status == models.JobPending; {
		if job, err = admin.Job(ctx, location); err != nil {
			return err
		}
	}
	looked, err := b.look(ctx, m, location)
	if err == nil {
		r.looked(looked)
	}
	return err
}

// glances are what a client sees that asks for a running job.
type glances struct {
	took    []time.Duration // sorted
	largest int             // bytes
}

func (b *bench) look(ctx context.Context, m *million, location string) (g glances, err error) {
	asking := request("GET", "/api/v2/externalOAuth/jobs/"+path.Base(location)+"/", m.token.Reveal())
	for end := time.Now().Add(b.watch); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		begin := time.Now()
		body, err := sample(ctx, m.api.URL, asking)
		if err != nil {
			return g, err
		}
		g.took, g.largest = append(g.took, time.Since(begin)), max(g.largest, len(body))
	}
	slices.Sort(g.took)
	return g, ctx.Err()
}

func (r *report) asked(many, few time.Duration, o options) {
	r.add(row{what: fmt.Sprintf("DELETE of a provider with %d authorizations, against one with 1", o.stored), ours: ms(many), bare: ms(few)}.
		atMost(ratio(many, few), mostAsking))
}

func (r *report) looked(g glances) {
	r.add(row{what: fmt.Sprintf("– GET jobs/{id}/ while that runs, p50 of %d", len(g.took)), ours: ms(percentile(g.took, 50))},
		row{what: "– p99", ours: ms(percentile(g.took, 99))},
		row{what: "– largest answer", ours: fmt.Sprintf("%d bytes", g.largest)})
}
