package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// seenRun is what the API says of a run.
type seenRun struct {
	ID, State  string
	Failure    *string
	StartedAt  *string
	FinishedAt *string
	Seconds    float64
	Counts     struct {
		Created int `json:",string"`
	}
	Progress seenProgress
}

type seenProgress struct {
	State    string
	Stage    *string
	Done     int
	Total    *int
	Fraction float64
}

// watcher is a subscription to a run.
type watcher struct {
	socket *websocket.Conn
	last   seenProgress
}

func (a *api) watch(t *testing.T, run string) *watcher {
	t.Helper()
	w := &watcher{socket: a.dial(t)}
	check(t, wsjson.Write(t.Context(), w.socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{
		"query": `subscription ($id: ID!) { runProgress(runId: $id) { state stage done total fraction } }`, "variables": map[string]any{"id": run},
	}}))
	return w
}

// next reads what the subscription says next; false once it is complete. Nothing may go back.
func (w *watcher) next(t *testing.T) bool {
	t.Helper()
	for {
		var m struct {
			Type    string
			Payload struct {
				Data   struct{ RunProgress seenProgress }
				Errors []any
			}
		}
		check(t, wsjson.Read(t.Context(), w.socket, &m))
		switch m.Type {
		case "next":
			now := m.Payload.Data.RunProgress
			if len(m.Payload.Errors) > 0 || now.Fraction < w.last.Fraction || now.Done < w.last.Done || w.last.Total != nil && (now.Total == nil || *now.Total < *w.last.Total) {
				t.Errorf("after %+v the subscription said %+v, %v", w.last, now, m.Payload.Errors)
			}
			w.last = now
			return true
		case "complete":
			return false
		case "error":
			t.Fatal("the subscription ended with an error")
		}
	}
}

// end reads on to the end of the subscription.
func (w *watcher) end(t *testing.T) {
	t.Helper()
	for w.next(t) {
	}
}

const aRun = `id state failure startedAt finishedAt seconds progress { state stage done total fraction } ... on ReplayRun { counts { created } }`

func (a *api) run(t *testing.T, id string) (run seenRun) {
	t.Helper()
	var got struct{ Run seenRun }
	a.data(t, &got, `query ($id: ID!) { run(id: $id) { `+aRun+` } }`, map[string]any{"id": id})
	return got.Run
}

// cancel stops a run, and holds a second try to its answer.
func (a *api) cancel(t *testing.T, id string) {
	t.Helper()
	const cancel = `mutation ($id: ID!) { cancelRun(input: {runId: $id}) { run { ` + aRun + ` } userErrors { code message ... on RunFinishedError { run { id } } } } }`
	var got struct {
		CancelRun struct {
			Run        *seenRun
			UserErrors []struct{ Code, Message string }
		}
	}
	a.data(t, &got, cancel, map[string]any{"id": id})
	if got.CancelRun.Run == nil || got.CancelRun.Run.State != "CANCELLED" || len(got.CancelRun.UserErrors) > 0 {
		t.Errorf("cancelling gave %+v", got.CancelRun)
	}
	if r := a.query(t, cancel, map[string]any{"id": id}); !strings.Contains(r.Text, `"RUN_FINISHED"`) || !strings.Contains(r.Text, "the run was cancelled already") || !strings.Contains(r.Text, id) {
		t.Errorf("cancelling again: %s", r.Text)
	}
}

