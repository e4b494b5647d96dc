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
	// CancelledAt makes it a line that counts until then; one that is cancelled again keeps the first time.
	// Withdrawn makes it no line: the stored lines of OrderKey count no more from CancelledAt on; where that is zero they
	// never counted, and go. An order that has lines in the same import stays.
	Withdrawn bool
}

// known_at is the instant from which what is known of the store is other than before; revised says that something counts no more that did.
const createTouched = `-- name: CreateTouched
CREATE TEMPORARY TABLE touched (customer_id bigint NOT NULL, known_at timestamptz NOT NULL, revised boolean NOT NULL, order_key text) ON COMMIT DROP`

// Of an order that is replaced whole, the lines that are not in the new copy go. A key that the import made names equal
// rows, not an order.
const removeLines = `-- name: RemoveLines
WITH replaced AS (SELECT order_key, max(line_no) AS lines FROM stage WHERE order_key NOT LIKE '~_%' OR order_key LIKE '~~%' GROUP BY order_key), gone AS (
  DELETE FROM customer_order o USING replaced r
  WHERE o.store_id = $1 AND o.order_key = r.order_key AND o.line_no > r.lines
  RETURNING o.customer_id, o.ordered_at, o.order_key)
INSERT INTO touched SELECT customer_id, ordered_at, true, order_key FROM gone`

const createWithdrawn = `-- name: CreateWithdrawn
CREATE TEMPORARY TABLE withdrawn (order_key text NOT NULL, cancelled_at timestamptz) ON COMMIT DROP`

// An order that is cancelled again keeps the first time.
const withdrawOrders = `-- name: WithdrawOrders
WITH target AS (
  SELECT * FROM withdrawn w WHERE NOT EXISTS (SELECT FROM stage s WHERE s.order_key = w.order_key)
), gone AS (
  DELETE FROM customer_order o USING target w WHERE o.store_id = $1 AND o.order_key = w.order_key AND w.cancelled_at IS NULL
  RETURNING o.customer_id, o.ordered_at, o.order_key
), cancelled AS (
  UPDATE customer_order o SET cancelled_at = w.cancelled_at FROM target w
  WHERE o.store_id = $1 AND o.order_key = w.order_key AND w.cancelled_at IS NOT NULL AND o.cancelled_at IS NULL
  RETURNING o.customer_id, o.ordered_at, o.order_key
)
INSERT INTO touched SELECT customer_id, ordered_at, true, order_key FROM (SELECT * FROM gone UNION ALL SELECT * FROM cancelled) g`

