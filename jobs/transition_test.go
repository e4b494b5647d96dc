package jobs_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/synth"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// transitionRow is a transition of a customer, without the numbers that differ from store to store.
type transitionRow struct {
	Customer string
	Axis     int
	watch.Transition
}

// transitions reads a store's, the unclear ones too.
func (s *stream) transitions(t *testing.T, store *engine.Store) []transitionRow {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT customer_key, axis, by_order, from_segment, to_segment, first_date, state, settled_on, lead, score
FROM segment_transition JOIN customer USING (store_id, customer_id) WHERE store_id = $1 AND (state > 0 OR settled_on IS NULL) ORDER BY customer_key, axis, first_date`, store.ID)
	check(t, err)
	defer rows.Close()
	states := []watch.TransitionState{watch.TransitionUnclear, watch.TransitionPending, watch.TransitionConfirmed, watch.TransitionReverted}
	var list []transitionRow
	for rows.Next() {
		var r transitionRow
		var date time.Time
		var settled *time.Time
		var state int
		check(t, rows.Scan(&r.Customer, &r.Axis, &r.ByOrder, &r.From, &r.To, &date, &state, &settled, &r.Lead, &r.Score))
		r.Date, r.State = engine.DateOf(date, time.UTC), states[state]
		if settled != nil {
			r.Settled = engine.DateOf(*settled, time.UTC)
		}
		list = append(list, r)
	}
	check(t, rows.Err())
	return list
}

// newShop makes a store with the model of the made-up shop in force and some of its customers.
func (s *stream) newShop(t *testing.T) *engine.Store {
	t.Helper()
	store := s.newStore(t, t)
	day := engine.DateOf(clock(), time.UTC)
	_, err := s.db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for _, c := range synth.Shop(synth.Options{Seed: 1, Customers: 250, End: day - 1, Weeks: 60}).Customers[:60] {
			for _, l := range c.Lines {
				if err := yield(&postgres.ImportLine{Customer: c.Key, HasDiscount: true, Line: l}); err != nil {
					return 0, err
				}
			}
		}
		return engine.AllColumns, nil
	})
	check(t, err)
	return s.again(t, t, store)
}

func (s *stream) replay(t *testing.T, store *engine.Store, from, to string, conflict jobs.Conflict) *engine.Run {
	t.Helper()
	run, err := s.score.Replay(t.Context(), jobs.ReplayRequest{Store: store, Type: engine.Weekly, From: day(t, from), To: day(t, to), Conflict: conflict, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, s.score.Work(t.Context(), run, nil))
	run, err = s.db.Run(t.Context(), run.ID)
	check(t, err)
	return run
}

// TestTransitions follows customers of a made-up shop over 20 weeks: whether all at once, week by week, after retention or again, the
// transitions are the same, and those that their snapshots make.
func TestTransitions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	at := s.newShop(t)
	s.replay(t, at, "2026-07-05", "2026-11-22", jobs.ConflictKeep)
	once := s.transitions(t, at)
	states, silent := map[watch.TransitionState]int{}, 0
	for _, r := range once {
		states[r.State]++
		if !r.ByOrder && r.State == watch.TransitionConfirmed {
			silent++
		}
	}
	t.Logf("%d transitions: %v, %d confirmed by silence alone", len(once), states, silent)
	if states[watch.TransitionConfirmed] == 0 || states[watch.TransitionReverted] == 0 || states[watch.TransitionPending] == 0 || silent == 0 {
		t.Errorf("transitions by state: %v, %d confirmed by silence; want some of each", states, silent)
	}
	if diff := cmp.Diff(s.coursesOf(t, at), once); diff != "" {
		t.Error("not what the snapshots say:", diff)
	}

	weekly := s.newShop(t)
	for d := day(t, "2026-07-05"); d < day(t, "2026-11-22"); d += 7 {
		s.replay(t, weekly, d.String(), (d + 1).String(), jobs.ConflictKeep)
	}
	if diff := cmp.Diff(once, s.transitions(t, weekly)); diff != "" {
		t.Error("week by week:", diff)
	}
	s.replay(t, weekly, "2026-11-01", "2026-11-22", jobs.ConflictReplace)
	if diff := cmp.Diff(once, s.transitions(t, weekly)); diff != "" {
		t.Error("after the last weeks were replaced:", diff)
	}
	_, err := s.pool.Exec(ctx, "DELETE FROM snapshot WHERE store_id = $1", at.ID)
	check(t, err)
	if again := s.replay(t, at, "2026-07-05", "2026-11-22", jobs.ConflictKeep); again.Rows == 0 {
		t.Errorf("after retention nothing was taken again: %+v", again)
	}
	if diff := cmp.Diff(once, s.transitions(t, at)); diff != "" {
		t.Error("again after retention:", diff)
	}
}

// coursesOf works transitions out from the snapshots, axis by axis.
func (s *stream) coursesOf(t *testing.T, store *engine.Store) []transitionRow {
	t.Helper()
	model, err := s.db.NewestModel(t.Context(), store.ID)
	check(t, err)
	found, err := s.db.Customers(t.Context(), postgres.CustomerQuery{StoreIDs: []int32{store.ID}, Window: postgres.Window{Limit: 100}})
	check(t, err)
	var refs []postgres.CustomerRef
	for _, c := range found {
		refs = append(refs, postgres.CustomerRef{StoreID: store.ID, CustomerID: c.ID})
	}
	series, err := s.db.Timeline(t.Context(), refs, postgres.TimelineQuery{Type: engine.Weekly, From: 0, To: 100_000, Limit: 100})
	check(t, err)
	var list []transitionRow
	for i, c := range found {
		for axis := range engine.AxisCount {
			var open *transitionRow
			rows := series[refs[i]]
			for w := 1; w < len(rows); w++ {
				before, now := watch.PlaceOf(model.Model, engine.LevelRoots, axis, rows[w-1].Thumbprint), watch.PlaceOf(model.Model, engine.LevelRoots, axis, rows[w].Thumbprint)
				var earlier *watch.Transition
				if open != nil {
					earlier = &open.Transition
				}
				score := model.Drift(rows[w-1].Thumbprint, rows[w].Thumbprint).Axes[axis].Score
				if now.Segment < 0 {
					before.Segment = -1
				}
				ended, begun := watch.Follow(earlier, watch.Step{Before: before.Segment, Now: now, Date: rows[w].Date, Score: score, ByOrder: rows[w].Active})
				if ended != nil {
					if ended.State != watch.TransitionUnclear {
						list = append(list, transitionRow{c.Key, axis, *ended})
					}
					open = nil
				}
				if begun.Open() {
					open = &transitionRow{c.Key, axis, *begun}
				} else if begun != nil {
					list = append(list, transitionRow{c.Key, axis, *begun})
				}
			}
			if open != nil {
				list = append(list, *open)
			}
		}
	}
	return list
}
