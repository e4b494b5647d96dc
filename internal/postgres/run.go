package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
)

const runFields = `run_id::text, store_id, kind, state, trigger, slot_at, stage, axis, done, total, rows, events, request, report, failure, created_at, started_at, finished_at, updated_at`

func scanRun(row pgx.CollectableRow) (*engine.Run, error) {
	var r engine.Run
	var started, finished *time.Time
	err := row.Scan(&r.ID, &r.StoreID, &r.Kind, &r.State, &r.Trigger, &r.Slot, &r.Stage, &r.Axis, &r.Done, &r.Total, &r.Rows, &r.Events,
		&r.Request, &r.Report, &r.Failure, &r.CreatedAt, &started, &finished, &r.UpdatedAt)
	r.StartedAt, r.FinishedAt = timeOf(started), timeOf(finished)
	return &r, err
}

// NewRun is a run to insert.
type NewRun struct {
	ID             string // UUID
	StoreID        int32
	Kind           engine.RunKind
	Trigger        engine.RunTrigger
	Slot           string // empty unless the schedule starts it
	SlotAt         time.Time
	Request        any // becomes JSON
	IdempotencyKey string
	RequestHash    []byte // of what came with the key
}

const insertRun = `-- name: InsertRun
INSERT INTO run (store_id, run_id, kind, trigger, slot, slot_at, request, idempotency_key, request_hash)
VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, nullif($8, ''), $9)
ON CONFLICT DO NOTHING`

// InsertRun records a run as queued. It gives false where there is one already for the slot or the idempotency key.
func (tx *Tx) InsertRun(ctx context.Context, r NewRun) (bool, error) {
	request, err := json.Marshal(r.Request)
	if err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, insertRun, r.StoreID, r.ID, r.Kind, r.Trigger, r.Slot, timeParam(r.SlotAt), request, r.IdempotencyKey, r.RequestHash)
	return tag.RowsAffected() == 1, err
}

const openRuns = `-- name: OpenRuns
SELECT ` + runFields + ` FROM run WHERE store_id = $1 AND kind = $2 AND state IN ('QUEUED', 'RUNNING') ORDER BY created_at, run_id`

// OpenRuns gives the runs of a kind that wait or work, oldest first.
func (tx *Tx) OpenRuns(ctx context.Context, storeID int32, kind engine.RunKind) ([]*engine.Run, error) {
	return collect(ctx, tx, scanRun, openRuns, storeID, kind)
}

const lockRuns = "SELECT pg_advisory_xact_lock(hashtext('run ' || $2), $1)"

// LockRuns keeps others, until the transaction ends, from starting a run of a kind of which a store has one at a time.
func (tx *Tx) LockRuns(ctx context.Context, storeID int32, kind engine.RunKind) error {
	_, err := tx.Exec(ctx, lockRuns, storeID, string(kind))
	return err
}

const setRiverJob = `-- name: SetRiverJob
UPDATE run SET river_job = $3 WHERE store_id = $1 AND run_id = $2`

// SetRiverJob notes which job of the queue starts the run.
func (tx *Tx) SetRiverJob(ctx context.Context, storeID int32, runID string, job int64) error {
	_, err := tx.Exec(ctx, setRiverJob, storeID, runID, job)
	return err
}

const runByID = `-- name: RunByID
SELECT ` + runFields + ` FROM run WHERE run_id = $1`

// Run gives a run. Fault: NOT_FOUND.
func (db *DB) Run(ctx context.Context, runID string) (*engine.Run, error) {
	return one(ctx, db.read(ctx), scanRun, engine.Errorf(engine.CodeNotFound, "there is no run %q", runID), runByID, runID)
}

// notifyRun tells everyone who watches that a run changed; it reaches them when the transaction ends.
const notifyRun = `SELECT pg_notify('quimbi_run', $1)`

// RunChannel is the channel on which the ids of changed runs are told.
const RunChannel = "quimbi_run"

