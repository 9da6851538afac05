// Package traces makes OpenTelemetry spans of what grantd does: requests it answers, calls to upstreams, statements on
// PostgreSQL, tasks. It is the one place that knows OpenTelemetry, and the one that decides what a span may say; instead of
// the ready-made instrumentation, which writes whole URLs. Off, which is a nil Tracer, it costs a comparison.
//
//	traces.go       spans, their attributes, and the traceparent that others send and get
//	environment.go  the OTEL_* variables
package traces
