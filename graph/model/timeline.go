package model

import (
	"math"

	"github.com/quimbi/quimbi/engine"
)

// Timeline is a customer over time, as columns for a chart.
type Timeline struct {
	*Series
	level engine.Level
	axes  []int
	drift []*engine.Drift
}

// NewTimeline shows a series on the selected axes.
func NewTimeline(s *Series, keys []string, level engine.Level) (*Timeline, error) {
	axes, err := SelectAxes(keys)
	if err != nil {
		return nil, err
	}
	return &Timeline{Series: s, level: level, axes: axes, drift: s.steps()}, nil
}

func column[T any](rows []*engine.Snapshot, of func(*engine.Snapshot) T) []T {
	list := make([]T, len(rows))
	for i, row := range rows {
		list[i] = of(row)
	}
	return list
}

// Dates has one for each snapshot, oldest first.
func (t *Timeline) Dates() []engine.Date {
	return column(t.Rows, func(s *engine.Snapshot) engine.Date { return s.Date })
}

// ModelVersion is the model that all memberships are given under, 0 before the first re-clustering.
func (t *Timeline) ModelVersion() int {
	if t.Model == nil {
		return 0
	}
	return t.Model.Version
}

// ModelVersions are the models that the snapshots were stored under.
func (t *Timeline) ModelVersions() []int {
	return column(t.Rows, func(s *engine.Snapshot) int { return s.ModelVersion })
}

// Computed are whether the snapshots were worked out and not stored.
func (t *Timeline) Computed() []bool {
	return column(t.Rows, func(s *engine.Snapshot) bool { return s.Computed })
}

// Orders are the purchases so far.
func (t *Timeline) Orders() []int {
	return column(t.Rows, func(s *engine.Snapshot) int { return s.Purchases })
}

// TotalValues are in minor units.
func (t *Timeline) TotalValues() []int64 {
	return column(t.Rows, func(s *engine.Snapshot) int64 { return s.ValueCents })
}

// ChurnRiskScores are NaN where none was stored.
func (t *Timeline) ChurnRiskScores() []float64 {
	return column(t.Rows, func(s *engine.Snapshot) float64 {
		if s.ChurnRisk == nil {
			return math.NaN()
		}
		return *s.ChurnRisk
	})
}

// PredictedLtvs are in minor units.
func (t *Timeline) PredictedLtvs() []*int64 {
	return column(t.Rows, func(s *engine.Snapshot) *int64 { return s.LTVCents })
}

// OverallDriftScores are the drifts from the date before, NaN where there is none.
func (t *Timeline) OverallDriftScores() []float64 {
	return t.driftColumn(func(d *engine.Drift) (float64, bool) {
		if d.Overall == nil {
			return 0, false
		}
		return *d.Overall, true
	})
}

func (t *Timeline) driftColumn(score func(*engine.Drift) (float64, bool)) []float64 {
	list := make([]float64, len(t.Rows))
	for i, d := range t.drift {
		list[i] = math.NaN()
		if d != nil {
			if x, ok := score(d); ok {
				list[i] = x
			}
		}
	}
	return list
}

// Freshness tells how fresh the newest snapshot is.
func (t *Timeline) Freshness() *Freshness {
	f := &Freshness{}
	if t.Model != nil {
		f.ModelVersion = &t.Model.Version
	}
	if len(t.Rows) > 0 {
		last := t.Rows[len(t.Rows)-1]
		f.ComputedAt, f.SnapshotDate = &last.CreatedAt, &last.Date
	}
	return f
}

// Axes are the selected axes over time.
func (t *Timeline) Axes() []*AxisTimeline {
	list := make([]*AxisTimeline, len(t.axes))
	for i, axis := range t.axes {
		list[i] = t.axis(axis)
	}
	return list
}

// AxisTimeline is one axis over time.
type AxisTimeline struct {
	Axis          *Axis
	Status        engine.AxisStatus
	Reason        *engine.AxisReason
	DominantPaths []*string
	DriftScores   []float64
	Scores        [][]float64 // a row for each of segments; NaN where there are no memberships

	model    *engine.Model
	segments []int // of the level, as indices in AxisModel.Segments
}

func (t *Timeline) axis(index int) *AxisTimeline {
	a := &AxisTimeline{Axis: &Axis{Store: t.Customer.Store, Index: index}, DominantPaths: make([]*string, len(t.Rows)), model: t.Model, Scores: [][]float64{}}
	a.DriftScores = t.driftColumn(func(d *engine.Drift) (float64, bool) {
		return d.Axes[index].Score, d.Axes[index].Status == engine.AxisOn
	})
	status, reason := a.Axis.StatusUnder(t.Model)
	if a.Status, a.Reason = status, reasonOrNull(reason); status != engine.AxisOn {
		return a
	}
	segments := levelSegments(&t.Model.Axes[index], t.level)
	table := make([]float64, len(segments)*len(t.Rows))
	rows := make([][]float64, len(segments))
	for j := range rows {
		rows[j] = table[j*len(t.Rows) : (j+1)*len(t.Rows)]
	}
	eligible := false
	var units []int
	for i := range t.Rows {
		units = t.Model.MembershipsAt(t.level, index, t.Prints[i], units)
		for j := range segments {
			rows[j][i] = math.NaN()
		}
		for j, u := range units {
			rows[j][i] = float64(u) / engine.MembershipUnit
		}
		if len(units) > 0 {
			eligible = true
			a.DominantPaths[i] = &t.Model.Axes[index].Segments[segments[largest(units)]].Path
		}
	}
	if !eligible {
		a.Status, a.Reason = engine.AxisNotEligible, reasonOrNull(notEligible(index, t.Customer.Customer.Orders))
		return a
	}
	a.segments, a.Scores = segments, rows
	return a
}

// SegmentPaths are the segments' paths, in the order of the rows of Scores.
func (a *AxisTimeline) SegmentPaths() []string {
	paths := make([]string, len(a.segments))
	for j, segment := range a.segments {
		paths[j] = a.model.Axes[a.Axis.Index].Segments[segment].Path
	}
	return paths
}

// Series are the rows of Scores with their segments.
func (a *AxisTimeline) Series() []*MembershipSeries {
	series := make([]*MembershipSeries, len(a.segments))
	for j, segment := range a.segments {
		series[j] = &MembershipSeries{Segment: NewSegment(a.Axis.Store, a.model, a.Axis.Index, segment), Scores: a.Scores[j]}
	}
	return series
}
