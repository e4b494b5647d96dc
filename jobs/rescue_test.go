package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// TestRescue takes up the jobs of dead workers, and only theirs, as often as a job may be tried.
func TestRescue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	clock := at("2026-11-22T12:00:00Z")
	pool := pgtest.DB(t)
	q, db, store := slottedOn(t, pool, &clock)
	run, err := q.Cleanup(ctx, CleanupRequest{Store: store, Trigger: engine.TriggerMutation})
	if err != nil {
		t.Fatal(err)
	}
	state := func() (state string) {
		t.Helper()
		if err := pool.QueryRow(ctx, "SELECT state FROM river_job").Scan(&state); err != nil {
			t.Fatal(err)
		}
		return state
	}
	for _, step := range []struct {
		name, worker string
		attempt      int
		alive        bool
		want         string
		failed       bool
	}{
		{"its own", "me", 1, false, "running", false},
		{"of one that lives", "other", 1, true, "running", false},
		{"of a dead one", "other", 1, false, "available", false},
		{"of a dead one, for the last time", "other", jobAttempts, false, "discarded", true},
	} {
		if _, err := pool.Exec(ctx, "UPDATE river_job SET state = 'running', finalized_at = NULL, attempt = $1, attempted_at = now(), attempted_by = ARRAY['earlier', $2]", step.attempt, step.worker); err != nil {
			t.Fatal(err)
		}
		var hold *postgres.Hold
		if step.alive {
			if hold, err = db.TryHold(ctx, workerHold(step.worker)); err != nil || hold == nil {
				t.Fatal("no hold", err)
			}
		}
		if err := q.rescue(ctx, "me"); err != nil {
			t.Fatal(err)
		}
		if hold != nil {
			hold.Release()
		}
		now, err := db.Run(ctx, run.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got := state(); got != step.want || (now.State == engine.RunFailed) != step.failed {
			t.Errorf("a job %s is %s and its run %s; want %s", step.name, got, now.State, step.want)
		}
		if step.failed && !strings.HasPrefix(now.Failure, "Every worker that took it up died") {
			t.Errorf("the run failed with %q", now.Failure)
		}
	}
}

