package fcm

import (
	"context"
	"math"
	"math/rand/v2"
)

const (
	// startTolerance is where fits on samples stop: tell apart different optima, leave the last digits to the run on
	// all rows.
	startTolerance = 1e-4
	// warmUpShare of the rows, and at least warmUpLeast of them, are a sample on which passes cost next to nothing and
	// that still has the same optima.
	warmUpShare = 10
	warmUpLeast = 500
)

// start returns the centres that the run on all rows begins with.
func (p *Matrix) start(ctx context.Context, k int, opts Options) ([]float64, error) {
	switch {
	case opts.Init == nil:
		return p.bestStart(ctx, k, opts)
	case opts.accelerated() && !opts.ExactIterations && p.n/warmUpShare >= warmUpLeast:
		return p.warmUp(ctx, k, opts)
	}
	return opts.Init, nil
}

// warmUp carries opts.Init on on a sample. Where the sample's objective falls by no more than sampling explains, Init is
// as good as a sample can tell, and stays: k centres fitted to rows explain about k/rows of their squares by chance.
func (p *Matrix) warmUp(ctx context.Context, k int, opts Options) ([]float64, error) {
	size := min(opts.SampleSize, p.n/warmUpShare)
	sample, err := p.sample(ctx, size, opts.Seed)
	if err != nil {
		return nil, err
	}
	before := 0.0
	run, err := sample.fitter(k, opts, opts.Workers).descend(ctx, opts.Init, descent{
		maxIterations: opts.MaxIterations, tolerance: max(opts.Tolerance, startTolerance), accelerate: true,
		progress: func(iteration int, _, objective float64) {
			if iteration == 1 {
				before = objective
			}
		},
	})
	if err != nil {
		return nil, err
	}
	if before-run.objective <= 4*float64(k)/float64(size)*before {
		return opts.Init, nil
	}
	return run.centers, nil
}

// bestStart runs opts.Starts fits from k-means++ centres on a sample and returns
// the centres of lowest objective, of equal ones those of the earliest start.
func (p *Matrix) bestStart(ctx context.Context, k int, opts Options) ([]float64, error) {
	sample := p
	if p.n > opts.SampleSize {
		var err error
		if sample, err = p.sample(ctx, opts.SampleSize, opts.Seed); err != nil {
			return nil, err
		}
	}
	results := make([]outcome, opts.Starts)
	errs := make([]error, opts.Starts)
	fitters := make([]*fitter, max(1, min(opts.Workers, opts.Starts)))
	err := inParallel(ctx, opts.Workers, opts.Starts, func(worker, start int) {
		if fitters[worker] == nil {
			// The starts share the goroutines, so each runs on one.
			fitters[worker] = sample.fitter(k, opts, 1)
		}
		rng := rand.New(rand.NewPCG(opts.Seed, uint64(start)+1))
		centers, err := sample.plusPlus(ctx, rng, k)
		if err != nil {
			errs[start] = err
			return
		}
		results[start], errs[start] = fitters[worker].descend(ctx, centers, descent{
			maxIterations: opts.MaxIterations, tolerance: max(opts.Tolerance, startTolerance), accelerate: opts.accelerated(),
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

// sample draws size of the rows.
func (p *Matrix) sample(ctx context.Context, size int, seed uint64) (*Matrix, error) {
	rows := make([]float64, 0, size*p.d)
	err := drawRows(ctx, rand.New(rand.NewPCG(seed, 0)), p.n, size, func(i int) {
		for t := range p.d {
			rows = append(rows, p.column(i/panelRows, t)[i%panelRows])
		}
	})
	if err != nil {
		return nil, err
	}
	return NewMatrix(ctx, rows, size, p.d, 1)
}

// SampleRows copies size of the n rows of the n x d row-major x, drawn without replacement and kept in their order.
func SampleRows(ctx context.Context, rng *rand.Rand, x []float64, n, d, size int) ([]float64, error) {
	rows := make([]float64, 0, size*d)
	err := drawRows(ctx, rng, n, size, func(i int) { rows = append(rows, x[i*d:(i+1)*d]...) })
	return rows, err
}

// drawRows takes size of n rows without replacement, in their order (selection sampling, Knuth 1997, algorithm 3.4.2 S).
func drawRows(ctx context.Context, rng *rand.Rand, n, size int, take func(i int)) error {
	for i, needed := 0, size; needed > 0; i++ {
		if i%rowsBetweenLooks == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if rng.IntN(n-i) < needed {
			take(i)
			needed--
		}
	}
	return nil
}

// rowsBetweenLooks rows are looked at between two looks at whether to go on.
const rowsBetweenLooks = 1 << 16

// plusPlus draws k rows, each with probability proportional to its squared
// distance from those already drawn (Arthur and Vassilvitskii 2007).
func (p *Matrix) plusPlus(ctx context.Context, rng *rand.Rand, k int) ([]float64, error) {
	d := p.d
	centers := make([]float64, 0, k*d)
	nearest := make([]float64, p.n)
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	pick := rng.IntN(p.n)
	for {
		centers = append(centers, p.x[pick*d:(pick+1)*d]...)
		if len(centers) == k*d {
			return centers, nil
		}
		last := centers[len(centers)-d:]
		total := 0.0
		for i := range nearest {
			if i%rowsBetweenLooks == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			s := 0.0
			for t, v := range p.x[i*d : (i+1)*d] {
				e := v - last[t]
				s += e * e
			}
			nearest[i] = min(nearest[i], s)
			total += nearest[i]
		}
		if total == 0 {
			pick = rng.IntN(p.n)
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
