package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// StoreView is a store with the model that is in force.
type StoreView struct {
	engine.Store
	ModelVersion int // 0 before the first re-clustering
	ModelAt      time.Time
}

const storeView = `SELECT ` + storeFields + `, coalesce(m.model_id, 0), m.fitted_at FROM store t LEFT JOIN LATERAL (
  SELECT model_id, fitted_at FROM segment_model WHERE segment_model.store_id = t.store_id ORDER BY model_id DESC LIMIT 1) m ON true`

func scanStoreView(row pgx.CollectableRow) (*StoreView, error) { return scanStoreViewAnd(row) }

// scanStoreViewAnd reads storeView and what follows it.
func scanStoreViewAnd(row pgx.CollectableRow, more ...any) (*StoreView, error) {
	var s StoreView
	var fitted *time.Time
	err := scanStoreFields(row, &s.Store, append([]any{&s.ModelVersion, &fitted}, more...)...)
	s.ModelAt = timeOf(fitted)
	return &s, err
}

const storeViewsByKey = `-- name: StoreViewsByKey
` + storeView + ` WHERE t.store_key = ANY ($1)`

// A statement about one store has a plan of its own, which is kept: for a list of any length the server plans anew each time,
// which takes longer than the reading.
const storeViewByKey = `-- name: StoreViewByKey
` + storeView + ` WHERE t.store_key = $1`

// StoreViewsByKey gives stores by the names that callers use; those that are not there are missing.
func (db *DB) StoreViewsByKey(ctx context.Context, keys []string) ([]*StoreView, error) {
	if len(keys) == 1 {
		return collect(ctx, db.read(ctx), scanStoreView, storeViewByKey, keys[0])
	}
	return collect(ctx, db.read(ctx), scanStoreView, storeViewsByKey, keys)
}

// StoreCustomer is a store, and one of its customers: nil where it is not there.
type StoreCustomer struct {
	Store    *StoreView
	Customer *engine.Customer
}

const storeCustomer = `-- name: StoreCustomer
SELECT s.*, c.customer_id, c.customer_key, c.first_order_at, c.last_order_at, c.orders, c.value_cents
FROM (` + storeView + ` WHERE t.store_key = $1) s LEFT JOIN customer c ON c.store_id = s.store_id AND c.customer_key = $2`

// StoreCustomer gives a store and one of its customers by the names that callers use, in one statement; nil without the store.
func (db *DB) StoreCustomer(ctx context.Context, storeKey, customerKey string) (*StoreCustomer, error) {
	found, err := collect(ctx, db.read(ctx), func(row pgx.CollectableRow) (*StoreCustomer, error) {
		var id, value *int64
		var key *string
		var first, last *time.Time
		var orders *int
		store, err := scanStoreViewAnd(row, &id, &key, &first, &last, &orders, &value)
		if err != nil || id == nil {
			return &StoreCustomer{Store: store}, err
		}
		return &StoreCustomer{store, &engine.Customer{
			StoreID: store.ID, ID: *id, Key: *key, FirstOrderAt: timeOf(first), LastOrderAt: timeOf(last), Orders: *orders, ValueCents: *value,
		}}, nil
	}, storeCustomer, storeKey, customerKey)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

const storeViewsByID = `-- name: StoreViewsByID
` + storeView + ` WHERE t.store_id = ANY ($1)`

// StoreViewsByID gives stores; those that are not there are missing.
func (db *DB) StoreViewsByID(ctx context.Context, ids []int32) ([]*StoreView, error) {
	return collect(ctx, db.read(ctx), scanStoreView, storeViewsByID, ids)
}

const storeViews = `-- name: StoreViews
` + storeView + ` ORDER BY t.store_key`

// StoreViews gives all stores by key.
func (db *DB) StoreViews(ctx context.Context) ([]*StoreView, error) {
	return collect(ctx, db.read(ctx), scanStoreView, storeViews)
}

// RunCursor is a place in a list of runs, newest first.
type RunCursor struct {
	CreatedAt time.Time
	ID        string
}

// RunQuery is a page of a store's runs, newest first. What is set must all hold.
type RunQuery struct {
	StoreID       int32
	OfAll         bool // with those that went over all stores
	Kinds         []engine.RunKind
	States        []engine.RunState
	Triggers      []engine.RunTrigger
	From, To      time.Time // made in [From, To); zero: open
	After, Before *RunCursor
	Window
}

func words[T ~string](values []T) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}

func (q *RunQuery) filter(s *statement) {
	of := []int32{q.StoreID}
	if q.OfAll {
		of = append(of, 0)
	}
	s.where("store_id = ANY (?)", of)
	if q.Kinds != nil {
		s.where("kind = ANY (?)", words(q.Kinds))
	}
	if q.States != nil {
		s.where("state = ANY (?)", words(q.States))
	}
	if q.Triggers != nil {
		s.where("trigger = ANY (?)", words(q.Triggers))
	}
	if !q.From.IsZero() {
		s.where("created_at >= ?", q.From)
	}
	if !q.To.IsZero() {
		s.where("created_at < ?", q.To)
	}
}

// Runs gives a page.
func (db *DB) Runs(ctx context.Context, q RunQuery) ([]*engine.Run, error) {
	var s statement
	q.filter(&s)
	if c := q.After; c != nil {
		s.where("(created_at, run_id) < (?::timestamptz, ?::uuid)", c.CreatedAt, c.ID)
	}
	if c := q.Before; c != nil {
		s.where("(created_at, run_id) > (?::timestamptz, ?::uuid)", c.CreatedAt, c.ID)
	}
	direction := q.direction(true)
	rows, err := collect(ctx, db.read(ctx), scanRun, `-- name: Runs
SELECT `+runFields+` FROM run WHERE true`+s.and()+`
ORDER BY created_at `+direction+`, run_id `+direction+` LIMIT `+s.arg(q.Limit), s.args...)
	return inOrder(q.Window, rows), err
}

// CountRuns counts the whole list.
func (db *DB) CountRuns(ctx context.Context, q RunQuery) (int, error) {
	var s statement
	q.filter(&s)
	var count int
	err := db.read(ctx).QueryRow(ctx, "-- name: CountRuns\nSELECT count(*) FROM run WHERE true"+s.and(), s.args...).Scan(&count)
	return count, err
}

const newestRun = `-- name: NewestRun
SELECT ` + runFields + ` FROM run WHERE store_id = ANY ($1) OR $2 AND store_id = 0 ORDER BY created_at DESC, run_id DESC LIMIT 1`

// NewestRun gives the newest run of some stores, or of all together where ofAll is set; nil before the first.
func (db *DB) NewestRun(ctx context.Context, storeIDs []int32, ofAll bool) (*engine.Run, error) {
	found, err := collect(ctx, db.read(ctx), scanRun, newestRun, storeIDs, ofAll)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}
