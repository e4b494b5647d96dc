// Package watch looks at a customer's drift from snapshot to snapshot: whether it is out of the ordinary for the customer and
// among the customers of the store, and whether a change of the dominant segment holds.
package watch

import (
	"math"
	"slices"
	"sort"
)

const (
	// AnomalousZ is the robust deviation from which a drift is out of the ordinary for the customer.
	AnomalousZ = 3.5
	// minEarlier is how many earlier drifts say what is ordinary.
	minEarlier = 8
	// madScale makes the median absolute deviation of a normal distribution its standard deviation (Hampel 1974).
	madScale = 1.4826
	// minDeviation keeps customers who always move alike from being anomalous for next to nothing.
	minDeviation = 0.02
)

// RobustZ is by how many robust deviations a drift exceeds a customer's earlier ones,
//
//	z = (drift - median) / max(1.4826 MAD, 0.02),
//
// all of them of intervals with an order, and each less the store's median in its interval. False with fewer than 8 earlier.
// The order of earlier is changed.
func RobustZ(earlier []float64, drift float64) (z float64, ok bool) {
	if len(earlier) < minEarlier {
		return 0, false
	}
	center := median(earlier)
	for i, d := range earlier {
		earlier[i] = math.Abs(d - center)
	}
	return (drift - center) / max(madScale*median(earlier), minDeviation), true
}

// median sorts its values, of which there is at least one.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// Dated is the overall drift of a customer in an interval with an order that ends on a day; days only need to be in order.
type Dated struct {
	Day   int
	Drift float64
}

// Median is the middle drift of a store's customers in the interval that ends on a day.
type Median struct {
	Day    int
	Spread float64
}

// MedianAt gives the store's median of a day's interval, or the last one known before it; 0 without any. Medians ascend by day.
func MedianAt(medians []Median, day int) float64 {
	i := sort.Search(len(medians), func(i int) bool { return medians[i].Day > day })
	if i == 0 {
		return 0
	}
	return medians[i-1].Spread
}

// Last is RobustZ of the last of a customer's drifts, which ascend by day, by those before it.
func Last(drifts []Dated, medians []Median) (z float64, ok bool) {
	if len(drifts) <= minEarlier {
		return 0, false
	}
	excess := make([]float64, len(drifts))
	for i, d := range drifts {
		excess[i] = d.Drift - MedianAt(medians, d.Day)
	}
	last := len(excess) - 1
	return RobustZ(excess[:last], excess[last])
}

// SpreadSteps is in how many parts the quantiles of a Spread divide the customers; even, so that one is the median.
const SpreadSteps = 200

// Spread is how the overall drifts of a store's customers in one interval lie: SpreadSteps+1 quantiles, ascending from the
// least drift to the largest, as precise as snapshots keep drifts.
type Spread []float32

// Fractions are the shares of the customers below each quantile of a Spread.
func Fractions() []float64 {
	f := make([]float64, SpreadSteps+1)
	for i := range f {
		f[i] = float64(i) / SpreadSteps
	}
	return f
}

// Median is the middle drift; 0 where nobody's is known.
func (s Spread) Median() float64 {
	if len(s) == 0 {
		return 0
	}
	return float64(s[len(s)/2])
}

// Below is the share of the customers who moved less, from 0 to 1, to a percent; between quantiles it is interpolated.
func (s Spread) Below(drift float64) float64 {
	if len(s) < 2 {
		return 0
	}
	own := float32(drift)
	next := sort.Search(len(s), func(i int) bool { return s[i] >= own })
	switch {
	case next == 0:
		return 0
	case next == len(s):
		return 1
	}
	before := s[next-1]
	return (float64(next-1) + float64(own-before)/float64(s[next]-before)) / float64(len(s)-1)
}
