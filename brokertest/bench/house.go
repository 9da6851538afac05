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

// house is a grantd on an empty database, with an admin's token.
type house struct {
	*processes.Grantd
	token models.Secret
	close func()
}

// build makes a house. The binary is the bench's own unless another one is given.
func (b *bench) build(ctx context.Context, binary string) (*house, error) {
	database, drop, err := b.set.NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	redis, empty, err := b.set.NewRedis(ctx)
	if err != nil {
		drop()
		return nil, err
	}
	folder, err := os.MkdirTemp(b.folder, "house-")
	upstream := processes.StartUpstream()
	h := &house{
		Grantd: &processes.Grantd{Binary: binary, DatabaseURL: database, RedisURL: redis,
			Keyset: filepath.Join(folder, "keyset.json"), Upstream: upstream},
		close: func() { upstream.Close(); empty(); drop() },
	}
	if err == nil {
		err = h.Prepare(ctx)
	}
	if err == nil {
		h.token, err = h.Token(ctx, "acme", "root", models.RoleAdmin)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// exec runs one statement, and with it nothing of grantd's.
func (h *house) exec(ctx context.Context, statement string, args ...any) error {
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
