package postgres

import (
	"context"
	"sync"
	"time"
	_ "time/tzdata" // stores have time zones where the machine knows none

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

const storeFields = `store_id, store_key, name, currency, time_zone, key_zone, columns, scheduled, week_start, purchase_statuses, false_alarm_rate, alarms_per_week, churn_horizon_days, ltv_margin, ltv_monthly_discount, customers, first_order_at, last_order_at, created_at`

const storeByKey = `-- name: StoreByKey
SELECT ` + storeFields + ` FROM store WHERE store_key = $1`

const stores = `-- name: Stores
SELECT ` + storeFields + ` FROM store ORDER BY store_key`

const ensureStore = `-- name: EnsureStore
INSERT INTO store (store_key) VALUES ($1) ON CONFLICT (store_key) DO NOTHING`

func scanStore(row pgx.CollectableRow) (*engine.Store, error) {
	var s engine.Store
	return &s, scanStoreFields(row, &s)
}

// scanStoreFields reads storeFields and what follows them.
func scanStoreFields(row pgx.CollectableRow, s *engine.Store, more ...any) error {
	var zone, keyZone string
	var columns, weekStart int16
	var first, last *time.Time
	err := row.Scan(append([]any{
		&s.ID, &s.Key, &s.Name, &s.Currency, &zone, &keyZone, &columns, &s.Scheduled, &weekStart, &s.PurchaseStatuses, &s.FalseAlarmRate, &s.AlarmsPerWeek,
		&s.Predicts.HorizonDays, &s.Predicts.Margin, &s.Predicts.Discount, &s.Customers, &first, &last, &s.CreatedAt,
	}, more...)...)
	if err != nil {
		return err
	}
	if s.Zone, err = zoneOf(zone); err != nil {
		return err
	}
	if keyZone != "" {
		if s.KeyZone, err = zoneOf(keyZone); err != nil {
			return err
		}
	}
	s.Columns, s.WeekStart, s.FirstAt, s.LastAt = engine.Columns(columns), time.Weekday(weekStart), timeOf(first), timeOf(last)
	if s.Name == "" {
		s.Name = s.Key
	}
	return nil
}

// zones are those that stores were seen to have, by name: to load one reads a file each time.
var zones sync.Map

func zoneOf(name string) (*time.Location, error) {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	zone, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, zone)
	}
	return zone, err
}

func noStore(key string) *engine.Error {
	return engine.Errorf(engine.CodeNotFound, "there is no store %q", key)
}

// StoreByKey gives a store by the name that callers use. Fault: NOT_FOUND.
func (db *DB) StoreByKey(ctx context.Context, key string) (*engine.Store, error) {
	return one(ctx, db.pool, scanStore, noStore(key), storeByKey, key)
}

const undefinedColumn = "42703"

const hasStores = `-- name: HasStores
SELECT to_regclass('store') IS NOT NULL`

// StoreIfAny gives a store, or nil where there is none, also in a database without a schema, which is left without. Fault:
// CONFLICT where the schema is older than the program.
func (db *DB) StoreIfAny(ctx context.Context, key string) (*engine.Store, error) {
	var prepared bool
	if err := db.pool.QueryRow(ctx, hasStores).Scan(&prepared); err != nil || !prepared {
		return nil, err
	}
	store, err := db.StoreByKey(ctx, key)
	if hasCode(err, undefinedColumn) {
		return nil, engine.Errorf(engine.CodeConflict, "the database's schema is older than this program: run quimbi migrate up")
	}
	if engine.CodeOf(err) == engine.CodeNotFound {
		return nil, nil
	}
	return store, err
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

// StoreSettings are what is to be changed for a store; nil stays.
type StoreSettings struct {
	Name             *string
	Currency         *string
	WeekStart        *time.Weekday
	PurchaseStatuses *[]string
	SetScheduled     bool  // whether Scheduled is to be changed
	Scheduled        *bool // nil: as long as the store is live
	FalseAlarmRate   *float64
	SetAlarmsPerWeek bool // whether AlarmsPerWeek is to be changed
	AlarmsPerWeek    *int // nil: all
	SetHorizonDays   bool // whether HorizonDays is to be changed, and so on; nil: as the installation says
	HorizonDays      *int
	SetMargin        bool
	Margin           *float64
	SetDiscount      bool
	Discount         *float64
}

const updateStore = `-- name: UpdateStore
UPDATE store SET name = coalesce($2, name), currency = coalesce($3, currency), week_start = coalesce($4, week_start),
  purchase_statuses = coalesce($5, purchase_statuses), scheduled = CASE WHEN $6 THEN $7 ELSE scheduled END,
  false_alarm_rate = coalesce($8, false_alarm_rate), alarms_per_week = CASE WHEN $9 THEN $10 ELSE alarms_per_week END,
  churn_horizon_days = CASE WHEN $11 THEN $12 ELSE churn_horizon_days END, ltv_margin = CASE WHEN $13 THEN $14 ELSE ltv_margin END,
  ltv_monthly_discount = CASE WHEN $15 THEN $16 ELSE ltv_monthly_discount END
WHERE store_id = $1`

// UpdateStore changes settings that change nothing else.
func (tx *Tx) UpdateStore(ctx context.Context, storeID int32, s StoreSettings) error {
	var weekStart *int16
	if s.WeekStart != nil {
		number := int16(*s.WeekStart)
		weekStart = &number
	}
	_, err := tx.Exec(ctx, updateStore, storeID, s.Name, s.Currency, weekStart, s.PurchaseStatuses, s.SetScheduled, s.Scheduled,
		s.FalseAlarmRate, s.SetAlarmsPerWeek, s.AlarmsPerWeek,
		s.SetHorizonDays, s.HorizonDays, s.SetMargin, s.Margin, s.SetDiscount, s.Discount)
	return err
}
