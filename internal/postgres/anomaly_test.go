package postgres_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
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

	var text []byte
	check(t, pool.QueryRow(ctx, "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "+postgres.ActiveDriftsSQL, 1, 2, 1, customers, []time.Time{last.UTC()}).Scan(&text))
	var plans []struct {
		Plan struct {
			Pages int64 `json:"Shared Hit Blocks"`
		}
	}
	check(t, json.Unmarshal(text, &plans))
	if got, most := plans[0].Plan.Pages, int64(10*customers*weeks); got > most {
		t.Errorf("%d pages were looked at, want at most %d:\n%s", got, most, text)
	}
}
