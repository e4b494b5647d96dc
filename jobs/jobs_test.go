package jobs_test

import (
	"context"
	"flag"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

func TestMain(m *testing.M) {
	// Each check of a property goes through a database; -rapid.checks asks for more.
	if err := flag.Set("rapid.checks", "12"); err != nil {
		panic(err)
	}
	pgtest.Main(m)
}

// clock stands long after the data of the tests.
func clock() time.Time { return time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC) }

func newQueue(t *testing.T) (*jobs.Queue, *postgres.DB) {
	t.Helper()
	return newQueueOn(t, pgtest.DB(t))
}

func newQueueOn(t *testing.T, pool *pgxpool.Pool) (*jobs.Queue, *postgres.DB) {
	t.Helper()
	db := postgres.New(pool)
	settings := jobs.DefaultSettings()
	settings.Workers = 2
	q, err := jobs.NewQueue(db, settings, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), clock)
	if err != nil {
		t.Fatal(err)
	}
	return q, db
}

// sample opens a file of the shared data beside the repository.
func sample(t *testing.T, name string) jobs.Source {
	t.Helper()
	path := filepath.Join("..", "..", "shared", "data", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: the tests need ../shared beside the repository", path)
		}
		t.Skipf("%s is not there", path)
	}
	return jobs.Source{Name: name, Open: func() (io.ReadCloser, error) { return ingest.Open(path) }}
}

