package jobs_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/jobs"
)

// TestOneReclusterAtATime asks for two models of a store at the same moment, over two pools of connections, many times: one run is made,
// and the other caller hears which. Two calls with one key are one run.
func TestOneReclusterAtATime(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := pgtest.URL(t)
	var queues [2]*jobs.Queue
	for i := range queues {
		pool, err := pgxpool.New(ctx, url)
		check(t, err)
		t.Cleanup(pool.Close)
		queues[i], _ = newQueueOn(t, pool)
	}
	pool, err := pgxpool.New(ctx, url)
	check(t, err)
	t.Cleanup(pool.Close)
	q, db := newQueueOn(t, pool)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	_, err = q.Import(ctx, store, []jobs.Source{orderFile(10, nil)}, ingest.Options{}, nil, nil)
	check(t, err)
	store, err = db.StoreByKey(ctx, store.Key)
	check(t, err)
	both := func(key func(caller int) string) (runs [2]*engine.Run, errs [2]error) {
		begin := make(chan struct{})
		var callers sync.WaitGroup
		for i := range queues {
			callers.Go(func() {
				<-begin
				runs[i], errs[i] = queues[i].Recluster(ctx, jobs.ReclusterRequest{
					Store: store, Params: engine.DefaultParams(), Trigger: engine.TriggerMutation, Once: jobs.Once{IdempotencyKey: key(i)},
				})
			})
		}
		close(begin)
		callers.Wait()
		return runs, errs
	}
	for round := range 60 {
		runs, errs := both(func(caller int) string {
			if round%2 == 0 {
				return "" // without keys
			}
			return fmt.Sprint(round, " of ", caller)
		})
		first := 0
		if runs[0] == nil {
			first = 1
		}
		if runs[first] == nil || errs[first] != nil {
			t.Fatalf("round %d: nobody got a run: %v", round, errs)
		}
		busy, _ := errors.AsType[*engine.Error](errs[1-first])
		if busy == nil || busy.Code != engine.CodeRunInProgress || busy.RunID != runs[first].ID {
			t.Errorf("round %d: beside run %s there is %v, with the error %v", round, runs[first].ID, runs[1-first], errs[1-first])
		}
		_, err = q.Cancel(ctx, runs[first].ID)
		check(t, err)
		runs, errs = both(func(int) string { return fmt.Sprint("both ", round) })
		check(t, errors.Join(errs[:]...))
		if runs[0].ID != runs[1].ID {
			t.Errorf("round %d: one key has started %s and %s", round, runs[0].ID, runs[1].ID)
		}
		_, err = q.Cancel(ctx, runs[0].ID)
		check(t, err)
	}
}

// TestKeyOfAnotherRequest refuses an idempotency key that comes with another request, and names the run that it has started. A run
// of which it is not known what it was asked for is given as before.
func TestKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store := clusteredShop(t, q, db)
	once := func(asked string) jobs.Once { return jobs.Once{IdempotencyKey: "key", Asked: []byte(asked)} }
	now, _ := store.Now(clock())
	for kind, start := range map[string]func(o jobs.Once) (*engine.Run, error){
		"recluster": func(o jobs.Once) (*engine.Run, error) {
			return q.Recluster(ctx, jobs.ReclusterRequest{Store: store, Params: engine.DefaultParams(), Trigger: engine.TriggerMutation, Once: o})
		},
		"snapshots": func(o jobs.Once) (*engine.Run, error) {
			return q.SnapshotStore(ctx, jobs.SnapshotRequest{Store: store, Type: engine.Weekly, Trigger: engine.TriggerMutation, Once: o})
		},
		"replay": func(o jobs.Once) (*engine.Run, error) {
			return q.Replay(ctx, jobs.ReplayRequest{Store: store, Type: engine.Daily, From: now - 2, To: now, Trigger: engine.TriggerMutation, Once: o})
		},
		"backtest": func(o jobs.Once) (*engine.Run, error) {
			return q.Backtest(ctx, jobs.BacktestRequest{Store: store, Trigger: engine.TriggerMutation, Once: o})
		},
		"cleanup": func(o jobs.Once) (*engine.Run, error) {
			return q.Cleanup(ctx, jobs.CleanupRequest{Trigger: engine.TriggerMutation, Once: o})
		},
	} {
		first, err := start(once("this"))
		check(t, err)
		if again, err := start(once("this")); err != nil || again.ID != first.ID {
			t.Errorf("%s: again gave %v, %v", kind, again, err)
		}
		_, err = start(once("that"))
		if refused, ok := errors.AsType[*engine.Error](err); !ok || refused.Code != engine.CodeInvalid || refused.RunID != first.ID {
			t.Errorf("%s: another request gave %v", kind, err)
		}
		_, err = pool.Exec(ctx, "UPDATE run SET request_hash = NULL WHERE run_id = $1::uuid", first.ID)
		check(t, err)
		if again, err := start(once("that")); err != nil || again.ID != first.ID {
			t.Errorf("%s: of a run from before the migration: %v, %v", kind, again, err)
		}
		_, err = pool.Exec(ctx, "UPDATE run SET created_at = created_at - interval '25 hours' WHERE run_id = $1::uuid", first.ID)
		check(t, err)
		_, err = q.Cancel(ctx, first.ID)
		check(t, err)
		if next, err := start(once("that")); err != nil || next.ID == first.ID {
			t.Errorf("%s: after a day the key gave %v, %v", kind, next, err)
		}
	}
}

