package fit

import (
	"context"
	"math"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/synth"
)

// sampleModel is fitted once for all tests that only score.
var sampleModel = sync.OnceValues(func() (*engine.Table, *engine.Model) {
	table := synth.Table(600, 11)
	p := engine.DefaultParams()
	p.Starts = 2
	m, err := Model(context.Background(), p, 1, table, nil, nil)
	if err != nil {
		panic(err)
	}
	return table, m
})

// Every rule is judged here anew, from what it says: its bounds in the features' units, on all customers.
func TestRules(t *testing.T) {
	t.Parallel()
	table, m := sampleModel()
	scorer := m.NewScorer()
	rules := 0
	var print engine.Thumbprint
	for i := range m.Axes {
		a := &m.Axes[i]
		for j := range a.Segments {
			rule := a.Segments[j].Profile.Rule
			if rule == nil {
				continue
			}
			rules++
			if n := len(rule.Conditions); n < 1 || n > ruleDepth {
				t.Errorf("%s %s: %d conditions", engine.Axes[i].Key, a.Segments[j].Path, n)
			}
			under, found, members := 0, 0, 0
			for row := range table.Len() {
				scorer.Score(int(table.Purchases[row]), table.Row(row), &print)
				path := m.Path(i, print)
				if path == nil {
					continue
				}
				holds := true
				for _, c := range rule.Conditions {
					shown := engine.Axes[i].Features[c.Feature].Shown(a.Features[c.Feature].Scale().Filled(float64(engine.Axes[i].Of(table.Row(row))[c.Feature])))
					tolerance := shownTolerance * math.Abs(shown)
					holds = holds && (c.Above == nil || shown > *c.Above+tolerance) && (c.AtMost == nil || shown <= *c.AtMost+tolerance)
				}
				in := false
				for _, s := range path {
					in = in || s == j
				}
				if in {
					members++
				}
				if holds {
					under++
					if in {
						found++
					}
				}
			}
			precision, coverage := float64(found)/float64(under), float64(found)/float64(members)
			if math.Abs(precision-rule.Precision) > 0.005 || math.Abs(coverage-rule.Coverage) > 0.005 {
				t.Errorf("%s %s: %q has precision %g and coverage %g, it says %g and %g", engine.Axes[i].Key, a.Segments[j].Path, rule.Text(&engine.Axes[i]), precision, coverage, rule.Precision, rule.Coverage)
			}
			if rule.Precision < 0.8 || rule.Coverage < 0.3 {
				t.Errorf("%s %s: %q is shown with precision %g and coverage %g", engine.Axes[i].Key, a.Segments[j].Path, rule.Text(&engine.Axes[i]), rule.Precision, rule.Coverage)
			}
		}
	}
	if rules < engine.AxisCount {
		t.Errorf("only %d segments of planted groups have a rule", rules)
	}
	frequency := &m.Axes[0]
	for j := range frequency.Segments {
		if s := &frequency.Segments[j]; s.Stratum == engine.StratumOnePurchase && s.Profile.Rule != nil {
			t.Logf("one purchase: %s", s.Profile.Rule.Text(&engine.Axes[0]))
		}
	}
}

func TestShortest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ low, high, want float64 }{
		{12, 13, 12},
		{11.9999, 12.9999, 12},
		{1234, 1290, 1260},
		{0.3128, 0.3181, 0.315},
		{0, 0.002, 0},
		{-0.5, 0.5, 0},
		{-3.2, -2.9, -3},
		{0.1, 0.3, 0.2},
		{950, 12_000, 10_000},
		{5, 5, 5},
	} {
		if got := shortest(test.low, test.high); got != test.want {
			t.Errorf("between %v and %v: %v, want %v", test.low, test.high, got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float64Range(-1e6, 1e6).Draw(t, "a"), rapid.Float64Range(-1e6, 1e6).Draw(t, "b")
		if a == b {
			return
		}
		low, high := min(a, b), max(a, b)
		if got := shortest(low, high); got < low || got >= high {
			t.Fatalf("%v is not in [%v, %v)", got, low, high)
		}
	})
}

// A threshold of a count is a whole number, although counts are stored as logarithms in float32.
func TestBetweenCounts(t *testing.T) {
	t.Parallel()
	purchases := &engine.Axes[0].Features[0]
	for n := 1.0; n < 1000; n++ {
		low, high := float64(float32(math.Log1p(n))), float64(float32(math.Log1p(n+1)))
		shown, stored := between(purchases, low, high)
		if shown != n {
			t.Errorf("between %g and %g purchases: at most %v", n, n+1, shown)
		}
		if stored < low || stored >= high {
			t.Errorf("between %g and %g purchases: %v is not in [%v, %v)", n, n+1, stored, low, high)
		}
	}
	// More than three digits say nothing.
	if shown, _ := between(purchases, math.Log1p(12345), math.Log1p(12346)); shown != 12300 {
		t.Errorf("between 12345 and 12346 purchases: at most %v", shown)
	}
}
