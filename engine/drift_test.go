package engine

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAxisDistanceAnchors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		a, b []float64
		want float64
	}{
		{"all three segments of the worked example", []float64{0.80, 0.05, 0.15}, []float64{0.45, 0.20, 0.35}, 0.304138},
		{"from one pure segment to another", []float64{1, 0, 0}, []float64{0, 0, 1}, 1},
		{"no move", []float64{0.25, 0.75}, []float64{0.25, 0.75}, 0},
		{"one segment", []float64{1}, []float64{1}, 0},
	} {
		got, err := AxisDistance(c.a, c.b)
		if err != nil || math.Abs(got-c.want) > 5e-7 {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
	for name, sides := range map[string][2][]float64{
		"the two named segments alone": {{0.80, 0.05}, {0.45, 0.20}},
		"different lengths":            {{0.5, 0.5}, {0.5, 0.25, 0.25}},
		"nothing":                      {nil, nil},
		"not a number":                 {{math.NaN(), 1}, {0.5, 0.5}},
		"negative":                     {{1.5, -0.5}, {0.5, 0.5}},
	} {
		if d, err := AxisDistance(sides[0], sides[1]); err == nil {
			t.Errorf("%s: %v, want an error", name, d)
		}
	}
}

func TestSeverityBorders(t *testing.T) {
	t.Parallel()
	for score, want := range map[float64]Severity{
		0: SeverityStable, 0.0999999: SeverityStable, 0.1: SeverityMinor, 0.2999999: SeverityMinor, 0.3: SeverityModerate,
		0.4999999: SeverityModerate, 0.5: SeveritySignificant, 0.6999999: SeveritySignificant, 0.7: SeverityMajor, 1: SeverityMajor,
	} {
		if got := SeverityOf(score); got != want {
			t.Errorf("%v is %s, want %s", score, got, want)
		}
	}
}

// simplex draws a vector of memberships in units of 1/10000.
func simplex(t *rapid.T, k int, name string) []int {
	cuts := rapid.SliceOfN(rapid.IntRange(0, MembershipUnit), k-1, k-1).Draw(t, name)
	slices.Sort(cuts)
	u := make([]int, k)
	last := 0
	for j, c := range cuts {
		u[j] = c - last
		last = c
	}
	u[k-1] = MembershipUnit - last
	return u
}

func TestDriftIsAMetric(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 12).Draw(t, "k")
		a, b, c := simplex(t, k, "a"), simplex(t, k, "b"), simplex(t, k, "c")
		ab, bc, ac := unitDistance(a, b), unitDistance(b, c), unitDistance(a, c)
		if ab < 0 || ab > 1 {
			t.Fatalf("%v is outside [0, 1]", ab)
		}
		if ab != unitDistance(b, a) || unitDistance(a, a) != 0 {
			t.Fatal("not symmetric, or a move without a move")
		}
		if (ab == 0) != slices.Equal(a, b) {
			t.Fatalf("%v and %v are %v apart", a, b, ab)
		}
		if ac > ab+bc+1e-12 {
			t.Fatalf("%v is further than %v and %v together", ac, ab, bc)
		}
		x, y := make([]float64, k), make([]float64, k)
		for j := range k {
			x[j], y[j] = float64(a[j])/MembershipUnit, float64(b[j])/MembershipUnit
		}
		if d, err := AxisDistance(x, y); err != nil || math.Abs(d-ab) > 1e-9 {
			t.Fatalf("in units it is %v, otherwise %v (%v)", ab, d, err)
		}
	})
}

func TestRoundToUnits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 40).Draw(t, "weights")
		sum := 0.0
		for _, w := range weights {
			sum += w
		}
		if sum == 0 {
			weights[0], sum = 1, 1
		}
		shares := make([]float64, len(weights))
		for j, w := range weights {
			shares[j] = w / sum
		}
		exact := slices.Clone(shares)
		units := make([]int16, len(shares))
		roundToUnits(shares, units)
		total := 0
		for j, u := range units {
			total += int(u)
			if u < 0 || math.Abs(float64(u)-exact[j]*MembershipUnit) >= 1+1e-9 {
				t.Fatalf("%v became %d", exact[j], u)
			}
		}
		if total != MembershipUnit {
			t.Fatalf("the units sum to %d", total)
		}
	})
}