// TestNamedSnapshotsOnce gives the first answer again to whoever asks for named customers' snapshots again, and takes none again.
func TestNamedSnapshotsOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store := clusteredShop(t, q, db)
	// Who holds customers and a key needs no second connection.
	config := pool.Config()
	config.MaxConns = 1
	narrow, err := pgxpool.NewWithConfig(ctx, config)
	check(t, err)
	t.Cleanup(narrow.Close)
	q, _ = newQueueOn(t, narrow)
	now, _ := store.Now(clock())
	request := jobs.SnapshotRequest{
		Store: store, Type: engine.Weekly, Date: &now, Conflict: jobs.ConflictFail, Customers: []int64{3, 0, 1, 3, 2}, Trigger: engine.TriggerMutation,
		Once: jobs.Once{IdempotencyKey: "key", Asked: []byte("five")},
	}
	taken := func() (n int) {
		t.Helper()
		check(t, pool.QueryRow(ctx, "SELECT count(*) FROM snapshot").Scan(&n))
		return n
	}
	before := request
	before.Customers, before.Once = []int64{2}, jobs.Once{}
	_, err = q.SnapshotCustomers(ctx, before)
	check(t, err)
	first, err := q.SnapshotCustomers(ctx, request)
	check(t, err)
	expected := jobs.SnapshotOutcome{SnapshotCounts: jobs.SnapshotCounts{Date: now, Created: 2, Failed: 2}, Unknown: []int{1}, Existing: []int{4}}
	if diff := gocmp.Diff(expected, first); diff != "" {
		t.Errorf("the first answer (-want +got):\n%s", diff)
	}
	_, err = pool.Exec(ctx, "DELETE FROM snapshot")
	check(t, err)
	request.Customers[1] = 5 // who is known by now
	repeated, later := request, now+1
	repeated.Date = &later // as if the store's now had gone back: what was answered is answered again
	again, err := q.SnapshotCustomers(ctx, repeated)
	check(t, err)
	if diff := gocmp.Diff(first, again); diff != "" || taken() != 0 {
		t.Errorf("%d snapshots were taken, and the second answer is another:\n%s", taken(), diff)
	}
	other := request
	other.Asked = []byte("six")
	_, err = q.SnapshotCustomers(ctx, other)
	want(t, err, engine.CodeInvalid)
	other.Conflict = jobs.ConflictKeep
	_, err = q.SnapshotStore(ctx, other)
	want(t, err, engine.CodeInvalid)
	other.IdempotencyKey = "of a run"
	run, err := q.SnapshotStore(ctx, other)
	check(t, err)
	other.Asked = []byte("seven")
	_, err = q.SnapshotCustomers(ctx, other)
	if refused, ok := errors.AsType[*engine.Error](err); !ok || refused.Code != engine.CodeInvalid || refused.RunID != run.ID {
		t.Errorf("the key of a run gave %v", err)
	}
	_, err = pool.Exec(ctx, "UPDATE mutation_answer SET created_at = created_at - interval '25 hours'")
	check(t, err)
	late, err := q.SnapshotCustomers(ctx, request)
	check(t, err)
	if late.Created != 4 || taken() != 4 {
		t.Errorf("after a day: %+v", late)
	}
}
