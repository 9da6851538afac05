package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/brokertest/services"
)

// sweeps measures what the statements of a worker's sweeps take while nothing is due, however much is stored. It
// has a PostgreSQL of its own, which counts them.
func (b *bench) sweeps(ctx context.Context, r *report) error {
	server, err := services.StartPostgres(ctx, "shared_preload_libraries=pg_stat_statements")
	if err != nil {
		return err
	}
	defer server.Close()
	redis, empty, err := b.set.NewRedis(ctx)
	if err != nil {
		return err
	}
	h, err := b.prepare(ctx, &processes.Grantd{Binary: b.binary, DatabaseURL: server.URL, RedisURL: redis}, empty)
	if err != nil {
		return err
	}
	defer h.close()
	if err := b.storeForSweeps(ctx, h); err != nil {
		return err
	}
	worker, err := h.Start(ctx, "worker")
	if err != nil {
		return err
	}
	defer worker.Kill()
	if err := pause(ctx, b.settle); err != nil { // what a start does is not idling
		return err
	}
	for _, statement := range []string{"CREATE EXTENSION pg_stat_statements", "SELECT pg_stat_statements_reset()"} {
		if err := h.exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := pause(ctx, b.idling); err != nil {
		return err
	}
	ran, err := h.statements(ctx)
	if err != nil {
		return err
	}
	b.progress("  the slowest: %s", ran.slowest)
	r.sweeps(b.stored, b.idling, ran)
	return nil
}

// storeForSweeps stores authorizations, and as many consents of today.
func (b *bench) storeForSweeps(ctx context.Context, h *instance) error {
	api, err := h.Start(ctx, "api")
	if err != nil {
		return err
	}
	defer api.Kill()
	s, err := h.store(ctx, api.URL, b.stored, madeUp)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, h.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	err = copies(ctx, conn, "flows", "provider_id", s.provider.ID, b.stored-1, func(i int, row map[string]any) error {
		state := sha256.Sum256(fmt.Append(nil, i))
		row["id"], row["authorization_id"], row["state_hash"] = s.id("flow", i), s.authorization(i), state[:]
		return nil
	})
	if err != nil {
		return err
	}
	return h.settleTables(ctx)
}

// statements are those that ran for a while.
type statements struct {
	slowest string
	took    time.Duration // the slowest
	calls   int64
	inAll   time.Duration
}

func (h *instance) statements(ctx context.Context) (s statements, err error) {
	conn, err := pgx.Connect(ctx, h.DatabaseURL)
	if err != nil {
		return s, err
	}
	defer conn.Close(ctx)
	const ours = ` FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query NOT LIKE '%pg_stat_statements%'`
	var slowest, inAll float64 // ms
	if err := conn.QueryRow(ctx, "SELECT query, max_exec_time"+ours+" ORDER BY max_exec_time DESC LIMIT 1").Scan(&s.slowest, &slowest); err != nil {
		return s, err
	}
	err = conn.QueryRow(ctx, "SELECT CAST(sum(calls) AS BIGINT), sum(total_exec_time)"+ours).Scan(&s.calls, &inAll)
	s.took, s.inAll = milliseconds(slowest), milliseconds(inAll)
	return s, err
}

func milliseconds(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

func (r *report) sweeps(stored int, idling time.Duration, ran statements) {
	r.add(row{what: fmt.Sprintf("the slowest statement of a worker that has nothing to do for %s, beside %d authorizations and %d consents", idling, stored, stored), ours: ms(ran.took)}.within(ran.took, mostSweeping),
		row{what: fmt.Sprintf("– all %d of them", ran.calls), ours: ms(ran.inAll)})
}
