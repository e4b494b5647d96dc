package fcm

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
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

func TestAnyNumberOfWorkers(t *testing.T) {
	t.Parallel()
	const n, d, k = 6000, 3, 4
	x := normal(5, n*d)
	for _, opts := range []Options{{Seed: 3}, {Seed: 3, M: 1.6}, {Seed: 3, Hard: true}, {Seed: 3, Init: x[:k*d]}} {
		opts.MaxIterations, opts.Starts = 15, 3
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

// Fits of several k at the same time on one matrix are those of a matrix each.
func TestSharedMatrix(t *testing.T) {
	t.Parallel()
	const n, d = 3000, 4
	x := normal(6, n*d)
	matrix, err := NewMatrix(t.Context(), x, n, d, 2)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for k := 2; k <= 5; k++ {
		group.Go(func() {
			opts := Options{Seed: 9, Starts: 2, MaxIterations: 30, SampleSize: 1000}
			got, err := matrix.Fit(t.Context(), k, opts)
			if err != nil {
				t.Error(err)
				return
			}
			want, err := Fit(t.Context(), x, n, d, k, opts)
			if err != nil {
				t.Error(err)
				return
			}
			if got.Objective != want.Objective || !slices.Equal(got.Centers, want.Centers) {
				t.Errorf("k = %d: objective %v, alone %v", k, got.Objective, want.Objective)
			}
		})
	}
	group.Wait()
}

// Two centres are one below a thousandth of the spread, the root of the sum of the columns' variances.
func TestCoincident(t *testing.T) {
	t.Parallel()
	x := []float64{0, 10, 4, 10, 0, 14, 4, 14} // two columns with a variance of 4 each
	matrix, err := NewMatrix(t.Context(), x, 4, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	f := matrix.fitter(3, Options{M: 2}, 1)
	for share, want := range map[float64]bool{0: true, 0.99e-3: true, 1.01e-3: false} {
		r, err := f.summarise(t.Context(), outcome{centers: []float64{1, 10, 3, 13, 1 + share*math.Sqrt(8), 10}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Coincident != want || math.IsNaN(r.XieBeni) != want {
			t.Errorf("centres %v of the spread apart: coincident %v, Xie-Beni %v", share, r.Coincident, r.XieBeni)
		}
	}
	r, err := matrix.Fit(t.Context(), 3, Options{Init: []float64{1, 10, 3, 13, 1, 10}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Coincident {
		t.Errorf("equal starting centres parted: %v", r.Centers)
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
