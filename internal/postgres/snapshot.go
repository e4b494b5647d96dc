package postgres

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// WrittenSnapshot is a snapshot with the drift from the one before: over all axes, and of the axis that moved most.
type WrittenSnapshot struct {
	engine.Snapshot
	Drift, LargestDrift *float64
}

var snapshotColumns = []string{
	"store_id", "customer_id", "snapshot_type", "snapshot_date", "model_id", "membership", "dominant", "feature",
	"churn_risk", "predicted_ltv_cents", "orders", "value_cents", "first_order", "drift", "largest_drift", "active", "replayed",
}

// SnapshotChannel is the channel on which new snapshots are told: see ParseSnapshotsTaken.
const SnapshotChannel = "quimbi_snapshot"

// SnapshotsTaken is how many snapshots of a store, a type and a date were written together.
type SnapshotsTaken struct {
	StoreID int32
	Type    engine.SnapshotType
	Date    engine.Date
	Count   int
}

const notifySnapshots = `-- name: NotifySnapshots
SELECT pg_notify('quimbi_snapshot', concat_ws(' ', s.store_id, s.snapshot_type, s.snapshot_date, s.count))
FROM unnest($1::int[], $2::smallint[], $3::int[], $4::int[]) s(store_id, snapshot_type, snapshot_date, count)`

// notifySnapshots tells watchers what was written; it reaches them when the transaction ends.
func (tx *Tx) notifySnapshots(ctx context.Context, snapshots []WrittenSnapshot) error {
	counts := map[SnapshotsTaken]int{}
	for i := range snapshots {
		s := &snapshots[i]
		counts[SnapshotsTaken{StoreID: s.StoreID, Type: s.Type, Date: s.Date}]++
	}
	var stores, dates, numbers []int32
	var kinds []int16
	for taken, count := range counts {
		stores, kinds = append(stores, taken.StoreID), append(kinds, int16(taken.Type))
		dates, numbers = append(dates, int32(taken.Date)), append(numbers, int32(count))
	}
	_, err := tx.Exec(ctx, notifySnapshots, stores, kinds, dates, numbers)
	return err
}

// ParseSnapshotsTaken reads what is told on SnapshotChannel: the store, the type, the day as a number, the count.
func ParseSnapshotsTaken(payload string) (SnapshotsTaken, error) {
	var taken SnapshotsTaken
	_, err := fmt.Sscan(payload, &taken.StoreID, (*int16)(&taken.Type), (*int32)(&taken.Date), &taken.Count)
	return taken, err
}

// CopySnapshots writes snapshots and tells watchers. The leaves of their dates must be there: see EnsureLeaves.
func (tx *Tx) CopySnapshots(ctx context.Context, snapshots []WrittenSnapshot) error {
	values := make([]any, len(snapshotColumns))
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"snapshot"}, snapshotColumns, pgx.CopyFromSlice(len(snapshots), func(i int) ([]any, error) {
		s := &snapshots[i]
		values = append(values[:0], s.StoreID, s.CustomerID, int16(s.Type), dateParam(s.Date), s.ModelVersion, memberships(s.Membership), dominants(s.Dominant), featureParam(s.Features),
			s.ChurnRisk, s.LTVCents, s.Purchases, s.ValueCents, dateParam(s.FirstAt), s.Drift, s.LargestDrift, s.Active, s.Replayed)
		return values, nil
	}))
	if err != nil {
		return err
	}
	if err := tx.copyActiveDrifts(ctx, snapshots); err != nil {
		return err
	}
	return tx.notifySnapshots(ctx, snapshots)
}

// featureParam turns NaN, undefined, into NULL: the database's NaN would be a number.
func featureParam(features []float32) any {
	if features == nil {
		return nil
	}
	param := make([]*float32, len(features))
	for i := range features {
		if !math.IsNaN(float64(features[i])) {
			param[i] = &features[i]
		}
	}
	return param
}

func featuresOf(stored []*float32) []float32 {
	if stored == nil {
		return nil
	}
	features := make([]float32, len(stored))
	for i, f := range stored {
		features[i] = float32(math.NaN())
		if f != nil {
			features[i] = *f
		}
	}
	return features
}

