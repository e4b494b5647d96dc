// Package resolvers answers the API's fields: each checks its arguments, calls one function and shapes the answer.
package resolvers

import (
	"context"
	"log/slog"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/events"
	"github.com/quimbi/quimbi/internal/postgres"
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
	// NextSnapshot tells when the schedule takes a store's next snapshot; the zero time without a schedule.
	NextSnapshot func(*engine.Store) time.Time
}

// Jobs starts and watches the work that no request does itself. Faults are engine errors: RUN_IN_PROGRESS with RunID,
// RUN_FINISHED, SNAPSHOT_EXISTS, INSUFFICIENT_DATA, FEATURE_DISABLED, NOT_FOUND, INVALID.
type Jobs interface {
	// Recluster starts a new model of a store.
	Recluster(ctx context.Context, r ReclusterRequest) (*engine.Run, error)
	// SnapshotStore starts taking the snapshots of a store.
	SnapshotStore(ctx context.Context, r SnapshotRequest) (*engine.Run, error)
	// SnapshotCustomers takes the snapshots of named customers at once.
	SnapshotCustomers(ctx context.Context, r SnapshotRequest) (SnapshotCounts, error)
	// Cleanup starts removing what retention no longer keeps.
	Cleanup(ctx context.Context, r CleanupRequest) (*engine.Run, error)
	// PlanCleanup counts what Cleanup would remove.
	PlanCleanup(ctx context.Context, r CleanupRequest) (CleanupReport, error)
	// Cancel stops a run.
	Cancel(ctx context.Context, runID string) (*engine.Run, error)
}

// Conflict is what happens where a customer has a snapshot of the type on the date.
type Conflict string

// The ways.
const (
	ConflictKeep    Conflict = "KEEP"
	ConflictReplace Conflict = "REPLACE"
	ConflictFail    Conflict = "FAIL"
)

// ReclusterRequest asks for a new model.
type ReclusterRequest struct {
	Store          *engine.Store
	Params         engine.Params
	Seed           *uint64      // nil: drawn
	AsOf           *engine.Date // nil: the store's now
	DryRun         bool
	Trigger        engine.RunTrigger
	IdempotencyKey string
}

// SnapshotRequest asks for snapshots.
type SnapshotRequest struct {
	Store          *engine.Store
	Customers      []int64 // for SnapshotCustomers
	Type           engine.SnapshotType
	Date           *engine.Date // nil: the store's now
	Conflict       Conflict
	Trigger        engine.RunTrigger
	IdempotencyKey string
}

// SnapshotCounts tells what was written.
type SnapshotCounts struct {
	Date     engine.Date `json:"date"`
	Created  int64       `json:"created"`
	Kept     int64       `json:"kept"`
	Replaced int64       `json:"replaced"`
	Failed   int64       `json:"failed"`
}

// CleanupRequest asks for a cleanup; a nil Store means all.
type CleanupRequest struct {
	Store           *engine.Store
	Types           []engine.SnapshotType // nil: all
	IncludeReplayed bool
	Trigger         engine.RunTrigger
	IdempotencyKey  string
}

// CleanupReport is what a cleanup removed, or would remove, in the form in which a run's report keeps it.
type CleanupReport struct {
	DeletedCount int64           `json:"deleted_count"`
	Policies     []CleanupPolicy `json:"policies"`
}

// CleanupPolicy is what one policy removed, or would remove.
type CleanupPolicy struct {
	Store         string      `json:"store"`
	Type          string      `json:"type"`
	Cutoff        engine.Date `json:"cutoff"`
	KeepDays      int         `json:"keep_days"`
	Overridden    bool        `json:"overridden"`
	DeletedCount  int64       `json:"deleted_count"`
	ReplayedCount int64       `json:"replayed_count"`
}
