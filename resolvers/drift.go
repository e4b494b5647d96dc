package resolvers

import (
	"context"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/risk"
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
	for _, d := range f.Directions {
		q.RiskSigns = append(q.RiskSigns, signs[d])
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

// signs are those of the change of risk.
var signs = map[risk.Direction]int{risk.Improving: -1, risk.Unchanged: 0, risk.Worsening: 1}

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
	connection := newPage(ctx, driftKind, page, rows, eventCursor, node, count)
	var customers []*model.Customer
	for _, e := range connection.Nodes() {
		customers = append(customers, e.Customer)
	}
	model.AsPage(customers)
	model.AsEventPage(connection.Nodes())
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
	return newPage(ctx, driftKind, page, rows, eventCursor, node, count), nil
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
	model.AsEventPage(events)
	return events, err
}

// watchDrift sends drift events as they are found, those after a known one first.
func (r *Resolver) watchDrift(ctx context.Context, f *model.DriftEventFilter, after *string) (<-chan *model.DriftEvent, error) {
	q, err := r.driftQuery(ctx, f)
	if err != nil {
		return nil, err
	}
	q.Provisional, q.Window = true, postgres.Window{Limit: maxPage}
	w := &driftWatch{resolver: r, query: q, events: make(chan *model.DriftEvent)}
	var only int32
	if f != nil && f.StoreID != nil {
		store, err := r.storeByKey(ctx, *f.StoreID)
		if err != nil {
			return nil, err
		}
		w.key, only = f.StoreID, store.Store.ID
	}
	// The watch begins before the first look, so that no event falls between the two.
	changes := r.Events.WatchDrift(ctx, only)
	if after != nil {
		id, err := idOf(*after, model.KindEvent)
		if err != nil {
			return nil, err
		}
		if _, err := r.storeByID(ctx, id.Store); err != nil {
			return nil, err
		}
		w.seen = id.Event
	} else {
		ids, _, err := r.stores(ctx, w.key)
		if err != nil {
			return nil, err
		}
		if w.seen, err = r.DB.NewestDrift(ctx, ids); err != nil {
			return nil, err
		}
	}
	go w.follow(ctx, changes)
	return w.events, nil
}

// driftWatch is a subscriber to drift events.
type driftWatch struct {
	resolver *Resolver
	key      *string // the store's; nil: all
	query    postgres.DriftQuery
	seen     int64 // the number of the last event that was looked at
	events   chan *model.DriftEvent
}

func (w *driftWatch) follow(ctx context.Context, changes <-chan struct{}) {
	defer close(w.events)
	for {
		if err := w.catchUp(ctx); err != nil {
			w.resolver.endStream(ctx, err)
			return
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return
		}
	}
}

// catchUp sends what is newer than the last event that was looked at. Numbers are given in the order in which events become
// visible, so that up to the newest nothing comes later.
func (w *driftWatch) catchUp(ctx context.Context) error {
	r := w.resolver
	ids, stores, err := r.stores(context.WithValue(ctx, loadersKey{}, r.newLoaders()), w.key)
	if err != nil {
		return err
	}
	newest, err := r.DB.NewestDrift(ctx, ids)
	for err == nil && w.seen < newest {
		var rows []*postgres.ListedEvent
		if rows, err = r.DB.DriftBetween(ctx, ids, w.seen, newest, w.query); err != nil {
			return err
		}
		for _, e := range rows {
			if err := deliver(ctx, r, w.events, eventView(e, stores[e.StoreID])); err != nil {
				return err
			}
			w.seen = e.ID
		}
		if len(rows) < w.query.Limit {
			w.seen = newest
		}
	}
	return err
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

// snapshotsOf reads the snapshots around all events of a page at once, when they are first asked of one of them.
func (r *Resolver) snapshotsOf(ctx context.Context, e *model.DriftEvent) (postgres.EventSnapshots, error) {
	page := e.Page
	if page == nil {
		page = &[]*model.DriftEvent{e}
	}
	found, err := onceForPage(r.loaders(ctx), pageKey{page, "snapshots"}, func() (map[int64]postgres.EventSnapshots, error) {
		events := make([]*engine.DriftEvent, len(*page))
		for i, e := range *page {
			events[i] = e.DriftEvent
		}
		return r.DB.EventSnapshots(ctx, events)
	})
	return found[e.DriftEvent.ID], err
}

// eventAcceleration brings the last three snapshots of an event under its model.
func (r *Resolver) eventAcceleration(ctx context.Context, e *model.DriftEvent) (*float64, error) {
	if e.Provisional {
		return nil, nil
	}
	s, err := r.snapshotsOf(ctx, e)
	if err != nil || s.Before == nil || s.From == nil || s.To == nil {
		return nil, err
	}
	m, err := r.version(ctx, e.Customer.Store, &e.ModelVersion)
	if err != nil {
		return nil, err
	}
	return model.NewSeries(e.Customer, m, r.DriftLevel, e.Type, []*engine.Snapshot{s.Before, s.From, s.To}).AccelerationOn(e.DriftEvent.Axis), nil
}

// eventRiskChange compares the churn risks that were stored at both ends of an event.
func (r *Resolver) eventRiskChange(ctx context.Context, e *model.DriftEvent) (*float64, error) {
	if e.Provisional {
		return nil, nil
	}
	s, err := r.snapshotsOf(ctx, e)
	return model.ChurnRiskChange(s.From, s.To), err
}

// laterSnapshot gives the snapshot that an event leads to; a provisional one leads to none yet.
func (r *Resolver) laterSnapshot(ctx context.Context, e *model.DriftEvent) (*model.Snapshot, error) {
	if e.Provisional {
		return nil, nil
	}
	return r.eventSnapshot(ctx, e, e.To)
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
