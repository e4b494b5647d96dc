package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/explain"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/fit"
	"github.com/quimbi/quimbi/engine/risk"
	"github.com/quimbi/quimbi/engine/versions"
	"github.com/quimbi/quimbi/internal/postgres"
)

// refit fits a new model on what was ordered before the run's day, and puts it in force with all customers' states.
func (r *Runner) refit(ctx context.Context, run *engine.Run) error {
	var q Recluster
	if err := decode(run, &q); err != nil {
		return err
	}
	// One re-clustering at a time: the hold is the store's, and whoever has it is alive.
	hold, err := r.db.TryHold(ctx, fmt.Sprintf("recluster:%d", run.StoreID))
	if err != nil {
		return err
	}
	if hold == nil {
		return engine.Errorf(engine.CodeRunInProgress, "store %q is being clustered already", q.Store)
	}
	defer hold.Release()
	store, err := r.db.StoreByKey(ctx, q.Store)
	if err != nil {
		return err
	}
	if err := r.db.ProgressRun(ctx, run.ID, engine.StageFeatures, "", 0, engine.AxisCount); err != nil {
		return err
	}
	table, err := r.table(ctx, store, q.AsOf)
	if err != nil {
		return err
	}
	if table.Len() == 0 {
		return engine.Errorf(engine.CodeInsufficientData, "store %q has no purchase before %s", q.Store, q.AsOf)
	}
	var previous *engine.Model
	if stored, err := r.db.NewestModel(ctx, store.ID); err == nil {
		previous = stored.Model
	} else if engine.CodeOf(err) != engine.CodeNotFound {
		return err
	}
	fitCtx, stop := context.WithCancel(ctx)
	defer stop()
	model, err := fit.Model(fitCtx, q.Params, q.Seed, table, previous, r.fitProgress(fitCtx, run.ID, stop))
	if err != nil {
		if fitCtx.Err() != nil && ctx.Err() == nil {
			return postgres.ErrRunOver
		}
		return err
	}
	if q.DryRun {
		return r.db.InTx(ctx, func(tx *postgres.Tx) error {
			return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", ReclusterReport{Customers: model.Customers, Tried: model}, 0)
		})
	}
	if err := r.db.ProgressRun(ctx, run.ID, engine.StageEvaluating, "", engine.AxisCount, engine.AxisCount); err != nil {
		return err
	}
	if model.Predictor, err = engine.FitPredictor(ctx, table, store.Predicts.Over(r.settings.Prediction)); err != nil {
		return err
	}
	if err := r.learn(ctx, store, model); err != nil {
		return err
	}
	if previous != nil {
		model.ModelDrift = versions.ModelDrift(previous, model, table)
	}
	if err := r.putInForce(ctx, run, store, model, table); err != nil {
		return err
	}
	// The run is over; what customers did since the day's begin is scored under the new model with it.
	nobody := func(*postgres.Tx, int, int) error { return nil }
	if err := r.scoreTouched(ctx, q.Store, nobody); err != nil {
		r.log.WarnContext(ctx, "scoring what came since the model's day; the next snapshot will", "store", q.Store, "error", err)
	}
	return nil
}

// fitProgress writes a fit's progress, not too often, and stops a fit whose run is over.
func (r *Runner) fitProgress(ctx context.Context, runID string, stop func()) func(fit.Progress) {
	var last time.Time
	return func(p fit.Progress) {
		if now := r.now(); now.Sub(last) >= progressEvery {
			last = now
			if err := r.db.ProgressRun(ctx, runID, p.Stage, p.Axis, p.Done, p.Total); errors.Is(err, postgres.ErrRunOver) {
				stop()
			}
		}
	}
}

