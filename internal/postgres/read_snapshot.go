package postgres

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

const readSnapshotFields = `s.store_id, s.customer_id, s.snapshot_type, s.snapshot_date, s.model_id, s.membership, s.dominant, s.orders, s.value_cents, s.first_order, s.active, s.replayed, s.created_at, s.churn_risk, s.predicted_ltv_cents`

// toldRisk leaves of a churn risk what a real holds.
func toldRisk(risk *float64) {
	const digits = 1e6
	if risk != nil {
		*risk = math.Round(*risk*digits) / digits
	}
}

func scanSnapshot(row pgx.CollectableRow) (*engine.Snapshot, error) {
	var s engine.Snapshot
	var kind int16
	var date, first time.Time
	var features []*float32
	err := row.Scan(&s.StoreID, &s.CustomerID, &kind, &date, &s.ModelVersion, membershipOf(&s.Thumbprint), dominantOf(&s.Thumbprint), &s.Purchases, &s.ValueCents, &first,
		&s.Active, &s.Replayed, &s.CreatedAt, &s.ChurnRisk, &s.LTVCents, &features)
	toldRisk(s.ChurnRisk)
	s.Type, s.Date, s.FirstAt, s.Features = engine.SnapshotType(kind), dateOf(date), dateOf(first), featuresOf(features)
	return &s, err
}

// LatestQuery asks for the newest snapshot of a type before a date, with its features or without.
type LatestQuery struct {
	Type     engine.SnapshotType
	Before   engine.Date
	Features bool
}

const latestSnapshots = `-- name: LatestSnapshots
SELECT ` + readSnapshotFields + `, CASE WHEN $5 THEN s.feature END FROM unnest($1::int[], $2::bigint[]) k(store_id, customer_id)
CROSS JOIN LATERAL (
  SELECT * FROM snapshot s WHERE s.store_id = k.store_id AND s.customer_id = k.customer_id AND s.snapshot_type = $3 AND s.snapshot_date < $4
  ORDER BY s.snapshot_date DESC LIMIT 1) s`

// LatestSnapshots gives customers' newest snapshots; customers without one are missing.
func (db *DB) LatestSnapshots(ctx context.Context, refs []CustomerRef, q LatestQuery) (map[CustomerRef]*engine.Snapshot, error) {
	stores, ids := splitRefs(refs)
	found, err := collect(ctx, db.readPlanned(ctx), scanSnapshot, latestSnapshots, stores, ids, int16(q.Type), dateParam(q.Before), q.Features)
	snapshots := make(map[CustomerRef]*engine.Snapshot, len(found))
	for _, s := range found {
		snapshots[CustomerRef{s.StoreID, s.CustomerID}] = s
	}
	return snapshots, err
}

// SnapshotRef names a snapshot.
type SnapshotRef struct {
	CustomerRef
	Type engine.SnapshotType
	Date engine.Date
}

const snapshotsByRef = `-- name: SnapshotsByRef
SELECT ` + readSnapshotFields + `, s.feature FROM unnest($1::int[], $2::bigint[], $3::smallint[], $4::date[]) k(store_id, customer_id, kind, day)
JOIN snapshot s ON s.store_id = k.store_id AND s.customer_id = k.customer_id AND s.snapshot_type = k.kind AND s.snapshot_date = k.day`

// SnapshotsByRef gives snapshots with their features; those that are not there are missing.
func (db *DB) SnapshotsByRef(ctx context.Context, refs []SnapshotRef) (map[SnapshotRef]*engine.Snapshot, error) {
	stores, ids, kinds, days := columnsOf(refs)
	found, err := collect(ctx, db.read(ctx), scanSnapshot, snapshotsByRef, stores, ids, kinds, days)
	snapshots := make(map[SnapshotRef]*engine.Snapshot, len(found))
	for _, s := range found {
		snapshots[SnapshotRef{CustomerRef{s.StoreID, s.CustomerID}, s.Type, s.Date}] = s
	}
	return snapshots, err
}

// columnsOf gives references as the columns of a statement.
func columnsOf(refs []SnapshotRef) (stores []int32, ids []int64, kinds []int16, days []time.Time) {
	for _, r := range refs {
		stores, ids = append(stores, r.StoreID), append(ids, r.CustomerID)
		kinds, days = append(kinds, int16(r.Type)), append(days, dateParam(r.Date))
	}
	return stores, ids, kinds, days
}

// SnapshotCursor is a place in a list of snapshots.
type SnapshotCursor struct {
	CreatedAt time.Time
	Date      engine.Date
	Type      engine.SnapshotType
}

// SnapshotQuery is a page of each customer's snapshots. The zero Type means all. It is comparable: equal queries of many
// customers are one statement.
type SnapshotQuery struct {
	Type       engine.SnapshotType
	From, To   engine.Date
	ByCreation bool
	Descending bool
	Features   bool           // come with the snapshots
	After      SnapshotCursor // zero: none
	Before     SnapshotCursor
	Window
}

// NoDate and EndOfDates bound an open range.
const (
	NoDate     engine.Date = -700_000
	EndOfDates engine.Date = 2_000_000
)

func (q *SnapshotQuery) filter(s *statement) {
	s.where("s.snapshot_date >= ? AND s.snapshot_date < ?", dateParam(q.From), dateParam(q.To))
	if q.Type != 0 {
		s.where("s.snapshot_type = ?", int16(q.Type))
	}
}

