package model

import (
	"math"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/explain"
)

// Outlier tells whether the customer is further from every centre than 99 % of the fitted; nil without features.
func (a *AxisMembership) Outlier() *bool {
	if len(a.ranked) == 0 || a.stand.Features == nil {
		return nil
	}
	outlier := explain.New(a.model, a.Axis.Index).Outlier(a.stand.Features)
	return &outlier
}

// Reasons tell what makes a segment, the dominant one unless told, fit better than another of the same parent; nil where
// there are no memberships.
func (a *AxisMembership) Reasons(segmentID, overSegmentID *string) (*MembershipReasons, error) {
	if len(a.ranked) == 0 {
		return nil, nil
	}
	segment, over := a.segments[a.ranked[0]], -1
	var err error
	if segmentID != nil {
		if segment, err = segmentIndex(*segmentID, a.Axis, a.model); err != nil {
			return nil, err
		}
	}
	if overSegmentID != nil {
		if over, err = segmentIndex(*overSegmentID, a.Axis, a.model); err != nil {
			return nil, err
		}
	}
	reasons := explain.Reasons{Segment: segment, Over: -1, Missing: explain.MissingFeatures}
	if a.stand.Features != nil {
		if reasons, err = explain.New(a.model, a.Axis.Index).Reasons(a.stand.Features, segment, over); err != nil {
			return nil, err
		}
	}
	return a.reasonsView(reasons), nil
}

func (a *AxisMembership) reasonsView(r explain.Reasons) *MembershipReasons {
	axis, index := &engine.Axes[a.Axis.Index], a.Axis.Index
	view := &MembershipReasons{Segment: a.segment(r.Segment), Contributions: []*FeatureContribution{}, Text: r.Text(axis, &a.model.Axes[index])}
	if r.Missing != explain.MissingNothing {
		view.Missing = &r.Missing
		return view
	}
	view.Over, view.Total = a.segment(r.Over), &r.Total
	for _, c := range r.Contributions {
		view.Contributions = append(view.Contributions, &FeatureContribution{
			Feature: axis.Features[c.Feature].Key, Value: numberOrNull(c.Value), Contribution: c.Amount,
		})
	}
	return view
}

// segmentIndex finds a segment of an axis of a model by its global identifier. Faults: INVALID for one of something
// else in the store, NOT_FOUND.
func segmentIndex(text string, axis *Axis, m *engine.Model) (int, error) {
	id, err := ParseID(text)
	if err != nil {
		return 0, err
	}
	if id.Store != axis.Store.Store.ID {
		return 0, engine.Errorf(engine.CodeNotFound, "there is nothing with this id")
	}
	if id.Kind != KindSegment || id.Axis != axis.Index || id.Version != m.Version {
		return 0, engine.Errorf(engine.CodeInvalid, "name a segment of the axis %s in model %d of the store", axis.Key(), m.Version)
	}
	if s := FindSegment(axis.Store, m, axis.Index, id.Segment); s != nil {
		return s.Index(), nil
	}
	return 0, engine.Errorf(engine.CodeNotFound, "the axis has no such segment")
}

func numberOrNull(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// Causes tell what moved the membership in a segment, the dominant one after unless told; nil where there are none.
func (a *AxisDrift) Causes(segmentID *string) ([]*FeatureEffect, error) {
	if !a.on() {
		return nil, nil
	}
	s, index := a.series, a.AxisDrift.Axis
	segment := a.To
	var err error
	if segmentID != nil {
		if segment, err = segmentIndex(*segmentID, a.Axis(), s.Model); err != nil {
			return nil, err
		}
	}
	if a.CausesMissing() != nil {
		return nil, nil
	}
	change, err := explain.New(s.Model, index).Change(s.Rows[0].Features, s.Rows[len(s.Rows)-1].Features, segment)
	if err != nil {
		return nil, err
	}
	effects := []*FeatureEffect{}
	for _, e := range change.Effects {
		effects = append(effects, &FeatureEffect{
			Feature: engine.Axes[index].Features[e.Feature].Key, Before: numberOrNull(e.Before), After: numberOrNull(e.After), Effect: e.Amount,
		})
	}
	return effects, nil
}

// CausesMissing says why there are no causes.
func (a *AxisDrift) CausesMissing() *explain.Missing {
	missing := explain.MissingFeatures
	if s := a.series; a.on() && (s.Rows[0].Features == nil || s.Rows[len(s.Rows)-1].Features == nil) {
		return &missing
	}
	return nil
}

// NewPersona gives the segments that hold a customer strongly on several axes; nil where there are none.
func NewPersona(store *Store, m *engine.Model, t engine.Thumbprint, level engine.Level) *Persona {
	traits, strength := explain.Persona(m, t, level)
	if traits == nil {
		return nil
	}
	p := &Persona{Strength: strength}
	for _, trait := range traits {
		p.Segments = append(p.Segments, &SegmentMembership{
			Segment: NewSegment(store, m, trait.Axis, trait.Segment), Score: float64(trait.Membership) / engine.MembershipUnit,
		})
	}
	return p
}

var reachStatuses = map[explain.ReachStatus]CounterfactualStatus{
	explain.ReachDominant: CounterfactualStatusDominant, explain.ReachFound: CounterfactualStatusReachable,
	explain.ReachNone: CounterfactualStatusNotReachable,
}

// NewCounterfactual gives what would make a segment dominant for a customer with this thumbprint and these features, nil
// where they were not stored.
func NewCounterfactual(segment *Segment, t engine.Thumbprint, features []float32) (*Counterfactual, error) {
	c := &Counterfactual{Segment: segment, Changes: []*FeatureChange{}}
	axis := &engine.Axes[segment.axis]
	switch {
	case len(segment.Model.LeafMemberships(segment.axis, t, nil)) == 0:
		c.Status, c.Text = CounterfactualStatusNotEligible, "The customer has no memberships on the axis."
		return c, nil
	case features == nil:
		c.Status, c.Text = CounterfactualStatusNoFeatures, "The customer's features were not stored."
		return c, nil
	}
	r, err := explain.New(segment.Model, segment.axis).Reach(features, segment.index)
	if err != nil {
		return nil, err
	}
	reachable := r.Status != explain.ReachNone
	c.Status, c.Reachable, c.Text = reachStatuses[r.Status], &reachable, r.Text(axis, segment.Name)
	for _, m := range r.Moves {
		c.Changes = append(c.Changes, &FeatureChange{Feature: axis.Features[m.Feature].Key, From: m.From, To: m.To, Text: m.Text(axis)})
	}
	return c, nil
}
