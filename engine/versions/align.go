// Package versions compares models of one store. Segments of different models have nothing in common but what they are about, so
// customers are scored anew under the newer model; where that cannot be, segments are paired. It tells what a new model does by itself
// to customers who did nothing (model drift), and parts a change into what the customer did, what time did and what the model did.
package versions

import (
	"math"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/assign"
)

// Alignment pairs the segments of a cut of one axis of an older model with those of a newer one.
type Alignment struct {
	To  []int // for each segment of the old cut, the place of its partner in the new one; -1 without one
	New int   // segments of the new cut
}

// never is the cost of a pair of which one part is set apart by a rule and the other is not.
const never = 1e9

// Align pairs segments at the least total distance between their centres, in the features' units scaled by the newer standard
// deviations, over the features that both models use. Segments that a rule sets apart are paired by the rule. It gives
// false where the axis is not on in both models, they use no feature in common, or a pair lies further apart than half the smallest
// distance between centres of the new model: then the models are too different.
func Align(from, to *engine.Model, level engine.Level, axis int) (Alignment, bool) {
	a, b := &from.Axes[axis], &to.Axes[axis]
	if a.Status != engine.AxisOn || b.Status != engine.AxisOn {
		return Alignment{}, false
	}
	old, recent := centresOf(a, b, level), centresOf(b, b, level)
	if len(old) == 0 || len(recent) == 0 {
		return Alignment{}, false
	}
	cost := make([]float64, 0, len(old)*len(recent))
	for _, p := range old {
		for _, q := range recent {
			cost = append(cost, p.distance(q))
		}
	}
	partner, err := assign.Min(cost, len(old), len(recent))
	if err != nil { // a centre that is not finite
		return Alignment{}, false
	}
	limit := smallestGap(recent) / 2
	for p, q := range partner {
		switch {
		case q < 0:
		case cost[p*len(recent)+q] >= never:
			partner[p] = -1 // nothing of its kind is left
		case cost[p*len(recent)+q] > limit:
			return Alignment{}, false
		}
	}
	return Alignment{To: partner, New: len(recent)}, true
}

// centre is a segment as alignment sees it.
type centre struct {
	rule engine.Stratum // empty unless a rule sets it apart for what it is, wherever its centre lies
	at   []float64      // in standard deviations of the newer model
}

func (c centre) distance(d centre) float64 {
	switch {
	case c.rule != d.rule:
		return never
	case c.rule != engine.StratumNone:
		return 0
	}
	squares := 0.0
	for i := range c.at {
		e := c.at[i] - d.at[i]
		squares += e * e
	}
	return math.Sqrt(squares)
}

// smallestGap is the smallest distance between two centres; infinite where there are not two.
func smallestGap(centres []centre) float64 {
	gap := math.Inf(1)
	for i, c := range centres {
		for _, d := range centres[:i] {
			if c.rule == engine.StratumNone && d.rule == engine.StratumNone {
				gap = min(gap, c.distance(d))
			}
		}
	}
	return gap
}

// centresOf lists the segments of a cut with their centres in the scale of the newer model; nil where no feature is in use in both.
func centresOf(a, newer *engine.AxisModel, level engine.Level) []centre {
	var shared []int // places within the axis
	for f := range min(len(a.Features), len(newer.Features)) {
		if a.Features[f].Status == engine.FeatureOn && newer.Features[f].Status == engine.FeatureOn {
			shared = append(shared, f)
		}
	}
	if len(shared) == 0 {
		return nil
	}
	var list []centre
	for n := 0; ; n++ {
		index := a.SegmentAt(level, n)
		if index < 0 {
			return list
		}
		s := &a.Segments[index]
		c := centre{}
		if s.Stratum == engine.StratumOnePurchase || s.Stratum == engine.StratumNeverReturned {
			c.rule = s.Stratum
		}
		for _, f := range shared {
			own, scale := &a.Features[f], &newer.Features[f]
			c.at = append(c.at, (s.Center[a.UsedBefore(f)]*own.SD+own.Mean-scale.Mean)/scale.SD)
		}
		list = append(list, c)
	}
}

// Move gives memberships in the old cut as memberships in the new one. Those without a partner are lost, so they need not sum to 1.
func (a Alignment) Move(units []int) []int {
	moved := make([]int, a.New)
	for p, u := range units {
		if q := a.To[p]; q >= 0 {
			moved[q] += u
		}
	}
	return moved
}

// Aligned is a drift of which the earlier side was moved to the segments of a newer model.
type Aligned struct {
	engine.Drift
	Before [engine.AxisCount][]int // the earlier memberships in the newer model's segments of the level, in units of 1/10000
}

// AlignedDrift compares a thumbprint of an older model with one of a newer on a cut of the trees, of which features that could be scored anew are missing. It
// is approximate: what the new model did is in it as far as pairing the segments does not undo it. On an axis that cannot be paired there is
// none.
func AlignedDrift(level engine.Level, older *engine.Model, before engine.Thumbprint, newer *engine.Model, after engine.Thumbprint) *Aligned {
	aligned := &Aligned{}
	var refused [engine.AxisCount]bool
	d := newer.DriftOf(level, func(axis int) ([]int, []int) {
		u, v := older.MembershipsAt(level, axis, before, nil), newer.MembershipsAt(level, axis, after, nil)
		if len(u) == 0 || len(v) == 0 {
			return nil, nil
		}
		pairs, ok := Align(older, newer, level, axis)
		if !ok {
			refused[axis] = true
			return nil, nil
		}
		aligned.Before[axis] = pairs.Move(u)
		return aligned.Before[axis], v
	})
	for axis, r := range refused {
		if r {
			d.Axes[axis].Status, d.Axes[axis].Reason = engine.AxisNotComparable, engine.ReasonModelsTooDistant
		}
	}
	aligned.Drift = d
	return aligned
}
