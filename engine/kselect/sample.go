package kselect

import (
	"context"
	"math"
	"math/rand/v2"
)

const (
	// replicates is the number of parts of a sample whose spread gives the standard error: enough for an error that is
	// itself known to about a sixth, for a twentieth of the work.
	replicates = 20
	// sampleStream keeps the generator of samples apart from others made of the same seed.
	sampleStream = 0x73696c686f756574
)

// sampledSilhouette estimates the mean silhouette from o.MaxExact of the n rows.
//
// A row's silhouette depends on the other rows of the sample, so the spread of the silhouettes alone understates the
// error. Instead the sample is cut into stratified parts and the silhouette is computed within each: to first order
// the variance of a mean over pairs falls as 1/rows, so that of the whole sample is the variance between parts
// divided by their number (random groups; Wolter, Introduction to Variance Estimation, 2007, ch. 2), times the
// share of rows left out (finite population).
func sampledSilhouette(ctx context.Context, x []float64, n, d int, labels []int32, sizes []int, o SilhouetteOptions) (SilhouetteResult, error) {
	k := len(sizes)
	rows := stratifiedSample(labels, sizes, o.MaxExact, o.Seed)
	means, err := clusterSilhouettes(ctx, x, d, labels, k, rows, o.Workers)
	if err != nil {
		return SilhouetteResult{}, err
	}
	result := SilhouetteResult{Mean: weightedMean(means, sizes), Sampled: len(rows)}

	parts := deal(rows, labels, k, min(replicates, len(rows)/(2*k)))
	values := make([]float64, 0, len(parts))
	for _, part := range parts {
		means, err := clusterSilhouettes(ctx, x, d, labels, k, part, o.Workers)
		if err != nil {
			return SilhouetteResult{}, err
		}
		values = append(values, weightedMean(means, sizes))
	}
	leftOut := 1 - float64(len(rows))/float64(n)
	result.StdError = math.Sqrt(sampleVariance(values) / float64(max(1, len(values))) * leftOut)
	return result, nil
}

// stratifiedSample returns about m rows: of every cluster a share of rows like its share of all, but at least two
// where it has them, taken in the one random order that belongs to the seed.
func stratifiedSample(labels []int32, sizes []int, m int, seed uint64) []int32 {
	quota := allocate(sizes, m)
	left := 0
	for _, q := range quota {
		left += q
	}
	rows := make([]int32, 0, left)
	for i := range shuffled(len(labels), seed) {
		if left == 0 {
			break
		}
		if c := labels[i]; quota[c] > 0 {
			quota[c]--
			left--
			rows = append(rows, i)
		}
	}
	return rows
}

// allocate divides m among clusters in proportion to size by largest remainders (ties: the lower cluster), and gives
// every cluster at least two rows or all it has.
func allocate(sizes []int, m int) []int {
	total := 0
	for _, s := range sizes {
		total += s
	}
	quota := make([]int, len(sizes))
	remainder := make([]int, len(sizes))
	given := 0
	for c, s := range sizes {
		quota[c] = s * m / total
		remainder[c] = s * m % total
		given += quota[c]
	}
	for ; given < m; given++ {
		best := 0
		for c := range remainder {
			if remainder[c] > remainder[best] {
				best = c
			}
		}
		quota[best]++
		remainder[best] = -1
	}
	for c, s := range sizes {
		quota[c] = min(s, max(quota[c], 2))
	}
	return quota
}

// shuffled yields 0..n-1 in the random order of the seed (Fisher and Yates), drawing only as far as it is read.
func shuffled(n int, seed uint64) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		random := rand.New(rand.NewPCG(seed, sampleStream))
		order := make([]int32, n)
		for i := range order {
			order[i] = int32(i)
		}
		for i := range order {
			j := i + random.IntN(n-i)
			order[i], order[j] = order[j], order[i]
			if !yield(order[i]) {
				return
			}
		}
	}
}

// deal gives the rows of each cluster to the parts in turn.
func deal(rows, labels []int32, k, parts int) [][]int32 {
	if parts < 2 {
		return nil
	}
	dealt := make([][]int32, parts)
	next := make([]int, k)
	for c := range next {
		next[c] = c % parts // clusters with fewer rows than parts do not all fall into the first
	}
	for _, i := range rows {
		c := labels[i]
		dealt[next[c]] = append(dealt[next[c]], i)
		next[c] = (next[c] + 1) % parts
	}
	return dealt
}

// sampleVariance divides by len(v) - 1.
func sampleVariance(v []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	mean := 0.0
	for _, a := range v {
		mean += a
	}
	mean /= float64(len(v))
	squares := 0.0
	for _, a := range v {
		squares += (a - mean) * (a - mean)
	}
	return squares / float64(len(v)-1)
}
