// Package jobs holds the work that writes: imports, models, snapshots, cleanup. Each kind is a plain function; a Runner does a
// run as a whole in this process, and workers do the same in parts, by way of the queue.
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Settings are the installation's.
type Settings struct {
	Params           engine.Params
	Snapshots        bool // whether snapshots are scheduled, and may be asked for
	StoreFeatures    bool // whether snapshots keep their features
	StoreScores      bool // whether snapshots keep churn risk and lifetime value
	Prediction       engine.PredictionSettings
	Retention        map[engine.SnapshotType]int
	RunRetention     int // days that runs are kept after their end
	DriftThreshold   float64
	AnomalyThreshold float64
	DriftLevel       engine.Level
	Workers          int // chunks at a time in one process; 0: one a core
}

// DefaultRetention is how many days snapshots are kept unless set.
func DefaultRetention() map[engine.SnapshotType]int {
	return map[engine.SnapshotType]int{engine.Daily: 7, engine.Weekly: 60, engine.Monthly: 365, engine.Quarterly: 730, engine.Yearly: 1826}
}

// DefaultSettings are those of the source document.
func DefaultSettings() Settings {
	return Settings{
		Params: engine.DefaultParams(), Snapshots: true, StoreFeatures: true, StoreScores: true, Retention: DefaultRetention(), RunRetention: DefaultRunRetention,
		Prediction:     engine.DefaultPredictionSettings(),
		DriftThreshold: 0.1, AnomalyThreshold: 0.5, DriftLevel: engine.LevelRoots,
	}
}

// Validate tells what is wrong with the settings.
func (s *Settings) Validate() error {
	if err := s.Params.Validate(); err != nil {
		return err
	}
	if err := s.Prediction.Validate(); err != nil {
		return err
	}
	if s.DriftThreshold <= 0 || s.DriftThreshold > 1 {
		return engine.Errorf(engine.CodeInvalid, "DRIFT_THRESHOLD must be over 0 and at most 1, is %g", s.DriftThreshold)
	}
	if s.AnomalyThreshold <= 0 || s.AnomalyThreshold > 1 {
		return engine.Errorf(engine.CodeInvalid, "DRIFT_ANOMALY_THRESHOLD must be over 0 and at most 1, is %g", s.AnomalyThreshold)
	}
	if s.RunRetention < minRunRetention {
		return engine.Errorf(engine.CodeInvalid, "RUN_RETENTION must be at least %d days, is %d", minRunRetention, s.RunRetention)
	}
	for kind, days := range maps.All(s.Retention) {
		if days < 1 {
			return engine.Errorf(engine.CodeInvalid, "the retention of %s snapshots must be at least 1 day, is %d", kind, days)
		}
	}
	return nil
}

