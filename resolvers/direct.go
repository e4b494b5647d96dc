package resolvers

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/direct"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/graph/scalar"
	"github.com/quimbi/quimbi/internal/postgres"
)

// directly are the types whose values are written without gqlgen, where all that is selected of them can be.
type directly struct {
	segments  *direct.Object[model.Segment]
	timelines *direct.Object[model.Timeline]
	axes      *direct.Object[model.AxisTimeline]
	customers *direct.Object[model.Customer]
	pages     *direct.Object[model.CustomerConnection]
}

// AroundFields writes directly what can be, and leaves the rest to gqlgen.
func (d *directly) AroundFields(ctx context.Context, next graphql.Resolver) (any, error) {
	value, err := next(ctx)
	if err != nil {
		return value, err
	}
	answer, ok := any(nil), false
	switch v := value.(type) {
	case []*model.Segment:
		answer, ok = d.segments.AnswerAll(ctx, v)
	case *model.Timeline:
		answer, ok = d.timelines.Answer(ctx, v)
	case []*model.AxisTimeline:
		answer, ok = d.axes.AnswerAll(ctx, v)
	case *model.CustomerConnection:
		answer, ok = d.pages.Answer(ctx, v)
	case []*model.Customer:
		answer, ok = d.customers.AnswerAll(ctx, v)
	}
	if ok {
		return answer, nil
	}
	return value, nil
}

// Direct gives what writes answers without gqlgen, for AroundFields.
func (r *Resolver) Direct() graphql.FieldMiddleware {
	var d directly
	d.segments = directSegments()
	d.axes = directAxes(d.segments)
	d.timelines = directTimelines(d.axes)
	d.customers = r.directCustomers()
	d.pages = directPages(d.customers)
	return d.AroundFields
}

var node = []string{"Node"}

// Writers of scalars.

func word[W ~string](w *direct.Writer, v W) { w.Text(string(v)) }

func reason(w *direct.Writer, v *engine.AxisReason) { scalarOrNull(w, v, scalar.MarshalAxisReason) }

func scalarOrNull[V any](w *direct.Writer, v *V, marshal func(V) graphql.Marshaler) {
	if v == nil {
		graphql.Null.MarshalGQL(w)
		return
	}
	marshal(*v).MarshalGQL(w)
}

// optional is a writer of what may be missing.
func optional[V any](marshal func(V) graphql.Marshaler) func(*direct.Writer, *V) {
	return func(w *direct.Writer, v *V) { scalarOrNull(w, v, marshal) }
}

// required is a writer of what a marshaler must not give as null.
func required[V any](marshal func(V) graphql.Marshaler) func(*direct.Writer, V) {
	return func(w *direct.Writer, v V) {
		m := marshal(v)
		if m == graphql.Null {
			w.Fail()
		}
		m.MarshalGQL(w)
	}
}

func floats(w *direct.Writer, list []float64) { scalar.MarshalFloatList(list).MarshalGQL(w) }

func directAxis() *direct.Object[model.Axis] {
	type axis = *model.Axis
	return &direct.Object[model.Axis]{Type: "Axis", Interfaces: node, Fields: map[string]direct.Field[axis]{
		"id":          direct.Write(axis.ID, (*direct.Writer).Text),
		"key":         direct.Write(axis.Key, (*direct.Writer).Text),
		"name":        direct.Write(axis.Name, (*direct.Writer).Text),
		"description": direct.Write(axis.Description, (*direct.Writer).Text),
		"dimension":   direct.Write(axis.Dimension, word[engine.Dimension]),
	}}
}

