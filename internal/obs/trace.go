package obs

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.34.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/quimbi/quimbi/engine"
)

// Traces sends spans to a collector over OTLP. A nil one does nothing and costs nothing.
type Traces struct{ provider *sdk.TracerProvider }

// NewTraces sends to a collector's base address, such as http://127.0.0.1:4318; without one there are no traces. The library
// takes headers, timeout and sampling from the usual OTEL_ variables. Fault: INVALID.
func NewTraces(ctx context.Context, endpoint, version string) (*Traces, error) {
	if endpoint == "" {
		return nil, nil
	}
	if !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://") {
		return nil, engine.Errorf(engine.CodeInvalid, "OTEL_EXPORTER_OTLP_ENDPOINT must look like http://127.0.0.1:4318, is %q", endpoint)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(endpoint, "/")+"/v1/traces"))
	if err != nil {
		return nil, err
	}
	about, err := resource.Merge(resource.Default(), resource.NewSchemaless(semconv.ServiceName("quimbi"), semconv.ServiceVersion(version)))
	if err != nil {
		return nil, err
	}
	return &Traces{sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))}, nil
}

// Provider is for libraries that make spans of their own; nil where there are no traces.
func (t *Traces) Provider() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// Close sends what is left.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Handler makes a span of every request that is no stream; a stream lasts as long as its client likes.
func (t *Traces) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return otelhttp.NewHandler(next, "http",
		otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return r.Header.Get("Upgrade") == "" && !strings.Contains(r.Header.Get("Accept"), "text/event-stream")
		}),
	)
}

// Operation begins a span around a GraphQL operation.
func (t *Traces) Operation(ctx context.Context, kind, name string) (context.Context, func()) {
	if t == nil {
		return ctx, func() {}
	}
	ctx, span := t.provider.Tracer("github.com/quimbi/quimbi").Start(ctx, strings.TrimSpace(kind+" "+name), trace.WithAttributes(
		semconv.GraphQLOperationName(name), semconv.GraphQLOperationTypeKey.String(kind),
	))
	return ctx, func() { span.End() }
}
