package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// TestAnomalies has a customer who buys the same every day and then something else, and one who buys seldom. What the run notes
// on events is held against what the snapshots say, worked out anew.
func TestAnomalies(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newRoutine(t)
	run := s.replayDays(t, store)
	check(t, s.score.Work(ctx, run, nil))
	s.checkAnomalies(t, store)

	spreads, err := s.db.Spreads(ctx, []postgres.SpreadRef{{StoreID: store.ID, Type: engine.Daily, Date: day(t, "2026-11-22")}, {StoreID: store.ID, Type: engine.Weekly, Date: day(t, "2026-11-22")}})
	check(t, err)
	for ref, spread := range spreads {
		if ref.Type != engine.Daily || len(spread) != watch.SpreadSteps+1 || spread.Below(1) != 1 {
			t.Errorf("spread of %+v: %v", ref, spread)
		}
	}
	if len(spreads) != 1 {
		t.Errorf("%d spreads, want the daily one", len(spreads))
	}

	// A customer on their own is measured against what was known before.
	named := day(t, "2026-11-22")
	_, err = s.score.SnapshotCustomers(ctx, jobs.SnapshotRequest{Store: s.again(t, t, store), Type: engine.Daily, Customers: []int64{s.customer(t, store, "daily")}, Date: &named, Conflict: jobs.ConflictReplace})
	check(t, err)
	again, err := s.db.DriftFeed(ctx, []int32{store.ID}, postgres.DriftQuery{From: named, To: named + 1, Window: postgres.Window{Limit: 2000}})
	check(t, err)
	for _, e := range again {
		if e.Customer.Key == "daily" && e.RobustZ == nil {
			t.Errorf("an event of a single customer has no deviation: %+v", e.DriftEvent)
		}
	}

	check(t, s.db.ForgetActiveDrifts(ctx, store.ID, named+800))
	if _, left := s.drifts(t, store); len(left) == 0 {
		t.Error("snapshots went with the drifts")
	}
	var kept int
	check(t, s.pool.QueryRow(ctx, "SELECT count(*) FROM customer_drift WHERE store_id = $1", store.ID).Scan(&kept))
	if kept != 0 {
		t.Errorf("%d drifts are kept for ever", kept)
	}
}

// newRoutine makes a store of a customer who buys the same every day and in the end something else, and of some who buy seldom.
func (s *stream) newRoutine(t *testing.T) *engine.Store {
	t.Helper()
	store := s.newStore(t, t)
	var orders []jobs.Order
	for daysAgo := 24; daysAgo > 1; daysAgo-- {
		orders = append(orders, order(fmt.Sprint("daily ", daysAgo), "daily", daysAgo))
		orders = append(orders, order(fmt.Sprint("other ", daysAgo), fmt.Sprint("other ", daysAgo%6), daysAgo))
	}
	for i, o := range spree("daily", 3) {
		o.OrderedAt, o.ID = told().AddDate(0, 0, -1), fmt.Sprint("spree ", i)
		orders = append(orders, o)
	}
	s.send(t, t, store, orders...)
	s.settle(t, t, store)
	return s.again(t, t, store)
}

// replayDays starts a run over three weeks of that store.
func (s *stream) replayDays(t *testing.T, store *engine.Store) *engine.Run {
	t.Helper()
	run, err := s.score.Replay(t.Context(), jobs.ReplayRequest{
		Store: store, Type: engine.Daily, From: day(t, "2026-11-01"), To: day(t, "2026-11-23"), Trigger: engine.TriggerCLI,
	})
	check(t, err)
	return run
}

