package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// SilentQuery asks for customers with at least MinOrders purchases who have been silent, as of an instant, for over Gaps
// times their usual gap: the mean time between their purchases.
type SilentQuery struct {
	StoreID   int32
	AsOf      time.Time
	MinOrders int
	Gaps      float64
	Limit     int
}

const silentCustomers = `-- name: SilentCustomers
SELECT ` + customerFields + `, count(*) OVER () FROM customer c
WHERE c.store_id = $1 AND c.orders >= $2 AND c.last_order_at < $3 AND c.orders > 1
  AND $3::timestamptz - c.last_order_at > (c.last_order_at - c.first_order_at) / (c.orders - 1) * $4::float8
ORDER BY c.value_cents DESC, c.customer_key LIMIT $5`

// SilentCustomers gives the customers of the greatest value among them, and how many there are in all.
func (db *DB) SilentCustomers(ctx context.Context, q SilentQuery) (customers []*engine.Customer, total int, err error) {
	customers, err = collect(ctx, db.read(ctx), func(row pgx.CollectableRow) (*engine.Customer, error) {
		var c engine.Customer
		var first, last *time.Time
		err := row.Scan(append(customerTargets(&c, &first, &last), &total)...)
		c.FirstOrderAt, c.LastOrderAt = timeOf(first), timeOf(last)
		return &c, err
	}, silentCustomers, q.StoreID, q.MinOrders, q.AsOf, q.Gaps, q.Limit)
	return customers, total, err
}

// storeTables are the tables with rows of stores, the store's own last, but for that of its orders.
var storeTables = []string{
	"drift_event", "snapshot", "customer_state", "segment_model", "feature_reference", "customer", "retention_override", "erasure", "run",
	"touched_customer", "mutation_answer", "shop_event", "shop_order", "product", "alarm", "alarm_watch", "backtest", "customer_drift", "drift_spread",
	"segment_transition", "access_token", "audit_entry", "store",
}

// ForgetStore removes a store with all that is known of it.
func (db *DB) ForgetStore(ctx context.Context, storeID int32) error {
	return db.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+ordersTable(storeID)); err != nil {
			return err
		}
		for _, table := range storeTables {
			if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE store_id = $1", storeID); err != nil {
				return err
			}
		}
		return nil
	})
}
