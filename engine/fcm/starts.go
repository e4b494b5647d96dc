package fcm

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
)

const (
	// startTolerance is where fits on samples stop: tell apart different optima, leave the last digits to the run on
	// all rows.
	startTolerance = 1e-4
	// warmUpShare of the rows, and at least warmUpLeast of them and warmUpRows a cluster, are a sample on which passes
	// cost next to nothing and that still has the same optima.
	warmUpShare = 10
	warmUpLeast = 500
	warmUpRows  = 20
)

// start returns the centres that the run on all rows begins with.
func (p *Matrix) start(ctx context.Context, k int, opts Options) ([]float64, error) {
	if opts.Init == nil {
		return p.bestStart(ctx, k, opts)
	}
	size := min(opts.SampleSize, p.n/warmUpShare)
	if !opts.accelerated() || opts.ExactIterations || size < max(warmUpLeast, warmUpRows*k) {
		return opts.Init, nil
	}
	return p.warmUp(ctx, k, size, opts)
}

// warmUp carries opts.Init on on a sample of size rows. Where the sample's objective falls by no more than sampling explains, Init is
// as good as a sample can tell, and stays: k centres fitted to rows explain about k/rows of their squares by chance.
func (p *Matrix) warmUp(ctx context.Context, k, size int, opts Options) ([]float64, error) {
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

// sameOptimum is the relative difference of objectives within which starts count as having ended in one optimum.
const sameOptimum = 1e-5

// bestStart runs fits from k-means++ centres on a sample, opts.Starts of them and opts.MoreStarts if these disagree, and
// returns the centres of lowest objective, of equal ones those of the earliest start.
func (p *Matrix) bestStart(ctx context.Context, k int, opts Options) ([]float64, error) {
	sample := p
	if p.n > opts.SampleSize {
		var err error
		if sample, err = p.sample(ctx, opts.SampleSize, opts.Seed); err != nil {
			return nil, err
		}
	}
	s := starter{sample: sample, k: k, opts: opts, fitters: make([]*fitter, opts.Workers)}
	if err := s.run(ctx, opts.Starts); err != nil {
		return nil, err
	}
	if opts.MoreStarts > 0 && !s.agree() {
		if err := s.run(ctx, opts.MoreStarts); err != nil {
			return nil, err
		}
	}
	return s.best().centers, nil
}

// starter runs starts and keeps where they ended.
type starter struct {
	sample  *Matrix
	k       int
	opts    Options
	fitters []*fitter // one a worker, made when needed
	ends    []outcome
}

// run adds so many starts.
func (s *starter) run(ctx context.Context, starts int) error {
	first := len(s.ends)
	ends, errs := make([]outcome, starts), make([]error, starts)
	err := inParallel(ctx, s.opts.Workers, starts, func(worker, start int) {
		if s.fitters[worker] == nil {
			// The starts share the goroutines, so each runs on one.
			s.fitters[worker] = s.sample.fitter(s.k, s.opts, 1)
		}
		rng := rand.New(rand.NewPCG(s.opts.Seed, uint64(first+start)+1))
		centers, err := s.sample.plusPlus(ctx, rng, s.k)
		if err != nil {
			errs[start] = err
			return
		}
		ends[start], errs[start] = s.fitters[worker].descend(ctx, centers, descent{
			maxIterations: s.opts.MaxIterations, tolerance: max(s.opts.Tolerance, startTolerance), accelerate: s.opts.accelerated(),
		})
	})
	s.ends = append(s.ends, ends...)
	if err != nil {
		return err
	}
	return errors.Join(errs...)
}

// best is the end of lowest objective, the earliest of equal ones.
func (s *starter) best() *outcome {
	best := &s.ends[0]
	for i := range s.ends {
		if s.ends[i].objective < best.objective {
			best = &s.ends[i]
		}
	}
	return best
}

// agree tells whether all starts ended in one optimum.
func (s *starter) agree() bool {
	least := s.best().objective
	for i := range s.ends {
		if s.ends[i].objective > least*(1+sameOptimum) {
			return false
		}
	}
	return true
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
