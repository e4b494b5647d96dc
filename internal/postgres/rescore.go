package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

const touchCustomers = `-- name: TouchCustomers
INSERT INTO touched_customer (store_id, customer_id)
SELECT $1::int, customer_id FROM touched UNION SELECT store_id, customer_id FROM customer_state
WHERE $2::boolean AND store_id = $1::int AND state_date = $3 AND rescored_at IS NOT NULL`

// touchCustomers notes the customers that an import touched, and with others also those that were scored between snapshots
// on a day, since what they know of the whole store is another.
func (tx *Tx) touchCustomers(ctx context.Context, storeID int32, others bool, day engine.Date) (int64, error) {
	tag, err := tx.Exec(ctx, touchCustomers, storeID, others, dateParam(day))
	return tag.RowsAffected(), err
}

const touchRescored = `-- name: TouchRescored
INSERT INTO touched_customer (store_id, customer_id)
SELECT store_id, customer_id FROM customer_state WHERE store_id = $1 AND state_date >= $2 AND rescored_at IS NOT NULL`

// TouchRescored notes the customers whose state is of a moment within a day or later: a model as of the day's begin does not
// know what they did since.
func (tx *Tx) TouchRescored(ctx context.Context, storeID int32, day engine.Date) error {
	_, err := tx.Exec(ctx, touchRescored, storeID, dateParam(day))
	return err
}

const takeTouched = `-- name: TakeTouched
DELETE FROM touched_customer WHERE store_id = $1 AND touch_id IN (
  SELECT touch_id FROM touched_customer WHERE store_id = $1 ORDER BY touch_id LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING customer_id`

// TakeTouched gives customers that were touched, each once and in the order of their numbers; at most limit at a time. They
// count as touched again if the transaction comes to nothing.
func (tx *Tx) TakeTouched(ctx context.Context, storeID int32, limit int) ([]int64, error) {
	ids, err := collect(ctx, tx, pgx.RowTo[int64], takeTouched, storeID, limit)
	slices.Sort(ids)
	return slices.Compact(ids), err
}

const sharedModelLock = `SELECT pg_advisory_xact_lock_shared(hashtext('model'), $1)`

// HoldModel gives the number of the model in force, 0 before the first re-clustering; none comes into force before the
// transaction ends.
func (tx *Tx) HoldModel(ctx context.Context, storeID int32) (int, error) {
	if _, err := tx.Exec(ctx, sharedModelLock, storeID); err != nil {
		return 0, err
	}
	return tx.NewestModelVersion(ctx, storeID)
}

// Baseline is what the drift since a snapshot needs of it.
type Baseline struct {
	StoredThumbprint
	Type engine.SnapshotType
}

const snapshotFields = `customer_id, snapshot_date, model_id, membership, dominant, snapshot_type, orders, feature FROM snapshot
  WHERE store_id = $1 AND customer_id = ANY ($2) AND snapshot_date <= $3`

// The types stand one by one, so that only the partitions of recent dates are read. Of one date the finest type counts.
const newestSnapshots = `-- name: NewestSnapshots
SELECT DISTINCT ON (customer_id) * FROM (
  SELECT ` + snapshotFields + ` AND snapshot_type = 1 AND snapshot_date >= $3 - $4::int
  UNION ALL SELECT ` + snapshotFields + ` AND snapshot_type = 2 AND snapshot_date >= $3 - $5::int
  UNION ALL SELECT ` + snapshotFields + ` AND snapshot_type = 3 AND snapshot_date >= $3 - $6::int
  UNION ALL SELECT ` + snapshotFields + ` AND snapshot_type = 4 AND snapshot_date >= $3 - $7::int
  UNION ALL SELECT ` + snapshotFields + ` AND snapshot_type = 5 AND snapshot_date >= $3 - $8::int) s
ORDER BY customer_id, snapshot_date DESC, snapshot_type`

