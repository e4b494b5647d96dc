package resolvers

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/explain"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

// stores gives the stores that a list goes over: the one named, or all that the caller sees. Fault: NOT_FOUND.
func (r *Resolver) stores(ctx context.Context, key *string) (ids []int32, byID map[int32]*model.Store, err error) {
	byID = map[int32]*model.Store{}
	if key != nil {
		store, err := r.storeByKey(ctx, *key)
		if err != nil {
			return nil, nil, err
		}
		byID[store.Store.ID] = store
		return []int32{store.Store.ID}, byID, nil
	}
	views, err := r.storeViews(ctx)
	for _, v := range views {
		ids = append(ids, v.ID)
		byID[v.ID] = r.storeView(v)
	}
	return ids, byID, err
}

var customerSorts = map[model.CustomerOrderField]postgres.CustomerSort{
	model.CustomerOrderFieldCustomerID: postgres.SortByKey, model.CustomerOrderFieldTotalValue: postgres.SortByValue,
	model.CustomerOrderFieldOrderCount: postgres.SortByOrders, model.CustomerOrderFieldLastOrderAt: postgres.SortByLastOrder,
	model.CustomerOrderFieldDrift: postgres.SortByDrift, model.CustomerOrderFieldChurnRisk: postgres.SortByChurnRisk,
	model.CustomerOrderFieldPredictedLtv: postgres.SortByLTV,
}