// A line that is there as it is needs no work, and a file that is imported again is full of them. Where a line moves to
// another customer, it is known from where. A refund that is new or another changes nothing of what was known before it.
// What a copy does not say is not forgotten: the category of the article, and when a refund became known. A refund without a date
// is known from the import on that first told of so much; one that came with the line counts from the order's time.
const findChanges = `-- name: FindChanges
CREATE TEMPORARY TABLE changed ON COMMIT DROP AS
SELECT s.customer_key, s.order_key, s.line_no, s.ordered_at, s.sku, k.category, s.quantity, s.net_cents, s.discount_cents, s.refund_cents,
  k.refunded_at, k.cancelled_at,
  o.customer_id AS old_customer, o.order_key IS NOT NULL AND (r.revised OR o.cancelled_at IS NULL AND k.cancelled_at IS NOT NULL) AS revised,
  CASE WHEN o.order_key IS NULL OR o.cancelled_at IS DISTINCT FROM k.cancelled_at OR r.revised THEN least(o.ordered_at, s.ordered_at) ELSE coalesce(least(
    CASE WHEN o.refund_cents <> 0 THEN coalesce(o.refunded_at, o.ordered_at) END,
    CASE WHEN s.refund_cents <> 0 THEN coalesce(k.refunded_at, s.ordered_at) END), o.ordered_at) END AS known_at
FROM stage s LEFT JOIN (customer_order o JOIN customer c ON c.store_id = o.store_id AND c.customer_id = o.customer_id)
  ON o.store_id = %[1]d AND c.store_id = %[1]d AND o.order_key = s.order_key AND o.line_no = s.line_no
LEFT JOIN product p ON p.store_id = %[1]d AND p.sku = s.sku AND s.category IS NULL
CROSS JOIN LATERAL (SELECT
  coalesce(s.category, CASE WHEN o.sku IS NOT DISTINCT FROM s.sku THEN o.category END, p.category) AS category,
  CASE WHEN s.refund_cents = 0 OR s.refunded_at IS NOT NULL OR o.order_key IS NULL THEN s.refunded_at
    WHEN s.refund_cents <= o.refund_cents THEN o.refunded_at
    ELSE greatest(s.ordered_at, '%[2]s'::timestamptz) END AS refunded_at,
  CASE WHEN s.cancelled_at IS NOT NULL THEN coalesce(o.cancelled_at, s.cancelled_at) END AS cancelled_at) k
CROSS JOIN LATERAL (SELECT
  (c.customer_key, o.ordered_at, o.sku, o.category, o.quantity, o.net_cents, o.discount_cents) IS DISTINCT FROM
  (s.customer_key, s.ordered_at, s.sku, k.category, s.quantity, s.net_cents, s.discount_cents) AS revised) r
WHERE o.order_key IS NULL OR r.revised OR
  (o.refund_cents, o.refunded_at, o.cancelled_at) IS DISTINCT FROM (s.refund_cents, k.refunded_at, k.cancelled_at)`

// New customers get their numbers in the order of their keys, so that the same file gives the same numbers.
const mergeCustomers = `-- name: MergeCustomers
INSERT INTO customer (store_id, customer_key)
SELECT $1, customer_key FROM (SELECT DISTINCT customer_key FROM changed) s
WHERE NOT EXISTS (SELECT FROM customer c WHERE c.store_id = $1 AND c.customer_key = s.customer_key)
ORDER BY customer_key COLLATE "C"
ON CONFLICT (store_id, customer_key) DO NOTHING`

const mergeLines = `-- name: MergeLines
INSERT INTO customer_order (store_id, order_key, line_no, customer_id, ordered_at, sku, category, quantity, net_cents, discount_cents, refund_cents, refunded_at, cancelled_at)
SELECT $1, order_key, line_no, customer_id, ordered_at, sku, category, quantity, net_cents, discount_cents, refund_cents, refunded_at, cancelled_at
FROM changed JOIN customer c ON c.store_id = $1 AND c.customer_key = changed.customer_key
ORDER BY customer_id, ordered_at, order_key, line_no
ON CONFLICT (store_id, order_key, line_no) DO UPDATE SET
  customer_id = excluded.customer_id, ordered_at = excluded.ordered_at, sku = excluded.sku, category = excluded.category, quantity = excluded.quantity,
  net_cents = excluded.net_cents, discount_cents = excluded.discount_cents, refund_cents = excluded.refund_cents, refunded_at = excluded.refunded_at,
  cancelled_at = excluded.cancelled_at`

const touchChanged = `-- name: TouchChanged
INSERT INTO touched
SELECT customer_id, known_at, revised FROM changed JOIN customer c ON c.store_id = $1 AND c.customer_key = changed.customer_key
UNION ALL SELECT old_customer, known_at, revised FROM changed WHERE revised`

