package fit

import (
	"slices"

	"github.com/quimbi/quimbi/engine"
)

// Some groups are set apart by a rule before clustering, since no number of clusters can split a point mass: they would
// leave the rest of the axis one centre less each, and themselves be named after a blur around them.

// identicalShare is the least part of the eligible customers, as one over it, that makes identical vectors a stratum.
const identicalShare = 3

// maxAxisFeatures is the most features that an axis has.
const maxAxisFeatures = 5

// vector is what identical customers have in common: the bits of the features in use, 0 beyond them.
type vector [maxAxisFeatures]uint32

func vectorOf(values []float32, on []int) vector {
	var v vector
	for j, f := range on {
		v[j] = engine.FeatureBits(values[f])
	}
	return v
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
