package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/backtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// BacktestRequest asks how early and how surely churn was seen in a store's past.
type BacktestRequest struct {
	Store       *engine.Store
	HorizonDays *int    // nil: the installation's churn horizon
	RuleDays    *int    // nil: 90
	WarmupDays  *int    // nil: chosen by the time there is
	Seed        *uint64 // nil: drawn
	Splits      int     // divisions of the customers; 0: one
	Trigger     engine.RunTrigger
	Once
}

// Backtest is the request of a backtest as a run keeps it.
type Backtest struct {
	Store string `json:"store"`
	backtest.Options
	From engine.Date `json:"from"` // of the store's first order
	To   engine.Date `json:"to"`   // orders before it count
}

// Backtest starts measuring. Faults: RUN_IN_PROGRESS with the run that is in the way; INSUFFICIENT_DATA where the orders do
// not reach.
func (q *Queue) Backtest(ctx context.Context, r BacktestRequest) (*engine.Run, error) {
	now, err := q.dateOf(r.Store, nil)
	if err != nil {
		return nil, err
	}
	options := backtest.DefaultOptions()
	options.HorizonDays, options.WarmupDays, options.Seed, options.Splits = r.Store.Predicts.Over(q.settings.Prediction).HorizonDays, r.WarmupDays, drawn(), r.Splits
	if r.HorizonDays != nil {
		options.HorizonDays = *r.HorizonDays
	}
	if r.RuleDays != nil {
		options.RuleDays = *r.RuleDays
	}
	if r.Seed != nil {
		options.Seed = *r.Seed
	}
	request := Backtest{Store: r.Store.Key, Options: options, From: engine.DateOf(r.Store.FirstAt, r.Store.Zone), To: now}
	if _, err := backtest.NewPlan(options, request.From, request.To); err != nil {
		return nil, err
	}
	return q.submit(ctx, submission{alone: r.Store, NewRun: postgres.NewRun{
		StoreID: r.Store.ID, Kind: engine.RunBacktest, Trigger: r.Trigger, IdempotencyKey: r.IdempotencyKey, RequestHash: r.Asked, Request: request,
	}})
}

// backtest measures, and keeps what was found.
func (r *Runner) backtest(ctx context.Context, run *engine.Run) error {
	var q Backtest
	if err := decode(run, &q); err != nil {
		return err
	}
	hold, err := r.db.TryHold(ctx, fmt.Sprintf("backtest:%d", run.StoreID))
	if err != nil {
		return err
	}
	if hold == nil {
		return engine.Errorf(engine.CodeRunInProgress, "a backtest of store %q works already", q.Store)
	}
	defer hold.Release()
	store, err := r.db.StoreByKey(ctx, q.Store)
	if err != nil {
		return err
	}
	plan, err := backtest.NewPlan(q.Options, q.From, q.To)
	if err != nil {
		return err
	}
	if err := r.db.ProgressRun(ctx, run.ID, engine.StageReading, "", 0, backtest.Passes*store.Customers); err != nil {
		return err
	}
	at := func(days []engine.Date) ([]engine.Instant, error) { return r.instants(ctx, store, days) }
	orders := backtest.Orders{Zone: store.Zone, Columns: store.Columns, Customers: store.Customers, At: at, Params: r.settings.Params, Each: func() iter.Seq2[backtest.Customer, error] {
		return func(yield func(backtest.Customer, error) bool) {
			for c, err := range r.db.Lines(ctx, store.ID, everyone, plan.End.In(store.Zone)) {
				if !yield(backtest.Customer{ID: c.CustomerID, Lines: c.Lines}, err) {
					return
				}
			}
		}
	}}
	working, stop := context.WithCancel(ctx)
	defer stop()
	result, err := backtest.Run(working, plan, orders, r.backtestProgress(working, run.ID, stop))
	if err != nil {
		if working.Err() != nil && ctx.Err() == nil {
			return postgres.ErrRunOver
		}
		return err
	}
	body, err := json.Marshal(result)
	if err != nil {
		return err
	}
	return r.db.InTx(ctx, func(tx *postgres.Tx) error {
		if err := tx.InsertBacktest(ctx, run.StoreID, run.ID, body); err != nil {
			return err
		}
		return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", nil, 1)
	})
}

// backtestProgress writes a backtest's progress, not too often, and stops one whose run is over.
func (r *Runner) backtestProgress(ctx context.Context, runID string, stop func()) func(backtest.Progress) {
	var last time.Time
	return func(p backtest.Progress) {
		now := r.now()
		if now.Sub(last) < progressEvery {
			return
		}
		last = now
		if err := r.db.ProgressRun(ctx, runID, p.Stage, "", p.Done, p.Total); errors.Is(err, postgres.ErrRunOver) {
			stop()
		}
	}
}

// BacktestResult gives what a run found; nil until it has succeeded.
func (r *Runner) BacktestResult(ctx context.Context, run *engine.Run) (*backtest.Result, error) {
	body, err := r.db.Backtest(ctx, run.StoreID, run.ID)
	if engine.CodeOf(err) == engine.CodeNotFound && err != nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var result backtest.Result
	if err := json.Unmarshal(body, &result); err != nil {
		return nil, fmt.Errorf("reading the result of run %s: %w", run.ID, err)
	}
	return &result, nil
}
