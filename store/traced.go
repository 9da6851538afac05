package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/traces"
)

// traced tells traces of every statement on PostgreSQL.
type traced struct{ tracer *traces.Tracer }

type statementKey struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (t traced) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	ctx, span := t.tracer.Statement(ctx, q.SQL)
	return context.WithValue(ctx, statementKey{}, span)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (traced) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryEndData) {
	span, _ := ctx.Value(statementKey{}).(*traces.Span)
	span.End(q.Err != nil && !errors.Is(q.Err, pgx.ErrNoRows))
}