func (r *Runner) putInForce(ctx context.Context, run *engine.Run, store *engine.Store, model *engine.Model, table *engine.Table) error {
	if err := r.db.ProgressRun(ctx, run.ID, engine.StageWriting, "", engine.AxisCount, engine.AxisCount); err != nil {
		return err
	}
	drifts, err := r.drifts(ctx, store, model, table)
	if err != nil {
		return err
	}
	return r.db.InTx(ctx, func(tx *postgres.Tx) error {
		if err := tx.ShareCustomers(ctx, store.ID); err != nil {
			return err
		}
		version, err := tx.NextModelVersion(ctx, store.ID)
		if err != nil {
			return err
		}
		model.Version = version
		if err := tx.TouchRescored(ctx, store.ID, model.AsOf); err != nil {
			return err
		}
		scorer, marker, means, next := model.NewScorer(), explain.NewMarker(model), risk.NewMeans(model), 0
		err = tx.WriteStates(ctx, store.ID, version, model.AsOf, func() (postgres.State, bool) {
			if next == table.Len() {
				return postgres.State{}, false
			}
			state := postgres.State{CustomerID: table.CustomerID[next], Features: table.Row(next)}
			scorer.Score(int(table.Purchases[next]), state.Features, &state.Thumbprint)
			state.Mark = marker.Marks(state.Thumbprint, int(table.Purchases[next]), state.Features)
			if r.settings.StoreScores {
				var drift *float64
				if drifts != nil {
					drift = drifts[next]
				}
				state.ChurnRisk, state.LTVCents = model.Predictor.Scores(table.Histories[next], model.AsOf, drift)
			}
			if state.ChurnRisk != nil {
				means.Add(state.Thumbprint, *state.ChurnRisk)
			}
			next++
			return state, true
		})
		if err != nil {
			return err
		}
		means.Describe()
		if err := tx.InsertModel(ctx, store.ID, run.ID, model); err != nil {
			return err
		}
		return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", ReclusterReport{ModelVersion: version, Customers: model.Customers}, int64(table.Len()))
	})
}

// tableChunk is how many customers a goroutine reads at once.
const tableChunk = 5000

// table works out the features of all customers of a store as of a day, in the order of their numbers.
func (r *Runner) table(ctx context.Context, store *engine.Store, asOf engine.Date) (*engine.Table, error) {
	instants, err := r.instants(ctx, store, []engine.Date{asOf})
	if err != nil {
		return nil, err
	}
	ranges, err := r.db.CustomerRanges(ctx, store.ID, tableChunk)
	if err != nil {
		return nil, err
	}
	parts := make([]engine.Table, len(ranges))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.settings.workers())
	for i, customers := range ranges {
		group.Go(func() error {
			builder := feature.NewBuilder(store.Zone, store.Columns)
			parts[i].AsOf = asOf
			for customer, err := range r.db.Lines(ctx, store.ID, customers, instants[0].At) {
				if err != nil {
					return err
				}
				builder.Build(customer.Lines, instants, func(_ int, f *engine.Features) { parts[i].Append(customer.CustomerID, f) })
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	table := &engine.Table{AsOf: asOf, Columns: store.Columns}
	for i := range parts {
		table.CustomerID = append(table.CustomerID, parts[i].CustomerID...)
		table.Purchases = append(table.Purchases, parts[i].Purchases...)
		table.ValueCents = append(table.ValueCents, parts[i].ValueCents...)
		table.TenureDays = append(table.TenureDays, parts[i].TenureDays...)
		table.Values = append(table.Values, parts[i].Values...)
		table.Histories = append(table.Histories, parts[i].Histories...)
		parts[i] = engine.Table{}
	}
	return table, nil
}

// OneTimeReport is what was found among the customers with one purchase.
type OneTimeReport struct {
	AsOf      engine.Date
	Customers int // all who bought
	Axes      []fit.OneTimeAxis
}

// OneTimeBuyers clusters the customers with one purchase as of a day, the store's now where none is named. Nothing of it is kept.
func (r *Runner) OneTimeBuyers(ctx context.Context, store *engine.Store, asOf *engine.Date, seed uint64) (OneTimeReport, error) {
	date, err := r.dateOf(store, asOf)
	if err != nil {
		return OneTimeReport{}, err
	}
	table, err := r.table(ctx, store, date)
	if err != nil {
		return OneTimeReport{}, err
	}
	axes, err := fit.OneTimeBuyers(ctx, r.settings.Params, seed, table)
	return OneTimeReport{AsOf: date, Customers: table.Len(), Axes: axes}, err
}
