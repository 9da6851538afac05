package traces

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
)

// FromEnvironment returns the Tracer that the standard OTEL_* variables ask for: nil, which is off, where neither an
// endpoint nor OTEL_TRACES_EXPORTER=otlp is set, or where OTEL_SDK_DISABLED=true or OTEL_TRACES_EXPORTER=none. failed is told
// when spans cannot be sent. An error names the variable that cannot be used.
func FromEnvironment(ctx context.Context, version string, failed func(error)) (*Tracer, error) {
	asked, err := asked(os.Getenv)
	if err != nil || !asked {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_…: %w", err)
	}
	what, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName("grantd"), semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(failed))
	t := New(sdktrace.WithBatcher(exporter), sdktrace.WithResource(what))
	t.alone = os.Getenv("OTEL_PROPAGATORS") == "none"
	return t, nil
}

// asked reports whether traces are asked for.
func asked(get func(string) string) (bool, error) {
	exporter, protocol := get("OTEL_TRACES_EXPORTER"), get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = get("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch {
	case strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") || exporter == "none":
		return false, nil
	case exporter != "" && exporter != "otlp":
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER: it is not one of otlp, none")
	case exporter == "" && get("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "":
		return false, nil
	case protocol != "" && protocol != "http/protobuf":
		return false, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: it is not http/protobuf, the one protocol that grantd sends traces by")
	}
	return true, nil
}
