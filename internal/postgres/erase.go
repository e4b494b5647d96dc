package postgres

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// CustomerRecord is everything that is stored about one customer.
type CustomerRecord struct {
	engine.Customer
	Lines     []ImportLine // by time
	Snapshots []*engine.Snapshot
	State     *State // nil where the customer has no place
	StateAt   engine.Date
	StateOf   int       // the model's version
	ScoredAt  time.Time // the instant that the state is of; zero: the begin of StateAt
	Events    []*ListedEvent
	Drifts    []KeptDrift
	Moves     []*StoredTransition
	Alarms    []*ListedAlarm
	Shop      [][]byte // JSON: what the shop's own messages said of orders
}

// Models lists the versions of the models that the record refers to, each once.
func (r *CustomerRecord) Models() []int {
	var versions []int
	if r.State != nil {
		versions = append(versions, r.StateOf)
	}
	for _, s := range r.Snapshots {
		versions = append(versions, s.ModelVersion)
	}
	for _, e := range r.Events {
		versions = append(versions, e.ModelVersion)
	}
	for _, t := range r.Moves {
		versions = append(versions, t.ModelVersion)
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

const customerByID = `-- name: CustomerByID
SELECT ` + customerFields + ` FROM customer c WHERE c.store_id = $1 AND c.customer_id = $2`

const recordLines = `-- name: RecordLines
SELECT order_key, line_no, ordered_at, coalesce(sku, ''), coalesce(category, ''), quantity, net_cents, coalesce(discount_cents, 0), discount_cents IS NOT NULL,
  refund_cents, refunded_at, cancelled_at
FROM customer_order WHERE store_id = $1 AND customer_id = $2 ORDER BY ordered_at, order_key, line_no`

const recordSnapshots = `-- name: RecordSnapshots
SELECT ` + readSnapshotFields + `, s.feature
FROM snapshot s WHERE s.store_id = $1 AND s.customer_id = $2 ORDER BY s.snapshot_date, s.snapshot_type`

const recordState = `-- name: RecordState
SELECT model_id, state_date, rescored_at, membership, dominant, feature, churn_risk, predicted_ltv_cents, mark FROM customer_state WHERE store_id = $1 AND customer_id = $2`

const recordEvents = `-- name: RecordEvents
SELECT ` + eventFields + ` FROM drift_event e` + customerOfEvent + `
WHERE e.store_id = $1 AND e.customer_id = $2 ORDER BY e.to_date, e.snapshot_type, e.axis`

const recordDrifts = `-- name: RecordDrifts
SELECT snapshot_type, to_date, drift FROM customer_drift WHERE store_id = $1 AND customer_id = $2 ORDER BY snapshot_type, to_date`

// What is known of a shop's orders, and messages that were not taken in yet.
const recordShop = `-- name: RecordShop
SELECT body FROM (
  SELECT customer_key, body, shop_number AS number FROM shop_order WHERE store_id = $1
  UNION ALL SELECT customer_key, body, event_id FROM shop_event WHERE store_id = $1 AND body IS NOT NULL) o
WHERE customer_key = $2 ORDER BY number`

// CustomerRecord reads everything that is stored about a customer. Fault: NOT_FOUND.
func (tx *Tx) CustomerRecord(ctx context.Context, ref CustomerRef) (*CustomerRecord, error) {
	gone := engine.Errorf(engine.CodeNotFound, "the store has no such customer")
	customer, err := one(ctx, tx, scanCustomer, gone, customerByID, ref.StoreID, ref.CustomerID)
	if err != nil {
		return nil, err
	}
	r := &CustomerRecord{Customer: *customer}
	if r.Lines, err = collect(ctx, tx, scanRecordLine, recordLines, ref.StoreID, ref.CustomerID); err != nil {
		return nil, err
	}
	if r.Snapshots, err = collect(ctx, tx, scanRecordSnapshot, recordSnapshots, ref.StoreID, ref.CustomerID); err != nil {
		return nil, err
	}
	states, err := collect(ctx, tx, r.scanState, recordState, ref.StoreID, ref.CustomerID)
	if err != nil {
		return nil, err
	}
	if len(states) == 1 {
		r.State = states[0]
	}
	if r.Events, err = collect(ctx, tx, scanEvent, recordEvents, ref.StoreID, ref.CustomerID); err != nil {
		return nil, err
	}
	r.Moves, err = collect(ctx, tx, func(row pgx.CollectableRow) (*StoredTransition, error) {
		t := &StoredTransition{}
		return t, t.scan(row)
	}, recordTransitions, ref.StoreID, ref.CustomerID)
	if err != nil {
		return nil, err
	}
	if r.Drifts, err = collect(ctx, tx, scanKeptDrift, recordDrifts, ref.StoreID, ref.CustomerID); err != nil {
		return nil, err
	}
	if r.Alarms, err = collect(ctx, tx, scanAlarm, recordAlarms, ref.StoreID, ref.CustomerID); err != nil {
		return nil, err
	}
	r.Shop, err = collect(ctx, tx, pgx.RowTo[[]byte], recordShop, ref.StoreID, customer.Key)
	return r, err
}

func scanRecordLine(row pgx.CollectableRow) (ImportLine, error) {
	var l ImportLine
	var refunded, cancelled *time.Time
	err := row.Scan(&l.OrderKey, &l.Number, &l.OrderedAt, &l.SKU, &l.Category, &l.Quantity, &l.NetCents, &l.DiscountCents, &l.HasDiscount, &l.RefundCents, &refunded, &cancelled)
	l.OrderedAt, l.RefundedAt, l.CancelledAt = l.OrderedAt.UTC(), timeOf(refunded), timeOf(cancelled)
	return l, err
}

func scanRecordSnapshot(row pgx.CollectableRow) (*engine.Snapshot, error) {
	s, err := scanSnapshot(row)
	s.CreatedAt = s.CreatedAt.UTC()
	return s, err
}

func (r *CustomerRecord) scanState(row pgx.CollectableRow) (*State, error) {
	s := &State{CustomerID: r.ID}
	var date time.Time
	var scored *time.Time
	var features []*float32
	err := row.Scan(&r.StateOf, &date, &scored, membershipOf(&s.Thumbprint), dominantOf(&s.Thumbprint), &features, &s.ChurnRisk, &s.LTVCents, &s.Mark)
	toldRisk(s.ChurnRisk)
	r.StateAt, r.ScoredAt, s.Features = dateOf(date), timeOf(scored), featuresOf(features)
	return s, err
}

// customerTables are the tables with rows of customers, the customer's own last.
var customerTables = []string{"alarm", "drift_event", "segment_transition", "customer_drift", "snapshot", "customer_state", "touched_customer", "customer_order", "customer"}

// What a shop's own messages said names the customer by the store's identifier. A delivery is remembered, not what it said.
var forgetMessages = map[string]string{
	"shop_order": `-- name: EraseShopOrders
DELETE FROM shop_order o USING customer c
WHERE c.store_id = $1 AND c.customer_id = $2 AND o.store_id = c.store_id AND o.customer_key = c.customer_key`,
	"shop_event": `-- name: EraseShopEvents
UPDATE shop_event e SET body = NULL, customer_key = NULL FROM customer c
WHERE c.store_id = $1 AND c.customer_id = $2 AND e.store_id = c.store_id AND e.customer_key = c.customer_key`,
}

const touchLines = `-- name: TouchLines
INSERT INTO touched SELECT customer_id, ordered_at, true FROM customer_order WHERE store_id = $1 AND customer_id = $2`

// EraseCustomer removes every row of a customer and counts them by table; what features need to know of the store goes as
// far as it was made from the customer's lines. The caller has locked the store's orders and its customers.
func (tx *Tx) EraseCustomer(ctx context.Context, store *engine.Store, customerID int64) (map[string]int64, error) {
	if _, err := tx.Exec(ctx, createTouched); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, touchLines, store.ID, customerID); err != nil {
		return nil, err
	}
	removed := map[string]int64{}
	for table, sql := range forgetMessages {
		tag, err := tx.Exec(ctx, sql, store.ID, customerID)
		if err != nil {
			return nil, err
		}
		if n := tag.RowsAffected(); n > 0 { // most stores have no such messages
			removed[table] = n
		}
	}
	for _, table := range customerTables {
		tag, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE store_id = $1 AND customer_id = $2", store.ID, customerID)
		if err != nil {
			return nil, err
		}
		removed[table] = tag.RowsAffected()
	}
	expiring, err := tx.eraseDetached(ctx, store.ID, customerID)
	if err != nil {
		return nil, err
	}
	removed["snapshot"] += expiring
	var from time.Time
	var revised bool
	if err := tx.QueryRow(ctx, touchedSince).Scan(&from, &revised); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, removeReferences, store.ID, store.Zone.String(), from); err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, recountStore, store.ID, int16(0), from)
	return removed, err
}

