package risk_test

import (
	"encoding/json"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/risk"
)

// twoAxes has an axis of a divided root and a whole one, and one of two roots; the others are off.
func twoAxes() *engine.Model {
	m := &engine.Model{AsOf: engine.NewDate(2026, 6, 1), Params: engine.DefaultParams()}
	for i := range m.Axes {
		m.Axes[i] = engine.AxisModel{Status: engine.AxisOff, Reason: engine.ReasonNoSKU}
	}
	m.Axes[0] = engine.AxisModel{Status: engine.AxisOn, First: 0, Leaves: 3, Segments: []engine.Segment{
		{Parent: -1, Leaf: -1, Children: []int{1, 2}}, {Parent: 0, Depth: 1, Leaf: 0}, {Parent: 0, Depth: 1, Leaf: 1}, {Parent: -1, Leaf: 2},
	}}
	m.Axes[3] = engine.AxisModel{Status: engine.AxisOn, First: 3, Leaves: 2, Segments: []engine.Segment{{Parent: -1, Leaf: 0}, {Parent: -1, Leaf: 1}}}
	return m
}

func print(units ...int16) engine.Thumbprint { return engine.Thumbprint{Membership: units} }

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-12) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// The formula of the weights, by hand; a parent's membership is the sum of its leaves'.
func TestWeights(t *testing.T) {
	t.Parallel()
	m := twoAxes()
	tally := risk.NewTally(m, 90)
	tally.Add(1, print(2000, 3000, 5000, 10000, 0), true)
	tally.Add(2, print(0, 1000, 9000, 4000, 6000), false)
	tally.Add(3, print(8000, 1000, 1000, -1, -1), true) // has no place on the second axis
	tally.Weigh()
	const base = 2.0 / 3
	for _, c := range []struct {
		axis, segment int
		lost, all     float64
	}{
		{0, 0, 0.25 + 0.81, 0.25 + 0.01 + 0.81},
		{0, 1, 0.04 + 0.64, 0.04 + 0.64},
		{0, 2, 0.09 + 0.01, 0.09 + 0.01 + 0.01},
		{0, 3, 0.25 + 0.01, 0.25 + 0.81 + 0.01},
		{3, 0, 1, 1.16},
		{3, 1, 0, 0.36},
	} {
		near(t, m.Axes[c.axis].Segments[c.segment].Path, *m.Axes[c.axis].Segments[c.segment].RiskWeight, (c.lost+10*base)/(c.all+10))
	}
	if want := (engine.RiskBasis{AsOf: m.AsOf - 90, HorizonDays: 90, Customers: 3, Lost: 2}); *m.Risk != want {
		t.Errorf("the weights rest on %+v, want %+v", *m.Risk, want)
	}
	rho := func(axis, segment int) float64 { return *m.Axes[axis].Segments[segment].RiskWeight }
	w := risk.WeightsOf(m)
	first := 0.2*rho(0, 1) + 0.3*rho(0, 2) + 0.5*rho(0, 3)
	second := 0.7*rho(3, 0) + 0.3*rho(3, 1)
	level, ok := w.Level(print(2000, 3000, 5000, 7000, 3000))
	if near(t, "the level", level, (first+second)/2); !ok {
		t.Error("there is no level")
	}
	level, _ = w.Level(print(2000, 3000, 5000, -1, -1))
	near(t, "the level on one axis", level, first)
	if part, ok := w.AxisLevel(3, print(2000, 3000, 5000, 7000, 3000)); !ok || math.Abs(part-second) > 1e-12 {
		t.Errorf("the level of the second axis is %v, want %v", part, second)
	}
}

// Hard memberships count whole, whatever the fuzziness.
func TestWeightsOfHardClusters(t *testing.T) {
	t.Parallel()
	m := twoAxes()
	m.Params.Fuzzy, m.Params.Fuzziness = false, 1.5
	tally := risk.NewTally(m, 30)
	tally.Add(4, print(10000, 0, 0, 0, 10000), true)
	tally.Add(5, print(0, 0, 10000, 0, 10000), false)
	tally.Weigh()
	near(t, "the first leaf's weight", *m.Axes[0].Segments[1].RiskWeight, (1+5.0)/11)
	near(t, "the weight of both", *m.Axes[3].Segments[1].RiskWeight, 0.5)
}

