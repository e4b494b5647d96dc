package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
)

// PastRequest asks where customers stood on days that have passed.
type PastRequest struct {
	Store     *engine.Store
	Customers []int64
	Type      engine.SnapshotType
	Dates     []engine.Date // ascending
	Model     *engine.Model // to score under
}

// Past works out from the orders what snapshots of the type would hold on the dates, by customer and oldest first; before a
// customer's first purchase there is none. Nothing is kept but what features need to know of the store.
func (r *Runner) Past(ctx context.Context, q PastRequest) (map[int64][]*engine.Snapshot, error) {
	read := r.sharedBy(ctx, q.Store)
	instants, err := instantsOf(q.Store, q.Dates, read)
	if err != nil {
		return nil, err
	}
	g, err := groundBy(read, q.Store, q.Model, instants, r.settings.StoreScores)
	if err != nil {
		return nil, err
	}
	lookback, past := g.lookback(), map[int64][]*engine.Snapshot{}
	builder, now := feature.NewBuilder(q.Store.Zone, q.Store.Columns), r.now()
	for customer, err := range r.db.LinesOf(ctx, q.Store.ID, q.Customers, instants[len(instants)-1].At) {
		if err != nil {
			return nil, err
		}
		lookback.Look(builder.Build, customer.Lines, func(i int, f *engine.Features, print *engine.Thumbprint) {
			s := &engine.Snapshot{
				StoreID: q.Store.ID, CustomerID: customer.CustomerID, Type: q.Type, Date: q.Dates[i], ModelVersion: q.Model.Version,
				Thumbprint: print.Clone(), Features: slices.Clone(f.Values), Purchases: f.Purchases, ValueCents: f.ValueCents, FirstAt: f.FirstAt, Active: f.Active,
				Computed: true, CreatedAt: now,
			}
			if r.settings.StoreScores {
				s.ChurnRisk, s.LTVCents = q.Model.Predictor.Scores(f.PurchaseHistory, s.Date, lookback.Drift(0))
			}
			past[s.CustomerID] = append(past[s.CustomerID], s)
		})
	}
	return past, nil
}

// referenceTimeout bounds a pass over a store's orders that readers wait for.
const referenceTimeout = 10 * time.Minute

// sharedReferences is references for readers. A month that nobody has asked for needs a pass over the store's orders: readers
// that come at the same time share it, and it goes on when they leave, so that the next one finds what was kept.
func (r *Runner) sharedReferences(ctx context.Context, store *engine.Store, months []engine.Date) (map[engine.Date]*engine.Reference, error) {
	shared := r.reading.DoChan(fmt.Sprint(store.ID, months), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), referenceTimeout)
		defer cancel()
		return r.references(ctx, store, months)
	})
	select {
	case got := <-shared:
		references, _ := got.Val.(map[engine.Date]*engine.Reference)
		return references, got.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sharedBy is sharedReferences of a store.
func (r *Runner) sharedBy(ctx context.Context, store *engine.Store) readReferences {
	return func(months []engine.Date) (map[engine.Date]*engine.Reference, error) {
		return r.sharedReferences(ctx, store, months)
	}
}

// SilentRequest asks where customers would stand at the beginning of a day had they done nothing since the beginning of an earlier one.
type SilentRequest struct {
	Store     *engine.Store
	Customers []int64
	From, To  engine.Date
	Model     *engine.Model // to score under
}

// Silent sees the orders that were known at the beginning of the one day from the beginning of the other.
func (r *Runner) Silent(ctx context.Context, q SilentRequest) (map[int64]engine.Thumbprint, error) {
	instants, err := instantsOf(q.Store, []engine.Date{q.To}, r.sharedBy(ctx, q.Store))
	if err != nil {
		return nil, err
	}
	instants[0].KnownAt = q.From.In(q.Store.Zone)
	silent := map[int64]engine.Thumbprint{}
	builder, scorer := feature.NewBuilder(q.Store.Zone, q.Store.Columns), q.Model.NewScorer()
	for customer, err := range r.db.LinesOf(ctx, q.Store.ID, q.Customers, instants[0].KnownAt) {
		if err != nil {
			return nil, err
		}
		builder.Build(customer.Lines, instants, func(_ int, f *engine.Features) {
			var print engine.Thumbprint
			scorer.Score(f.Purchases, f.Values, &print)
			silent[customer.CustomerID] = print
		})
	}
	return silent, nil
}
