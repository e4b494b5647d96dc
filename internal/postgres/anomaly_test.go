package postgres_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// TestActiveDrifts reads the drifts of those who did something, from a table of which the database has no statistics yet, as that of a
// young store: it must not go through the whole table for each of them.
func TestActiveDrifts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	const customers, weeks = 400, 5
	last := engine.NewDate(2026, 11, 22)
	for _, sql := range []string{
		"ALTER TABLE customer_drift SET (autovacuum_enabled = off)",
		// All did something in the four weeks before, every second one in the last week, and another store's in all of them.
		`INSERT INTO customer_drift SELECT s, 2, c, date '2026-11-22' - 7 * w, w / 10.0 FROM generate_series(1, 2) s, generate_series(1, 400) c, generate_series(0, 4) w
WHERE s = 2 OR w > 0 OR c % 2 = 0`,
	} {
		_, err := pool.Exec(ctx, sql)
		check(t, err)
	}
	found, err := db.ActiveDrifts(ctx, 1, postgres.CustomerRange{From: 1, To: customers}, engine.Weekly, []engine.Date{last})
	check(t, err)
	if len(found) != customers/2 {
		t.Errorf("%d customers did something, want %d", len(found), customers/2)
	}
	for i, c := range found {
		if c.CustomerID != int64(2*i+2) || len(c.Drifts) != weeks || c.Drifts[0].Day != int(last)-28 || c.Drifts[weeks-1].Day != int(last) {
			t.Fatalf("customer %d has the drifts %+v", c.CustomerID, c.Drifts)
		}
	}
	if earlier, err := db.ActiveDrifts(ctx, 1, postgres.CustomerRange{From: 1, To: 10}, engine.Weekly, []engine.Date{last - 14, last - 7}); err != nil || len(earlier) != 10 || len(earlier[1].Drifts) != 4 {
		t.Errorf("up to the week before: %+v, %v", earlier, err)
	}

	if got, most := rowsRead(t, pool, postgres.ActiveDriftsSQL, 1, 2, 1, customers, []time.Time{last.UTC()}), int64(2*customers*weeks); got > most {
		t.Errorf("%d rows were looked at, want at most %d", got, most)
	}
}

// rowsRead tells how many rows of tables a statement looks at, whether it needs them or not.
func rowsRead(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) int64 {
	t.Helper()
	var text []byte
	check(t, pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+sql, args...).Scan(&text))
	type plan struct {
		Relation string  `json:"Relation Name"`
		Rows     float64 `json:"Actual Rows"`
		Removed  float64 `json:"Rows Removed by Filter"`
		Loops    float64 `json:"Actual Loops"`
		Plans    []plan
	}
	var plans []struct{ Plan plan }
	check(t, json.Unmarshal(text, &plans))
	var sum func(p plan) float64
	sum = func(p plan) (rows float64) {
		if p.Relation != "" {
			rows = (p.Rows + p.Removed) * p.Loops
		}
		for _, below := range p.Plans {
			rows += sum(below)
		}
		return rows
	}
	return int64(sum(plans[0].Plan))
}

// TestMarkDeviations marks the events of the intervals of some customers, in a table without statistics, and looks at no others.
func TestMarkDeviations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	const marked, threshold = 100, 0.5
	last := engine.NewDate(2026, 11, 22)
	for _, sql := range []string{
		"ALTER TABLE drift_event SET (autovacuum_enabled = off)",
		// Two axes of each of 400 customers in ten weeks; every tenth moved far.
		`INSERT INTO drift_event (store_id, customer_id, axis, snapshot_type, from_date, to_date, model_id, score, from_segment, to_segment, by_order, axis_anomaly, overall_anomaly, overall,
  mean_score, coverage, largest_axis, largest_score, moderate_axes, provisional)
SELECT 1, c, a, 2, date '2026-11-15' - 7 * w, date '2026-11-22' - 7 * w, 1, 0.4, 0, 1, true, false, false, CASE WHEN c % 10 = 0 THEN 0.6 ELSE 0.2 END, 0.2, 1, 0, 0.4, 1, c = 7
FROM generate_series(1, 400) c, generate_series(0, 9) w, generate_series(0, 1) a`,
	} {
		_, err := pool.Exec(ctx, sql)
		check(t, err)
	}
	deviations := make([]postgres.Deviation, marked)
	ids, dates, zs := make([]int64, marked), make([]time.Time, marked), make([]float64, marked)
	for i := range deviations {
		deviations[i] = postgres.Deviation{CustomerID: int64(i + 1), Date: last, Z: float64(i) / 10}
		ids[i], dates[i], zs[i] = int64(i+1), last.UTC(), float64(i)/10
	}
	check(t, db.MarkDeviations(ctx, 1, engine.Weekly, deviations, threshold))
	var events, wrong int
	check(t, pool.QueryRow(ctx, `SELECT count(robust_z), count(*) FILTER (WHERE robust_z IS NOT NULL AND (robust_z <> (customer_id - 1) / 10.0 OR to_date <> $1 OR provisional)
  OR overall_anomaly <> (robust_z IS NOT NULL AND (customer_id % 10 = 0 OR robust_z >= 3.5))) FROM drift_event`, last.UTC()).Scan(&events, &wrong))
	if events != 2*(marked-1) || wrong > 0 {
		t.Errorf("%d events are marked, want %d; %d of all are wrong", events, 2*(marked-1), wrong)
	}
	if got, most := rowsRead(t, pool, postgres.MarkDeviationsSQL, 1, 2, ids, dates, zs, threshold, watch.AnomalousZ), int64(6*marked); got > most {
		t.Errorf("%d rows were looked at, want at most %d", got, most)
	}
}
