package server

import (
	"context"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/quimbi/quimbi/internal/postgres"
)

// metrics are what /metrics tells. Names of operations come from clients, so they are no label: anybody could make
// any number of them.
type metrics struct {
	registry   *prometheus.Registry
	operations *prometheus.HistogramVec
	errors     *prometheus.CounterVec
}

func newMetrics(db *postgres.DB) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "quimbi_graphql_operation_seconds", Help: "Time to answer an operation.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"type"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "quimbi_graphql_errors_total", Help: "Errors in answers, by code."}, []string{"code"}),
	}
	gauge := func(name, help string, value func(total, used, limit int) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value(db.Stats())) })
	}
	m.registry.MustRegister(
		m.operations, m.errors, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("quimbi_database_connections", "Connections to the database.", func(total, _, _ int) int { return total }),
		gauge("quimbi_database_connections_used", "Connections that are in use.", func(_, used, _ int) int { return used }),
		gauge("quimbi_database_connections_limit", "The most connections.", func(_, _, limit int) int { return limit }),
	)
	return m
}

// around measures an answer.
func (m *metrics) around(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	begin := time.Now()
	response := next(ctx)
	if response == nil {
		return nil
	}
	kind := "refused"
	if graphql.HasOperationContext(ctx) {
		if op := graphql.GetOperationContext(ctx); op != nil && op.Operation != nil {
			kind = string(op.Operation.Operation)
		}
	}
	m.operations.WithLabelValues(kind).Observe(time.Since(begin).Seconds())
	for _, err := range response.Errors {
		code, _ := err.Extensions["code"].(string)
		m.errors.WithLabelValues(code).Inc()
	}
	return response
}
