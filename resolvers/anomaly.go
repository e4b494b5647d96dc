package resolvers

import (
	"context"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

// spreadOf tells how the drifts of the store's customers lie in the interval of a drift; nil where that is not known.
func (r *Resolver) spreadOf(ctx context.Context, o *model.OverallDrift) (watch.Spread, error) {
	if o.Step == nil || o.Score == nil {
		return nil, nil
	}
	return orNone(r.loaders(ctx).spread.Load(ctx, postgres.SpreadRef{StoreID: o.Step.Customer.Customer.StoreID, Type: o.Step.Type, Date: o.Step.To}))
}

func (r *Resolver) percentile(ctx context.Context, o *model.OverallDrift) (*float64, error) {
	spread, err := r.spreadOf(ctx, o)
	if err != nil || spread == nil {
		return nil, err
	}
	below := spread.Below(*o.Score)
	return &below, nil
}

func (r *Resolver) excess(ctx context.Context, o *model.OverallDrift) (*float64, error) {
	spread, err := r.spreadOf(ctx, o)
	if err != nil || spread == nil {
		return nil, err
	}
	excess := *o.Score - spread.Median()
	return &excess, nil
}

// driftsUntil asks for customers' drifts between snapshots of a type, up to a day.
type driftsUntil struct {
	kind engine.SnapshotType
	day  engine.Date
}

func (r *Resolver) ownDrifts(ctx context.Context, refs []postgres.CustomerRef, q driftsUntil) (map[postgres.CustomerRef][]watch.Dated, error) {
	all := make(map[postgres.CustomerRef][]watch.Dated, len(refs))
	for storeID, customers := range byStore(refs) {
		found, err := r.DB.DriftsOf(ctx, storeID, customers, q.kind, q.day)
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			all[postgres.CustomerRef{StoreID: storeID, CustomerID: c.CustomerID}] = c.Drifts
		}
	}
	return all, nil
}

// robustZ gives what an event keeps; of other steps it is worked out.
func (r *Resolver) robustZ(ctx context.Context, o *model.OverallDrift) (*float64, error) {
	switch {
	case o.Step == nil || o.Score == nil || !o.Step.ByOrder:
		return nil, nil
	case o.Step.Event != nil:
		return o.Step.Event.RobustZ, nil
	}
	l, step := r.loaders(ctx), o.Step
	drifts, err := ofPage(ctx, l, step.Customer, driftsUntil{step.Type, step.To - 1}, l.ownDrifts, r.ownDrifts)
	if err != nil || len(drifts) == 0 {
		return nil, err
	}
	medians, err := r.DB.SpreadMedians(ctx, step.Customer.Customer.StoreID, step.Type)
	if err != nil {
		return nil, err
	}
	z, ok := watch.Last(append(drifts[:len(drifts):len(drifts)], watch.Dated{Day: int(step.To), Drift: *o.Score}), medians)
	if !ok {
		return nil, nil
	}
	return &z, nil
}

func (r *Resolver) isAnomaly(ctx context.Context, o *model.OverallDrift) (*bool, error) {
	if o.Score == nil {
		return nil, nil
	}
	if o.Step != nil && o.Step.Event != nil {
		return &o.Step.Event.OverallAnomaly, nil
	}
	z, err := r.robustZ(ctx, o)
	if err != nil {
		return nil, err
	}
	anomaly := *o.Score >= r.AnomalyThreshold || z != nil && *z >= watch.AnomalousZ
	return &anomaly, nil
}
