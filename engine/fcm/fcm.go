// Package fcm finds fuzzy c-means clusters (Bezdek 1981) of a plain matrix.
//
// With squared distances d_ij = ||x_i - c_j||^2 the memberships are
//
//	u_ij = d_ij^(-1/(m-1)) / sum_l d_il^(-1/(m-1))
//
// the centres c_j = sum_i u_ij^m x_i / sum_i u_ij^m, and the objective is
// J = sum_ij u_ij^m d_ij. One iteration is memberships, then centres. Both are
// done in one read of the data, block by block, so no n x k matrix exists
// while fitting; the memory of a fit is one transposed copy of the data, or none
// with Options.InPlace.
//
// Every result is the same to the last bit for any number of goroutines.
package fcm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
)

// Errors of [Fit] that callers tell apart. They are wrapped with the place
// and the numbers at fault.
var (
	// ErrFuzzifier rejects m <= 1.01, where memberships are hard in all but
	// name (choose Options.Hard for that), and m so large that u^m vanishes.
	ErrFuzzifier = errors.New("the fuzzifier m must be above 1.01 and not so large that memberships vanish")
	// ErrNotFinite rejects NaN and infinite values.
	ErrNotFinite = errors.New("the data holds a value that is not a finite number: fill or remove it before clustering")
	// ErrTooLarge rejects values whose squares would overflow.
	ErrTooLarge = errors.New("the data holds a value above 1e145 in size, whose squares overflow: standardise the columns before clustering")
	// ErrShape rejects n < k, k < 1 and d < 1.
	ErrShape = errors.New("clustering needs at least one column, one cluster, and as many rows as clusters")
	// ErrOptions rejects contradictory or negative options.
	ErrOptions = errors.New("the clustering options do not fit together")
)

// DefaultStarts is what Options.Starts means where it is 0.
const DefaultStarts = 10

// largest is the bound on |x| that keeps sums of squared distances finite.
const largest = 1e145

// defaultSampleSize is that of Options.SampleSize.
const defaultSampleSize = 5000

// Options tune a fit. The zero value is the published default of every field.
type Options struct {
	// M is the fuzzifier m; 0 means 2.
	M float64
	// MaxIterations bounds the passes over all rows; 0 means 150.
	MaxIterations int
	// Tolerance ends the fit once no centre moves further than this within one
	// iteration, measured in standard deviations of the columns; 0 means 1e-5.
	Tolerance float64
	// ExactIterations runs exactly MaxIterations passes and never stops early.
	ExactIterations bool
	// Starts is the number of k-means++ starts, 0 means 10. They run on a
	// sample, and the one of lowest objective is continued on all rows.
	Starts int
	// MoreStarts are added where Starts do not all end in one optimum.
	MoreStarts int
	// SampleSize bounds the rows the starts run on; 0 means 5000.
	SampleSize int
	// Seed decides the sample and the starts.
	Seed uint64
	// Workers bounds the goroutines; 0 means GOMAXPROCS.
	Workers int
	// Plain switches acceleration off: Anderson's, and the sample that Init is carried on on first.
	Plain bool
	// Hard fits k-means by Lloyd's iteration: memberships are 0 or 1.
	Hard bool
	// InPlace rearranges x while [Fit] runs, which spares a copy of it, and puts it
	// back before Fit returns: nobody else may look at x meanwhile. An x that the
	// starts need no sample of is copied all the same.
	InPlace bool
	// Init holds k x d centres, row-major: one start from there. With 5,000 rows or more, and 200 a cluster, it is
	// carried on on a tenth of them first, SampleSize at most, unless Plain, Hard or ExactIterations.
	Init []float64
	// Progress, if set, is called after each accepted pass over all rows with the
	// objective at the centres the pass began with and the largest move of a
	// centre in standard deviations. It runs on the goroutine that called Fit.
	Progress func(iteration int, change, objective float64)
}

