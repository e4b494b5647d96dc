package model

import (
	"cmp"
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/risk"
	"github.com/quimbi/quimbi/engine/versions"
)

// DriftEvent is a move on one axis over the threshold.
type DriftEvent struct {
	*engine.DriftEvent
	Customer *Customer
	// Page are the events that are listed together, so that what is read of them is read together; nil where it is one alone.
	Page *[]*DriftEvent
}

// AsEventPage makes a list of events.
func AsEventPage(events []*DriftEvent) {
	for _, e := range events {
		e.Page = &events
	}
}

// IsNode marks an object with a global identifier.
func (*DriftEvent) IsNode() {}

// ID is the global identifier.
func (e *DriftEvent) ID() string {
	return ID{Kind: KindEvent, Store: e.StoreID, Event: e.DriftEvent.ID}.String()
}

// Axis is the axis.
func (e *DriftEvent) Axis() *Axis { return &Axis{Store: e.Customer.Store, Index: e.DriftEvent.Axis} }

// Cause is what lay behind it.
func (e *DriftEvent) Cause() DriftCause { return causeOf(e.ByOrder) }

func causeOf(byOrder bool) DriftCause {
	if byOrder {
		return DriftCauseOrder
	}
	return DriftCauseTime
}

// FromDate is the earlier date.
func (e *DriftEvent) FromDate() engine.Date { return e.From }

// ToDate is the later date.
func (e *DriftEvent) ToDate() engine.Date { return e.To }

// Severity is the class of the score.
func (e *DriftEvent) Severity() engine.Severity { return engine.SeverityOf(e.Score) }

// SegmentChanged tells whether the dominant segment changed.
func (e *DriftEvent) SegmentChanged() bool { return e.DriftEvent.FromSegment != e.DriftEvent.ToSegment }

// Direction is which way by risk; nil before outcomes are known.
func (e *DriftEvent) Direction() *risk.Direction { return directionOf(e.RiskChange) }

// ChurnRiskChange is the churn risk of one snapshot less that of another;
// nil where either has none, or they are of two models.
func ChurnRiskChange(from, to *engine.Snapshot) *float64 {
	if from == nil || to == nil || from.ChurnRisk == nil || to.ChurnRisk == nil || from.ModelVersion != to.ModelVersion {
		return nil
	}
	change := *to.ChurnRisk - *from.ChurnRisk
	return &change
}

// AccelerationOn is the change of velocity on an axis over the last three snapshots of the series; nil with fewer, after a gap, and
// where one has no memberships.
func (s *Series) AccelerationOn(axis int) *float64 {
	return s.accelerationOn(axis, s.steps())
}

func (s *Series) accelerationOn(axis int, steps []*engine.Drift) *float64 {
	return s.acceleration(steps, func(step *engine.Drift) (float64, bool) {
		return step.Axes[axis].Score, step.Axes[axis].Status == engine.AxisOn
	})
}

// OverallDrift is the drift over all axes.
type OverallDrift struct {
	Score        *float64
	Severity     *engine.Severity
	MeanScore    *float64
	Coverage     float64
	LargestAxis  *Axis
	LargestScore *float64
	ModerateAxes int
	Step         *Step // nil unless it is between neighbouring snapshots
	Split        func() (*Split, error)
}

// Step is the interval between neighbouring snapshots of a customer, or from the last one on.
type Step struct {
	Customer *Customer
	Type     engine.SnapshotType
	To       engine.Date
	ByOrder  bool
	Event    *engine.DriftEvent // nil where the drift was worked out for a question
}

// Overall is the drift over all axes between the same snapshots.
func (e *DriftEvent) Overall() *OverallDrift {
	o := &OverallDrift{
		Score: e.DriftEvent.Overall, MeanScore: &e.Mean, Coverage: e.Coverage, ModerateAxes: e.ModerateAxes,
		Step: &Step{Customer: e.Customer, Type: e.Type, To: e.To, ByOrder: e.ByOrder, Event: e.DriftEvent},
	}
	if o.Score != nil {
		severity := engine.SeverityOf(*o.Score)
		o.Severity = &severity
	}
	if e.LargestAxis >= 0 {
		o.LargestAxis, o.LargestScore = &Axis{Store: e.Customer.Store, Index: e.LargestAxis}, &e.LargestScore
	}
	return o
}

