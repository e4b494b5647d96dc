package jobs_test

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// manyCustomers fills a store: three orders a customer in the mean, as CDNOW's buyers have, and one line and a half an
// order; half of the customers have one order only.
func manyCustomers(b *testing.B, db *postgres.DB, customers int) *engine.Store {
	b.Helper()
	store, err := db.EnsureStore(b.Context(), "shop")
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	first := time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err = db.ImportLines(b.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for c := range customers {
			orders := 1
			if c%2 == 0 {
				orders = 1 + random.IntN(9)
			}
			for o := range orders {
				at := first.Add(time.Duration(random.IntN(540*24*60)) * time.Minute)
				for l := range 1 + random.IntN(2) {
					line := &postgres.ImportLine{Customer: fmt.Sprintf("c%06d", c), HasDiscount: true, Line: engine.Line{
						OrderKey: fmt.Sprintf("o%d-%d", c, o), Number: int32(l + 1), OrderedAt: at, SKU: fmt.Sprint("s", random.IntN(400)),
						Category: fmt.Sprint("c", random.IntN(12)), Quantity: int32(1 + random.IntN(4)), NetCents: int64(300 + random.IntN(9000)),
					}}
					if random.IntN(4) == 0 {
						line.DiscountCents = line.NetCents / 5
					}
					if random.IntN(12) == 0 {
						line.RefundCents, line.RefundedAt = line.NetCents, at.AddDate(0, 0, 9)
					}
					if err := yield(line); err != nil {
						return 0, err
					}
				}
			}
		}
		return engine.AllColumns, nil
	})
	if err == nil {
		store, err = db.StoreByKey(b.Context(), "shop")
	}
	if err != nil {
		b.Fatal(err)
	}
	return store
}

// BenchmarkWeeklyBatch takes the weekly snapshots of 200,000 customers, or as many as QUIMBI_CUSTOMERS says, a week after
// those before: scoring alone, on features at hand and on one core, and the whole of it with two workers, also where churn risk counts drift, so that earlier days are looked
// at too, and behind a refit, when the snapshots before are scored anew. It reports customers a second and the bytes of the table, without its index, for each snapshot.
func BenchmarkWeeklyBatch(b *testing.B) {
	customers := 200_000
	if text := os.Getenv("QUIMBI_CUSTOMERS"); text != "" {
		if _, err := fmt.Sscan(text, &customers); err != nil {
			b.Fatal(err)
		}
	}
	ctx := b.Context()
	config := pgtest.DB(b).Config()
	config.MaxConns = 16
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	db := postgres.New(pool)
	queue := func(features bool) *jobs.Queue {
		settings := jobs.DefaultSettings()
		settings.Workers, settings.StoreFeatures = 2, features
		q, err := jobs.NewQueue(db, settings, slog.New(slog.DiscardHandler), clock)
		if err != nil {
			b.Fatal(err)
		}
		return q
	}
	store := manyCustomers(b, db, customers)
	work := func(q *jobs.Queue, run *engine.Run, err error) *engine.Run {
		b.Helper()
		if err == nil {
			err = q.Work(ctx, run, nil)
		}
		if err == nil {
			run, err = db.Run(ctx, run.ID)
		}
		if err != nil {
			b.Fatal(err)
		}
		return run
	}
	cluster := func(b *testing.B, seed uint64) {
		b.Helper()
		run, err := queue(true).Recluster(ctx, jobs.ReclusterRequest{Store: store, Params: engine.DefaultParams(), Seed: &seed, Trigger: engine.TriggerCLI})
		work(queue(true), run, err)
	}
	cluster(b, 1)
	stored, err := db.NewestModel(ctx, store.ID)
	if err != nil {
		b.Fatal(err)
	}
	for _, sql := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	take := func(b *testing.B, q *jobs.Queue, date engine.Date) *engine.Run {
		b.Helper()
		run, err := q.SnapshotStore(ctx, jobs.SnapshotRequest{Store: store, Type: engine.Weekly, Date: &date, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerCLI})
		return work(q, run, err)
	}

	b.Run("score", func(b *testing.B) {
		var rows [][]float32
		found, err := pool.Query(ctx, "SELECT feature FROM customer_state WHERE store_id = $1 LIMIT 20000", store.ID)
		if err != nil {
			b.Fatal(err)
		}
		for found.Next() {
			var row []*float32
			if err := found.Scan(&row); err != nil {
				b.Fatal(err)
			}
			rows = append(rows, values(row))
		}
		scorer := stored.Model.NewScorer()
		var print engine.Thumbprint
		b.ReportAllocs()
		for b.Loop() {
			for _, row := range rows {
				scorer.Score(3, row, &print)
			}
		}
		b.ReportMetric(float64(b.N*len(rows))/b.Elapsed().Seconds(), "customers/s")
	})
	for _, c := range []struct {
		name                   string
		features, drift, refit bool
	}{{name: "features=true", features: true}, {name: "features=false"}, {name: "drift", drift: true}, {name: "refit", features: true, refit: true}} {
		b.Run("whole/"+c.name, func(b *testing.B) {
			beta := 0
			if c.drift {
				beta = 5
			}
			if _, err := pool.Exec(ctx, `UPDATE segment_model SET body = jsonb_set(body, '{predictor,calibration,drift}', to_jsonb($1::int))`, beta); err != nil {
				b.Fatal(err)
			}
			q := queue(c.features)
			last := engine.NewDate(1998, time.June, 14)
			take(b, q, last-7)
			if c.refit {
				cluster(b, 2)
			}
			var snapshots, events int64
			b.ResetTimer()
			for b.Loop() {
				run := take(b, q, last)
				b.StopTimer()
				snapshots, events = snapshots+run.Rows, events+run.Events
				var bytes, rows int64
				if err := pool.QueryRow(ctx, "SELECT pg_relation_size('snapshot_weekly_19980614'), (SELECT count(*) FROM snapshot_weekly_19980614)").Scan(&bytes, &rows); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(bytes)/float64(rows), "table-bytes/snapshot")
				for _, sql := range []string{"TRUNCATE snapshot_weekly_19980614", "TRUNCATE drift_event, customer_drift, segment_transition, drift_spread"} {
					if _, err := pool.Exec(ctx, sql); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(snapshots)/b.Elapsed().Seconds(), "customers/s")
			b.ReportMetric(float64(events)/float64(b.N), "events")
			b.StopTimer()
			if _, err := pool.Exec(ctx, "TRUNCATE snapshot, drift_event, customer_drift, segment_transition, drift_spread"); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// values turns what is undefined into NaN.
func values(row []*float32) []float32 {
	list := make([]float32, len(row))
	for i, f := range row {
		list[i] = float32(math.NaN())
		if f != nil {
			list[i] = *f
		}
	}
	return list
}
