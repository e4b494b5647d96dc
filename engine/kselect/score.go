package kselect

import "math"

// Weights of the combined score.
const (
	silhouetteWeight = 0.4
	balanceWeight    = 0.6
)

// Balance returns 1 - min(1, sd/mean) of the cluster sizes, with the population standard deviation (divided by the
// number of clusters). Empty clusters belong in sizes as 0. Equal sizes give 1; no sizes, or only empty ones, give 0.
//
// The coefficient of variation of k sizes can reach sqrt(k-1), so the cut at 1 hides differences between very uneven
// divisions; [NormalizedBalance] does not cut.
func Balance(sizes []int) float64 {
	cv, ok := variation(sizes)
	if !ok {
		return 0
	}
	return 1 - min(1, cv)
}

// NormalizedBalance is [Balance] with sd/mean divided by sqrt(k-1), its greatest possible value over k clusters: 0
// means that one cluster holds everything. A single cluster gives 1.
func NormalizedBalance(sizes []int) float64 {
	cv, ok := variation(sizes)
	if !ok {
		return 0
	}
	if len(sizes) > 1 {
		cv /= math.Sqrt(float64(len(sizes) - 1))
	}
	return 1 - min(1, cv)
}

// variation is the coefficient of variation of sizes; false where the mean is 0.
func variation(sizes []int) (float64, bool) {
	total := 0.0
	for _, s := range sizes {
		total += float64(s)
	}
	if !(total > 0) {
		return 0, false
	}
	mean := total / float64(len(sizes))
	squares := 0.0
	for _, s := range sizes {
		e := float64(s) - mean
		squares += e * e
	}
	return math.Sqrt(squares/float64(len(sizes))) / mean, true
}

// Score joins a mean silhouette, from -1 to 1 and not rescaled, with a balance, from 0 to 1: 0.4 of the first and 0.6
// of the second.
func Score(silhouette, balance float64) float64 {
	return silhouetteWeight*silhouette + balanceWeight*balance
}