// IsAnomaly tells whether the axis or the overall drift is anomalous.
func (e *DriftEvent) IsAnomaly() bool { return e.AxisAnomaly || e.OverallAnomaly }

// Anomalies lists which of them.
func (e *DriftEvent) Anomalies() []AnomalyScope {
	scopes := []AnomalyScope{}
	if e.AxisAnomaly {
		scopes = append(scopes, AnomalyScopeAxis)
	}
	if e.OverallAnomaly {
		scopes = append(scopes, AnomalyScopeOverall)
	}
	return scopes
}

// Series is a customer's snapshots of one type under one model, oldest first. Thumbprints of other models are rescored.
type Series struct {
	Customer *Customer
	Model    *engine.Model
	Level    engine.Level // the cut of the trees that drift is measured on
	Type     engine.SnapshotType
	Rows     []*engine.Snapshot
	// Prints are the rows' thumbprints under Model, nil in Membership where a row of another model has no features.
	Prints []engine.Thumbprint
}

// NewSeries brings snapshots, oldest first, under one model, to measure drift between them on a level.
func NewSeries(c *Customer, m *engine.Model, level engine.Level, kind engine.SnapshotType, rows []*engine.Snapshot) *Series {
	s := &Series{Customer: c, Model: m, Level: level, Type: kind, Rows: rows, Prints: make([]engine.Thumbprint, len(rows))}
	var scorer *engine.Scorer
	for i, row := range rows {
		switch {
		case m == nil:
		case row.ModelVersion == m.Version:
			s.Prints[i] = row.Thumbprint
		case row.Features != nil:
			if scorer == nil {
				scorer = m.NewScorer()
			}
			scorer.Score(row.Purchases, row.Features, &s.Prints[i])
		}
	}
	return s
}

// broken tells whether the gap between two neighbours ends the series: over three periods.
func (s *Series) broken(i int) bool { return s.gap(i) > 3*s.Type.Days() }

func (s *Series) gap(i int) int { return int(s.Rows[i].Date - s.Rows[i-1].Date) }

func (s *Series) comparable(i, j int) bool {
	return len(s.Prints[i].Membership) > 0 && len(s.Prints[j].Membership) > 0
}

// drift compares two dates that are comparable, as the run that took the later snapshot did.
func (s *Series) drift(i, j int) *engine.Drift {
	d := s.Model.DriftAt(s.Level, s.Prints[i], s.Prints[j])
	return &d
}

// steps gives the drifts from each date to the next; nil at the first date, after a gap and where a side lacks memberships.
func (s *Series) steps() []*engine.Drift {
	steps := make([]*engine.Drift, len(s.Rows))
	for i := 1; i < len(s.Rows); i++ {
		if !s.broken(i) && s.comparable(i-1, i) {
			steps[i] = s.drift(i-1, i)
		}
	}
	return steps
}

// Latest is the part of the series after its last gap.
func (s *Series) Latest() *Series {
	from := 0
	for i := 1; i < len(s.Rows); i++ {
		if s.broken(i) {
			from = i
		}
	}
	latest := *s
	latest.Rows, latest.Prints = s.Rows[from:], s.Prints[from:]
	return &latest
}