// Erasure is the receipt of an erasure.
type Erasure struct {
	ID      string // UUID
	At      time.Time
	Orders  int
	Removed map[string]int64 // rows by table
	Hash    []byte           // SHA-256
}

const insertErasure = `-- name: InsertErasure
INSERT INTO erasure (store_id, erasure_id, orders, removed, hash) VALUES ($1, $2, $3, $4, $5) RETURNING erased_at`

// InsertErasure keeps a receipt and notes its time.
func (tx *Tx) InsertErasure(ctx context.Context, storeID int32, e *Erasure) error {
	removed, err := json.Marshal(e.Removed)
	if err != nil {
		return err
	}
	err = tx.QueryRow(ctx, insertErasure, storeID, e.ID, e.Orders, removed, e.Hash).Scan(&e.At)
	e.At = e.At.UTC()
	return err
}

const erasures = `-- name: Erasures
SELECT erasure_id::text, erased_at, orders, removed, hash FROM erasure WHERE store_id = $1 ORDER BY erased_at DESC, erasure_id LIMIT $2`

// Erasures gives the newest receipts of a store.
func (db *DB) Erasures(ctx context.Context, storeID int32, limit int) ([]Erasure, error) {
	return collect(ctx, db.pool, func(row pgx.CollectableRow) (Erasure, error) {
		var e Erasure
		var removed []byte
		if err := row.Scan(&e.ID, &e.At, &e.Orders, &removed, &e.Hash); err != nil {
			return e, err
		}
		e.At = e.At.UTC()
		return e, json.Unmarshal(removed, &e.Removed)
	}, erasures, storeID, limit)
}