func directSegments() *direct.Object[model.Segment] {
	type segment = *model.Segment
	o := &direct.Object[model.Segment]{Type: "Segment", Interfaces: node, Fields: map[string]direct.Field[segment]{
		"id":           direct.Write(segment.ID, (*direct.Writer).Text),
		"key":          direct.Write(func(s segment) string { return s.Key }, (*direct.Writer).Text),
		"path":         direct.Write(func(s segment) string { return s.Path }, (*direct.Writer).Text),
		"name":         direct.Write(func(s segment) string { return s.Name }, (*direct.Writer).Text),
		"namedByHand":  direct.Write(segment.NamedByHand, (*direct.Writer).Bool),
		"modelVersion": direct.Write(segment.ModelVersion, (*direct.Writer).Int),
		"depth":        direct.Write(func(s segment) int { return s.Depth }, (*direct.Writer).Int),
		"isLeaf":       direct.Write(func(s segment) bool { return s.IsLeaf() }, (*direct.Writer).Bool),
		"isStratum":    direct.Write(segment.IsStratum, (*direct.Writer).Bool),
		"memberCount":  direct.Write(segment.MemberCount, (*direct.Writer).Int),
		"share":        direct.Write(func(s segment) float64 { return s.Share }, (*direct.Writer).Float),
		"fuzzySize":    direct.Write(func(s segment) float64 { return s.FuzzySize }, (*direct.Writer).Float),
		"riskWeight":   direct.Write(func(s segment) *float64 { return s.RiskWeight }, (*direct.Writer).FloatOrNull),
	}}
	o.Fields["axis"] = direct.One(func(_ *direct.Writer, s segment) *model.Axis { return s.Axis() }, false, directAxis())
	o.Fields["parent"] = direct.One(func(_ *direct.Writer, s segment) segment { return s.Parent() }, true, o)
	o.Fields["children"] = direct.Many(segment.Children, o)
	o.Fields["ancestors"] = direct.Many(segment.Ancestors, o)
	return o
}

func directAxes(segments *direct.Object[model.Segment]) *direct.Object[model.AxisTimeline] {
	type axis = *model.AxisTimeline
	type series = *model.MembershipSeries
	lines := &direct.Object[model.MembershipSeries]{Type: "MembershipSeries", Fields: map[string]direct.Field[series]{
		"segment": direct.One(func(_ *direct.Writer, s series) *model.Segment { return s.Segment }, false, segments),
		"scores":  direct.Write(func(s series) []float64 { return s.Scores }, floats),
	}}
	return &direct.Object[model.AxisTimeline]{Type: "AxisTimeline", Fields: map[string]direct.Field[axis]{
		"axis":          direct.One(func(_ *direct.Writer, a axis) *model.Axis { return a.Axis }, false, directAxis()),
		"status":        direct.Write(func(a axis) engine.AxisStatus { return a.Status }, word[engine.AxisStatus]),
		"reason":        direct.Write(func(a axis) *engine.AxisReason { return a.Reason }, reason),
		"dominantPaths": direct.Write(func(a axis) []*string { return a.DominantPaths }, direct.Each((*direct.Writer).TextOrNull)),
		"driftScores":   direct.Write(func(a axis) []float64 { return a.DriftScores }, floats),
		"segmentPaths":  direct.Write(axis.SegmentPaths, direct.Each((*direct.Writer).Text)),
		"scores": direct.Write(func(a axis) [][]float64 { return a.Scores }, func(w *direct.Writer, rows [][]float64) {
			scalar.MarshalFloatTable(rows).MarshalGQL(w)
		}),
		"series": direct.Many(axis.Series, lines),
	}}
}

func directTimelines(axes *direct.Object[model.AxisTimeline]) *direct.Object[model.Timeline] {
	type timeline = *model.Timeline
	return &direct.Object[model.Timeline]{Type: "Timeline", Fields: map[string]direct.Field[timeline]{
		"dates":              direct.Write(timeline.Dates, direct.Each(required(scalar.MarshalDate))),
		"modelVersion":       direct.Write(timeline.ModelVersion, (*direct.Writer).Int),
		"modelVersions":      direct.Write(timeline.ModelVersions, direct.Each((*direct.Writer).Int)),
		"computed":           direct.Write(timeline.Computed, direct.Each((*direct.Writer).Bool)),
		"overallDriftScores": direct.Write(timeline.OverallDriftScores, floats),
		"churnRiskScores":    direct.Write(timeline.ChurnRiskScores, floats),
		"predictedLtvs":      direct.Write(timeline.PredictedLtvs, direct.Each(optional(scalar.MarshalDecimal))),
		"riskLevels":         direct.Write(timeline.RiskLevels, floats),
		"orders":             direct.Write(timeline.Orders, direct.Each((*direct.Writer).Int)),
		"totalValues":        direct.Write(timeline.TotalValues, direct.Each(required(scalar.MarshalDecimal))),
		"axes":               direct.Many(timeline.Axes, axes),
	}}
}

