package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// DriftCursor is a place in a list of drift events, newest first.
type DriftCursor struct {
	To      engine.Date
	ID      int64
	StoreID int32
}

// SegmentAt names a root segment of a model in a drift event.
type SegmentAt struct {
	StoreID int32
	Model   int
	Axis    int
	Index   int
}

// DriftQuery is a page of drift events, newest first. What is set must all hold.
type DriftQuery struct {
	Axes           []int
	MinSeverity    engine.Severity
	ByOrder        *bool
	From, To       engine.Date // of the later date
	Type           engine.SnapshotType
	SegmentChanged *bool
	AnomaliesOnly  bool
	RiskSigns      []int // of the change of risk; nil: any, and unknown ones
	FromSegments   []SegmentAt
	ToSegments     []SegmentAt
	Provisional    bool // provisional ones too
	After, Before  *DriftCursor
	Window
}

// ListedEvent is a drift event with its customer.
type ListedEvent struct {
	engine.DriftEvent
	Customer engine.Customer
}

const eventFields = `e.event_id, e.axis, e.snapshot_type, e.from_date, e.to_date, e.model_id, e.score, e.from_segment, e.to_segment, e.by_order,
  e.axis_anomaly, e.overall_anomaly, e.overall, e.mean_score, e.coverage, e.largest_axis, e.largest_score, e.moderate_axes, e.provisional, e.robust_z, e.risk_change, e.detected_at, ` + customerFields

func scanEvent(row pgx.CollectableRow) (*ListedEvent, error) {
	var e ListedEvent
	var kind int16
	var from, to time.Time
	var first, last *time.Time
	targets := []any{
		&e.ID, &e.Axis, &kind, &from, &to, &e.ModelVersion, &e.Score, &e.FromSegment, &e.ToSegment, &e.ByOrder, &e.AxisAnomaly, &e.OverallAnomaly, &e.Overall,
		&e.Mean, &e.Coverage, &e.LargestAxis, &e.LargestScore, &e.ModerateAxes, &e.Provisional, &e.RobustZ, &e.RiskChange, &e.DetectedAt,
	}
	err := row.Scan(append(targets, customerTargets(&e.Customer, &first, &last)...)...)
	e.Type, e.From, e.To = engine.SnapshotType(kind), dateOf(from), dateOf(to)
	e.Customer.FirstOrderAt, e.Customer.LastOrderAt = timeOf(first), timeOf(last)
	e.StoreID, e.CustomerID = e.Customer.StoreID, e.Customer.ID
	return &e, err
}

// minScores are fixed text, so that the planner sees that the feed's partial index holds what is asked for.
var minScores = map[engine.Severity]string{
	engine.SeverityMinor: "e.score >= 0.1", engine.SeverityModerate: "e.score >= 0.3",
	engine.SeveritySignificant: "e.score >= 0.5", engine.SeverityMajor: "e.score >= 0.7",
}

func (q *DriftQuery) filter(s *statement) {
	if !q.Provisional {
		s.where("NOT e.provisional")
	}
	if condition, ok := minScores[q.MinSeverity]; ok {
		s.where(condition)
	}
	if q.ByOrder != nil {
		if *q.ByOrder {
			s.where("e.by_order")
		} else {
			s.where("NOT e.by_order")
		}
	}
	s.where("e.to_date >= ? AND e.to_date < ?", dateParam(q.From), dateParam(q.To))
	if q.Axes != nil {
		axes := make([]int16, len(q.Axes))
		for i, a := range q.Axes {
			axes[i] = int16(a)
		}
		s.where("e.axis = ANY (?)", axes)
	}
	if q.Type != 0 {
		s.where("e.snapshot_type = ?", int16(q.Type))
	}
	if q.SegmentChanged != nil {
		s.where("(e.from_segment <> e.to_segment) = ?", *q.SegmentChanged)
	}
	if q.AnomaliesOnly {
		s.where("e.axis_anomaly OR e.overall_anomaly")
	}
	if q.RiskSigns != nil {
		s.where("sign(e.risk_change) = ANY (?)", q.RiskSigns)
	}
	inSegments(s, "e.from_segment", q.FromSegments)
	inSegments(s, "e.to_segment", q.ToSegments)
}

