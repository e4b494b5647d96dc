package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// OrderChange is what became of an order in an import.
type OrderChange string

// What can become of it.
const (
	OrderCreated   OrderChange = "CREATED"
	OrderChanged   OrderChange = "CHANGED"
	OrderUnchanged OrderChange = "UNCHANGED"
)

// StreamedOrders are whole orders that came by themselves.
type StreamedOrders struct {
	Lines   []ImportLine // with what is withdrawn
	Columns engine.Columns
	Touch   bool        // whether touched customers are to be scored
	Day     engine.Date // the store's present day
	Now     time.Time   // when they came
}

// StreamCounts is what they did.
type StreamCounts struct {
	Changed int64                  // lines that are new, differ from what was there, or count no more
	Orders  map[string]OrderChange // by order key, those that were there or are now
	Touched int64                  // customers to be scored
}

const knownOrders = `-- name: KnownOrders
SELECT DISTINCT order_key FROM customer_order WHERE store_id = $1 AND order_key = ANY ($2)`

const changedOrders = `-- name: ChangedOrders
SELECT order_key FROM changed UNION SELECT order_key FROM touched WHERE order_key IS NOT NULL`

// MergeStreamed merges orders and notes the customers they touch. The transaction holds LockOrders or WaitForOrders.
func (tx *Tx) MergeStreamed(ctx context.Context, store *engine.Store, s StreamedOrders) (StreamCounts, error) {
	counts := StreamCounts{Orders: map[string]OrderChange{}}
	keys := make([]string, len(s.Lines))
	for i := range s.Lines {
		keys[i] = s.Lines[i].OrderKey
		if !s.Lines[i].Withdrawn {
			counts.Orders[keys[i]] = OrderCreated
		}
	}
	has, err := hasOrders(ctx, tx, store)
	if err != nil {
		return counts, err
	}
	if !has {
		if len(counts.Orders) > 0 { // a store without orders has no model either, so there is nothing to score under
			counts.Changed, err = loadOrders(ctx, tx, store, s.fill)
		}
		return counts, err
	}
	known, err := collect(ctx, tx, pgx.RowTo[string], knownOrders, store.ID, keys)
	if err != nil {
		return counts, err
	}
	for _, key := range known {
		counts.Orders[key] = OrderUnchanged
	}
	changed, wider, err := mergeOrders(ctx, tx, store, s.Now, s.fill)
	if counts.Changed = changed; err != nil || changed == 0 {
		return counts, err
	}
	names, err := collect(ctx, tx, pgx.RowTo[string], changedOrders)
	if err != nil {
		return counts, err
	}
	for _, key := range names {
		if counts.Orders[key] == OrderUnchanged {
			counts.Orders[key] = OrderChanged
		}
	}
	if s.Touch {
		counts.Touched, err = tx.touchCustomers(ctx, store.ID, wider, s.Day)
	}
	return counts, err
}

// fill is the orders' Fill.
func (s *StreamedOrders) fill(yield func(*ImportLine) error) (engine.Columns, error) {
	for i := range s.Lines {
		if err := yield(&s.Lines[i]); err != nil {
			return 0, err
		}
	}
	return s.Columns, nil
}

const lockTimeout = `SELECT set_config('lock_timeout', $1, true)`

// WaitForOrders is LockOrders for those who do not wait long. Fault: UNAVAILABLE where another import goes on.
func (tx *Tx) WaitForOrders(ctx context.Context, store *engine.Store, patience string) (*engine.Store, error) {
	if _, err := tx.Exec(ctx, lockTimeout, patience); err != nil {
		return nil, err
	}
	now, err := tx.LockOrders(ctx, store)
	if isLockTimeout(err) {
		return nil, engine.Errorf(engine.CodeUnavailable, "another import of store %q goes on; try again in a moment", store.Key)
	}
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, lockTimeout, "0")
	return now, err
}

const tryOrdersLock = `SELECT pg_try_advisory_xact_lock(hashtext('import'), $1)`

// OrdersLocked tells whether an import of the store goes on.
func (db *DB) OrdersLocked(ctx context.Context, storeID int32) (bool, error) {
	var free bool
	err := db.pool.QueryRow(ctx, tryOrdersLock, storeID).Scan(&free) // the lock ends with the statement
	return !free, err
}