// checkAnomalies holds what is noted on the store's events against what its snapshots say.
func (s *stream) checkAnomalies(t *testing.T, store *engine.Store) {
	t.Helper()
	medians, drifts := s.drifts(t, store)
	feed, err := s.db.DriftFeed(t.Context(), []int32{store.ID}, postgres.DriftQuery{From: day(t, "2000-01-01"), To: day(t, "2100-01-01"), Window: postgres.Window{Limit: 2000}})
	check(t, err)
	known, unusual := 0, 0
	for _, e := range feed {
		var earlier []watch.Dated
		for _, d := range drifts[e.CustomerID] {
			if d.Day <= int(e.To) {
				earlier = append(earlier, d)
			}
		}
		want, ok := watch.Last(earlier, medians)
		if ok = ok && e.ByOrder; ok != (e.RobustZ != nil) || ok && math.Abs(want-*e.RobustZ) > 1e-9 {
			t.Errorf("%s on %s: z = %v, want %v (%v)", e.Customer.Key, e.To, e.RobustZ, want, ok)
		}
		if ok {
			known++
		}
		if over := *e.Overall >= 0.5; e.OverallAnomaly != (over || ok && want >= 3.5) {
			t.Errorf("%s on %s: anomaly %v at %v, z = %v", e.Customer.Key, e.To, e.OverallAnomaly, *e.Overall, e.RobustZ)
		} else if e.OverallAnomaly && !over {
			unusual++
		}
	}
	if known == 0 || unusual == 0 {
		t.Errorf("%d events have a deviation, %d are anomalous for their customer alone; want some of both", known, unusual)
	}
	t.Logf("%d events, %d with a deviation, %d anomalous by it", len(feed), known, unusual)
}

// TestInterruptedBeforeSettling stops a run after its last chunk, before anything is known of its anomalies: all of its snapshots
// are there, and still it is settled when it is run again.
func TestInterruptedBeforeSettling(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	store := s.newRoutine(t)
	run := s.replayDays(t, store)
	reading, err := s.pool.Begin(t.Context())
	check(t, err)
	_, err = reading.Exec(t.Context(), "LOCK TABLE drift_spread") // chunks do without it
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.score.Work(ctx, run, nil) }()
	waiting(t, s.pool, 1, ended)
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("the run ended with %v", err)
	}
	check(t, reading.Rollback(t.Context()))
	if run, err = s.db.Run(t.Context(), run.ID); err != nil || run.State != engine.RunFailed || run.Rows == 0 || run.Done != run.Total {
		t.Fatalf("the run was to be stopped after its last chunk: %+v, %v", run, err)
	}

	again := s.replayDays(t, store)
	check(t, s.score.Work(t.Context(), again, nil))
	if again, err = s.db.Run(t.Context(), again.ID); err != nil || again.Rows != 0 {
		t.Fatalf("nothing was left to be taken: %+v, %v", again, err)
	}
	s.checkAnomalies(t, store)
}

// drifts reads from the daily snapshots the store's median of each date and the drifts of intervals with an order.
func (s *stream) drifts(t *testing.T, store *engine.Store) ([]watch.Median, map[int64][]watch.Dated) {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT customer_id, snapshot_date, drift, active,
  (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY o.drift) FROM snapshot o WHERE o.store_id = $1 AND o.snapshot_type = 1 AND o.snapshot_date = s.snapshot_date)
FROM snapshot s WHERE store_id = $1 AND snapshot_type = 1 AND drift IS NOT NULL ORDER BY snapshot_date, customer_id`, store.ID)
	check(t, err)
	defer rows.Close()
	var medians []watch.Median
	drifts := map[int64][]watch.Dated{}
	for rows.Next() {
		var id int64
		var date time.Time
		var drift, median float64
		var active bool
		check(t, rows.Scan(&id, &date, &drift, &active, &median))
		at := int(engine.DateOf(date, time.UTC))
		if n := len(medians); n == 0 || medians[n-1].Day < at {
			medians = append(medians, watch.Median{Day: at, Spread: median})
		}
		if active {
			drifts[id] = append(drifts[id], watch.Dated{Day: at, Drift: drift})
		}
	}
	check(t, rows.Err())
	return medians, drifts
}

// customer gives the number of a customer.
func (s *stream) customer(t *testing.T, store *engine.Store, key string) int64 {
	t.Helper()
	var id int64
	check(t, s.pool.QueryRow(t.Context(), "SELECT customer_id FROM customer WHERE store_id = $1 AND customer_key = $2", store.ID, key).Scan(&id))
	return id
}
