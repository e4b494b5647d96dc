package engine

import "time"

// RunKind is the kind of work that a run does.
type RunKind string

// The kinds.
const (
	RunRecluster RunKind = "RECLUSTER"
	RunImport    RunKind = "IMPORT"
	RunSnapshot  RunKind = "SNAPSHOT"
	RunReplay    RunKind = "REPLAY"
	RunRescore   RunKind = "RESCORE"
	RunCleanup   RunKind = "CLEANUP"
	RunBacktest  RunKind = "BACKTEST"
)

// RunState is where a run stands.
type RunState string

// The states; the last three are final.
const (
	RunQueued    RunState = "QUEUED"
	RunRunning   RunState = "RUNNING"
	RunSucceeded RunState = "SUCCEEDED"
	RunFailed    RunState = "FAILED"
	RunCancelled RunState = "CANCELLED"
)

// Final tells whether nothing more will happen.
func (s RunState) Final() bool { return s == RunSucceeded || s == RunFailed || s == RunCancelled }

// RunTrigger is what started a run.
type RunTrigger string

// The triggers.
const (
	TriggerMutation RunTrigger = "MUTATION"
	TriggerSchedule RunTrigger = "SCHEDULE"
	TriggerCLI      RunTrigger = "CLI"
	TriggerWebhook  RunTrigger = "WEBHOOK"
)

// RunStage is what a run is doing.
type RunStage string

// The stages.
const (
	StageReading        RunStage = "READING"
	StageFeatures       RunStage = "FEATURES"
	StageSelectingK     RunStage = "SELECTING_K"
	StageClustering     RunStage = "CLUSTERING"
	StageSubdividing    RunStage = "SUBDIVIDING"
	StageNaming         RunStage = "NAMING"
	StageScoring        RunStage = "SCORING"
	StageDetectingDrift RunStage = "DETECTING_DRIFT"
	StageWriting        RunStage = "WRITING"
	StageRemoving       RunStage = "REMOVING"
	StageEvaluating     RunStage = "EVALUATING"
)

// Run is the product's record of a piece of work in the background.
type Run struct {
	ID         string // UUID
	StoreID    int32  // 0: all stores
	Kind       RunKind
	State      RunState
	Trigger    RunTrigger
	Slot       *time.Time // the planned time, where the schedule started it
	Stage      RunStage
	Axis       string // the axis that is worked on; empty where it is not one alone
	Done       int
	Total      int    // 0 while not known
	Rows       int64  // what it wrote, or removed
	Events     int64  // drift events found
	Request    []byte // JSON: what was asked for
	Report     []byte // JSON: what came out, where there is more than counts
	Failure    string
	CreatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	UpdatedAt  time.Time
}

// Fraction is how far the run is, from 0 to 1.
func (r *Run) Fraction() float64 {
	switch {
	case r.State == RunSucceeded:
		return 1
	case r.Total <= 0:
		return 0
	default:
		return min(1, float64(r.Done)/float64(r.Total))
	}
}
