package model_test

import (
	"math"
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
)

// twoRoots is a model with one axis of two roots.
func twoRoots(version int) *engine.Model {
	m := &engine.Model{Version: version, Params: engine.DefaultParams()}
	for i := range m.Axes {
		m.Axes[i] = engine.AxisModel{Status: engine.AxisOff, Reason: engine.ReasonNoSKU}
	}
	m.Axes[0] = engine.AxisModel{
		Status: engine.AxisOn, Leaves: 2, Features: make([]engine.FeatureModel, 4),
		Segments: []engine.Segment{{Key: "a", Path: "seg_0", Parent: -1, Leaf: 0}, {Key: "b", Path: "seg_1", Parent: -1, Leaf: 1}},
	}
	return m
}

func row(day engine.Date, version int, first int16) *engine.Snapshot {
	return &engine.Snapshot{Date: day, ModelVersion: version, Purchases: 3, Thumbprint: engine.Thumbprint{Membership: []int16{first, 10000 - first}}}
}

func series(m *engine.Model, rows ...*engine.Snapshot) *model.Series {
	store := &model.Store{}
	return model.NewSeries(&model.Customer{Customer: &engine.Customer{}, Store: store}, m, engine.LevelRoots, engine.Weekly, rows)
}

// The drifts of two segments are the differences of the first membership, so the figures can be followed by hand:
// 0.2 and 0.1 in a week each make a path of 0.3 in 14 days; back and forth, the net is 0.1.
func TestMotion(t *testing.T) {
	t.Parallel()
	motion := series(twoRoots(1), row(0, 1, 8000), row(7, 1, 6000), row(14, 1, 7000)).Motion()
	for name, c := range map[string]struct {
		got  *float64
		want float64
	}{
		"net": {motion.Net, 0.1}, "path": {motion.Path, 0.3}, "efficiency": {motion.Efficiency, 1.0 / 3}, "velocity": {motion.Velocity, 0.3 / 14},
		"acceleration": {motion.Acceleration, 2 * (0.1/7 - 0.2/7) / 14},
	} {
		if c.got == nil || math.Abs(*c.got-c.want) > 1e-12 {
			t.Errorf("%s: got %v, want %g", name, c.got, c.want)
		}
	}
}

func TestAGapOfOverThreePeriodsBreaksASeries(t *testing.T) {
	t.Parallel()
	rows := []*engine.Snapshot{row(0, 1, 8000), row(7, 1, 6000), row(29, 1, 1000), row(36, 1, 2000)}
	s := series(twoRoots(1), rows...)
	if latest := s.Latest(); len(latest.Rows) != 2 || latest.Rows[0].Date != 29 {
		t.Errorf("the latest part has %d snapshots", len(latest.Rows))
	}
	line, err := model.NewTimeline(s, nil, engine.LevelLeaves)
	if err != nil {
		t.Fatal(err)
	}
	drifts := line.OverallDriftScores()
	for i, want := range []float64{math.NaN(), 0.2, math.NaN(), 0.1} {
		if math.IsNaN(want) != math.IsNaN(drifts[i]) || math.Abs(drifts[i]-want) > 1e-12 {
			t.Errorf("drift %d is %g, want %g", i, drifts[i], want)
		}
	}
}

func TestSnapshotsOfAnotherModelWithoutFeaturesAreNotCompared(t *testing.T) {
	t.Parallel()
	s := series(twoRoots(2), row(0, 1, 8000), row(7, 2, 6000))
	analysis, err := s.Analysis([]string{"purchase_frequency"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	axis := analysis.Axes[0]
	if axis.Status != engine.AxisNotComparable || axis.Reason != engine.ReasonNoFeatures || analysis.Overall.Score != nil || analysis.Motion.Net != nil {
		t.Errorf("compared: %+v, overall %+v", axis, analysis.Overall)
	}
	if _, err := s.Analysis([]string{"nothing"}, nil); engine.CodeOf(err) != engine.CodeInvalid {
		t.Errorf("an unknown axis gives %v", err)
	}
}

// Under the newer model a value at one centre is wholly that segment's, so a move from centre to centre is a drift of 1
// however the older model saw it.
func TestSnapshotsOfAnotherModelAreRescored(t *testing.T) {
	t.Parallel()
	m := twoRoots(2)
	for i := range m.Axes[0].Features {
		m.Axes[0].Features[i] = engine.FeatureModel{Status: engine.FeatureConstant}
	}
	m.Axes[0].Features[0] = engine.FeatureModel{Status: engine.FeatureOn, Low: -10, High: 10, SD: 1}
	m.Axes[0].Segments[0].Center, m.Axes[0].Segments[1].Center = []float64{0}, []float64{3}
	before, after := row(0, 1, 5000), row(7, 1, 5000)
	before.Features, after.Features = make([]float32, engine.FeatureCount), make([]float32, engine.FeatureCount)
	after.Features[0] = 3
	analysis, err := series(m, before, after).Analysis(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if score, on := analysis.Axes[0].Score(); analysis.Basis != model.DriftBasisRescored || !on || score != 1 {
		t.Errorf("basis %s, score %g, counts: %v", analysis.Basis, score, on)
	}
}
