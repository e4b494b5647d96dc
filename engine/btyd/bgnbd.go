package btyd

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// BGNBD is the model of Fader, Hardie, Lee 2005 ("Counting your customers" the easy way): purchases are Poisson with
// rate Gamma(r, alpha); after each repeat purchase the customer drops out with probability Beta(a, b).
//
// It gives every customer without a repeat purchase P(alive) = 1; MBGNBD does not.
type BGNBD struct {
	R     float64 `json:"r"`
	Alpha float64 `json:"alpha"`
	A     float64 `json:"a"`
	B     float64 `json:"b"`
}

// MBGNBD is the modified model of Batislam, Denizel, Filiztekin 2007: as BGNBD, but customers may also drop out right
// after the first purchase.
type MBGNBD struct {
	R     float64 `json:"r"`
	Alpha float64 `json:"alpha"`
	A     float64 `json:"a"`
	B     float64 `json:"b"`
}

var (
	_ Model = BGNBD{}
	_ Model = MBGNBD{}
)

// Name returns bg_nbd.
func (BGNBD) Name() string { return "bg_nbd" }

// ParameterNames returns r, alpha, a, b.
func (BGNBD) ParameterNames() []string { return []string{"r", "alpha", "a", "b"} }

// Parameters returns r, alpha, a, b.
func (m BGNBD) Parameters() []float64 { return []float64{m.R, m.Alpha, m.A, m.B} }

// Active is the purchase process without dropout.
func (m BGNBD) Active() NBD { return NBD{R: m.R, Alpha: m.Alpha} }

// LogLikelihood is eq. 6 of Fader, Hardie, Lee 2005 in logarithms.
func (m BGNBD) LogLikelihood(h History) float64 {
	return logRisingBeta(m.A, m.B, h.X) + m.Active().LogLikelihood(h) + softplus(m.dropoutOdds(h))
}

// PAlive is 1 for customers without a repeat purchase.
func (m BGNBD) PAlive(h History) float64 { return survival(m.dropoutOdds(h)) }

// dropoutOdds is the logarithm of P(dropped out)/P(alive).
func (m BGNBD) dropoutOdds(h History) float64 {
	if h.X == 0 {
		return math.Inf(-1)
	}
	x := float64(h.X)
	return math.Log(m.A/(m.B+x-1)) + (m.R+x)*logRatio(m.Alpha, h.T, h.Tx)
}

// NoPurchase is 1 - P(alive) (1 - ((alpha+T)/(alpha+T+weeks))^(r+x)).
func (m BGNBD) NoPurchase(h History, weeks float64) float64 {
	if !(weeks > 0) {
		return 1
	}
	return noPurchase(m.dropoutOdds(h), m.Active().NoPurchase(h, weeks))
}

// Expected is eq. 10 of Fader, Hardie, Lee 2005 in a form that stays finite for large x.
func (m BGNBD) Expected(h History, weeks float64) float64 {
	x := float64(h.X)
	return m.PAlive(h) * expectedWhileAlive(m.R+x, m.A, m.B+x, weeks/(m.Alpha+h.T))
}

// ExpectedNew is eq. 9 of Fader, Hardie, Lee 2005.
func (m BGNBD) ExpectedNew(weeks float64) float64 { return m.Expected(History{}, weeks) }

// Probability is the probability that a new customer makes n repeat purchases in the weeks after the first (eq. 8 of
// Fader, Hardie, Lee 2005). It is 0 for negative n.
func (m BGNBD) Probability(n int, weeks float64) float64 {
	switch {
	case n < 0:
		return 0
	case !(weeks > 0):
		return certainlyNone(n)
	}
	alive := math.Exp(logRisingBeta(m.A, m.B, n) + m.Active().logProbability(n, weeks))
	if n == 0 {
		return alive
	}
	stopped := math.Exp(logRisingBeta(m.A, m.B, n-1)) * m.A / (m.A + m.B + float64(n-1))
	return alive + stopped*m.Active().atLeast(n, weeks)
}

