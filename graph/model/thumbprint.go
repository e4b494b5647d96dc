package model

import (
	"cmp"
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/explain"
)

// AxisMembership is where a customer stands on one axis: the thumbprint's part.
type AxisMembership struct {
	Axis   *Axis
	Status engine.AxisStatus
	Reason engine.AxisReason

	model    *engine.Model
	stand    Standing
	segments []int // of the level, as indices in AxisModel.Segments
	units    []int // memberships in these, in units of 1/10000
	ranked   []int // places in units, largest membership first
}

// Standing is where a customer stands under a model, and what it is worked out from.
type Standing struct {
	engine.Thumbprint           // empty where the customer has no place
	Purchases         int       // tells why an axis does not count for the customer; 0 where unknown
	Features          []float32 // nil where they were not stored, or are not needed
}

// Thumbprint gives the parts of a thumbprint on the selected axes. m is nil where the store has no model.
func Thumbprint(store *Store, m *engine.Model, stand Standing, keys []string, level engine.Level) ([]*AxisMembership, error) {
	axes, err := SelectAxes(keys)
	if err != nil {
		return nil, err
	}
	parts := make([]*AxisMembership, len(axes))
	for i, axis := range axes {
		parts[i] = newAxisMembership(&Axis{Store: store, Index: axis}, m, stand, level)
	}
	return parts, nil
}

func newAxisMembership(axis *Axis, m *engine.Model, stand Standing, level engine.Level) *AxisMembership {
	part := &AxisMembership{Axis: axis, model: m, stand: stand}
	if part.Status, part.Reason = axis.StatusUnder(m); part.Status != engine.AxisOn {
		return part
	}
	if len(stand.Membership) == 0 {
		part.Status, part.Reason = engine.AxisNotFitted, engine.ReasonNoModel
		return part
	}
	part.units = m.MembershipsAt(level, axis.Index, stand.Thumbprint, nil)
	if len(part.units) == 0 {
		part.Status, part.Reason = engine.AxisNotEligible, notEligible(axis.Index, stand.Purchases)
		return part
	}
	part.segments = levelSegments(&m.Axes[axis.Index], level)
	part.ranked = make([]int, len(part.units))
	for i := range part.ranked {
		part.ranked[i] = i
	}
	slices.SortStableFunc(part.ranked, func(a, b int) int { return cmp.Compare(part.units[b], part.units[a]) })
	return part
}

// notEligible says why a customer with so many purchases has no place on an axis.
func notEligible(axis, purchases int) engine.AxisReason {
	if ok, reason := engine.Axes[axis].Eligible(purchases); !ok {
		return reason
	}
	_, reason := engine.Axes[axis].Eligible(0)
	return reason
}

// levelSegments lists the segments of a level of an axis, in the order of their memberships.
func levelSegments(axis *engine.AxisModel, level engine.Level) []int {
	var segments []int
	for i := range axis.Segments {
		s := &axis.Segments[i]
		if level == engine.LevelRoots && s.Parent < 0 || level == engine.LevelLeaves && s.IsLeaf() {
			segments = append(segments, i)
		}
	}
	return segments
}

// DominantPaths gives the dominant segments' paths on the selected axes, nil where there is none.
func DominantPaths(m *engine.Model, t engine.Thumbprint, keys []string, level engine.Level) ([]*string, error) {
	axes, err := SelectAxes(keys)
	if err != nil {
		return nil, err
	}
	paths := make([]*string, len(axes))
	if m == nil || len(t.Membership) == 0 {
		return paths, nil
	}
	var units []int
	for i, axis := range axes {
		if units = m.MembershipsAt(level, axis, t, units); len(units) > 0 {
			a := &m.Axes[axis]
			paths[i] = &a.Segments[a.SegmentAt(level, largest(units))].Path
		}
	}
	return paths, nil
}

// largest is the place of the largest membership, the first of equal ones.
func largest(units []int) int {
	best := 0
	for i, u := range units {
		if u > units[best] {
			best = i
		}
	}
	return best
}

func (a *AxisMembership) segment(index int) *Segment {
	return NewSegment(a.Axis.Store, a.model, a.Axis.Index, index)
}

func (a *AxisMembership) share(rank int) float64 {
	return float64(a.units[a.ranked[rank]]) / engine.MembershipUnit
}

// Dominant is the segment with the largest membership.
func (a *AxisMembership) Dominant() *Segment {
	if len(a.ranked) == 0 {
		return nil
	}
	return a.segment(a.segments[a.ranked[0]])
}

// Path goes from a root down, at each level to the child with the largest membership.
func (a *AxisMembership) Path() []*Segment {
	path := []*Segment{}
	if len(a.ranked) > 0 {
		for _, index := range a.model.Path(a.Axis.Index, a.stand.Thumbprint) {
			path = append(path, a.segment(index))
		}
	}
	return path
}

// Confidence is the dominant segment's membership.
func (a *AxisMembership) Confidence() (float64, bool) {
	if len(a.ranked) == 0 {
		return 0, false
	}
	return a.share(0), true
}

// Margin is the difference of the two largest memberships.
func (a *AxisMembership) Margin() (float64, bool) {
	if len(a.ranked) == 0 {
		return 0, false
	}
	return a.share(0) - a.second(), true
}

func (a *AxisMembership) second() float64 {
	if len(a.ranked) < 2 {
		return 0
	}
	return a.share(1)
}

// Entropy is 0 for one segment alone and 1 where all memberships are equal.
func (a *AxisMembership) Entropy() (float64, bool) {
	return explain.Entropy(a.units), len(a.units) > 0
}

// EffectiveSegments is exp(entropy ln k).
func (a *AxisMembership) EffectiveSegments() (float64, bool) {
	h, ok := a.Entropy()
	return math.Exp(h * math.Log(float64(max(1, len(a.units))))), ok
}

// Shape tells whether one, two or no segments explain the customer.
func (a *AxisMembership) Shape() *explain.Shape {
	if len(a.ranked) == 0 {
		return nil
	}
	shape := explain.ShapeOf(a.units)
	return &shape
}

// Memberships lists the memberships, largest first.
func (a *AxisMembership) Memberships(first *int) ([]*SegmentMembership, error) {
	n := len(a.ranked)
	if first != nil {
		if *first < 1 {
			return nil, engine.Errorf(engine.CodeInvalid, "first must be at least 1, is %d", *first)
		}
		n = min(n, *first)
	}
	list := make([]*SegmentMembership, n)
	for i := range list {
		list[i] = &SegmentMembership{Segment: a.segment(a.segments[a.ranked[i]]), Score: a.share(i)}
	}
	return list, nil
}
