package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/watch"
)

// copyActiveDrifts keeps the overall drifts of the snapshots in whose interval the customer did something.
func (tx *Tx) copyActiveDrifts(ctx context.Context, snapshots []WrittenSnapshot) error {
	next := 0
	columns := []string{"store_id", "snapshot_type", "customer_id", "to_date", "drift"}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"customer_drift"}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		for next < len(snapshots) {
			s := &snapshots[next]
			next++
			if s.Active && s.Drift != nil {
				return []any{s.StoreID, int16(s.Type), s.CustomerID, dateParam(s.Date), float32(*s.Drift)}, nil
			}
		}
		return nil, nil
	}))
	return err
}

const removeActiveDrifts = `-- name: RemoveActiveDrifts
DELETE FROM customer_drift WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND to_date = ANY ($5)`

const writeSpread = `-- name: WriteSpread
INSERT INTO drift_spread (store_id, snapshot_type, to_date, customers, quantile)
SELECT $1, $2, $3, count(*), percentile_cont($4::float8[]) WITHIN GROUP (ORDER BY drift)
FROM snapshot WHERE store_id = $1 AND snapshot_type = $2 AND snapshot_date = $3 AND drift IS NOT NULL HAVING count(*) > 0
ON CONFLICT (store_id, snapshot_type, to_date) DO UPDATE SET customers = excluded.customers, quantile = excluded.quantile`

// WriteSpread works out how the drifts of the store's snapshots of a type and date lie, and keeps it.
func (db *DB) WriteSpread(ctx context.Context, storeID int32, kind engine.SnapshotType, date engine.Date) error {
	_, err := db.pool.Exec(ctx, writeSpread, storeID, int16(kind), dateParam(date), watch.Fractions())
	return err
}

// Those who did something are found first, and each one's drifts are looked up by the index, whatever is known of the table: without
// statistics, as in a young store, a join of the two went through the whole table for each drift.
const activeDrifts = `-- name: ActiveDrifts
SELECT customer_id, to_date, drift FROM (
  SELECT DISTINCT customer_id FROM customer_drift WHERE store_id = $1 AND snapshot_type = $2 AND customer_id BETWEEN $3 AND $4 AND to_date = ANY ($5::date[])) moved
CROSS JOIN LATERAL (
  SELECT to_date, drift FROM customer_drift d WHERE d.store_id = $1 AND d.snapshot_type = $2 AND d.customer_id = moved.customer_id
    AND d.to_date <= (SELECT max(day) FROM unnest($5::date[]) u(day))
  OFFSET 0) d
ORDER BY customer_id, to_date`

// CustomerDrifts are a customer's overall drifts of intervals with an order, by date.
type CustomerDrifts struct {
	CustomerID int64
	Drifts     []watch.Dated
}

// ActiveDrifts gives the drifts up to the last of the dates of those customers of a range who did something in the interval
// before one of them.
func (db *DB) ActiveDrifts(ctx context.Context, storeID int32, customers CustomerRange, kind engine.SnapshotType, dates []engine.Date) ([]CustomerDrifts, error) {
	return collectDrifts(ctx, db.read(ctx), activeDrifts, storeID, int16(kind), customers.From, customers.To, dateParams(dates))
}

func collectDrifts(ctx context.Context, q querier, sql string, args ...any) ([]CustomerDrifts, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	var list []CustomerDrifts
	var id int64
	var date time.Time
	var drift float64
	_, err = pgx.ForEachRow(rows, []any{&id, &date, &drift}, func() error {
		if n := len(list); n == 0 || list[n-1].CustomerID != id {
			list = append(list, CustomerDrifts{CustomerID: id})
		}
		last := &list[len(list)-1]
		last.Drifts = append(last.Drifts, watch.Dated{Day: int(dateOf(date)), Drift: drift})
		return nil
	})
	return list, err
}

const driftsOf = `-- name: DriftsOf
SELECT customer_id, to_date, drift FROM customer_drift
WHERE store_id = $1 AND snapshot_type = $2 AND customer_id = ANY ($3) AND to_date <= $4 ORDER BY customer_id, to_date`

// DriftsOf gives the drifts of customers up to a date.
func (tx *Tx) DriftsOf(ctx context.Context, storeID int32, customers []int64, kind engine.SnapshotType, until engine.Date) ([]CustomerDrifts, error) {
	return collectDrifts(ctx, tx, driftsOf, storeID, int16(kind), customers, dateParam(until))
}

// DriftsOf does the same outside a transaction.
func (db *DB) DriftsOf(ctx context.Context, storeID int32, customers []int64, kind engine.SnapshotType, until engine.Date) ([]CustomerDrifts, error) {
	return collectDrifts(ctx, db.read(ctx), driftsOf, storeID, int16(kind), customers, dateParam(until))
}

const spreadMedians = `-- name: SpreadMedians
SELECT to_date, quantile[(array_length(quantile, 1) + 1) / 2] FROM drift_spread WHERE store_id = $1 AND snapshot_type = $2 ORDER BY to_date`

// SpreadMedians gives the store's middle drifts by date.
func (db *DB) SpreadMedians(ctx context.Context, storeID int32, kind engine.SnapshotType) ([]watch.Median, error) {
	return medians(ctx, db.read(ctx), storeID, kind)
}

