package engine

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const everyColumn = ColumnOrderID | ColumnSKU | ColumnCategory | ColumnDiscount | ColumnReturns | ColumnTimeOfDay

// randomTable makes a table in which every axis has three groups of customers, some undefined features, one-time buyers, and
// customers who never returned anything.
func randomTable(n int, seed uint64) *Table {
	random := rand.New(rand.NewPCG(seed, 7))
	t := &Table{AsOf: NewDate(2026, 3, 1), Columns: everyColumn}
	for i := range n {
		f := Features{
			PurchaseHistory: PurchaseHistory{Purchases: 1 + random.IntN(3)*random.IntN(8)},
			ValueCents:      int64(random.IntN(100_000)),
		}
		f.FirstAt = t.AsOf - Date(1+random.IntN(900))
		for a := range Axes {
			group := float64(4 * random.IntN(3))
			for range Axes[a].Features {
				v := group + random.NormFloat64()
				if random.IntN(20) == 0 {
					v = math.NaN()
				}
				f.Values = append(f.Values, float32(v))
			}
		}
		returns, _ := AxisIndex(axisOfNeverReturned)
		first := Axes[returns].First
		for j := range 2 {
			f.Values[first+j] = float32(math.Abs(float64(f.Values[first+j])))
			if i%2 == 0 {
				f.Values[first+j] = 0
			}
		}
		t.Append(int64(i), &f)
	}
	return t
}