// TestLostJobs takes back the jobs that the queue gave to this process and that it never began, since the answer was lost with its
// connection, or whose end the queue did not write down; and no others.
func TestLostJobs(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	clock := at("2026-11-22T12:00:00Z")
	pool := pgtest.DB(t)
	q, db, store := slottedOn(t, pool, &clock)
	run, err := q.Cleanup(ctx, CleanupRequest{Store: store, Trigger: engine.TriggerMutation})
	if err != nil {
		t.Fatal(err)
	}
	var id int64
	if err := pool.QueryRow(ctx, "SELECT id FROM river_job").Scan(&id); err != nil {
		t.Fatal(err)
	}
	const take = "UPDATE river_job SET state = $1::river_job_state, finalized_at = CASE WHEN $1::river_job_state = 'completed' THEN now() END, attempt = $2, attempted_at = now() - $3 * interval '1 second', attempted_by = ARRAY['earlier', $4]"
	for _, step := range []struct {
		name, state, worker string
		attempt, age        int // in seconds
		working             bool
		ended               time.Duration // ago; 0: not begun, or not ended
		putOff              bool          // what has ended, which gave the attempt back: this is the next time
		want                string
		left                int // of the attempts
	}{
		{"never begun", "running", "me", 3, 20, false, 0, false, "available", 2},
		{"never begun, for the last time", "running", "me", jobAttempts, 20, false, 0, false, "available", jobAttempts - 1},
		{"just taken", "running", "me", 3, 1, false, 0, false, "running", 3},
		{"worked on", "running", "me", 3, 20, true, 0, false, "running", 3},
		{"that ended just now", "running", "me", 3, 20, false, 10 * time.Second, false, "running", 3},
		{"lost after it was put off just now", "running", "me", 3, 20, false, 10 * time.Second, true, "available", 2},
		{"that ended long ago", "running", "me", 3, 90, false, 70 * time.Second, false, "available", 2},
		{"that was completed", "completed", "me", 3, 20, false, 0, false, "completed", 3},
		{"of another worker", "running", "other", 3, 20, false, 0, false, "running", 3},
	} {
		if _, err := pool.Exec(ctx, take, step.state, step.attempt, step.age, step.worker); err != nil {
			t.Fatal(err)
		}
		look := func() {
			t.Helper()
			if err := q.takeBack(ctx, "me"); err != nil {
				t.Fatal(err)
			}
		}
		work := func(inner func(context.Context) error) {
			t.Helper()
			row := &rivertype.JobRow{ID: id, Attempt: step.attempt, AttemptedAt: new(time.Time)}
			if err := pool.QueryRow(ctx, "SELECT attempted_at FROM river_job").Scan(row.AttemptedAt); err != nil {
				t.Fatal(err)
			}
			if step.putOff {
				*row.AttemptedAt = row.AttemptedAt.Add(-5 * time.Second)
			}
			if err := q.desk.work(ctx, row, inner); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case step.working:
			work(func(context.Context) error { look(); return nil })
		case step.ended > 0:
			work(func(context.Context) error { return nil })
			clock = clock.Add(step.ended)
			look()
		default:
			look()
		}
		clock = clock.Add(time.Hour)
		var state string
		var attempt int
		if err := pool.QueryRow(ctx, "SELECT state, attempt FROM river_job").Scan(&state, &attempt); err != nil {
			t.Fatal(err)
		}
		if state != step.want || attempt != step.left {
			t.Errorf("a job %s is %s at attempt %d, want %s at %d", step.name, state, attempt, step.want, step.left)
		}
	}

	service, err := NewService(q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, take, "running", jobAttempts, 20, service.presence.id); err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		if err := service.Run(serving); err != nil {
			t.Error(err)
		}
	})
	defer group.Wait()
	defer stop()
	for run.State != engine.RunSucceeded {
		if run, err = db.Run(ctx, run.ID); err != nil || run.State == engine.RunFailed {
			t.Fatalf("the run is %+v (%v), and its job was only lost on its way", run, err)
		}
	}
	var done postgres.TakenJob
	if err := pool.QueryRow(ctx, "SELECT id, attempt, (extract(epoch FROM attempted_at) * 1000000)::bigint FROM river_job").Scan(&done.ID, &done.Attempt, &done.At); err != nil {
		t.Fatal(err)
	}
	if len(q.desk.missing([]postgres.TakenJob{done})) > 0 {
		t.Error("a job that was done was not on the desk")
	}
}

// TestChunkIsCountedOnce lets a worker that was taken for dead end its chunk after another has taken it up.
func TestChunkIsCountedOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	clock := at("2026-11-22T12:00:00Z")
	pool := pgtest.DB(t)
	q, db, store := slottedOn(t, pool, &clock)
	run, err := q.SnapshotStore(ctx, SnapshotRequest{Store: store, Type: engine.Weekly, Conflict: ConflictKeep, Trigger: engine.TriggerMutation})
	if err != nil {
		t.Fatal(err)
	}
	worker := &chunkWorker{queue: q}
	job := &river.Job[chunkArgs]{JobRow: &rivertype.JobRow{ID: 1, Attempt: jobAttempts, MaxAttempts: jobAttempts, State: rivertype.JobStateRunning, CreatedAt: clock}, Args: chunkArgs{chunk{RunID: run.ID, StoreKey: store.Key}}}
	for _, sql := range []string{"UPDATE river_job SET id = 1, state = 'running', attempt = 2", "UPDATE river_job SET state = 'completed', attempt = 8, finalized_at = now()"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
		if err := worker.Work(ctx, job); !errors.Is(err, errNotOurs) {
			t.Errorf("the late worker was told %v", err)
		}
	}
	now, err := db.Run(ctx, run.ID)
	if err != nil || now.Done != 0 || now.State != engine.RunQueued {
		t.Errorf("the run is %+v (%v), and nobody has done anything", now, err)
	}
	// A run is cut into chunks once, whoever else thinks that it is his to cut.
	if err := db.StartRun(ctx, run.ID); err != nil {
		t.Fatal(err)
	}
	for _, want := range []error{nil, postgres.ErrRunOver} {
		err := db.InTx(ctx, func(tx *postgres.Tx) error { return tx.PlanRun(ctx, run.ID, engine.StageScoring, 3) })
		if !errors.Is(err, want) {
			t.Errorf("cutting gave %v, want %v", err, want)
		}
	}
}

