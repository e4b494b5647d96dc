package engine

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// randomTree draws a model with one axis, whose tree has up to four levels.
func randomTree(t *rapid.T) *Model {
	m := &Model{Params: DefaultParams()}
	for i := range m.Axes {
		m.Axes[i].Status = AxisOff
	}
	a := &m.Axes[0]
	a.Status = AxisOn
	a.Features = make([]FeatureModel, len(Axes[0].Features))
	for j := range a.Features {
		a.Features[j] = FeatureModel{Status: FeatureOn, Low: -100, High: 100, SD: 1}
	}
	var add func(parent, depth int) int
	add = func(parent, depth int) int {
		at := len(a.Segments)
		s := Segment{Parent: parent, Depth: depth}
		for range a.Features {
			s.Center = append(s.Center, float64(fewNumbers.Draw(t, "center")))
		}
		a.Segments = append(a.Segments, s)
		if depth < 3 && rapid.Bool().Draw(t, "divided") {
			for range rapid.IntRange(2, 3).Draw(t, "children") {
				child := add(at, depth+1)
				a.Segments[at].Children = append(a.Segments[at].Children, child)
			}
		}
		return at
	}
	for range rapid.IntRange(1, 4).Draw(t, "roots") {
		add(-1, 0)
	}
	if rapid.Bool().Draw(t, "stratum") {
		a.Segments[add(-1, 0)].Stratum = StratumOnePurchase
	}
	a.NumberSegments()
	m.PlaceLeaves()
	return m
}

// fewNumbers are few, so that memberships tie and rows fall on centres.
var fewNumbers = rapid.IntRange(-4, 4)

// The dominant segment is the end of the path through the stored thumbprint, whatever the tree and the customer.
func TestDominantIsTheEndOfThePath(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := randomTree(t)
		a := &m.Axes[0]
		values := make([]float32, FeatureCount)
		for j := range values[:len(a.Features)] {
			values[j] = float32(fewNumbers.Draw(t, "value"))
		}
		var print Thumbprint
		m.NewScorer().Score(rapid.IntRange(1, 2).Draw(t, "purchases"), values, &print)
		path := m.Path(0, print)
		if end := a.Segments[path[len(path)-1]].Leaf; int(print.Dominant[0]) != end {
			t.Fatalf("dominant is %d, the path %v ends at %d: %v", print.Dominant[0], path, end, print.Membership)
		}
	})
}

// TestScoreWithoutAxes scores under the model of a store with too few customers for any axis.
func TestScoreWithoutAxes(t *testing.T) {
	t.Parallel()
	var print Thumbprint
	new(Model).NewScorer().Score(1, make([]float32, FeatureCount), &print)
	if print.Membership == nil || len(print.Membership) != 0 || len(print.Dominant) != AxisCount || slices.Max(print.Dominant) != -1 {
		t.Errorf("the thumbprint is %+v, want an empty one", print)
	}
}

// Memberships of children sum to the parent's and those of the leaves to 1, whatever the tree, the customer and m.
func TestMembershipsCompose(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := randomTree(t)
		m.Params.Fuzziness = rapid.SampledFrom([]float64{2, 1.05, 1.7, 3.5}).Draw(t, "m")
		m.Params.Fuzzy = rapid.Bool().Draw(t, "fuzzy")
		a := &m.Axes[0]
		values := make([]float32, len(a.Features))
		for j := range values {
			values[j] = rapid.OneOf(rapid.Map(fewNumbers, func(n int) float32 { return float32(n) }), rapid.Float32Range(-200, 200)).Draw(t, "value")
		}
		scorer := newAxisScorer(&Axes[0], a, m.Params)
		if !scorer.weigh(rapid.IntRange(1, 2).Draw(t, "purchases"), values) {
			t.Fatal("no memberships")
		}
		leaves := 0.0
		for i := range a.Segments {
			u := scorer.weight[i]
			if !(u >= 0 && u <= 1) {
				t.Fatalf("the membership of %s is %v", a.Segments[i].Path, u)
			}
			if a.Segments[i].IsLeaf() {
				leaves += u
				continue
			}
			children := 0.0
			for _, c := range a.Segments[i].Children {
				children += scorer.weight[c]
			}
			if math.Abs(children-u) > 1e-9 {
				t.Fatalf("%s has the membership %v, its children sum to %v", a.Segments[i].Path, u, children)
			}
		}
		if math.Abs(leaves-1) > 1e-9 {
			t.Fatalf("the leaves sum to %v", leaves)
		}
	})
}

// A child's membership is its parent's times what the formula of fuzzy c-means gives among the siblings.
func TestMembershipsComposeByHand(t *testing.T) {
	t.Parallel()
	// seg_0 has children at 0 and 4, the second of which has some at 3 and 5; the other root is as far from 1 as seg_0. A
	// customer at 1 has squared distances 1 and 9 from 0 and 4, so shares 0.9 and 0.1 with m = 2, and 4 and 16 from 3 and 5.
	a := AxisModel{Features: []FeatureModel{{Status: FeatureOn, Low: -100, High: 100, SD: 1}}, Segments: []Segment{
		{Parent: -1, Center: []float64{2}, Children: []int{1, 2}},
		{Parent: 0, Depth: 1, Center: []float64{0}},
		{Parent: 0, Depth: 1, Center: []float64{4}, Children: []int{3, 4}},
		{Parent: 2, Depth: 2, Center: []float64{3}},
		{Parent: 2, Depth: 2, Center: []float64{5}},
		{Parent: -1, Center: []float64{0}},
	}}
	a.NumberSegments()
	scorer := newAxisScorer(&Axes[0], &a, DefaultParams())
	if !scorer.weigh(2, []float32{1}) {
		t.Fatal("no memberships")
	}
	for i, want := range []float64{0.5, 0.45, 0.05, 0.04, 0.01, 0.5} {
		if math.Abs(scorer.weight[i]-want) > 1e-15 {
			t.Errorf("%s has the membership %v, want %v", a.Segments[i].Path, scorer.weight[i], want)
		}
	}
}
