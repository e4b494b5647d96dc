package model

import (
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
)

// Segment is a cluster of one axis in one model, and its place in the tree.
type Segment struct {
	*engine.Segment
	Store *Store
	Model *engine.Model
	axis  int
	index int // in AxisModel.Segments
}

// NewSegment gives the segment with this index on an axis of a model.
func NewSegment(store *Store, m *engine.Model, axis, index int) *Segment {
	return &Segment{Segment: &m.Axes[axis].Segments[index], Store: store, Model: m, axis: axis, index: index}
}

// FindSegment gives the segment with this stable key or path; nil where there is none.
func FindSegment(store *Store, m *engine.Model, axis int, key string) *Segment {
	for i := range m.Axes[axis].Segments {
		if s := &m.Axes[axis].Segments[i]; s.Key == key || s.Path == key {
			return NewSegment(store, m, axis, i)
		}
	}
	return nil
}

// SegmentTree gives the segments of an axis in depth-first order.
func SegmentTree(store *Store, m *engine.Model, axis, maxDepth int, leavesOnly bool) []*Segment {
	tree := []*Segment{}
	for i := range m.Axes[axis].Segments {
		s := &m.Axes[axis].Segments[i]
		if s.Depth <= maxDepth && (!leavesOnly || s.IsLeaf()) {
			tree = append(tree, NewSegment(store, m, axis, i))
		}
	}
	return tree
}

// IsNode marks an object with a global identifier.
func (*Segment) IsNode() {}

// ID is the global identifier; another in every model.
func (s *Segment) ID() string {
	return ID{Kind: KindSegment, Store: s.Store.Store.ID, Version: s.Model.Version, Axis: s.axis, Segment: s.Key}.String()
}

// NamedByHand tells whether a person gave the name.
func (s *Segment) NamedByHand() bool { return s.ByHand }

// Axis is the axis.
func (s *Segment) Axis() *Axis { return &Axis{Store: s.Store, Index: s.axis} }

// AxisIndex is the axis's place in the registry.
func (s *Segment) AxisIndex() int { return s.axis }

// Index is the segment's place in AxisModel.Segments.
func (s *Segment) Index() int { return s.index }

// ModelVersion is the model's number.
func (s *Segment) ModelVersion() int { return s.Model.Version }

func (s *Segment) sibling(index int) *Segment { return NewSegment(s.Store, s.Model, s.axis, index) }

// Parent is the segment that it is a part of; nil at the top.
func (s *Segment) Parent() *Segment {
	if s.Segment.Parent < 0 {
		return nil
	}
	return s.sibling(s.Segment.Parent)
}

// Children are the subdivisions, largest first.
func (s *Segment) Children() []*Segment {
	children := make([]*Segment, len(s.Segment.Children))
	for i, c := range s.Segment.Children {
		children[i] = s.sibling(c)
	}
	return children
}

// Ancestors go from the top to the parent.
func (s *Segment) Ancestors() []*Segment {
	ancestors := []*Segment{}
	for p := s.Parent(); p != nil; p = p.Parent() {
		ancestors = append(ancestors, p)
	}
	slices.Reverse(ancestors)
	return ancestors
}

// IsStratum tells whether a rule sets it apart before clustering.
func (s *Segment) IsStratum() bool { return s.Stratum != engine.StratumNone }

// Subdivision is the decision of the hierarchy.
func (s *Segment) Subdivision() *engine.Division { return &s.Division }

// MemberCount is how many customers are dominant in it or its descendants.
func (s *Segment) MemberCount() int { return s.Members }

// LeafPositions are the places in a thumbprint of the leaves at or under the segment.
func (s *Segment) LeafPositions() []int16 {
	axis := &s.Model.Axes[s.axis]
	positions := []int16{}
	for i := s.index; i < len(axis.Segments); i++ {
		d := &axis.Segments[i]
		if i > s.index && d.Depth <= s.Depth {
			break
		}
		if d.IsLeaf() {
			positions = append(positions, int16(axis.First+d.Leaf))
		}
	}
	return positions
}