// Where nobody's outcome is known there are no weights, no levels and no drift.
func TestNoOutcomes(t *testing.T) {
	t.Parallel()
	m := twoAxes()
	risk.NewTally(m, 90).Weigh()
	for _, w := range []*risk.Weights{risk.WeightsOf(nil), risk.WeightsOf(twoAxes()), risk.WeightsOf(m)} {
		if _, ok := w.Level(print(2000, 3000, 5000, 7000, 3000)); ok || w != nil {
			t.Error("there is a level")
		}
	}
	if m.Risk != nil || m.Axes[0].Segments[0].RiskWeight != nil {
		t.Errorf("%+v", m.Risk)
	}
	risk.NewTally(m, 90).Weigh()
	tally := risk.NewTally(m, 90)
	tally.Add(6, print(10000, 0, 0, 10000, 0), true)
	tally.Weigh()
	if _, ok := risk.WeightsOf(m).Level(print(-1, -1, -1, -1, -1)); ok {
		t.Error("a customer who stands nowhere has a level")
	}
	if _, ok := risk.WeightsOf(m).Drift(print(-1, -1, -1, -1, -1), print(10000, 0, 0, 10000, 0)); ok {
		t.Error("a customer who came from nowhere has a directed drift")
	}
}

func prints(t *rapid.T, name string) engine.Thumbprint {
	a := rapid.Int16Range(0, engine.MembershipUnit).Draw(t, name+" a")
	b := rapid.Int16Range(0, engine.MembershipUnit-a).Draw(t, name+" b")
	if rapid.IntRange(0, 4).Draw(t, name+" eligible") == 0 {
		return print(a, b, engine.MembershipUnit-a-b, -1, -1)
	}
	c := rapid.Int16Range(0, engine.MembershipUnit).Draw(t, name+" c")
	return print(a, b, engine.MembershipUnit-a-b, c, engine.MembershipUnit-c)
}

// Weights and levels are shares, parts add up to the whole, the model's JSON keeps the levels, and drift the other way round
// is its opposite.
func TestLevels(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		whole, parts := twoAxes(), twoAxes()
		one := risk.NewTally(whole, 90)
		two := []*risk.Tally{risk.NewTally(parts, 90), risk.NewTally(parts, 90)}
		n := rapid.IntRange(1, 30).Draw(t, "customers")
		for i := range n {
			print, lost := prints(t, "then"), rapid.Bool().Draw(t, "lost")
			one.Add(int64(i), print, lost)
			two[i*2/n].Add(int64(i), print, lost)
		}
		one.Weigh()
		two[0].Merge(two[1])
		two[0].Weigh()
		low, high := math.Inf(1), 0.0
		for a := range whole.Axes {
			for s := range whole.Axes[a].Segments {
				rho, again := *whole.Axes[a].Segments[s].RiskWeight, *parts.Axes[a].Segments[s].RiskWeight
				if !(rho >= 0 && rho <= 1) || math.Abs(rho-again) > 1e-12 {
					t.Fatalf("axis %d, segment %d: %v, in parts %v", a, s, rho, again)
				}
				low, high = min(low, rho), max(high, rho)
			}
		}
		body, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		var stored engine.Model
		if err := json.Unmarshal(body, &stored); err != nil {
			t.Fatal(err)
		}
		from, to := prints(t, "from"), prints(t, "to")
		w := risk.WeightsOf(whole)
		level, ok := w.Level(from)
		kept, _ := risk.WeightsOf(&stored).Level(from)
		if !ok || level < low-1e-12 || level > high+1e-12 || kept != level {
			t.Fatalf("the level is %v, stored %v; the weights lie from %v to %v", level, kept, low, high)
		}
		there, _ := w.Drift(from, to)
		back, _ := w.Drift(to, from)
		if there != -back || there > 0 != (risk.DirectionOf(there) == risk.Worsening) || there < 0 != (risk.DirectionOf(there) == risk.Improving) {
			t.Fatalf("%v there, %v back", there, back)
		}
	})
}

// The baseline reaches from 365 to 56 days before, both included, and needs four levels.
func TestFromBaseline(t *testing.T) {
	t.Parallel()
	day := engine.NewDate(2026, 6, 1)
	past := []risk.Point{
		{Date: day - 366, Level: 0.9},
		{Date: day - 365, Level: 0.2},
		{Date: day - 200, Level: 0.3},
		{Date: day - 100, Level: 0.1},
		{Date: day - 55, Level: 0.9},
		{Date: day, Level: 0.9},
	}
	now := risk.Point{Date: day, Level: 0.7}
	if d, ok := risk.FromBaseline(now, past); ok {
		t.Errorf("three levels make a baseline: %v", d)
	}
	past = append(past, risk.Point{Date: day - 56, Level: 0.4})
	d, ok := risk.FromBaseline(now, past)
	if near(t, "the deviation", d, 0.45); !ok {
		t.Error("four levels make no baseline")
	}
}
