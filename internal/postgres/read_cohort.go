package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// CohortQuery names the customers of a store by their first purchase, and how the calendar is cut.
type CohortQuery struct {
	StoreID   int32
	Zone      string
	From, To  time.Time // of the first purchase, in [From, To)
	Interval  CohortInterval
	WeekStart time.Weekday
	Until     engine.Date // what lies after it does not count
	Every     int         // 1: all customers
}

// CohortInterval is how the calendar is cut.
type CohortInterval string

// The intervals.
const (
	CohortWeek    CohortInterval = "WEEK"
	CohortMonth   CohortInterval = "MONTH"
	CohortQuarter CohortInterval = "QUARTER"
)

// start gives the first day of the interval that a day falls into.
func (q *CohortQuery) start(s *statement, day string) string {
	switch q.Interval {
	case CohortWeek:
		return "(" + day + " - (extract(dow FROM " + day + ")::int - " + s.arg(int(q.WeekStart)) + "::int + 7) % 7)"
	case CohortQuarter:
		return "date_trunc('quarter', " + day + "::timestamp)::date"
	default:
		return "date_trunc('month', " + day + "::timestamp)::date"
	}
}

// chosen gives the customers with their cohorts and purchases.
func (q *CohortQuery) chosen(s *statement) string {
	local := "(c.first_order_at AT TIME ZONE " + s.arg(q.Zone) + "::text)::date"
	all := "SELECT c.customer_id, " + q.start(s, local) + " AS cohort, c.orders, row_number() OVER (ORDER BY c.customer_id) - 1 AS n FROM customer c WHERE c.store_id = " +
		s.arg(q.StoreID) + " AND c.first_order_at >= " + s.arg(q.From) + " AND c.first_order_at < " + s.arg(q.To)
	if q.Every <= 1 {
		return all
	}
	return "SELECT * FROM (" + all + ") c WHERE n / " + s.arg(blockSize) + "::bigint % " + s.arg(q.Every) + "::bigint = 0"
}

// Cohort is how many customers began in an interval.
type Cohort struct {
	Start     engine.Date
	Customers int
	Purchases int // of these until now
}

// Cohorts gives the cohorts that have customers.
func (db *DB) Cohorts(ctx context.Context, q CohortQuery) ([]Cohort, error) {
	var s statement
	return collect(ctx, db.read(ctx), pgx.RowToStructByPos[Cohort], "-- name: Cohorts\nSELECT cohort - DATE '1970-01-01', count(*), coalesce(sum(orders), 0)::bigint FROM ("+
		q.chosen(&s)+") c GROUP BY 1 ORDER BY 1", s.args...)
}

// CohortSum is what customers of a cohort came to in a period, of Count customers or snapshots.
type CohortSum struct {
	Cohort, Period engine.Date // first days
	Sum            float64
	Count          int
	// Of the snapshots that count, nil for orders and where none does: the newest date, and when the newest was taken.
	Newest  *engine.Date
	TakenAt *time.Time
}

// CohortMeasure is what is added up.
type CohortMeasure string

// Of orders, and of snapshots.
const (
	CohortBuyers   CohortMeasure = "count(DISTINCT customer_id) FILTER (WHERE bought)"
	CohortOrders   CohortMeasure = "count(*) FILTER (WHERE bought)"
	CohortRevenue  CohortMeasure = "sum(cents) / 100.0"
	CohortDrift    CohortMeasure = "s.drift"
	CohortRisk     CohortMeasure = "s.churn_risk"
	CohortDominant CohortMeasure = "dominant"
)

// CohortPurchases adds up what cohorts bought, by period: buyers, orders (days with a purchase) or revenue less refunds. Count is the
// customers that were looked at.
func (db *DB) CohortPurchases(ctx context.Context, q CohortQuery, measure CohortMeasure) ([]CohortSum, error) {
	var s statement
	day := "(o.ordered_at AT TIME ZONE " + s.arg(q.Zone) + "::text)::date"
	return collect(ctx, db.read(ctx), pgx.RowToStructByPos[CohortSum], `-- name: CohortPurchases
WITH chosen AS MATERIALIZED (`+q.chosen(&s)+`), bought AS (
  SELECT c.cohort, c.customer_id, `+day+` AS day, bool_or(o.quantity > 0) AS bought, sum(o.net_cents - o.refund_cents) AS cents
  FROM chosen c JOIN customer_order o ON o.store_id = `+s.arg(q.StoreID)+` AND o.customer_id = c.customer_id
  WHERE o.cancelled_at IS NULL GROUP BY 1, 2, 3), size AS (SELECT cohort, count(*) AS customers FROM chosen GROUP BY 1)
SELECT b.cohort - DATE '1970-01-01', period - DATE '1970-01-01', (`+string(measure)+`)::float8, z.customers, NULL::int, NULL::timestamptz
FROM bought b CROSS JOIN LATERAL (SELECT `+q.start(&s, "b.day")+` AS period) p JOIN size z USING (cohort)
WHERE b.day < `+s.arg(dateParam(q.Until))+`::date GROUP BY b.cohort, period, z.customers`, s.args...)
}

// CohortSnapshots adds up a measure over the snapshots of a type, by the period that they look back on: overall drift, churn risk, or
// whether the customer is dominant in a segment, under its model. Count is the snapshots that have it.
func (db *DB) CohortSnapshots(ctx context.Context, q CohortQuery, kind engine.SnapshotType, measure CohortMeasure, segment SegmentMatch) ([]CohortSum, error) {
	var s statement
	value := string(measure)
	if measure == CohortDominant {
		value = "CASE WHEN s.model_id = " + s.arg(segment.Model) + " THEN (dominant_at(s.dominant, " + s.arg(segment.Axis) + ") = ANY (" + s.arg(segment.Positions) + "))::int END"
	}
	return collect(ctx, db.read(ctx), pgx.RowToStructByPos[CohortSum], `-- name: CohortSnapshots
WITH chosen AS MATERIALIZED (`+q.chosen(&s)+`)
SELECT c.cohort - DATE '1970-01-01', `+q.start(&s, "(s.snapshot_date - 1)")+` - DATE '1970-01-01', coalesce(sum(`+value+`), 0)::float8, count(`+value+`),
  max(s.snapshot_date) FILTER (WHERE `+value+` IS NOT NULL) - DATE '1970-01-01', max(s.created_at) FILTER (WHERE `+value+` IS NOT NULL)
FROM chosen c JOIN snapshot s ON s.store_id = `+s.arg(q.StoreID)+` AND s.customer_id = c.customer_id
WHERE s.snapshot_type = `+s.arg(int16(kind))+` AND s.snapshot_date <= `+s.arg(dateParam(q.Until))+`::date GROUP BY 1, 2`, s.args...)
}
