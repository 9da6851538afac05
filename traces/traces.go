package traces

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes spans. A nil Tracer makes none and costs a comparison.
type Tracer struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
	alone    bool // neither reads nor sends the traceparent of requests
}

// New returns a Tracer whose spans go to a processor. Tests give one of their own; FromEnvironment
// makes that of a process.
func New(options ...sdktrace.TracerProviderOption) *Tracer {
	p := sdktrace.NewTracerProvider(options...)
	return &Tracer{tracer: p.Tracer("github.com/grantd/grantd"), provider: p}
}

// Close sends the spans that were not sent yet.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Span is one piece of work. A nil Span takes everything and keeps nothing.
type Span struct{ span trace.Span }

// w3c reads and writes traceparent, and neither tracestate nor baggage: what others put into
// those is not passed on.
var w3c = propagation.TraceContext{}

// Request begins the span of a request that grantd answers. It continues the trace of the caller's
// traceparent, if that can be read.
func (t *Tracer) Request(ctx context.Context, h http.Header) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	if !t.alone {
		ctx = remote(ctx, h.Get("traceparent"))
	}
	return t.start(ctx, "request", trace.SpanKindServer)
}

// Call begins the span of a request to an upstream, and puts its traceparent into the request's
// header.
func (t *Tracer) Call(ctx context.Context, name string, h http.Header) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, s := t.start(ctx, name, trace.SpanKindClient)
	if text := Parent(ctx); text != "" && !t.alone {
		h.Set("traceparent", text)
	}
	return ctx, s
}

// Statement begins the span of an SQL statement, of which it tells the verb and the table.
func (t *Tracer) Statement(ctx context.Context, sql string) (context.Context, *Span) {
	if t == nil || !trace.SpanContextFromContext(ctx).IsValid() { // a sweep's statements are no trace of their own
		return ctx, nil
	}
	verb, table := summary(sql)
	ctx, s := t.start(ctx, strings.TrimSpace(verb+" "+table), trace.SpanKindClient)
	s.set(dbSystem, "postgresql")
	s.set(dbOperation, verb)
	s.set(dbTable, table)
	return ctx, s
}

// Task begins the span of a task, in the trace of what enqueued it.
func (t *Tracer) Task(ctx context.Context, kind, traceparent string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, s := t.start(remote(ctx, traceparent), "task "+kind, trace.SpanKindConsumer)
	s.set(taskKind, kind)
	return ctx, s
}

func (t *Tracer) start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, *Span) {
	ctx, s := t.tracer.Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, &Span{s}
}

// Parent is the traceparent of what ctx belongs to, "" for nothing. It is what a task carries.
func Parent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// ID is the id of the trace that ctx belongs to, "" for none. Log lines have it.
func ID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.IsValid() {
		return c.TraceID().String()
	}
	return ""
}

func remote(ctx context.Context, traceparent string) context.Context {
	return w3c.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}

// The attributes that spans have, in the words of OpenTelemetry's conventions where those have one. Their values are names
// and numbers of ours: never a path, a query, a header, a body, an address, an error's text or a statement's values.
const (
	httpMethod  = attribute.Key("http.request.method")
	httpRoute   = attribute.Key("http.route")
	httpStatus  = attribute.Key("http.response.status_code")
	requestID   = attribute.Key("grantd.request.id")
	upstream    = attribute.Key("grantd.provider.type")
	endpoint    = attribute.Key("grantd.upstream.endpoint")
	dbSystem    = attribute.Key("db.system.name")
	dbOperation = attribute.Key("db.operation.name")
	dbTable     = attribute.Key("db.collection.name")
	taskKind    = attribute.Key("grantd.task.kind")
)

// Keys are all of them.
func Keys() []string {
	var all []string
	for _, k := range []attribute.Key{httpMethod, httpRoute, httpStatus, requestID, upstream, endpoint, dbSystem, dbOperation, dbTable, taskKind} {
		all = append(all, string(k))
	}
	return all
}

func (s *Span) set(key attribute.Key, value string) {
	if s != nil && value != "" {
		s.span.SetAttributes(key.String(value))
	}
}

// Answered tells how a request was answered: its method and the pattern of its route, its status, and the id that the
// client and the log have. It ends the span.
func (s *Span) Answered(method, route string, status int, id string) {
	if s == nil {
		return
	}
	s.span.SetName(method + " " + route)
	s.set(httpMethod, method)
	s.set(httpRoute, route)
	s.set(requestID, id)
	s.span.SetAttributes(httpStatus.Int(status))
	s.End(status >= http.StatusInternalServerError)
}

// Returned tells how a call to an upstream ended: the provider's type, the class of the endpoint, and the status, 0 where
// no answer came. It ends the span.
func (s *Span) Returned(providerType, class string, status int) {
	if s == nil {
		return
	}
	s.set(upstream, providerType)
	s.set(endpoint, class)
	if status > 0 {
		s.span.SetAttributes(httpStatus.Int(status))
	}
	s.End(status == 0 || status >= http.StatusBadRequest)
}

// End ends the span. That something failed is all it tells of an error, since errors may repeat what an upstream said.
func (s *Span) End(failed bool) {
	if s == nil {
		return
	}
	if failed {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// summary is the verb of a statement, and the table that it is about.
func summary(sql string) (verb, table string) {
	words := strings.FieldsFunc(sql, func(r rune) bool { return strings.ContainsRune(" \t\n(),;\"`", r) })
	for i, w := range words {
		switch w = strings.ToUpper(w); {
		case verb == "" && (w == "SELECT" || w == "INSERT" || w == "UPDATE" || w == "DELETE"):
			if verb = w; w == "UPDATE" && i+1 < len(words) {
				return verb, plainName(words[i+1])
			}
		case verb != "" && (w == "FROM" || w == "INTO") && i+1 < len(words) && !strings.EqualFold(words[i+1], "SELECT"):
			return verb, plainName(words[i+1])
		}
	}
	if verb == "" && len(words) > 0 { // begin, commit
		verb = plainName(strings.ToUpper(words[0]))
	}
	return verb, ""
}

// plainName is a word if it is the name of a table or of a command.
func plainName(word string) string {
	if len(word) > 40 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return ""
	}
	return word
}
