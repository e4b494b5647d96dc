package jobs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Queue starts, cancels and looks after runs. A run that a person at the command line starts is only recorded: the command
// works on it itself. All others are executed by whichever process has workers.
type Queue struct {
	*Runner
	river  *river.Client[pgx.Tx] // inserts only
	orders chan struct{}         // holds the calls of ImportOrders that are worked on
	desk   desk
}

// NewQueue makes a queue; the schema must be there before the first run is started.
func NewQueue(db *postgres.DB, settings Settings, log *slog.Logger, now func() time.Time) (*Queue, error) {
	client, err := river.NewClient(db.RiverDriver(), &river.Config{Logger: log, MaxAttempts: jobAttempts})
	if err != nil {
		return nil, err
	}
	return &Queue{Runner: NewRunner(db, settings, log, now), river: client, orders: make(chan struct{}, ordersAtOnce), desk: desk{jobs: map[postgres.TakenJob]time.Time{}, now: now}}, nil
}

// submission is a run to be started.
type submission struct {
	postgres.NewRun
	at    time.Time     // not before; zero: at once
	alone *engine.Store // has one run of the kind at a time; nil: as many as are asked for
}

// submit records a run with its job in one transaction. It gives nil where the slot was taken before, and the first run
// again where the idempotency key was. Faults: INVALID where the key came with another request, RUN_IN_PROGRESS with the run that is
// in the way.
func (q *Queue) submit(ctx context.Context, s submission) (*engine.Run, error) {
	if err := checkKey(s.IdempotencyKey); err != nil {
		return nil, err
	}
	s.ID = newID()
	id, taken := s.ID, false
	err := q.db.InTx(ctx, func(tx *postgres.Tx) error {
		if s.IdempotencyKey != "" {
			earlier, err := startedBy(ctx, tx, &s.NewRun)
			if err != nil || earlier != "" {
				id = earlier
				return err
			}
		}
		if s.alone != nil {
			if err := clearTheWay(ctx, tx, &s); err != nil {
				return err
			}
		}
		fresh, err := tx.InsertRun(ctx, s.NewRun)
		if err != nil || !fresh {
			taken = !fresh
			return err
		}
		if s.Trigger == engine.TriggerCLI {
			return nil
		}
		return q.enqueue(ctx, tx, s.StoreID, s.ID, s.Kind, s.at)
	})
	if err != nil || taken {
		return nil, err
	}
	return q.db.Run(ctx, id)
}

// newID makes the id of a run.
func newID() string { return uuid.NewString() }

func (q *Queue) enqueue(ctx context.Context, tx *postgres.Tx, storeID int32, runID string, kind engine.RunKind, at time.Time) error {
	opts := &river.InsertOpts{Queue: startQueue, ScheduledAt: at}
	if kind == engine.RunRescore {
		opts.Queue = rescoreQueue
	}
	inserted, err := q.river.InsertTx(ctx, tx.Tx, startArgs{RunID: runID, RunKind: kind}, opts)
	if err != nil {
		return err
	}
	return tx.SetRiverJob(ctx, storeID, runID, inserted.Job.ID)
}

// Recluster starts a new model of a store. Fault: RUN_IN_PROGRESS with the run that is in the way.
func (q *Queue) Recluster(ctx context.Context, r ReclusterRequest) (*engine.Run, error) {
	if err := r.Params.Validate(); err != nil {
		return nil, err
	}
	asOf, err := q.dateOf(r.Store, r.AsOf)
	if err != nil {
		return nil, err
	}
	seed := drawn()
	if r.Seed != nil {
		seed = *r.Seed
	}
	return q.submit(ctx, submission{alone: r.Store, NewRun: postgres.NewRun{
		StoreID: r.Store.ID, Kind: engine.RunRecluster, Trigger: r.Trigger, IdempotencyKey: r.IdempotencyKey, RequestHash: r.Asked,
		Request: Recluster{Store: r.Store.Key, Params: r.Params, Seed: seed, AsOf: asOf, DryRun: r.DryRun},
	}})
}

