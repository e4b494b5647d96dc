package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quimbi/quimbi/engine"
)

// The queue itself notices jobs of dead workers by the time they take. These statements, the only ones on its tables, let
// others notice a death by its hold, at once, and keep a worker that was taken for dead from counting its work twice.

// Alive tells whether a hold is still there: its connection may have ended.
func (h *Hold) Alive(ctx context.Context) bool { return h.conn.Conn().Ping(ctx) == nil }

const workersOfJobs = `-- name: WorkersOfJobs
SELECT DISTINCT attempted_by[array_upper(attempted_by, 1)] FROM river_job WHERE state = 'running' AND attempted_by IS NOT NULL`

// WorkersOfJobs names the workers that jobs of the queue say they are worked on by.
func (db *DB) WorkersOfJobs(ctx context.Context) ([]string, error) {
	return collect(ctx, db.pool, pgx.RowTo[string], workersOfJobs)
}

// DeadJob is a job whose worker died for the last time that it may.
type DeadJob struct {
	ID    int64
	RunID string
}

// A job that is tried for the last time ends here; its run is the caller's to end.
const rescueJobs = `-- name: RescueJobs
UPDATE river_job SET state = CASE WHEN attempt < max_attempts THEN 'available' ELSE 'discarded' END::river_job_state, scheduled_at = now(),
  finalized_at = CASE WHEN attempt >= max_attempts THEN now() END
WHERE state = 'running' AND attempted_by[array_upper(attempted_by, 1)] = $1
RETURNING id, attempt >= max_attempts, coalesce(args->>'run_id', args->'Chunk'->>'run_id', '')`

// RescueJobs makes the jobs of a dead worker available again, and gives those that were tried too often.
func (tx *Tx) RescueJobs(ctx context.Context, worker string) (rescued int, dead []DeadJob, err error) {
	rows, err := tx.Query(ctx, rescueJobs, worker)
	if err != nil {
		return 0, nil, err
	}
	var job DeadJob
	var over bool
	_, err = pgx.ForEachRow(rows, []any{&job.ID, &over, &job.RunID}, func() error {
		rescued++
		if over {
			dead = append(dead, job)
		}
		return nil
	})
	return rescued, dead, err
}

// TakenJob is a job that a worker has taken and not ended, as far as the queue knows. One that is put off gets its attempt back: then
// only the time, in microseconds since 1970, tells the next taking from this.
type TakenJob struct {
	ID      int64
	Attempt int
	At      int64
}

const takenAt = `(extract(epoch FROM attempted_at) * 1000000)::bigint`

const takenJobs = `-- name: TakenJobs
SELECT id, attempt, ` + takenAt + ` FROM river_job WHERE state = 'running' AND attempted_by[array_upper(attempted_by, 1)] = $1 AND attempted_at < now() - $2::interval ORDER BY id`

// TakenJobs gives the jobs that a worker took longer ago than age.
func (db *DB) TakenJobs(ctx context.Context, worker string, age time.Duration) ([]TakenJob, error) {
	return collect(ctx, db.pool, pgx.RowToStructByPos[TakenJob], takenJobs, worker, age)
}

const returnJobs = `-- name: ReturnJobs
UPDATE river_job j SET state = 'available', scheduled_at = now(), attempt = greatest(j.attempt - 1, 0)
FROM unnest($2::bigint[], $3::int[], $4::bigint[]) t(id, attempt, at)
WHERE j.id = t.id AND j.attempt = t.attempt AND ` + takenAt + ` = t.at AND j.state = 'running' AND j.attempted_by[array_upper(j.attempted_by, 1)] = $1`

// ReturnJobs makes jobs that a worker has taken available again, as if it had not, and tells how many.
func (db *DB) ReturnJobs(ctx context.Context, worker string, jobs []TakenJob) (int64, error) {
	ids, attempts, at := make([]int64, len(jobs)), make([]int, len(jobs)), make([]int64, len(jobs))
	for i, job := range jobs {
		ids[i], attempts[i], at[i] = job.ID, job.Attempt, job.At
	}
	tag, err := db.pool.Exec(ctx, returnJobs, worker, ids, attempts, at)
	return tag.RowsAffected(), err
}

const ownJob = `-- name: OwnJob
SELECT EXISTS (SELECT FROM river_job WHERE id = $1 AND attempt = $2 AND state = 'running' FOR UPDATE)`

// OwnsJob tells whether a job is still this attempt's to complete, and keeps it so until the transaction ends.
func (tx *Tx) OwnsJob(ctx context.Context, id int64, attempt int) (bool, error) {
	var own bool
	err := tx.QueryRow(ctx, ownJob, id, attempt).Scan(&own)
	return own, err
}

// Outage explains a fault of the database, and not of the work, that passes or that an operator mends: no room, no connection,
// a server that stops or starts. It gives nil for any other.
func Outage(err error) *engine.Error {
	if err == nil {
		return nil
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case pgErr.Code == "53100":
			return engine.Errorf(engine.CodeUnavailable, "the database has no room left on its disk; make room, and the work goes on by itself")
		case pgErr.Code == "53300":
			return engine.Errorf(engine.CodeUnavailable, "the database has no connection left; raise max_connections or start fewer processes")
		case strings.HasPrefix(pgErr.Code, "53"):
			return engine.Errorf(engine.CodeUnavailable, "the database has not enough of something: %s", pgErr.Message)
		case strings.HasPrefix(pgErr.Code, "57P"), strings.HasPrefix(pgErr.Code, "08"):
			return engine.Errorf(engine.CodeUnavailable, "the database ended the connection (%s); try again in a moment", pgErr.Message)
		}
		return nil
	}
	_, refused := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[*net.OpError](err)
	if refused || network || pgconn.SafeToRetry(err) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "conn closed") {
		return engine.Errorf(engine.CodeUnavailable, "the connection to the database is lost; try again in a moment")
	}
	return nil
}
