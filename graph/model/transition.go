package model

import (
	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/risk"
	"github.com/quimbi/quimbi/engine/watch"
)

// SegmentTransition is a change of the dominant segment.
type SegmentTransition struct {
	watch.Transition
	Customer       *Customer
	Type           engine.SnapshotType
	AxisIndex      int
	Model          *engine.Model
	DaysInPrevious *int
}

// Axis is the axis.
func (t *SegmentTransition) Axis() *Axis { return &Axis{Store: t.Customer.Store, Index: t.AxisIndex} }

// ModelVersion is the model's number.
func (t *SegmentTransition) ModelVersion() int { return t.Model.Version }

// From is the segment before.
func (t *SegmentTransition) From() *Segment { return t.segment(t.Transition.From) }

// To is the segment after.
func (t *SegmentTransition) To() *Segment { return t.segment(t.Transition.To) }

func (t *SegmentTransition) segment(index int) *Segment {
	return NewSegment(t.Customer.Store, t.Model, t.AxisIndex, index)
}

// SettledOn is when the state was known; nil while pending.
func (t *SegmentTransition) SettledOn() *engine.Date {
	if t.Open() {
		return nil
	}
	return &t.Settled
}

// Lead is by how much the new segment leads the next.
func (t *SegmentTransition) Lead() float64 {
	return float64(t.Transition.Lead) / engine.MembershipUnit
}

// Cause is what lay behind it.
func (t *SegmentTransition) Cause() DriftCause { return causeOf(t.ByOrder) }

// Direction is which way by risk; nil before outcomes are known.
func (t *SegmentTransition) Direction() *risk.Direction {
	return DirectionBetween(t.Model, t.AxisIndex, t.Transition.From, t.Transition.To)
}

// DirectionBetween is the sign of the difference of two segments' risk weights; nil where they have none.
func DirectionBetween(m *engine.Model, axis, from, to int) *risk.Direction {
	return directionOf(m.RiskChange(axis, from, to))
}

func directionOf(change *float64) *risk.Direction {
	if change == nil {
		return nil
	}
	direction := risk.DirectionOf(*change)
	return &direction
}

// ModelDrift is what a model does by itself to customers who did nothing.
type ModelDrift struct {
	*engine.ModelDrift
	store *Store
}

// ModelDrift is nil for a first model.
func (m *Model) ModelDrift() *ModelDrift {
	if m.Model.ModelDrift == nil {
		return nil
	}
	return &ModelDrift{m.Model.ModelDrift, m.Store}
}

// ModelVersionBefore is the number of the model before.
func (d *ModelDrift) ModelVersionBefore() int { return d.Before }

// Axes are all axes in their order.
func (d *ModelDrift) Axes() []*AxisModelDrift {
	list := make([]*AxisModelDrift, engine.AxisCount)
	for i, score := range d.ModelDrift.Axes {
		list[i] = &AxisModelDrift{Axis: &Axis{Store: d.store, Index: i}, Score: score}
	}
	return list
}
