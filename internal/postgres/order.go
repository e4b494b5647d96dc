package postgres

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// ImportLine is a line with the customer it belongs to, as an import stages it.
type ImportLine struct {
	Customer string
	engine.Line
	HasDiscount bool
}

const createTouched = `-- name: CreateTouched
CREATE TEMPORARY TABLE touched (customer_id bigint NOT NULL, ordered_at timestamptz NOT NULL) ON COMMIT DROP`

// Of an order that is replaced whole, the lines that are not in the new copy go. A key that the import made names equal
// rows, not an order.
const removeLines = `-- name: RemoveLines
WITH replaced AS (SELECT order_key, max(line_no) AS lines FROM stage WHERE order_key NOT LIKE '~_%' OR order_key LIKE '~~%' GROUP BY order_key), gone AS (
  DELETE FROM customer_order o USING replaced r
  WHERE o.store_id = $1 AND o.order_key = r.order_key AND o.line_no > r.lines
  RETURNING o.customer_id, o.ordered_at)
INSERT INTO touched SELECT customer_id, ordered_at FROM gone`

// A line that is there as it is needs no work, and a file that is imported again is full of them. Where a line moves to
// another customer or time, it is known from where.
const findChanges = `-- name: FindChanges
CREATE TEMPORARY TABLE changed ON COMMIT DROP AS
SELECT s.*, o.customer_id AS old_customer, o.ordered_at AS old_time
FROM stage s LEFT JOIN (customer_order o JOIN customer c ON c.store_id = o.store_id AND c.customer_id = o.customer_id)
  ON o.store_id = %[1]d AND c.store_id = %[1]d AND o.order_key = s.order_key AND o.line_no = s.line_no
WHERE o.order_key IS NULL OR
  (c.customer_key, o.ordered_at, o.sku, o.category, o.quantity, o.net_cents, o.discount_cents, o.refund_cents, o.refunded_at) IS DISTINCT FROM
  (s.customer_key, s.ordered_at, s.sku, s.category, s.quantity, s.net_cents, s.discount_cents, s.refund_cents, s.refunded_at)`

// New customers get their numbers in the order of their keys, so that the same file gives the same numbers.
const mergeCustomers = `-- name: MergeCustomers
INSERT INTO customer (store_id, customer_key)
SELECT $1, customer_key FROM (SELECT DISTINCT customer_key FROM changed) s
WHERE NOT EXISTS (SELECT FROM customer c WHERE c.store_id = $1 AND c.customer_key = s.customer_key)
ORDER BY customer_key COLLATE "C"
ON CONFLICT (store_id, customer_key) DO NOTHING`

const mergeLines = `-- name: MergeLines
INSERT INTO customer_order (store_id, order_key, line_no, customer_id, ordered_at, sku, category, quantity, net_cents, discount_cents, refund_cents, refunded_at)
SELECT $1, order_key, line_no, customer_id, ordered_at, sku, category, quantity, net_cents, discount_cents, refund_cents, refunded_at
FROM changed JOIN customer c ON c.store_id = $1 AND c.customer_key = changed.customer_key
ORDER BY customer_id, ordered_at, order_key, line_no
ON CONFLICT (store_id, order_key, line_no) DO UPDATE SET
  customer_id = excluded.customer_id, ordered_at = excluded.ordered_at, sku = excluded.sku, category = excluded.category, quantity = excluded.quantity,
  net_cents = excluded.net_cents, discount_cents = excluded.discount_cents, refund_cents = excluded.refund_cents, refunded_at = excluded.refunded_at`

const touchChanged = `-- name: TouchChanged
INSERT INTO touched
SELECT customer_id, ordered_at FROM changed JOIN customer c ON c.store_id = $1 AND c.customer_key = changed.customer_key
UNION ALL SELECT old_customer, old_time FROM changed WHERE old_customer IS NOT NULL`

