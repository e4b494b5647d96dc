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

// sampledSilhouettes estimates the mean silhouettes from o.MaxExact of all rows.
//
// A row's silhouette depends on the other rows of the sample, so the spread of the silhouettes alone understates the
// error. Instead the sample is cut into stratified parts and the silhouette is computed within each: to first order
// the variance of a mean over pairs falls as 1/rows, so that of the whole sample is the variance between parts
// divided by their number (random groups; Wolter, Introduction to Variance Estimation, 2007, ch. 2), times the
// share of rows left out (finite population).
func sampledSilhouettes(ctx context.Context, x []float64, d int, labelings []Labeling, sizes [][]int, all []int32, o SilhouetteOptions) ([]SilhouetteResult, error) {
	strata := newCells(len(all))
	mostClusters := 0
	for _, l := range labelings {
		strata.divide(l, all)
		mostClusters = max(mostClusters, l.K)
	}
	strata.number()
	rows := stratifiedSample(strata, labelings, sizes, o.MaxExact, o.Seed)
	means, err := meanSilhouettes(ctx, x, d, labelings, sizes, rows, o.Workers)
	if err != nil {
		return nil, err
	}
	parts := deal(rows, strata, min(replicates, len(rows)/(2*mostClusters)))
	ofParts := make([][]float64, len(labelings))
	for _, part := range parts {
		means, err := meanSilhouettes(ctx, x, d, labelings, sizes, part, o.Workers)
		if err != nil {
			return nil, err
		}
		for l, mean := range means {
			ofParts[l] = append(ofParts[l], mean)
		}
	}
	leftOut := 1 - float64(len(rows))/float64(len(all))
	results := make([]SilhouetteResult, len(labelings))
	for l, mean := range means {
		results[l] = SilhouetteResult{
			Mean: mean, Sampled: len(rows),
			StdError: math.Sqrt(sampleVariance(ofParts[l]) / float64(max(1, len(parts))) * leftOut),
		}
	}
	return results, nil
}

// stratifiedSample returns about m rows: of every stratum a share of rows like its share of all, but of every cluster at
// least two where it has them, taken in the one random order that belongs to the seed.
func stratifiedSample(strata *cells, labelings []Labeling, sizes [][]int, m int, seed uint64) []int32 {
	rows := strata.sizes()
	quota := allocate(rows, m)
	for l, labeling := range labelings {
		for c := range labeling.K {
			raise(quota, rows, min(sizes[l][c], 2), func(s int) bool { return strata.labels[s][l] == int32(c) })
		}
	}
	left := 0
	for _, q := range quota {
		left += q
	}
	sample := make([]int32, 0, left)
	for i := range shuffled(len(strata.of), seed) {
		if left == 0 {
			break
		}
		if s := strata.of[i]; quota[s] > 0 {
			quota[s]--
			left--
			sample = append(sample, i)
		}
	}
	return sample
}

// allocate divides m among strata in proportion to size by largest remainders (ties: the lower stratum).
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
	return quota
}

// raise brings the quotas of the strata that belong to a cluster up to a least sum, one by one where the most rows are
// left.
func raise(quota, sizes []int, least int, belongs func(stratum int) bool) {
	for {
		sum, best := 0, -1
		for s := range quota {
			if !belongs(s) {
				continue
			}
			sum += quota[s]
			if best < 0 || sizes[s]-quota[s] > sizes[best]-quota[best] {
				best = s
			}
		}
		if sum >= least {
			return
		}
		quota[best]++
	}
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

// deal gives the rows of each stratum to the parts in turn.
func deal(rows []int32, strata *cells, parts int) [][]int32 {
	if parts < 2 {
		return nil
	}
	dealt := make([][]int32, parts)
	next := make([]int, len(strata.labels))
	for s := range next {
		next[s] = s % parts // strata with fewer rows than parts do not all fall into the first
	}
	for _, i := range rows {
		s := strata.of[i]
		dealt[next[s]] = append(dealt[next[s]], i)
		next[s] = (next[s] + 1) % parts
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
