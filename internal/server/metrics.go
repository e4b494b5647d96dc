package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/quimbi/quimbi/internal/obs"
	"github.com/quimbi/quimbi/internal/postgres"
)

const (
	// maxNames is how many names of operations are told apart. Names come from clients, so anybody could make any number.
	maxNames = 100
	// maxName is the longest name that is told, in bytes.
	maxName = 64
	// otherName stands for all other names, noName for an operation without one.
	otherName, noName = "other", "anonymous"
	// slowOperation is what an operation takes that is worth a line in the log.
	slowOperation = time.Second
)

// metrics are what /metrics tells, what is logged of operations, and their spans.
type metrics struct {
	registry   *prometheus.Registry
	operations *prometheus.HistogramVec
	streams    *prometheus.GaugeVec
	errors     *prometheus.CounterVec
	log        *slog.Logger
	traces     *obs.Traces

	mu    sync.Mutex
	names map[string]bool
}

func newMetrics(db *postgres.DB, log *slog.Logger, traces *obs.Traces) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(), log: log, traces: traces, names: map[string]bool{},
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "quimbi_graphql_operation_seconds", Help: "Time to answer a query or mutation, by its name: the first hundred names, and other.", Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"type", "name"}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "quimbi_graphql_subscriptions", Help: "Subscriptions that are open, by name."}, []string{"name"}),
		errors:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "quimbi_graphql_errors_total", Help: "Errors in answers, by code."}, []string{"code"}),
	}
	gauge := func(name, help string, value func(total, used, limit int) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value(db.Stats())) })
	}
	m.registry.MustRegister(
		m.operations, m.streams, m.errors, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("quimbi_database_connections", "Connections to the database.", func(total, _, _ int) int { return total }),
		gauge("quimbi_database_connections_used", "Connections that are in use.", func(_, used, _ int) int { return used }),
		gauge("quimbi_database_connections_limit", "The most connections.", func(_, _, limit int) int { return limit }),
		newStock("quimbi_runs", "Runs that are on record, by kind and state.", []string{"kind", "state"}, db.RunTallies, log),
		newStock("quimbi_queue_jobs", "Jobs of the queue, by kind and state.", []string{"kind", "state"}, db.JobTallies, log),
		newStock("quimbi_drift_events", "Drift events of each store's newest day with any, caused by orders, by severity.", []string{"severity"}, db.DriftTallies, log),
	)
	return m
}

// name gives the label of an operation's name.
func (m *metrics) name(op *ast.OperationDefinition) string {
	if op.Name == "" {
		return noName
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.names[op.Name] {
		if len(op.Name) > maxName || len(m.names) >= maxNames {
			return otherName
		}
		m.names[op.Name] = true
	}
	return op.Name
}

// aroundOperations measures queries and mutations from their validated document to their answer, and counts subscriptions.
func (m *metrics) aroundOperations(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	op := graphql.GetOperationContext(ctx).Operation
	name := m.name(op)
	ctx = context.WithValue(ctx, begunKey{}, true)
	if op.Operation == ast.Subscription {
		open := m.streams.WithLabelValues(name)
		open.Inc()
		context.AfterFunc(ctx, open.Dec)
		return m.counting(next(ctx))
	}
	begin := time.Now()
	ctx, end := m.traces.Operation(ctx, string(op.Operation), op.Name)
	respond := m.counting(next(ctx))
	return func(ctx context.Context) *graphql.Response {
		response := respond(ctx)
		if response == nil {
			return nil // a stream asks for more than the one answer
		}
		defer end()
		took := time.Since(begin)
		m.operations.WithLabelValues(string(op.Operation), name).Observe(took.Seconds())
		level := slog.LevelDebug
		if took >= slowOperation {
			level = slog.LevelInfo
		}
		m.log.Log(ctx, level, "operation answered", slog.Duration("took", took), slog.Int("errors", len(response.Errors)))
		return response
	}
}

// counting counts the errors of every answer by code.
func (m *metrics) counting(respond graphql.ResponseHandler) graphql.ResponseHandler {
	return func(ctx context.Context) *graphql.Response {
		response := respond(ctx)
		m.countErrors(response)
		return response
	}
}

func (m *metrics) countErrors(response *graphql.Response) {
	if response == nil {
		return
	}
	for _, err := range response.Errors {
		code, _ := err.Extensions["code"].(string)
		m.errors.WithLabelValues(code).Inc()
	}
}

// begunKey marks the context of an operation that has begun: its errors are counted with its answer.
type begunKey struct{}

// around counts the errors of operations that were refused before they began.
func (m *metrics) around(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	response := next(ctx)
	if ctx.Value(begunKey{}) == nil {
		m.countErrors(response)
	}
	return response
}

// operationOf names the operation that a line of the log is about.
func operationOf(ctx context.Context) []slog.Attr {
	if !graphql.HasOperationContext(ctx) {
		return nil
	}
	op := graphql.GetOperationContext(ctx)
	if op == nil || op.Operation == nil {
		return nil
	}
	return []slog.Attr{slog.String("operation", string(op.Operation.Operation)), slog.String("name", op.Operation.Name)}
}

const (
	// stockTime is how long counts of the database are kept: whoever asks for metrics more often gets the same ones.
	stockTime = 15 * time.Second
	// stockLimit is how long counting may take.
	stockLimit = 2 * time.Second
)

// stock is a gauge that is counted in the database when it is asked for.
type stock struct {
	about *prometheus.Desc
	pairs bool // two labels
	count func(context.Context) ([]postgres.Tally, error)
	log   *slog.Logger

	mu   sync.Mutex
	at   time.Time
	last []postgres.Tally
}

func newStock(name, help string, labels []string, count func(context.Context) ([]postgres.Tally, error), log *slog.Logger) *stock {
	return &stock{about: prometheus.NewDesc(name, help, labels, nil), pairs: len(labels) == 2, count: count, log: log}
}

// Describe is of prometheus.Collector.
func (s *stock) Describe(to chan<- *prometheus.Desc) { to <- s.about }

// Collect is of prometheus.Collector. What cannot be counted is left out: the other metrics stand.
func (s *stock) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) > stockTime {
		ctx, cancel := context.WithTimeout(context.Background(), stockLimit)
		defer cancel()
		found, err := s.count(ctx)
		if err != nil {
			s.log.Warn("counting for the metrics failed", slog.Any("error", err))
			return
		}
		s.last, s.at = found, time.Now()
	}
	for _, t := range s.last {
		labels := []string{t.Word}
		if s.pairs {
			labels = append(labels, t.Other)
		}
		to <- prometheus.MustNewConstMetric(s.about, prometheus.GaugeValue, float64(t.Count), labels...)
	}
}
