package model

import (
	"github.com/quimbi/quimbi/engine"
)

// RunBase is what the runs of all kinds have in common.
type RunBase struct {
	*engine.Run
	Store    *Store // nil where it goes over all stores
	Progress *RunProgress
}

// IsNode marks an object with a global identifier.
func (*RunBase) IsNode() {}

// IsRun marks a run.
func (*RunBase) IsRun() {}

// ID is the global identifier.
func (r *RunBase) ID() string {
	return ID{Kind: KindRun, Store: r.StoreID, Run: r.Run.ID}.String()
}

// Seconds is how long the work took so far.
func (r *RunBase) Seconds() float64 {
	end := r.FinishedAt
	if end.IsZero() {
		end = r.UpdatedAt
	}
	if r.StartedAt.IsZero() || end.Before(r.StartedAt) {
		return 0
	}
	return end.Sub(r.StartedAt).Seconds()
}

// Failure says why it failed; nil unless it did.
func (r *RunBase) Failure() *string { return textOrNull(r.Run.Failure) }

// DriftEvents is how many drift events were found.
func (r *RunBase) DriftEvents() int64 { return r.Events }

// newProgress tells how far a run is.
func newProgress(r *engine.Run, store *Store) *RunProgress {
	p := &RunProgress{State: r.State, Done: r.Done, Fraction: r.Fraction(), At: r.UpdatedAt}
	if axis, ok := engine.AxisIndex(r.Axis); ok && store != nil {
		p.Axis = &Axis{Store: store, Index: axis}
	}
	if r.Stage != "" {
		p.Stage = &r.Stage
	}
	if r.Total > 0 {
		p.Total = &r.Total
	}
	return p
}

// The kinds of runs.
type (
	// ReclusterRun is a new model of one store.
	ReclusterRun struct {
		RunBase
		Options *ClusteringOptions
		Seed    int64
		AsOf    engine.Date
		DryRun  bool
		Version int // of the model it made, 0 until it has
	}
	// ImportRun is orders from a file.
	ImportRun struct {
		RunBase
		Source string
		Format *string
		Counts *ImportCounts
	}
	// SnapshotRun is snapshots of a store on one date.
	SnapshotRun struct {
		RunBase
		Type   engine.SnapshotType
		Date   engine.Date
		Counts *SnapshotCounts
	}
	// ReplayRun is snapshots of the past, rebuilt from orders.
	ReplayRun struct {
		RunBase
		Type         engine.SnapshotType
		Dates        []engine.Date
		ModelVersion int
		Counts       *SnapshotCounts
	}
	// RescoreRun is new thumbprints of customers whose orders changed.
	RescoreRun struct {
		RunBase
		Counts *ImportCounts
	}
	// CleanupRun is the removal of what retention no longer keeps.
	CleanupRun struct {
		RunBase
		Report *CleanupReport
	}
)

// Customers is how many were scored anew.
func (r *RescoreRun) Customers() int { return int(r.Rows) }

// Base makes the common part of a run; the caller sets Progress.Run to the whole.
func Base(r *engine.Run, store *Store) RunBase {
	return RunBase{Run: r, Store: store, Progress: newProgress(r, store)}
}

// ClusteringOptions are the settings of a clustering.
type ClusteringOptions struct{ engine.Params }

// K is the fixed number of segments; nil where it is chosen.
func (o *ClusteringOptions) K() *int {
	if k := o.FixedK(); k > 0 {
		return &k
	}
	return nil
}

// Balance is the formula that counts in the choice of k.
func (o *ClusteringOptions) Balance() BalanceFormula {
	if o.Normalized {
		return BalanceFormulaNormalized
	}
	return BalanceFormulaSource
}

// MaxSegmentShare is from 0 to 1.
func (o *ClusteringOptions) MaxSegmentShare() float64 { return o.MaxShare }

// MinSegmentSize is the number of customers up to which a segment is kept whole.
func (o *ClusteringOptions) MinSegmentSize() int { return o.MinSize }

// NewAxisFit tells how the clustering of an axis went.
func NewAxisFit(axis *Axis, m *engine.Model) *AxisFit {
	a := &m.Axes[axis.Index]
	fit := &AxisFit{Axis: axis, Status: a.Status, Reason: reasonOrNull(a.Reason), Customers: a.Eligible}
	if a.Status != engine.AxisOn {
		return fit
	}
	segments, largest := len(a.Segments), 0.0
	for i := range a.Segments {
		if a.Segments[i].IsLeaf() {
			largest = max(largest, a.Segments[i].Share)
		}
	}
	fit.Segments, fit.LargestShare = &segments, &largest
	if f := a.Fit; f != nil {
		fit.K, fit.Silhouette, fit.Balance, fit.PartitionCoefficient = &f.K, &f.Silhouette, &f.Balance, &f.PartitionCoefficient
		fit.Objective, fit.Iterations, fit.Converged = &f.Objective, &f.Iterations, &f.Converged
		fit.KSelection = kSelection(f, m.Params.Normalized)
	}
	return fit
}

func kSelection(f *engine.FitReport, normalized bool) *KSelection {
	options := ClusteringOptions{engine.Params{Normalized: normalized}}
	selection := &KSelection{Chosen: f.K, Rule: f.Rule, Formula: options.Balance(), Candidates: []*KCandidate{}}
	for i := range f.Candidates {
		c := &f.Candidates[i]
		candidate := &KCandidate{
			K: c.K, Silhouette: c.Silhouette, Balance: c.Balance, NormalizedBalance: c.NormalizedBalance, Score: c.Score,
			NormalizedScore: c.NormalizedScore, PartitionCoefficient: c.PartitionCoefficient, Sizes: c.Sizes, Eligible: c.Eligible, Reasons: c.Reasons,
		}
		if c.SilhouetteError > 0 {
			candidate.SilhouetteError = &c.SilhouetteError
		}
		if c.XieBeni > 0 {
			candidate.XieBeni = &c.XieBeni
		}
		selection.Candidates = append(selection.Candidates, candidate)
	}
	return selection
}
