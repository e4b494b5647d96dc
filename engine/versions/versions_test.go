package versions

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/fit"
	"github.com/quimbi/quimbi/engine/synth"
)

var lastDay = engine.NewDate(2026, time.November, 22)

// shopCustomers are those of a made-up shop.
var shopCustomers = sync.OnceValue(func() []synth.Customer {
	return synth.Shop(synth.Options{Seed: 1, Customers: 250, End: lastDay - 1, Weeks: 60}).Customers
})

// shop is its features, and two models of it from different seeds.
var shop = sync.OnceValue(func() (s struct {
	table    *engine.Table
	one, two *engine.Model
	err      error
},
) {
	s.table = &engine.Table{AsOf: lastDay, Columns: engine.AllColumns}
	builder := feature.NewBuilder(time.UTC, engine.AllColumns)
	for i, c := range shopCustomers() {
		builder.Build(c.Lines, []engine.Instant{{At: lastDay.UTC()}}, func(_ int, f *engine.Features) { s.table.Append(int64(i+1), f) })
	}
	params := engine.DefaultParams()
	params.KMax, params.Starts, params.MinSize = 4, 2, 30
	if s.one, s.err = fit.Model(context.Background(), params, 1, s.table, nil, nil); s.err != nil {
		return s
	}
	s.one.Version = 1
	if s.two, s.err = fit.Model(context.Background(), params, 2, s.table, s.one, nil); s.err == nil {
		s.two.Version = 2
	}
	return s
})

func units(k int) *rapid.Generator[[]int] {
	return rapid.Custom(func(t *rapid.T) []int {
		u, left := make([]int, k), engine.MembershipUnit
		for j := range k - 1 {
			u[j] = rapid.IntRange(0, left).Draw(t, "u")
			left -= u[j]
		}
		u[k-1] = left
		return u
	})
}

func close(a, b float64) bool { return math.Abs(a-b) <= 1e-12 }

// sums tells whether parts sum to the whole to the last bit, in whatever order they are added.
func (p Parts) sums() bool {
	b, t, m := p.Behaviour, p.Time, p.Model
	return b+t+m == p.Total && m+t+b == p.Total && b+m+t == p.Total && b+(t+m) == p.Total
}

// TestPartsSum holds that parts sum to the whole, that a refit alone has a score of 0, and that silence alone has no behaviour.
func TestPartsSum(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var changes []Change
		var squares float64
		n := rapid.IntRange(1, 14).Draw(t, "axes")
		silent, refit := rapid.Bool().Draw(t, "silent"), rapid.Bool().Draw(t, "refit alone")
		for range n {
			k := rapid.IntRange(2, 7).Draw(t, "k")
			stored, before, between, after := units(k).Draw(t, "stored"), units(k).Draw(t, "before"), units(k).Draw(t, "between"), units(k).Draw(t, "after")
			if silent {
				between = after
			}
			if refit {
				between, after = before, before
			}
			c := NewChange(stored, before, between, after)
			changes = append(changes, c)
			p, whole := c.Parts(), distance(stored, after)
			squares += whole * whole
			if !p.sums() || !close(p.Total, whole) {
				t.Fatalf("parts %+v of %v", p, whole)
			}
			for j := range k {
				b, w, m := c.Of(j)
				if !close(b+w+m, float64(after[j]-stored[j])/engine.MembershipUnit) {
					t.Fatalf("segment %d: %v + %v + %v", j, b, w, m)
				}
			}
			if silent && p.Behaviour != 0 || refit && (p.Behaviour != 0 || p.Time != 0 || distance(before, after) != 0) {
				t.Fatalf("silent %v, refit %v: %+v", silent, refit, p)
			}
		}
		all := Overall(changes)
		if !all.sums() || !close(all.Total, math.Sqrt(squares/float64(n))) {
			t.Fatalf("overall %+v of %v", all, math.Sqrt(squares/float64(n)))
		}
		if silent && all.Behaviour != 0 || refit && (all.Behaviour != 0 || all.Time != 0) {
			t.Fatalf("overall %+v", all)
		}
	})
	if p := NewChange([]int{6000, 4000}, []int{6000, 4000}, []int{6000, 4000}, []int{6000, 4000}).Parts(); p != (Parts{}) {
		t.Errorf("nothing changed, and the parts are %+v", p)
	}
	// By hand: 0.2 of membership by time, 0.3 by the customer, 0.1 back by the model: whole 0.4.
	p := NewChange([]int{10_000, 0}, []int{11_000 - 2000, 1000}, []int{7000, 3000}, []int{4000, 6000}).Parts()
	if !close(p.Total, 0.6) || !close(p.Behaviour, 0.3) || !close(p.Time, 0.2) || !close(p.Model, 0.1) {
		t.Errorf("parts %+v", p)
	}
}

