package jobs

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/risk"
)

// ground is what a look at a store's customers as of instants rests on beside their orders. Nobody changes it, so that it is read once, before
// customers are held.
type ground struct {
	store    *engine.Store
	model    *engine.Model
	at       []engine.Instant
	baseline []engine.Instant // of the earlier days
	weights  []*risk.Weights  // none where the churn risk that is stored does not count drift: then no earlier days are looked at
}

// lookback looks at customers under the model: where they stand and, where the churn risk that is stored counts it, how far that is from their
// own baseline. It is one goroutine's.
func (g *ground) lookback() *risk.Lookback {
	return risk.NewLookback(g.model, g.store.Zone, g.at, g.baseline, g.weights...)
}

// groundOf reads what the states and snapshots of a store as of instants under a model rest on.
func (r *Runner) groundOf(ctx context.Context, store *engine.Store, m *engine.Model, at []engine.Instant) (*ground, error) {
	return groundBy(r.readBy(ctx, store), store, m, at, r.settings.StoreScores)
}

func groundBy(read readReferences, store *engine.Store, m *engine.Model, at []engine.Instant, scores bool) (*ground, error) {
	g := &ground{store: store, model: m, at: at}
	if !scores || !m.Predictor.CountsDrift() {
		return g, nil
	}
	var err error
	g.baseline, err = baselineOf(read, store, at)
	g.weights = []*risk.Weights{risk.WeightsOf(m)}
	return g, err
}

// baselineOf gives the instants of the days that those of others are compared with.
func baselineOf(read readReferences, store *engine.Store, at []engine.Instant) ([]engine.Instant, error) {
	days := make([]engine.Date, len(at))
	for i := range at {
		days[i] = engine.DateOf(at[i].At, store.Zone)
	}
	return instantsOf(store, risk.BaselineDays(days, engine.DateOf(store.FirstAt, store.Zone)), read)
}

// drifts gives how far each customer of a table is from its own baseline on the model's day, by the table's rows, nil where there is none; nothing
// where the churn risk that is stored does not count it. One pass over the orders.
func (r *Runner) drifts(ctx context.Context, store *engine.Store, m *engine.Model, table *engine.Table) ([]*float64, error) {
	if !r.settings.StoreScores || !m.Predictor.CountsDrift() {
		return nil, nil
	}
	at, err := r.instants(ctx, store, []engine.Date{m.AsOf})
	if err != nil {
		return nil, err
	}
	baseline, err := baselineOf(r.readBy(ctx, store), store, at)
	if err != nil {
		return nil, err
	}
	ranges, err := r.db.CustomerRanges(ctx, store.ID, tableChunk)
	if err != nil {
		return nil, err
	}
	drifts := make([]*float64, table.Len())
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.settings.workers())
	for _, customers := range ranges {
		group.Go(func() error {
			builder, lookback := feature.NewBuilder(store.Zone, store.Columns), risk.NewLookback(m, store.Zone, at, baseline, risk.WeightsOf(m))
			for customer, err := range r.db.Lines(ctx, store.ID, customers, at[0].At) {
				if err != nil {
					return err
				}
				row, ok := slices.BinarySearch(table.CustomerID, customer.CustomerID)
				if !ok {
					continue // came since the table was made
				}
				lookback.Look(builder.Build, customer.Lines, func(int, *engine.Features, *engine.Thumbprint) { drifts[row] = lookback.Drift(0) })
			}
			return nil
		})
	}
	return drifts, group.Wait()
}

// DriftRequest asks how far customers were from their own baselines at an instant.
type DriftRequest struct {
	Store     *engine.Store
	Customers []int64
	Model     *engine.Model // to score under
	At        time.Time
}

// Drifts works out from the orders the drift that the model's churn risk counts, by what is kept of the store: false where a reference is
// missing, since no reader waits for a pass over all orders. Whoever scores customers as of the day makes it. Customers who have no drift are not
// among the answers; nobody is where it counts none.
func (r *Runner) Drifts(ctx context.Context, q DriftRequest) (map[int64]*float64, bool, error) {
	if !q.Model.Predictor.CountsDrift() {
		return nil, true, nil
	}
	missing := false
	read := func(months []engine.Date) (map[engine.Date]*engine.Reference, error) {
		found, _, err := r.keptReferences(ctx, q.Store, months)
		missing = missing || len(found) < len(months)
		return found, err
	}
	month := engine.ReferenceMonth(q.At, q.Store.Zone)
	references, err := read([]engine.Date{month})
	if err != nil || missing {
		return nil, false, err
	}
	g, err := groundBy(read, q.Store, q.Model, []engine.Instant{{At: q.At, Reference: references[month]}}, true)
	if err != nil || missing {
		return nil, false, err
	}
	lookback, drifts, builder := g.lookback(), map[int64]*float64{}, feature.NewBuilder(q.Store.Zone, q.Store.Columns)
	for customer, err := range r.db.LinesOf(ctx, q.Store.ID, q.Customers, q.At) {
		if err != nil {
			return nil, false, err
		}
		lookback.Look(builder.Build, customer.Lines, func(int, *engine.Features, *engine.Thumbprint) {
			if drift := lookback.Drift(0); drift != nil {
				drifts[customer.CustomerID] = drift
			}
		})
	}
	return drifts, true, nil
}

// tryDrift finds out whether drift predicts beside what the predictor of a new model knows: the customers whom its calibration rests on are looked
// at once more, on the same days and those of their baselines.
func (r *Runner) tryDrift(ctx context.Context, store *engine.Store, o outcomes) error {
	trial := o.observer.TryDrift(o.tally)
	if trial == nil {
		return nil
	}
	at, err := r.instants(ctx, store, trial.Days())
	if err != nil {
		return err
	}
	baseline, err := baselineOf(r.readBy(ctx, store), store, at)
	if err != nil {
		return err
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(r.settings.workers())
	for customers := range slices.Chunk(trial.Customers(), tableChunk) {
		group.Go(func() error {
			builder, looker := feature.NewBuilder(store.Zone, store.Columns), trial.Looker(store.Zone, at, baseline)
			for customer, err := range r.db.LinesOf(working, store.ID, customers, at[len(at)-1].At) {
				if err != nil {
					return err
				}
				looker.Add(builder.Build, customer.CustomerID, customer.Lines)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	trial.Judge()
	return nil
}