var driftColumns = []string{
	"store_id", "customer_id", "axis", "snapshot_type", "from_date", "to_date", "model_id", "score", "from_segment", "to_segment",
	"by_order", "axis_anomaly", "overall_anomaly", "overall", "mean_score", "coverage", "largest_axis", "largest_score", "moderate_axes", "provisional", "robust_z",
	"risk_change",
}

// DriftChannel is the channel on which the numbers of stores with new drift events are told.
const DriftChannel = "quimbi_drift"

// Events of the whole database are numbered in the order in which their transactions end, so that a watcher who has seen
// one has missed none before it. So this is called last in a transaction: it keeps others out until the end.
const lockDriftEvents = `SELECT pg_advisory_xact_lock(hashtext('drift'))`

const notifyDrift = `SELECT pg_notify('quimbi_drift', store_id::text) FROM unnest($1::int[]) s(store_id)`

// CopyDriftEvents writes drift events and tells watchers; the database numbers them.
func (tx *Tx) CopyDriftEvents(ctx context.Context, events []engine.DriftEvent) error {
	if len(events) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, lockDriftEvents); err != nil {
		return err
	}
	stores := []int32{events[0].StoreID}
	for i := range events {
		if id := events[i].StoreID; !slices.Contains(stores, id) {
			stores = append(stores, id)
		}
	}
	if _, err := tx.Exec(ctx, notifyDrift, stores); err != nil {
		return err
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"drift_event"}, driftColumns, pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
		e := &events[i]
		return []any{
			e.StoreID, e.CustomerID, e.Axis, int16(e.Type), dateParam(e.From), dateParam(e.To), e.ModelVersion, e.Score, e.FromSegment, e.ToSegment,
			e.ByOrder, e.AxisAnomaly, e.OverallAnomaly, e.Overall, e.Mean, e.Coverage, e.LargestAxis, e.LargestScore, e.ModerateAxes, e.Provisional, e.RobustZ, e.RiskChange,
		}, nil
	}))
	return err
}

// SnapshotKey names a customer's snapshot of one type.
type SnapshotKey struct {
	CustomerID int64
	Date       engine.Date
}

// StoredThumbprint is what drift needs of a snapshot. One of another model than asked for has its features, if they are stored.
type StoredThumbprint struct {
	SnapshotKey
	ModelVersion int
	engine.Thumbprint
	Purchases int
	Features  []float32
}

func scanThumbprint(row pgx.CollectableRow) (StoredThumbprint, error) {
	var t StoredThumbprint
	var date time.Time
	var features []*float32
	err := row.Scan(&t.CustomerID, &date, &t.ModelVersion, membershipOf(&t.Thumbprint), dominantOf(&t.Thumbprint), &t.Purchases, &features)
	t.Date, t.Features = dateOf(date), featuresOf(features)
	return t, err
}

const existingSnapshots = `-- name: ExistingSnapshots
SELECT customer_id, snapshot_date, model_id, membership, dominant, orders, CASE WHEN model_id <> $6 THEN feature END FROM snapshot
WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND snapshot_date = ANY ($5)`

// ExistingSnapshots gives the snapshots of the type that customers of a range have on the dates.
func (tx *Tx) ExistingSnapshots(ctx context.Context, storeID int32, customers CustomerRange, kind engine.SnapshotType, dates []engine.Date, model int) ([]StoredThumbprint, error) {
	return collect(ctx, tx, scanThumbprint, existingSnapshots, storeID, customers.From, customers.To, int16(kind), dateParams(dates), model)
}

func dateParams(dates []engine.Date) []time.Time {
	params := make([]time.Time, len(dates))
	for i, d := range dates {
		params[i] = dateParam(d)
	}
	return params
}

const removeSnapshots = `-- name: RemoveSnapshots
DELETE FROM snapshot WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND snapshot_date = ANY ($5)`

const removeDriftEvents = `-- name: RemoveDriftEvents
DELETE FROM drift_event WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND to_date = ANY ($5) AND NOT provisional`

