package jobs

import (
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
)

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
	Store   *engine.Store
	Params  engine.Params
	Seed    *uint64      // nil: drawn
	AsOf    *engine.Date // nil: the store's now
	DryRun  bool
	Trigger engine.RunTrigger
	Once
}

// SnapshotRequest asks for snapshots.
type SnapshotRequest struct {
	Store     *engine.Store
	Customers []int64 // for SnapshotCustomers, in the caller's order; 0: one that is not known
	Type      engine.SnapshotType
	Date      *engine.Date // nil: the store's now
	Conflict  Conflict
	Trigger   engine.RunTrigger
	Once
}

// Order and OrderLine are orders as a call of the API states them.
type (
	Order     = ingest.Order
	OrderLine = ingest.OrderLine
)

// OrdersRequest asks for orders to be merged.
type OrdersRequest struct {
	Store          *engine.Store
	Orders         []Order // 1 to 1,000; of several with one id the last counts that can be read
	Trigger        engine.RunTrigger
	IdempotencyKey string // with other orders it is refused
}

// OrdersAnswer is what became of them.
type OrdersAnswer struct {
	Outcomes []OrderOutcome `json:"outcomes"` // in the order of the request
	Counts   ImportReport   `json:"counts"`   // of lines
	RunID    string         `json:"run_id"`   // of the run that scores the touched customers; empty where none was touched
}

// OrderOutcome is what became of an order.
type OrderOutcome struct {
	OrderID string `json:"order_id"`
	Status  string `json:"status"` // a postgres.OrderChange, or OrderRejected
	Reason  string `json:"reason"` // an ingest.Reason; empty where nothing was set aside
}

// OrderRejected is the status of an order that was set aside and is not stored.
const OrderRejected = "REJECTED"

// ReplayRequest asks for snapshots of the past, on the type's own days in [From, To).
type ReplayRequest struct {
	Store    *engine.Store
	Type     engine.SnapshotType
	From, To engine.Date
	// ModelVersion is the model to score under; 0: the one in force.
	ModelVersion int
	Conflict     Conflict
	Trigger      engine.RunTrigger
	Once
}

// SnapshotCounts tells what was written.
type SnapshotCounts struct {
	Date     engine.Date `json:"date"`
	Created  int64       `json:"created"`
	Kept     int64       `json:"kept"`
	Replaced int64       `json:"replaced"`
	Failed   int64       `json:"failed"`
}

// SnapshotOutcome is what became of named customers. Lists hold places in the request; Failed counts all of them.
type SnapshotOutcome struct {
	SnapshotCounts
	Unknown    []int `json:"unknown"`
	Existing   []int `json:"existing"` // there is one already, and the request says FAIL
	NoPurchase []int `json:"no_purchase"`
}

// CleanupRequest asks for a cleanup; a nil Store means all.
type CleanupRequest struct {
	Store           *engine.Store
	Types           []engine.SnapshotType // nil: all
	IncludeReplayed bool
	Trigger         engine.RunTrigger
	Once
}

// CleanupReport is what a cleanup removed, or would remove, in the form in which a run's report keeps it.
type CleanupReport struct {
	DeletedCount int64           `json:"deleted_count"`
	Policies     []CleanupPolicy `json:"policies"`
	AuditEntries int64           `json:"audit_entries"` // of the log of mutations
	Runs         int64           `json:"runs"`
	RunCutoff    time.Time       `json:"run_cutoff,omitzero"` // runs that ended before it go; zero where the cleanup is about some types
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
	DriftEvents   int64       `json:"drift_events"` // that led to a snapshot before the cutoff
	Transitions   int64       `json:"transitions"`  // that began before it and have ended
}

// What runs keep as request and as report, in the names of the command line's JSON.
type (
	// Recluster is the request of a re-clustering.
	Recluster struct {
		Store  string        `json:"store"`
		Params engine.Params `json:"params"`
		Seed   uint64        `json:"seed"`
		AsOf   engine.Date   `json:"as_of"`
		DryRun bool          `json:"dry_run"`
	}
	// ReclusterReport is its report.
	ReclusterReport struct {
		ModelVersion int           `json:"model_version"`
		Customers    int           `json:"customers"`
		Tried        *engine.Model `json:"tried,omitempty"` // the model of a dry run, which is kept nowhere else
	}
	// Import is the request of an import.
	Import struct {
		Store  string `json:"store"`
		Source string `json:"source"`
	}
	// ImportReport is its report.
	ImportReport struct {
		Format   string `json:"format"`
		Currency string `json:"currency,omitempty"` // of the amounts, where the file states it
		Rows     int64  `json:"rows"`
		Imported int64  `json:"imported"`
		Changed  int64  `json:"changed"`
		Guests   int64  `json:"guests"`
		Rejected int64  `json:"rejected"`
		// Superseded counts rows of orders that stand again further on, in a later state.
		Superseded int64            `json:"superseded,omitempty"`
		Orders     int64            `json:"orders"`
		Customers  int64            `json:"customers"`
		Problems   map[string]int64 `json:"problems,omitempty"`
		// Dates and Numbers say how those were read that leave it open: see ingest.Summary.
		Dates   string `json:"dates,omitempty"`
		Numbers string `json:"numbers,omitempty"`
		// Touched counts the customers that are to be scored anew, once more for each file, and RescoreRun scores them.
		Touched    int64  `json:"touched,omitempty"`
		RescoreRun string `json:"rescore_run,omitempty"`
	}
	// Snapshots is the request of a snapshot or a replay.
	Snapshots struct {
		Store        string        `json:"store"`
		Type         string        `json:"type"`
		Date         engine.Date   `json:"date"` // of the first
		Dates        []engine.Date `json:"dates"`
		Conflict     Conflict      `json:"conflict"`
		ModelVersion int           `json:"model_version"`
	}
	// Rescore is the request of a run that takes in a shop's events and scores touched customers.
	Rescore struct {
		Store string `json:"store"`
	}
	// RescoreReport is its report: what became of the lines of orders that events brought.
	RescoreReport struct {
		Counts ImportReport `json:"counts"`
	}
	// Cleanup is the request of a cleanup.
	Cleanup struct {
		Store           string   `json:"store,omitempty"` // empty: all
		Types           []string `json:"types,omitempty"`
		IncludeReplayed bool     `json:"include_replayed"`
	}
)
