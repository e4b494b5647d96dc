package engine

import (
	"math"
)

const (
	axisOfOnePurchase   = "purchase_frequency"
	axisOfNeverReturned = "return_behavior"
)

// Places of the features within return_behavior that tell whether anything ever came back.
const (
	refundedValueFeature = 0
	refundedUnitsFeature = 1
)

// RuledIn tells whether the segment is a stratum that holds a customer with so many purchases and these features of the
// axis; on lists the features in use.
func (s *Segment) RuledIn(purchases int, values []float32, on []int) bool {
	switch s.Stratum {
	case StratumOnePurchase:
		return purchases == 1
	case StratumNeverReturned:
		return neverReturned(values)
	case StratumIdentical:
		for j, f := range on {
			if FeatureBits(s.Identical[j]) != FeatureBits(values[f]) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// neverReturned looks at the features of return_behavior: without returns the shares of value and units are 0 or undefined.
func neverReturned(values []float32) bool {
	nothing := func(v float32) bool { return !(v > 0) }
	return nothing(values[refundedValueFeature]) && nothing(values[refundedUnitsFeature])
}

// FeatureBits gives equal bits for equal values, for 0 of either sign and for everything undefined.
func FeatureBits(v float32) uint32 {
	switch {
	case v == 0:
		return 0
	case v != v:
		return math.Float32bits(float32(math.NaN()))
	default:
		return math.Float32bits(v)
	}
}

// RuledStratum gives the stratum of an axis that a rule about behaviour defines, StratumNone where it has none.
func (a *Axis) RuledStratum() Stratum {
	switch a.Key {
	case axisOfOnePurchase:
		return StratumOnePurchase
	case axisOfNeverReturned:
		return StratumNeverReturned
	default:
		return StratumNone
	}
}