func importSample(t *testing.T, q *jobs.Queue, db *postgres.DB) *engine.Store {
	t.Helper()
	ctx := t.Context()
	store, err := db.EnsureStore(ctx, "cdnow")
	check(t, err)
	_, err = q.Import(ctx, store, []jobs.Source{sample(t, "cdnow_sample.csv.gz")}, ingest.Options{}, nil, nil)
	check(t, err)
	store, err = db.StoreByKey(ctx, "cdnow")
	check(t, err)
	return store
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func recluster(t *testing.T, q *jobs.Queue, store *engine.Store) *engine.Run {
	t.Helper()
	seed := uint64(1)
	run, err := q.Recluster(t.Context(), jobs.ReclusterRequest{Store: store, Params: engine.DefaultParams(), Seed: &seed, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, q.Work(t.Context(), run, nil))
	return run
}

func day(t *testing.T, text string) engine.Date {
	t.Helper()
	d, err := engine.ParseDate(text)
	check(t, err)
	return d
}

// TestMainJob goes the whole way on a real shop: import, again without a change, model, replay, drift, cleanup.
func TestMainJob(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	q, db := newQueue(t)
	store, err := db.EnsureStore(ctx, "cdnow")
	check(t, err)
	file := sample(t, "cdnow_sample.csv.gz")
	report, err := q.Import(ctx, store, []jobs.Source{file}, ingest.Options{}, nil, nil)
	check(t, err)
	if report.Rows != 6919 || report.Imported != 6919 || report.Changed != 6919 || report.Customers != 2357 {
		t.Errorf("first import: %+v, want 6919 rows of 2357 customers, all new", report)
	}
	report, err = q.Import(ctx, store, []jobs.Source{file}, ingest.Options{}, nil, nil)
	check(t, err)
	if report.Imported != 6919 || report.Changed != 0 {
		t.Errorf("second import: %+v, want nothing changed", report)
	}
	store, err = db.StoreByKey(ctx, "cdnow")
	check(t, err)
	recluster(t, q, store)
	model, err := db.NewestModel(ctx, store.ID)
	check(t, err)
	on := 0
	for i := range model.Axes {
		if model.Axes[i].Status == engine.AxisOn {
			on++
		} else if model.Axes[i].Reason == engine.ReasonNone {
			t.Errorf("%s is not on and gives no reason", engine.Axes[i].Key)
		}
	}
	if on != 6 {
		t.Errorf("%d axes are on, want 6", on)
	}

	replay := jobs.ReplayRequest{Store: store, Type: engine.Weekly, From: day(t, "1998-01-01"), To: day(t, "1998-07-01"), Trigger: engine.TriggerCLI}
	run, err := q.Replay(ctx, replay)
	check(t, err)
	check(t, q.Work(ctx, run, nil))
	run, err = db.Run(ctx, run.ID)
	check(t, err)
	if run.State != engine.RunSucceeded || run.Rows != 26*2357 || run.Events == 0 || run.Fraction() != 1 {
		t.Errorf("replay: %+v, want %d snapshots and drift", run, 26*2357)
	}
	count, oldest, newest, err := db.SnapshotSpan(ctx, store.ID)
	check(t, err)
	if count != 26*2357 || oldest != day(t, "1998-01-04") || newest != day(t, "1998-06-28") {
		t.Errorf("snapshots: %d from %s to %s", count, oldest, newest)
	}

	again, err := q.Replay(ctx, replay)
	check(t, err)
	check(t, q.Work(ctx, again, nil))
	again, err = db.Run(ctx, again.ID)
	check(t, err)
	if again.Rows != 0 || again.Events != 0 {
		t.Errorf("second replay wrote %d snapshots and %d events, want none: kept ones fire nothing", again.Rows, again.Events)
	}

	plan, err := q.PlanCleanup(ctx, jobs.CleanupRequest{Store: store})
	check(t, err)
	if plan.DeletedCount != 0 || plan.Policies[1].ReplayedCount == 0 {
		t.Errorf("cleanup would remove %d live and knows %d replayed ones, want 0 and some", plan.DeletedCount, plan.Policies[1].ReplayedCount)
	}
	cleanup, err := q.Cleanup(ctx, jobs.CleanupRequest{Store: store, IncludeReplayed: true, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, q.Work(ctx, cleanup, nil))
	left, oldest, _, err := db.SnapshotSpan(ctx, store.ID)
	check(t, err)
	if left+plan.Policies[1].ReplayedCount != count || oldest < plan.Policies[1].Cutoff {
		t.Errorf("%d snapshots from %s on are left of %d after a cutoff at %s", left, oldest, count, plan.Policies[1].Cutoff)
	}
	testScores(t, q, db, store)
}

// testScores holds the scores of the newest weekly snapshots to what was known of the customers then, and to the setting.
func testScores(t *testing.T, q *jobs.Queue, db *postgres.DB, store *engine.Store) {
	t.Helper()
	ctx := t.Context()
	model, err := db.NewestModel(ctx, store.ID)
	check(t, err)
	date := day(t, "1998-06-28")
	histories, err := q.Histories(ctx, store, date-1)
	check(t, err)
	refs := make([]postgres.CustomerRef, len(histories))
	for i, h := range histories {
		refs[i] = postgres.CustomerRef{StoreID: store.ID, CustomerID: h.CustomerID}
	}
	found, err := db.LatestSnapshots(ctx, refs, postgres.LatestQuery{Type: engine.Weekly, Before: date + 1})
	check(t, err)
	if len(found) != 2357 {
		t.Fatalf("%d snapshots", len(found))
	}
	for i, h := range histories {
		s := found[refs[i]]
		risk, ltv := model.Predictor.Scores(h.PurchaseHistory, date, nil)
		if s.ChurnRisk == nil || s.LTVCents == nil || math.Abs(*s.ChurnRisk-*risk) > 2e-6 || *s.LTVCents != *ltv {
			t.Fatalf("customer %d has %v and %v, want %g and %d", h.CustomerID, s.ChurnRisk, s.LTVCents, *risk, *ltv)
		}
	}

	settings := jobs.DefaultSettings()
	settings.StoreScores = false
	silent, err := jobs.NewQueue(db, settings, slog.New(slog.DiscardHandler), clock)
	check(t, err)
	_, err = silent.SnapshotCustomers(ctx, jobs.SnapshotRequest{Store: store, Type: engine.Yearly, Customers: []int64{refs[0].CustomerID}})
	check(t, err)
	found, err = db.LatestSnapshots(ctx, refs[:1], postgres.LatestQuery{Type: engine.Yearly, Before: date + 30})
	check(t, err)
	if s := found[refs[0]]; s == nil || s.ChurnRisk != nil || s.LTVCents != nil {
		t.Errorf("SNAPSHOT_STORE_ML=false stored %+v", s)
	}
}

// TestService lets the workers do what mutations start.
func TestService(t *testing.T) {
	t.Parallel()
	q, db := newQueue(t)
	store := importSample(t, q, db)
	service, err := jobs.NewService(q)
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- service.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
	run, err := q.Recluster(t.Context(), jobs.ReclusterRequest{Store: store, Params: engine.DefaultParams(), Trigger: engine.TriggerMutation, Once: jobs.Once{IdempotencyKey: "one"}})
	check(t, err)
	same, err := q.Recluster(t.Context(), jobs.ReclusterRequest{Store: store, Params: engine.DefaultParams(), Trigger: engine.TriggerMutation})
	if engine.CodeOf(err) != engine.CodeRunInProgress {
		t.Errorf("a second re-clustering gave %v and %v, want RUN_IN_PROGRESS", same, err)
	}
	wait(t, db, run.ID)
	run, err = q.SnapshotStore(t.Context(), jobs.SnapshotRequest{Store: store, Type: engine.Weekly, Trigger: engine.TriggerMutation})
	check(t, err)
	if done := wait(t, db, run.ID); done.Rows != 2357 {
		t.Errorf("the snapshot wrote %d rows, want 2357", done.Rows)
	}
}

// wait blocks until a run has succeeded, told by the database's own notifications.
func wait(t *testing.T, db *postgres.DB, runID string) *engine.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	changed := make(chan struct{}, 100)
	listening := make(chan struct{})
	go func() {
		_ = db.Listen(ctx, []string{postgres.RunChannel}, func() { close(listening) }, func(string, string) {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	<-listening
	for {
		run, err := db.Run(ctx, runID)
		check(t, err)
		if run.State.Final() {
			if run.State != engine.RunSucceeded {
				t.Fatalf("the run ended as %s: %s", run.State, run.Failure)
			}
			return run
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the run is still %s: %v", run.State, ctx.Err())
		}
	}
}

// TestCancel stops a run that nobody works on.
func TestCancel(t *testing.T) {
	t.Parallel()
	q, db := newQueue(t)
	store := importSample(t, q, db)
	run, err := q.Recluster(t.Context(), jobs.ReclusterRequest{Store: store, Params: engine.DefaultParams(), Trigger: engine.TriggerMutation})
	check(t, err)
	run, err = q.Cancel(t.Context(), run.ID)
	check(t, err)
	if run.State != engine.RunCancelled {
		t.Errorf("the run is %s", run.State)
	}
	if _, err := q.Cancel(t.Context(), run.ID); engine.CodeOf(err) != engine.CodeRunFinished {
		t.Errorf("cancelling twice gave %v, want RUN_FINISHED", err)
	}
	if err := q.Work(t.Context(), run, nil); err == nil {
		t.Error("a cancelled run was worked on")
	}
}

// TestRefused holds faults of callers to their codes.
func TestRefused(t *testing.T) {
	t.Parallel()
	q, db := newQueue(t)
	empty, err := db.EnsureStore(t.Context(), "empty")
	check(t, err)
	_, err = q.Recluster(t.Context(), jobs.ReclusterRequest{Store: empty, Params: engine.DefaultParams(), Trigger: engine.TriggerCLI})
	want(t, err, engine.CodeInsufficientData)
	store := importSample(t, q, db)
	_, err = q.SnapshotStore(t.Context(), jobs.SnapshotRequest{Store: store, Type: engine.Weekly, Trigger: engine.TriggerCLI})
	want(t, err, engine.CodeInsufficientData)
	_, err = q.Replay(t.Context(), jobs.ReplayRequest{Store: store, Type: engine.Weekly, From: 10, To: 10, Trigger: engine.TriggerCLI})
	want(t, err, engine.CodeInvalid)
	missing := jobs.Source{Name: "no.csv", Open: func() (io.ReadCloser, error) { return nil, fs.ErrNotExist }}
	_, err = q.Import(t.Context(), store, []jobs.Source{missing}, ingest.Options{}, nil, nil)
	want(t, err, engine.CodeNotFound)
}

func want(t *testing.T, err error, code engine.Code) {
	t.Helper()
	if engine.CodeOf(err) != code || err == nil {
		t.Errorf("got %v (%s), want %s", err, engine.CodeOf(err), code)
	}
}
