package fcm

import (
	"context"
	"math"
	"math/rand/v2"
)

// startTolerance is where the starts stop: tell apart different optima, leave
// the last digits to the run on all rows.
const startTolerance = 1e-4

// bestStart runs opts.Starts fits from k-means++ centres on a sample and returns
// the centres of lowest objective, of equal ones those of the earliest start.
func bestStart(ctx context.Context, p *problem, x []float64, k int, opts Options) ([]float64, error) {
	rows := x
	sample := p
	if p.n > opts.SampleSize {
		rows = sampleRows(x, p.n, p.d, opts.SampleSize, opts.Seed)
		var err error
		if sample, err = newProblem(ctx, rows, opts.SampleSize, p.d, 1); err != nil {
			return nil, err
		}
	}
	// The starts share the goroutines, so each runs on one.
	single := *sample
	single.workers = 1
	results := make([]outcome, opts.Starts)
	errs := make([]error, opts.Starts)
	fitters := make([]*fitter, max(1, min(opts.Workers, opts.Starts)))
	err := inParallel(ctx, opts.Workers, opts.Starts, func(worker, start int) {
		if fitters[worker] == nil {
			fitters[worker] = single.fitter(k, opts)
		}
		rng := rand.New(rand.NewPCG(opts.Seed, uint64(start)+1))
		centers := plusPlus(rng, rows, single.n, p.d, k)
		results[start], errs[start] = fitters[worker].descend(ctx, centers, descent{
			maxIterations: opts.MaxIterations, tolerance: max(opts.Tolerance, startTolerance),
			accelerate: !opts.Plain && !opts.Hard,
		})
	})
	if err != nil {
		return nil, err
	}
	best := 0
	for i, r := range results {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if r.objective < results[best].objective {
			best = i
		}
	}
	return results[best].centers, nil
}

// sampleRows draws size of the n rows without replacement, in row order
// (selection sampling, Knuth 1997, algorithm 3.4.2 S).
func sampleRows(x []float64, n, d, size int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := make([]float64, 0, size*d)
	for i, needed := 0, size; needed > 0; i++ {
		if rng.IntN(n-i) < needed {
			out = append(out, x[i*d:(i+1)*d]...)
			needed--
		}
	}
	return out
}

// plusPlus draws k rows, each with probability proportional to its squared
// distance from those already drawn (Arthur and Vassilvitskii 2007).
func plusPlus(rng *rand.Rand, x []float64, n, d, k int) []float64 {
	centers := make([]float64, 0, k*d)
	nearest := make([]float64, n)
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	pick := rng.IntN(n)
	for {
		centers = append(centers, x[pick*d:(pick+1)*d]...)
		if len(centers) == k*d {
			return centers
		}
		last := centers[len(centers)-d:]
		total := 0.0
		for i := range nearest {
			s := 0.0
			for t, v := range x[i*d : (i+1)*d] {
				e := v - last[t]
				s += e * e
			}
			nearest[i] = min(nearest[i], s)
			total += nearest[i]
		}
		if total == 0 {
			pick = rng.IntN(n)
			continue
		}
		left := rng.Float64() * total
		for i, v := range nearest {
			if v > 0 {
				pick = i
				if left -= v; left < 0 {
					break
				}
			}
		}
	}
}
