package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/watch"
)

// transitionStates are the states by the number that is stored.
var transitionStates = []watch.TransitionState{watch.TransitionUnclear, watch.TransitionPending, watch.TransitionConfirmed, watch.TransitionReverted}

// StoredTransition is a customer's change of the dominant segment.
type StoredTransition struct {
	ID           int64 // 0: not written yet
	StoreID      int32
	CustomerID   int64
	Type         engine.SnapshotType
	Axis         int
	ModelVersion int
	watch.Transition
	DaysInPrevious *int // in the segment before; nil where its begin is not known. Only lists have it
}

const transitionFields = `e.transition_id, e.store_id, e.customer_id, e.snapshot_type, e.axis, e.model_id, e.from_segment, e.to_segment, e.first_date, e.state,
  e.settled_on, e.lead, e.score, e.by_order`

func (t *StoredTransition) scan(row pgx.CollectableRow, more ...any) error {
	var kind, state int16
	var date time.Time
	var settled *time.Time
	targets := []any{
		&t.ID, &t.StoreID, &t.CustomerID, &kind, &t.Axis, &t.ModelVersion, &t.From, &t.To, &date, &state, &settled, &t.Lead, &t.Score, &t.ByOrder,
	}
	err := row.Scan(append(targets, more...)...)
	t.Type, t.Date, t.State = engine.SnapshotType(kind), dateOf(date), transitionStates[state]
	if settled != nil {
		t.Settled = dateOf(*settled)
	}
	return err
}

// ended gives the day on which a transition was settled as a parameter.
func (t *StoredTransition) ended() *time.Time {
	if t.Open() {
		return nil
	}
	return timeParam(dateParam(t.Settled))
}

const openTransitions = `-- name: OpenTransitions
SELECT ` + transitionFields + ` FROM segment_transition e
WHERE e.store_id = $1 AND e.customer_id BETWEEN $2 AND $3 AND e.snapshot_type = $4 AND e.settled_on IS NULL AND e.first_date < $5`

// OpenTransitions gives the transitions before a date that the next snapshot of a customer of the range will settle.
func (tx *Tx) OpenTransitions(ctx context.Context, storeID int32, customers CustomerRange, kind engine.SnapshotType, before engine.Date) ([]*StoredTransition, error) {
	return collect(ctx, tx, func(row pgx.CollectableRow) (*StoredTransition, error) {
		t := &StoredTransition{}
		return t, t.scan(row)
	}, openTransitions, storeID, customers.From, customers.To, int16(kind), dateParam(before))
}

const settleTransitions = `-- name: SettleTransitions
UPDATE segment_transition t SET state = s.state, settled_on = s.settled_on
FROM unnest($2::bigint[], $3::smallint[], $4::date[]) s(transition_id, state, settled_on)
WHERE t.store_id = $1 AND t.transition_id = s.transition_id`

var transitionColumns = []string{
	"store_id", "customer_id", "snapshot_type", "axis", "model_id", "from_segment", "to_segment", "first_date", "state", "settled_on", "lead", "score", "by_order",
}

// WriteTransitions writes new transitions and how earlier ones of the store ended. Unclear ones that ended are kept: if the snapshot
// that ended them is replaced, they are open again.
func (tx *Tx) WriteTransitions(ctx context.Context, storeID int32, begun, ended []*StoredTransition) error {
	var ids []int64
	var states []int16
	var days []*time.Time
	for _, t := range ended {
		ids, days = append(ids, t.ID), append(days, t.ended())
		states = append(states, int16(slices.Index(transitionStates, t.State)))
	}
	if len(ids) > 0 {
		if _, err := tx.Exec(ctx, settleTransitions, storeID, ids, states, days); err != nil {
			return err
		}
	}
	if len(begun) == 0 {
		return nil
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"segment_transition"}, transitionColumns, pgx.CopyFromSlice(len(begun), func(i int) ([]any, error) {
		t := begun[i]
		return []any{
			storeID, t.CustomerID, int16(t.Type), int16(t.Axis), t.ModelVersion, int16(t.From), int16(t.To), dateParam(t.Date),
			int16(slices.Index(transitionStates, t.State)), t.ended(), int16(t.Lead), t.Score, t.ByOrder,
		}, nil
	}))
	return err
}

const removeTransitions = `-- name: RemoveTransitions
DELETE FROM segment_transition WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND first_date = ANY ($5)`

// What a snapshot settled that is taken away is open again.
const reopenTransitions = `-- name: ReopenTransitions
UPDATE segment_transition SET state = least(state, 1), settled_on = NULL
WHERE store_id = $1 AND customer_id BETWEEN $2 AND $3 AND snapshot_type = $4 AND settled_on = ANY ($5)`

// TransitionCursor is a place in a list of transitions, newest first.
type TransitionCursor struct {
	Date engine.Date
	ID   int64
}

// TransitionQuery is a page of the transitions of a store that count, newest first. What is set must all hold.
type TransitionQuery struct {
	Axes          []int
	States        []watch.TransitionState
	From, To      engine.Date // of the first date with the new segment
	Type          engine.SnapshotType
	FromSegments  []SegmentAt
	ToSegments    []SegmentAt
	After, Before *TransitionCursor
	Window
}

