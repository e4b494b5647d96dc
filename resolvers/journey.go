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
	if int(to-from) > (maxFollowedDates+1)*(kind.Days()+1) {
		return q, tooManyFollowed()
	}
	if q.Dates = kind.Dates(from, to); len(q.Dates) > maxFollowedDates {
		return q, tooManyFollowed()
	}
	q.Every = everyNth(store.Customers*len(q.Dates), maxFollowedSnapshots)
	return q, nil
}

func tooManyFollowed() error {
	return engine.Errorf(engine.CodeInvalid, "the range holds more than %d dates of this type; ask for a shorter one, or for a type of longer steps", maxFollowedDates)
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
	return model.NewJourney(axis, m, found, weighting, q.Every), nil
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
