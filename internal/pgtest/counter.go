package pgtest

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Counter is a pgx tracer that notes the statements that read data. Statements
// of a batch count one by one; begin, commit, set_config, notifications, locks
// and plain writes do not count. The zero value is ready for use.
type Counter struct {
	mu    sync.Mutex
	reads []string
}

var (
	_ pgx.QueryTracer = (*Counter)(nil)
	_ pgx.BatchTracer = (*Counter)(nil)
)

// Queries returns the counter of a pool made by [DB], or of any pool whose
// tracer is or contains a *Counter, set to zero.
func Queries(t testing.TB, pool *pgxpool.Pool) *Counter {
	t.Helper()
	c := counterOf(pool.Config().ConnConfig.Tracer)
	if c == nil {
		t.Fatal("pgtest: the pool has no Counter as tracer: make it with DB, or set ConnConfig.Tracer to new(pgtest.Counter)")
	}
	c.Reset()
	return c
}

func counterOf(tracer pgx.QueryTracer) *Counter {
	switch tracer := tracer.(type) {
	case *Counter:
		return tracer
	case *multitracer.Tracer:
		for _, q := range tracer.QueryTracers {
			if c := counterOf(q); c != nil {
				return c
			}
		}
	}
	return nil
}

// Reset forgets what was counted.
func (c *Counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads = nil
}

// Reads returns the statements counted so far, in the order in which they were sent.
func (c *Counter) Reads() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.reads)
}

// AtMost fails the test if more than limit statements read data, and lists them.
func (c *Counter) AtMost(t testing.TB, limit int) {
	t.Helper()
	if reads := c.Reads(); len(reads) > limit {
		t.Errorf("%d statements read data, want at most %d:\n\n%s", len(reads), limit, strings.Join(reads, "\n\n"))
	}
}

func (c *Counter) note(sql string) {
	if !readsData(sql) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads = append(c.reads, sql)
}

// TraceQueryStart notes a statement sent on its own.
func (c *Counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	c.note(data.SQL)
	return ctx
}

// TraceQueryEnd does nothing.
func (c *Counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart notes the statements of a batch, read or not: what counts
// is what was sent.
func (c *Counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		c.note(q.SQL)
	}
	return ctx
}

// TraceBatchQuery does nothing.
func (c *Counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd does nothing.
func (c *Counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

var (
	leadingComment = regexp.MustCompile(`^(?s:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|\()+`)
	firstWord      = regexp.MustCompile(`^\w+`)
	housekeeping   = regexp.MustCompile(`(?i)^select\s+(?:pg_catalog\.)?(?:set_config|pg_notify|pg_(?:try_)?advisory_\w+)\s*\(`)
)

// readsData tells whether a statement reads data. One that begins with WITH
// counts even if it writes in the end.
func readsData(sql string) bool {
	sql = sql[len(leadingComment.FindString(sql)):]
	switch strings.ToLower(firstWord.FindString(sql)) {
	case "select":
		return !housekeeping.MatchString(sql)
	case "with", "table", "values", "fetch":
		return true
	default:
		return false
	}
}
