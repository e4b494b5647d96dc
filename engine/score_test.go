package engine

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// sampleModel is fitted once for all tests that only score.
var sampleModel = sync.OnceValues(func() (*Table, *Model) {
	table := randomTable(600, 11)
	p := DefaultParams()
	p.Starts = 2
	m, err := Fit(context.Background(), p, 1, table, nil, nil)
	if err != nil {
		panic(err)
	}
	return table, m
})

func TestScoreSumsExactly(t *testing.T) {
	t.Parallel()
	_, m := sampleModel()
	scorer := m.NewScorer()
	rapid.Check(t, func(t *rapid.T) {
		purchases := rapid.IntRange(0, 5).Draw(t, "purchases")
		values := make([]float32, FeatureCount)
		for j := range values {
			values[j] = rapid.OneOf(
				rapid.Float32Range(-20, 20), rapid.Float32(), rapid.Just(float32(math.NaN())), rapid.Just(float32(math.Inf(1))),
			).Draw(t, "value")
		}
		var print Thumbprint
		scorer.Score(purchases, values, &print)
		if len(print.Membership) != m.Positions() || len(print.Dominant) != AxisCount {
			t.Fatalf("%d memberships, %d dominant", len(print.Membership), len(print.Dominant))
		}
		for i := range m.Axes {
			a := &m.Axes[i]
			if a.Status != AxisOn {
				continue
			}
			units := print.Membership[a.First : a.First+a.Leaves]
			sum := 0
			for _, u := range units {
				sum += int(u)
			}
			switch {
			case print.Dominant[i] < 0:
				if sum != -a.Leaves {
					t.Fatalf("%s: without a dominant segment the memberships are %v", Axes[i].Key, units)
				}
				if purchases >= max(1, Axes[i].MinPurchases) && allFinite(values[Axes[i].First:Axes[i].First+len(Axes[i].Features)]) {
					t.Fatalf("%s: no memberships of a customer who is eligible", Axes[i].Key)
				}
			case sum != MembershipUnit:
				t.Fatalf("%s: the memberships sum to %d", Axes[i].Key, sum)
			case purchases < Axes[i].MinPurchases:
				t.Fatalf("%s: memberships of a customer who is not eligible", Axes[i].Key)
			}
			roots := m.RootMemberships(i, print, nil)
			if len(roots) > 0 {
				sum = 0
				for _, u := range roots {
					sum += u
				}
				if path := m.Path(i, print); sum != MembershipUnit || a.Segments[path[0]].Parent != -1 || int(print.Dominant[i]) != a.First+a.Segments[path[len(path)-1]].Leaf {
					t.Fatalf("%s: roots sum to %d, path %v", Axes[i].Key, sum, path)
				}
			}
		}
	})
}

func allFinite(values []float32) bool {
	for _, v := range values {
		if math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}

func TestScoreStrata(t *testing.T) {
	t.Parallel()
	_, m := sampleModel()
	scorer := m.NewScorer()
	frequency, _ := AxisIndex(axisOfOnePurchase)
	returns, _ := AxisIndex(axisOfNeverReturned)
	values := make([]float32, FeatureCount)
	rootOf := func(axis, purchases int) (Stratum, int) {
		var print Thumbprint
		scorer.Score(purchases, values, &print)
		roots := m.RootMemberships(axis, print, nil)
		best := dominant(roots)
		return m.Axes[axis].Segments[m.Axes[axis].SegmentAt(LevelRoots, best)].Stratum, roots[best]
	}
	if s, u := rootOf(frequency, 1); s != StratumOnePurchase || u != MembershipUnit {
		t.Errorf("one purchase: %q with %d", s, u)
	}
	if s, _ := rootOf(frequency, 2); s != StratumNone {
		t.Errorf("a second purchase stays in %q", s)
	}
	if s, u := rootOf(returns, 1); s != StratumNeverReturned || u != MembershipUnit {
		t.Errorf("nothing returned: %q with %d", s, u)
	}
	values[Axes[returns].First] = 0.01
	if s, _ := rootOf(returns, 1); s != StratumNone {
		t.Errorf("a return stays in %q", s)
	}
}

func TestScoreAllocatesNothing(t *testing.T) {
	table, m := sampleModel()
	scorer := m.NewScorer()
	var print Thumbprint
	scorer.Score(3, table.Row(0), &print)
	if n := testing.AllocsPerRun(100, func() { scorer.Score(3, table.Row(1), &print) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOutlier(t *testing.T) {
	t.Parallel()
	table, m := sampleModel()
	scorer := m.NewScorer()
	for axis := range Axes {
		outliers := 0
		for i := range table.Len() {
			if scorer.Outlier(axis, int(table.Purchases[i]), table.Row(i)) {
				outliers++
			}
		}
		if limit := m.Axes[axis].Eligible/100 + 1; outliers > limit {
			t.Errorf("%s: %d outliers among the fitted customers", Axes[axis].Key, outliers)
		}
	}
	far := make([]float32, FeatureCount)
	for j := range far {
		far[j] = 1000
	}
	if !scorer.Outlier(1, 3, far) {
		t.Error("a customer far from everyone is no outlier")
	}
}

func BenchmarkScore(b *testing.B) {
	table, m := sampleModel()
	scorer := m.NewScorer()
	var print Thumbprint
	for i := 0; b.Loop(); i++ {
		row := i % table.Len()
		scorer.Score(int(table.Purchases[row]), table.Row(row), &print)
	}
}

// The dominant segment is the end of the path through the stored thumbprint, whatever the tree and the customer.
func TestDominantIsTheEndOfThePath(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
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
		number := rapid.IntRange(-4, 4) // few, so that memberships tie
		var add func(parent, depth int) int
		add = func(parent, depth int) int {
			at := len(a.Segments)
			s := Segment{Parent: parent, Depth: depth}
			for range a.Features {
				s.Center = append(s.Center, float64(number.Draw(t, "center")))
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
		a.numberSegments()
		m.placeLeaves()
		values := make([]float32, FeatureCount)
		for j := range values[:len(a.Features)] {
			values[j] = float32(number.Draw(t, "value"))
		}
		var print Thumbprint
		m.NewScorer().Score(2, values, &print)
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
