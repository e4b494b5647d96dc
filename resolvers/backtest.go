package resolvers

import (
	"context"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/backtest"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/jobs"
)

func (r *Resolver) backtest(ctx context.Context, in model.BacktestInput) (*model.BacktestPayload, error) {
	run, err := r.startBacktest(ctx, in)
	faults, err := r.userErrors(ctx, err, in.StoreID)
	if err != nil || len(faults) > 0 {
		return &model.BacktestPayload{UserErrors: faults}, err
	}
	view, err := r.runView(ctx, run)
	if err != nil {
		return nil, err
	}
	return &model.BacktestPayload{Run: view.(*model.BacktestRun), UserErrors: faults}, nil
}

func (r *Resolver) startBacktest(ctx context.Context, in model.BacktestInput) (*engine.Run, error) {
	store, err := r.storeByKey(ctx, in.StoreID)
	if err != nil {
		return nil, at(err, "input", "storeId")
	}
	if in.Splits == 0 {
		return nil, engine.Errorf(engine.CodeInvalid, "there must be from 1 to %d divisions, is 0", backtest.MaxSplits).At("input", "splits")
	}
	request := jobs.BacktestRequest{
		Store: &store.Store, RuleDays: &in.RuleDays, HorizonDays: in.HorizonDays, WarmupDays: in.WarmupDays, Splits: in.Splits,
		Trigger: engine.TriggerMutation,
	}
	if request.Once, err = once(in.IdempotencyKey, in); err != nil {
		return nil, err
	}
	if in.Seed != nil {
		seed := uint64(*in.Seed)
		request.Seed = &seed
	}
	return r.Jobs.Backtest(ctx, request)
}

// backtestResult gives what a run found; nil until it has succeeded.
func (r *Resolver) backtestResult(ctx context.Context, run *model.BacktestRun) (*model.BacktestResult, error) {
	if run.State != engine.RunSucceeded {
		return nil, nil
	}
	result, err := r.Jobs.BacktestResult(ctx, run.Run)
	if err != nil || result == nil {
		return nil, err
	}
	return &model.BacktestResult{Result: result, StoreKey: run.Store.Key}, nil
}