// drawn gives a seed that survives JavaScript's numbers.
func drawn() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) >> 11
}

// clearTheWay refuses a run while another one of its kind and store waits or works, and lets no other be started until the
// transaction ends. The command line does not wait for one that nobody works on.
func clearTheWay(ctx context.Context, tx *postgres.Tx, s *submission) error {
	if err := tx.LockRuns(ctx, s.StoreID, s.Kind); err != nil {
		return err
	}
	open, err := tx.OpenRuns(ctx, s.StoreID, s.Kind)
	if err != nil {
		return err
	}
	for _, run := range open {
		alive, err := tx.Held(ctx, runHold(run.ID))
		if err != nil {
			return err
		}
		if alive || s.Trigger != engine.TriggerCLI && run.Trigger != engine.TriggerCLI {
			busy := engine.Errorf(engine.CodeRunInProgress, "store %q is being %s already; wait for that run or cancel it", s.alone.Key, doing[s.Kind])
			busy.RunID = run.ID
			return busy
		}
	}
	return nil
}

// doing says in words what runs do of which a store has one at a time.
var doing = map[engine.RunKind]string{engine.RunRecluster: "clustered", engine.RunBacktest: "backtested"}

// alive tells whether a process works on the run as a whole.
func (q *Queue) alive(ctx context.Context, runID string) (bool, error) {
	hold, err := q.db.TryHold(ctx, runHold(runID))
	if err != nil || hold == nil {
		return err == nil, err
	}
	hold.Release()
	return false, nil
}

// SnapshotStore starts taking the snapshots of a store.
func (q *Queue) SnapshotStore(ctx context.Context, r SnapshotRequest) (*engine.Run, error) {
	if !q.settings.Snapshots {
		return nil, errSnapshotsOff()
	}
	if r.Conflict == ConflictFail {
		return nil, engine.Errorf(engine.CodeInvalid, "a whole store's snapshots are kept or replaced; FAIL is for named customers").At("input", "onConflict")
	}
	date, err := q.dateOf(r.Store, r.Date)
	if err != nil {
		return nil, err
	}
	return q.submitSnapshots(ctx, submission{NewRun: postgres.NewRun{
		StoreID: r.Store.ID, Kind: engine.RunSnapshot, Trigger: r.Trigger, IdempotencyKey: r.IdempotencyKey, RequestHash: r.Asked,
	}}, Snapshots{Store: r.Store.Key, Type: r.Type.String(), Date: date, Dates: []engine.Date{date}, Conflict: r.Conflict})
}

// submitSnapshots fixes the model and submits.
func (q *Queue) submitSnapshots(ctx context.Context, s submission, request Snapshots) (*engine.Run, error) {
	if request.ModelVersion == 0 {
		version, err := q.db.NewestModelVersion(ctx, s.StoreID)
		if err != nil {
			return nil, err
		}
		if version == 0 && s.Slot == "" {
			return nil, errNotClustered(request.Store)
		}
		if s.Slot == "" { // a slot's run may come up after a newer model
			request.ModelVersion = version
		}
	}
	s.Request = request
	return q.submit(ctx, s)
}

// replayDates is how many dates one replay may have.
const replayDates = 1000

