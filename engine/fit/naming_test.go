package fit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

// profiled makes an axis of clustered roots whose features, in the order of their places, have these percentiles.
func profiled(percentiles ...[]float64) *engine.AxisModel {
	a := &engine.AxisModel{Status: engine.AxisOn, Fit: &engine.FitReport{}}
	for _, of := range percentiles {
		s := engine.Segment{Parent: -1}
		for f, p := range of {
			s.Profile.Features = append(s.Profile.Features, engine.FeatureProfile{Feature: f, Percentile: p, Qualifier: qualifierOf(p)})
		}
		a.Segments = append(a.Segments, s)
	}
	return a
}

func namesOf(a *engine.AxisModel) []string {
	var names []string
	for i := range a.Segments {
		names = append(names, a.Segments[i].Name)
	}
	return names
}

func TestNames(t *testing.T) {
	t.Parallel()
	a := profiled([]float64{50, 50, 50}, []float64{95, 20, 80}, []float64{5, 50, 50}, []float64{50, 50, 50}, []float64{95, 20, 20}, []float64{95, 20, 20})
	nameSegments(a, &engine.Axes[0], nil, nil)
	want := []string{
		"typical", "very many purchases, seldom", "very few purchases", "typical (2)", // the most telling two
		"very many purchases, seldom, quiet of late", "very many purchases, seldom, quiet of late (2)", // taken: the next feature, then a number
	}
	if diff := cmp.Diff(want, namesOf(a)); diff != "" {
		t.Error(diff)
	}
}

// A name stays until a feature is 10 points past a bound of the qualifier that it was named for.
func TestNamesStay(t *testing.T) {
	t.Parallel()
	tests := []struct {
		from, to float64
		stays    bool
	}{
		{75, 69, true},
		{75, 60.1, true},
		{75, 60, false}, // 10 points past 70
		{75, 99.9, true},
		{75, 100, false}, // 10 points past 90
		{95, 80.1, true},
		{95, 80, false},
		{20, 39.9, true},
		{20, 40, false},
		{20, 0.1, true},
		{20, 0, false},
		{5, 19.9, true},
		{5, 20, false},
		{50, 20.1, true},
		{50, 20, false},
		{50, 79.9, true},
		{50, 80, false},
	}
	for _, test := range tests {
		before := profiled([]float64{test.from, 50})
		nameSegments(before, &engine.Axes[0], nil, nil)
		now := profiled([]float64{test.to, 50})
		nameSegments(now, &engine.Axes[0], nil, map[int]*engine.Segment{0: &before.Segments[0]})
		fresh := profiled([]float64{test.to, 50})
		nameSegments(fresh, &engine.Axes[0], nil, nil)
		want := fresh.Segments[0].Name
		if test.stays {
			want = before.Segments[0].Name
		}
		if got := now.Segments[0].Name; got != want {
			t.Errorf("from %g to %g: %q becomes %q, want %q", test.from, test.to, before.Segments[0].Name, got, want)
		}
	}
}

// Small steps do not carry a name away from what it says: it is held against what it was made for, not the last model.
func TestNamesDoNotCreep(t *testing.T) {
	t.Parallel()
	last := profiled([]float64{75, 50})
	nameSegments(last, &engine.Axes[0], nil, nil)
	for _, percentile := range []float64{69, 66, 63, 61} {
		now := profiled([]float64{percentile, 50})
		nameSegments(now, &engine.Axes[0], nil, map[int]*engine.Segment{0: &last.Segments[0]})
		if got := now.Segments[0].Name; got != "many purchases" {
			t.Fatalf("at %g the name is %q", percentile, got)
		}
		last = now
	}
	now := profiled([]float64{59, 50})
	nameSegments(now, &engine.Axes[0], nil, map[int]*engine.Segment{0: &last.Segments[0]})
	if got := now.Segments[0].Name; got != "typical" {
		t.Errorf("16 points below the bound the name is %q", got)
	}
}