// leftovers are what snapshots brought about that retention has let go since.
var leftovers = []string{
	`-- name: RemoveLeftEvents
DELETE FROM drift_event l WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND to_date = ANY ($5) AND NOT provisional
  AND NOT EXISTS (SELECT FROM snapshot s WHERE s.store_id = $1 AND s.customer_id = l.customer_id AND s.snapshot_type = $4 AND s.snapshot_date = l.to_date)`,
	`-- name: RemoveLeftDrifts
DELETE FROM customer_drift l WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND to_date = ANY ($5)
  AND NOT EXISTS (SELECT FROM snapshot s WHERE s.store_id = $1 AND s.customer_id = l.customer_id AND s.snapshot_type = $4 AND s.snapshot_date = l.to_date)`,
	`-- name: RemoveLeftTransitions
DELETE FROM segment_transition l WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND first_date = ANY ($5)
  AND NOT EXISTS (SELECT FROM snapshot s WHERE s.store_id = $1 AND s.customer_id = l.customer_id AND s.snapshot_type = $4 AND s.snapshot_date = l.first_date)`,
}

// RemoveLeftovers takes away the drift events, drifts and transitions of dates of a range of customers where there are no snapshots
// any more: new ones will bring about their own.
func (tx *Tx) RemoveLeftovers(ctx context.Context, storeID int32, customers CustomerRange, kind engine.SnapshotType, dates []engine.Date) error {
	for _, sql := range leftovers {
		if _, err := tx.Exec(ctx, sql, storeID, customers.From, customers.To, int16(kind), dateParams(dates)); err != nil {
			return err
		}
	}
	return nil
}

// RemoveSnapshots takes away what is to be replaced, with the drift events that ended on it. It gives the number of snapshots.
func (tx *Tx) RemoveSnapshots(ctx context.Context, storeID int32, customers CustomerRange, kind engine.SnapshotType, dates []engine.Date) (int64, error) {
	params := dateParams(dates)
	for _, sql := range []string{removeDriftEvents, removeActiveDrifts, removeTransitions, reopenTransitions} {
		if _, err := tx.Exec(ctx, sql, storeID, customers.From, customers.To, int16(kind), params); err != nil {
			return 0, err
		}
	}
	tag, err := tx.Exec(ctx, removeSnapshots, storeID, customers.From, customers.To, int16(kind), params)
	return tag.RowsAffected(), err
}

const previousSnapshots = `-- name: PreviousSnapshots
SELECT DISTINCT ON (customer_id) customer_id, snapshot_date, model_id, membership, dominant, orders, CASE WHEN model_id <> $7 THEN feature END FROM snapshot
WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND snapshot_date < $5 AND snapshot_date >= $6
ORDER BY customer_id, snapshot_date DESC`

// PreviousSnapshots gives for the customers of a range the newest snapshot of the type in [since, before).
func (tx *Tx) PreviousSnapshots(ctx context.Context, storeID int32, customers CustomerRange, kind engine.SnapshotType, since, before engine.Date, model int) ([]StoredThumbprint, error) {
	return collect(ctx, tx, scanThumbprint, previousSnapshots, storeID, customers.From, customers.To, int16(kind), dateParam(before), dateParam(since), model)
}

// A state never goes back: neither to an older model, nor to an older moment under the same model. Whoever writes several
// does so by customer, so that none waits for another in a ring. Who does not know the mark of a state that is there leaves it.
const stateConflict = ` ON CONFLICT (store_id, customer_id) DO UPDATE SET
  model_id = excluded.model_id, state_date = excluded.state_date, rescored_at = excluded.rescored_at, membership = excluded.membership,
  dominant = excluded.dominant, feature = excluded.feature, largest_drift = excluded.largest_drift, churn_risk = excluded.churn_risk,
  predicted_ltv_cents = excluded.predicted_ltv_cents,
  mark = coalesce(excluded.mark, CASE WHEN (s.model_id, s.state_date) = (excluded.model_id, excluded.state_date) THEN s.mark END), updated_at = now()
WHERE (excluded.model_id, excluded.state_date, coalesce(excluded.rescored_at, '-infinity')) >= (s.model_id, s.state_date, coalesce(s.rescored_at, '-infinity'))`

// A replay under an earlier model says nothing of where customers stand now.
const stateFromSnapshots = `-- name: StateFromSnapshots
INSERT INTO customer_state AS s (store_id, customer_id, model_id, state_date, membership, dominant, feature, largest_drift, churn_risk, predicted_ltv_cents, mark)
SELECT store_id, customer_id, model_id, snapshot_date, membership, dominant, feature, largest_drift, churn_risk, predicted_ltv_cents, m.mark
FROM snapshot LEFT JOIN unnest($6::bigint[], $7::bytea[]) m(customer_id, mark) USING (customer_id) WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND snapshot_date = $5
  AND model_id = (SELECT max(model_id) FROM segment_model WHERE store_id = $1)
ORDER BY customer_id` + stateConflict