// Center is the centre in the units of the axis's features, NaN for a feature that is not used; nil for a stratum.
func (s *Segment) Center() []float64 {
	if s.IsStratum() {
		return nil
	}
	axis := &s.Model.Axes[s.axis]
	center := make([]float64, len(axis.Features))
	on := 0
	for i := range axis.Features {
		f := &axis.Features[i]
		if f.Status != engine.FeatureOn || on >= len(s.Segment.Center) {
			center[i] = math.NaN()
			continue
		}
		center[i] = shown(engine.Axes[s.axis].Features[i].Scale, s.Segment.Center[on]*f.SD+f.Mean)
		on++
	}
	return center
}

// shown turns a feature from the form in which it is clustered into its unit.
func shown(scale engine.Scale, x float64) float64 {
	switch scale {
	case engine.ScaleLog:
		return math.Exp(x)
	case engine.ScaleLog1p:
		return math.Expm1(x)
	default:
		return x
	}
}

// SegmentProfile is what the members of a segment have in common.
type SegmentProfile struct {
	*engine.Profile
	axis *engine.Axis // whose features it speaks of
}

// Profile is what the segment's members have in common.
func (s *Segment) Profile() *SegmentProfile {
	return &SegmentProfile{Profile: &s.Segment.Profile, axis: &engine.Axes[s.axis]}
}

// MedianValue is the median over members of the value of all their orders, in minor units.
func (p *SegmentProfile) MedianValue() int64 { return p.MedianValueCents }

// TotalValue is the value of all members' orders, in minor units.
func (p *SegmentProfile) TotalValue() int64 { return p.TotalValueCents }

// MeanTenureMonths is the mean time since the first order.
func (p *SegmentProfile) MeanTenureMonths() float64 { return p.TenureMonths }

// Features lists the features, most telling first.
func (p *SegmentProfile) Features() []*FeatureProfile {
	features := make([]*FeatureProfile, len(p.Profile.Features))
	for i, f := range p.Profile.Features {
		features[i] = &FeatureProfile{
			Feature: p.axis.Features[f.Feature].Key,
			Center:  f.Center, Z: f.Z, Percentile: f.Percentile, Qualifier: f.Qualifier,
		}
	}
	return features
}

// Rule is the segment as conditions on raw features; nil where none is good enough.
func (p *SegmentProfile) Rule() *SegmentRule {
	rule := p.Profile.Rule
	if rule == nil {
		return nil
	}
	view := &SegmentRule{Text: rule.Text(p.axis), Precision: rule.Precision, Coverage: rule.Coverage}
	for _, c := range rule.Conditions {
		view.Conditions = append(view.Conditions, &RuleCondition{Feature: p.axis.Features[c.Feature].Key, Above: c.Above, AtMost: c.AtMost})
	}
	return view
}

// SubSegment is a group found in a part of the customers.
type SubSegment struct{ *engine.SubSegment }

// RepeatCustomers gives the groups of those with several purchases; none in models made before there was the report.
func RepeatCustomers(m *engine.Model) []*SubSegment {
	groups := []*SubSegment{}
	if m.Repeat == nil {
		return groups
	}
	for i := range m.Repeat.Segments {
		groups = append(groups, &SubSegment{&m.Repeat.Segments[i]})
	}
	return groups
}

// IsExceptional tells whether the group is no cluster but those who fit none.
func (s *SubSegment) IsExceptional() bool { return s.Stratum == engine.StratumExceptional }

// MemberCount is how many customers belong to it.
func (s *SubSegment) MemberCount() int { return s.Members }

// Profile is what its members have in common.
func (s *SubSegment) Profile() *SegmentProfile {
	return &SegmentProfile{Profile: &s.SubSegment.Profile, axis: &engine.RepeatAxis}
}

// Subdivision is why it was kept whole.
func (s *SubSegment) Subdivision() *engine.Division { return &s.Division }
