package btyd

import (
	"fmt"
	"math"
	"testing"

	"gonum.org/v1/gonum/integrate/quad"
	"pgregory.net/rapid"
)

// referenceExpectation is integral_0^1 (1 - (1+pw)^-m)/p Beta(p; a, n) dp by composite Gauss-Legendre in ln p below 1/2
// and in ln(1-p) above, on panels that grow into the tails: no series and no trapezoid, unlike the code under test.
func referenceExpectation(m, a, n, w float64) float64 {
	lga, _ := math.Lgamma(a)
	lgn, _ := math.Lgamma(n)
	lgan, _ := math.Lgamma(a + n)
	logBeta := lga + lgn - lgan
	f := func(p float64) float64 {
		if p < 1e-290 {
			return m * w
		}
		return -math.Expm1(-m*math.Log1p(p*w)) / p
	}
	lower := func(v float64) float64 { // p = e^-v
		return f(math.Exp(-v)) * math.Exp(-a*v+(n-1)*math.Log1p(-math.Exp(-v))-logBeta)
	}
	upper := func(v float64) float64 { // 1-p = e^-v
		return f(-math.Expm1(-v)) * math.Exp(-n*v+(a-1)*math.Log1p(-math.Exp(-v))-logBeta)
	}
	return farTail(lower, math.Ln2, 40+80/a) + farTail(upper, math.Ln2, 40+80/n)
}

func farTail(f func(float64) float64, from, to float64) float64 {
	sum := 0.0
	for low := from; low < to; {
		high := math.Min(to, low+math.Max(0.1, 0.02*low))
		sum += quad.Fixed(f, low, high, 24, quad.Legendre{}, 0)
		low = high
	}
	return sum
}

// The grid reaches x = 10,000 and T = 2,000 weeks, with parameters from the usual to the extreme.
func TestExpectedIsFiniteAndRightEverywhere(t *testing.T) {
	t.Parallel()
	models := []BGNBD{
		{0.243, 4.414, 0.793, 2.426},
		{0.5, 10, 1, 2},
		{0.5, 10, 1 + 1e-9, 2},
		{0.24, 4.4, 1 - 1e-7, 1e-7},
		{0.05, 0.1, 0.3, 0.4},
		{2, 30, 3, 0.2},
		{1, 5, 0.01, 0.5},
		{1, 5, 0.01, 300},
		{0.7, 8, 40, 60},
		{200, 400, 0.4, 1.5},
		{5000, 9000, 0.2, 0.3},
		{0.3, 0.01, 0.9, 0.05},
	}
	for _, m := range models {
		t.Run(fmt.Sprint(m), func(t *testing.T) {
			t.Parallel()
			for _, x := range []int{0, 1, 2, 10, 100, 1000, 10_000} {
				for _, T := range []float64{0, 0.5, 5, 50, 400, 2000} {
					for _, weeks := range []float64{1.0 / 7, 4.345, 52, 520} {
						for _, first := range []float64{0, 1} {
							mm, n, w := m.R+float64(x), m.B+float64(x)+first, weeks/(m.Alpha+T)
							want := referenceExpectation(mm, m.A, n, w)
							got := expectedWhileAlive(mm, m.A, n, w)
							if !(math.Abs(got-want) <= 1e-7*want) {
								t.Errorf("x %d, T %g, weeks %g, first %g: %.12g, want %.12g", x, T, weeks, first, got, want)
							}
						}
					}
				}
			}
		})
	}
}

// Fits whose parameters run away have two limits in closed form: one chance of dropout for all, and none.
func TestExpectedAtTheEdge(t *testing.T) {
	t.Parallel()
	for _, m := range []float64{0.3, 5, 1000, 1.6e5} {
		for _, w := range []float64{1e-4, 0.1, 3, 50} {
			for _, n := range []float64{1.6e5, 2e5, 1e7} {
				const a = 8e4
				p := a / (a + n)
				want := -math.Expm1(-m*math.Log1p(p*w)) / p
				if got := expectedWhileAlive(m, a, n, w); !(math.Abs(got-want) <= 1e-4*want) {
					t.Errorf("m %g, w %g, a %g, n %g: %.9g, for one chance %.9g", m, w, a, n, got, want)
				}
				if got := expectedWhileAlive(m, 1e-9/n, n, w); !(math.Abs(got-m*w) <= 1e-6*m*w) {
					t.Errorf("m %g, w %g, n %g: %.9g, without dropout %.9g", m, w, n, got, m*w)
				}
			}
		}
	}
}

// Both ways to compute the expectation agree where the first one answers at all.
func TestSeriesAgreesWithIntegral(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := math.Exp(rapid.Float64Range(-4, 9).Draw(t, "ln m"))
		a := math.Exp(rapid.Float64Range(-4, 5).Draw(t, "ln a"))
		n := math.Exp(rapid.Float64Range(-4, 9).Draw(t, "ln n"))
		w := math.Exp(rapid.Float64Range(-8, 5).Draw(t, "ln w"))
		want := expectedByIntegral(m, a, n, w)
		if !(want > 0) || math.IsInf(want, 1) {
			t.Fatalf("the integral is %g", want)
		}
		if got, ok := expectedBySeries(m, a, n, w); ok && !(math.Abs(got-want) <= 1e-7*want) {
			t.Fatalf("series %.12g, integral %.12g", got, want)
		}
	})
}
