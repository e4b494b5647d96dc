package jobs_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// trace is a drift event or a transition, as far as retention looks at it.
type trace struct {
	ID        int64
	Day       time.Time
	Key       string // customer and axis of a transition
	Model     int
	Confirmed bool
	Settled   *time.Time
}

func remains(t *testing.T, pool *pgxpool.Pool, sql string) []trace {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql)
	check(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[trace])
	check(t, err)
	return found
}

const (
	eventTraces      = `SELECT event_id, to_date, '', model_id, false, NULL::date FROM drift_event WHERE NOT provisional ORDER BY 1`
	transitionTraces = `SELECT transition_id, first_date, customer_id || '/' || axis, model_id, state = 2, settled_on FROM segment_transition ORDER BY 1`
)

// TestAftermathExpires lets four months pass, with a snapshot, a cleanup and some orders a week and a new model in the middle: drift events
// and transitions go with the snapshots of their dates and not before, the last transition into a segment stays so that the length of
// a stay is not forgotten, and what a dry run counts is what goes.
func TestAftermathExpires(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	now := day(t, "1998-07-05").UTC()
	settings := jobs.DefaultSettings()
	settings.Workers, settings.Retention[engine.Weekly] = 2, 21
	q, err := jobs.NewQueue(db, settings, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), func() time.Time { return now })
	check(t, err)
	store := clusteredShop(t, q, db)
	refitted := engine.Date(0)
	random := rand.New(rand.NewPCG(5, 6))
	stays := func(from engine.Date) map[int64]*int {
		t.Helper()
		list, err := db.Transitions(ctx, store.ID, postgres.TransitionQuery{From: from, To: from + 1000, Type: engine.Weekly, Window: postgres.Window{Limit: 100_000}})
		check(t, err)
		days := map[int64]*int{}
		for _, l := range list {
			days[l.ID] = l.DaysInPrevious
		}
		return days
	}
	clean := func(replayedToo bool) (plan, done jobs.CleanupPolicy) {
		t.Helper()
		request := jobs.CleanupRequest{Store: store, Types: []engine.SnapshotType{engine.Weekly}, IncludeReplayed: replayedToo, Trigger: engine.TriggerCLI}
		planned, err := q.PlanCleanup(ctx, request)
		check(t, err)
		run, err := q.Cleanup(ctx, request)
		check(t, err)
		check(t, q.Work(ctx, run, nil))
		run, err = db.Run(ctx, run.ID)
		check(t, err)
		var report jobs.CleanupReport
		check(t, json.Unmarshal(run.Report, &report))
		return planned.Policies[0], report.Policies[0]
	}
	var replayed time.Time
	known, gone := 0, [2]int64{}
	for week := range 16 {
		now = now.AddDate(0, 0, 7)
		today := engine.DateOf(now, time.UTC)
		_, err := db.ImportLines(ctx, store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
			for i := range 60 {
				line := orderOf(fmt.Sprintf("c%03d", random.IntN(shopCustomers)), today-1-engine.Date(random.IntN(6)))
				line.OrderKey, line.NetCents = fmt.Sprintf("w%d-%d", week, i), int64(500+random.IntN(50_000))
				if err := yield(line); err != nil {
					return 0, err
				}
			}
			return engine.ColumnOrderID, nil
		})
		check(t, err)
		if store, err = db.StoreByKey(ctx, store.Key); err != nil {
			t.Fatal(err)
		}
		if week == 8 {
			refitted = today
			recluster(t, q, store)
		}
		_, err = pool.Exec(ctx, "UPDATE segment_model SET fitted_at = $1 WHERE fitted_at > '2020-01-01'", now)
		check(t, err)
		run, err := q.SnapshotStore(ctx, jobs.SnapshotRequest{Store: store, Type: engine.Weekly, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, q.Work(ctx, run, nil))
		if week == 3 {
			replayed = today.UTC()
			_, err := pool.Exec(ctx, "UPDATE snapshot SET replayed = true WHERE snapshot_date = $1", replayed)
			check(t, err)
		}
		cutoff := today - 21
		events, transitions, before := remains(t, pool, eventTraces), remains(t, pool, transitionTraces), stays(cutoff)
		past := func(at time.Time) bool { return at.Before(cutoff.UTC()) && !at.Equal(replayed) }
		model := 1
		if refitted != 0 && refitted < cutoff {
			model = 2
		}
		last := map[string]time.Time{}
		for _, x := range transitions {
			if key := fmt.Sprint(x.Key, "/", x.Model); x.Confirmed && x.Day.Before(cutoff.UTC()) && x.Day.After(last[key]) {
				last[key] = x.Day
			}
		}
		events = slices.DeleteFunc(events, func(x trace) bool { return past(x.Day) })
		transitions = slices.DeleteFunc(transitions, func(x trace) bool {
			ended := x.Model < model || x.Settled != nil && x.Settled.Before(cutoff.UTC())
			standing := x.Confirmed && x.Model >= model && x.Day.Equal(last[fmt.Sprint(x.Key, "/", x.Model)])
			return past(x.Day) && ended && !standing
		})
		plan, done := clean(false)
		if diff := gocmp.Diff(events, remains(t, pool, eventTraces)); diff != "" {
			t.Fatalf("week %d: drift events (-want +got):\n%s", week, diff)
		}
		if diff := gocmp.Diff(transitions, remains(t, pool, transitionTraces)); diff != "" {
			t.Fatalf("week %d: transitions (-want +got):\n%s", week, diff)
		}
		after := stays(cutoff)
		if diff := gocmp.Diff(before, after); diff != "" {
			t.Errorf("week %d: days in the segment before (-want +got):\n%s", week, diff)
		}
		for _, days := range after {
			if days != nil && *days > 21 {
				known++
			}
		}
		if plan != done {
			t.Errorf("week %d: planned %+v, removed %+v", week, plan, done)
		}
		gone[0] += done.DriftEvents
		gone[1] += done.Transitions
	}
	if gone[0] == 0 || gone[1] == 0 || known == 0 {
		t.Errorf("%d events and %d transitions went, and %d stays are longer than snapshots are kept: nothing is shown", gone[0], gone[1], known)
	}
	plan, done := clean(true)
	if left := remains(t, pool, eventTraces); plan != done || done.DriftEvents == 0 || slices.ContainsFunc(left, func(x trace) bool { return x.Day.Equal(replayed) }) {
		t.Errorf("with the replayed ones: planned %+v, removed %+v", plan, done)
	}
}

