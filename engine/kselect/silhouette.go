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
	results, err := Silhouettes(ctx, x, n, d, []Labeling{{labels, k}}, o)
	if err != nil {
		return SilhouetteResult{}, err
	}
	return results[0], nil
}

// Silhouettes is [Silhouette] for several labelings of the same rows: a distance is measured once for as many of them as
// it serves. A sample is of the same rows for all, stratified by all.
func Silhouettes(ctx context.Context, x []float64, n, d int, labelings []Labeling, o SilhouetteOptions) ([]SilhouetteResult, error) {
	if len(labelings) == 0 {
		return nil, nil
	}
	if err := checkMatrix(x, n, d); err != nil {
		return nil, err
	}
	var sizes [][]int
	for _, l := range labelings {
		s, err := checkLabeled(n, l)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, s)
	}
	if o.MaxExact <= 0 {
		o.MaxExact = defaultMaxExact
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	rows := allRows(n)
	if n > o.MaxExact {
		return sampledSilhouettes(ctx, x, d, labelings, sizes, rows, o)
	}
	means, err := meanSilhouettes(ctx, x, d, labelings, sizes, rows, o.Workers)
	if err != nil {
		return nil, err
	}
	results := make([]SilhouetteResult, len(labelings))
	for l, mean := range means {
		results[l] = SilhouetteResult{Mean: mean, Sampled: n}
	}
	return results, nil
}

func allRows(n int) []int32 {
	rows := make([]int32, n)
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}

func checkMatrix(x []float64, n, d int) error {
	switch {
	case n < 2 || d < 1:
		return fmt.Errorf("a silhouette needs at least two rows and one column, got %d x %d", n, d)
	case n > math.MaxInt32:
		return fmt.Errorf("a silhouette takes at most %d rows, got %d: take a sample", math.MaxInt32, n)
	case len(x)/d != n || len(x)%d != 0:
		return fmt.Errorf("the matrix has %d numbers, but %d rows of %d columns were announced", len(x), n, d)
	}
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("row %d, column %d is %v: only finite numbers can be measured", i/d, i%d, v)
		}
	}
	return nil
}

// checkLabeled validates a labeling of n rows and counts the rows of each cluster.
func checkLabeled(n int, labeling Labeling) ([]int, error) {
	labels, k := labeling.Labels, labeling.K
	switch {
	case len(labels) != n:
		return nil, fmt.Errorf("there are %d labels for %d rows: give one for each row", len(labels), n)
	case k < 2:
		return nil, fmt.Errorf("a silhouette needs at least two clusters, got k = %d", k)
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

// meanSilhouettes returns the mean silhouette of each labeling over the given rows alone, every cluster weighted with
// its size among all rows.
func meanSilhouettes(ctx context.Context, x []float64, d int, labelings []Labeling, sizes [][]int, rows []int32, workers int) ([]float64, error) {
	var means []float64
	for _, group := range together(labelings, rows) {
		perCluster, err := clusterSilhouettes(ctx, x, d, group, rows, workers)
		if err != nil {
			return nil, err
		}
		for _, m := range perCluster {
			means = append(means, weightedMean(m, sizes[len(means)]))
		}
	}
	return means, nil
}

// clusterSilhouettes returns, by labeling, the mean silhouette of each cluster over the given rows alone; 0 for a cluster
// without any.
func clusterSilhouettes(ctx context.Context, x []float64, d int, labelings []Labeling, rows []int32, workers int) ([][]float64, error) {
	t := newTiling(x, d, labelings, rows)
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
	means := make([][]float64, len(labelings))
	for l, k := range t.ks {
		means[l] = make([]float64, k)
		t.each(l, sums, func(_, own int, sums []float64) { means[l][own] += width(sums, t.sizes[l], own) })
		for c, size := range t.sizes[l] {
			means[l][c] /= float64(max(1, size))
		}
	}
	return means, nil
}

// each visits the rows in sorted order with their cluster in a labeling and their sums of distances to its clusters.
func (t *tiling) each(labeling int, sums []float64, visit func(i, own int, sums []float64)) {
	first := 0
	for _, k := range t.ks[:labeling] {
		first += k
	}
	for at := range t.tiles {
		tile := &t.tiles[at]
		own := int(t.cells.labels[tile.cell][labeling])
		for i := tile.first; i < tile.first+tile.n; i++ {
			from := i*t.width + first
			visit(i, own, sums[from:from+t.ks[labeling]])
		}
	}
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
