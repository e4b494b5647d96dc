package fcm

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func normal(seed uint64, size int) []float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := make([]float64, size)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x
}

// The vector loops, where this build and processor have them, agree with the plain ones.
func TestKernelsAgree(t *testing.T) {
	t.Parallel()
	agree(t, bestKernel())
}

func agree(t *testing.T, tested kernel) {
	t.Helper()
	for d := 1; d <= 17; d++ {
		for k := 1; k <= 7; k++ {
			panel, centers := normal(uint64(d), d*panelRows), normal(uint64(k), k*d)
			run := func(kn kernel) []float64 {
				block, lanes := make([]float64, k*panelRows), make([]float64, k*(d+1)*strands)
				var rowJ lane
				kn.distances(block, panel, centers, d, k)
				kn.shareTwo(block, &rowJ, k, true)
				kn.accumulate(lanes, block, panel, d, k)
				out := []float64{total(&rowJ)}
				for i := 0; i < len(lanes); i += strands {
					out = append(out, addStrands(lanes[i:]))
				}
				return out
			}
			want, got := run(plainKernel), run(tested)
			for i := range want {
				if math.Abs(want[i]-got[i]) > 1e-12*max(1, math.Abs(want[i])) {
					t.Fatalf("d=%d k=%d sum %d: %v, plain %v", d, k, i, got[i], want[i])
				}
			}
		}
	}
}

func TestAnyNumberOfWorkers(t *testing.T) {
	t.Parallel()
	const n, d, k = 9000, 3, 4
	x := normal(5, n*d)
	for _, opts := range []Options{{Seed: 3}, {Seed: 3, M: 1.6, Starts: 2}, {Seed: 3, Hard: true}} {
		opts.MaxIterations = 40
		var first *Result
		for _, workers := range []int{1, 2, 7} {
			opts.Workers = workers
			r, err := Fit(t.Context(), x, n, d, k, opts)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = r
			}
			if !slices.Equal(r.Centers, first.Centers) || r.Objective != first.Objective || !slices.Equal(r.Labels, first.Labels) {
				t.Errorf("%d workers gave another result", workers)
			}
		}
	}
}

func TestObjectiveNeverRises(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		const n, d = 700, 3
		last := math.Inf(1)
		x := normal(seed, n*d)
		_, err := Fit(t.Context(), x, n, d, 5, Options{Seed: seed, Init: x[:5*d], Progress: func(_ int, _, objective float64) {
			if objective > last*(1+1e-12) {
				t.Errorf("objective rose from %v to %v", last, objective)
			}
			last = objective
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadData(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		x       []float64
		n, d, k int
		opts    Options
		want    error
	}{
		{[]float64{1, math.NaN()}, 2, 1, 1, Options{}, ErrNotFinite},
		{[]float64{1, math.Inf(1)}, 2, 1, 1, Options{}, ErrNotFinite},
		{[]float64{1, 1e308}, 2, 1, 2, Options{}, ErrTooLarge},
		{[]float64{1}, 1, 1, 2, Options{}, ErrShape},
		{nil, 3, 0, 1, Options{}, ErrShape},
		{[]float64{1, 2}, 2, 1, 0, Options{}, ErrShape},
		{[]float64{1, 2}, 2, 1, 1, Options{M: 1.01}, ErrFuzzifier},
		{[]float64{1, 2}, 2, 1, 1, Options{Init: []float64{1, 2}}, ErrOptions},
	} {
		if _, err := Fit(t.Context(), c.x, c.n, c.d, c.k, c.opts); !errors.Is(err, c.want) {
			t.Errorf("%v with k = %d: %v, want %v", c.x, c.k, err, c.want)
		}
	}
	same, err := Fit(t.Context(), make([]float64, 40), 20, 2, 3, Options{})
	if err != nil || !same.Coincident || same.Objective > 1e-200 {
		t.Errorf("constant data: %+v, %v", same, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Fit(ctx, normal(1, 20), 10, 2, 2, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