// Result is a fitted clustering.
type Result struct {
	// K clusters in D columns.
	K, D int
	// Centers are k x d, row-major.
	Centers []float64
	// Objective is the sum of u^m d^2 at Centers.
	Objective float64
	// Iterations are the passes over all rows, without those of the starts on
	// a sample and without the last one, which only reads off this result.
	Iterations int
	// Converged tells whether the last move was below the tolerance.
	Converged bool
	// Coincident tells that two centres are closer than 1e-3 of the spread,
	// the root mean squared distance of the rows from their mean: there are
	// fewer than K clusters to be found.
	Coincident bool
	// Labels name the cluster of highest membership for each row; of equal
	// ones the lowest index.
	Labels []int32
	// Sizes count Labels.
	Sizes []int
	// FuzzySizes are the sums of the memberships.
	FuzzySizes []float64
	// PartitionCoefficient is (k*mean(sum_j u^2) - 1)/(k - 1): 1 for a hard
	// partition, 0 for memberships of 1/k everywhere; 1 for k = 1.
	PartitionCoefficient float64
	// XieBeni is J / (n * smallest squared distance of two centres), lower is
	// better (Xie and Beni 1991); NaN for coincident centres and for k = 1.
	XieBeni float64
}

// Fit clusters the n x d row-major matrix x into k clusters. x is not
// standardised here and, in the end, not changed. It panics only if len(x) != n*d.
func Fit(ctx context.Context, x []float64, n, d, k int, opts Options) (*Result, error) {
	// Starts look at the rows of x themselves where they need no sample.
	m, err := newMatrix(ctx, x, n, d, opts.Workers, opts.InPlace && n > max(defaultSampleSize, opts.SampleSize, k))
	if err != nil {
		return nil, err
	}
	defer m.giveBack()
	return m.Fit(ctx, k, opts)
}

// Fit clusters the matrix into k clusters.
func (p *Matrix) Fit(ctx context.Context, k int, opts Options) (*Result, error) {
	switch {
	case k < 1:
		return nil, fmt.Errorf("%w: %d clusters asked for", ErrShape, k)
	case p.n < k:
		return nil, fmt.Errorf("%w: %d rows for %d clusters", ErrShape, p.n, k)
	}
	opts, err := opts.withDefaults(p.d, k)
	if err != nil {
		return nil, err
	}
	centers, err := p.start(ctx, k, opts)
	if err != nil {
		return nil, err
	}
	f := p.fitter(k, opts, opts.Workers)
	run, err := f.descend(ctx, centers, descent{
		maxIterations: opts.MaxIterations, tolerance: opts.Tolerance, exact: opts.ExactIterations,
		accelerate: opts.accelerated(), progress: opts.Progress,
	})
	if err != nil {
		return nil, err
	}
	return f.summarise(ctx, run)
}

// accelerated tells whether steps are extrapolated. Lloyd's iteration ends after finitely many plain ones.
func (o Options) accelerated() bool { return !o.Plain && !o.Hard }

func (o Options) withDefaults(d, k int) (Options, error) {
	if o.M == 0 {
		o.M = 2
	}
	if !o.Hard {
		if err := CheckFuzzifier(o.M, k); err != nil {
			return o, err
		}
	}
	if o.MaxIterations < 0 || o.Starts < 0 || o.MoreStarts < 0 || o.SampleSize < 0 || o.Workers < 0 || o.Tolerance < 0 || math.IsNaN(o.Tolerance) {
		return o, fmt.Errorf("%w: iterations, starts, sample size, workers and tolerance cannot be negative", ErrOptions)
	}
	if o.MaxIterations == 0 {
		o.MaxIterations = 150
	}
	if o.Tolerance == 0 {
		o.Tolerance = 1e-5
	}
	if o.Starts == 0 {
		o.Starts = DefaultStarts
	}
	if o.SampleSize == 0 {
		o.SampleSize = defaultSampleSize
	}
	if o.SampleSize < k {
		o.SampleSize = k
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Init != nil && len(o.Init) != k*d {
		return o, fmt.Errorf("%w: %d starting values given where %d centres of %d columns need %d", ErrOptions, len(o.Init), k, d, k*d)
	}
	for i, v := range o.Init {
		if !(math.Abs(v) <= largest) {
			return o, fmt.Errorf("%w: starting centre %d is %v in column %d", ErrNotFinite, i/d, v, i%d)
		}
	}
	return o, nil
}

// CheckFuzzifier says whether m serves k clusters: it must be above 1.01, and
// k^-m, the weight of a row between all centres, must not underflow.
func CheckFuzzifier(m float64, k int) error {
	if !(m > 1.01) || m*math.Log10(float64(max(k, 10))) > 250 {
		return fmt.Errorf("%w: m = %v with %d clusters", ErrFuzzifier, m, k)
	}
	return nil
}