// count reads a number from the database.
func count(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (n int) {
	t.Helper()
	check(t, pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

const blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

// until reads a number from the database until it is as wanted.
func until(t *testing.T, pool *pgxpool.Pool, want int, sql string) {
	t.Helper()
	for count(t, pool, sql) != want {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
}

// newcomers adds customers who bought twice at the end, and gives the numbers of all customers.
func (a *api) newcomers(t *testing.T, n int) (ids []int64) {
	t.Helper()
	ctx := t.Context()
	store, err := a.db.StoreByKey(ctx, "shop")
	check(t, err)
	_, err = a.db.ImportLines(ctx, store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for i := range n {
			for j, day := range []engine.Date{lastSunday - 1, lastSunday + 1} {
				line := &postgres.ImportLine{Customer: fmt.Sprintf("d%05d", i), Line: engine.Line{
					OrderKey: fmt.Sprintf("d%d-%d", i, j), Number: 1, OrderedAt: day.In(time.UTC).Add(10 * time.Hour), Quantity: 1, NetCents: 1000,
				}}
				if err := yield(line); err != nil {
					return 0, err
				}
			}
		}
		return engine.ColumnOrderID, nil
	})
	check(t, err)
	check(t, a.pool.QueryRow(ctx, "SELECT array_agg(customer_id ORDER BY customer_id) FROM customer").Scan(&ids))
	return ids
}

// TestCancelledReplay cancels a replay of four chunks in the middle: one is done, two are at work, one waits. What was done stays,
// what was at work is taken back, what waited is not begun.
func TestCancelledReplay(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	pool := uncounted(t, a.pool)
	ids := a.newcomers(t, 1200)
	// Whoever has written a customer's drift holds up the chunk that is about to.
	occupy := func(ids []int64) (release func()) {
		tx, err := pool.Begin(t.Context())
		check(t, err)
		t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }) // where the test fails before
		_, err = tx.Exec(t.Context(), "INSERT INTO customer_drift SELECT store_id, 1, customer_id, $2, 0 FROM customer WHERE customer_id = ANY ($1)", ids, (lastSunday + 2).UTC())
		check(t, err)
		return func() { check(t, tx.Rollback(context.WithoutCancel(t.Context()))) }
	}
	releaseMost, releaseLast := occupy(ids[500:len(ids)-10]), occupy(ids[len(ids)-10:])
	var started struct {
		ReplaySnapshots struct{ Run struct{ ID string } }
	}
	a.data(t, &started, `mutation ($from: Date!, $to: Date!) { replaySnapshots(input: {storeId: "shop", type: DAILY, from: $from, to: $to}) { run { id } } }`,
		map[string]any{"from": (lastSunday - 57).String(), "to": (lastSunday + 3).String()})
	id := started.ReplaySnapshots.Run.ID
	watched := a.watch(t, id)
	a.work(t)
	for watched.last.Done == 0 {
		if !watched.next(t) {
			t.Fatal("the run ended")
		}
	}
	until(t, pool, 2, blocked)
	middle := a.run(t, id)
	if middle.State != "RUNNING" || middle.StartedAt == nil || middle.FinishedAt != nil || middle.Progress.Total == nil || *middle.Progress.Total != 4 || middle.Progress.Done != 1 || middle.Progress.Fraction != 0.25 {
		t.Fatalf("in the middle the run is %+v", middle)
	}
	a.cancel(t, id)
	watched.end(t)
	if watched.last.State != "CANCELLED" || watched.last.Done != 1 || watched.last.Fraction != 0.25 {
		t.Errorf("the subscription ended with %+v", watched.last)
	}

	releaseMost()
	const unfinished = "SELECT count(*) FROM river_job WHERE kind = 'quimbi_chunk' AND finalized_at IS NULL"
	for count(t, pool, unfinished) > 1 {
	}
	for count(t, pool, unfinished) > 0 {
		if count(t, pool, blocked) > 0 {
			t.Error("a chunk was begun after the run was cancelled")
			break
		}
	}
	releaseLast()
	until(t, pool, 0, unfinished)
	after := a.run(t, id)
	snapshots := count(t, pool, "SELECT count(*) FROM snapshot WHERE snapshot_type = 1")
	if after.State != "CANCELLED" || after.FinishedAt == nil || after.Failure != nil || after.Progress.Done != 1 || after.Counts.Created != snapshots || after.Counts != middle.Counts || snapshots == 0 {
		t.Errorf("the run is %+v with %d snapshots; in the middle it was %+v", after, snapshots, middle)
	}
	if jobs := count(t, pool, "SELECT count(*) FROM river_job WHERE kind = 'quimbi_settle'"); jobs != 0 {
		t.Errorf("%d jobs are to settle a cancelled run", jobs)
	}
	again := a.watch(t, id)
	if again.end(t); again.last.State != "CANCELLED" {
		t.Errorf("whoever subscribes afterwards is told %+v", again.last)
	}
}

// TestCancelledFit cancels a re-clustering at its end, where it writes the model and has to wait: the work stops at once, and no
// model comes into force, whoever works on it.
func TestCancelledFit(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"a worker", "a command"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			pool := uncounted(t, a.pool)
			reading, err := pool.Begin(t.Context())
			check(t, err)
			_, err = reading.Exec(t.Context(), "LOCK TABLE segment_model IN SHARE MODE")
			check(t, err)
			defer func() { check(t, reading.Rollback(context.WithoutCancel(t.Context()))) }()
			store, err := a.db.StoreByKey(t.Context(), "shop")
			check(t, err)
			request := jobs.ReclusterRequest{Store: store, Params: engine.DefaultParams(), Trigger: engine.TriggerMutation}
			if by == "a command" {
				request.Trigger = engine.TriggerCLI
			}
			run, err := a.queue.Recluster(t.Context(), request)
			check(t, err)
			var newest struct {
				Store struct{ LatestRun struct{ ID string } }
			}
			a.data(t, &newest, `{ store(key: "shop") { latestRun { id } } }`, nil)
			id := newest.Store.LatestRun.ID
			watched := a.watch(t, id)
			ended := make(chan error, 1)
			if by == "a command" {
				go func() { ended <- a.queue.Work(t.Context(), run, nil) }()
			} else {
				a.work(t)
			}
			until(t, pool, 1, blocked)
			if middle := a.run(t, id); middle.State != "RUNNING" || middle.Progress.Done == 0 || middle.FinishedAt != nil {
				t.Fatalf("in the middle the run is %+v", middle)
			}
			a.cancel(t, id)
			watched.end(t)
			if watched.last.State != "CANCELLED" {
				t.Errorf("the subscription ended with %+v", watched.last)
			}
			until(t, pool, 0, blocked) // the lock is still held: the work was stopped
			if by == "a command" {
				if err := <-ended; !errors.Is(err, postgres.ErrRunOver) {
					t.Errorf("the command ended with %v", err)
				}
			}
			if after := a.run(t, id); after.State != "CANCELLED" || after.Failure != nil {
				t.Errorf("the run is %+v", after)
			}
			if models := count(t, pool, "SELECT count(*) FROM segment_model"); models != 1 {
				t.Errorf("there are %d models", models)
			}
		})
	}
}
