package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// WatchCount is how many customers a detector watched on a date.
type WatchCount struct {
	Date    engine.Date
	Kind    engine.AlarmKind
	Watched int
}

var alarmColumns = []string{
	"store_id", "customer_id", "kind", "alarm_date", "model_id", "value", "threshold", "rate", "orders", "days_silent", "p_value",
}

const removeAlarms = `-- name: RemoveAlarms
DELETE FROM alarm WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND alarm_date = ANY ($4)`

const removeWatches = `-- name: RemoveWatches
DELETE FROM alarm_watch WHERE store_id = $1 AND first_customer BETWEEN $2 AND $3 AND alarm_date = ANY ($4)`

const insertWatches = `-- name: InsertWatches
INSERT INTO alarm_watch (store_id, alarm_date, first_customer, kind, watched)
SELECT $1, w.alarm_date, $2, w.kind, w.watched FROM unnest($3::date[], $4::smallint[], $5::int[]) w(alarm_date, kind, watched)`

// ReplaceAlarms writes the alarms of a range of customers on dates in place of those that are there.
func (tx *Tx) ReplaceAlarms(ctx context.Context, storeID int32, customers CustomerRange, dates []engine.Date, alarms []engine.Alarm, watched []WatchCount) error {
	for _, sql := range []string{removeAlarms, removeWatches} {
		if _, err := tx.Exec(ctx, sql, storeID, customers.From, customers.To, dateParams(dates)); err != nil {
			return err
		}
	}
	days, kinds, counts := make([]time.Time, len(watched)), make([]int16, len(watched)), make([]int32, len(watched))
	for i, w := range watched {
		days[i], kinds[i], counts[i] = dateParam(w.Date), int16(w.Kind), int32(w.Watched)
	}
	if _, err := tx.Exec(ctx, insertWatches, storeID, customers.From, days, kinds, counts); err != nil {
		return err
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"alarm"}, alarmColumns, pgx.CopyFromSlice(len(alarms), func(i int) ([]any, error) {
		a := &alarms[i]
		return []any{a.StoreID, a.CustomerID, int16(a.Kind), dateParam(a.Date), a.ModelVersion, a.Value, a.Threshold, a.Rate, a.Orders, a.DaysSilent, a.PValue}, nil
	}))
	return err
}

// beyondThreshold is how far an alarm lies over its threshold, as a logarithm of odds: it goes on where p-values end.
const beyondThreshold = `CASE a.kind WHEN 1 THEN ln(greatest(a.threshold, 1e-300) / greatest(a.value, 1e-300)) ELSE a.value - a.threshold END`

// A place is a customer's, by the most certain of its alarms, so that one customer takes one place of the budget.
const rankAlarms = `-- name: RankAlarms
UPDATE alarm a SET rank = r.rank FROM (
  SELECT alarm_id, dense_rank() OVER (PARTITION BY alarm_date ORDER BY p_value, beyond DESC, customer_id) AS rank FROM (
    SELECT a.alarm_id, a.alarm_date, a.customer_id, first_value(a.p_value) OVER best AS p_value, first_value(` + beyondThreshold + `) OVER best AS beyond
    FROM alarm a WHERE a.store_id = $1 AND a.alarm_date = ANY ($2)
    WINDOW best AS (PARTITION BY a.alarm_date, a.customer_id ORDER BY a.p_value, ` + beyondThreshold + ` DESC)) b) r
WHERE a.store_id = $1 AND a.alarm_id = r.alarm_id AND a.rank <> r.rank`

// RankAlarms orders the customers who have alarms on each date by how certain the most certain one is: by p-value, and where that is the
// same by how far it is beyond its threshold. All alarms of a customer have its place.
func (tx *Tx) RankAlarms(ctx context.Context, storeID int32, dates []engine.Date) error {
	_, err := tx.Exec(ctx, rankAlarms, storeID, dateParams(dates))
	return err
}

// A week's alarms belong to its snapshots: replayed ones that stay keep theirs.
const forgetAlarms = `-- name: ForgetAlarms
WITH gone AS MATERIALIZED (
  SELECT alarm_date FROM (
    SELECT alarm_date FROM alarm WHERE store_id = $1 AND alarm_date < $2
    UNION SELECT alarm_date FROM alarm_watch WHERE store_id = $1 AND alarm_date < $2) past
  WHERE NOT EXISTS (SELECT FROM snapshot s WHERE s.store_id = $1 AND s.snapshot_type = $3 AND s.snapshot_date = past.alarm_date)),
watches AS (DELETE FROM alarm_watch WHERE store_id = $1 AND alarm_date IN (SELECT alarm_date FROM gone))
DELETE FROM alarm WHERE store_id = $1 AND alarm_date IN (SELECT alarm_date FROM gone)`