// withoutDatabase is a queue whose database is not there.
func withoutDatabase(t *testing.T) *Queue {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "postgres:///quimbi?host="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	q, err := NewQueue(postgres.New(pool), DefaultSettings(), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestWorkWaitsOutages has workers begin while no database is there: none of the attempts is used up.
func TestWorkWaitsOutages(t *testing.T) {
	t.Parallel()
	q := withoutDatabase(t)
	row := &rivertype.JobRow{ID: 1, Attempt: jobAttempts, MaxAttempts: jobAttempts, State: rivertype.JobStateRunning, CreatedAt: time.Now()}
	for name, work := range map[string]func() error{
		"start":  func() error { return (&startWorker{queue: q}).Work(t.Context(), &river.Job[startArgs]{JobRow: row}) },
		"chunk":  func() error { return (&chunkWorker{queue: q}).Work(t.Context(), &river.Job[chunkArgs]{JobRow: row}) },
		"settle": func() error { return (&settleWorker{queue: q}).Work(t.Context(), &river.Job[settleArgs]{JobRow: row}) },
	} {
		if err := work(); !errors.Is(err, &river.JobSnoozeError{}) {
			t.Errorf("without a database, %s gave %v", name, err)
		}
	}
}

// TestGivingUpWaitsOutages has work fail for good while no database is there to hear of it: its run would go on for ever if the job
// ended without it.
func TestGivingUpWaitsOutages(t *testing.T) {
	t.Parallel()
	q := withoutDatabase(t)
	row := &rivertype.JobRow{ID: 1, Attempt: jobAttempts, MaxAttempts: jobAttempts, State: rivertype.JobStateRunning, CreatedAt: time.Now()}
	start := &startWorker{queue: q}
	for name, fault := range map[string]error{
		"a fault of the program":  errors.New("a bug"),
		"a fault that is told":    engine.Errorf(engine.CodeInsufficientData, "there is no purchase"),
		"a fault of a statement":  &pgconn.PgError{Code: "23505"},
		"the database's trouble":  &pgconn.PgError{Code: "57P01"},
		"the database's, wrapped": fmt.Errorf("settling: %w", &pgconn.PgError{Code: "08006"}),
	} {
		run := &engine.Run{ID: "1", Kind: engine.RunRecluster}
		if err := start.outcome(t.Context(), run, &river.Job[startArgs]{JobRow: row}, fault); !errors.Is(err, &river.JobSnoozeError{}) {
			t.Errorf("%s, of which the database could not be told, gave %v", name, err)
		}
	}
}

// TestOutages puts work off while the database is in trouble, for a day, and leaves other faults to the attempts.
func TestOutages(t *testing.T) {
	t.Parallel()
	clock := at("2026-11-22T12:00:00Z")
	q, _, _ := slotted(t, &clock)
	for _, c := range []struct {
		err  error
		age  time.Duration
		text string // of what a person reads; empty: no outage
	}{
		{nil, 0, ""},
		{errors.New("a bug"), 0, ""},
		{&pgconn.PgError{Code: "23505"}, 0, ""},
		{&pgconn.PgError{Code: "53100"}, 0, "no room left on its disk"},
		{&pgconn.PgError{Code: "53100"}, 25 * time.Hour, ""},
		{&pgconn.PgError{Code: "57P01", Message: "terminating connection due to administrator command"}, time.Hour, "ended the connection"},
		{fmt.Errorf("writing: %w", errors.New("conn closed")), 0, "connection to the database is lost"},
	} {
		job := &rivertype.JobRow{CreatedAt: clock.Add(-c.age)}
		later := q.waitOut(t.Context(), job, c.err)
		if (later != nil) != (c.text != "") {
			t.Errorf("%v after %s: %v", c.err, c.age, later)
		}
		if outage := postgres.Outage(c.err); c.text != "" && (engine.CodeOf(outage) != engine.CodeUnavailable || !strings.Contains(outage.Message, c.text)) {
			t.Errorf("%v is explained as %v", c.err, outage)
		}
	}
}
