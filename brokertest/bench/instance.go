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
	for _, role := range roles {
		p, err := h.Start(ctx, role)
		if err != nil {
			h.close()
			return nil, err
		}
		h.running = append(h.running, p)
	}
	return h, nil
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
	folder, err := os.MkdirTemp(b.folder, "instance-")
	upstream := processes.StartUpstream()
	h := &instance{
		Grantd: &processes.Grantd{Binary: binary, DatabaseURL: database, RedisURL: redis,
			Keyset: filepath.Join(folder, "keyset.json"), Upstream: upstream},
		release: func() { upstream.Close(); empty(); drop() },
	}
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