func (r *Resolver) customers(ctx context.Context, f *model.CustomerFilter, order model.CustomerOrder, asOf *engine.Date, first *int, after *string, last *int, before *string) (*model.CustomerConnection, error) {
	kind := fmt.Sprintf("customers %s %s", order.Field, order.Direction)
	if asOf != nil {
		kind += " " + asOf.String()
	}
	page, err := pageOf[postgres.CustomerCursor](kind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	if f == nil {
		f = &model.CustomerFilter{}
	}
	q := postgres.CustomerQuery{
		Sort: customerSorts[order.Field], Descending: order.Direction == model.OrderDirectionDesc,
		Severities: f.Severities, After: page.after, Before: page.before, Window: page.window(),
	}
	ids, stores, err := r.stores(ctx, f.StoreID)
	if err != nil {
		return nil, err
	}
	q.StoreIDs = ids
	if err := r.filterCustomers(ctx, f, &q); err != nil {
		return nil, err
	}
	if err := r.pastFilter(ctx, &q, stores, asOf); err != nil {
		return nil, err
	}
	rows, err := r.DB.Customers(ctx, q)
	if err != nil {
		return nil, err
	}
	cursor := func(c *postgres.ListedCustomer) postgres.CustomerCursor { return c.Cursor }
	node := func(c *postgres.ListedCustomer) *model.Customer {
		return &model.Customer{Customer: &c.Customer, Store: stores[c.StoreID], AsOf: asOf, Computed: c.Computed}
	}
	count := func(ctx context.Context) (int, error) { return r.DB.CountCustomers(ctx, q) }
	connection := newPage(ctx, kind, page, rows, cursor, node, count)
	model.AsPage(connection.Nodes())
	return connection, nil
}

func (r *Resolver) filterCustomers(ctx context.Context, f *model.CustomerFilter, q *postgres.CustomerQuery) error {
	if f.CustomerIDPrefix != nil {
		q.Prefix = *f.CustomerIDPrefix
		if slices.Contains([]byte(q.Prefix), 0) {
			return engine.Errorf(engine.CodeInvalid, "a customerId holds no zero byte")
		}
	}
	if f.TotalValue != nil {
		q.MinValue, q.MaxValue = f.TotalValue.Min, f.TotalValue.Max
	}
	if f.ChurnRisk != nil {
		q.MinRisk, q.MaxRisk = f.ChurnRisk.Min, f.ChurnRisk.Max
	}
	if err := filterMarks(f, q); err != nil {
		return err
	}
	if f.FirstOrder != nil {
		if _, _, err := dates(f.FirstOrder); err != nil {
			return err
		}
		q.FirstFrom, q.FirstTo = f.FirstOrder.From, f.FirstOrder.To
	}
	if f.MinMembership != nil {
		u := *f.MinMembership
		if !(u > 0 && u <= 1) || f.SegmentIds == nil {
			return engine.Errorf(engine.CodeInvalid, "minMembership is over 0 and up to 1, and goes with segmentIds")
		}
		q.MinUnits = int(math.Ceil(math.Round(u*engine.MembershipUnit*1e6) / 1e6))
	}
	if f.SegmentIds == nil {
		return nil
	}
	segments, err := r.segments(ctx, f.SegmentIds)
	q.Segments = make([]postgres.SegmentMatch, 0, len(segments))
	for _, s := range segments {
		q.Segments = append(q.Segments, matchOf(s))
	}
	return err
}

// filterMarks puts shapes and outliers into a query. Fault: INVALID.
func filterMarks(f *model.CustomerFilter, q *postgres.CustomerQuery) error {
	if f.Shapes == nil && f.Outlier == nil {
		if f.ShapeAxes != nil || f.ShapeLevel != nil {
			return engine.Errorf(engine.CodeInvalid, "shapeAxes and shapeLevel go with shapes or outlier")
		}
		return nil
	}
	axes, err := model.SelectAxes(f.ShapeAxes)
	if err != nil {
		return err
	}
	if f.Shapes != nil {
		level := engine.LevelLeaves
		if f.ShapeLevel != nil {
			level = *f.ShapeLevel
		}
		m := postgres.MarkMatch{Axes: axes, Mask: int(explain.ShapeMask(level)), Values: []int{}}
		for _, shape := range f.Shapes {
			m.Values = append(m.Values, int(explain.ShapeMark(level, shape)))
		}
		q.Marks = append(q.Marks, m)
	}
	if f.Outlier != nil {
		bit := int(explain.OutlierBit)
		q.Marks = append(q.Marks, postgres.MarkMatch{Axes: axes, Mask: bit, Values: []int{bit}, Not: !*f.Outlier})
	}
	return nil
}

// shapeCounts counts the shapes of customers on an axis, of all axes of the store at once; nil unless the axis is on.
func (r *Resolver) shapeCounts(ctx context.Context, axis *model.Axis, level engine.Level) (*model.ShapeCounts, error) {
	m, err := r.inForce(ctx, axis.Store)
	if err != nil {
		return nil, err
	}
	if status, _ := axis.StatusUnder(m); status != engine.AxisOn {
		return nil, nil
	}
	found, err := onceForPage(r.loaders(ctx), pageKey{axis.Store.Store.ID, "marks"}, func() ([]postgres.MarkCount, error) {
		return r.DB.MarkCounts(ctx, axis.Store.Store.ID, m.Version)
	})
	counts := &model.ShapeCounts{}
	for _, c := range found {
		mark := explain.Mark(c.Mark)
		if c.Axis != axis.Index || mark == 0 {
			continue
		}
		counts.Customers += c.Customers
		switch mark & explain.ShapeMask(level) {
		case explain.ShapeMark(level, explain.ShapeClear):
			counts.Clear += c.Customers
		case explain.ShapeMark(level, explain.ShapeHybrid):
			counts.Hybrid += c.Customers
		case explain.ShapeMark(level, explain.ShapeDiffuse):
			counts.Diffuse += c.Customers
		}
		if mark&explain.OutlierBit != 0 {
			counts.Outliers += c.Customers
		}
	}
	return counts, err
}

func matchOf(s *model.Segment) postgres.SegmentMatch {
	return postgres.SegmentMatch{StoreID: s.Store.Store.ID, Model: s.Model.Version, Axis: s.AxisIndex(), Positions: s.LeafPositions()}
}

// state gives where a customer stands, now or on its day, with its features where they are needed, and under which model;
// both nil where it has no place yet.
func (r *Resolver) state(ctx context.Context, c *model.Customer, features bool) (*postgres.CustomerState, *engine.Model, error) {
	if c.AsOf != nil {
		return r.pastPlace(ctx, c)
	}
	state, err := r.stateOf(ctx, c, features)
	if err != nil {
		return nil, nil, err
	}
	version := &c.Store.ModelVersion
	if state != nil {
		version = &state.ModelVersion
	} else if *version == 0 {
		return nil, nil, nil
	}
	m, err := r.version(ctx, c.Store, version)
	return state, m, err
}

func (r *Resolver) thumbprint(ctx context.Context, c *model.Customer, axes []string, level engine.Level) ([]*model.AxisMembership, error) {
	state, m, err := r.state(ctx, c, explained(ctx))
	if err != nil {
		return nil, err
	}
	stand := model.Standing{Purchases: c.Orders}
	if state != nil {
		stand.Thumbprint, stand.Features = state.Thumbprint, state.Features
	}
	return model.Thumbprint(c.Store, m, stand, axes, level)
}

func (r *Resolver) dominantPaths(ctx context.Context, c *model.Customer, axes []string, level engine.Level) ([]*string, error) {
	state, m, err := r.state(ctx, c, false)
	if err != nil {
		return nil, err
	}
	var print engine.Thumbprint
	if state != nil {
		print = state.Thumbprint
	}
	return model.DominantPaths(m, print, axes, level)
}

func (r *Resolver) latestSnapshot(ctx context.Context, c *model.Customer, kind engine.SnapshotType) (*model.Snapshot, error) {
	return r.latest(ctx, c, postgres.LatestQuery{Type: kind, Before: until(c, postgres.EndOfDates), Features: explained(ctx)})
}

func (r *Resolver) latest(ctx context.Context, c *model.Customer, q postgres.LatestQuery) (*model.Snapshot, error) {
	l := r.loaders(ctx)
	s, err := ofPage(ctx, l, c, q, l.latest, r.DB.LatestSnapshots)
	if err != nil || s == nil {
		return nil, err
	}
	return &model.Snapshot{Snapshot: s, Customer: c}, nil
}

func (r *Resolver) snapshots(ctx context.Context, c *model.Customer, span *model.DateRange, kind *engine.SnapshotType, order model.SnapshotOrder, first *int, after *string, last *int, before *string) (*model.SnapshotConnection, error) {
	name := fmt.Sprintf("snapshots %s %s", order.Field, order.Direction)
	page, err := pageOf[postgres.SnapshotCursor](name, first, after, last, before)
	if err != nil {
		return nil, err
	}
	q := postgres.SnapshotQuery{ByCreation: order.Field == model.SnapshotOrderFieldCreatedAt, Descending: order.Direction == model.OrderDirectionDesc, Features: explained(ctx), Window: page.window()}
	if q.From, q.To, err = dates(span); err != nil {
		return nil, err
	}
	q.To = until(c, q.To)
	if kind != nil {
		q.Type = *kind
	}
	if page.after != nil {
		q.After = *page.after
	}
	if page.before != nil {
		q.Before = *page.before
	}
	l := r.loaders(ctx)
	rows, err := ofPage(ctx, l, c, q, l.snapshots, r.DB.Snapshots)
	if err != nil {
		return nil, err
	}
	cursor := func(s *engine.Snapshot) postgres.SnapshotCursor {
		return postgres.SnapshotCursor{CreatedAt: s.CreatedAt.UTC(), Date: s.Date, Type: s.Type}
	}
	node := func(s *engine.Snapshot) *model.Snapshot { return &model.Snapshot{Snapshot: s, Customer: c} }
	count := func(ctx context.Context) (int, error) { return r.DB.CountSnapshots(ctx, refOf(c), q) }
	return newPage(ctx, name, page, rows, cursor, node, count), nil
}

// until ends a range after the day that everything about the customer is told for.
func until(c *model.Customer, to engine.Date) engine.Date {
	if c.AsOf == nil {
		return to
	}
	return min(to, *c.AsOf+1)
}

// maxDates is the most dates of a timeline.
const maxDates = 520

// series reads a customer's snapshots of a type and brings them under the model in force, now or at the beginning of asOf; then
// days without a snapshot are worked out. days is the length of the range where none is given, back from the store's now.
func (r *Resolver) series(ctx context.Context, c *model.Customer, span *model.DateRange, kind engine.SnapshotType, days engine.Date, asOf *engine.Date) (*model.Series, error) {
	from, to, err := dates(span)
	if err != nil {
		return nil, err
	}
	now := c.Store.Now()
	if asOf == nil {
		asOf = c.AsOf
	} else if err := checkPast(c.Store, *asOf); err != nil {
		return nil, err
	}
	if asOf != nil {
		now = asOf
	}
	if span == nil && now != nil {
		from, to = *now-days+1, *now+1
	}
	l := r.loaders(ctx)
	if asOf != nil {
		past, err := ofPage(ctx, l, c, pastQuery{kind: kind, from: from, to: min(to, *asOf+1), asOf: *asOf, features: explained(ctx)}, l.pastSeries, r.pastSeries)
		return model.NewSeries(c, past.model, r.DriftLevel, kind, past.rows), err
	}
	m, err := r.inForce(ctx, c.Store)
	if err != nil {
		return nil, err
	}
	q := postgres.TimelineQuery{Type: kind, From: from, To: to, Model: c.Store.ModelVersion, Features: explained(ctx), Limit: maxDates + 1}
	rows, err := ofPage(ctx, l, c, q, l.timeline, r.DB.Timeline)
	if err != nil {
		return nil, err
	}
	if len(rows) > maxDates {
		return nil, tooManyDates()
	}
	return model.NewSeries(c, m, r.DriftLevel, kind, rows), nil
}

// Default ranges, in days.
const (
	timelineDays = 26 * 7
	analysisDays = 30
)

func (r *Resolver) timeline(ctx context.Context, c *model.Customer, span *model.DateRange, kind engine.SnapshotType, axes []string, level engine.Level, asOf *engine.Date) (*model.Timeline, error) {
	series, err := r.series(ctx, c, span, kind, timelineDays, asOf)
	if err != nil {
		return nil, err
	}
	return model.NewTimeline(series, axes, level)
}

func (r *Resolver) driftAnalysis(ctx context.Context, c *model.Customer, span *model.DateRange, kind engine.SnapshotType, axes []string, asOf *engine.Date) (*model.DriftAnalysis, error) {
	series, err := r.series(ctx, c, span, kind, analysisDays, asOf)
	if err != nil {
		return nil, err
	}
	if series = series.Latest(); len(series.Rows) < 2 || series.Model == nil {
		return nil, nil
	}
	aligned, err := r.aligned(ctx, series)
	if err != nil {
		return nil, err
	}
	analysis, err := series.Analysis(axes, aligned)
	if err != nil {
		return nil, err
	}
	analysis.Risk = model.NewRiskShift(series, asOf)
	if aligned == nil {
		analysis.Parting(func() (*model.Split, error) { return r.split(ctx, series) })
	}
	return analysis, nil
}
