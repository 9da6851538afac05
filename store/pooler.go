package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/migrations"
)

// SharedSessions reports whether a pooler between grantd and PostgreSQL gives one session to several connections, as
// PgBouncer does with pool_mode = transaction. The lock of a migration and the settings of a connection need a session of their
// own. What is found is certain; a pooler that happened to use two sessions is not found.
func (s *Store) SharedSessions(ctx context.Context) (bool, error) {
	if s.dialect.name != migrations.Postgres {
		return false, nil
	}
	var sessions [2]int32
	for i := range sessions {
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			return false, fmt.Errorf("connecting to the database: %w", err)
		}
		defer c.Release() // both are open when the second one is asked
		if err := c.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&sessions[i]); err != nil {
			return false, fmt.Errorf("asking the database for its session: %w", err)
		}
	}
	return sessions[0] == sessions[1], nil
}
