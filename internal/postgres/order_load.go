package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// A store's lines are in a partition of their own, which its first import makes: it sorts them by customer, builds the
// indexes once everything is there, and hangs the table in. That is several times as fast as to add line by line to tables
// and indexes of others.

// Customers get their numbers in the order of their keys, so that the same file gives the same numbers.
const loadCustomers = `-- name: LoadCustomers
INSERT INTO customer (store_id, customer_key, first_order_at, last_order_at, orders, value_cents)
SELECT $1, customer_key, min(ordered_at) FILTER (WHERE quantity > 0), max(ordered_at) FILTER (WHERE quantity > 0),
       count(DISTINCT (ordered_at AT TIME ZONE $2)::date) FILTER (WHERE quantity > 0),
       greatest(least(sum(net_cents - refund_cents), 9e18), -9e18)
FROM %s GROUP BY customer_key ORDER BY customer_key COLLATE "C"`

// CREATE TABLE AS is the one way to write rows that are read and sorted by several processes.
const loadLines = `-- name: LoadLines
CREATE TABLE %[1]s AS
SELECT %[2]d::int AS store_id, order_key, line_no, customer_id, ordered_at, sku, category, quantity, net_cents, discount_cents, refund_cents, refunded_at, NULL::timestamptz AS cancelled_at
FROM %[3]s s JOIN customer c ON c.store_id = %[2]d AND c.customer_key = s.customer_key
ORDER BY customer_id, ordered_at, order_key, line_no`

// The table takes on the form of the partitioned one, so that hanging it in makes nothing anew and looks at no row.
var completeLines = []string{
	`ALTER TABLE %[1]s ALTER store_id SET NOT NULL, ALTER order_key SET NOT NULL, ALTER line_no SET NOT NULL, ALTER customer_id SET NOT NULL,
  ALTER ordered_at SET NOT NULL, ALTER quantity SET NOT NULL, ALTER net_cents SET NOT NULL,
  ALTER refund_cents SET NOT NULL, ALTER refund_cents SET DEFAULT 0, ADD CHECK (store_id = %[2]d)`,
	`ALTER TABLE %[1]s ADD PRIMARY KEY (store_id, order_key, line_no)`,
	`CREATE INDEX ON %[1]s (store_id, customer_id, ordered_at)`,
	`CREATE INDEX ON %[1]s (store_id, customer_id) WHERE cancelled_at IS NOT NULL`,
	`ALTER TABLE customer_order ATTACH PARTITION %[1]s FOR VALUES IN (%[2]d)`,
	`ANALYZE %[1]s`,
}

// ordersTable is the partition of a store's lines.
func ordersTable(storeID int32) string {
	return pgx.Identifier{fmt.Sprintf("customer_order_%d", storeID)}.Sanitize()
}

// hasOrders tells whether the store has its partition: whether anything was ever imported.
func hasOrders(ctx context.Context, tx *Tx, store *engine.Store) (bool, error) {
	var has bool
	err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", ordersTable(store.ID)).Scan(&has)
	return has, err
}

// loadOrders makes the partition and the customers of a store that had no orders yet.
func loadOrders(ctx context.Context, tx *Tx, store *engine.Store, fill Fill) (lines int64, err error) {
	// One store's lines are sorted twice here and never again: in memory, as far as they go.
	if _, err := tx.Exec(ctx, "SET LOCAL work_mem = '128MB'"); err != nil {
		return 0, err
	}
	table := ordersTable(store.ID)
	// Not a temporary table, which only one process can read.
	stage := pgx.Identifier{fmt.Sprintf("order_stage_%d", store.ID)}.Sanitize()
	if _, err := tx.Exec(ctx, "CREATE UNLOGGED TABLE "+stage+stageColumns); err != nil {
		return 0, err
	}
	staged, err := copyStage(ctx, tx, stage, fill) // there is nothing yet that could be withdrawn
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf(loadCustomers, stage), store.ID, store.Zone.String()); err != nil {
		return 0, err
	}
	tag, err := tx.Exec(ctx, fmt.Sprintf(loadLines, table, store.ID, stage))
	if err != nil {
		return 0, err
	}
	for _, sql := range completeLines {
		if _, err := tx.Exec(ctx, fmt.Sprintf(sql, table, store.ID)); err != nil {
			return 0, err
		}
	}
	if _, err := tx.Exec(ctx, "DROP TABLE "+stage); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, recountStore, store.ID, int16(staged.columns), time.Time{})
	return tag.RowsAffected(), err
}
