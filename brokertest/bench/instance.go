package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/models"
)

// user is whose token an instance has, and whose authorizations are stored.
const user = "root"

// instance is a grantd on an empty database, with an admin's token.
type instance struct {
	*processes.Grantd
	bench   *bench
	token   models.Secret
	running []*processes.Process // by open, in the order of its roles
	release func()
}

// open builds an instance of the bench's own binary, with a process in each of the roles.
func (b *bench) open(ctx context.Context, roles ...string) (*instance, error) {
	h, err := b.build(ctx, b.binary)
	if err != nil {
		return nil, err
	}
	return h, h.run(ctx, roles...)
}

// run starts a process in each of the roles. After an error, all is closed.
func (h *instance) run(ctx context.Context, roles ...string) error {
	for _, role := range roles {
		p, err := h.Start(ctx, role)
		if err != nil {
			h.close()
			return err
		}
		h.running = append(h.running, p)
	}
	return nil
}

// Start starts a process whose collections of garbage are counted.
func (h *instance) Start(ctx context.Context, args ...string) (*processes.Process, error) {
	p, err := h.Grantd.Start(ctx, args...)
	if err == nil {
		h.bench.observer.watch(p)
	}
	return p, err
}

// close kills what open started, and takes the instance down.
func (h *instance) close() {
	for _, p := range h.running {
		_ = p.Kill() // it has nothing to lose
	}
	h.release()
}

// build makes an instance of a binary, in which nothing runs yet.
func (b *bench) build(ctx context.Context, binary string) (*instance, error) {
	database, drop, err := b.set.NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	redis, empty, err := b.set.NewRedis(ctx)
	if err != nil {
		drop()
		return nil, err
	}
	return b.prepare(ctx, &processes.Grantd{Binary: binary, DatabaseURL: database, RedisURL: redis}, func() { empty(); drop() })
}

// embedded makes an instance of a binary on SQLite, in which nothing runs yet.
func (b *bench) embedded(ctx context.Context, binary string) (*instance, error) {
	folder, err := os.MkdirTemp(b.folder, "embedded-")
	if err != nil {
		return nil, err
	}
	return b.prepare(ctx, &processes.Grantd{Binary: binary, DatabaseURL: "sqlite:" + filepath.Join(folder, "grantd.db"), RedisURL: "memory:"}, func() {})
}

// prepare makes keyset, schema and the admin's token by the instance's own binary.
func (b *bench) prepare(ctx context.Context, g *processes.Grantd, release func()) (*instance, error) {
	folder, err := os.MkdirTemp(b.folder, "instance-")
	g.Upstream, g.Keyset, g.Env = processes.StartUpstream(), filepath.Join(folder, "keyset.json"), []string{traceCollections}
	h := &instance{Grantd: g, bench: b, release: func() { g.Upstream.Close(); release() }}
	if err == nil {
		err = h.Prepare(ctx)
	}
	if err == nil {
		h.token, err = h.Token(ctx, "acme", user, models.RoleAdmin)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// exec runs one statement, and with it nothing of grantd's.
func (h *instance) exec(ctx context.Context, statement string, args ...any) error {
	conn, err := pgx.Connect(ctx, h.DatabaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement, args...); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
