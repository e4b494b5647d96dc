package fcm

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"testing"
)

// A linear map of five numbers is solved once as many differences are known.
func TestAndersonSolvesLinearMaps(t *testing.T) {
	t.Parallel()
	want := []float64{3, -1, 4, 1, -5}
	// Residuals are A (want - c), with A symmetric and its eigenvalues between 0 and 1: 0.9 to 0.001 along skewed axes.
	axes := orthonormal(normal(3, 25))
	next := func(c []float64) []float64 {
		out := slices.Clone(c)
		for a, value := range []float64{0.9, 0.5, 0.1, 0.01, 0.001} {
			along := 0.0
			for i := range c {
				along += axes[a][i] * (want[i] - c[i])
			}
			for i := range out {
				out[i] += value * along * axes[a][i]
			}
		}
		return out
	}
	history := newAnderson(5)
	history.reach = math.Inf(1)
	current := make([]float64, 5)
	for range 8 {
		following := next(current)
		history.extrapolate(current, following, []float64{1})
		current = following
	}
	for i := range want {
		if math.Abs(current[i]-want[i]) > 1e-6 {
			t.Fatalf("after 8 steps %v, want %v", current, want)
		}
	}
}

// orthonormal are five orthonormal rows, by Gram and Schmidt.
func orthonormal(values []float64) [][]float64 {
	var rows [][]float64
	for i := range 5 {
		row := values[5*i : 5*i+5]
		for _, earlier := range rows {
			along := weighted([]float64{1}, row, earlier)
			for j := range row {
				row[j] -= along * earlier[j]
			}
		}
		length := math.Sqrt(weighted([]float64{1}, row, row))
		for j := range row {
			row[j] /= length
		}
		rows = append(rows, row)
	}
	return rows
}

// Where every sum is 0 or infinite there is nothing to extrapolate by, and the plain step stands.
func TestAndersonWithoutDigits(t *testing.T) {
	t.Parallel()
	for _, size := range []float64{0, 1e-170, 1e145, math.Inf(1)} {
		history := newAnderson(2)
		for i := range 6 {
			current := []float64{size * float64(i), -size}
			next := []float64{size * float64(i+1), size}
			plain := slices.Clone(next)
			if history.extrapolate(current, next, []float64{1, 0.5}) {
				for _, v := range next {
					if !(math.Abs(v) <= largest) {
						t.Errorf("values of %v: extrapolated to %v", size, next)
					}
				}
			} else if !slices.Equal(next, plain) && !math.IsInf(size, 1) {
				t.Errorf("values of %v: no extrapolation, but %v became %v", size, plain, next)
			}
		}
	}
}

// A start from a sample's optimum, which a smaller sample would only spoil, stays; a far one is carried on.
func TestWarmUp(t *testing.T) {
	t.Parallel()
	const n, d, k = 8000, 3, 4
	x := normal(2, n*d)
	for i := range n {
		x[i*d+i%d] += float64(3 * (i % k))
	}
	fit := func(opts Options) *Result {
		opts.Seed = 1
		r, err := Fit(t.Context(), x, n, d, k, opts)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	half, err := Fit(t.Context(), x[:n/2*d], n/2, d, k, Options{Seed: 1, Starts: 1})
	if err != nil {
		t.Fatal(err)
	}
	far := x[:k*d]
	matrix, err := NewMatrix(t.Context(), x, n, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := Options{Init: half.Centers}.withDefaults(d, k)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		init  []float64
		stays bool
	}{{"an optimum of half the rows", half.Centers, true}, {"the first rows", far, false}} {
		opts.Init = c.init
		start, err := matrix.start(t.Context(), k, opts)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(start, c.init) != c.stays {
			t.Errorf("%s became %v, was %v", c.name, start, c.init)
		}
	}
	warm, plain := fit(Options{Init: far}), fit(Options{Init: far, Plain: true})
	t.Logf("%d passes, plain %d", warm.Iterations, plain.Iterations)
	if math.Abs(warm.Objective/plain.Objective-1) > 1e-8 {
		t.Errorf("objective %v, by plain passes %v", warm.Objective, plain.Objective)
	}
	exact := fit(Options{Init: far, ExactIterations: true, MaxIterations: 3})
	if same := fit(Options{Init: far, ExactIterations: true, MaxIterations: 3, SampleSize: 1000}); !slices.Equal(exact.Centers, same.Centers) {
		t.Error("exact iterations depend on a sample")
	}
}

// countdown is a context that is cancelled when it has been looked at so many times; it counts the looks since.
type countdown struct {
	context.Context
	left, late atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) >= 0 {
		return nil
	}
	c.late.Add(1)
	return context.Canceled
}

func (c *countdown) Done() <-chan struct{} { panic("fits look at Err") }

// A fit looks at its context before every panel, some microseconds of work, and ends at the next look after it was
// cancelled. So it is whichever part it is in: copying, sampling, starts, passes, or reading off the result.
func TestCancelledAnywhere(t *testing.T) {
	t.Parallel()
	const n, d, k = 6000, 3, 4
	x := normal(5, n*d)
	for name, opts := range map[string]Options{
		"starts":    {Seed: 3, Starts: 3, SampleSize: 1000},
		"from init": {Seed: 3, Init: x[:k*d]},
		"hard":      {Seed: 3, Starts: 2, SampleSize: 1000, Hard: true},
		"fuzzier":   {Seed: 3, Starts: 1, SampleSize: 1000, M: 3},
	} {
		opts.MaxIterations = 8
		for _, workers := range []int{1, 3} {
			opts.Workers = workers
			run := func(looks int64) (*countdown, *Result, error) {
				ctx := &countdown{Context: t.Context()}
				ctx.left.Store(looks)
				r, err := Fit(ctx, x, n, d, k, opts)
				return ctx, r, err
			}
			const plenty = 1 << 40
			whole, r, err := run(plenty)
			if err != nil {
				t.Fatal(err)
			}
			looks := plenty - whole.left.Load()
			panels := int64((n + panelRows - 1) / panelRows)
			if least := panels * int64(r.Iterations+2); looks < least { // copying and reading off beside the passes
				t.Fatalf("%s: %d looks at the context for %d panels of work", name, looks, least)
			}
			for at := int64(0); at < looks; at += 1 + looks/30 {
				ctx, _, err := run(at)
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("%s, %d workers: cancelled at look %d of %d: %v", name, workers, at, looks, err)
				}
				// Every goroutine sees it once in its panel and once in its loop, and so do the functions around them.
				if late := ctx.late.Load(); late > int64(2*workers+6) {
					t.Fatalf("%s, %d workers: went on for %d looks after it was cancelled at look %d", name, workers, late, at)
				}
			}
		}
	}
}