// ForgetAlarms removes a store's alarms, and how many were watched, of dates before one whose weekly snapshots are gone.
func (db *DB) ForgetAlarms(ctx context.Context, storeID int32, before engine.Date) error {
	_, err := db.pool.Exec(ctx, forgetAlarms, storeID, dateParam(before), int16(engine.Weekly))
	return err
}

// AlarmCursor is a place in a list of alarms: newest date first, within a date by rank.
type AlarmCursor struct {
	Date engine.Date
	Rank int
	ID   int64
}

// AlarmQuery is a page of alarms. What is set must all hold.
type AlarmQuery struct {
	Kinds         []engine.AlarmKind // nil: all
	From, To      engine.Date
	Standing      *bool
	WithinBudget  *bool
	Budget        *int // alarms a week; nil: all
	After, Before *AlarmCursor
	Window
}

// ListedAlarm is an alarm with its customer.
type ListedAlarm struct {
	engine.Alarm
	EndedAt  time.Time // of the first purchase from the alarm's day on; zero while it stands
	Customer engine.Customer
}

func (q *AlarmQuery) filter(s *statement) {
	if q.Kinds != nil {
		kinds := make([]int16, len(q.Kinds))
		for i, k := range q.Kinds {
			kinds[i] = int16(k)
		}
		s.where("a.kind = ANY (?)", kinds)
	}
	s.where("a.alarm_date >= ? AND a.alarm_date < ?", dateParam(q.From), dateParam(q.To))
	if q.Standing != nil {
		s.where("(e.ended_at IS NULL) = ?", *q.Standing)
	}
	switch {
	case q.WithinBudget == nil:
	case q.Budget != nil:
		s.where("(a.rank <= ?) = ?", *q.Budget, *q.WithinBudget)
	default:
		s.where("?", *q.WithinBudget) // all of them are
	}
}

// The alarm's end: the first purchase that still stands from the alarm's day on, in the store's zone.
const fromAlarms = ` FROM alarm a JOIN store t ON t.store_id = a.store_id CROSS JOIN LATERAL (
  SELECT min(o.ordered_at) AS ended_at FROM customer_order o
  WHERE o.store_id = a.store_id AND o.customer_id = a.customer_id AND o.quantity > 0 AND o.cancelled_at IS NULL
    AND o.ordered_at >= a.alarm_date::timestamp AT TIME ZONE t.time_zone) e`

const alarmFields = `a.alarm_id, a.kind, a.alarm_date, a.model_id, a.value, a.threshold, a.rate, a.orders, a.days_silent, a.p_value, a.rank, e.ended_at, ` + customerFields

const customerOfAlarm = ` JOIN customer c ON c.store_id = a.store_id AND c.customer_id = a.customer_id`

func scanAlarm(row pgx.CollectableRow) (*ListedAlarm, error) {
	var a ListedAlarm
	var kind int16
	var date time.Time
	var ended, first, last *time.Time
	targets := []any{&a.ID, &kind, &date, &a.ModelVersion, &a.Value, &a.Threshold, &a.Rate, &a.Orders, &a.DaysSilent, &a.PValue, &a.Rank, &ended}
	err := row.Scan(append(targets, customerTargets(&a.Customer, &first, &last)...)...)
	a.Kind, a.Date, a.EndedAt = engine.AlarmKind(kind), dateOf(date), timeOf(ended)
	a.Customer.FirstOrderAt, a.Customer.LastOrderAt = timeOf(first), timeOf(last)
	a.StoreID, a.CustomerID = a.Customer.StoreID, a.Customer.ID
	return &a, err
}

func (q *AlarmQuery) place(s *statement, cursor *AlarmCursor, after bool) {
	if cursor != nil { // the date descends, and what follows ascends
		s.where("a.alarm_date "+beyond(after, true)+" ?::date OR a.alarm_date = ?::date AND (a.rank, a.alarm_id) "+beyond(after, false)+" (?::int, ?::bigint)",
			dateParam(cursor.Date), dateParam(cursor.Date), cursor.Rank, cursor.ID)
	}
}

func (q *AlarmQuery) order() string {
	dates, others := q.direction(true), q.direction(false)
	return "\nORDER BY a.alarm_date " + dates + ", a.rank " + others + ", a.alarm_id " + others
}

// Alarms gives a page of the alarms of a store.
func (db *DB) Alarms(ctx context.Context, storeID int32, q AlarmQuery) ([]*ListedAlarm, error) {
	var s statement
	s.where("a.store_id = ?", storeID)
	q.filter(&s)
	q.place(&s, q.After, true)
	q.place(&s, q.Before, false)
	rows, err := collect(ctx, db.read(ctx), scanAlarm, `-- name: Alarms
SELECT `+alarmFields+fromAlarms+customerOfAlarm+` WHERE true`+s.and()+q.order()+` LIMIT `+s.arg(q.Limit), s.args...)
	return inOrder(q.Window, rows), err
}

