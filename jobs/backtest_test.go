package jobs_test

import (
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/jobs"
)

// TestBacktestRuns holds the run of a backtest to the rules of runs: one at a time in a store, the same key the same run, one
// that is cancelled keeps nothing.
func TestBacktestRuns(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	q, db := newQueue(t)
	store := importSample(t, q, db)
	days, seed := 180, uint64(1)
	request := jobs.BacktestRequest{Store: store, HorizonDays: &days, Seed: &seed, Trigger: engine.TriggerMutation, Once: jobs.Once{IdempotencyKey: "one"}}
	run, err := q.Backtest(ctx, request)
	check(t, err)
	again, err := q.Backtest(ctx, request)
	check(t, err)
	if again.ID != run.ID {
		t.Errorf("the same key made another run")
	}
	request.IdempotencyKey = ""
	if _, err := q.Backtest(ctx, request); engine.CodeOf(err) != engine.CodeRunInProgress {
		t.Errorf("a second backtest gave %v, want RUN_IN_PROGRESS", err)
	}
	_, err = q.Cancel(ctx, run.ID)
	check(t, err)
	if err := q.Work(ctx, run, nil); err == nil {
		t.Error("a cancelled run was worked on")
	}
	if found, err := q.BacktestResult(ctx, run); err != nil || found != nil {
		t.Errorf("a cancelled run has a result: %v, %v", found, err)
	}
	request.Trigger = engine.TriggerCLI
	run, err = q.Backtest(ctx, request)
	check(t, err)
	check(t, q.Work(ctx, run, nil))
	found, err := q.BacktestResult(ctx, run)
	check(t, err)
	if found == nil || found.Seed != 1 || found.HorizonDays != 180 || found.Checks < 100 {
		t.Errorf("%+v", found)
	}
	few := 700
	request.HorizonDays = &few
	if _, err := q.Backtest(ctx, request); engine.CodeOf(err) != engine.CodeInsufficientData {
		t.Errorf("a horizon beyond the orders gave %v", err)
	}
}
