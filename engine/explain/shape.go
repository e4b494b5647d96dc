package explain

import (
	"math"

	"github.com/quimbi/quimbi/engine"
)

// Shape says whether one, two or no segments explain a customer on an axis.
type Shape string

// The shapes.
const (
	ShapeClear   Shape = "CLEAR"
	ShapeHybrid  Shape = "HYBRID"
	ShapeDiffuse Shape = "DIFFUSE"
)

// The limits of the shapes: memberships in units of 1/10000, so that they are compared exactly, and the entropy.
const (
	hybridSecond   = 2500
	hybridMargin   = 3000
	hybridTogether = 6000
	diffuseEntropy = 0.85
)

// ShapeOf gives the shape of memberships in units of 1/10000 that sum to 10000: HYBRID where the second is at least 0.25 and
// at most 0.30 behind the first, and both have at least 0.60; DIFFUSE where they have less and the entropy is at
// least 0.85.
func ShapeOf(units []int) Shape {
	first, second := 0, 0
	for _, u := range units {
		switch {
		case u > first:
			first, second = u, first
		case u > second:
			second = u
		}
	}
	switch {
	case first+second < hybridTogether && Entropy(units) >= diffuseEntropy:
		return ShapeDiffuse
	case second >= hybridSecond && first-second <= hybridMargin && first+second >= hybridTogether:
		return ShapeHybrid
	default:
		return ShapeClear
	}
}

// Entropy is -sum u ln u / ln k of k memberships in units of 1/10000: 0 for one alone, 1 where all are equal.
func Entropy(units []int) float64 {
	if len(units) < 2 {
		return 0
	}
	sum := 0.0
	for _, unit := range units {
		if u := float64(unit) / engine.MembershipUnit; u > 0 {
			sum -= u * math.Log(u)
		}
	}
	return min(1, sum/math.Log(float64(len(units))))
}

// Trait is a segment that holds a customer strongly.
type Trait struct {
	Axis       int
	Segment    int // index in AxisModel.Segments
	Membership int // in units of 1/10000
}

// strong is the least membership of a trait, in units of 1/10000.
const strong = 4000

// minTraits is the least number of traits that make a persona.
const minTraits = 2

// Persona lists the segments of a level that hold a customer with a membership of at least 0.4, the strongest of each axis (of equal
// ones the first), in the order of the axes, and the product of their memberships; nothing where fewer than two axes have
// one. Memberships of different axes are never added.
func Persona(m *engine.Model, t engine.Thumbprint, level engine.Level) (traits []Trait, strength float64) {
	strength = 1
	for axis := range m.Axes {
		units := m.MembershipsAt(level, axis, t, nil)
		best := 0
		for i, u := range units {
			if u > units[best] {
				best = i
			}
		}
		if len(units) == 0 || units[best] < strong {
			continue
		}
		traits = append(traits, Trait{Axis: axis, Segment: m.Axes[axis].SegmentAt(level, best), Membership: units[best]})
		strength *= float64(units[best]) / engine.MembershipUnit
	}
	if len(traits) < minTraits {
		return nil, 0
	}
	return traits, strength
}