func (r *Resolver) directCustomers() *direct.Object[model.Customer] {
	type customer = *model.Customer
	return &direct.Object[model.Customer]{Type: "Customer", Interfaces: node, Fields: map[string]direct.Field[customer]{
		"id":             direct.Write(customer.ID, (*direct.Writer).Text),
		"customerId":     direct.Write(customer.CustomerID, (*direct.Writer).Text),
		"storeId":        direct.Write(customer.StoreID, (*direct.Writer).Text),
		"firstOrderAt":   direct.Write(func(c customer) graphql.Marshaler { return scalar.MarshalDateTime(c.FirstOrderAt) }, marshaled),
		"lastOrderAt":    direct.Write(func(c customer) graphql.Marshaler { return scalar.MarshalDateTime(c.LastOrderAt) }, marshaled),
		"orderCount":     direct.Write(customer.OrderCount, (*direct.Writer).Int),
		"totalValue":     direct.Write(customer.TotalValue, required(scalar.MarshalDecimal)),
		"asOf":           direct.Write(func(c customer) *engine.Date { return c.AsOf }, optional(scalar.MarshalDate)),
		"computed":       direct.Write(func(c customer) bool { return c.Computed }, (*direct.Writer).Bool),
		"latestSnapshot": r.directLatest(r.directSnapshots()),
		"dominantPaths": directPaths(func(w *direct.Writer, c customer) (*engine.Model, engine.Thumbprint, error) {
			if c.Page == nil {
				w.Fail()
				return nil, engine.Thumbprint{}, nil
			}
			state, m, err := r.state(w.Context, c, false)
			if err != nil || state == nil {
				return m, engine.Thumbprint{}, err
			}
			return m, state.Thumbprint, nil
		}),
	}}
}

func marshaled(w *direct.Writer, m graphql.Marshaler) { m.MarshalGQL(w) }

// directLatest is the field latestSnapshot of customers that were read together: for others a loader has to wait.
func (r *Resolver) directLatest(snapshots *direct.Object[model.Snapshot]) direct.Field[*model.Customer] {
	return func(op *graphql.OperationContext, f graphql.CollectedField) (func(*direct.Writer, *model.Customer), bool) {
		kind, err := scalar.UnmarshalSnapshotType(f.ArgumentMap(op.Variables)["type"])
		if err != nil {
			return nil, false
		}
		q := postgres.LatestQuery{Type: kind}
		return direct.One(func(w *direct.Writer, c *model.Customer) *model.Snapshot {
			if c.Page == nil {
				w.Fail()
				return nil
			}
			q := q
			q.Before = until(c, postgres.EndOfDates)
			s, err := r.latest(w.Context, c, q)
			if err != nil {
				w.Fail()
			}
			return s
		}, true, snapshots)(op, f)
	}
}