// Motion describes the way over the series, which has no gap:
//
//	path = sum of the drifts from each to the next, efficiency = net/path, velocity = path/days,
//	acceleration = 2 (V2 - V1)/(g1 + g2) over the last three snapshots, V a drift over its gap g in days.
func (s *Series) Motion() *DriftMotion {
	n := len(s.Rows)
	motion := &DriftMotion{Snapshots: n}
	if n < 2 {
		return motion
	}
	steps := s.steps()
	path, complete := 0.0, true
	for _, step := range steps[1:] {
		if step == nil || step.Overall == nil {
			complete = false
			break
		}
		path += *step.Overall
	}
	if complete {
		velocity := path / float64(s.Rows[n-1].Date-s.Rows[0].Date)
		motion.Path, motion.Velocity = &path, &velocity
	}
	if s.comparable(0, n-1) {
		motion.Net = s.drift(0, n-1).Overall
	}
	if motion.Net != nil && complete {
		efficiency := 0.0
		if path > 0 {
			efficiency = *motion.Net / path
		}
		motion.Efficiency = &efficiency
	}
	if change := s.riskChange(); change != nil {
		velocity := *change / float64(s.Rows[n-1].Date-s.Rows[0].Date)
		motion.RiskVelocity = &velocity
	}
	motion.Acceleration = s.acceleration(steps, func(d *engine.Drift) (float64, bool) {
		if d.Overall == nil {
			return 0, false
		}
		return *d.Overall, true
	})
	return motion
}

func (s *Series) acceleration(steps []*engine.Drift, score func(*engine.Drift) (float64, bool)) *float64 {
	n := len(s.Rows)
	if n < 3 || steps[n-1] == nil || steps[n-2] == nil {
		return nil
	}
	d1, ok1 := score(steps[n-2])
	d2, ok2 := score(steps[n-1])
	if !ok1 || !ok2 {
		return nil
	}
	g1, g2 := float64(s.gap(n-2)), float64(s.gap(n-1))
	a := 2 * (d2/g2 - d1/g1) / (g1 + g2)
	return &a
}

// Between is the drift from the first to the last snapshot.
func (s *Series) Between() *engine.Drift { return s.between(0, len(s.Rows)-1) }

// Analysis compares the first and the last snapshot of the series, which has at least two and no gap. aligned, unless it is nil, is
// the drift by segments that were paired, the first one being impossible to score anew.
func (s *Series) Analysis(keys []string, aligned *versions.Aligned) (*DriftAnalysis, error) {
	axes, err := SelectAxes(keys)
	if err != nil {
		return nil, err
	}
	last := len(s.Rows) - 1
	analysis := &DriftAnalysis{
		From: &Snapshot{Snapshot: s.Rows[0], Customer: s.Customer}, To: &Snapshot{Snapshot: s.Rows[last], Customer: s.Customer},
		Days: int(s.Rows[last].Date - s.Rows[0].Date), Basis: DriftBasisSameModel, Motion: s.Motion(),
		Freshness:       &Freshness{ComputedAt: &s.Rows[last].CreatedAt, ModelVersion: &s.Model.Version, SnapshotDate: &s.Rows[last].Date},
		ChurnRiskChange: ChurnRiskChange(s.Rows[0], s.Rows[last]),
	}
	if s.Rows[0].ModelVersion != s.Model.Version || s.Rows[last].ModelVersion != s.Model.Version {
		analysis.Basis = DriftBasisRescored
	}
	drift := s.Between()
	if aligned != nil {
		drift, analysis.Basis, analysis.Approximate = &aligned.Drift, DriftBasisAligned, true
	}
	analysis.Overall = overallDrift(s.Customer.Store, drift)
	if last == 1 {
		analysis.Overall.Step = &Step{Customer: s.Customer, Type: s.Type, To: s.Rows[last].Date, ByOrder: s.Rows[last].Active}
	}
	steps := s.steps()
	for _, axis := range axes {
		view := s.axisDrift(axis, drift, steps, analysis.Days)
		if aligned != nil {
			view.before = aligned.Before[axis]
		}
		analysis.Axes = append(analysis.Axes, view)
	}
	return analysis, nil
}