// handModel has two axes by hand: purchase_frequency with roots of two and one leaves, purchase_value with two leaves.
func handModel() *Model {
	m := &Model{}
	for i := range m.Axes {
		m.Axes[i].Status = AxisOff
	}
	m.Axes[0] = AxisModel{Status: AxisOn, Leaves: 3, Segments: []Segment{
		{Path: "seg_0", Parent: -1, Children: []int{1, 2}, Leaf: -1},
		{Path: "seg_0.0", Parent: 0, Depth: 1, Leaf: 0},
		{Path: "seg_0.1", Parent: 0, Depth: 1, Leaf: 1},
		{Path: "seg_1", Parent: -1, Leaf: 2},
	}}
	m.Axes[1] = AxisModel{Status: AxisOn, Leaves: 2, Segments: []Segment{
		{Path: "seg_0", Parent: -1, Leaf: 0},
		{Path: "seg_1", Parent: -1, Leaf: 1},
	}}
	m.PlaceLeaves()
	return m
}

func TestDrift(t *testing.T) {
	t.Parallel()
	m := handModel()
	from := Thumbprint{Membership: []int16{3500, 3000, 3500, 10000, 0}}
	to := Thumbprint{Membership: []int16{3000, 3500, 3500, 4000, 6000}}

	if got := m.RootMemberships(0, from, nil); !slices.Equal(got, []int{6500, 3500}) {
		t.Errorf("roots: %v", got)
	}
	if got := m.Path(0, to); !slices.Equal(got, []int{0, 2}) {
		t.Errorf("path: %v", got)
	}
	if got := m.Path(2, to); got != nil {
		t.Errorf("path on an axis that is off: %v", got)
	}

	d := m.Drift(from, to)
	overall := math.Sqrt(0.36 / 2)
	if d.Overall == nil || math.Abs(*d.Overall-overall) > 1e-12 {
		t.Errorf("overall: %v", d.Overall)
	}
	d.Overall = nil
	want := Drift{Mean: 0.3, Coverage: 1, Largest: 1, LargestScore: 0.6, ModerateAxes: 1}
	for i := range want.Axes {
		want.Axes[i] = AxisDrift{Axis: i, Status: AxisOff, From: -1, To: -1}
	}
	want.Axes[0] = AxisDrift{Axis: 0, Status: AxisOn, Severity: SeverityStable, From: 0, To: 0}
	want.Axes[1] = AxisDrift{Axis: 1, Status: AxisOn, Score: 0.6, Severity: SeveritySignificant, From: 0, To: 1, SegmentChanged: true}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}

	leaves := m.DriftAt(LevelLeaves, from, to).Axes[0]
	if math.Abs(leaves.Score-0.05) > 1e-12 || leaves.From != 1 || leaves.To != 2 || !leaves.SegmentChanged {
		t.Errorf("on the leaves: %+v", leaves)
	}
}

func TestDriftWithoutMemberships(t *testing.T) {
	t.Parallel()
	m := handModel()
	whole := Thumbprint{Membership: []int16{3500, 3000, 3500, 10000, 0}}
	half := Thumbprint{Membership: []int16{3500, 3000, 3500, -1, -1}}
	none := Thumbprint{Membership: []int16{-1, -1, -1, -1, -1}}
	if d := m.Drift(half, whole); d.Coverage != 0.5 || d.Overall == nil || d.Axes[1].Status != AxisNotEligible || d.Axes[1].Reason == ReasonNone {
		t.Errorf("one of two axes: %+v", d)
	}
	m.Axes[2] = AxisModel{Status: AxisOn}
	if d := m.Drift(half, whole); d.Overall != nil || d.Coverage >= 0.5 {
		t.Errorf("one of three axes: %+v", d)
	}
	if d := m.Drift(none, whole); d.Overall != nil || d.Largest != -1 || d.Coverage != 0 {
		t.Errorf("no axis: %+v", d)
	}
}
