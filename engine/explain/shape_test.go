package explain

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

func TestShapes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		units []int
		want  Shape
	}{
		{[]int{10000}, ShapeClear},
		{[]int{10000, 0, 0}, ShapeClear},
		{[]int{8000, 2000}, ShapeClear},
		{[]int{5500, 2500, 2000}, ShapeHybrid}, // exactly 0.25, and 0.30 behind
		{[]int{2500, 2000, 5500}, ShapeHybrid}, // in any order
		{[]int{5501, 2499, 2000}, ShapeClear},
		{[]int{5601, 2600, 1799}, ShapeClear}, // 0.3001 behind
		{[]int{6500, 3500}, ShapeHybrid},
		{[]int{6501, 3499}, ShapeClear},
		{[]int{5000, 5000}, ShapeHybrid},
		{[]int{3500, 2500, 2000, 2000}, ShapeHybrid}, // together exactly 0.60, whatever the entropy
		{[]int{3400, 2500, 2100, 2000}, ShapeDiffuse},
		{[]int{2500, 2500, 2500, 2500}, ShapeDiffuse},
		{[]int{5900, 0, 0, 0, 0, 0, 0, 0, 0, 4100}, ShapeHybrid},
		{[]int{5500, 450, 450, 450, 450, 450, 450, 450, 450, 450, 450}, ShapeClear}, // no second, but not spread enough: 0.745
	} {
		if got := ShapeOf(test.units); got != test.want {
			t.Errorf("%v is %s, want %s; entropy %v", test.units, got, test.want, Entropy(test.units))
		}
	}
}

func TestEntropy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		units []int
		want  float64
	}{
		{nil, 0},
		{[]int{10000}, 0},
		{[]int{10000, 0}, 0},
		{[]int{5000, 5000}, 1},
		{[]int{7500, 2500}, 0.8112781244591328}, // the entropy of a biased coin, in bits
		{[]int{5000, 2500, 2500}, 1.5 / math.Log2(3)},
	} {
		if got := Entropy(test.units); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%v: %v, want %v", test.units, got, test.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		left, units := engine.MembershipUnit, []int{}
		for range rapid.IntRange(1, 12).Draw(t, "segments") {
			u := rapid.IntRange(0, left).Draw(t, "units")
			units, left = append(units, u), left-u
		}
		units[0] += left
		if h := Entropy(units); !(h >= 0 && h <= 1) {
			t.Fatalf("%v has the entropy %v", units, h)
		}
	})
}

func TestPersona(t *testing.T) {
	t.Parallel()
	m := &engine.Model{}
	for axis := range 3 {
		first := 2 * axis
		m.Axes[axis] = engine.AxisModel{Status: engine.AxisOn, First: first, Leaves: 2, Segments: []engine.Segment{{Parent: -1, Leaf: 0}, {Parent: -1, Leaf: 1}}}
	}
	print := engine.Thumbprint{Membership: []int16{4000, 6000, 10000, 0, -1, -1}}
	traits, strength := Persona(m, print, engine.LevelLeaves)
	want := []Trait{{Axis: 0, Segment: 1, Membership: 6000}, {Axis: 1, Segment: 0, Membership: 10000}}
	if diff := cmp.Diff(want, traits); diff != "" || math.Abs(strength-0.6) > 1e-12 {
		t.Errorf("strength %v\n%s", strength, diff)
	}
	// Of a divided root no leaf may be strong.
	m.Axes[0] = engine.AxisModel{Status: engine.AxisOn, Leaves: 3, Segments: []engine.Segment{
		{Parent: -1, Leaf: -1, Children: []int{1, 2}}, {Parent: 0, Depth: 1, Leaf: 0}, {Parent: 0, Depth: 1, Leaf: 1}, {Parent: -1, Leaf: 2},
	}}
	m.Axes[1].First, m.Axes[2].First = 3, 5
	print.Membership = []int16{3500, 3400, 3100, 10000, 0, -1, -1}
	if traits, strength = Persona(m, print, engine.LevelLeaves); traits != nil || strength != 0 {
		t.Errorf("one axis makes the persona %v", traits)
	}
	want = []Trait{{Axis: 0, Segment: 0, Membership: 6900}, {Axis: 1, Segment: 0, Membership: 10000}}
	traits, strength = Persona(m, print, engine.LevelRoots)
	if diff := cmp.Diff(want, traits); diff != "" || math.Abs(strength-0.69) > 1e-12 {
		t.Errorf("strength %v\n%s", strength, diff)
	}
}