const insertShopEvent = `-- name: InsertShopEvent
INSERT INTO shop_event (store_id, delivery, customer_key, body) VALUES ($1, $2, nullif($3, ''), $4) ON CONFLICT (store_id, delivery) DO NOTHING`

// InsertShopEvent keeps an event, JSON, until it is taken in; customer is whom it names, if anybody. It gives false where the
// delivery came before.
func (tx *Tx) InsertShopEvent(ctx context.Context, storeID int32, delivery, customer string, body []byte) (bool, error) {
	tag, err := tx.Exec(ctx, insertShopEvent, storeID, delivery, customer, body)
	return tag.RowsAffected() == 1, err
}

const takeShopEvents = `-- name: TakeShopEvents
WITH waiting AS (
  SELECT event_id, body FROM shop_event WHERE store_id = $1 AND body IS NOT NULL ORDER BY event_id LIMIT $2 FOR UPDATE SKIP LOCKED
), taken AS (UPDATE shop_event e SET body = NULL, customer_key = NULL FROM waiting w WHERE e.store_id = $1 AND e.event_id = w.event_id)
SELECT body FROM waiting ORDER BY event_id`

// TakeShopEvents gives the oldest events that wait, at most limit; what they said is forgotten with the transaction.
func (tx *Tx) TakeShopEvents(ctx context.Context, storeID int32, limit int) ([][]byte, error) {
	return collect(ctx, tx, pgx.RowTo[[]byte], takeShopEvents, storeID, limit)
}

const shopOrders = `-- name: ShopOrders
SELECT body FROM shop_order WHERE store_id = $1 AND shop_number = ANY ($2)`

// ShopOrders gives what is known of orders by the shop's numbers, as JSON; those that are new are missing.
func (tx *Tx) ShopOrders(ctx context.Context, storeID int32, numbers []int64) ([][]byte, error) {
	return collect(ctx, tx, pgx.RowTo[[]byte], shopOrders, storeID, numbers)
}

// ShopOrder is what is known of an order of a shop.
type ShopOrder struct {
	Number   int64
	Customer string // empty: not known
	Body     []byte // JSON
}

const writeShopOrders = `-- name: WriteShopOrders
INSERT INTO shop_order (store_id, shop_number, customer_key, body)
SELECT $1, number, nullif(customer, ''), body::json FROM unnest($2::bigint[], $3::text[], $4::text[]) o(number, customer, body)
ON CONFLICT (store_id, shop_number) DO UPDATE SET customer_key = excluded.customer_key, body = excluded.body, seen_at = now()`

// WriteShopOrders keeps what is known of orders now.
func (tx *Tx) WriteShopOrders(ctx context.Context, storeID int32, orders []ShopOrder) error {
	numbers, customers, bodies := make([]int64, len(orders)), make([]string, len(orders)), make([]string, len(orders))
	for i, o := range orders {
		numbers[i], customers[i], bodies[i] = o.Number, o.Customer, string(o.Body)
	}
	_, err := tx.Exec(ctx, writeShopOrders, storeID, numbers, customers, bodies)
	return err
}

// What was kept to recognise repetitions, by table.
var forgetStreamed = []string{
	`-- name: ForgetAnswers
DELETE FROM mutation_answer WHERE ($1::int = 0 OR store_id = $1) AND created_at < $2::timestamptz - interval '24 hours'`,
	`-- name: ForgetShopEvents
DELETE FROM shop_event WHERE ($1::int = 0 OR store_id = $1) AND body IS NULL AND received_at < $2::timestamptz - interval '7 days'`,
	`-- name: ForgetShopOrders
DELETE FROM shop_order WHERE ($1::int = 0 OR store_id = $1) AND seen_at < $2::timestamptz - interval '90 days'`,
	`-- name: ForgetRescores
DELETE FROM run WHERE ($1::int = 0 OR store_id = $1) AND kind = 'RESCORE' AND state = 'SUCCEEDED' AND created_at < $2::timestamptz - interval '7 days'`,
}

// ForgetStreamed removes what was kept of a store's streamed orders (0: of all stores') to recognise repetitions, once none
// is to be expected any more: answers after a day, deliveries after a week, shops' states of orders after three months. The
// runs that scored touched customers go after a week: there may be one every few seconds.
func (db *DB) ForgetStreamed(ctx context.Context, storeID int32, now time.Time) error {
	for _, sql := range forgetStreamed {
		if _, err := db.pool.Exec(ctx, sql, storeID, now); err != nil {
			return err
		}
	}
	return nil
}