// What was provisional before the snapshot is told by the snapshot.
const removeConfirmed = `-- name: RemoveConfirmed
DELETE FROM drift_event WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND provisional AND to_date < $4`

// StateFromSnapshots brings the present state of the customers of a range up to their snapshots of a date, and removes the
// provisional drift before it. marks are the customers' by number, as far as they are known.
func (tx *Tx) StateFromSnapshots(ctx context.Context, storeID int32, customers CustomerRange, kind engine.SnapshotType, date engine.Date, marks map[int64][]byte) error {
	ids, bytes := make([]int64, 0, len(marks)), make([][]byte, 0, len(marks))
	for id, mark := range marks {
		ids, bytes = append(ids, id), append(bytes, mark)
	}
	if _, err := tx.Exec(ctx, stateFromSnapshots, storeID, customers.From, customers.To, int16(kind), dateParam(date), ids, bytes); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, removeConfirmed, storeID, customers.From, customers.To, dateParam(date))
	return err
}

// State is where a customer stands under a model.
type State struct {
	CustomerID int64
	engine.Thumbprint
	Features     []float32
	LargestDrift *float64 // over the axes, from the snapshot before; nil where there is none to compare
	ChurnRisk    *float64
	LTVCents     *int64
	Mark         []byte // a byte an axis: see explain.Mark; nil where it is not known
}

const createStateStage = `-- name: CreateStateStage
CREATE TEMPORARY TABLE state_stage (customer_id bigint, membership bytea, dominant bytea, feature real[], largest_drift real, churn_risk real,
  predicted_ltv_cents bigint, mark bytea) ON COMMIT DROP`

// A customer who was erased since a fit read the orders has no state.
const stateFromStage = `-- name: StateFromStage
INSERT INTO customer_state AS s (store_id, customer_id, model_id, state_date, rescored_at, membership, dominant, feature, largest_drift, churn_risk, predicted_ltv_cents, mark)
SELECT $1, g.customer_id, $2, $3, $4, g.membership, g.dominant, g.feature, g.largest_drift, g.churn_risk, g.predicted_ltv_cents, g.mark
FROM state_stage g JOIN customer c ON c.store_id = $1 AND c.customer_id = g.customer_id ORDER BY g.customer_id` + stateConflict

// A customer whom the new model does not know, since it was fitted on an earlier day, keeps no place under an old one.
const removeOldStates = `-- name: RemoveOldStates
DELETE FROM customer_state WHERE store_id = $1 AND model_id < $2`

const removeOldProvisional = `-- name: RemoveOldProvisional
DELETE FROM drift_event WHERE store_id = $1 AND provisional AND model_id < $2`

// WriteStates puts the states of all customers under a new model. next gives one after another and false at the end; those
// who were erased meanwhile are left out. The caller shares the store's customers.
func (tx *Tx) WriteStates(ctx context.Context, storeID int32, model int, date engine.Date, next func() (State, bool)) error {
	if err := tx.writeStates(ctx, storeID, model, date, time.Time{}, next); err != nil {
		return err
	}
	for _, sql := range []string{removeOldStates, removeOldProvisional} {
		if _, err := tx.Exec(ctx, sql, storeID, model); err != nil {
			return err
		}
	}
	return nil
}

// writeStates writes states as of an instant, zero for 00:00 of the day.
func (tx *Tx) writeStates(ctx context.Context, storeID int32, model int, date engine.Date, at time.Time, next func() (State, bool)) error {
	if _, err := tx.Exec(ctx, createStateStage); err != nil {
		return err
	}
	columns := []string{"customer_id", "membership", "dominant", "feature", "largest_drift", "churn_risk", "predicted_ltv_cents", "mark"}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"state_stage"}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		s, ok := next()
		if !ok {
			return nil, nil
		}
		return []any{s.CustomerID, memberships(s.Membership), dominants(s.Dominant), featureParam(s.Features), s.LargestDrift, s.ChurnRisk, s.LTVCents, s.Mark}, nil
	}))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, stateFromStage, storeID, model, dateParam(date), timeParam(at))
	return err
}