// Name returns mbg_nbd.
func (MBGNBD) Name() string { return "mbg_nbd" }

// ParameterNames returns r, alpha, a, b.
func (MBGNBD) ParameterNames() []string { return []string{"r", "alpha", "a", "b"} }

// Parameters returns r, alpha, a, b.
func (m MBGNBD) Parameters() []float64 { return []float64{m.R, m.Alpha, m.A, m.B} }

// Active is the purchase process without dropout.
func (m MBGNBD) Active() NBD { return NBD{R: m.R, Alpha: m.Alpha} }

// LogLikelihood is the density of Batislam, Denizel, Filiztekin 2007 in logarithms.
func (m MBGNBD) LogLikelihood(h History) float64 {
	return logRisingBeta(m.A, m.B, h.X+1) + m.Active().LogLikelihood(h) + softplus(m.dropoutOdds(h))
}

// PAlive is below 1 even for customers without a repeat purchase.
func (m MBGNBD) PAlive(h History) float64 { return survival(m.dropoutOdds(h)) }

func (m MBGNBD) dropoutOdds(h History) float64 {
	x := float64(h.X)
	return math.Log(m.A/(m.B+x)) + (m.R+x)*logRatio(m.Alpha, h.T, h.Tx)
}

// NoPurchase is 1 - P(alive) (1 - ((alpha+T)/(alpha+T+weeks))^(r+x)).
func (m MBGNBD) NoPurchase(h History, weeks float64) float64 {
	if !(weeks > 0) {
		return 1
	}
	return noPurchase(m.dropoutOdds(h), m.Active().NoPurchase(h, weeks))
}

// Expected has the form of BG/NBD with b+1 in the place of b.
func (m MBGNBD) Expected(h History, weeks float64) float64 {
	x := float64(h.X)
	return m.PAlive(h) * expectedWhileAlive(m.R+x, m.A, m.B+x+1, weeks/(m.Alpha+h.T))
}

// ExpectedNew counts from the first purchase on, which b/(a+b) of the customers survive.
func (m MBGNBD) ExpectedNew(weeks float64) float64 { return m.Expected(History{}, weeks) }

// Probability is the probability that a new customer makes n repeat purchases in the weeks after the first: alive after
// n+1 chances to drop out, or dropped out at the last of them. It is 0 for negative n.
func (m MBGNBD) Probability(n int, weeks float64) float64 {
	switch {
	case n < 0:
		return 0
	case !(weeks > 0):
		return certainlyNone(n)
	}
	alive := math.Exp(logRisingBeta(m.A, m.B, n+1) + m.Active().logProbability(n, weeks))
	stopped := math.Exp(logRisingBeta(m.A, m.B, n)) * m.A / (m.A + m.B + float64(n))
	return alive + stopped*m.Active().atLeast(n, weeks)
}

// logRisingBeta is lnB(a, b+n) - lnB(a, b): the logarithm of the chance to survive n chances to drop out.
func logRisingBeta(a, b float64, n int) float64 {
	up, _ := logRising(b, n)
	down, _ := logRising(a+b, n)
	return up - down
}

// logRatio is ln((alpha+T)/(alpha+t_x)).
func logRatio(alpha, t, tx float64) float64 { return math.Log1p((t - tx) / (alpha + tx)) }

// logProbability is the logarithm of the negative binomial probability of n purchases in the weeks.
func (m NBD) logProbability(n int, weeks float64) float64 {
	rise, _ := logRising(m.R, n)
	w := weeks / (m.Alpha + weeks)
	return rise - logGamma(float64(n)+1) + m.R*math.Log(m.Alpha/(m.Alpha+weeks)) + float64(n)*math.Log(w)
}

// atLeast is the negative binomial probability of n or more purchases in the weeks.
func (m NBD) atLeast(n int, weeks float64) float64 {
	if n == 0 {
		return 1
	}
	return mathext.RegIncBeta(float64(n), m.R, weeks/(m.Alpha+weeks))
}

func certainlyNone(n int) float64 {
	if n == 0 {
		return 1
	}
	return 0
}
