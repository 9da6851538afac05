package traces

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func TestOffCostsNothing(t *testing.T) {
	var off *Tracer
	ctx, header := context.Background(), http.Header{}
	if n := testing.AllocsPerRun(100, func() {
		ctx, request := off.Request(ctx, header)
		ctx, call := off.Call(ctx, "call token", header)
		ctx, statement := off.Statement(ctx, "SELECT 1")
		_, task := off.Task(ctx, "job:stats", "")
		task.End(true)
		statement.End(false)
		call.Returned("github", "token", 200)
		request.Answered("GET", "/", 200, "id")
	}); n != 0 || len(header) != 0 || Parent(ctx) != "" || ID(ctx) != "" {
		t.Errorf("%v allocations, header %v", n, header)
	}
	if err := off.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestOfAStatementTheVerbAndTheTableAreTold(t *testing.T) {
	for sql, want := range map[string]string{
		`SELECT "providers"."id" FROM "providers" WHERE id = $1`:                          "SELECT providers",
		`INSERT INTO "flows" ("id") VALUES ($1)`:                                          "INSERT flows",
		`UPDATE credentials SET sealed = 'secret'`:                                        "UPDATE credentials",
		`DELETE FROM audit_events WHERE ctid = ANY(ARRAY(SELECT ctid FROM audit_events))`: "DELETE audit_events",
		`WITH due AS MATERIALIZED (SELECT id FROM jobs) UPDATE jobs SET ring = ring + 1`:  "SELECT jobs",
		`SELECT count(*) FROM (SELECT 1 FROM authorizations) t`:                           "SELECT authorizations",
		`begin`: "BEGIN",
		`SELECT 'https://x/?code=1' FROM "a?b=c"`: "SELECT",
		``: "",
	} {
		if verb, table := summary(sql); strings.TrimSpace(verb+" "+table) != want {
			t.Errorf("%s: %q %q, want %q", sql, verb, table, want)
		}
	}
}

// Whoever asks from outside may be somebody who wants to be in another's trace, or an upstream that is not to learn of it.
func TestTraceparentsOfOthersCanBeLeftOut(t *testing.T) {
	const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, alone := range []bool{false, true} {
		tracer := New(sdktrace.WithSpanProcessor(tracetest.NewSpanRecorder()))
		tracer.alone = alone
		ctx, _ := tracer.Request(t.Context(), http.Header{"Traceparent": {theirs}})
		if got := strings.Contains(Parent(ctx), "0af7651916cd43dd8448eb211c80319c"); got == alone {
			t.Errorf("alone %v: the caller's trace is continued: %v", alone, got)
		}
		sent := http.Header{}
		if tracer.Call(ctx, "call token", sent); (sent.Get("Traceparent") == "") != alone {
			t.Errorf("alone %v: the upstream gets %v", alone, sent)
		}
	}
}

func TestWhichVariablesAskForTraces(t *testing.T) {
	for _, test := range []struct {
		env   map[string]string
		want  bool
		wrong string
	}{
		{nil, false, ""},
		{map[string]string{"OTEL_SERVICE_NAME": "grantd"}, false, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, false, ""},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, "OTEL_TRACES_EXPORTER"},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL"},
	} {
		got, err := asked(func(name string) string { return test.env[name] })
		if got != test.want || (err != nil) != (test.wrong != "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%v: %v %v", test.env, got, err)
		}
	}
}

func TestSpansAreSentToTheCollector(t *testing.T) {
	got := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + r.Header.Get("Content-Type") + " " + r.Header.Get("X-Key") + " " + string(body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=value")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
	tracer, err := FromEnvironment(t.Context(), "v1.2.3", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracer.Task(t.Context(), "job:stats", "")
	span.End(false)
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := <-got
	for _, part := range []string{"/v1/traces application/x-protobuf value", "grantd", "v1.2.3", "staging", "task job:stats"} {
		if !strings.Contains(text, part) {
			t.Errorf("the collector got no %q: %q", part, text)
		}
	}
}
