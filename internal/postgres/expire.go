package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// What snapshots brought about goes with them, by date: a drift event by the later of its dates, a transition by the first one in the new
// segment. Where replayed snapshots of a date stay, it stays.

// Aftermath is what is left of a store's snapshots of a type before a date.
type Aftermath struct {
	StoreID     int32
	Type        engine.SnapshotType
	Before      engine.Date
	BeforeAt    time.Time // the instant at which that day begins in the store
	ReplayedToo bool
}

func (a *Aftermath) params(more ...any) []any {
	return append([]any{a.StoreID, int16(a.Type), dateParam(a.Before), a.ReplayedToo}, more...)
}

const stays = `EXISTS (SELECT FROM snapshot s WHERE s.store_id = $1 AND s.snapshot_type = $2 AND s.snapshot_date = d.day AND s.replayed AND NOT $4)`

const pastDates = `SELECT day FROM (
  SELECT to_date FROM drift_event WHERE store_id = $1 AND snapshot_type = $2 AND to_date < $3 AND NOT provisional
  UNION SELECT first_date FROM segment_transition WHERE store_id = $1 AND snapshot_type = $2 AND first_date < $3) d(day)
WHERE NOT ` + stays + ` ORDER BY day`

// PastDates gives the dates of events and transitions that may go, oldest first.
func (db *DB) PastDates(ctx context.Context, a Aftermath) ([]engine.Date, error) {
	return collect(ctx, db.pool, func(row pgx.CollectableRow) (engine.Date, error) {
		var day time.Time
		err := row.Scan(&day)
		return dateOf(day), err
	}, "-- name: PastDates\n"+pastDates, a.params()...)
}

const pastEvents = `FROM drift_event e WHERE e.store_id = $1 AND e.snapshot_type = $2 AND NOT e.provisional`

// A transition goes when it has ended: by a snapshot before the date, or since its model was no longer in force then. The last one
// into the segment where a customer stands is kept under the model in force: the next one is told by it how long the customer stayed.
const pastTransitions = `FROM segment_transition t, (SELECT coalesce(max(model_id), 0) AS then FROM segment_model WHERE store_id = $1 AND fitted_at < $5) m
WHERE t.store_id = $1 AND t.snapshot_type = $2 AND (t.model_id < m.then OR t.settled_on < $3 AND (t.state <> 2 OR EXISTS (
  SELECT FROM segment_transition n WHERE n.store_id = $1 AND n.customer_id = t.customer_id AND n.snapshot_type = $2 AND n.axis = t.axis
    AND n.first_date > t.first_date AND n.first_date < $3 AND n.model_id = t.model_id AND n.state = 2)))`

const countAftermath = `-- name: CountAftermath
WITH past AS MATERIALIZED (` + pastDates + `)
SELECT (SELECT count(*) ` + pastEvents + ` AND e.to_date IN (SELECT day FROM past)), (SELECT count(*) ` + pastTransitions + ` AND t.first_date IN (SELECT day FROM past))`

// CountAftermath counts the drift events and the transitions that may go.
func (db *DB) CountAftermath(ctx context.Context, a Aftermath) (events, transitions int64, err error) {
	err = db.pool.QueryRow(ctx, countAftermath, a.params(a.BeforeAt)...).Scan(&events, &transitions)
	return events, transitions, err
}

// Whoever writes snapshots of a date writes them with what they bring about, so that a statement sees both or neither.
const deleteEvents = `-- name: DeleteEvents
DELETE FROM drift_event WHERE store_id = $1 AND event_id IN (SELECT e.event_id ` + pastEvents + ` AND e.to_date < $3 AND e.to_date = $5 LIMIT $6)
  AND NOT EXISTS (SELECT FROM (SELECT $5::date) d(day) WHERE ` + stays + `)`

const deleteTransitions = `-- name: DeleteTransitions
DELETE FROM segment_transition WHERE store_id = $1 AND transition_id IN (SELECT t.transition_id ` + pastTransitions + ` AND t.first_date = $6 LIMIT $7)
  AND NOT EXISTS (SELECT FROM (SELECT $6::date) d(day) WHERE ` + stays + `)`

// DeleteEvents removes at most limit drift events of a date that may go.
func (db *DB) DeleteEvents(ctx context.Context, a Aftermath, date engine.Date, limit int) (int64, error) {
	tag, err := db.pool.Exec(ctx, deleteEvents, a.params(dateParam(date), limit)...)
	return tag.RowsAffected(), err
}

// DeleteTransitions removes at most limit transitions of a date that may go.
func (db *DB) DeleteTransitions(ctx context.Context, a Aftermath, date engine.Date, limit int) (int64, error) {
	tag, err := db.pool.Exec(ctx, deleteTransitions, a.params(a.BeforeAt, dateParam(date), limit)...)
	return tag.RowsAffected(), err
}

const forgetSpreads = `-- name: ForgetSpreads
DELETE FROM drift_spread p USING (SELECT to_date AS day FROM drift_spread WHERE store_id = $1 AND snapshot_type = $2 AND to_date < $3 AND to_date < $5) d
WHERE p.store_id = $1 AND p.snapshot_type = $2 AND p.to_date = d.day AND NOT ` + stays

// ForgetSpreads removes how the drifts of past dates lay, once they are also too old to tell what is ordinary at a store's now.
func (db *DB) ForgetSpreads(ctx context.Context, a Aftermath, now engine.Date) error {
	_, err := db.pool.Exec(ctx, forgetSpreads, a.params(dateParam(now-driftMemory))...)
	return err
}

// A run stays with the model that it made. Of each kind, and of each type of the timetable, the last one stays too, and the last that
// succeeded: by them is known what was missed, and when it was done last.
const pastRuns = `FROM run r WHERE ($1::int = 0 OR r.store_id = $1) AND r.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') AND r.finished_at < $2
  AND NOT EXISTS (SELECT FROM segment_model m WHERE m.store_id = r.store_id AND m.run_id = r.run_id)
  AND EXISTS (SELECT FROM run n WHERE n.store_id = r.store_id AND n.kind = r.kind AND n.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') AND (n.state = 'SUCCEEDED' OR r.state <> 'SUCCEEDED')
    AND split_part(n.slot, ':', 1) IS NOT DISTINCT FROM split_part(r.slot, ':', 1) AND coalesce(n.slot_at, n.created_at) > coalesce(r.slot_at, r.created_at))`

const countOldRuns = `-- name: CountOldRuns
SELECT count(*) ` + pastRuns

// CountOldRuns counts the runs of a store, 0 for all, that ended before an instant and may go.
func (db *DB) CountOldRuns(ctx context.Context, storeID int32, before time.Time) (n int64, err error) {
	err = db.pool.QueryRow(ctx, countOldRuns, storeID, before).Scan(&n)
	return n, err
}

const deleteOldRuns = `-- name: DeleteOldRuns
DELETE FROM run WHERE run_id IN (SELECT r.run_id ` + pastRuns + ` LIMIT $3)`

// DeleteOldRuns removes at most limit of them, with what backtests among them found.
func (db *DB) DeleteOldRuns(ctx context.Context, storeID int32, before time.Time, limit int) (int64, error) {
	tag, err := db.pool.Exec(ctx, deleteOldRuns, storeID, before, limit)
	return tag.RowsAffected(), err
}
