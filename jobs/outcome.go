package jobs

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/alarm"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/risk"
	"github.com/quimbi/quimbi/internal/postgres"
)

// outcomes are what a store's past teaches a new model: what became of customers by their segments, and by their prediction.
type outcomes struct {
	tally    *risk.Tally
	observer *risk.Observer
	// references are the customers after whom thresholds of alarms are simulated.
	references []btyd.Reference
}

func newOutcomes(m *engine.Model) outcomes {
	return outcomes{
		tally:    risk.NewTally(m, m.Predictor.Settings.HorizonDays),
		observer: risk.NewObserver(m.Predictor, m.AsOf, m.Customers),
	}
}

// learn gives the segments of a new model their risk weights and calibrates its predictor: customers as they stood on days one
// horizon and more before the model's, and what became of them since. One pass over the orders, and one more over those of the customers
// that the calibration rests on.
func (r *Runner) learn(ctx context.Context, store *engine.Store, m *engine.Model) error {
	total := newOutcomes(m)
	instants, err := r.instants(ctx, store, []engine.Date{total.tally.AsOf(), m.AsOf})
	if err != nil {
		return err
	}
	ranges, err := r.db.CustomerRanges(ctx, store.ID, tableChunk)
	if err != nil {
		return err
	}
	parts := make([]outcomes, len(ranges))
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(r.settings.workers())
	for i, customers := range ranges {
		group.Go(func() error {
			parts[i] = newOutcomes(m)
			return r.watched(working, &parts[i], store, customers, instants)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, part := range parts {
		total.tally.Merge(part.tally)
		total.observer.Merge(part.observer)
		total.references = append(total.references, part.references...)
	}
	total.tally.Weigh()
	total.observer.Calibrate()
	if err := r.tryDrift(ctx, store, total); err != nil {
		return err
	}
	m.Predictor.Alarms, err = alarm.Simulate(ctx, m.Predictor, total.references)
	return err
}

// watched looks at the customers of a range; the instants are the tally's day and the model's.
func (r *Runner) watched(ctx context.Context, o *outcomes, store *engine.Store, customers postgres.CustomerRange, instants []engine.Instant) error {
	m := o.tally.Model()
	builder := feature.NewBuilder(store.Zone, store.Columns)
	reference := []engine.Instant{{At: alarm.ReferenceDay(m.AsOf).In(store.Zone)}}
	for customer, err := range r.db.Lines(ctx, store.ID, customers, instants[1].At) {
		if err != nil {
			return err
		}
		o.tally.Watch(builder, instants, customer.CustomerID, customer.Lines)
		builder.Histories(customer.Lines, reference, func(_ int, h engine.PurchaseHistory) {
			if ref, ok := alarm.Reference(m.Predictor, h, alarm.ReferenceDay(m.AsOf)); ok {
				o.references = append(o.references, ref)
			}
		})
		o.observer.Add(builder, store.Zone, customer.CustomerID, customer.Lines)
	}
	return nil
}

// Calibrate calibrates a predictor by what a store's customers did before a day, in one pass over the orders.
func (r *Runner) Calibrate(ctx context.Context, store *engine.Store, p *engine.Predictor, asOf engine.Date, customers int) error {
	observer, builder := risk.NewObserver(p, asOf, customers), feature.NewBuilder(store.Zone, store.Columns)
	for customer, err := range r.db.Lines(ctx, store.ID, everyone, asOf.In(store.Zone)) {
		if err != nil {
			return err
		}
		observer.Add(builder, store.Zone, customer.CustomerID, customer.Lines)
	}
	observer.Calibrate()
	return nil
}