// inSegments keeps rows that lead from, or to, one of the segments.
func inSegments(s *statement, column string, segments []SegmentAt) {
	if segments == nil {
		return
	}
	any := "false"
	for _, at := range segments {
		any += " OR (e.store_id, e.model_id, e.axis, " + column + ") = (" + s.arg(at.StoreID) + "::int, " + s.arg(at.Model) + "::int, " + s.arg(int16(at.Axis)) + "::smallint, " + s.arg(int16(at.Index)) + "::smallint)"
	}
	s.where(any)
}

func (q *DriftQuery) place(s *statement, cursor *DriftCursor, after bool) {
	if cursor != nil {
		s.where("(e.to_date, e.event_id, e.store_id) "+beyond(after, true)+" (?::date, ?::bigint, ?::int)", dateParam(cursor.To), cursor.ID, cursor.StoreID)
	}
}

const customerOfEvent = ` JOIN customer c ON c.store_id = e.store_id AND c.customer_id = e.customer_id`

// DriftFeed gives a page of the events of stores.
func (db *DB) DriftFeed(ctx context.Context, storeIDs []int32, q DriftQuery) ([]*ListedEvent, error) {
	var s statement
	stores := s.arg(storeIDs)
	q.filter(&s)
	q.place(&s, q.After, true)
	q.place(&s, q.Before, false)
	direction, limit := q.direction(true), s.arg(q.Limit)
	rows, err := collect(ctx, db.read(ctx), scanEvent, `-- name: DriftFeed
SELECT `+eventFields+` FROM unnest(`+stores+`::int[]) k(store_id) CROSS JOIN LATERAL (
  SELECT * FROM drift_event e WHERE e.store_id = k.store_id`+s.and()+`
  ORDER BY e.to_date `+direction+`, e.event_id `+direction+` LIMIT `+limit+`) e`+customerOfEvent+`
ORDER BY e.to_date `+direction+`, e.event_id `+direction+`, e.store_id `+direction+` LIMIT `+limit, s.args...)
	return inOrder(q.Window, rows), err
}

// CountDriftFeed counts the whole list.
func (db *DB) CountDriftFeed(ctx context.Context, storeIDs []int32, q DriftQuery) (int, error) {
	var s statement
	s.where("e.store_id = ANY (?)", storeIDs)
	q.filter(&s)
	var count int
	err := db.read(ctx).QueryRow(ctx, "-- name: CountDriftFeed\nSELECT count(*) FROM drift_event e WHERE true"+s.and(), s.args...).Scan(&count)
	return count, err
}

// CustomerDrift gives a page of the events of each customer.
func (db *DB) CustomerDrift(ctx context.Context, refs []CustomerRef, q DriftQuery) (map[CustomerRef][]*ListedEvent, error) {
	var s statement
	stores, ids := splitRefs(refs)
	keys := "unnest(" + s.arg(stores) + "::int[], " + s.arg(ids) + "::bigint[]) k(store_id, customer_id)"
	q.filter(&s)
	q.place(&s, q.After, true)
	q.place(&s, q.Before, false)
	direction, limit := q.direction(true), s.arg(q.Limit)
	found, err := collect(ctx, db.read(ctx), scanEvent, `-- name: CustomerDrift
SELECT `+eventFields+` FROM `+keys+` CROSS JOIN LATERAL (
  SELECT * FROM drift_event e WHERE e.store_id = k.store_id AND e.customer_id = k.customer_id`+s.and()+`
  ORDER BY e.to_date `+direction+`, e.event_id `+direction+` LIMIT `+limit+`) e`+customerOfEvent+`
ORDER BY e.to_date `+direction+`, e.event_id `+direction, s.args...)
	pages := map[CustomerRef][]*ListedEvent{}
	for _, e := range found {
		ref := CustomerRef{e.StoreID, e.CustomerID}
		pages[ref] = append(pages[ref], e)
	}
	for ref := range pages {
		inOrder(q.Window, pages[ref])
	}
	return pages, err
}

// CountCustomerDrift counts the whole list of one customer.
func (db *DB) CountCustomerDrift(ctx context.Context, ref CustomerRef, q DriftQuery) (int, error) {
	var s statement
	s.where("e.store_id = ? AND e.customer_id = ?", ref.StoreID, ref.CustomerID)
	q.filter(&s)
	var count int
	err := db.read(ctx).QueryRow(ctx, "-- name: CountCustomerDrift\nSELECT count(*) FROM drift_event e WHERE true"+s.and(), s.args...).Scan(&count)
	return count, err
}