// What is known of a customer without clustering, worked out anew for the customers that the import touched.
const refreshCustomers = `-- name: RefreshCustomers
UPDATE customer c SET first_order_at = t.first_at, last_order_at = t.last_at, orders = t.orders, value_cents = t.value_cents
FROM (
  SELECT u.customer_id, min(o.ordered_at) FILTER (WHERE o.quantity > 0) AS first_at, max(o.ordered_at) FILTER (WHERE o.quantity > 0) AS last_at,
         count(DISTINCT (o.ordered_at AT TIME ZONE $2)::date) FILTER (WHERE o.quantity > 0) AS orders,
         coalesce(sum(o.net_cents - o.refund_cents), 0) AS value_cents
  FROM (SELECT DISTINCT customer_id FROM touched) u LEFT JOIN customer_order o ON o.store_id = $1 AND o.customer_id = u.customer_id
  GROUP BY u.customer_id) t
WHERE c.store_id = $1 AND c.customer_id = t.customer_id`

const refreshStore = `-- name: RefreshStore
UPDATE store SET columns = columns | $2, orders_version = orders_version + 1, customers = c.customers, first_order_at = c.first_at, last_order_at = c.last_at
FROM (SELECT count(*) AS customers, min(first_order_at) AS first_at, max(last_order_at) AS last_at FROM customer WHERE store_id = $1) c
WHERE store_id = $1`

// A reference rests on all lines before its month.
const removeReferences = `-- name: RemoveReferences
DELETE FROM feature_reference WHERE store_id = $1 AND month > (SELECT min(ordered_at AT TIME ZONE $2)::date FROM touched)`

// ImportLines merges lines into a store's orders in one transaction: all of them or none. It tells how many lines are new,
// differ from what was there, or are gone from an order that was replaced.
func (db *DB) ImportLines(ctx context.Context, store *engine.Store, fill Fill) (changed int64, err error) {
	err = db.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.LockOrders(ctx, store); err != nil {
			return err
		}
		has, err := hasOrders(ctx, tx, store)
		if err != nil {
			return err
		}
		if has {
			changed, err = mergeOrders(ctx, tx, store, fill)
		} else {
			changed, err = loadOrders(ctx, tx, store, fill)
		}
		return err
	})
	return changed, err
}

// mergeOrders adds to the orders of a store that has some.
func mergeOrders(ctx context.Context, tx *Tx, store *engine.Store, fill Fill) (changed int64, err error) {
	for _, sql := range []string{"CREATE TEMPORARY TABLE stage" + stageColumns + " ON COMMIT DROP", createTouched} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return 0, err
		}
	}
	columns, err := copyStage(ctx, tx, "stage", fill)
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "ANALYZE stage"); err != nil {
		return 0, err
	}
	gone, err := tx.Exec(ctx, removeLines, store.ID)
	if err != nil {
		return 0, err
	}
	found, err := tx.Exec(ctx, fmt.Sprintf(findChanges, store.ID))
	if err != nil {
		return 0, err
	}
	changed = gone.RowsAffected() + found.RowsAffected()
	if changed == 0 {
		return 0, nil
	}
	for _, sql := range []string{mergeCustomers, mergeLines, touchChanged} {
		if _, err := tx.Exec(ctx, sql, store.ID); err != nil {
			return 0, err
		}
	}
	if _, err := tx.Exec(ctx, refreshCustomers, store.ID, store.Zone.String()); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, refreshStore, store.ID, int16(columns)); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, removeReferences, store.ID, store.Zone.String())
	return changed, err
}

// CustomerLines is one customer with its lines in the order of time.
type CustomerLines struct {
	CustomerID int64
	Lines      []engine.Line
}

// CustomerRange is a range of customers' numbers of one store, both ends included.
type CustomerRange struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

const customerRanges = `-- name: CustomerRanges
SELECT min(customer_id), max(customer_id) FROM
  (SELECT customer_id, (row_number() OVER (ORDER BY customer_id) - 1) / $2 AS part FROM customer WHERE store_id = $1 AND orders > 0) c
GROUP BY part ORDER BY part`

// CustomerRanges cuts the customers of a store who ever bought into ranges of at most size.
func (db *DB) CustomerRanges(ctx context.Context, storeID int32, size int) ([]CustomerRange, error) {
	return collect(ctx, db.pool, pgx.RowToStructByPos[CustomerRange], customerRanges, storeID, size)
}

const lineFields = `customer_id, order_key, line_no, ordered_at, coalesce(sku, ''), coalesce(category, ''), quantity, net_cents, coalesce(discount_cents, 0), refund_cents, refunded_at`

const lineOrder = ` ORDER BY customer_id, ordered_at, order_key, line_no`

const customerLines = `-- name: CustomerLines
SELECT ` + lineFields + ` FROM customer_order WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND ordered_at < $4` + lineOrder

