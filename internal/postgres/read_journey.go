package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// SeriesQuery names the snapshots of a store that are read one by one: those of a type on certain dates, of every n-th customer.
type SeriesQuery struct {
	StoreID int32
	Type    engine.SnapshotType
	Dates   []engine.Date
	Model   int // snapshots of other models come with features
	Every   int // 1: all customers
	// Customers are all that are read; nil: those of Every.
	Customers []int64
}

// AxisQuery is which part of them is wanted.
type AxisQuery struct {
	SeriesQuery
	Axis        int
	First       int  // position of the axis's first leaf under the model
	Leaves      int  // how many it has
	Memberships bool // in these leaves, too
}

// AxisRow is a snapshot's part on one axis; its slices are overwritten by the next.
type AxisRow struct {
	CustomerID   int64
	Date         engine.Date
	ModelVersion int
	Purchases    int
	FirstAt      engine.Date
	Silent       int       // days since the last purchase
	ChurnRisk    *float64  // nil where not stored
	TakenAt      time.Time // when the snapshot was
	Dominant     int16     // position of the leaf; -1 where there is none
	Membership   []int16   // in the axis's leaves, where asked for, of snapshots of the model
	Features     []float32 // of the axis, of snapshots of other models; nil where not stored
}

// blockSize is how many neighbours are read together where not all customers are: their rows lie together, so a page is read for many
// of them and not for one.
const blockSize = 64

// each gives the statement that reads these columns of the snapshots; in order, customer_id and day among them, a customer's one
// after the other and oldest first.
func (q *SeriesQuery) each(s *statement, columns string, inOrder bool) string {
	snapshots := "SELECT " + columns + " FROM snapshot s WHERE s.store_id = " + s.arg(q.StoreID) + " AND s.snapshot_type = " + s.arg(int16(q.Type)) +
		" AND s.snapshot_date = ANY (" + s.arg(dateParams(q.Dates)) + "::date[])"
	if q.Customers != nil {
		snapshots += " AND s.customer_id = ANY (" + s.arg(q.Customers) + "::bigint[])"
	}
	order, ofBlocks := "", ""
	if inOrder {
		order, ofBlocks = " ORDER BY s.customer_id, s.snapshot_date", " ORDER BY b.block, s.customer_id, s.day"
	}
	if q.Every <= 1 {
		return snapshots + order
	}
	// OFFSET keeps the planner from reading all customers and comparing them with the blocks.
	size, every := s.arg(blockSize)+"::bigint", s.arg(q.Every)+"::bigint"
	return `SELECT s.* FROM (
  SELECT n / ` + size + ` AS block, min(customer_id) AS head, max(customer_id) AS tail
  FROM (SELECT customer_id, row_number() OVER (ORDER BY customer_id) - 1 AS n FROM customer WHERE store_id = ` + s.arg(q.StoreID) + `) c
  WHERE n / ` + size + ` % ` + every + ` = 0 GROUP BY 1) b
CROSS JOIN LATERAL (` + snapshots + ` AND s.customer_id BETWEEN b.head AND b.tail` + order + ` OFFSET 0) s` + ofBlocks
}

// recencyAt is the place among a snapshot's features, from 1, of ln(1 + days since the last purchase).
var recencyAt = func() int {
	for _, axis := range engine.Axes {
		for i, f := range axis.Features {
			if f.Key == "recency" {
				return axis.First + i + 1
			}
		}
	}
	panic("the registry has no recency")
}()

// Where features were not stored the orders tell the days since the last purchase.
const silentByOrders = `(SELECT s.snapshot_date - (max(o.ordered_at) AT TIME ZONE t.time_zone)::date FROM store t JOIN customer_order o ON o.store_id = t.store_id
      WHERE t.store_id = s.store_id AND o.customer_id = s.customer_id AND o.quantity > 0 AND o.ordered_at < (s.snapshot_date::timestamp AT TIME ZONE t.time_zone)
        AND (o.cancelled_at IS NULL OR o.cancelled_at >= (s.snapshot_date::timestamp AT TIME ZONE t.time_zone)) GROUP BY t.time_zone)`

// EachOnAxis gives snapshots' parts on an axis to f, a customer's one after the other, oldest first.
func (db *DB) EachOnAxis(ctx context.Context, q AxisQuery, f func(*AxisRow)) error {
	var s statement
	same := "s.model_id = " + s.arg(q.Model)
	axis := engine.Axes[q.Axis]
	ofAxis := "NULL::bytea"
	if q.Memberships {
		ofAxis = "CASE WHEN " + same + " THEN substring(s.membership FROM " + s.arg(membershipBytes*q.First+1) + " FOR " + s.arg(membershipBytes*q.Leaves) + ") END"
	}
	columns := `s.customer_id, s.snapshot_date - DATE '1970-01-01' AS day, s.model_id, s.orders, s.first_order - DATE '1970-01-01',
  coalesce(CASE WHEN s.feature IS NOT NULL THEN round(exp(s.feature[` + s.arg(recencyAt) + `]::float8) - 1)::int ELSE ` + silentByOrders + ` END, 0), s.churn_risk, s.created_at,
  dominant_at(s.dominant, ` + s.arg(q.Axis) + `), ` + ofAxis + `, CASE WHEN NOT ` + same + ` THEN s.feature[` + s.arg(axis.First+1) + `:` + s.arg(axis.First+len(axis.Features)) + `] END`
	rows, err := db.read(ctx).Query(ctx, "-- name: EachOnAxis\n"+q.each(&s, columns, true), s.args...)
	if err != nil {
		return err
	}
	var row AxisRow
	var stored []*float32
	targets := []any{&row.CustomerID, &row.Date, &row.ModelVersion, &row.Purchases, &row.FirstAt, &row.Silent, &row.ChurnRisk, &row.TakenAt, &row.Dominant, (*memberships)(&row.Membership), &stored}
	_, err = pgx.ForEachRow(rows, targets, func() error {
		row.Features = featuresOf(stored)
		toldRisk(row.ChurnRisk)
		f(&row)
		return nil
	})
	return err
}

// EachSnapshot gives snapshots with what memberships are added up from, in no order: of the query's model the memberships, of others
// purchases and features.
func (db *DB) EachSnapshot(ctx context.Context, q SeriesQuery, f func(*engine.Snapshot)) error {
	var s statement
	same := "s.model_id = " + s.arg(q.Model)
	columns := "s.snapshot_date - DATE '1970-01-01', s.model_id, s.orders, CASE WHEN " + same + " THEN s.membership END, CASE WHEN NOT " + same + " THEN s.feature END"
	rows, err := db.read(ctx).Query(ctx, "-- name: EachSnapshot\n"+q.each(&s, columns, false), s.args...)
	if err != nil {
		return err
	}
	row := engine.Snapshot{StoreID: q.StoreID, Type: q.Type}
	var stored []*float32
	_, err = pgx.ForEachRow(rows, []any{&row.Date, &row.ModelVersion, &row.Purchases, membershipOf(&row.Thumbprint), &stored}, func() error {
		row.Features = featuresOf(stored)
		f(&row)
		return nil
	})
	return err
}
