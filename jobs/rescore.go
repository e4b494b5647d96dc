package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/explain"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/risk"
	"github.com/quimbi/quimbi/internal/postgres"
)

// rescoreBatch is how many touched customers are scored in one transaction.
const rescoreBatch = 500

// rescore takes in what a shop's events brought, then scores all customers that were touched, as of now.
func (r *Runner) rescore(ctx context.Context, run *engine.Run) error {
	var q Rescore
	if err := decode(run, &q); err != nil {
		return err
	}
	report := RescoreReport{}
	for {
		events, counts, err := r.takeEvents(ctx, q.Store)
		if engine.CodeOf(err) == engine.CodeConflict {
			continue // the store's time zone was changed in between
		}
		if err != nil {
			return err
		}
		report.Counts.add(counts)
		if events < eventBatch {
			break
		}
	}
	err := r.scoreTouched(ctx, q.Store, func(tx *postgres.Tx, customers, events int) error {
		return tx.CountRescored(ctx, run.ID, customers, events)
	})
	if err != nil {
		return err
	}
	return r.db.InTx(ctx, func(tx *postgres.Tx) error {
		return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", report, 0)
	})
}

// scoreTouched scores the customers of a store whose orders changed since they were scored. count is called in each
// transaction with the customers and the provisional drift events in it.
func (r *Runner) scoreTouched(ctx context.Context, storeKey string, count func(tx *postgres.Tx, customers, events int) error) error {
	store, err := r.db.StoreByKey(ctx, storeKey) // as it is after the import
	if err != nil {
		return err
	}
	at, ok := store.Instant(r.now())
	if !ok {
		at = r.now()
	}
	instant, err := r.instant(ctx, store, at)
	if err != nil {
		return err
	}
	g, err := r.groundNow(ctx, store, instant)
	if err != nil {
		return err
	}
	for {
		taken := 0
		err := r.db.InTx(ctx, func(tx *postgres.Tx) error {
			var events int
			var err error
			if taken, events, err = r.scoreBatch(ctx, tx, g); err != nil || taken == 0 {
				return err
			}
			return count(tx, taken, events)
		})
		if errors.Is(err, errOtherModel) {
			if g, err = r.groundNow(ctx, store, instant); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("scoring touched customers of store %q: %w", storeKey, err)
		}
		if taken == 0 {
			return nil
		}
	}
}

// groundNow reads what scoring as of an instant under the model in force rests on; before the first re-clustering there is no model.
func (r *Runner) groundNow(ctx context.Context, store *engine.Store, now engine.Instant) (*ground, error) {
	version, err := r.db.NewestModelVersion(ctx, store.ID)
	if err != nil {
		return nil, err
	}
	at := []engine.Instant{now}
	if version == 0 {
		return &ground{store: store, at: at}, nil
	}
	model, err := r.models.get(ctx, r.db, store.ID, version)
	if err != nil {
		return nil, err
	}
	return r.groundOf(ctx, store, model, at)
}

// errOtherModel says that another model has come into force since the ground was read.
var errOtherModel = errors.New("another model has come into force")

// scoreBatch scores some of the touched customers as of the one instant of the ground, over the transaction's connection alone. It gives how
// many, and how many drift events it wrote. Fault: errOtherModel.
func (r *Runner) scoreBatch(ctx context.Context, tx *postgres.Tx, g *ground) (customers, events int, err error) {
	store, model, instant := g.store, g.model, g.at[0]
	if err := tx.ShareCustomers(ctx, store.ID); err != nil {
		return 0, 0, err
	}
	version, err := tx.HoldModel(ctx, store.ID)
	if err != nil {
		return 0, 0, err
	}
	if model == nil && version > 0 || model != nil && model.Version != version {
		return 0, 0, errOtherModel
	}
	ids, err := tx.TakeTouched(ctx, store.ID, rescoreBatch)
	if err != nil || len(ids) == 0 || model == nil {
		return 0, 0, err
	}
	day := engine.DateOf(instant.At, store.Zone)
	baselines, err := tx.NewestSnapshots(ctx, store.ID, ids, day, seriesGap)
	if err != nil {
		return 0, 0, err
	}
	b := &touched{
		runner: r, store: store, model: model, scorer: model.NewScorer(), marker: explain.NewMarker(model), baselines: baselines, lookback: g.lookback(),
		Rescored: postgres.Rescored{StoreID: store.ID, Model: version, Day: day, At: instant.At, Customers: ids},
	}
	builder := feature.NewBuilder(store.Zone, store.Columns)
	for customer, err := range tx.LinesOf(ctx, store.ID, ids, instant.At) {
		if err != nil {
			return 0, 0, err
		}
		b.lookback.Look(builder.Build, customer.Lines, func(_ int, f *engine.Features, print *engine.Thumbprint) { b.add(customer, f, print) })
	}
	for _, kind := range engine.SnapshotTypes {
		if err := r.markEvents(ctx, tx, store.ID, kind, day, b.Events); err != nil {
			return 0, 0, err
		}
	}
	return len(ids), len(b.Events), tx.WriteRescored(ctx, b.Rescored)
}

// touched collects where touched customers stand.
type touched struct {
	runner    *Runner
	store     *engine.Store
	model     *engine.Model
	scorer    *engine.Scorer
	marker    *explain.Marker
	lookback  *risk.Lookback
	baselines map[int64]postgres.Baseline
	postgres.Rescored
}

// add scores a customer and compares with the last snapshot. One of an older model is scored anew, if it has its features.
func (b *touched) add(customer postgres.CustomerLines, f *engine.Features, print *engine.Thumbprint) {
	state := postgres.State{CustomerID: customer.CustomerID, Thumbprint: print.Clone()}
	state.Mark = b.marker.Marks(state.Thumbprint, f.Purchases, f.Values)
	if b.runner.settings.StoreFeatures {
		state.Features = slices.Clone(f.Values)
	}
	if b.runner.settings.StoreScores {
		state.ChurnRisk, state.LTVCents = b.model.Predictor.Scores(f.PurchaseHistory, b.Day, b.lookback.Drift(0))
	}
	from, ok := b.baselines[customer.CustomerID]
	if ok && from.ModelVersion != b.model.Version {
		if ok = from.Features != nil; ok {
			from.Thumbprint = engine.Thumbprint{}
			b.scorer.Score(from.Purchases, from.Features, &from.Thumbprint)
		}
	}
	if ok {
		drift := b.model.DriftAt(b.runner.settings.DriftLevel, from.Thumbprint, state.Thumbprint)
		if drift.Largest >= 0 {
			state.LargestDrift = &drift.LargestScore
		}
		b.Events = append(b.Events, b.runner.driftEvents(b.model, engine.DriftEvent{
			StoreID: b.StoreID, CustomerID: customer.CustomerID, Type: from.Type, From: from.Date, To: b.Day, ModelVersion: b.Model,
			ByOrder: active(customer.Lines, from.Date.In(b.store.Zone), b.At), Provisional: true,
		}, drift)...)
	}
	b.States = append(b.States, state)
}

// instant gives a moment with what features need to know of the store at it.
func (r *Runner) instant(ctx context.Context, store *engine.Store, at time.Time) (engine.Instant, error) {
	month := engine.ReferenceMonth(at, store.Zone)
	references, err := r.references(ctx, store, []engine.Date{month})
	if err != nil {
		return engine.Instant{}, fmt.Errorf("reading what features need to know of the store: %w", err)
	}
	return engine.Instant{At: at, Reference: references[month]}, nil
}