// Replay starts rebuilding snapshots of the past from orders, all under one model.
func (q *Queue) Replay(ctx context.Context, r ReplayRequest) (*engine.Run, error) {
	if !q.settings.Snapshots {
		return nil, errSnapshotsOff()
	}
	if r.Conflict == ConflictFail {
		return nil, engine.Errorf(engine.CodeInvalid, "replayed snapshots are kept or replaced; FAIL is for named customers").At("input", "onConflict")
	}
	if r.From >= r.To {
		return nil, engine.Errorf(engine.CodeInvalid, "the range from %s to %s is empty; its end must be after its begin", r.From, r.To).At("input", "to")
	}
	now, err := q.dateOf(r.Store, nil)
	if err != nil {
		return nil, err
	}
	if r.To > now+1 {
		return nil, engine.Errorf(engine.CodeInvalid, "the range must end by %s, the day after the store's now", now+1).At("input", "to")
	}
	dates := r.Type.Dates(r.From, r.To)
	if len(dates) == 0 {
		return nil, engine.Errorf(engine.CodeInvalid, "there is no day of a %s snapshot from %s until before %s", r.Type, r.From, r.To)
	}
	if len(dates) > replayDates {
		return nil, engine.Errorf(engine.CodeInvalid, "the range has %d dates; at most %d are rebuilt at once", len(dates), replayDates)
	}
	if r.ModelVersion != 0 {
		known, err := q.db.HasModel(ctx, r.Store.ID, r.ModelVersion)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, engine.Errorf(engine.CodeNotFound, "store %q has no model %d", r.Store.Key, r.ModelVersion).At("input", "modelVersion")
		}
	}
	return q.submitSnapshots(ctx, submission{NewRun: postgres.NewRun{
		StoreID: r.Store.ID, Kind: engine.RunReplay, Trigger: r.Trigger, IdempotencyKey: r.IdempotencyKey, RequestHash: r.Asked,
	}}, Snapshots{Store: r.Store.Key, Type: r.Type.String(), Date: dates[0], Dates: dates, Conflict: r.Conflict, ModelVersion: r.ModelVersion})
}

// Cleanup starts removing what retention no longer keeps.
func (q *Queue) Cleanup(ctx context.Context, r CleanupRequest) (*engine.Run, error) {
	request := Cleanup{IncludeReplayed: r.IncludeReplayed}
	s := submission{NewRun: postgres.NewRun{Kind: engine.RunCleanup, Trigger: r.Trigger, IdempotencyKey: r.IdempotencyKey, RequestHash: r.Asked}}
	if r.Store != nil {
		request.Store, s.StoreID = r.Store.Key, r.Store.ID
	}
	for _, kind := range r.Types {
		request.Types = append(request.Types, kind.String())
	}
	s.Request = request
	return q.submit(ctx, s)
}

// Cancel stops a run. Fault: RUN_FINISHED with the run.
func (q *Queue) Cancel(ctx context.Context, runID string) (*engine.Run, error) {
	err := q.db.InTx(ctx, func(tx *postgres.Tx) error {
		job, err := tx.CancelRun(ctx, runID)
		if err != nil || job == 0 {
			return err
		}
		_, err = q.river.JobCancelTx(ctx, tx.Tx, job)
		if errors.Is(err, river.ErrNotFound) {
			return nil
		}
		return err
	})
	if errors.Is(err, postgres.ErrRunOver) {
		run, err := q.db.Run(ctx, runID)
		if err != nil {
			return nil, err
		}
		over := engine.Errorf(engine.CodeRunFinished, "the run %s already", ended[run.State])
		over.RunID = runID
		return nil, over
	}
	if err != nil {
		return nil, err
	}
	return q.db.Run(ctx, runID)
}

// ended says in words how a run came to its end.
var ended = map[engine.RunState]string{engine.RunSucceeded: "has succeeded", engine.RunFailed: "has failed", engine.RunCancelled: "was cancelled"}

// Reap looks after runs whose process is dead: a command's run has failed, any other is started again.
func (q *Queue) Reap(ctx context.Context) error {
	running, err := q.db.HeldRuns(ctx)
	if err != nil {
		return err
	}
	for _, run := range running {
		if alive, err := q.alive(ctx, run.ID); err != nil || alive {
			if err != nil {
				return err
			}
			continue
		}
		err := q.db.InTx(ctx, func(tx *postgres.Tx) error {
			if run.Trigger == engine.TriggerCLI {
				return tx.FinishRun(ctx, run.ID, engine.RunFailed, "The command that worked on it ended before it was done.", nil, 0)
			}
			return q.enqueue(ctx, tx, run.StoreID, run.ID, run.Kind, time.Time{})
		})
		if err != nil && !errors.Is(err, postgres.ErrRunOver) {
			return fmt.Errorf("looking after run %s: %w", run.ID, err)
		}
	}
	return nil
}
