package resolvers

import (
	"context"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/journey"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

// What one look at a whole store may read.
const (
	maxFollowedDates     = 60
	maxFollowedSnapshots = 250_000
)

// followed gives which snapshots of a store are read: of the type's own days of a range, the 26 weeks up to the store's now where
// none is told, and of every n-th customer where there would be too many. Fault: INVALID.
func followed(store *model.Store, kind engine.SnapshotType, span *model.DateRange, version int) (postgres.SeriesQuery, error) {
	q := postgres.SeriesQuery{StoreID: store.Store.ID, Type: kind, Model: version, Every: 1}
	from, to, err := dates(span)
	now := store.Now()
	if err != nil || now == nil {
		return q, err
	}
	if to == postgres.EndOfDates {
		to = *now + 1
	}
	if from == postgres.NoDate {
		from = to - timelineDays
	}
	if q.Dates, err = ownDays(kind, from, to, maxFollowedDates); err != nil {
		return q, err
	}
	q.Every = everyNth(store.Customers*len(q.Dates), maxFollowedSnapshots)
	return q, nil
}

// ownDays lists a type's own days in a range. Fault: INVALID with more than most of them.
func ownDays(kind engine.SnapshotType, from, to engine.Date, most int) ([]engine.Date, error) {
	if int(to-from) <= (most+1)*(kind.Days()+1) {
		if days := kind.Dates(from, to); len(days) <= most {
			return days, nil
		}
	}
	return nil, engine.Errorf(engine.CodeInvalid, "the range holds more than %d dates of this type; ask for a shorter one, or for a type of longer steps", most)
}

// journey follows a store's customers on an axis.
func (r *Resolver) journey(ctx context.Context, store *model.Store, key string, kind engine.SnapshotType, span *model.DateRange, level engine.Level, weighting model.FlowWeighting) (*model.Journey, error) {
	axis, err := axisOf(store, key)
	if err != nil {
		return nil, err
	}
	m, err := r.inForce(ctx, store)
	if err != nil {
		return nil, err
	}
	q, err := followed(store, kind, span, store.ModelVersion)
	if err != nil {
		return nil, err
	}
	found := &journey.Journey{}
	if status, _ := axis.StatusUnder(m); status == engine.AxisOn && len(q.Dates) > 0 {
		soft := weighting == model.FlowWeightingSoft
		c := journey.NewCollector(m, axis.Index, level, model.ChurnHorizon(m), q.Dates, soft)
		a := &m.Axes[axis.Index]
		err := r.DB.EachOnAxis(ctx, postgres.AxisQuery{SeriesQuery: q, Axis: axis.Index, First: a.First, Leaves: a.Leaves, Memberships: soft}, func(s *postgres.AxisRow) {
			c.Add(journey.Place(*s))
		})
		if err != nil {
			return nil, err
		}
		found = c.Journey()
	}
	view := model.NewJourney(axis, m, found, weighting, q.Every)
	view.Freshness = &model.Freshness{ModelVersion: view.ModelVersion(), NextSnapshotAt: r.nextSnapshot(store)}
	if n := len(found.Dates); n > 0 {
		view.Freshness.ComputedAt, view.Freshness.SnapshotDate = &found.TakenAt, &found.Dates[n-1]
	}
	return view, nil
}

// placesShape is what is read of customers to tell their ways on an axis.
type placesShape struct {
	axis     int
	kind     engine.SnapshotType
	from, to engine.Date
	version  int
}

// places reads where customers' snapshots put them on an axis, oldest first.
func (r *Resolver) places(ctx context.Context, refs []postgres.CustomerRef, q placesShape) (map[postgres.CustomerRef][]journey.Place, error) {
	days, err := ownDays(q.kind, q.from, q.to, maxDates)
	if err != nil {
		return nil, err
	}
	found := make(map[postgres.CustomerRef][]journey.Place, len(refs))
	for storeID, customers := range byStore(refs) {
		rows := postgres.AxisQuery{SeriesQuery: postgres.SeriesQuery{StoreID: storeID, Type: q.kind, Dates: days, Model: q.version, Customers: customers}, Axis: q.axis}
		err := r.DB.EachOnAxis(ctx, rows, func(s *postgres.AxisRow) {
			ref := postgres.CustomerRef{StoreID: storeID, CustomerID: s.CustomerID}
			found[ref] = append(found[ref], journey.Place(*s)) // without memberships nothing of a row is written over
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// customerJourney tells a customer's own way on an axis.
func (r *Resolver) customerJourney(ctx context.Context, c *model.Customer, key string, kind engine.SnapshotType, span *model.DateRange, level engine.Level) (*model.CustomerJourney, error) {
	axis, err := axisOf(c.Store, key)
	if err != nil {
		return nil, err
	}
	m, err := r.inForce(ctx, c.Store)
	if err != nil {
		return nil, err
	}
	from, to, err := dates(span)
	if err != nil {
		return nil, err
	}
	fresh := &model.Freshness{NextSnapshotAt: r.nextSnapshot(c.Store)}
	now := c.Store.Now()
	if status, _ := axis.StatusUnder(m); status != engine.AxisOn || now == nil {
		return model.NewCustomerJourney(axis, m, nil, fresh), nil
	}
	if to = until(c, to); to == postgres.EndOfDates {
		to = *now + 1
	}
	if from == postgres.NoDate {
		from = to - timelineDays
	}
	if _, err := ownDays(kind, from, to, maxDates); err != nil {
		return nil, err
	}
	l := r.loaders(ctx)
	places, err := ofPage(ctx, l, c, placesShape{axis.Index, kind, from, to, m.Version}, l.places, r.places)
	if err != nil {
		return nil, err
	}
	fresh.ModelVersion = &m.Version
	for i := range places {
		fresh.SnapshotDate = &places[i].Date
		if at := &places[i].TakenAt; fresh.ComputedAt == nil || at.After(*fresh.ComputedAt) {
			fresh.ComputedAt = at
		}
	}
	return model.NewCustomerJourney(axis, m, journey.Stages(m, axis.Index, level, model.ChurnHorizon(m), from, places), fresh), nil
}

// populationDrift adds up a store's memberships by date.
func (r *Resolver) populationDrift(ctx context.Context, store *model.Store, kind engine.SnapshotType, span *model.DateRange) (*model.PopulationDrift, error) {
	m, err := r.inForce(ctx, store)
	if err != nil {
		return nil, err
	}
	q, err := followed(store, kind, span, store.ModelVersion)
	if err != nil {
		return nil, err
	}
	means := &journey.Means{}
	if m != nil && len(q.Dates) > 0 {
		p := journey.NewPopulation(m, q.Dates)
		if err := r.DB.EachSnapshot(ctx, q, p.Add); err != nil {
			return nil, err
		}
		means = p.Means()
	}
	return model.NewPopulationDrift(store, m, means, q.Every), nil
}
