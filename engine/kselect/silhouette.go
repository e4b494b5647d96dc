package kselect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
)

// defaultMaxExact is the number of rows up to which the silhouette is exact: 5e7 pairs, some hundredths of a second
// to a few tenths.
const defaultMaxExact = 10_000

// ErrOneCluster is returned where fewer than two clusters have rows, so that there is no other cluster to compare with.
var ErrOneCluster = errors.New("a silhouette needs at least two clusters with rows: choose a larger k or another start")

// SilhouetteOptions are the options of [Silhouette]; the zero value means the defaults.
type SilhouetteOptions struct {
	MaxExact int    // up to this many rows all pairs are measured; above, a sample of this many rows; 10,000 if 0
	Seed     uint64 // of the sample
	Workers  int    // goroutines; GOMAXPROCS if 0. The result does not depend on it.
}

// SilhouetteResult is a mean silhouette and how well it is known.
type SilhouetteResult struct {
	Mean     float64 // from -1 to 1
	StdError float64 // standard error of Mean that comes from sampling; 0 when exact
	Sampled  int     // rows that were measured
}

// Silhouette returns the mean silhouette width of the n rows of x (row-major, n x d) under labels in 0..k-1, with
// Euclidean distances (Rousseeuw 1987, Journal of Computational and Applied Mathematics 20, 53-65): for row i with
// mean distance a to the other rows of its cluster and b to the rows of the nearest other cluster,
//
//	s(i) = (b - a) / max(a, b)
//
// s is 0 for a row alone in its cluster and where a = b = 0. Empty clusters are passed over.
//
// Up to o.MaxExact rows the value is exact. Above, it is computed within a seeded sample of MaxExact rows, stratified
// by cluster in proportion to size, and StdError says how far it may be from the exact one. One seed takes its rows
// from one random order whatever the labels are, so two labelings of the same rows are compared on nearly the same
// rows and their difference is better known than either value.
//
// Time grows with the square of the rows measured, memory only with their number. ctx ends the work early.
func Silhouette(ctx context.Context, x []float64, n, d int, labels []int32, k int, o SilhouetteOptions) (SilhouetteResult, error) {
	sizes, err := checkLabeled(x, n, d, labels, k)
	if err != nil {
		return SilhouetteResult{}, err
	}
	if o.MaxExact <= 0 {
		o.MaxExact = defaultMaxExact
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if n > o.MaxExact {
		return sampledSilhouette(ctx, x, n, d, labels, sizes, o)
	}
	rows := make([]int32, n)
	for i := range rows {
		rows[i] = int32(i)
	}
	perCluster, err := clusterSilhouettes(ctx, x, d, labels, k, rows, o.Workers)
	if err != nil {
		return SilhouetteResult{}, err
	}
	return SilhouetteResult{Mean: weightedMean(perCluster, sizes), Sampled: n}, nil
}

// checkLabeled validates a labeled matrix and counts the rows of each cluster.
func checkLabeled(x []float64, n, d int, labels []int32, k int) ([]int, error) {
	switch {
	case n < 2 || d < 1:
		return nil, fmt.Errorf("a silhouette needs at least two rows and one column, got %d x %d", n, d)
	case n > math.MaxInt32:
		return nil, fmt.Errorf("a silhouette takes at most %d rows, got %d: take a sample", math.MaxInt32, n)
	case len(x)/d != n || len(x)%d != 0:
		return nil, fmt.Errorf("the matrix has %d numbers, but %d rows of %d columns were announced", len(x), n, d)
	case len(labels) != n:
		return nil, fmt.Errorf("there are %d labels for %d rows: give one for each row", len(labels), n)
	case k < 2:
		return nil, fmt.Errorf("a silhouette needs at least two clusters, got k = %d", k)
	}
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("row %d, column %d is %v: only finite numbers can be measured", i/d, i%d, v)
		}
	}
	sizes := make([]int, k)
	for i, l := range labels {
		if l < 0 || int(l) >= k {
			return nil, fmt.Errorf("row %d has label %d, outside 0 to %d", i, l, k-1)
		}
		sizes[l]++
	}
	filled := 0
	for _, s := range sizes {
		if s > 0 {
			filled++
		}
	}
	if filled < 2 {
		return nil, ErrOneCluster
	}
	return sizes, nil
}

// clusterSilhouettes returns the mean silhouette of each cluster over the given rows alone; 0 for a cluster without any.
func clusterSilhouettes(ctx context.Context, x []float64, d int, labels []int32, k int, rows []int32, workers int) ([]float64, error) {
	t := newTiling(x, d, labels, k, rows)
	sums, err := t.distanceSums(ctx, workers)
	if err != nil {
		return nil, err
	}
	if t.narrowed() && !(t.roundingError(sums) < maxRounding) {
		t.rounding = nil
		if sums, err = t.distanceSums(ctx, workers); err != nil {
			return nil, err
		}
	}
	means := make([]float64, k)
	i := 0
	for own, size := range t.sizes {
		total := 0.0
		for range size {
			total += width(sums[i*k:(i+1)*k], t.sizes, own)
			i++
		}
		if size > 0 {
			means[own] = total / float64(size)
		}
	}
	return means, nil
}

// width is the silhouette of one row of cluster own, from the sums of its distances to the rows of every cluster.
func width(sums []float64, sizes []int, own int) float64 {
	if sizes[own] < 2 {
		return 0
	}
	a, b := distancesOf(sums, sizes, own)
	if greater := max(a, b); greater > 0 && !math.IsInf(b, 1) {
		return (b - a) / greater
	}
	return 0
}

// distancesOf are the mean distances a to the own cluster and b to the nearest other one; a is 0 for a row alone, b
// infinite where there is no other.
func distancesOf(sums []float64, sizes []int, own int) (a, b float64) {
	if sizes[own] > 1 {
		a = sums[own] / float64(sizes[own]-1)
	}
	b = math.Inf(1)
	for c, size := range sizes {
		if c != own && size > 0 {
			b = min(b, sums[c]/float64(size))
		}
	}
	return a, b
}

// weightedMean is the mean of per-cluster means, each weighted with the cluster's size.
func weightedMean(means []float64, sizes []int) float64 {
	total, weight := 0.0, 0.0
	for c, size := range sizes {
		total += means[c] * float64(size)
		weight += float64(size)
	}
	return total / weight
}
