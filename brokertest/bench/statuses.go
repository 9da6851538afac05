package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/models"
)

// statuses measures what would look at every authorization if it did not look for the few
// that are meant: the list of those that have expired, STATS, and the revocation of a user who
// has all of them.
func (b *bench) statuses(ctx context.Context, r *report) error {
	h, err := b.open(ctx, "api")
	if err != nil {
		return err
	}
	defer h.close()
	api := h.running[0].URL
	if _, err := h.store(ctx, api, b.stored, madeUp); err != nil {
		return err
	}
	for _, part := range []int{100, 2} {
		if err := h.endOne(ctx, part); err != nil {
			return fmt.Errorf("having one in %d expire: %w", part, err)
		}
		list, err := b.listExpired(ctx, h, api)
		if err != nil {
			return fmt.Errorf("listing what has expired: %w", err)
		}
		stats, err := b.stats(ctx, h, api)
		if err != nil {
			return fmt.Errorf("counting: %w", err)
		}
		r.statuses(b.stored, part, list, stats)
	}
	return b.leaving(ctx, h, api, r)
}

// endOne gives one in so many credentials a verdict.
func (h *instance) endOne(ctx context.Context, part int) error {
	err := h.exec(ctx, fmt.Sprintf(`UPDATE credentials SET verdict = 'expired', verdict_reason = 'invalid_grant', verdict_generation = generation,
		verdict_secret_version = 1 WHERE verdict IS NULL AND hashtext(id) %% %d = 0`, part))
	if err != nil {
		return err
	}
	return h.settleTables(ctx)
}

func (b *bench) listExpired(ctx context.Context, h *instance, base string) (time.Duration, error) {
	asking, err := newCallers(ctx, 1, base, nil)
	if err != nil {
		return 0, err
	}
	defer asking.close()
	list := request("GET", "/api/v2/externalOAuth/authorizedProviders/?status=expired&limit=100", h.token.Reveal())
	var took []time.Duration
	for range b.views {
		begin := time.Now()
		if err := asking.conns[0].exchange(list); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begin))
	}
	return median(took), nil
}

// stats is how long STATS takes a worker.
func (b *bench) stats(ctx context.Context, h *instance, base string) (time.Duration, error) {
	worker, err := h.Start(ctx, "worker")
	if err != nil {
		return 0, err
	}
	defer worker.Kill()
	admin := processes.NewClient(base, h.token)
	var took []time.Duration
	for range 5 {
		location, err := admin.StartStats(ctx)
		if err != nil {
			return 0, err
		}
		job, err := admin.WaitJob(ctx, location, 20*time.Millisecond, nil)
		if err != nil {
			return 0, err
		}
		if job.Status != models.JobCompleted || job.StartedAt == nil || job.FinishedAt == nil {
			return 0, fmt.Errorf("STATS ended %s with %v", job.Status, job.Details)
		}
		took = append(took, job.FinishedAt.Sub(*job.StartedAt))
	}
	return median(took), nil
}

// leaving has everything of the user revoked who has all of it: often by requests that are
// taken back behind grantd's back, and then by one that a worker works on until all is
// unlinked.
func (b *bench) leaving(ctx context.Context, h *instance, base string, r *report) error {
	admin := processes.NewClient(base, h.token)
	var took []time.Duration
	for n := range b.asks {
		begin := time.Now()
		if _, err := admin.RevokeUser(ctx, user); err != nil {
			return err
		}
		took = append(took, time.Since(begin))
		if n == b.asks-1 {
			break
		}
		for _, undo := range []string{"DELETE FROM user_revocations", "DELETE FROM jobs WHERE type = 'REVOKE_USER'"} {
			if err := h.exec(ctx, undo); err != nil {
				return err
			}
		}
	}
	conn, err := pgx.Connect(ctx, h.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	worker, err := h.Start(ctx, "worker")
	if err != nil {
		return err
	}
	defer worker.Kill()
	begin := time.Now()
	for left := int64(1); left > 0; time.Sleep(20 * time.Millisecond) {
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM user_revocations").Scan(&left); err != nil {
			return err
		}
	}
	r.leaving(b.stored, median(took), time.Since(begin))
	return nil
}

func (r *report) statuses(stored, part int, list, stats time.Duration) {
	of := fmt.Sprintf("of %d authorizations, one in %d expired", stored, part)
	listed := row{what: "GET authorizedProviders/?status=expired, " + of, ours: ms(list)}
	counted := row{what: "– STATS, from its start to its end", ours: ms(stats)}
	if part >= 100 {
		listed, counted = listed.within(list, mostListed), counted.within(stats, mostCounting)
	}
	r.add(listed, counted)
}

func (r *report) leaving(stored int, asked, unlinked time.Duration) {
	r.add(row{what: fmt.Sprintf("DELETE of a user with %d authorizations", stored)}.within(asked, mostLeaving),
		row{what: "– all of them unlinked by one worker, which revokes meanwhile", ours: unlinked.Round(100 * time.Millisecond).String()})
}