const startRun = `-- name: StartRun
UPDATE run SET state = 'RUNNING', started_at = coalesce(started_at, now()), updated_at = now()
WHERE run_id = $1 AND state IN ('QUEUED', 'RUNNING')`

const progressRun = `-- name: ProgressRun
UPDATE run SET stage = $2, axis = $3, total = greatest(total, $5), done = greatest(done, $4), updated_at = now()
WHERE run_id = $1 AND state = 'RUNNING'`

const planRun = `-- name: PlanRun
UPDATE run SET stage = $2, total = $3, updated_at = now() WHERE run_id = $1 AND state = 'RUNNING' AND total = 0`

// The report's counters add up over the chunks.
const chunkRun = `-- name: ChunkRun
UPDATE run SET done = done + 1, rows = rows + $2 + $4, events = events + $5, stage = $6, updated_at = now(), report = jsonb_build_object(
  'created', coalesce((report->>'created')::bigint, 0) + $2, 'kept', coalesce((report->>'kept')::bigint, 0) + $3,
  'replaced', coalesce((report->>'replaced')::bigint, 0) + $4, 'failed', 0)
WHERE run_id = $1 AND state = 'RUNNING' RETURNING done, total`

const finishRun = `-- name: FinishRun
UPDATE run SET state = $2, failure = $3, report = coalesce($4, report), rows = rows + $5, updated_at = now(), finished_at = now(), axis = '',
  done = CASE WHEN $2 = 'SUCCEEDED' THEN greatest(done, total) ELSE done END
WHERE run_id = $1 AND state IN ('QUEUED', 'RUNNING')`

// ErrRunOver says that a run came to a final state meanwhile: somebody cancelled it.
var ErrRunOver = errors.New("the run is over already")

func (tx *Tx) updateRun(ctx context.Context, runID, sql string, args ...any) error {
	tag, err := tx.Exec(ctx, sql, append([]any{runID}, args...)...)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ErrRunOver
	}
	_, err = tx.Exec(ctx, notifyRun, runID)
	return err
}

// StartRun takes a run up; one that was interrupted is taken up again. Fault: ErrRunOver.
func (db *DB) StartRun(ctx context.Context, runID string) error {
	return db.InTx(ctx, func(tx *Tx) error { return tx.updateRun(ctx, runID, startRun) })
}

// ProgressRun tells how far a run is; it never goes back. Fault: ErrRunOver.
func (db *DB) ProgressRun(ctx context.Context, runID string, stage engine.RunStage, axis string, done, total int) error {
	return db.InTx(ctx, func(tx *Tx) error { return tx.updateRun(ctx, runID, progressRun, stage, axis, done, total) })
}

// PlanRun tells how many chunks a run has; it can be told once. Fault: ErrRunOver.
func (tx *Tx) PlanRun(ctx context.Context, runID string, stage engine.RunStage, total int) error {
	return tx.updateRun(ctx, runID, planRun, stage, total)
}

const runGoesOn = `-- name: RunGoesOn
SELECT EXISTS (SELECT FROM run WHERE run_id = $1 AND state = 'RUNNING')`

// RunGoesOn spares work for a run that came to a final state. Fault: ErrRunOver.
func (tx *Tx) RunGoesOn(ctx context.Context, runID string) error {
	var goesOn bool
	if err := tx.QueryRow(ctx, runGoesOn, runID).Scan(&goesOn); err != nil {
		return err
	}
	if !goesOn {
		return ErrRunOver
	}
	return nil
}

// ChunkCounts is what a chunk of snapshots wrote.
type ChunkCounts struct{ Created, Kept, Replaced, Events int64 }