// DriftBetween gives events of stores with numbers over one and up to another, in the order of their numbers.
func (db *DB) DriftBetween(ctx context.Context, storeIDs []int32, after, to int64, q DriftQuery) ([]*ListedEvent, error) {
	var s statement
	s.where("e.store_id = ANY (?)", storeIDs)
	s.where("e.event_id > ? AND e.event_id <= ?", after, to)
	q.filter(&s)
	return collect(ctx, db.read(ctx), scanEvent, `-- name: DriftBetween
SELECT `+eventFields+` FROM drift_event e`+customerOfEvent+` WHERE true`+s.and()+`
ORDER BY e.event_id LIMIT `+s.arg(q.Limit), s.args...)
}

const newestDrift = `-- name: NewestDrift
SELECT coalesce(max(event_id), 0) FROM drift_event WHERE store_id = ANY ($1)`

// NewestDrift gives the number of the newest event of stores, 0 without any.
func (db *DB) NewestDrift(ctx context.Context, storeIDs []int32) (int64, error) {
	var id int64
	err := db.read(ctx).QueryRow(ctx, newestDrift, storeIDs).Scan(&id)
	return id, err
}

const driftEventByID = `-- name: DriftEventByID
SELECT ` + eventFields + ` FROM drift_event e` + customerOfEvent + ` WHERE e.store_id = $1 AND e.event_id = $2`

// DriftEvent gives one event. Fault: NOT_FOUND.
func (db *DB) DriftEvent(ctx context.Context, storeID int32, id int64) (*ListedEvent, error) {
	return one(ctx, db.read(ctx), scanEvent, engine.Errorf(engine.CodeNotFound, "there is no such drift event"), driftEventByID, storeID, id)
}

// EventSnapshots are the snapshots at both ends of an event, and the customer's last one of the type before; nil where one is not
// there.
type EventSnapshots struct{ Before, From, To *engine.Snapshot }

const snapshotsBefore = `-- name: SnapshotsBefore
SELECT ` + readSnapshotFields + `, s.feature FROM unnest($1::int[], $2::bigint[], $3::smallint[], $4::date[]) k(store_id, customer_id, kind, day) CROSS JOIN LATERAL (
  SELECT * FROM snapshot s WHERE s.store_id = k.store_id AND s.customer_id = k.customer_id AND s.snapshot_type = k.kind AND s.snapshot_date < k.day
  ORDER BY s.snapshot_date DESC LIMIT 1) s`

// EventSnapshots gives those of events, with their features, by the events' numbers.
func (db *DB) EventSnapshots(ctx context.Context, events []*engine.DriftEvent) (map[int64]EventSnapshots, error) {
	at := func(e *engine.DriftEvent, date engine.Date) SnapshotRef {
		return SnapshotRef{CustomerRef: CustomerRef{e.StoreID, e.CustomerID}, Type: e.Type, Date: date}
	}
	var earlier, ends []SnapshotRef
	for _, e := range events {
		earlier, ends = append(earlier, at(e, e.From)), append(ends, at(e, e.From), at(e, e.To))
	}
	stores, ids, kinds, days := columnsOf(earlier)
	before, err := collect(ctx, db.read(ctx), scanSnapshot, snapshotsBefore, stores, ids, kinds, days)
	if err != nil {
		return nil, err
	}
	series := map[SnapshotRef][]*engine.Snapshot{} // by all but the date
	for _, s := range before {
		key := SnapshotRef{CustomerRef: CustomerRef{s.StoreID, s.CustomerID}, Type: s.Type}
		series[key] = append(series[key], s)
	}
	found, err := db.SnapshotsByRef(ctx, ends)
	snapshots := make(map[int64]EventSnapshots, len(events))
	for _, e := range events {
		around := EventSnapshots{From: found[at(e, e.From)], To: found[at(e, e.To)]}
		for _, s := range series[at(e, 0)] {
			if s.Date < e.From && (around.Before == nil || around.Before.Date < s.Date) {
				around.Before = s
			}
		}
		snapshots[e.ID] = around
	}
	return snapshots, err
}