const linesOfCustomers = `-- name: LinesOfCustomers
SELECT ` + lineFields + ` FROM customer_order WHERE store_id = $1 AND customer_id = ANY ($2) AND ordered_at < $3` + lineOrder

// Lines gives the customers of a range one after another, each with its lines before an instant. The slice is reused.
func (db *DB) Lines(ctx context.Context, storeID int32, customers CustomerRange, before time.Time) iter.Seq2[CustomerLines, error] {
	return lines(ctx, db.pool, customerLines, storeID, customers.From, customers.To, before)
}

// LinesOf does the same for named customers.
func (db *DB) LinesOf(ctx context.Context, storeID int32, customers []int64, before time.Time) iter.Seq2[CustomerLines, error] {
	return lines(ctx, db.pool, linesOfCustomers, storeID, customers, before)
}

// Lines does the same as seen by the transaction.
func (tx *Tx) Lines(ctx context.Context, storeID int32, customers CustomerRange, before time.Time) iter.Seq2[CustomerLines, error] {
	return lines(ctx, tx, customerLines, storeID, customers.From, customers.To, before)
}

func lines(ctx context.Context, q querier, sql string, args ...any) iter.Seq2[CustomerLines, error] {
	return func(yield func(CustomerLines, error) bool) {
		rows, err := q.Query(ctx, sql, args...)
		if err != nil {
			yield(CustomerLines{}, err)
			return
		}
		defer rows.Close()
		var current CustomerLines
		for rows.Next() {
			var id int64
			var l engine.Line
			var refundedAt *time.Time
			if err := rows.Scan(&id, &l.OrderKey, &l.Number, &l.OrderedAt, &l.SKU, &l.Category, &l.Quantity, &l.NetCents, &l.DiscountCents, &l.RefundCents, &refundedAt); err != nil {
				yield(CustomerLines{}, err)
				return
			}
			l.RefundedAt = timeOf(refundedAt)
			if id != current.CustomerID {
				if len(current.Lines) > 0 && !yield(current, nil) {
					return
				}
				current.CustomerID, current.Lines = id, current.Lines[:0]
			}
			current.Lines = append(current.Lines, l)
		}
		if err := rows.Err(); err != nil {
			yield(CustomerLines{}, err)
			return
		}
		if len(current.Lines) > 0 {
			yield(current, nil)
		}
	}
}

const referenceMonths = `-- name: ReferenceMonths
SELECT month, body FROM feature_reference WHERE store_id = $1 AND month = ANY ($2)`

// A reference that was worked out from orders that have changed since is not kept.
const insertReference = `-- name: InsertReference
INSERT INTO feature_reference (store_id, month, body)
SELECT store_id, $2, $3 FROM store WHERE store_id = $1 AND orders_version = $4
ON CONFLICT (store_id, month) DO NOTHING`

const ordersVersion = `-- name: OrdersVersion
SELECT orders_version FROM store WHERE store_id = $1`

// OrdersVersion counts the imports that changed something in the store's orders.
func (db *DB) OrdersVersion(ctx context.Context, storeID int32) (int64, error) {
	var version int64
	err := db.pool.QueryRow(ctx, ordersVersion, storeID).Scan(&version)
	return version, err
}

// References gives the stored references of months, by month; those not worked out yet are missing.
func (db *DB) References(ctx context.Context, storeID int32, months []engine.Date) (map[engine.Date][]byte, error) {
	params := make([]time.Time, len(months))
	for i, m := range months {
		params[i] = dateParam(m)
	}
	found := map[engine.Date][]byte{}
	rows, err := db.pool.Query(ctx, referenceMonths, storeID, params)
	if err != nil {
		return nil, err
	}
	var month time.Time
	var body []byte
	_, err = pgx.ForEachRow(rows, []any{&month, &body}, func() error {
		found[dateOf(month)] = append([]byte(nil), body...)
		return nil
	})
	return found, err
}

// InsertReference keeps a reference for later, if the store's orders are still those of the version it was worked out
// from; one that is there already stays.
func (db *DB) InsertReference(ctx context.Context, storeID int32, month engine.Date, body []byte, ordersVersion int64) error {
	_, err := db.pool.Exec(ctx, insertReference, storeID, dateParam(month), body, ordersVersion)
	return err
}
