package btyd

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// logRising is lnG(z+n) - lnG(z) and its derivative in z. For small n it adds logarithms: the difference of two large
// lnG would lose the digits that matter when a parameter runs to infinity.
func logRising(z float64, n int) (value, derivative float64) {
	if n > 64 {
		return logGamma(z+float64(n)) - logGamma(z), mathext.Digamma(z+float64(n)) - mathext.Digamma(z)
	}
	for j := range n {
		value += math.Log(z + float64(j))
		derivative += 1 / (z + float64(j))
	}
	return value, derivative
}

func logGamma(z float64) float64 {
	v, _ := math.Lgamma(z)
	return v
}

// expectedWhileAlive is the expected number of purchases of a customer who is alive now, has posterior rate
// Gamma(m, s) and posterior dropout probability Beta(a, n), in w = t/s of the time scale s = alpha + T:
//
//	integral_0^1 (1 - (1+pw)^-m)/p Beta(p; a, n) dp
//
// For BG/NBD m = r+x and n = b+x; for MBG/NBD n = b+x+1. The power series comes first; where it loses digits or
// converges too slowly (w in the hundreds, r far above a+b) the integral is computed.
func expectedWhileAlive(m, a, n, w float64) float64 {
	if !(w > 0) {
		return 0
	}
	if v, ok := expectedBySeries(m, a, n, w); ok {
		return v
	}
	return expectedByIntegral(m, a, n, w)
}

// expectedBySeries is (a+n-1)/(a-1) (1 - (1-z)^(a-1) 2F1(a-1, a+n-1-m; a+n-1; z)), z = w/(1+w), the Euler-transformed
// form of Fader, Hardie, Lee 2005, eq. 10. With A = a-1 and C = a+n-1 it is written as
//
//	C (1 - (1-z)^A)/A - (1-z)^A sum_{k>=1} (A+1)_{k-1} (C-m)_k / ((C+1)_{k-1} k!) z^k
//
// which has lost the removable 0/0 at a = 1 and at a+n = 1. ok is false where fewer than about nine digits are certain.
func expectedBySeries(m, a, n, w float64) (value float64, ok bool) {
	const maxTerms = 4000
	shift, c := a-1, a+n-1
	z, logw := w/(1+w), math.Log1p(w)

	first := c * logw
	if shift != 0 {
		first = c * -math.Expm1(-shift*logw) / shift
	}
	factor := math.Exp(-shift * logw)

	term := (c - m) * z
	sum, size := term, math.Abs(term)
	rest := z / (1 - z) // what follows a term is at most this multiple of it once terms shrink as z^k
	for k := 1.0; math.Abs(term)*rest > 1e-17*size; k++ {
		if k > maxTerms {
			return 0, false
		}
		term *= (shift + k) * (c - m + k) / ((c + k) * (k + 1)) * z
		sum += term
		size += math.Abs(term)
	}

	value = first - factor*sum
	lost := 1e-16 * (math.Abs(first) + factor*size)
	return value, value > 0 && !math.IsInf(value, 1) && lost < 1e-9*value
}

// expectedByIntegral computes the integral of expectedWhileAlive by the trapezoidal rule in tau, logit p = centre +
// width sinh tau. The integrand is positive and analytic in a strip around the real line, so the rule converges
// exponentially; sinh reaches the slow tails that a or n near 0 leave.
func expectedByIntegral(m, a, n, w float64) float64 {
	const step = 0.02
	centre := math.Log(a / n)
	width := math.Min(1, math.Sqrt(1/a+1/n))
	logBeta := mathext.Lbeta(a, n)

	low := -math.Asinh((20 + 70/a) / width)
	high := math.Asinh((20 + 70/n) / width)
	sum := 0.0
	for i := math.Ceil(low / step); i <= high/step; i++ {
		tau := i * step
		s := centre + width*math.Sinh(tau)
		logp, logq := -softplus(-s), -softplus(s)
		p := math.Exp(logp)
		f := m * w
		if p > 1e-300 {
			f = -math.Expm1(-m*math.Log1p(p*w)) / p
		}
		sum += math.Exp(a*logp+n*logq-logBeta) * f * math.Cosh(tau)
	}
	return sum * width * step
}