// between is the drift of two snapshots; an axis that cannot be compared for want of features says so.
func (s *Series) between(i, j int) *engine.Drift {
	if s.comparable(i, j) {
		return s.drift(i, j)
	}
	d := &engine.Drift{Largest: -1}
	for axis := range d.Axes {
		d.Axes[axis] = engine.AxisDrift{Axis: axis, Status: s.Model.Axes[axis].Status, Reason: s.Model.Axes[axis].Reason, From: -1, To: -1}
		if d.Axes[axis].Status == engine.AxisOn {
			d.Axes[axis].Status, d.Axes[axis].Reason = engine.AxisNotComparable, engine.ReasonNoFeatures
		}
	}
	return d
}

func overallDrift(store *Store, d *engine.Drift) *OverallDrift {
	o := &OverallDrift{Score: d.Overall, Coverage: d.Coverage, ModerateAxes: d.ModerateAxes}
	if d.Overall != nil {
		severity := engine.SeverityOf(*d.Overall)
		o.Severity = &severity
	}
	if d.Largest >= 0 {
		o.MeanScore, o.LargestScore, o.LargestAxis = &d.Mean, &d.LargestScore, &Axis{Store: store, Index: d.Largest}
	}
	return o
}

// AxisDrift is the drift on one axis.
type AxisDrift struct {
	engine.AxisDrift
	Velocity, Acceleration *float64

	series *Series
	days   int
	split  func() (*Split, error)
	before []int // memberships in the segments of the level
}

func (s *Series) axisDrift(axis int, d *engine.Drift, steps []*engine.Drift, days int) *AxisDrift {
	a := &AxisDrift{AxisDrift: d.Axes[axis], series: s, days: days, before: s.Model.MembershipsAt(s.Level, axis, s.Prints[0], nil)}
	if a.Status == engine.AxisOn {
		velocity := a.AxisDrift.Score / float64(max(1, days))
		a.Velocity = &velocity
		a.Acceleration = s.accelerationOn(axis, steps)
	}
	return a
}

func (a *AxisDrift) on() bool { return a.Status == engine.AxisOn }

// Axis is the axis.
func (a *AxisDrift) Axis() *Axis {
	return &Axis{Store: a.series.Customer.Store, Index: a.AxisDrift.Axis}
}

// Score is from 0 to 1.
func (a *AxisDrift) Score() (float64, bool) { return a.AxisDrift.Score, a.on() }

// Severity is the class of the score.
func (a *AxisDrift) Severity() (engine.Severity, bool) { return a.AxisDrift.Severity, a.on() }

// SegmentChanged tells whether the dominant segment changed.
func (a *AxisDrift) SegmentChanged() (bool, bool) { return a.AxisDrift.SegmentChanged, a.on() }

// FromSegment is the dominant segment before.
func (a *AxisDrift) FromSegment() *Segment { return a.segment(a.From) }

// ToSegment is the dominant segment after.
func (a *AxisDrift) ToSegment() *Segment { return a.segment(a.To) }

func (a *AxisDrift) segment(index int) *Segment {
	if index < 0 {
		return nil
	}
	return NewSegment(a.series.Customer.Store, a.series.Model, a.AxisDrift.Axis, index)
}

// Changes lists the level's segments by how much their memberships changed, largest change first.
func (a *AxisDrift) Changes(first int) ([]*MembershipChange, error) {
	if first < 1 || first > 100 {
		return nil, engine.Errorf(engine.CodeInvalid, "first must be from 1 to 100, is %d", first)
	}
	changes := []*MembershipChange{}
	if !a.on() {
		return changes, nil
	}
	s, axis := a.series, a.AxisDrift.Axis
	after := s.Model.MembershipsAt(s.Level, axis, s.Prints[len(s.Prints)-1], nil)
	for i, index := range levelSegments(&s.Model.Axes[axis], s.Level) {
		changes = append(changes, &MembershipChange{
			Segment: a.segment(index), of: a, place: i,
			Before: float64(a.before[i]) / engine.MembershipUnit, After: float64(after[i]) / engine.MembershipUnit,
		})
	}
	slices.SortStableFunc(changes, func(x, y *MembershipChange) int {
		return cmp.Compare(math.Abs(y.After-y.Before), math.Abs(x.After-x.Before))
	})
	return changes[:min(first, len(changes))], nil
}
