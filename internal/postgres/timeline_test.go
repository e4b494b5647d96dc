package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// oldLeaves makes the leaves that a store of some years has beside those of a year's weeks.
func oldLeaves(t testing.TB, db *postgres.DB, from engine.Date, weeks int) {
	t.Helper()
	for kind, count := range map[engine.SnapshotType]int{engine.Daily: 10, engine.Weekly: weeks + 4, engine.Monthly: 26, engine.Quarterly: 22, engine.Yearly: 6} {
		dates := make([]engine.Date, count)
		for i := range dates {
			dates[i] = from + engine.Date(i*kind.Days())
		}
		if err := db.EnsureLeaves(t.Context(), kind, dates); err != nil {
			t.Fatal(err)
		}
	}
}

// However many leaves there are, reads over them are planned once a connection, behind the fence too.
func TestTimelinesArePlannedOnce(t *testing.T) {
	t.Parallel()
	config := pgtest.DB(t).Config()
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	check(t, err)
	defer pool.Close()
	db := postgres.New(pool)
	oldLeaves(t, db, sunday, 52)
	fillLeaves(t, pool, 1, 3, false, sunday, sunday+7)
	for _, ctx := range []context.Context{t.Context(), postgres.WithStores(t.Context(), []int32{1})} {
		for i := range 8 {
			ref := postgres.CustomerRef{StoreID: 1, CustomerID: int64(1 + i%3)}
			found, err := db.Timeline(ctx, []postgres.CustomerRef{ref}, postgres.TimelineQuery{Type: engine.Weekly, From: sunday, To: sunday + 8, Model: 1, Limit: 52})
			check(t, err)
			latest, err := db.LatestSnapshots(ctx, []postgres.CustomerRef{ref}, postgres.LatestQuery{Type: engine.Weekly, Before: sunday + 7})
			check(t, err)
			if len(found[ref]) != 2 || latest[ref] == nil || latest[ref].Date != sunday {
				t.Fatalf("%d snapshots, the latest before the second %v", len(found[ref]), latest[ref])
			}
		}
	}
	var custom, generic int
	check(t, pool.QueryRow(t.Context(), `SELECT sum(custom_plans), sum(generic_plans) FROM pg_prepared_statements WHERE statement ~ 'name: (Timeline|LatestSnapshots)'`).Scan(&custom, &generic))
	if custom != 0 || generic != 32 {
		t.Errorf("of 32 reads %d were planned each time and %d by a kept plan", custom, generic)
	}
}

// BenchmarkTimeline reads timelines of 52 weekly snapshots, each of another one of 20,000 customers, by the statement that
// the API uses, and reports the median with what the client does of it.
func BenchmarkTimeline(b *testing.B) {
	const customers, weeks = 20_000, 52
	ctx := b.Context()
	pool := pgtest.DB(b)
	db := postgres.New(pool)
	dates := make([]engine.Date, weeks)
	for i := range dates {
		dates[i] = sunday + engine.Date(7*i)
	}
	oldLeaves(b, db, dates[0], weeks)
	fillLeaves(b, pool, 1, customers, false, dates...)
	if _, err := pool.Exec(ctx, "VACUUM ANALYZE snapshot"); err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	query := postgres.TimelineQuery{Type: engine.Weekly, From: dates[0], To: dates[weeks-1] + 1, Model: 1, Limit: weeks}
	var took []time.Duration
	for b.Loop() {
		ref := postgres.CustomerRef{StoreID: 1, CustomerID: int64(1 + random.IntN(customers))}
		start := time.Now()
		found, err := db.Timeline(ctx, []postgres.CustomerRef{ref}, query)
		took = append(took, time.Since(start))
		if err != nil || len(found[ref]) != weeks {
			b.Fatal(len(found[ref]), err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
	inServer := timelinesInServer(b, pool, query, customers)
	b.ReportMetric(inServer[len(inServer)/2], "ms-p50-in-the-server")
}

// timelinesInServer gives what the server says that it takes to plan and to execute the statement, in ms, ascending, for as many
// customers as there are weeks in twenty years.
func timelinesInServer(b *testing.B, pool *pgxpool.Pool, q postgres.TimelineQuery, customers int) []float64 {
	b.Helper()
	conn, err := pool.Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Release()
	_, err = conn.Exec(b.Context(), "SET plan_cache_mode = force_generic_plan; PREPARE timeline(int[], bigint[], smallint, date, date, int, int, bool) AS "+postgres.TimelineSQL)
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(2, 2))
	took := make([]float64, 1040)
	for i := range took {
		var plan []struct {
			Planning  float64 `json:"Planning Time"`
			Execution float64 `json:"Execution Time"`
		}
		sql := fmt.Sprintf("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE timeline('{1}', '{%d}', %d, '%s', '%s', %d, %d, false)",
			1+random.IntN(customers), int16(q.Type), q.From, q.To, q.Model, q.Limit)
		if err := conn.QueryRow(b.Context(), sql).Scan(&plan); err != nil {
			b.Fatal(err)
		}
		took[i] = plan[0].Planning + plan[0].Execution
	}
	slices.Sort(took)
	return took
}
