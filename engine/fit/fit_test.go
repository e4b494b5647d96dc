package fit

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/synth"
)

func fitted(tb testing.TB, t *engine.Table, p engine.Params) *engine.Model {
	tb.Helper()
	m, err := Model(tb.Context(), p, 42, t, nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// checkAxisModel checks what holds for every fitted axis.
func checkAxisModel(t *testing.T, axis int, a *engine.AxisModel) {
	t.Helper()
	names := map[string]bool{}
	leaves, members := 0, 0
	soft := 0.0
	last := math.MaxInt
	for i := range a.Segments {
		s := &a.Segments[i]
		if s.Name == "" || names[s.Name] {
			t.Errorf("%s: the name %q of %s is empty or taken", engine.Axes[axis].Key, s.Name, s.Path)
		}
		names[s.Name] = true
		if len(s.Profile.Features) != len(s.Center) {
			t.Errorf("%s %s: %d features in the profile for %d in use", engine.Axes[axis].Key, s.Path, len(s.Profile.Features), len(s.Center))
		}
		if s.IsLeaf() {
			if s.Leaf != leaves {
				t.Errorf("%s %s: leaf %d stands at %d", engine.Axes[axis].Key, s.Path, s.Leaf, leaves)
			}
			leaves++
		}
		sum := 0
		largest := math.MaxInt
		for n, c := range s.Children {
			child := &a.Segments[c]
			if child.Parent != i || child.Depth != s.Depth+1 || child.Members > largest || child.Path != s.Path+"."+string(rune('0'+n)) {
				t.Errorf("%s %s: child %s is out of place", engine.Axes[axis].Key, s.Path, child.Path)
			}
			largest = child.Members
			sum += child.Members
		}
		if len(s.Children) > 0 && sum != s.Members {
			t.Errorf("%s %s: %d members, its children have %d", engine.Axes[axis].Key, s.Path, s.Members, sum)
		}
		if s.Parent < 0 {
			if s.Members > last {
				t.Errorf("%s: root %s is larger than the one before", engine.Axes[axis].Key, s.Path)
			}
			last = s.Members
			members += s.Members
			soft += s.FuzzySize
		}
	}
	if leaves != a.Leaves || members != a.Eligible || math.Abs(soft-float64(a.Eligible)) > 1e-6 {
		t.Errorf("%s: %d leaves of %d, %d members and %g memberships of %d", engine.Axes[axis].Key, leaves, a.Leaves, members, soft, a.Eligible)
	}
}

func TestFitInvariants(t *testing.T) {
	t.Parallel()
	unraced(t)
	m := fitted(t, synth.Table(3000, 1), engine.DefaultParams())
	keys := map[string]bool{}
	for i := range m.Axes {
		a := &m.Axes[i]
		if a.Status != engine.AxisOn {
			t.Fatalf("%s: %s %s", engine.Axes[i].Key, a.Status, a.Reason)
		}
		checkAxisModel(t, i, a)
		for j := range a.Segments {
			if keys[a.Segments[j].Key] {
				t.Errorf("the key %s is given twice", a.Segments[j].Key)
			}
			keys[a.Segments[j].Key] = true
		}
	}
	for key, stratum := range map[string]engine.Stratum{"purchase_frequency": engine.StratumOnePurchase, "return_behavior": engine.StratumNeverReturned} {
		i, _ := engine.AxisIndex(key)
		found := 0
		for _, s := range m.Axes[i].Segments {
			if s.Stratum == stratum {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s has %d strata %s", key, found, stratum)
		}
	}
}

// With more rows than one goroutine sums by itself.
func TestFitDoesNotDependOnProcessors(t *testing.T) {
	unraced(t)
	table := synth.Table(2500, 2)
	p := engine.DefaultParams()
	p.Starts = 3
	all := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(all)
	one := fitted(t, table, p)
	runtime.GOMAXPROCS(max(4, all))
	many := fitted(t, table, p)
	if diff := cmp.Diff(one, many); diff != "" {
		t.Error(diff)
	}
}

func TestModelSurvivesJSON(t *testing.T) {
	t.Parallel()
	unraced(t)
	table := synth.Table(1000, 3)
	exploration, _ := engine.AxisIndex("category_exploration")
	for i := range 400 { // identical customers of whom features are undefined
		copy(table.Row(i)[engine.Axes[exploration].First:], []float32{0, float32(math.NaN()), float32(math.NaN())})
	}
	m := fitted(t, table, engine.DefaultParams())
	if s := m.Axes[exploration].Segments[0]; s.Stratum != engine.StratumIdentical || s.Members != 400 {
		t.Errorf("the identical ones: %+v", s)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back engine.Model
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	before, after := m.NewScorer(), back.NewScorer()
	for i := range table.Len() {
		var a, b engine.Thumbprint
		before.Score(int(table.Purchases[i]), table.Row(i), &a)
		after.Score(int(table.Purchases[i]), table.Row(i), &b)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestFitSettings(t *testing.T) {
	t.Parallel()
	unraced(t)
	table := synth.Table(800, 4)
	t.Run("hard", func(t *testing.T) {
		t.Parallel()
		p := engine.DefaultParams()
		p.Fuzzy = false
		m := fitted(t, table, p)
		var print engine.Thumbprint
		scorer := m.NewScorer()
		for i := range table.Len() {
			scorer.Score(int(table.Purchases[i]), table.Row(i), &print)
			for _, u := range print.Membership {
				if u != 0 && u != engine.MembershipUnit && u != -1 {
					t.Fatalf("a hard membership is %d", u)
				}
			}
		}
	})
	t.Run("flat", func(t *testing.T) {
		t.Parallel()
		p := engine.DefaultParams()
		p.Hierarchical = false
		for i, a := range fitted(t, table, p).Axes {
			for _, s := range a.Segments {
				if s.Depth > 0 {
					t.Fatalf("%s has the segment %s", engine.Axes[i].Key, s.Path)
				}
			}
		}
	})
	t.Run("hierarchy", func(t *testing.T) {
		t.Parallel()
		p := engine.DefaultParams()
		p.K, p.Starts = 3, 2
		whole := func(p engine.Params) (stops map[string]int, depth int, a *engine.AxisModel) {
			t.Helper()
			stops = map[string]int{}
			a = &fitted(t, table, p).Axes[1] // no stratum, three features
			for _, s := range a.Segments {
				depth = max(depth, s.Depth)
				stops[s.Division.StoppedBy]++
			}
			return stops, depth, a
		}
		p.MaxVariance, p.MaxShare, p.MinSize, p.MaxDepth = 0.01, 0.1, 10, 1
		stops, depth, a := whole(p)
		if d := a.Segments[0].Division; d.VarianceLimit != 0.01*3/5 || d.ShareLimit != 0.1 || !slices.Contains(d.Triggers, "VARIANCE") || !slices.Contains(d.Triggers, "POPULATION_SHARE") {
			t.Errorf("the limits are %+v", d)
		}
		if depth != 1 || stops["DEPTH"] == 0 || stops["SIZE"] > 0 {
			t.Errorf("to depth 1: depth %d, stopped by %v", depth, stops)
		}
		p.MaxDepth = 0
		if stops, depth, _ = whole(p); depth != 0 || stops["DEPTH"] != 3 {
			t.Errorf("to depth 0: depth %d, stopped by %v", depth, stops)
		}
		p.MaxDepth, p.MinSize = 3, 10_000
		if stops, depth, _ = whole(p); depth != 0 || stops["SIZE"] != 3 {
			t.Errorf("above 10,000 customers: depth %d, stopped by %v", depth, stops)
		}
		p.MinSize, p.MaxVariance, p.MaxShare = 10, 100, 1
		if _, _, a = whole(p); slices.ContainsFunc(a.Segments, func(s engine.Segment) bool {
			return slices.Contains(s.Division.Triggers, "VARIANCE") || slices.Contains(s.Division.Triggers, "POPULATION_SHARE")
		}) {
			t.Error("limits that nothing exceeds are exceeded")
		}
	})
	t.Run("fixed k", func(t *testing.T) {
		t.Parallel()
		p := engine.DefaultParams()
		p.K = 4
		for i, a := range fitted(t, table, p).Axes {
			if a.Fit != nil && a.Fit.K != 4 {
				t.Fatalf("%s has %d segments", engine.Axes[i].Key, a.Fit.K)
			}
		}
	})
	t.Run("wrong", func(t *testing.T) {
		t.Parallel()
		p := engine.DefaultParams()
		p.Fuzziness = 1
		if _, err := Model(t.Context(), p, 1, table, nil, nil); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("got %v", err)
		}
		bad := synth.Table(200, 5)
		bad.Values[77] = float32(math.Inf(1))
		if _, err := Model(t.Context(), engine.DefaultParams(), 1, bad, nil, nil); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Model(ctx, engine.DefaultParams(), 1, table, nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("progress", func(t *testing.T) {
		t.Parallel()
		done := 0
		_, err := Model(t.Context(), engine.DefaultParams(), 1, table, nil, func(p Progress) {
			if p.Done < done || p.Total != engine.AxisCount || p.Stage == "" {
				t.Errorf("after %d of the axes: %+v", done, p)
			}
			done = p.Done
		})
		if err != nil || done != engine.AxisCount {
			t.Errorf("%d axes reported: %v", done, err)
		}
	})
}

func TestFitStatuses(t *testing.T) {
	t.Parallel()
	unraced(t)
	statusOf := func(m *engine.Model, key string) (engine.AxisStatus, engine.AxisReason) {
		i, _ := engine.AxisIndex(key)
		return m.Axes[i].Status, m.Axes[i].Reason
	}
	set := func(table *engine.Table, axis string, value func(row, feature int) float32) {
		i, _ := engine.AxisIndex(axis)
		for row := range table.Len() {
			for j := range engine.Axes[i].Features {
				table.Row(row)[engine.Axes[i].First+j] = value(row, j)
			}
		}
	}
	expect := func(t *testing.T, m *engine.Model, key string, status engine.AxisStatus, reason engine.AxisReason) {
		t.Helper()
		if s, r := statusOf(m, key); s != status || r != reason {
			t.Errorf("%s: %s %q, want %s %q", key, s, r, status, reason)
		}
	}

	few := fitted(t, synth.Table(99, 6), engine.DefaultParams())
	expect(t, few, "purchase_value", engine.AxisTooFewCustomers, engine.ReasonTooFewCustomers)

	nobody := fitted(t, &engine.Table{Columns: engine.AllColumns}, engine.DefaultParams())
	expect(t, nobody, "purchase_value", engine.AxisTooFewCustomers, engine.ReasonTooFewCustomers)
	if nobody.Positions() != 0 {
		t.Errorf("a model of nobody has %d positions", nobody.Positions())
	}

	table := synth.Table(600, 7)
	nan := float32(math.NaN())
	set(table, "basket_composition", func(int, int) float32 { return 1 })
	set(table, "customer_maturity", func(row, feature int) float32 {
		if feature == 0 {
			return float32(row)
		}
		return nan
	})
	set(table, "purchase_value", func(row, feature int) float32 {
		if row < 300 {
			return 0
		}
		return table.Row(row)[engine.Axes[1].First+feature]
	})
	set(table, "return_behavior", func(row, feature int) float32 {
		if row >= 40 && feature < 2 {
			return 0
		}
		return float32(1 + row%7 + feature)
	})
	set(table, "category_exploration", func(row, feature int) float32 {
		if feature == 1 { // says what the first one says
			return 2*table.Row(row)[engine.Axes[10].First] + 1
		}
		return table.Row(row)[engine.Axes[10].First+feature]
	})
	m := fitted(t, table, engine.DefaultParams())
	expect(t, m, "basket_composition", engine.AxisNotFitted, engine.ReasonNoStructure)
	expect(t, m, "customer_maturity", engine.AxisOff, engine.ReasonTooFewFeatures)
	expect(t, m, "purchase_value", engine.AxisOn, engine.ReasonNone)
	expect(t, m, "return_behavior", engine.AxisOn, engine.ReasonNone)
	expect(t, m, "category_exploration", engine.AxisOn, engine.ReasonNone)

	if s := m.Axes[1].Segments[0]; s.Stratum != engine.StratumIdentical || s.Members != 300 || s.Name != "all the same" || len(s.Children) > 0 {
		t.Errorf("half of the customers are identical, but the largest root is %+v", s)
	}
	for _, f := range m.Axes[1].Segments[0].Profile.Features {
		// They all have 0, which only some of the others undercut: they are the middle of about the lower half.
		if f.Center != 0 || f.Percentile < 25 || f.Percentile > 40 {
			t.Errorf("the identical customers' profile shows %+v", f)
		}
	}
	returns, _ := engine.AxisIndex("return_behavior")
	if a := m.Axes[returns]; a.Fit != nil || len(a.Segments) != 2 || a.Segments[0].Members != 560 || a.Segments[1].Name != "returned something" {
		t.Errorf("40 who returned something were clustered: %+v", a.Segments)
	}
	if f := m.Axes[10].Features[1]; f.Status != engine.FeatureCorrelated || f.Correlation < 0.95 {
		t.Errorf("a copy of another feature is %+v", f)
	}
}

func TestIntensities(t *testing.T) {
	t.Parallel()
	for i := range engine.Axes {
		for _, f := range engine.Axes[i].Features {
			for _, phrase := range []string{f.Few, f.Many} {
				first, _, _ := strings.Cut(phrase, " ")
				_, known := intensities[phrase]
				if !known && !slices.Contains(gradable, first) {
					t.Errorf("%s %s: how does one say %q more strongly?", engine.Axes[i].Key, f.Key, phrase)
				}
			}
		}
	}
}
