package engine

import (
	"math"
	"slices"
)

// Some groups are set apart by a rule before clustering, since no number of clusters can split a point mass: they would
// leave the rest of the axis one centre less each, and themselves be named after a blur around them.

// identicalShare is the least part of the eligible customers, as one over it, that makes identical vectors a stratum.
const identicalShare = 3

// maxAxisFeatures is the most features that an axis has.
const maxAxisFeatures = 5

const (
	axisOfOnePurchase   = "purchase_frequency"
	axisOfNeverReturned = "return_behavior"
)

// Places of the features within return_behavior that tell whether anything ever came back.
const (
	refundedValueFeature = 0
	refundedUnitsFeature = 1
)

// ruledIn tells whether the segment is a stratum that holds a customer with so many purchases and these features of the
// axis; on lists the features in use.
func (s *Segment) ruledIn(purchases int, values []float32, on []int) bool {
	switch s.Stratum {
	case StratumOnePurchase:
		return purchases == 1
	case StratumNeverReturned:
		return neverReturned(values)
	case StratumIdentical:
		for j, f := range on {
			if vectorBits(s.Identical[j]) != vectorBits(values[f]) {
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

// vector is what identical customers have in common: the bits of the features in use, 0 beyond them.
type vector [maxAxisFeatures]uint32

// vectorBits gives equal bits for equal values, for 0 of either sign and for everything undefined.
func vectorBits(v float32) uint32 {
	switch {
	case v == 0:
		return 0
	case v != v:
		return math.Float32bits(float32(math.NaN()))
	default:
		return math.Float32bits(v)
	}
}

func vectorOf(values []float32, on []int) vector {
	var v vector
	for j, f := range on {
		v[j] = vectorBits(values[f])
	}
	return v
}

// ruledStratum gives the stratum of an axis that a rule about behaviour defines, StratumNone where it has none.
func ruledStratum(axis *Axis) Stratum {
	switch axis.Key {
	case axisOfOnePurchase:
		return StratumOnePurchase
	case axisOfNeverReturned:
		return StratumNeverReturned
	default:
		return StratumNone
	}
}

// pointMasses finds the vectors that at least a third of the eligible customers share, among rows, most frequent first.
// Three counters suffice for a first look at what may be so frequent (Misra and Gries 1982, Science of Computer
// Programming 2, 143-152); a second look counts.
func pointMasses(rows []int32, eligible int, at func(row int32) vector) []vector {
	var candidates [identicalShare]vector
	var counts [identicalShare]int
	for _, row := range rows {
		v := at(row)
		free := -1
		found := false
		for c := range candidates {
			switch {
			case counts[c] == 0:
				free = c
			case candidates[c] == v:
				counts[c]++
				found = true
			}
		}
		switch {
		case found:
		case free >= 0:
			candidates[free], counts[free] = v, 1
		default:
			for c := range counts {
				counts[c]--
			}
		}
	}
	live := counts
	counts = [identicalShare]int{}
	for _, row := range rows {
		v := at(row)
		for c := range candidates {
			if live[c] > 0 && candidates[c] == v {
				counts[c]++
			}
		}
	}
	var order []int
	for c, count := range counts {
		if identicalShare*count >= eligible && count > 0 {
			order = append(order, c)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return slices.Compare(candidates[a][:], candidates[b][:])
	})
	var found []vector
	for _, c := range order {
		found = append(found, candidates[c])
	}
	return found
}