func (q *TransitionQuery) filter(s *statement) {
	s.where("e.state > 0")
	s.where("e.first_date >= ? AND e.first_date < ?", dateParam(q.From), dateParam(q.To))
	if q.Axes != nil {
		axes := make([]int16, len(q.Axes))
		for i, a := range q.Axes {
			axes[i] = int16(a)
		}
		s.where("e.axis = ANY (?)", axes)
	}
	if q.States != nil {
		states := make([]int16, len(q.States))
		for i, state := range q.States {
			states[i] = int16(slices.Index(transitionStates, state))
		}
		s.where("e.state = ANY (?)", states)
	}
	if q.Type != 0 {
		s.where("e.snapshot_type = ?", int16(q.Type))
	}
	inSegments(s, "e.from_segment", q.FromSegments)
	inSegments(s, "e.to_segment", q.ToSegments)
}

func (q *TransitionQuery) place(s *statement, cursor *TransitionCursor, after bool) {
	if cursor != nil {
		s.where("(e.first_date, e.transition_id) "+beyond(after, true)+" (?::date, ?::bigint)", dateParam(cursor.Date), cursor.ID)
	}
}

// ListedTransition is a transition with its customer.
type ListedTransition struct {
	StoredTransition
	Customer engine.Customer
}

func scanListedTransition(row pgx.CollectableRow) (*ListedTransition, error) {
	t := &ListedTransition{}
	var first, last *time.Time
	err := t.scan(row, append([]any{&t.DaysInPrevious}, customerTargets(&t.Customer, &first, &last)...)...)
	t.Customer.FirstOrderAt, t.Customer.LastOrderAt = timeOf(first), timeOf(last)
	return t, err
}

// A stay begins with the last confirmed transition into the segment.
const listedTransition = transitionFields + `, e.first_date - (
  SELECT max(p.first_date) FROM segment_transition p WHERE p.store_id = e.store_id AND p.customer_id = e.customer_id AND p.snapshot_type = e.snapshot_type
    AND p.axis = e.axis AND p.model_id = e.model_id AND p.to_segment = e.from_segment AND p.state = 2 AND p.first_date < e.first_date), ` + customerFields

// Transitions gives a page of a store's transitions.
func (db *DB) Transitions(ctx context.Context, storeID int32, q TransitionQuery) ([]*ListedTransition, error) {
	var s statement
	s.where("e.store_id = ?", storeID)
	q.filter(&s)
	q.place(&s, q.After, true)
	q.place(&s, q.Before, false)
	direction := q.direction(true)
	order := "ORDER BY e.first_date " + direction + ", e.transition_id " + direction
	rows, err := collect(ctx, db.read(ctx), scanListedTransition, `-- name: Transitions
SELECT `+listedTransition+` FROM (SELECT * FROM segment_transition e WHERE true`+s.and()+`
  `+order+` LIMIT `+s.arg(q.Limit)+`) e`+customerOfEvent+` `+order, s.args...)
	return inOrder(q.Window, rows), err
}

// CustomerTransitions gives a page of the transitions of each customer.
func (db *DB) CustomerTransitions(ctx context.Context, refs []CustomerRef, q TransitionQuery) (map[CustomerRef][]*ListedTransition, error) {
	var s statement
	stores, ids := splitRefs(refs)
	keys := "unnest(" + s.arg(stores) + "::int[], " + s.arg(ids) + "::bigint[]) k(store_id, customer_id)"
	q.filter(&s)
	q.place(&s, q.After, true)
	q.place(&s, q.Before, false)
	direction := q.direction(true)
	order := "ORDER BY e.first_date " + direction + ", e.transition_id " + direction
	found, err := collect(ctx, db.read(ctx), scanListedTransition, `-- name: CustomerTransitions
SELECT `+listedTransition+` FROM `+keys+` CROSS JOIN LATERAL (
  SELECT * FROM segment_transition e WHERE e.store_id = k.store_id AND e.customer_id = k.customer_id`+s.and()+`
  `+order+` LIMIT `+s.arg(q.Limit)+`) e`+customerOfEvent+` `+order, s.args...)
	pages := map[CustomerRef][]*ListedTransition{}
	for _, t := range found {
		ref := CustomerRef{t.StoreID, t.CustomerID}
		pages[ref] = append(pages[ref], t)
	}
	for ref := range pages {
		inOrder(q.Window, pages[ref])
	}
	return pages, err
}

// CountTransitions counts the whole list of a store, or of one of its customers (0: all).
func (db *DB) CountTransitions(ctx context.Context, storeID int32, customerID int64, q TransitionQuery) (int, error) {
	var s statement
	s.where("e.store_id = ?", storeID)
	if customerID != 0 {
		s.where("e.customer_id = ?", customerID)
	}
	q.filter(&s)
	var count int
	err := db.read(ctx).QueryRow(ctx, "-- name: CountTransitions\nSELECT count(*) FROM segment_transition e WHERE true"+s.and(), s.args...).Scan(&count)
	return count, err
}

const recordTransitions = `-- name: RecordTransitions
SELECT ` + transitionFields + ` FROM segment_transition e WHERE e.store_id = $1 AND e.customer_id = $2 ORDER BY e.first_date, e.snapshot_type, e.axis`