// What is known of a customer without clustering, worked out anew for the customers that the import touched. A sum beyond
// all reason must not end every later import.
const refreshCustomers = `-- name: RefreshCustomers
UPDATE customer c SET first_order_at = t.first_at, last_order_at = t.last_at, orders = t.orders, value_cents = t.value_cents
FROM (
  SELECT u.customer_id, min(o.ordered_at) FILTER (WHERE o.quantity > 0) AS first_at, max(o.ordered_at) FILTER (WHERE o.quantity > 0) AS last_at,
         count(DISTINCT (o.ordered_at AT TIME ZONE $2)::date) FILTER (WHERE o.quantity > 0) AS orders,
         greatest(least(coalesce(sum(o.net_cents - o.refund_cents), 0), 9e18), -9e18)::bigint AS value_cents
  FROM (SELECT DISTINCT customer_id FROM touched) u
  LEFT JOIN customer_order o ON o.store_id = $1 AND o.customer_id = u.customer_id AND o.cancelled_at IS NULL
  GROUP BY u.customer_id) t
WHERE c.store_id = $1 AND c.customer_id = t.customer_id`

// Lines that state none may have got theirs from a list of products.
const categoriesCame = `-- name: CategoriesCame
SELECT EXISTS (SELECT FROM changed WHERE category IS NOT NULL)`

const touchedSince = `-- name: TouchedSince
SELECT coalesce(min(known_at), '9999-01-01'), coalesce(bool_or(revised), false) FROM touched`

// orders_version counts what concerns the references that may be in the making: those of months that have begun.
const storeUpdate = `
UPDATE store s SET columns = columns | $2, first_order_at = c.first_at, last_order_at = c.last_at, customers = c.customers,
  orders_version = orders_version + CASE WHEN date_trunc('month', $3::timestamptz AT TIME ZONE s.time_zone) + interval '1 month' <=
    (greatest(now(), c.last_at) + interval '1 day') AT TIME ZONE s.time_zone THEN 1 ELSE 0 END
FROM c WHERE s.store_id = $1`

const recountStore = `-- name: RecountStore
WITH c AS (SELECT count(*) AS customers, min(first_order_at) AS first_at, max(last_order_at) AS last_at FROM customer WHERE store_id = $1)` + storeUpdate

// Where nothing is gone, only what was touched can lie beyond the first or the last order.
const growStore = `-- name: GrowStore
WITH c AS (
  SELECT s.customers + $4::int AS customers, least(s.first_order_at, t.first_at) AS first_at, greatest(s.last_order_at, t.last_at) AS last_at
  FROM store s, (
    SELECT min(c.first_order_at) AS first_at, max(c.last_order_at) AS last_at FROM customer c
    WHERE c.store_id = $1 AND c.customer_id IN (SELECT customer_id FROM touched)) t
  WHERE s.store_id = $1)` + storeUpdate

// A reference rests on what was known before its month.
const removeReferences = `-- name: RemoveReferences
DELETE FROM feature_reference WHERE store_id = $1 AND month > ($3::timestamptz AT TIME ZONE $2)::date`

// Imported is what an import did.
type Imported struct {
	Changed int64 // lines that are new, differ from what was there, or count no more
	merged  bool  // into orders that were there, so that the transaction knows whom it touched
	wider   bool  // see mergeOrders
}

// ImportLines merges lines into a store's orders in one transaction: all of them or none. It tells how many lines are new,
// differ from what was there, or count no more. What is told without a date is known from now on. Nobody is scored.
func (db *DB) ImportLines(ctx context.Context, store *engine.Store, fill Fill) (changed int64, err error) {
	err = db.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.LockOrders(ctx, store); err != nil {
			return err
		}
		in, err := tx.ImportLines(ctx, store, time.Now(), fill)
		changed = in.Changed
		return err
	})
	return changed, err
}

// ImportLines does the same in a transaction that holds LockOrders, by the clock of the caller.
func (tx *Tx) ImportLines(ctx context.Context, store *engine.Store, clock time.Time, fill Fill) (in Imported, err error) {
	has, err := hasOrders(ctx, tx, store)
	switch {
	case err != nil:
	case has:
		in.Changed, in.wider, err = mergeOrders(ctx, tx, store, clock, fill)
		in.merged = in.Changed > 0
	default:
		in.Changed, err = loadOrders(ctx, tx, store, fill)
	}
	return in, err
}

