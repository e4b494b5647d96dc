package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// ownSnapshot picks the snapshot that says where customer c stood on a day: of several, the one that was taken at the time
// rather than replayed, and first, since it holds what was known then.
func ownSnapshot(day string) string {
	return `(SELECT * FROM snapshot s WHERE s.store_id = c.store_id AND s.customer_id = c.customer_id AND s.snapshot_date = ` + day + `::date
    ORDER BY s.replayed, s.created_at, s.snapshot_type LIMIT 1)`
}

// pastCustomers stands in place of table customer of store t, as everything was and was known at the beginning of a day:
// counts and value from a snapshot of the day where there is one, else from the lines before it, less the refunds and
// cancellations that were known. Who had neither by then is not there. computed is whether there is no snapshot; the rest is
// the snapshot's.
func pastCustomers(day string) string {
	begin := "(" + day + "::date::timestamp AT TIME ZONE t.time_zone)"
	return `(SELECT c.store_id, c.customer_id, c.customer_key, l.first_order_at, l.last_order_at, coalesce(s.orders, l.orders) AS orders,
      coalesce(s.value_cents, l.value_cents) AS value_cents, s.customer_id IS NULL AS computed, s.model_id, s.membership, s.dominant, s.largest_drift,
      s.churn_risk, s.predicted_ltv_cents
    FROM customer c CROSS JOIN LATERAL (
      SELECT min(o.ordered_at) FILTER (WHERE o.quantity > 0) AS first_order_at, max(o.ordered_at) FILTER (WHERE o.quantity > 0) AS last_order_at,
        count(*) AS lines, count(DISTINCT (o.ordered_at AT TIME ZONE t.time_zone)::date) FILTER (WHERE o.quantity > 0)::int AS orders,
        (sum(o.net_cents) - coalesce(sum(o.refund_cents) FILTER (WHERE greatest(o.ordered_at, o.refunded_at) < ` + begin + `), 0))::bigint AS value_cents
      FROM customer_order o WHERE o.store_id = c.store_id AND o.customer_id = c.customer_id AND o.ordered_at < ` + begin + `
        AND (o.cancelled_at IS NULL OR o.cancelled_at >= ` + begin + `)) l
    LEFT JOIN LATERAL ` + ownSnapshot(day) + ` s ON true
    WHERE c.store_id = t.store_id AND (l.lines > 0 OR s.customer_id IS NOT NULL))`
}

// snapshotOfPast stands in place of table customer_state beside pastCustomers.
const snapshotOfPast = ` CROSS JOIN LATERAL (SELECT c.model_id, c.membership, c.dominant, c.largest_drift, c.churn_risk, c.predicted_ltv_cents) cs`

var customersAt = `-- name: CustomersAt
SELECT ` + customerFields + `, c.computed FROM unnest($1::int[], $2::bigint[]) k(store_id, customer_id)
JOIN store t ON t.store_id = k.store_id CROSS JOIN LATERAL ` + pastCustomers("$3") + ` c WHERE c.customer_id = k.customer_id`

// PastCustomer is a customer as it was at the beginning of a day.
type PastCustomer struct {
	engine.Customer
	Computed bool // from lines: there is no snapshot of the day
}

// CustomersAt gives customers as they were at the beginning of a day; those without a line or a snapshot by then are missing.
func (db *DB) CustomersAt(ctx context.Context, refs []CustomerRef, day engine.Date) (map[CustomerRef]*PastCustomer, error) {
	stores, ids := splitRefs(refs)
	found, err := collect(ctx, db.read(ctx), func(row pgx.CollectableRow) (*PastCustomer, error) {
		var c PastCustomer
		var first, last *time.Time
		err := row.Scan(append(customerTargets(&c.Customer, &first, &last), &c.Computed)...)
		c.FirstOrderAt, c.LastOrderAt = timeOf(first), timeOf(last)
		return &c, err
	}, customersAt, stores, ids, dateParam(day))
	customers := make(map[CustomerRef]*PastCustomer, len(found))
	for _, c := range found {
		customers[CustomerRef{c.StoreID, c.ID}] = c
	}
	return customers, err
}

var snapshotsAt = `-- name: SnapshotsAt
SELECT ` + readSnapshotFields + `, s.feature FROM unnest($1::int[], $2::bigint[]) c(store_id, customer_id) CROSS JOIN LATERAL ` + ownSnapshot("$3") + ` s`

// SnapshotsAt gives the snapshots that say where customers stood at the beginning of a day, with their features; those without
// one are missing.
func (db *DB) SnapshotsAt(ctx context.Context, refs []CustomerRef, day engine.Date) (map[CustomerRef]*engine.Snapshot, error) {
	stores, ids := splitRefs(refs)
	found, err := collect(ctx, db.read(ctx), scanSnapshot, snapshotsAt, stores, ids, dateParam(day))
	snapshots := make(map[CustomerRef]*engine.Snapshot, len(found))
	for _, s := range found {
		snapshots[CustomerRef{s.StoreID, s.CustomerID}] = s
	}
	return snapshots, err
}

const lacksSnapshots = `-- name: LacksSnapshots
SELECT EXISTS (SELECT FROM store t JOIN customer c ON c.store_id = t.store_id
  WHERE t.store_id = ANY ($1) AND (c.first_order_at < ($2::date::timestamp AT TIME ZONE t.time_zone) OR EXISTS (
      SELECT FROM customer_order o WHERE o.store_id = c.store_id AND o.customer_id = c.customer_id AND o.quantity > 0
        AND o.ordered_at < ($2::date::timestamp AT TIME ZONE t.time_zone) AND o.cancelled_at >= ($2::date::timestamp AT TIME ZONE t.time_zone)))
    AND NOT EXISTS (SELECT FROM snapshot s WHERE s.store_id = c.store_id AND s.customer_id = c.customer_id AND s.snapshot_date = $2::date))`

// LacksSnapshots tells whether some customer of the stores who had bought by the beginning of a day has no snapshot of it.
func (db *DB) LacksSnapshots(ctx context.Context, storeIDs []int32, day engine.Date) (bool, error) {
	var lacks bool
	err := db.read(ctx).QueryRow(ctx, lacksSnapshots, storeIDs, dateParam(day)).Scan(&lacks)
	return lacks, err
}

const modelVersionAt = `-- name: ModelVersionAt
SELECT coalesce(max(model_id) FILTER (WHERE fitted_at < $2), max(model_id), 0) FROM segment_model WHERE store_id = $1`

// ModelVersionAt gives the number of the model that was in force at an instant, of the one in force now where none was, and 0
// before the first.
func (db *DB) ModelVersionAt(ctx context.Context, storeID int32, at time.Time) (int, error) {
	var version int
	err := db.read(ctx).QueryRow(ctx, modelVersionAt, storeID, at).Scan(&version)
	return version, err
}
