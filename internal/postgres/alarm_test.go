package postgres_test

import (
	"maps"
	"math"
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// raised makes alarms on one date. Of those of SILENCE the threshold is 0.04, of the others 4.
func raised(customer int64, kind engine.AlarmKind, pValue, value float64) engine.Alarm {
	a := engine.Alarm{StoreID: 1, CustomerID: customer, Kind: kind, Date: sunday, ModelVersion: 1, PValue: pValue, Value: value, Threshold: 4}
	if kind == engine.AlarmSilence {
		a.Threshold = 0.04
	}
	return a
}

// TestAlarmsOfADate holds places and the false discovery rate to what was worked out by hand.
func TestAlarmsOfADate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	_, err := pool.Exec(ctx, `INSERT INTO store (store_key) VALUES ('shop'); INSERT INTO customer (store_id, customer_key) SELECT 1, 'c' || i FROM generate_series(1, 5) i`)
	check(t, err)
	dates := []engine.Date{sunday}
	alarms := []engine.Alarm{
		raised(1, engine.AlarmCUSUM, 0.005, 7),
		raised(1, engine.AlarmShiryaevRoberts, 0.2, 4.1),
		raised(2, engine.AlarmCUSUM, 0.005, 9),            // further beyond its threshold: 5
		raised(3, engine.AlarmSilence, 0.005, 0.04e-4),    // ln 10,000 = 9.2
		raised(4, engine.AlarmShiryaevRoberts, 0.05, 6),   // less certain
		raised(5, engine.AlarmSilence, 0.1, 0.02),         // less still
		raised(5, engine.AlarmShiryaevRoberts, 0.15, 4.5), // the same customer
	}
	watched := []postgres.WatchCount{
		{Date: sunday, Kind: engine.AlarmSilence, Watched: 104}, {Date: sunday, Kind: engine.AlarmCUSUM, Watched: 208}, {Date: sunday, Kind: engine.AlarmShiryaevRoberts, Watched: 520},
	}
	check(t, db.InTx(ctx, func(tx *postgres.Tx) error {
		if err := tx.ReplaceAlarms(ctx, 1, postgres.CustomerRange{From: 1, To: 5}, dates, alarms, watched); err != nil {
			return err
		}
		return tx.RankAlarms(ctx, 1, dates)
	}))
	list := postgres.AlarmQuery{From: sunday, To: sunday + 1, Window: postgres.Window{Limit: 100}}
	found, err := db.Alarms(ctx, 1, list)
	check(t, err)
	places := map[int64]int{}
	for _, a := range found {
		if before, ok := places[a.CustomerID]; ok && before != a.Rank {
			t.Errorf("customer %d has places %d and %d", a.CustomerID, before, a.Rank)
		}
		places[a.CustomerID] = a.Rank
	}
	if want := map[int64]int{3: 1, 2: 2, 1: 3, 4: 4, 5: 5}; len(found) != len(alarms) || !maps.Equal(places, want) {
		t.Errorf("%d alarms with places %v, want %v", len(found), places, want)
	}

	yes, no, two := true, false, 2
	for name, c := range map[string]struct {
		change func(*postgres.AlarmQuery)
		want   float64 // NaN: none
	}{
		// Of 5 customers SILENCE is best twice: 0.1 x 104/52 = 0.2; CUSUM twice: 0.005 x 208/52 = 0.02; SR once: 0.05 x 520/52 = 0.5.
		"all":                 {func(*postgres.AlarmQuery) {}, (0.2 + 0.02 + 0.5) / 5},
		"some days":           {func(q *postgres.AlarmQuery) { q.To = sunday }, math.NaN()},
		"one kind":            {func(q *postgres.AlarmQuery) { q.Kinds = []engine.AlarmKind{engine.AlarmShiryaevRoberts} }, 0.2 * 10 / 3},
		"budget":              {func(q *postgres.AlarmQuery) { q.Budget, q.WithinBudget = &two, &yes }, (0.005*2 + 0.005*4) / 2},
		"beyond":              {func(q *postgres.AlarmQuery) { q.Budget, q.WithinBudget = &two, &no }, math.NaN()},
		"those that stand":    {func(q *postgres.AlarmQuery) { q.Standing = &yes }, math.NaN()},
		"those that ended":    {func(q *postgres.AlarmQuery) { q.Standing = &no }, math.NaN()},
		"more than are there": {func(q *postgres.AlarmQuery) { q.WithinBudget = &yes }, (0.2 + 0.02 + 0.5) / 5},
	} {
		q := list
		c.change(&q)
		rate, err := db.FalseDiscoveryRate(ctx, 1, q)
		check(t, err)
		if (rate == nil) != math.IsNaN(c.want) || rate != nil && math.Abs(*rate-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", name, rate, c.want)
		}
	}
}
