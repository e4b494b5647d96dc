package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

const storeFields = `store_id, store_key, name, currency, time_zone, columns, scheduled, customers, first_order_at, last_order_at, created_at`

const storeByKey = `-- name: StoreByKey
SELECT ` + storeFields + ` FROM store WHERE store_key = $1`

const stores = `-- name: Stores
SELECT ` + storeFields + ` FROM store ORDER BY store_key`

const ensureStore = `-- name: EnsureStore
INSERT INTO store (store_key) VALUES ($1) ON CONFLICT (store_key) DO NOTHING`

func scanStore(row pgx.CollectableRow) (*engine.Store, error) {
	var s engine.Store
	var zone string
	var columns int16
	var first, last *time.Time
	if err := row.Scan(&s.ID, &s.Key, &s.Name, &s.Currency, &zone, &columns, &s.Scheduled, &s.Customers, &first, &last, &s.CreatedAt); err != nil {
		return nil, err
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, err
	}
	s.Zone, s.Columns, s.FirstAt, s.LastAt = location, engine.Columns(columns), timeOf(first), timeOf(last)
	if s.Name == "" {
		s.Name = s.Key
	}
	return &s, nil
}

// StoreByKey gives a store by the name that callers use. Fault: NOT_FOUND.
func (db *DB) StoreByKey(ctx context.Context, key string) (*engine.Store, error) {
	return one(ctx, db.pool, scanStore, engine.Errorf(engine.CodeNotFound, "there is no store %q", key), storeByKey, key)
}

// Stores gives all stores by key.
func (db *DB) Stores(ctx context.Context) ([]*engine.Store, error) {
	return collect(ctx, db.pool, scanStore, stores)
}

// EnsureStore gives the store with the key, making it if it is new.
func (db *DB) EnsureStore(ctx context.Context, key string) (*engine.Store, error) {
	if key == "" || len(key) > 255 {
		return nil, engine.Errorf(engine.CodeInvalid, "a store's key has 1 to 255 bytes")
	}
	if _, err := db.pool.Exec(ctx, ensureStore, key); err != nil {
		return nil, err
	}
	return db.StoreByKey(ctx, key)
}