func (s *Settings) workers() int {
	if s.Workers > 0 {
		return s.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// Runner does the work of runs.
type Runner struct {
	db       *postgres.DB
	settings Settings
	log      *slog.Logger
	now      func() time.Time
	models   modelCache
	reading  singleflight.Group // of references, for readers
	parsed   parsedReferences

	uncertain sync.Map // numbers of stores whose currency nobody knows
}

// NewRunner makes a runner. now is the clock.
func NewRunner(db *postgres.DB, settings Settings, log *slog.Logger, now func() time.Time) *Runner {
	return &Runner{db: db, settings: settings, log: log, now: now}
}

// modelCache keeps the model that was used last: chunks of one run use the same.
type modelCache struct {
	mu      sync.Mutex
	storeID int32
	model   *engine.Model
}

func (c *modelCache) get(ctx context.Context, db *postgres.DB, storeID int32, version int) (*engine.Model, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.model == nil || c.storeID != storeID || c.model.Version != version {
		stored, err := db.Model(ctx, storeID, version)
		if err != nil {
			return nil, err
		}
		c.storeID, c.model = storeID, stored.Model
	}
	return c.model, nil
}

// progressEvery is how often at most a run's progress is written.
const progressEvery = 200 * time.Millisecond

func runHold(runID string) string { return "run:" + runID }

// errBusy says that another process works on the run already.
var errBusy = engine.Errorf(engine.CodeConflict, "another process works on the run")

// begin takes a run up as a whole in this process. The hold tells others that it is alive.
func (r *Runner) begin(ctx context.Context, run *engine.Run) (*postgres.Hold, error) {
	hold, err := r.db.TryHold(ctx, runHold(run.ID))
	if err != nil {
		return nil, err
	}
	if hold == nil {
		return nil, errBusy
	}
	if err := r.db.StartRun(ctx, run.ID); err != nil {
		hold.Release()
		return nil, err
	}
	return hold, nil
}

// finish brings a run to its end by what its work gave, and says so in the log.
func (r *Runner) finish(ctx context.Context, run *engine.Run, err error) error {
	if err == nil || errors.Is(err, postgres.ErrRunOver) {
		return err
	}
	if untold := r.fail(ctx, run, err); untold != nil {
		return errors.Join(err, untold)
	}
	return err
}

// fail ends a run by a fault. The error is that of telling the database, which may have been told by another already.
func (r *Runner) fail(ctx context.Context, run *engine.Run, err error) error {
	if ctx.Err() != nil {
		// Whoever stopped the work wants it over, and the database must still hear of it.
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		ctx = stop
	}
	failure := "The run failed by a fault of the program; the log has more under the run's id."
	if known, ok := errors.AsType[*engine.Error](err); ok {
		failure = known.Message
	} else if outage := postgres.Outage(err); outage != nil {
		failure = outage.Message
	} else if errors.Is(err, context.Canceled) {
		failure = "The program was stopped before the run was done."
	}
	r.log.ErrorContext(ctx, "run failed", "run", run.ID, "kind", run.Kind, "error", err)
	untold := r.db.InTx(ctx, func(tx *postgres.Tx) error {
		return tx.FinishRun(ctx, run.ID, engine.RunFailed, failure, nil, 0)
	})
	if errors.Is(untold, postgres.ErrRunOver) {
		return nil
	}
	return untold
}

// Work does a whole run in this process, whatever other processes do, and returns when it is over. Fault: what made it fail;
// postgres.ErrRunOver where somebody cancelled it meanwhile.
func (r *Runner) Work(ctx context.Context, run *engine.Run, progress func(*engine.Run)) error {
	hold, err := r.begin(ctx, run)
	if err != nil {
		return err
	}
	defer hold.Release()
	at, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := r.watch(at, run.ID, func() { stop(postgres.ErrRunOver) }, progress)
	if err = r.work(at, run); err != nil && errors.Is(context.Cause(at), postgres.ErrRunOver) {
		err = postgres.ErrRunOver // whatever the work says of being stopped
	}
	stop(nil)
	<-watched
	return r.finish(ctx, run, err)
}

// watch looks at a run's row from time to time: to show its progress, and to stop the work when somebody cancelled it.
func (r *Runner) watch(ctx context.Context, runID string, stop func(), progress func(*engine.Run)) <-chan struct{} {
	done := make(chan struct{})
	ticker := time.NewTicker(progressEvery)
	go func() {
		defer close(done)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			run, err := r.db.Run(ctx, runID)
			if err != nil {
				continue
			}
			if progress != nil {
				progress(run)
			}
			if run.State == engine.RunCancelled {
				stop()
			}
		}
	}()
	return done
}

func (r *Runner) work(ctx context.Context, run *engine.Run) error {
	switch run.Kind {
	case engine.RunRecluster:
		return r.refit(ctx, run)
	case engine.RunCleanup:
		return r.cleanup(ctx, run)
	case engine.RunSnapshot, engine.RunReplay:
		return r.snapshots(ctx, run)
	case engine.RunRescore:
		return r.rescore(ctx, run)
	case engine.RunBacktest:
		return r.backtest(ctx, run)
	default:
		return fmt.Errorf("a run of kind %s cannot be worked on this way", run.Kind)
	}
}

// snapshots plans a run and works on its chunks side by side.
func (r *Runner) snapshots(ctx context.Context, run *engine.Run) error {
	chunks, err := r.plan(ctx, run)
	if err != nil {
		return err
	}
	if err := r.db.InTx(ctx, func(tx *postgres.Tx) error { return r.planned(ctx, tx, run, len(chunks)) }); err != nil || len(chunks) == 0 {
		return err
	}
	whole := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.settings.workers())
	for _, c := range chunks {
		group.Go(func() error {
			return r.db.InTx(ctx, func(tx *postgres.Tx) error {
				_, err := r.chunk(ctx, tx, c)
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return r.settle(whole, run)
}

func decode(run *engine.Run, into any) error {
	if err := json.Unmarshal(run.Request, into); err != nil {
		return fmt.Errorf("reading what run %s asks for: %w", run.ID, err)
	}
	return nil
}