func TestNamesByHand(t *testing.T) {
	t.Parallel()
	first := profiled([]float64{95, 50}, []float64{50, 50}, []float64{5, 50})
	nameSegments(first, &engine.Axes[0], map[int]string{2: "typical", 0: "our best"}, nil)
	if diff := cmp.Diff([]string{"our best", "typical (2)", "typical"}, namesOf(first)); diff != "" {
		t.Error(diff)
	}
	if !first.Segments[0].ByHand || first.Segments[1].ByHand {
		t.Errorf("by hand are %+v", first.Segments)
	}
	// In the next model it goes with its segment, whatever has become of that; a new one goes before it.
	next := profiled([]float64{5, 50}, []float64{50, 50}, []float64{50, 50})
	nameSegments(next, &engine.Axes[0], map[int]string{2: "new friends"}, map[int]*engine.Segment{0: &first.Segments[0], 2: &first.Segments[2]})
	if diff := cmp.Diff([]string{"our best", "typical", "new friends"}, namesOf(next)); diff != "" {
		t.Error(diff)
	}
	// What a rule defines is named by the rule, and its name goes to no other.
	strata := profiled([]float64{5, 50}, []float64{95, 50})
	strata.Segments[0].Stratum = engine.StratumOnePurchase
	nameSegments(strata, &engine.Axes[0], nil, map[int]*engine.Segment{0: &first.Segments[1]})
	after := profiled([]float64{5, 50})
	nameSegments(after, &engine.Axes[0], nil, map[int]*engine.Segment{0: &strata.Segments[0]})
	if diff := cmp.Diff([]string{"one purchase", "very many purchases", "very few purchases"}, append(namesOf(strata), namesOf(after)...)); diff != "" {
		t.Error(diff)
	}
}

// A feature that is no longer in use changes a name that it was part of, and no other.
func TestNamesWithoutAFeature(t *testing.T) {
	t.Parallel()
	before := profiled([]float64{95, 50}, []float64{50, 5})
	nameSegments(before, &engine.Axes[0], nil, nil)
	now := profiled([]float64{95}, []float64{50})
	nameSegments(now, &engine.Axes[0], nil, map[int]*engine.Segment{0: &before.Segments[0], 1: &before.Segments[1]})
	if diff := cmp.Diff([]string{"very many purchases", "typical"}, namesOf(now)); diff != "" {
		t.Error(diff)
	}
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		axis := &engine.Axes[rapid.IntRange(0, engine.AxisCount-1).Draw(t, "axis")]
		draw := func(label string) *engine.AxisModel {
			var percentiles [][]float64
			for range rapid.IntRange(1, 8).Draw(t, label) {
				percentiles = append(percentiles, rapid.SliceOfN(rapid.Float64Range(0, 100), len(axis.Features), len(axis.Features)).Draw(t, "percentiles"))
			}
			a := profiled(percentiles...)
			for i := range a.Segments {
				a.Segments[i].Depth = rapid.IntRange(0, 3).Draw(t, "depth")
			}
			return a
		}
		before, now := draw("before"), draw("now")
		names := rapid.SampledFrom([]string{"", "", "", "our best", "typical"})
		byHand := func(n int) map[int]string {
			given := map[int]string{}
			for i := range n {
				given[i] = names.Draw(t, "by hand")
			}
			return given
		}
		nameSegments(before, axis, byHand(len(before.Segments)), nil)
		heirs := map[int]*engine.Segment{}
		for i := range now.Segments {
			if j := rapid.IntRange(-1, len(before.Segments)-1).Draw(t, "heir of"); j >= 0 {
				heirs[i] = &before.Segments[j]
			}
		}
		nameSegments(now, axis, byHand(len(now.Segments)), heirs)
		for _, a := range []*engine.AxisModel{before, now} {
			seen := map[string]bool{}
			for _, name := range namesOf(a) {
				if name == "" || seen[name] {
					t.Fatalf("%q is empty or taken: %q", name, namesOf(a))
				}
				seen[name] = true
			}
		}
	})
}

func TestPercentileOfAPointMass(t *testing.T) {
	t.Parallel()
	// Half of the customers have the value 0.1; the mean of many comes out a little beside it.
	percentiles := make([]float64, percentileSteps+1)
	for p := range percentiles {
		percentiles[p] = float64(float32(0.1))
		if p > percentileSteps/2 {
			percentiles[p] = float64(p)
		}
	}
	for _, v := range []float64{percentiles[0], percentiles[0] - 1e-12, percentiles[0] + 1e-12} {
		if got := percentileOf(percentiles, nearKnot(percentiles, v)); got != 25 {
			t.Errorf("%v stands at the percentile %v, want 25, the middle of the half", v, got)
		}
	}
	for _, v := range []float64{0, 11.5, 30} {
		if got := nearKnot(percentiles, v); got != v {
			t.Errorf("%v is taken for %v", v, got)
		}
	}
}