// TestSilence works with real features: whose orders are all old has the same features seen from later, whatever came since.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := shop()
	if s.err != nil {
		t.Fatal(s.err)
	}
	customers := shopCustomers()
	rapid.Check(t, func(t *rapid.T) {
		c := customers[rapid.IntRange(0, len(customers)-1).Draw(t, "customer")]
		t0 := lastDay - engine.Date(rapid.IntRange(30, 200).Draw(t, "t0"))
		t1 := t0 + engine.Date(rapid.IntRange(1, 29).Draw(t, "days"))
		builder, scorer := feature.NewBuilder(time.UTC, engine.AllColumns), s.two.NewScorer()
		print := func(lines []engine.Line, at engine.Instant) (p engine.Thumbprint) {
			builder.Build(lines, []engine.Instant{at}, func(_ int, f *engine.Features) { scorer.Score(f.Purchases, f.Values, &p) })
			return p
		}
		old := slices.DeleteFunc(slices.Clone(c.Lines), func(l engine.Line) bool {
			return !l.OrderedAt.Before(t0.UTC()) || !l.RefundKnownAt().Before(t0.UTC()) && l.RefundCents != 0
		})
		silent := print(old, engine.Instant{At: t1.UTC(), KnownAt: t0.UTC()})
		after := print(old, engine.Instant{At: t1.UTC()})
		if !slices.Equal(silent.Membership, after.Membership) {
			t.Fatalf("%s, silent from %s to %s: %v and %v", c.Key, t0, t1, silent.Membership, after.Membership)
		}
	})
}

// TestAlign pairs a model with itself, told in another order, and refuses one whose centres lie elsewhere.
func TestAlign(t *testing.T) {
	t.Parallel()
	s := shop()
	if s.err != nil {
		t.Fatal(s.err)
	}
	for axis := range s.one.Axes {
		if s.one.Axes[axis].Status != engine.AxisOn {
			continue
		}
		for _, level := range []engine.Level{engine.LevelRoots, engine.LevelLeaves} {
			a, ok := Align(s.one, s.one, level, axis)
			for p, q := range a.To {
				if !ok || p != q {
					t.Errorf("%s, %s: %v, %v", engine.Axes[axis].Key, level, a.To, ok)
					break
				}
			}
		}
	}
	drift := ModelDrift(s.one, s.one, s.table)
	for axis, d := range drift.Axes {
		if s.one.Axes[axis].Status == engine.AxisOn && (d == nil || *d != 0) {
			t.Errorf("%s: the same model drifts by %v", engine.Axes[axis].Key, d)
		}
	}
	if drift.Overall == nil || *drift.Overall != 0 {
		t.Errorf("the same model drifts by %v", drift.Overall)
	}
	across := ModelDrift(s.one, s.two, s.table)
	t.Logf("another seed: %v", across.Overall)
	if across.Before != 1 || across.Overall != nil && (*across.Overall < 0 || *across.Overall > 1) {
		t.Errorf("%+v", across)
	}

	moved := func(by float64) *engine.Model { return twoCentres([]float64{0 + by}, []float64{4}) }
	if a, ok := Align(moved(0), twoCentres([]float64{4}, []float64{0}), engine.LevelRoots, 0); !ok || !slices.Equal(a.To, []int{1, 0}) {
		t.Errorf("told in another order: %v, %v", a.To, ok)
	}
	if _, ok := Align(moved(1.9), moved(0), engine.LevelRoots, 0); !ok {
		t.Error("a centre that moved by less than half the distance is refused")
	}
	if _, ok := Align(moved(-2.1), moved(0), engine.LevelRoots, 0); ok {
		t.Error("a centre that moved by over half the distance is paired")
	}
	// Of three centres one has no partner: what was in it is lost.
	a, ok := Align(twoCentres([]float64{0}, []float64{4}, []float64{30}), moved(0), engine.LevelRoots, 0)
	if !ok || !slices.Equal(a.Move([]int{5000, 3000, 2000}), []int{5000, 3000}) {
		t.Errorf("three to two: %v, %v", a.To, ok)
	}
}

// twoCentres is a model of one axis and one feature, with roots at these centres.
func twoCentres(centres ...[]float64) *engine.Model {
	m := &engine.Model{Params: engine.DefaultParams()}
	a := &m.Axes[0]
	a.Status, a.Leaves = engine.AxisOn, len(centres)
	a.Features = []engine.FeatureModel{{Status: engine.FeatureOn, SD: 1}}
	for i, c := range centres {
		a.Segments = append(a.Segments, engine.Segment{Parent: -1, Leaf: i, Center: c})
	}
	return m
}

// TestAlignedDrift is the distance after pairing, and not comparable where the models are too different.
func TestAlignedDrift(t *testing.T) {
	t.Parallel()
	older, newer := twoCentres([]float64{0.1}, []float64{4}), twoCentres([]float64{4}, []float64{0})
	print := func(u ...int16) engine.Thumbprint {
		return engine.Thumbprint{Membership: u, Dominant: make([]int16, engine.AxisCount)}
	}
	d := AlignedDrift(engine.LevelRoots, older, print(7000, 3000), newer, print(2000, 8000))
	if axis := d.Axes[0]; axis.Status != engine.AxisOn || !close(axis.Score, 0.1) || axis.From != 1 || axis.To != 1 {
		t.Errorf("%+v", axis)
	}
	d = AlignedDrift(engine.LevelRoots, twoCentres([]float64{10}, []float64{40}), print(7000, 3000), newer, print(2000, 8000))
	if axis := d.Axes[0]; axis.Status != engine.AxisNotComparable || axis.Reason != engine.ReasonModelsTooDistant || d.Overall != nil {
		t.Errorf("%+v", axis)
	}
}