func (q *SnapshotQuery) place(s *statement, cursor SnapshotCursor, after bool) {
	if cursor == (SnapshotCursor{}) {
		return
	}
	sign := beyond(after, q.Descending)
	if q.ByCreation {
		s.where("(s.created_at, s.snapshot_date, s.snapshot_type) "+sign+" (?::timestamptz, ?::date, ?::smallint)", cursor.CreatedAt, dateParam(cursor.Date), int16(cursor.Type))
		return
	}
	s.where("(s.snapshot_date, s.snapshot_type) "+sign+" (?::date, ?::smallint)", dateParam(cursor.Date), int16(cursor.Type))
}

// Snapshots gives a page for each customer.
func (db *DB) Snapshots(ctx context.Context, refs []CustomerRef, q SnapshotQuery) (map[CustomerRef][]*engine.Snapshot, error) {
	var s statement
	stores, ids := splitRefs(refs)
	keys := "unnest(" + s.arg(stores) + "::int[], " + s.arg(ids) + "::bigint[]) WITH ORDINALITY k(store_id, customer_id, n)"
	q.filter(&s)
	q.place(&s, q.After, true)
	q.place(&s, q.Before, false)
	direction := q.direction(q.Descending)
	order := "s.snapshot_date " + direction + ", s.snapshot_type " + direction
	if q.ByCreation {
		order = "s.created_at " + direction + ", " + order
	}
	found, err := collect(ctx, db.readPlanned(ctx), scanSnapshot, `-- name: Snapshots
SELECT `+readSnapshotFields+`, CASE WHEN `+s.arg(q.Features)+`::boolean THEN s.feature END FROM `+keys+`
CROSS JOIN LATERAL (
  SELECT * FROM snapshot s WHERE s.store_id = k.store_id AND s.customer_id = k.customer_id`+s.and()+`
  ORDER BY `+order+` LIMIT `+s.arg(q.Limit)+`) s
ORDER BY k.n, `+order, s.args...)
	return byCustomer(found, q.Window), err
}

func byCustomer(found []*engine.Snapshot, w Window) map[CustomerRef][]*engine.Snapshot {
	pages := map[CustomerRef][]*engine.Snapshot{}
	for _, row := range found {
		ref := CustomerRef{row.StoreID, row.CustomerID}
		pages[ref] = append(pages[ref], row)
	}
	for ref := range pages {
		inOrder(w, pages[ref])
	}
	return pages
}

// CountSnapshots counts the whole list of one customer.
func (db *DB) CountSnapshots(ctx context.Context, ref CustomerRef, q SnapshotQuery) (int, error) {
	var s statement
	s.where("s.store_id = ? AND s.customer_id = ?", ref.StoreID, ref.CustomerID)
	q.filter(&s)
	var count int
	err := db.read(ctx).QueryRow(ctx, "-- name: CountSnapshots\nSELECT count(*) FROM snapshot s WHERE true"+s.and(), s.args...).Scan(&count)
	return count, err
}

// TimelineQuery is a series of snapshots of one type in [From, To).
type TimelineQuery struct {
	Type     engine.SnapshotType
	From, To engine.Date
	Model    int  // features come with snapshots of other models
	Features bool // and with all of them
	Limit    int  // the newest
}

const timelineRows = `-- name: Timeline
SELECT ` + readSnapshotFields + `, s.feature FROM unnest($1::int[], $2::bigint[]) k(store_id, customer_id)
CROSS JOIN LATERAL (
  SELECT s.store_id, s.customer_id, s.snapshot_type, s.snapshot_date, s.model_id, s.membership, s.dominant, s.orders, s.value_cents, s.first_order, s.active,
         s.replayed, s.created_at, s.churn_risk, s.predicted_ltv_cents, CASE WHEN s.model_id <> $6 OR $8 THEN s.feature END AS feature
  FROM snapshot s WHERE s.store_id = k.store_id AND s.customer_id = k.customer_id AND s.snapshot_type = $3 AND s.snapshot_date >= $4 AND s.snapshot_date < $5
  ORDER BY s.snapshot_date DESC LIMIT $7) s
ORDER BY s.snapshot_date DESC`

// Timeline gives customers' series, oldest first.
func (db *DB) Timeline(ctx context.Context, refs []CustomerRef, q TimelineQuery) (map[CustomerRef][]*engine.Snapshot, error) {
	stores, ids := splitRefs(refs)
	found, err := collect(ctx, db.readPlanned(ctx), scanSnapshot, timelineRows, stores, ids, int16(q.Type), dateParam(q.From), dateParam(q.To), q.Model, q.Limit, q.Features)
	return byCustomer(found, Window{Backward: true}), err
}

// SnapshotCount tells about all snapshots of a type.
type SnapshotCount struct {
	Type           engine.SnapshotType
	Count          int64
	Oldest, Newest engine.Date
}

const snapshotCounts = `-- name: SnapshotCounts
SELECT snapshot_type, count(*), min(snapshot_date), max(snapshot_date) FROM snapshot WHERE store_id = ANY ($1) GROUP BY snapshot_type ORDER BY snapshot_type`

// SnapshotCounts counts the stores' snapshots by type.
func (db *DB) SnapshotCounts(ctx context.Context, storeIDs []int32) ([]SnapshotCount, error) {
	return collect(ctx, db.read(ctx), func(row pgx.CollectableRow) (SnapshotCount, error) {
		var c SnapshotCount
		var kind int16
		var oldest, newest time.Time
		err := row.Scan(&kind, &c.Count, &oldest, &newest)
		c.Type, c.Oldest, c.Newest = engine.SnapshotType(kind), dateOf(oldest), dateOf(newest)
		return c, err
	}, snapshotCounts, storeIDs)
}
