package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// ending is a file that does something when it has been read.
type ending struct {
	io.Reader
	end func()
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err != nil && e.end != nil {
		e.end()
		e.end = nil
	}
	return n, err
}

func orderFile(orders int, end func()) jobs.Source {
	var text strings.Builder
	text.WriteString("customer_id,order_id,ordered_at,sku,quantity,unit_price\n")
	for n := range orders {
		fmt.Fprintf(&text, "c%d,o%d,2026-11-%02dT10:00:00Z,a,1,2.50\n", n%7, n, 1+n%20)
	}
	return jobs.Source{Name: "orders.csv", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(&ending{strings.NewReader(text.String()), end}), nil
	}}
}

// importRun is the newest import.
func importRun(t *testing.T, pool *pgxpool.Pool, db *postgres.DB) *engine.Run {
	t.Helper()
	var id string
	check(t, pool.QueryRow(t.Context(), "SELECT run_id::text FROM run WHERE kind = 'IMPORT' ORDER BY created_at DESC LIMIT 1").Scan(&id))
	run, err := db.Run(t.Context(), id)
	check(t, err)
	return run
}

func countLines(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	check(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM customer_order").Scan(&n))
	return n
}

// TestCancelledImport keeps nothing of an import whose run was cancelled while it worked, of the store's first and of a later one.
func TestCancelledImport(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store, err := db.EnsureStore(t.Context(), "shop")
	check(t, err)
	for _, there := range []int{0, 20} {
		if there > 0 {
			_, err := q.Import(t.Context(), store, []jobs.Source{orderFile(there, nil)}, ingest.Options{}, nil, nil)
			check(t, err)
		}
		cancelled := orderFile(40, func() {
			_, err := q.Cancel(context.WithoutCancel(t.Context()), importRun(t, pool, db).ID)
			check(t, err)
		})
		_, err := q.Import(t.Context(), store, []jobs.Source{cancelled}, ingest.Options{}, nil, nil)
		if !errors.Is(err, postgres.ErrRunOver) {
			t.Errorf("the import ended with %v", err)
		}
		if run, lines := importRun(t, pool, db), countLines(t, pool); run.State != engine.RunCancelled || lines != there {
			t.Errorf("the run is %s, and there are %d lines, want %d", run.State, lines, there)
		}
	}
}

// TestKilledImport ends an import's connection just before it commits: neither the orders nor the run's success is there. Before, orders
// were seen while the run still worked, and stayed although it failed.
func TestKilledImport(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	holding, err := pool.Begin(ctx)
	check(t, err)
	defer func() { _ = holding.Rollback(context.WithoutCancel(ctx)) }()
	killed := orderFile(40, func() { // the run's row is held, so that it cannot end
		_, err := holding.Exec(ctx, "SELECT FROM run WHERE kind = 'IMPORT' FOR UPDATE")
		check(t, err)
	})
	ended := make(chan error, 1)
	go func() {
		_, err := q.Import(ctx, store, []jobs.Source{killed}, ingest.Options{}, nil, nil)
		ended <- err
	}()
	const finishing = `SELECT count(*), count(pg_terminate_backend(pid)) FILTER (WHERE $1) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '-- name: FinishRun%'`
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for found, gone := 0, 0; found == 0; <-ticker.C {
		select {
		case err := <-ended:
			t.Fatalf("the import ended with %v", err)
		default:
		}
		check(t, pool.QueryRow(ctx, finishing, false).Scan(&found, &gone))
	}
	if lines := countLines(t, pool); lines != 0 {
		t.Errorf("%d lines are there while the run works", lines)
	}
	var found, gone int
	check(t, pool.QueryRow(ctx, finishing, true).Scan(&found, &gone))
	check(t, holding.Rollback(ctx))
	if err := <-ended; engine.CodeOf(err) == engine.CodeInternal && postgres.Outage(err) == nil || err == nil {
		t.Errorf("the import ended with %v, want a lost connection", err)
	}
	if run, lines := importRun(t, pool, db), countLines(t, pool); run.State != engine.RunFailed || lines != 0 {
		t.Errorf("the run is %s, and %d lines are there", run.State, lines)
	}
	report, err := q.Import(ctx, store, []jobs.Source{orderFile(40, nil)}, ingest.Options{}, nil, nil)
	check(t, err)
	if run := importRun(t, pool, db); run.State != engine.RunSucceeded || run.Rows != 40 || report.Changed != 40 || countLines(t, pool) != 40 {
		t.Errorf("once more: %+v", run)
	}
}
