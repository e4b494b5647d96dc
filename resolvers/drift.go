package resolvers

import (
	"context"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

const driftKind = "driftEvents"

// driftQuery reads a filter. Without one the feed shows what is worth reading: MODERATE or worse, caused by orders.
func (r *Resolver) driftQuery(ctx context.Context, f *model.DriftEventFilter) (postgres.DriftQuery, error) {
	if f == nil {
		f = &model.DriftEventFilter{}
	}
	q := postgres.DriftQuery{MinSeverity: engine.SeverityModerate, SegmentChanged: f.SegmentChanged}
	if f.MinSeverity != nil {
		q.MinSeverity = *f.MinSeverity
	}
	q.ByOrder = causes(f.Causes)
	if f.Type != nil {
		q.Type = *f.Type
	}
	if f.AnomaliesOnly != nil {
		q.AnomaliesOnly = *f.AnomaliesOnly
	}
	var err error
	if q.From, q.To, err = dates(f.Range); err != nil {
		return q, err
	}
	if f.Axes != nil {
		if q.Axes, err = model.SelectAxes(f.Axes); err != nil {
			return q, err
		}
	}
	if q.FromSegments, err = r.segmentsAt(ctx, f.FromSegmentIds); err != nil {
		return q, err
	}
	q.ToSegments, err = r.segmentsAt(ctx, f.ToSegmentIds)
	return q, err
}

// causes gives what ByOrder must be, nil for any; ORDER alone where nothing is told.
func causes(list []model.DriftCause) *bool {
	order, time := list == nil, false
	for _, c := range list {
		order = order || c == model.DriftCauseOrder
		time = time || c == model.DriftCauseTime
	}
	if order && time {
		return nil
	}
	return &order
}

func (r *Resolver) segmentsAt(ctx context.Context, ids []string) ([]postgres.SegmentAt, error) {
	if ids == nil {
		return nil, nil
	}
	segments, err := r.segments(ctx, ids)
	at := make([]postgres.SegmentAt, 0, len(segments))
	for _, s := range segments {
		at = append(at, postgres.SegmentAt{StoreID: s.Store.Store.ID, Model: s.Model.Version, Axis: s.AxisIndex(), Index: s.Index()})
	}
	return at, err
}

func eventCursor(e *postgres.ListedEvent) postgres.DriftCursor {
	return postgres.DriftCursor{To: e.To, ID: e.ID, StoreID: e.StoreID}
}

func eventView(e *postgres.ListedEvent, store *model.Store) *model.DriftEvent {
	return &model.DriftEvent{DriftEvent: &e.DriftEvent, Customer: &model.Customer{Customer: &e.Customer, Store: store}}
}

func (r *Resolver) driftFeed(ctx context.Context, f *model.DriftEventFilter, first *int, after *string, last *int, before *string) (*model.DriftEventConnection, error) {
	page, err := pageOf[postgres.DriftCursor](driftKind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	q, err := r.driftQuery(ctx, f)
	if err != nil {
		return nil, err
	}
	q.After, q.Before, q.Window = page.after, page.before, page.window()
	var key *string
	if f != nil {
		key = f.StoreID
	}
	ids, stores, err := r.stores(ctx, key)
	if err != nil {
		return nil, err
	}
	rows, err := r.DB.DriftFeed(ctx, ids, q)
	if err != nil {
		return nil, err
	}
	node := func(e *postgres.ListedEvent) *model.DriftEvent { return eventView(e, stores[e.StoreID]) }
	count := func(ctx context.Context) (int, error) { return r.DB.CountDriftFeed(ctx, ids, q) }
	connection := newPage(driftKind, page, rows, eventCursor, node, count)
	var customers []*model.Customer
	for _, e := range connection.Nodes() {
		customers = append(customers, e.Customer)
	}
	model.AsPage(customers)
	return connection, nil
}

func (r *Resolver) customerDrift(ctx context.Context, c *model.Customer, f *model.DriftEventFilter, first *int, after *string, last *int, before *string) (*model.DriftEventConnection, error) {
	page, err := pageOf[postgres.DriftCursor](driftKind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	q, err := r.driftQuery(ctx, f)
	if err != nil {
		return nil, err
	}
	q.After, q.Before, q.Window = page.after, page.before, page.window()
	if f != nil && f.StoreID != nil && *f.StoreID != c.Store.Key {
		return nil, engine.Errorf(engine.CodeInvalid, "the customer is of store %q, so its events cannot be filtered by another", c.Store.Key)
	}
	q.To = until(c, q.To)
	rows, err := r.driftOf(ctx, c, q)
	if err != nil {
		return nil, err
	}
	node := func(e *postgres.ListedEvent) *model.DriftEvent {
		return &model.DriftEvent{DriftEvent: &e.DriftEvent, Customer: c}
	}
	count := func(ctx context.Context) (int, error) { return r.DB.CountCustomerDrift(ctx, refOf(c), q) }
	return newPage(driftKind, page, rows, eventCursor, node, count), nil
}

// timelineEvents gives all stored events of a timeline's dates, oldest first.
func (r *Resolver) timelineEvents(ctx context.Context, t *model.Timeline) ([]*model.DriftEvent, error) {
	events := []*model.DriftEvent{}
	if len(t.Rows) == 0 {
		return events, nil
	}
	q := postgres.DriftQuery{
		Type: t.Type, From: t.Rows[0].Date, To: t.Rows[len(t.Rows)-1].Date + 1,
		Window: postgres.Window{Limit: maxDates * engine.AxisCount, Backward: true},
	}
	rows, err := r.driftOf(ctx, t.Customer, q)
	for i := len(rows) - 1; i >= 0; i-- {
		events = append(events, &model.DriftEvent{DriftEvent: &rows[i].DriftEvent, Customer: t.Customer})
	}
	return events, err
}

func (r *Resolver) driftEvent(ctx context.Context, store *model.Store, id int64) (*model.DriftEvent, error) {
	e, err := r.DB.DriftEvent(ctx, store.Store.ID, id)
	if err != nil {
		return nil, err
	}
	return eventView(e, store), nil
}

// eventSnapshot gives the snapshot at one end of an event; nil once retention has let it go.
func (r *Resolver) eventSnapshot(ctx context.Context, e *model.DriftEvent, date engine.Date) (*model.Snapshot, error) {
	ref := postgres.SnapshotRef{CustomerRef: refOf(e.Customer), Type: e.Type, Date: date}
	s, err := orNone(r.loaders(ctx).snapshot.Load(ctx, ref))
	if err != nil || s == nil {
		return nil, err
	}
	return &model.Snapshot{Snapshot: s, Customer: e.Customer}, nil
}

// eventSegment gives the dominant segment at one end of an event.
func (r *Resolver) eventSegment(ctx context.Context, e *model.DriftEvent, index int) (*model.Segment, error) {
	m, err := r.version(ctx, e.Customer.Store, &e.ModelVersion)
	if err != nil {
		return nil, err
	}
	axis := e.DriftEvent.Axis
	if index < 0 || index >= len(m.Axes[axis].Segments) {
		return nil, notFound
	}
	return model.NewSegment(e.Customer.Store, m, axis, index), nil
}
