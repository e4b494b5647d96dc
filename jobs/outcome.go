package jobs

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/risk"
	"github.com/quimbi/quimbi/internal/postgres"
)

// learn gives the segments of a new model their risk weights: customers as they stood one horizon before the model's day,
// scored under the model, and what became of them since. One pass over the orders.
func (r *Runner) learn(ctx context.Context, store *engine.Store, m *engine.Model) error {
	horizon := r.settings.Prediction.HorizonDays
	total := risk.NewTally(m, horizon)
	instants, err := r.instants(ctx, store, []engine.Date{total.AsOf(), m.AsOf})
	if err != nil {
		return err
	}
	ranges, err := r.db.CustomerRanges(ctx, store.ID, tableChunk)
	if err != nil {
		return err
	}
	tallies := make([]*risk.Tally, len(ranges))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.settings.workers())
	for i, customers := range ranges {
		group.Go(func() error {
			tallies[i] = risk.NewTally(m, horizon)
			return r.tally(ctx, tallies[i], store, customers, instants)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, part := range tallies {
		total.Merge(part)
	}
	total.Weigh()
	return nil
}

// tally counts the customers of a range; the instants are the tally's day and the model's.
func (r *Runner) tally(ctx context.Context, t *risk.Tally, store *engine.Store, customers postgres.CustomerRange, instants []engine.Instant) error {
	builder, scorer := engine.NewBuilder(store.Zone, store.Columns), t.Model().NewScorer()
	var then engine.Thumbprint
	for customer, err := range r.db.Lines(ctx, store.ID, customers, instants[1].At) {
		if err != nil {
			return err
		}
		known, lost := false, true
		builder.Build(customer.Lines, instants, func(i int, f *engine.Features) {
			if i == 0 {
				known = true
				scorer.Score(f.Purchases, f.Values, &then)
			} else {
				lost = f.LastAt < t.AsOf()
			}
		})
		if known {
			t.Add(then, lost)
		}
	}
	return nil
}
