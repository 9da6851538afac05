package jobs

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// LogTo sends what go-redis would print on standard error to l, at the level
// Debug: whatever matters comes back as an error too. It is for the start of a
// process, before OpenRedis.
func LogTo(l *slog.Logger) { redis.SetLogger(logger{l}) }

type logger struct{ log *slog.Logger }

// Printf implements go-redis's logger. Its lines name hosts, never passwords.
func (l logger) Printf(ctx context.Context, format string, v ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, fmt.Sprintf(format, v...))
	}
}