// SpreadMedians does the same in the transaction.
func (tx *Tx) SpreadMedians(ctx context.Context, storeID int32, kind engine.SnapshotType) ([]watch.Median, error) {
	return medians(ctx, tx, storeID, kind)
}

func medians(ctx context.Context, q querier, storeID int32, kind engine.SnapshotType) ([]watch.Median, error) {
	return collect(ctx, q, func(row pgx.CollectableRow) (watch.Median, error) {
		var m watch.Median
		var date time.Time
		err := row.Scan(&date, &m.Spread)
		m.Day = int(dateOf(date))
		return m, err
	}, spreadMedians, storeID, int16(kind))
}

// Deviation is a customer's robust deviation in the interval that ends on a date.
type Deviation struct {
	CustomerID int64
	Date       engine.Date
	Z          float64
}

// The events are looked up by the index first, for the same reason as activeDrifts.
const markDeviations = `-- name: MarkDeviations
UPDATE drift_event e SET robust_z = m.z, overall_anomaly = coalesce(e.overall >= $6, false) OR m.z >= $7
FROM (SELECT f.event_id, d.z FROM unnest($3::bigint[], $4::date[], $5::float8[]) d(customer_id, to_date, z) CROSS JOIN LATERAL (
  SELECT event_id FROM drift_event f WHERE f.store_id = $1 AND f.customer_id = d.customer_id AND f.snapshot_type = $2 AND f.to_date = d.to_date AND NOT f.provisional
  OFFSET 0) f) m
WHERE e.store_id = $1 AND e.event_id = m.event_id`

// MarkDeviations notes deviations on the drift events of their intervals; threshold is the drift that is anomalous by itself.
func (db *DB) MarkDeviations(ctx context.Context, storeID int32, kind engine.SnapshotType, deviations []Deviation, threshold float64) error {
	ids, dates, zs := make([]int64, len(deviations)), make([]time.Time, len(deviations)), make([]float64, len(deviations))
	for i, d := range deviations {
		ids[i], dates[i], zs[i] = d.CustomerID, dateParam(d.Date), d.Z
	}
	_, err := db.pool.Exec(ctx, markDeviations, storeID, int16(kind), ids, dates, zs, threshold, watch.AnomalousZ)
	return err
}

// SpreadRef names the interval of a store's snapshots of a type that ends on a date.
type SpreadRef struct {
	StoreID int32
	Type    engine.SnapshotType
	Date    engine.Date
}

const spreads = `-- name: Spreads
SELECT k.store_id, k.kind, k.day, s.quantile FROM unnest($1::int[], $2::smallint[], $3::date[], $4::date[]) k(store_id, kind, day, oldest) CROSS JOIN LATERAL (
  SELECT quantile FROM drift_spread s WHERE s.store_id = k.store_id AND s.snapshot_type = k.kind AND s.to_date <= k.day AND s.to_date >= k.oldest
  ORDER BY s.to_date DESC LIMIT 1) s`

// spreadAge is how many steps of its type a spread may be old to speak for an interval.
const spreadAge = 3

// Spreads tells how drifts lay in intervals, or in the last ones before that are known, if they are not long past; else an
// interval is missing.
func (db *DB) Spreads(ctx context.Context, refs []SpreadRef) (map[SpreadRef]watch.Spread, error) {
	stores, kinds, days := make([]int32, len(refs)), make([]int16, len(refs)), make([]time.Time, len(refs))
	oldest := make([]time.Time, len(refs))
	for i, r := range refs {
		stores[i], kinds[i], days[i] = r.StoreID, int16(r.Type), dateParam(r.Date)
		oldest[i] = dateParam(r.Date - engine.Date(spreadAge*r.Type.Days()))
	}
	rows, err := db.read(ctx).Query(ctx, spreads, stores, kinds, days, oldest)
	if err != nil {
		return nil, err
	}
	found := make(map[SpreadRef]watch.Spread, len(refs))
	var ref SpreadRef
	var kind int16
	var day time.Time
	var quantile []float32
	_, err = pgx.ForEachRow(rows, []any{&ref.StoreID, &kind, &day, &quantile}, func() error {
		found[SpreadRef{ref.StoreID, engine.SnapshotType(kind), dateOf(day)}] = append(watch.Spread(nil), quantile...)
		return nil
	})
	return found, err
}

// KeptDrift is an overall drift that tells what is ordinary for a customer.
type KeptDrift struct {
	Type  engine.SnapshotType
	Date  engine.Date
	Drift float32
}

func scanKeptDrift(row pgx.CollectableRow) (KeptDrift, error) {
	var d KeptDrift
	var kind int16
	var date time.Time
	err := row.Scan(&kind, &date, &d.Drift)
	d.Type, d.Date = engine.SnapshotType(kind), dateOf(date)
	return d, err
}

// driftMemory is for how many days drifts tell what is ordinary for a customer.
const driftMemory = 730

const forgetActiveDrifts = `-- name: ForgetActiveDrifts
DELETE FROM customer_drift WHERE store_id = $1 AND to_date < $2`

// ForgetActiveDrifts removes the drifts that are too old to tell what is ordinary at a store's now.
func (db *DB) ForgetActiveDrifts(ctx context.Context, storeID int32, now engine.Date) error {
	_, err := db.pool.Exec(ctx, forgetActiveDrifts, storeID, dateParam(now-driftMemory))
	return err
}
