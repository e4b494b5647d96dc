package fcm_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/quimbi/quimbi/engine/fcm"
)

// blobs draws n rows around k centres that overlap, as customers do.
func blobs(seed uint64, n, d, k int, apart float64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	centers := make([]float64, k*d)
	for i := range centers {
		centers[i] = rng.NormFloat64() * apart
	}
	x := make([]float64, n*d)
	for i := range x {
		x[i] = centers[i/d%k*d+i%d] + rng.NormFloat64()
	}
	return x
}

// spreadRows are k rows of x taken at equal steps: a start for benchmarks and tests.
func spreadRows(x []float64, n, d, k int) []float64 {
	var init []float64
	for j := range k {
		row := (2*j + 1) * n / (2 * k)
		init = append(init, x[row*d:(row+1)*d]...)
	}
	return init
}

// BenchmarkPass measures iterations of 100,000 rows on one goroutine; the metric
// is nanoseconds a row and iteration, reading off the result included.
func BenchmarkPass(b *testing.B) {
	const n, iterations = 100_000, 20
	for _, c := range []struct {
		d, k int
		m    float64
	}{{2, 3, 2}, {4, 5, 2}, {5, 5, 2}, {8, 10, 2}, {14, 7, 2}, {5, 5, 1.5}} {
		b.Run(fmt.Sprintf("d=%d,k=%d,m=%v", c.d, c.k, c.m), func(b *testing.B) {
			x := blobs(1, n, c.d, c.k, 1.5)
			opts := fcm.Options{M: c.m, Init: spreadRows(x, n, c.d, c.k), MaxIterations: iterations, ExactIterations: true, Plain: true, Workers: 1}
			for b.Loop() {
				if _, err := fcm.Fit(b.Context(), x, n, c.d, c.k, opts); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n/iterations, "ns/row")
		})
	}
}

// passSets are rows without clusters, with overlapping and with separate ones, and skewed ones: what customers look like
// once their features are standardised.
func passSets(n int) map[string]struct {
	x []float64
	d int
} {
	skewed := blobs(4, n, 3, 3, 0.8)
	for i, v := range skewed {
		skewed[i] = min(math.Exp(v/2), 6)
	}
	return map[string]struct {
		x []float64
		d int
	}{
		"cloud":    {blobs(1, n, 4, 1, 0), 4},
		"overlap":  {blobs(2, n, 5, 5, 1.5), 5},
		"separate": {blobs(3, n, 8, 10, 3), 8},
		"skewed":   {skewed, 3},
	}
}

// passesOf fits with and without acceleration, from the same rows as centres, at the default tolerance.
func passesOf(tb testing.TB, x []float64, n, d, k int) (fast, plain *fcm.Result) {
	tb.Helper()
	fit := func(without bool) *fcm.Result {
		r, err := fcm.Fit(tb.Context(), x, n, d, k, fcm.Options{Init: spreadRows(x, n, d, k), MaxIterations: 5000, Plain: without})
		if err != nil {
			tb.Fatal(err)
		}
		return r
	}
	return fit(false), fit(true)
}

// BenchmarkPassesToConvergence counts the passes over all rows until no centre moves by 1e-5 standard deviations, with
// and without acceleration, and how far the objective it ends with is above the plain one's (negative if below).
func BenchmarkPassesToConvergence(b *testing.B) {
	const n = 100_000
	for name, set := range passSets(n) {
		for _, k := range []int{3, 5, 8} {
			b.Run(fmt.Sprintf("%s,k=%d", name, k), func(b *testing.B) {
				var fast, plain *fcm.Result
				for b.Loop() {
					fast, plain = passesOf(b, set.x, n, set.d, k)
				}
				b.ReportMetric(float64(fast.Iterations), "passes")
				b.ReportMetric(float64(plain.Iterations), "plain-passes")
				b.ReportMetric(float64(fast.Iterations)/float64(plain.Iterations), "ratio")
				b.ReportMetric(fast.Objective/plain.Objective-1, "objective-excess")
			})
		}
	}
}
