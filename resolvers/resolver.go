// Package resolvers answers the API's fields: each checks its arguments, calls one function and shapes the answer.
package resolvers

import (
	"context"
	"log/slog"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/backtest"
	"github.com/quimbi/quimbi/internal/events"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// Resolver is what the fields need.
type Resolver struct {
	DB     *postgres.DB
	Jobs   Jobs
	Events *events.Hub
	Models *Models
	Params engine.Params // the installation's
	Log    *slog.Logger
	Now    func() time.Time
	// Version is the program's.
	Version string
	// SnapshotsEnabled is whether the schedule takes snapshots.
	SnapshotsEnabled bool
	// Retention is how many days the installation keeps snapshots of each type.
	Retention map[engine.SnapshotType]int
	// Predicts are the installation's settings of predictions, for stores without their own.
	Predicts engine.PredictionSettings
	// AnomalyThreshold is the drift that is anomalous by itself.
	AnomalyThreshold float64
	// DriftLevel is the cut of the trees that drift is measured on.
	DriftLevel engine.Level
	// Patience is how long a subscriber may take to read an event; zero: 10 s.
	Patience time.Duration
	// NextSnapshot tells when the schedule takes a store's next snapshot; the zero time without a schedule.
	NextSnapshot func(*engine.Store) time.Time
}

// Jobs starts and watches the work that no request does itself. Faults are engine errors: RUN_IN_PROGRESS with RunID,
// RUN_FINISHED, SNAPSHOT_EXISTS, INSUFFICIENT_DATA, FEATURE_DISABLED, NOT_FOUND, INVALID.
type Jobs interface {
	// ImportOrders merges orders at once and has the touched customers scored soon.
	ImportOrders(ctx context.Context, r jobs.OrdersRequest) (*jobs.OrdersAnswer, error)
	// Recluster starts a new model of a store.
	Recluster(ctx context.Context, r jobs.ReclusterRequest) (*engine.Run, error)
	// SnapshotStore starts taking the snapshots of a store.
	SnapshotStore(ctx context.Context, r jobs.SnapshotRequest) (*engine.Run, error)
	// SnapshotCustomers takes the snapshots of named customers at once.
	SnapshotCustomers(ctx context.Context, r jobs.SnapshotRequest) (jobs.SnapshotOutcome, error)
	// Replay starts rebuilding snapshots of the past.
	Replay(ctx context.Context, r jobs.ReplayRequest) (*engine.Run, error)
	// Backtest starts measuring how early churn was seen.
	Backtest(ctx context.Context, r jobs.BacktestRequest) (*engine.Run, error)
	// BacktestResult gives what a backtest found; nil until it has succeeded.
	BacktestResult(ctx context.Context, run *engine.Run) (*backtest.Result, error)
	// Past works out from the orders where customers stood on days that have passed.
	Past(ctx context.Context, q jobs.PastRequest) (map[int64][]*engine.Snapshot, error)
	// Silent works out where customers would stand had they done nothing since an earlier day.
	Silent(ctx context.Context, q jobs.SilentRequest) (map[int64]engine.Thumbprint, error)
	// Drifts works out how far customers were from their own baselines, as churn risk counts it; false where that would take a pass over all orders.
	Drifts(ctx context.Context, q jobs.DriftRequest) (map[int64]*float64, bool, error)
	// UpdateStore changes what can be set for a store, and gives it as it is then.
	UpdateStore(ctx context.Context, r jobs.SettingsRequest) (*engine.Store, error)
	// RenameSegment gives a segment a name by hand, or takes it away.
	RenameSegment(ctx context.Context, r jobs.RenameRequest) error
	// ExportCustomer gives everything that is stored about a customer.
	ExportCustomer(ctx context.Context, store *engine.Store, customerID int64) (*jobs.CustomerDocument, error)
	// EraseCustomer removes it.
	EraseCustomer(ctx context.Context, store *engine.Store, customerID int64) (*jobs.Receipt, error)
	// Cleanup starts removing what retention no longer keeps.
	Cleanup(ctx context.Context, r jobs.CleanupRequest) (*engine.Run, error)
	// PlanCleanup counts what Cleanup would remove.
	PlanCleanup(ctx context.Context, r jobs.CleanupRequest) (jobs.CleanupReport, error)
	// Cancel stops a run.
	Cancel(ctx context.Context, runID string) (*engine.Run, error)
}