// CustomerAlarms gives a page of the alarms of each customer.
func (db *DB) CustomerAlarms(ctx context.Context, refs []CustomerRef, q AlarmQuery) (map[CustomerRef][]*ListedAlarm, error) {
	var s statement
	stores, ids := splitRefs(refs)
	keys := "unnest(" + s.arg(stores) + "::int[], " + s.arg(ids) + "::bigint[]) k(store_id, customer_id)"
	q.filter(&s)
	q.place(&s, q.After, true)
	q.place(&s, q.Before, false)
	found, err := collect(ctx, db.read(ctx), scanAlarm, `-- name: CustomerAlarms
SELECT l.* FROM `+keys+` CROSS JOIN LATERAL (
  SELECT `+alarmFields+fromAlarms+customerOfAlarm+`
  WHERE a.store_id = k.store_id AND a.customer_id = k.customer_id`+s.and()+q.order()+` LIMIT `+s.arg(q.Limit)+`) l`, s.args...)
	pages := map[CustomerRef][]*ListedAlarm{}
	for _, a := range found {
		ref := CustomerRef{a.StoreID, a.CustomerID}
		pages[ref] = append(pages[ref], a)
	}
	for ref := range pages {
		inOrder(q.Window, pages[ref])
	}
	return pages, err
}

// CountAlarms counts a whole list. customer is one of the store's, nil for all of them.
func (db *DB) CountAlarms(ctx context.Context, storeID int32, customer *int64, q AlarmQuery) (count int, err error) {
	var s statement
	s.where("a.store_id = ?", storeID)
	if customer != nil {
		s.where("a.customer_id = ?", *customer)
	}
	q.filter(&s)
	err = db.read(ctx).QueryRow(ctx, `-- name: CountAlarms
SELECT count(*)`+fromAlarms+` WHERE true`+s.and(), s.args...).Scan(&count)
	return count, err
}

// FalseDiscoveryRate is the share of a store's list that customers who did not change are expected to have raised; nil where nothing is listed. A customer counts
// once a date, by its most certain alarm. Of a date and a detector as many false ones are expected as all watched customers raise up to
// the least certain of these: watched p / 52. So the list has to hold the most certain alarms of its dates and detectors, which it
// does unless standing or those beyond the budget are asked for: then nil too.
func (db *DB) FalseDiscoveryRate(ctx context.Context, storeID int32, q AlarmQuery) (rate *float64, err error) {
	if q.Standing != nil || q.WithinBudget != nil && !*q.WithinBudget {
		return nil, nil
	}
	var s statement
	s.where("a.store_id = ?", storeID)
	q.filter(&s)
	err = db.read(ctx).QueryRow(ctx, `-- name: FalseDiscoveryRate
SELECT (sum(least(g.n, g.p * w.watched / 52)) / sum(g.n))::float8 FROM (
  SELECT store_id, alarm_date, kind, count(*) AS n, max(p_value) AS p FROM (
    SELECT DISTINCT ON (a.alarm_date, a.customer_id) a.store_id, a.alarm_date, a.kind, a.p_value`+fromAlarms+` WHERE true`+s.and()+`
    ORDER BY a.alarm_date, a.customer_id, a.p_value, `+beyondThreshold+` DESC) best
  GROUP BY store_id, alarm_date, kind) g
CROSS JOIN LATERAL (SELECT coalesce(sum(watched), 0) AS watched FROM alarm_watch w WHERE w.store_id = g.store_id AND w.alarm_date = g.alarm_date AND w.kind = g.kind) w`,
		s.args...).Scan(&rate)
	return rate, err
}

const recordAlarms = `-- name: RecordAlarms
SELECT ` + alarmFields + fromAlarms + customerOfAlarm + `
WHERE a.store_id = $1 AND a.customer_id = $2 ORDER BY a.alarm_date, a.kind`

const alarmByID = `-- name: AlarmByID
SELECT ` + alarmFields + fromAlarms + customerOfAlarm + ` WHERE a.store_id = $1 AND a.alarm_id = $2`

// Alarm gives one alarm. Fault: NOT_FOUND.
func (db *DB) Alarm(ctx context.Context, storeID int32, id int64) (*ListedAlarm, error) {
	return one(ctx, db.read(ctx), scanAlarm, engine.Errorf(engine.CodeNotFound, "there is no such alarm"), alarmByID, storeID, id)
}