func fitted(tb testing.TB, t *Table, p Params) *Model {
	tb.Helper()
	m, err := Fit(tb.Context(), p, 42, t, nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// checkAxisModel checks what holds for every fitted axis.
func checkAxisModel(t *testing.T, axis int, a *AxisModel) {
	t.Helper()
	names := map[string]bool{}
	leaves, members := 0, 0
	soft := 0.0
	last := math.MaxInt
	for i := range a.Segments {
		s := &a.Segments[i]
		if s.Name == "" || names[s.Name] {
			t.Errorf("%s: the name %q of %s is empty or taken", Axes[axis].Key, s.Name, s.Path)
		}
		names[s.Name] = true
		if len(s.Profile.Features) != len(s.Center) {
			t.Errorf("%s %s: %d features in the profile for %d in use", Axes[axis].Key, s.Path, len(s.Profile.Features), len(s.Center))
		}
		if s.IsLeaf() {
			if s.Leaf != leaves {
				t.Errorf("%s %s: leaf %d stands at %d", Axes[axis].Key, s.Path, s.Leaf, leaves)
			}
			leaves++
		}
		sum := 0
		largest := math.MaxInt
		for n, c := range s.Children {
			child := &a.Segments[c]
			if child.Parent != i || child.Depth != s.Depth+1 || child.Members > largest || child.Path != s.Path+"."+string(rune('0'+n)) {
				t.Errorf("%s %s: child %s is out of place", Axes[axis].Key, s.Path, child.Path)
			}
			largest = child.Members
			sum += child.Members
		}
		if len(s.Children) > 0 && sum != s.Members {
			t.Errorf("%s %s: %d members, its children have %d", Axes[axis].Key, s.Path, s.Members, sum)
		}
		if s.Parent < 0 {
			if s.Members > last {
				t.Errorf("%s: root %s is larger than the one before", Axes[axis].Key, s.Path)
			}
			last = s.Members
			members += s.Members
			soft += s.FuzzySize
		}
	}
	if leaves != a.Leaves || members != a.Eligible || math.Abs(soft-float64(a.Eligible)) > 1e-6 {
		t.Errorf("%s: %d leaves of %d, %d members and %g memberships of %d", Axes[axis].Key, leaves, a.Leaves, members, soft, a.Eligible)
	}
}

func TestFitInvariants(t *testing.T) {
	t.Parallel()
	unraced(t)
	m := fitted(t, randomTable(3000, 1), DefaultParams())
	keys := map[string]bool{}
	for i := range m.Axes {
		a := &m.Axes[i]
		if a.Status != AxisOn {
			t.Fatalf("%s: %s %s", Axes[i].Key, a.Status, a.Reason)
		}
		checkAxisModel(t, i, a)
		for j := range a.Segments {
			if keys[a.Segments[j].Key] {
				t.Errorf("the key %s is given twice", a.Segments[j].Key)
			}
			keys[a.Segments[j].Key] = true
		}
	}
	for key, stratum := range map[string]Stratum{axisOfOnePurchase: StratumOnePurchase, axisOfNeverReturned: StratumNeverReturned} {
		i, _ := AxisIndex(key)
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

func TestFitDoesNotDependOnProcessors(t *testing.T) {
	table := randomTable(1500, 2)
	all := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(all)
	one := fitted(t, table, DefaultParams())
	runtime.GOMAXPROCS(max(4, all))
	many := fitted(t, table, DefaultParams())
	if diff := cmp.Diff(one, many); diff != "" {
		t.Error(diff)
	}
}

func TestModelSurvivesJSON(t *testing.T) {
	t.Parallel()
	unraced(t)
	table := randomTable(1000, 3)
	exploration, _ := AxisIndex("category_exploration")
	for i := range 400 { // identical customers of whom features are undefined
		copy(table.Row(i)[Axes[exploration].First:], []float32{0, float32(math.NaN()), float32(math.NaN())})
	}
	m := fitted(t, table, DefaultParams())
	if s := m.Axes[exploration].Segments[0]; s.Stratum != StratumIdentical || s.Members != 400 {
		t.Errorf("the identical ones: %+v", s)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back Model
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	before, after := m.NewScorer(), back.NewScorer()
	for i := range table.Len() {
		var a, b Thumbprint
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
	table := randomTable(800, 4)
	t.Run("hard", func(t *testing.T) {
		t.Parallel()
		p := DefaultParams()
		p.Fuzzy = false
		m := fitted(t, table, p)
		var print Thumbprint
		scorer := m.NewScorer()
		for i := range table.Len() {
			scorer.Score(int(table.Purchases[i]), table.Row(i), &print)
			for _, u := range print.Membership {
				if u != 0 && u != MembershipUnit && u != -1 {
					t.Fatalf("a hard membership is %d", u)
				}
			}
		}
	})
	t.Run("flat", func(t *testing.T) {
		t.Parallel()
		p := DefaultParams()
		p.Hierarchical = false
		for i, a := range fitted(t, table, p).Axes {
			for _, s := range a.Segments {
				if s.Depth > 0 {
					t.Fatalf("%s has the segment %s", Axes[i].Key, s.Path)
				}
			}
		}
	})
	t.Run("hierarchy", func(t *testing.T) {
		t.Parallel()
		p := DefaultParams()
		p.K, p.Starts = 3, 2
		whole := func(p Params) (stops map[string]int, depth int, a *AxisModel) {
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
		if _, _, a = whole(p); slices.ContainsFunc(a.Segments, func(s Segment) bool {
			return slices.Contains(s.Division.Triggers, "VARIANCE") || slices.Contains(s.Division.Triggers, "POPULATION_SHARE")
		}) {
			t.Error("limits that nothing exceeds are exceeded")
		}
	})
	t.Run("fixed k", func(t *testing.T) {
		t.Parallel()
		p := DefaultParams()
		p.K = 4
		for i, a := range fitted(t, table, p).Axes {
			if a.Fit != nil && a.Fit.K != 4 {
				t.Fatalf("%s has %d segments", Axes[i].Key, a.Fit.K)
			}
		}
	})
	t.Run("wrong", func(t *testing.T) {
		t.Parallel()
		p := DefaultParams()
		p.Fuzziness = 1
		if _, err := Fit(t.Context(), p, 1, table, nil, nil); CodeOf(err) != CodeInvalid {
			t.Errorf("got %v", err)
		}
		bad := randomTable(200, 5)
		bad.Values[77] = float32(math.Inf(1))
		if _, err := Fit(t.Context(), DefaultParams(), 1, bad, nil, nil); CodeOf(err) != CodeInvalid {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Fit(ctx, DefaultParams(), 1, table, nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("progress", func(t *testing.T) {
		t.Parallel()
		done := 0
		_, err := Fit(t.Context(), DefaultParams(), 1, table, nil, func(p FitProgress) {
			if p.Done < done || p.Total != AxisCount || p.Stage == "" {
				t.Errorf("after %d of the axes: %+v", done, p)
			}
			done = p.Done
		})
		if err != nil || done != AxisCount {
			t.Errorf("%d axes reported: %v", done, err)
		}
	})
}

func TestFitStatuses(t *testing.T) {
	t.Parallel()
	unraced(t)
	statusOf := func(m *Model, key string) (AxisStatus, AxisReason) {
		i, _ := AxisIndex(key)
		return m.Axes[i].Status, m.Axes[i].Reason
	}
	set := func(table *Table, axis string, value func(row, feature int) float32) {
		i, _ := AxisIndex(axis)
		for row := range table.Len() {
			for j := range Axes[i].Features {
				table.Row(row)[Axes[i].First+j] = value(row, j)
			}
		}
	}
	expect := func(t *testing.T, m *Model, key string, status AxisStatus, reason AxisReason) {
		t.Helper()
		if s, r := statusOf(m, key); s != status || r != reason {
			t.Errorf("%s: %s %q, want %s %q", key, s, r, status, reason)
		}
	}

	few := fitted(t, randomTable(99, 6), DefaultParams())
	expect(t, few, "purchase_value", AxisTooFewCustomers, ReasonTooFewCustomers)

	nobody := fitted(t, &Table{Columns: everyColumn}, DefaultParams())
	expect(t, nobody, "purchase_value", AxisTooFewCustomers, ReasonTooFewCustomers)
	if nobody.Positions() != 0 {
		t.Errorf("a model of nobody has %d positions", nobody.Positions())
	}

	table := randomTable(600, 7)
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
		return table.Row(row)[Axes[1].First+feature]
	})
	set(table, "return_behavior", func(row, feature int) float32 {
		if row >= 40 && feature < 2 {
			return 0
		}
		return float32(1 + row%7 + feature)
	})
	set(table, "category_exploration", func(row, feature int) float32 {
		if feature == 1 { // says what the first one says
			return 2*table.Row(row)[Axes[10].First] + 1
		}
		return table.Row(row)[Axes[10].First+feature]
	})
	m := fitted(t, table, DefaultParams())
	expect(t, m, "basket_composition", AxisNotFitted, ReasonNoStructure)
	expect(t, m, "customer_maturity", AxisOff, ReasonTooFewFeatures)
	expect(t, m, "purchase_value", AxisOn, ReasonNone)
	expect(t, m, "return_behavior", AxisOn, ReasonNone)
	expect(t, m, "category_exploration", AxisOn, ReasonNone)

	if s := m.Axes[1].Segments[0]; s.Stratum != StratumIdentical || s.Members != 300 || s.Name != "all the same" || len(s.Children) > 0 {
		t.Errorf("half of the customers are identical, but the largest root is %+v", s)
	}
	for _, f := range m.Axes[1].Segments[0].Profile.Features {
		// They all have 0, which only some of the others undercut: they are the middle of about the lower half.
		if f.Center != 0 || f.Percentile < 25 || f.Percentile > 40 {
			t.Errorf("the identical customers' profile shows %+v", f)
		}
	}
	returns, _ := AxisIndex("return_behavior")
	if a := m.Axes[returns]; a.Fit != nil || len(a.Segments) != 2 || a.Segments[0].Members != 560 || a.Segments[1].Name != "returned something" {
		t.Errorf("40 who returned something were clustered: %+v", a.Segments)
	}
	if f := m.Axes[10].Features[1]; f.Status != FeatureCorrelated || f.Correlation < 0.95 {
		t.Errorf("a copy of another feature is %+v", f)
	}
}

func TestIntensities(t *testing.T) {
	t.Parallel()
	for i := range Axes {
		for _, f := range Axes[i].Features {
			for _, phrase := range []string{f.Few, f.Many} {
				first, _, _ := strings.Cut(phrase, " ")
				_, known := intensities[phrase]
				if !known && !slices.Contains(gradable, first) {
					t.Errorf("%s %s: how does one say %q more strongly?", Axes[i].Key, f.Key, phrase)
				}
			}
		}
	}
}