// NewestSnapshots gives each customer's newest snapshot up to a day, by customer, if it is no older than so many steps of
// its type.
func (tx *Tx) NewestSnapshots(ctx context.Context, storeID int32, customers []int64, day engine.Date, steps int) (map[int64]Baseline, error) {
	args := []any{storeID, customers, dateParam(day)}
	for _, kind := range engine.SnapshotTypes {
		args = append(args, steps*kind.Days())
	}
	rows, err := collect(ctx, tx, func(row pgx.CollectableRow) (Baseline, error) {
		var b Baseline
		var date time.Time
		var kind int16
		var features []*float32
		err := row.Scan(&b.CustomerID, &date, &b.ModelVersion, membershipOf(&b.Thumbprint), dominantOf(&b.Thumbprint), &kind, &b.Purchases, &features)
		b.Date, b.Type, b.Features = dateOf(date), engine.SnapshotType(kind), featuresOf(features)
		return b, err
	}, newestSnapshots, args...)
	found := make(map[int64]Baseline, len(rows))
	for _, b := range rows {
		found[b.CustomerID] = b
	}
	return found, err
}

// Rescored is where touched customers stand at an instant.
type Rescored struct {
	StoreID   int32
	Model     int
	Day       engine.Date // the instant's, in the store's zone
	At        time.Time
	Customers []int64 // all of them
	States    []State // of those who have a purchase
	Events    []engine.DriftEvent
}

const removeStates = `-- name: RemoveStates
DELETE FROM customer_state WHERE store_id = $1 AND customer_id = ANY ($2)`

const removeProvisional = `-- name: RemoveProvisional
DELETE FROM drift_event WHERE store_id = $1 AND customer_id = ANY ($2) AND provisional`

// WriteRescored writes the states, takes away those of customers without a purchase, and puts new provisional drift events
// in the place of the customers' former ones.
func (tx *Tx) WriteRescored(ctx context.Context, r Rescored) error {
	gone := map[int64]bool{}
	for _, id := range r.Customers {
		gone[id] = true
	}
	next := 0
	err := tx.writeStates(ctx, r.StoreID, r.Model, r.Day, r.At, func() (State, bool) {
		if next == len(r.States) {
			return State{}, false
		}
		next++
		delete(gone, r.States[next-1].CustomerID)
		return r.States[next-1], true
	})
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		var ids []int64
		for id := range gone {
			ids = append(ids, id)
		}
		if _, err := tx.Exec(ctx, removeStates, r.StoreID, ids); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, removeProvisional, r.StoreID, r.Customers); err != nil {
		return err
	}
	return tx.CopyDriftEvents(ctx, r.Events)
}

const joinRescore = `-- name: JoinRescore
SELECT ` + runFields + ` FROM run WHERE store_id = $1 AND kind = 'RESCORE' AND state = 'QUEUED' FOR SHARE`

// JoinRescore gives the run that waits to score the store's touched customers, nil where none does. It does not begin before
// the transaction ends, so it will see what the transaction touches.
func (tx *Tx) JoinRescore(ctx context.Context, storeID int32) (*engine.Run, error) {
	found, err := collect(ctx, tx, scanRun, joinRescore, storeID)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

const runningRescores = `-- name: RunningRescores
SELECT run_id::text FROM run WHERE store_id = $1 AND kind = 'RESCORE' AND state = 'RUNNING'`

// RunningRescores gives the runs that score the store's touched customers, the dead among them.
func (db *DB) RunningRescores(ctx context.Context, storeID int32) ([]string, error) {
	return collect(ctx, db.pool, pgx.RowTo[string], runningRescores, storeID)
}

const countRescored = `-- name: CountRescored
UPDATE run SET stage = 'SCORING', rows = rows + $2, events = events + $3, updated_at = now() WHERE run_id = $1 AND state = 'RUNNING'`

// CountRescored adds to a run's counters of customers and events. Fault: ErrRunOver.
func (tx *Tx) CountRescored(ctx context.Context, runID string, customers, events int) error {
	return tx.updateRun(ctx, runID, countRescored, customers, events)
}