// TouchImported notes the customers that an import of the transaction touched, to be scored, and tells how many; nobody where it
// was the first one of the store. day is the store's present one.
func (tx *Tx) TouchImported(ctx context.Context, store *engine.Store, in Imported, day engine.Date) (int64, error) {
	if !in.merged {
		return 0, nil
	}
	return tx.touchCustomers(ctx, store.ID, in.wider, day)
}

// mergeOrders adds to the orders of a store that has some. wider is whether features of customers that have no line in the
// import changed: what they know of the whole store did.
func mergeOrders(ctx context.Context, tx *Tx, store *engine.Store, clock time.Time, fill Fill) (changed int64, wider bool, err error) {
	for _, sql := range []string{"CREATE TEMPORARY TABLE stage" + stageColumns + " ON COMMIT DROP", createTouched} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return 0, false, err
		}
	}
	staged, err := copyStage(ctx, tx, fill)
	if err != nil {
		return 0, false, err
	}
	if _, err := tx.Exec(ctx, "ANALYZE stage"); err != nil {
		return 0, false, err
	}
	if err := staged.articles.write(ctx, tx, store, "stage"); err != nil {
		return 0, false, err
	}
	steps := []string{removeLines}
	if len(staged.withdrawn) > 0 {
		if err := copyWithdrawn(ctx, tx, staged.withdrawn); err != nil {
			return 0, false, err
		}
		steps = append(steps, withdrawOrders)
	}
	for _, sql := range steps {
		gone, err := tx.Exec(ctx, sql, store.ID)
		if err != nil {
			return 0, false, err
		}
		changed += gone.RowsAffected()
	}
	found, err := tx.Exec(ctx, fmt.Sprintf(findChanges, store.ID, staged.knownAt(store, clock).Format(time.RFC3339Nano)))
	if err != nil {
		return 0, false, err
	}
	if changed += found.RowsAffected(); changed == 0 {
		return 0, false, nil
	}
	added, err := tx.Exec(ctx, mergeCustomers, store.ID)
	if err != nil {
		return 0, false, err
	}
	for _, sql := range []string{mergeLines, touchChanged} {
		if _, err := tx.Exec(ctx, sql, store.ID); err != nil {
			return 0, false, err
		}
	}
	if !(store.Columns | staged.columns).Has(engine.ColumnCategory) {
		var categories bool
		if err := tx.QueryRow(ctx, categoriesCame).Scan(&categories); err != nil {
			return 0, false, err
		}
		if categories {
			staged.columns |= engine.ColumnCategory
		}
	}
	wider, err = refresh(ctx, tx, store, staged.columns, added.RowsAffected())
	return changed, wider, err
}

// knownAt is when that became known which the lines tell without a date; the store's orders end no sooner than they.
func (s *staged) knownAt(store *engine.Store, clock time.Time) time.Time {
	then := *store
	if s.last.After(then.LastAt) {
		then.LastAt = s.last
	}
	return then.KnownNow(clock).UTC().Truncate(time.Microsecond)
}

func copyWithdrawn(ctx context.Context, tx *Tx, orders map[string]time.Time) error {
	if _, err := tx.Exec(ctx, createWithdrawn); err != nil {
		return err
	}
	rows := make([][]any, 0, len(orders))
	for key, at := range orders {
		rows = append(rows, []any{key, timeParam(at)})
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"withdrawn"}, []string{"order_key", "cancelled_at"}, pgx.CopyFromRows(rows))
	return err
}