func (r *Resolver) directSnapshots() *direct.Object[model.Snapshot] {
	type snapshot = *model.Snapshot
	return &direct.Object[model.Snapshot]{Type: "Snapshot", Interfaces: node, Fields: map[string]direct.Field[snapshot]{
		"id":                   direct.Write(snapshot.ID, (*direct.Writer).Text),
		"storeId":              direct.Write(snapshot.StoreID, (*direct.Writer).Text),
		"date":                 direct.Write(func(s snapshot) engine.Date { return s.Date }, required(scalar.MarshalDate)),
		"type":                 direct.Write(func(s snapshot) engine.SnapshotType { return s.Type }, required(scalar.MarshalSnapshotType)),
		"modelVersion":         direct.Write(func(s snapshot) int { return s.ModelVersion }, (*direct.Writer).Int),
		"churnRiskScore":       direct.Write(snapshot.ChurnRiskScore, (*direct.Writer).FloatOrNull),
		"predictedLtv":         direct.Write(snapshot.PredictedLtv, optional(scalar.MarshalDecimal)),
		"ordersAtSnapshot":     direct.Write(snapshot.OrdersAtSnapshot, (*direct.Writer).Int),
		"totalValueAtSnapshot": direct.Write(snapshot.TotalValueAtSnapshot, required(scalar.MarshalDecimal)),
		"daysSinceFirstOrder":  direct.Write(snapshot.DaysSinceFirstOrder, optional(scalar.MarshalInt)),
		"tenureMonths":         direct.Write(snapshot.TenureMonths, (*direct.Writer).FloatOrNull),
		"replayed":             direct.Write(func(s snapshot) bool { return s.Replayed }, (*direct.Writer).Bool),
		"computed":             direct.Write(func(s snapshot) bool { return s.Computed }, (*direct.Writer).Bool),
		"dataVersion":          direct.Write(snapshot.DataVersion, (*direct.Writer).Text),
		"dominantPaths": directPaths(func(w *direct.Writer, s snapshot) (*engine.Model, engine.Thumbprint, error) {
			m, err := r.version(w.Context, s.Customer.Store, &s.ModelVersion)
			return m, s.Snapshot.Thumbprint, err
		}),
	}}
}

// directPaths is a field dominantPaths(axes, level) of what stands at a thumbprint under a model.
func directPaths[T any](stand func(*direct.Writer, T) (*engine.Model, engine.Thumbprint, error)) direct.Field[T] {
	return func(op *graphql.OperationContext, f graphql.CollectedField) (func(*direct.Writer, T), bool) {
		args := f.ArgumentMap(op.Variables)
		level, ok := args["level"].(string)
		if !ok || args["axes"] != nil {
			return nil, false
		}
		each := direct.Each((*direct.Writer).TextOrNull)
		return func(w *direct.Writer, v T) {
			m, print, err := stand(w, v)
			if err != nil {
				w.Fail()
				return
			}
			paths, err := model.DominantPaths(m, print, nil, engine.Level(level))
			if err != nil {
				w.Fail()
			}
			each(w, paths)
		}, true
	}
}

func directPages(customers *direct.Object[model.Customer]) *direct.Object[model.CustomerConnection] {
	type page = *model.CustomerConnection
	type edge = *model.CustomerEdge
	type info = *model.PageInfo
	edges := &direct.Object[model.CustomerEdge]{Type: "CustomerEdge", Fields: map[string]direct.Field[edge]{
		"cursor": direct.Write(func(e edge) string { return e.Cursor }, (*direct.Writer).Text),
		"node":   direct.One(func(_ *direct.Writer, e edge) *model.Customer { return e.Node }, false, customers),
	}}
	infos := &direct.Object[model.PageInfo]{Type: "PageInfo", Fields: map[string]direct.Field[info]{
		"hasNextPage":     direct.Write(func(i info) bool { return i.HasNextPage }, (*direct.Writer).Bool),
		"hasPreviousPage": direct.Write(func(i info) bool { return i.HasPreviousPage }, (*direct.Writer).Bool),
		"startCursor":     direct.Write(func(i info) *string { return i.StartCursor }, (*direct.Writer).TextOrNull),
		"endCursor":       direct.Write(func(i info) *string { return i.EndCursor }, (*direct.Writer).TextOrNull),
	}}
	return &direct.Object[model.CustomerConnection]{Type: "CustomerConnection", Fields: map[string]direct.Field[page]{
		"edges":    direct.Many(func(p page) []edge { return p.Edges }, edges),
		"nodes":    direct.Many(page.Nodes, customers),
		"pageInfo": direct.One(func(_ *direct.Writer, p page) info { return p.PageInfo }, false, infos),
	}}
}
