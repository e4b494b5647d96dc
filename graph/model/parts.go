package model

import (
	"sync"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/versions"
)

// Split is a drift in what the customer, time and a new model did: the changes of the axes, nil where they cannot be told apart,
// and over all of them, nil where that is so on an axis that counts.
type Split struct {
	Axes    [engine.AxisCount]*versions.Change
	Overall *versions.Parts
}

// SilentSince tells whether nothing happened between the first and the last snapshot of the series: then all that changed is time's.
func (s *Series) SilentSince() bool {
	for _, row := range s.Rows[1:] {
		if row.Active {
			return false
		}
	}
	return true
}

// Split parts the drift from the first to the last snapshot. silent is where the customer would stand at the last one had it done
// nothing since the first; older is the model that the first was stored under.
func (s *Series) Split(drift *engine.Drift, silent engine.Thumbprint, older *engine.Model) *Split {
	split := &Split{}
	last := len(s.Rows) - 1
	var counted []versions.Change
	complete := true
	for axis := range split.Axes {
		if drift.Axes[axis].Status != engine.AxisOn {
			continue
		}
		before, after := s.Model.MembershipsAt(s.Level, axis, s.Prints[0], nil), s.Model.MembershipsAt(s.Level, axis, s.Prints[last], nil)
		between, stored := s.Model.MembershipsAt(s.Level, axis, silent, nil), before
		if older.Version != s.Model.Version {
			stored = nil
			if pairs, ok := versions.Align(older, s.Model, s.Level, axis); ok {
				if u := older.MembershipsAt(s.Level, axis, s.Rows[0].Thumbprint, nil); len(u) > 0 {
					stored = pairs.Move(u)
				}
			}
		}
		if len(stored) == 0 || len(between) == 0 {
			complete = false
			continue
		}
		change := versions.NewChange(stored, before, between, after)
		split.Axes[axis] = &change
		counted = append(counted, change)
	}
	if complete && drift.Overall != nil {
		parts := versions.Overall(counted)
		split.Overall = &parts
	}
	return split
}

// Parting gives an analysis what tells its parts apart, once it is asked for.
func (d *DriftAnalysis) Parting(split func() (*Split, error)) {
	once := sync.OnceValues(split)
	d.Overall.Split = once
	for _, a := range d.Axes {
		a.split = once
	}
}

// Parts are the score in its three parts; nil where they cannot be told apart.
func (o *OverallDrift) Parts() (*versions.Parts, error) {
	if o.Split == nil || o.Score == nil {
		return nil, nil
	}
	split, err := o.Split()
	if err != nil {
		return nil, err
	}
	return split.Overall, nil
}

func (a *AxisDrift) change() (*versions.Change, error) {
	if a.split == nil || !a.on() {
		return nil, nil
	}
	split, err := a.split()
	if err != nil {
		return nil, err
	}
	return split.Axes[a.AxisDrift.Axis], nil
}

// Parts are the score in its three parts; nil where they cannot be told apart.
func (a *AxisDrift) Parts() (*versions.Parts, error) {
	change, err := a.change()
	if err != nil || change == nil {
		return nil, err
	}
	parts := change.Parts()
	return &parts, nil
}

// MembershipChange is how one membership changed.
type MembershipChange struct {
	Segment       *Segment
	Before, After float64

	of    *AxisDrift
	place int // among the segments of the level
}

func (c *MembershipChange) part(of func(behaviour, time, model float64) float64) (*float64, error) {
	change, err := c.of.change()
	if err != nil || change == nil {
		return nil, err
	}
	part := of(change.Of(c.place))
	return &part, nil
}

// Behaviour is what the customer did.
func (c *MembershipChange) Behaviour() (*float64, error) {
	return c.part(func(behaviour, _, _ float64) float64 { return behaviour })
}

// Time is what the passing of time did.
func (c *MembershipChange) Time() (*float64, error) {
	return c.part(func(_, time, _ float64) float64 { return time })
}

// Model is what a new model did.
func (c *MembershipChange) Model() (*float64, error) {
	return c.part(func(_, _, model float64) float64 { return model })
}
