package postgres_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

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
}
