package engine_test

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/fit"
	"github.com/quimbi/quimbi/engine/synth"
)

// sampleModel is fitted once for all tests that only score.
var sampleModel = sync.OnceValues(func() (*engine.Table, *engine.Model) {
	table := synth.Table(600, 11)
	p := engine.DefaultParams()
	p.Starts = 2
	m, err := fit.Model(context.Background(), p, 1, table, nil, nil)
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
		values := make([]float32, engine.FeatureCount)
		for j := range values {
			values[j] = rapid.OneOf(
				rapid.Float32Range(-20, 20), rapid.Float32(), rapid.Just(float32(math.NaN())), rapid.Just(float32(math.Inf(1))),
			).Draw(t, "value")
		}
		var print engine.Thumbprint
		scorer.Score(purchases, values, &print)
		if len(print.Membership) != m.Positions() || len(print.Dominant) != engine.AxisCount {
			t.Fatalf("%d memberships, %d dominant", len(print.Membership), len(print.Dominant))
		}
		for i := range m.Axes {
			a := &m.Axes[i]
			if a.Status != engine.AxisOn {
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
					t.Fatalf("%s: without a dominant segment the memberships are %v", engine.Axes[i].Key, units)
				}
				if purchases >= max(1, engine.Axes[i].MinPurchases) && allFinite(values[engine.Axes[i].First:engine.Axes[i].First+len(engine.Axes[i].Features)]) {
					t.Fatalf("%s: no memberships of a customer who is eligible", engine.Axes[i].Key)
				}
			case sum != engine.MembershipUnit:
				t.Fatalf("%s: the memberships sum to %d", engine.Axes[i].Key, sum)
			case purchases < engine.Axes[i].MinPurchases:
				t.Fatalf("%s: memberships of a customer who is not eligible", engine.Axes[i].Key)
			}
			roots := m.RootMemberships(i, print, nil)
			if len(roots) > 0 {
				sum = 0
				for _, u := range roots {
					sum += u
				}
				if path := m.Path(i, print); sum != engine.MembershipUnit || a.Segments[path[0]].Parent != -1 || int(print.Dominant[i]) != a.First+a.Segments[path[len(path)-1]].Leaf {
					t.Fatalf("%s: roots sum to %d, path %v", engine.Axes[i].Key, sum, path)
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
	frequency, _ := engine.AxisIndex("purchase_frequency")
	returns, _ := engine.AxisIndex("return_behavior")
	values := make([]float32, engine.FeatureCount)
	rootOf := func(axis, purchases int) (engine.Stratum, int) {
		var print engine.Thumbprint
		scorer.Score(purchases, values, &print)
		roots := m.RootMemberships(axis, print, nil)
		best := slices.Index(roots, slices.Max(roots))
		return m.Axes[axis].Segments[m.Axes[axis].SegmentAt(engine.LevelRoots, best)].Stratum, roots[best]
	}
	if s, u := rootOf(frequency, 1); s != engine.StratumOnePurchase || u != engine.MembershipUnit {
		t.Errorf("one purchase: %q with %d", s, u)
	}
	if s, _ := rootOf(frequency, 2); s != engine.StratumNone {
		t.Errorf("a second purchase stays in %q", s)
	}
	if s, u := rootOf(returns, 1); s != engine.StratumNeverReturned || u != engine.MembershipUnit {
		t.Errorf("nothing returned: %q with %d", s, u)
	}
	values[engine.Axes[returns].First] = 0.01
	if s, _ := rootOf(returns, 1); s != engine.StratumNone {
		t.Errorf("a return stays in %q", s)
	}
}

func TestScoreAllocatesNothing(t *testing.T) {
	table, m := sampleModel()
	scorer := m.NewScorer()
	var print engine.Thumbprint
	scorer.Score(3, table.Row(0), &print)
	if n := testing.AllocsPerRun(100, func() { scorer.Score(3, table.Row(1), &print) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOutlier(t *testing.T) {
	t.Parallel()
	table, m := sampleModel()
	scorer := m.NewScorer()
	for axis := range engine.Axes {
		outliers := 0
		for i := range table.Len() {
			if scorer.Outlier(axis, int(table.Purchases[i]), table.Row(i)) {
				outliers++
			}
		}
		if limit := m.Axes[axis].Eligible/100 + 1; outliers > limit {
			t.Errorf("%s: %d outliers among the fitted customers", engine.Axes[axis].Key, outliers)
		}
	}
	far := make([]float32, engine.FeatureCount)
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
	var print engine.Thumbprint
	for i := 0; b.Loop(); i++ {
		row := i % table.Len()
		scorer.Score(int(table.Purchases[row]), table.Row(row), &print)
	}
}
