package explain

import (
	"cmp"
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/shapley"
)

// Change is how the membership in one segment changed, and what each feature had to do with it.
type Change struct {
	Segment       int // index in AxisModel.Segments
	Before, After float64
	// Effects are the features that memberships depend on, the largest effect first. They sum to After - Before.
	Effects []Effect
}

// Effect is what the change of one feature added to the membership: the mean, over all orders in which the old features may be
// replaced by the new ones, of what its own replacement does (the Shapley value).
type Effect struct {
	Feature       int     // index within the axis
	Before, After float64 // in the feature's unit; NaN where undefined
	Amount        float64 // from -1 to 1
}

// orderSeed draws the orders where there are too many features for all of them.
const orderSeed = 1

// Change attributes the change of a customer's membership in a segment, anywhere in the tree, to the features. A mixture of
// old and new features is scored like a customer: winsorised, standardised, composed down the tree, and put into a stratum
// where its rule holds. So a change of stratum goes to the features that the rule reads, the number of purchases among
// them, and to those that decide where the customer stands outside, each with its mean over the orders: two features
// that must both change to leave the stratum share what that brings.
func (e *Explainer) Change(before, after []float32, segment int) (Change, error) {
	if err := e.checked(segment, before, after); err != nil {
		return Change{}, err
	}
	was, is := e.axis.Of(before), e.axis.Of(after)
	purchasesWere, purchasesAre := engine.PurchasesOf(before), engine.PurchasesOf(after)
	for _, side := range []struct {
		purchases int
		own       []float32
	}{{purchasesWere, was}, {purchasesAre, is}} {
		if e.scorer.Memberships(side.purchases, side.own) == nil {
			return Change{}, e.notPlaced()
		}
	}
	deciding := e.scorer.Deciding()
	var moved []int
	for _, f := range deciding {
		if math.Float32bits(was[f]) != math.Float32bits(is[f]) {
			moved = append(moved, f)
		}
	}
	value := func(set uint64) float64 {
		copy(e.own, was)
		for i, f := range moved {
			if set>>i&1 == 1 {
				e.own[f] = is[f]
			}
		}
		return e.scorer.Memberships(e.purchases(e.own, max(purchasesWere, purchasesAre)), e.own)[segment]
	}
	shares := shapley.Values(len(moved), orderSeed, value)
	c := Change{Segment: segment, Before: value(0), After: value(1<<len(moved) - 1)}
	for _, f := range deciding {
		effect := Effect{Feature: f, Before: e.shown(was, f), After: e.shown(is, f)}
		if i := slices.Index(moved, f); i >= 0 {
			effect.Amount = shares[i]
		}
		c.Effects = append(c.Effects, effect)
	}
	slices.SortStableFunc(c.Effects, func(x, y Effect) int { return cmp.Compare(math.Abs(y.Amount), math.Abs(x.Amount)) })
	return c, nil
}

// purchases gives the number of purchases that goes with features of the axis: on the axis that has it as a feature that one,
// else known, which there only decides whether the customer is eligible.
func (e *Explainer) purchases(own []float32, known int) int {
	if e.axis.First == 0 {
		return engine.PurchasesOf(own)
	}
	return known
}
