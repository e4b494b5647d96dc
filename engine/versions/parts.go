package versions

import (
	"math"

	"github.com/quimbi/quimbi/engine"
)

// Parts is a change of distance total in three parts that sum to it. Each is the projection of its vector on the whole change,
//
//	part = total * <part, whole> / |whole|^2,
//
// so one that went against the whole is negative. A distance itself is not additive. The parts are multiples of 2^-50 and Total is
// their sum: up to 4 such numbers need no more than the 53 bits of a float64, so Behaviour + Time + Model == Total in any order of
// addition. The distance is off by 2e-15 at most.
type Parts struct{ Total, Behaviour, Time, Model float64 }

// partUnit is how many of what parts are multiples of make 1.
const partUnit = 1 << 50

// Change is the change of the memberships in the segments of one axis, in units of 1/10000, as the sum of what the customer did,
// what the passing of time did and what a new model did.
type Change struct{ Behaviour, Time, Model []int }

// NewChange parts u_n(x1) - P u_o(x0). Under the newer model n the customer stood at before, u_n(x0), would stand at silent had it
// done nothing since, u_n(x0'), and stands at after, u_n(x1). stored is P u_o(x0): where the older model o had the customer.
func NewChange(stored, before, silent, after []int) Change {
	return Change{Behaviour: minus(after, silent), Time: minus(silent, before), Model: minus(before, stored)}
}

func minus(a, b []int) []int {
	d := make([]int, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// Of gives what was done to the membership in one segment, from -1 to 1 each.
func (c Change) Of(segment int) (behaviour, time, model float64) {
	return float64(c.Behaviour[segment]) / engine.MembershipUnit, float64(c.Time[segment]) / engine.MembershipUnit, float64(c.Model[segment]) / engine.MembershipUnit
}

// Parts are those of the axis's drift; all are 0 where the whole is.
func (c Change) Parts() Parts { return Overall([]Change{c}) }

// Overall are the parts of the drift over axes, in the joint space in which it is the root mean square of the axes'.
func Overall(changes []Change) Parts {
	var square, behaviour, time, model int64 // exact: at most 28 * 10^8 each
	for _, c := range changes {
		for i := range c.Behaviour {
			b, t, m := int64(c.Behaviour[i]), int64(c.Time[i]), int64(c.Model[i])
			whole := b + t + m
			square += whole * whole
			behaviour += b * whole
			time += t * whole
			model += m * whole
		}
	}
	if square == 0 {
		return Parts{}
	}
	total := math.Sqrt(float64(square)/2/float64(len(changes))) / engine.MembershipUnit
	share := func(part int64) float64 { return math.Round(total*(float64(part)/float64(square))*partUnit) / partUnit }
	p := Parts{Behaviour: share(behaviour), Time: share(time), Model: share(model)}
	p.Total = p.Behaviour + p.Time + p.Model
	return p
}
