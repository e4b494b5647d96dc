package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// BenchmarkAftermath removes the drift events and transitions of 20 weeks that retention lets go, 50,000 of each a week, from tables that
// hold as many of 10 weeks more, in batches as a cleanup does.
func BenchmarkAftermath(b *testing.B) {
	ctx := b.Context()
	pool := pgtest.DB(b)
	db := postgres.New(pool)
	const weeks, gone, batch = 30, 20, 20_000
	first := engine.NewDate(2026, time.January, 4)
	cutoff := first + 7*gone
	a := postgres.Aftermath{StoreID: 1, Type: engine.Weekly, Before: cutoff, BeforeAt: cutoff.UTC()}
	for b.Loop() {
		b.StopTimer()
		fillAftermath(b, pool, first, weeks)
		b.StartTimer()
		longest, removed := time.Duration(0), int64(0)
		dates, err := db.PastDates(ctx, a)
		if err != nil {
			b.Fatal(err)
		}
		for _, date := range dates {
			for _, remove := range []func() (int64, error){
				func() (int64, error) { return db.DeleteEvents(ctx, a, date, batch) },
				func() (int64, error) { return db.DeleteTransitions(ctx, a, date, batch) },
			} {
				for n := int64(batch); n == batch; removed += n {
					began := time.Now()
					if n, err = remove(); err != nil {
						b.Fatal(err)
					}
					longest = max(longest, time.Since(began))
				}
			}
		}
		b.ReportMetric(float64(removed), "rows")
		b.ReportMetric(float64(longest.Milliseconds()), "longest-ms")
	}
	var events, transitions float64
	err := pool.QueryRow(ctx, `SELECT pg_total_relation_size('drift_event')::float8 / $1, pg_total_relation_size('segment_transition')::float8 / $1`, weeks*50_000).Scan(&events, &transitions)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(events, "B/event")
	b.ReportMetric(transitions, "B/transition")
}

func fillAftermath(b *testing.B, pool *pgxpool.Pool, first engine.Date, weeks int) {
	b.Helper()
	for _, sql := range []string{
		"TRUNCATE drift_event, segment_transition",
		`INSERT INTO drift_event (store_id, customer_id, axis, snapshot_type, from_date, to_date, model_id, score, from_segment, to_segment, by_order, axis_anomaly, overall_anomaly,
  overall, mean_score, coverage, largest_axis, largest_score, moderate_axes)
SELECT 1, c * 4, c % 14, 2, $1::date + 7 * w - 7, $1::date + 7 * w, 1, 0.2, 1, 2, c % 3 = 0, false, false, 0.1, 0.1, 1, 2, 0.2, 0 FROM generate_series(0, $2::int - 1) w, generate_series(1, 50000) c`,
		`INSERT INTO segment_transition (store_id, customer_id, snapshot_type, axis, model_id, from_segment, to_segment, first_date, state, settled_on, lead, score, by_order)
SELECT 1, c * 4, 2, c % 14, 1, 1, 2, $1::date + 7 * w, 2, $1::date + 7 * w + 7, 5000, 0.2, true FROM generate_series(0, $2::int - 1) w, generate_series(1, 50000) c`,
		"ANALYZE drift_event, segment_transition",
	} {
		var args []any
		if sql[0] == 'I' {
			args = []any{first.UTC(), weeks}
		}
		if _, err := pool.Exec(b.Context(), sql, args...); err != nil {
			b.Fatal(err)
		}
	}
}