// TestRunRetention lets old runs go, of one store or of all, but for the last of their kind and those that made a model.
func TestRunRetention(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store := clusteredShop(t, q, db) // by a run, which stays however old
	other, err := db.EnsureStore(ctx, "other")
	check(t, err)
	_, err = pool.Exec(ctx, "UPDATE run SET created_at = '2020-01-01', finished_at = '2020-01-01'")
	check(t, err)
	for i, r := range []struct {
		store       int32
		kind, state string
		slot        string
		age         int // days
	}{
		{store.ID, "SNAPSHOT", "SUCCEEDED", "weekly", 430},
		{store.ID, "SNAPSHOT", "SUCCEEDED", "weekly", 423},
		{store.ID, "SNAPSHOT", "FAILED", "weekly", 416}, // the last of its type stays, and so does the last that succeeded
		{store.ID, "SNAPSHOT", "SUCCEEDED", "yearly", 700},
		{store.ID, "SNAPSHOT", "SUCCEEDED", "yearly", 401},
		{store.ID, "IMPORT", "SUCCEEDED", "", 500},
		{store.ID, "IMPORT", "CANCELLED", "", 450},
		{store.ID, "IMPORT", "SUCCEEDED", "", 399},
		{store.ID, "BACKTEST", "SUCCEEDED", "", 600},
		{store.ID, "BACKTEST", "RUNNING", "", 600},
		{store.ID, "RECLUSTER", "FAILED", "", 600},
		{store.ID, "RECLUSTER", "CANCELLED", "", 500},
		{other.ID, "IMPORT", "FAILED", "", 500},
		{other.ID, "IMPORT", "SUCCEEDED", "", 450},
		{0, "CLEANUP", "SUCCEEDED", "daily", 402},
		{0, "CLEANUP", "SUCCEEDED", "daily", 401},
	} {
		at := clock().AddDate(0, 0, -r.age)
		_, err := pool.Exec(ctx, `INSERT INTO run (store_id, run_id, kind, trigger, slot, slot_at, state, request, created_at, finished_at, failure)
VALUES ($1, gen_random_uuid(), $2, 'SCHEDULE', CASE WHEN $3 <> '' THEN $3 || ':' || $4 END, CASE WHEN $3 <> '' THEN $5::timestamptz END, $6, '{}', $5, CASE WHEN $6 <> 'RUNNING' THEN $5::timestamptz END, $4)`,
			r.store, r.kind, r.slot, fmt.Sprint(i), at, r.state)
		check(t, err)
	}
	_, err = pool.Exec(ctx, "INSERT INTO backtest (store_id, run_id, result) SELECT store_id, run_id, '{}' FROM run WHERE kind = 'BACKTEST' AND state = 'SUCCEEDED'")
	check(t, err)
	left := func() (ids []string) {
		t.Helper()
		check(t, pool.QueryRow(ctx, "SELECT array_agg(failure ORDER BY failure::int) FROM run WHERE failure <> ''").Scan(&ids))
		return ids
	}
	all := left()
	for _, c := range []struct {
		name    string
		request jobs.CleanupRequest
		gone    []string
	}{
		{"of a type", jobs.CleanupRequest{Types: []engine.SnapshotType{engine.Daily}}, nil},
		{"of a store", jobs.CleanupRequest{Store: store}, []string{"0", "3", "5", "6", "10"}},
		{"of all", jobs.CleanupRequest{}, []string{"12", "14"}},
		{"again", jobs.CleanupRequest{}, nil},
	} {
		plan, err := q.PlanCleanup(ctx, c.request)
		check(t, err)
		c.request.Trigger = engine.TriggerCLI
		run, err := q.Cleanup(ctx, c.request)
		check(t, err)
		check(t, q.Work(ctx, run, nil))
		run, err = db.Run(ctx, run.ID)
		check(t, err)
		var report jobs.CleanupReport
		check(t, json.Unmarshal(run.Report, &report))
		all = slices.DeleteFunc(all, func(id string) bool { return slices.Contains(c.gone, id) })
		if diff := gocmp.Diff(all, left()); diff != "" || plan.Runs != int64(len(c.gone)) || report.Runs != plan.Runs || !report.RunCutoff.Equal(plan.RunCutoff) {
			t.Errorf("a cleanup %s: planned %d, removed %d, want %d (-want +got):\n%s", c.name, plan.Runs, report.Runs, len(c.gone), diff)
		}
	}
	var models int
	check(t, pool.QueryRow(ctx, "SELECT count(*) FROM segment_model JOIN run USING (store_id, run_id)").Scan(&models))
	if models != 1 {
		t.Error("the run that made the model is gone")
	}
}