// ChunkDone counts a chunk of a run, and tells whether it was the last one. The run is locked until the transaction ends,
// so it is called last. Fault: ErrRunOver.
func (tx *Tx) ChunkDone(ctx context.Context, runID string, stage engine.RunStage, c ChunkCounts) (last bool, err error) {
	var done, total int
	err = tx.QueryRow(ctx, chunkRun, runID, c.Created, c.Kept, c.Replaced, c.Events, stage).Scan(&done, &total)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, ErrRunOver
	}
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, notifyRun, runID)
	return done >= total, err
}

// FinishRun brings a run to a final state; rows are added to its counter, report (nil: none) becomes JSON. Fault: ErrRunOver.
func (tx *Tx) FinishRun(ctx context.Context, runID string, state engine.RunState, failure string, report any, rows int64) error {
	var body []byte
	if report != nil {
		var err error
		if body, err = json.Marshal(report); err != nil {
			return err
		}
	}
	return tx.updateRun(ctx, runID, finishRun, state, failure, body, rows)
}

const cancelRun = `-- name: CancelRun
UPDATE run SET state = 'CANCELLED', updated_at = now(), finished_at = now() WHERE run_id = $1 AND state IN ('QUEUED', 'RUNNING') RETURNING coalesce(river_job, 0)`

// CancelRun brings a run to CANCELLED and gives the queue's job that started it, 0 where there is none. Fault: ErrRunOver.
func (tx *Tx) CancelRun(ctx context.Context, runID string) (riverJob int64, err error) {
	err = tx.QueryRow(ctx, cancelRun, runID).Scan(&riverJob)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrRunOver
	}
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, notifyRun, runID)
	return riverJob, err
}

const newestSlot = `-- name: NewestSlot
SELECT max(slot_at) FROM run WHERE store_id = $1 AND kind = $2 AND slot LIKE $3 || ':%'`

// NewestSlot gives the newest planned time of a kind and type for which the schedule made a run for the store, or, where
// storeID is 0, for all; the zero time where it never did.
func (db *DB) NewestSlot(ctx context.Context, storeID int32, kind engine.RunKind, slotType string) (time.Time, error) {
	var at *time.Time
	err := db.pool.QueryRow(ctx, newestSlot, storeID, kind, slotType).Scan(&at)
	return timeOf(at), err
}

const runningRuns = `-- name: RunningRuns
SELECT ` + runFields + ` FROM run WHERE state = 'RUNNING' AND (trigger = 'CLI' OR total = 0 OR kind IN ('RECLUSTER', 'CLEANUP', 'RESCORE')) ORDER BY created_at, run_id`

// HeldRuns gives the runs that are worked on as a whole by one process, if by any: see Hold.
func (db *DB) HeldRuns(ctx context.Context) ([]*engine.Run, error) {
	return collect(ctx, db.pool, scanRun, runningRuns)
}

// Hold marks work that goes on in this process. It ends with the process or its connection, however they end, so others
// can tell the work of the living from that of the dead.
type Hold struct{ conn *pgxpool.Conn }

// TryHold takes a hold with a name that is free; it gives nil where somebody has it.
func (db *DB) TryHold(ctx context.Context, name string) (*Hold, error) {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	var held bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", name).Scan(&held); err != nil || !held {
		conn.Release()
		return nil, err
	}
	return &Hold{conn}, nil
}

// The server shows a lock by the halves of its number.
const held = `-- name: Held
SELECT EXISTS (SELECT FROM pg_locks l, hashtextextended($1, 0) AS number WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.classid::bigint << 32 | l.objid::bigint = number)`

// Held tells whether somebody has a hold with the name. It takes no lock, and no connection beside the transaction's.
func (tx *Tx) Held(ctx context.Context, name string) (bool, error) {
	var is bool
	err := tx.QueryRow(ctx, held, name).Scan(&is)
	return is, err
}

// Release gives the hold back.
func (h *Hold) Release() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := h.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()"); err != nil {
		// A connection that cannot say so must not go back to the pool with the lock on it.
		_ = h.conn.Conn().Close(ctx)
	}
	h.conn.Release()
}