// refresh brings what is kept of customers and of the store up to what was touched. It tells whether that concerns others.
func refresh(ctx context.Context, tx *Tx, store *engine.Store, columns engine.Columns, newCustomers int64) (wider bool, err error) {
	var from time.Time
	var revised bool
	if err := tx.QueryRow(ctx, touchedSince).Scan(&from, &revised); err != nil {
		return false, err
	}
	if _, err := tx.Exec(ctx, refreshCustomers, store.ID, store.Zone.String()); err != nil {
		return false, err
	}
	if revised {
		_, err = tx.Exec(ctx, recountStore, store.ID, int16(columns), from)
	} else {
		_, err = tx.Exec(ctx, growStore, store.ID, int16(columns), from, newCustomers)
	}
	if err != nil {
		return false, err
	}
	removed, err := tx.Exec(ctx, removeReferences, store.ID, store.Zone.String(), from)
	return removed.RowsAffected() > 0 || !store.Columns.Has(columns), err
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
  (SELECT customer_id, (row_number() OVER (ORDER BY customer_id) - 1) / $2 AS part FROM customer WHERE store_id = $1) c
GROUP BY part ORDER BY part`

// CustomerRanges cuts the customers of a store into ranges of at most size: those without an order too, of whom there may be
// snapshots that are to be replaced.
func (db *DB) CustomerRanges(ctx context.Context, storeID int32, size int) ([]CustomerRange, error) {
	return collect(ctx, db.pool, pgx.RowToStructByPos[CustomerRange], customerRanges, storeID, size)
}

const lineFields = `customer_id, order_key, line_no, ordered_at, coalesce(sku, ''), coalesce(category, ''), quantity, net_cents, coalesce(discount_cents, 0), refund_cents, refunded_at, cancelled_at`

const lineOrder = ` ORDER BY customer_id, ordered_at, order_key, line_no`

const customerLines = `-- name: CustomerLines
SELECT ` + lineFields + ` FROM customer_order WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND ordered_at < $4` + lineOrder

const linesOfCustomers = `-- name: LinesOfCustomers
SELECT ` + lineFields + ` FROM customer_order WHERE store_id = $1 AND customer_id = ANY ($2) AND ordered_at < $3` + lineOrder

// Lines gives the customers of a range one after another, each with its lines before an instant. The slice is reused.
func (db *DB) Lines(ctx context.Context, storeID int32, customers CustomerRange, before time.Time) iter.Seq2[CustomerLines, error] {
	return lines(ctx, db.read(ctx), customerLines, storeID, customers.From, customers.To, before)
}

// LinesOf does the same for named customers.
func (db *DB) LinesOf(ctx context.Context, storeID int32, customers []int64, before time.Time) iter.Seq2[CustomerLines, error] {
	return lines(ctx, db.read(ctx), linesOfCustomers, storeID, customers, before)
}

// Lines does the same as seen by the transaction.
func (tx *Tx) Lines(ctx context.Context, storeID int32, customers CustomerRange, before time.Time) iter.Seq2[CustomerLines, error] {
	return lines(ctx, tx, customerLines, storeID, customers.From, customers.To, before)
}

// LinesOf does the same for named customers, as seen by the transaction.
func (tx *Tx) LinesOf(ctx context.Context, storeID int32, customers []int64, before time.Time) iter.Seq2[CustomerLines, error] {
	return lines(ctx, tx, linesOfCustomers, storeID, customers, before)
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
			var refundedAt, cancelledAt *time.Time
			if err := rows.Scan(&id, &l.OrderKey, &l.Number, &l.OrderedAt, &l.SKU, &l.Category, &l.Quantity, &l.NetCents, &l.DiscountCents, &l.RefundCents, &refundedAt, &cancelledAt); err != nil {
				yield(CustomerLines{}, err)
				return
			}
			l.RefundedAt, l.CancelledAt = timeOf(refundedAt), timeOf(cancelledAt)
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

// OrdersVersion counts the imports that changed what references of months that have begun rest on.
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

// InsertReference keeps a reference for later, if the orders it rests on are still those of the version it was worked out
// from; one that is there already stays.
func (db *DB) InsertReference(ctx context.Context, storeID int32, month engine.Date, body []byte, ordersVersion int64) error {
	_, err := db.pool.Exec(ctx, insertReference, storeID, dateParam(month), body, ordersVersion)
	return err
}
