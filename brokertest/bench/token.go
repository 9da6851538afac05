package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/brokertest/processes"
)

// concurrency is how many callers fetch tokens at once.
const concurrency = 32

// contender is one of the servers that are compared.
type contender struct {
	name    string
	pid     int
	callers *callers
	rounds  [][]time.Duration
	cpu     time.Duration // that its process used in all rounds
}

// tokens compares fetching a fresh token from a grantd API with the bare limit.
// They take turns under the same load, because what else the machine does changes
// from one second to the next.
func (b *bench) tokens(ctx context.Context, r *report) error {
	h, err := b.build(ctx, b.binary)
	if err != nil {
		return err
	}
	defer h.close()
	api, err := h.Start(ctx, "api")
	if err != nil {
		return err
	}
	defer api.Kill()
	requests, err := b.seed(ctx, h, api.URL)
	if err != nil {
		return err
	}
	base, pid, stop, err := startBare(ctx, h)
	if err != nil {
		return err
	}
	defer stop()

	ours := &contender{name: "grantd", pid: api.PID()}
	bare := &contender{name: "bare, Echo + pgx, credential", pid: pid}
	stored := &contender{name: "bare, Echo + pgx, same row", pid: pid}
	for _, c := range []struct {
		who  *contender
		base string
		path [][]byte
	}{{ours, api.URL, requests.ours}, {bare, base, requests.pgx}, {stored, base, requests.store}} {
		answer, err := sample(ctx, c.base, c.path[0])
		if err != nil {
			return err
		}
		if c.who.callers, err = newCallers(ctx, concurrency, c.base, c.path); err != nil {
			return err
		}
		defer c.who.callers.close()
		b.say("%s answers with %d bytes", c.who.name, len(answer))
	}
	if err := b.compare(ctx, ours, bare, stored); err != nil {
		return err
	}
	r.tokens(ours.figures(b.round), bare.figures(b.round), stored.figures(b.round), b.options)
	return nil
}

func (c *contender) figures(d time.Duration) figures {
	f := summarize(c.rounds, d)
	n := 0
	for _, r := range c.rounds {
		n += len(r)
	}
	f.cpu = c.cpu / time.Duration(n)
	return f
}

// compare warms all up, and then lets them take turns.
func (b *bench) compare(ctx context.Context, all ...*contender) error {
	for round := range b.rounds + 1 {
		for _, c := range all {
			before := cpuTime(c.pid)
			took, err := c.callers.load(ctx, b.round)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round == 0 {
				continue
			}
			c.rounds, c.cpu = append(c.rounds, took), c.cpu+cpuTime(c.pid)-before
			f := summarize([][]time.Duration{took}, b.round)
			b.say("  round %d: %-28s %6.0f/s  p50 %s  p99 %s", round, c.name, f.perSecond, ms(f.p50), ms(f.p99))
		}
	}
	return nil
}

// requests are for the same credentials in the same order, whoever is asked.
type requests struct{ ours, pgx, store [][]byte }

// seed makes the authorizations, by real consents.
func (b *bench) seed(ctx context.Context, h *house, base string) (requests, error) {
	var r requests
	admin := processes.NewClient(base, h.token)
	provider, err := processes.Provider(ctx, admin)
	if err != nil {
		return r, err
	}
	if _, err := processes.Consents(ctx, admin, provider.ID, b.authorizations); err != nil {
		return r, err
	}
	conn, err := pgx.Connect(ctx, h.DatabaseURL)
	if err != nil {
		return r, err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return r, err
	}
	rows, err := conn.Query(ctx, "SELECT ARRAY[authorization_id, id] FROM credentials")
	if err != nil {
		return r, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[2]string])
	if err == nil && len(ids) != b.authorizations {
		err = errors.New("not every consent became a credential")
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		r.ours = append(r.ours, post("/api/v2/externalOAuth/authorizedProviders/"+id[0]+"/token/", h.token.Reveal()))
		r.pgx = append(r.pgx, post("/pgx/"+id[1], h.token.Reveal()))
		r.store = append(r.store, post("/store/"+id[0], h.token.Reveal()))
	}
	return r, err
}
