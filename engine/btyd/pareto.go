package btyd

import (
	"math"

	"gonum.org/v1/gonum/integrate/quad"
)

// ParetoNBD is the model of Schmittlein, Morrison, Colombo 1987: purchases are Poisson with rate Gamma(r, alpha), and
// the time to dropout is exponential with rate Gamma(s, beta).
type ParetoNBD struct {
	R     float64 `json:"r"`
	Alpha float64 `json:"alpha"`
	S     float64 `json:"s"`
	Beta  float64 `json:"beta"`
}

var _ Model = ParetoNBD{}

// Name returns pareto_nbd.
func (ParetoNBD) Name() string { return "pareto_nbd" }

// ParameterNames returns r, alpha, s, beta.
func (ParetoNBD) ParameterNames() []string { return []string{"r", "alpha", "s", "beta"} }

// Parameters returns r, alpha, s, beta.
func (m ParetoNBD) Parameters() []float64 { return []float64{m.R, m.Alpha, m.S, m.Beta} }

// Active is the purchase process without dropout.
func (m ParetoNBD) Active() NBD { return NBD{R: m.R, Alpha: m.Alpha} }

// LogLikelihood integrates over the time of dropout (Fader, Hardie 2005, "A note on deriving the Pareto/NBD model",
// eq. 17 before the integral is written as a difference of two 2F1, which cancels).
func (m ParetoNBD) LogLikelihood(h History) float64 {
	return m.Active().LogLikelihood(h) - m.S*math.Log1p(h.T/m.Beta) + softplus(m.dropoutOdds(h))
}

// PAlive is 1 where the last purchase is now.
func (m ParetoNBD) PAlive(h History) float64 { return survival(m.dropoutOdds(h)) }

// dropoutOdds is the logarithm of P(dropped out)/P(alive).
func (m ParetoNBD) dropoutOdds(h History) float64 {
	d := dropout{m: m.R + float64(h.X), s: m.S, alpha: m.Alpha, beta: m.Beta, from: h.Tx, to: h.T}
	return d.odds(d.integral())
}

// NoPurchase adds the customers who have dropped out, those who drop out before their next purchase, and those who stay
// without one.
func (m ParetoNBD) NoPurchase(h History, weeks float64) float64 {
	if !(weeks > 0) {
		return 1
	}
	// Given that the customer is alive at T, both rates are Gamma again, with (r+x, alpha+T) and (s, beta+T).
	d := dropout{m: m.R + float64(h.X), s: m.S, alpha: m.Alpha + h.T, beta: m.Beta + h.T, to: weeks}
	stays := math.Exp(-d.m*math.Log1p(weeks/d.alpha) - d.s*math.Log1p(weeks/d.beta))
	leaves := d.s / d.beta * d.integral()
	return noPurchase(m.dropoutOdds(h), stays+leaves)
}

// Expected is eq. 41 of the note of Fader, Hardie 2005, continued through its removable 0/0 at s = 1.
func (m ParetoNBD) Expected(h History, weeks float64) float64 {
	if !(weeks > 0) {
		return 0
	}
	lasting := math.Log1p(weeks / (m.Beta + h.T))
	if m.S != 1 {
		lasting = -math.Expm1((1-m.S)*lasting) / (m.S - 1)
	}
	return m.PAlive(h) * m.Active().Rate(h.X, h.T) * (m.Beta + h.T) * lasting
}

// ExpectedNew is r beta/(alpha (s-1)) (1 - (beta/(beta+t))^(s-1)).
func (m ParetoNBD) ExpectedNew(weeks float64) float64 { return m.Expected(History{}, weeks) }

// dropout is the part of the likelihood that belongs to customers who left between from and to without a purchase in
// between.
type dropout struct{ m, s, alpha, beta, from, to float64 }

// odds is the logarithm of P(left)/P(stayed until to), given the integral.
func (d *dropout) odds(integral float64) float64 {
	return math.Log(d.s*integral/(d.beta+d.from)) +
		d.m*logRatio(d.alpha, d.to, d.from) + d.s*logRatio(d.beta, d.to, d.from)
}

// integral is integral_from^to ((alpha+u)/(alpha+from))^-m ((beta+u)/(beta+from))^-(s+1) du: positive, at most to-from.
func (d *dropout) integral() float64 { return d.moments().integral }

// moments are the integral and, for the gradient, the means of ln((alpha+u)/(alpha+from)), ln((beta+u)/(beta+from)),
// 1/(alpha+u) and 1/(beta+u) weighted by its integrand.
type moments struct{ integral, logA, logB, inverseA, inverseB float64 }

// moments integrates over v = ln(c+u), c the smaller of alpha and beta. That choice keeps the singularities of both
// powers off the real line by pi, whatever the parameters are. The range ends where the integrand has fallen by e^-45,
// and is cut into pieces short enough for the rule.
func (d *dropout) moments() moments {
	const decay = 45
	end := min(d.to,
		(d.alpha+d.from)*math.Exp(decay/d.m)-d.alpha,
		(d.beta+d.from)*math.Exp(decay/(d.s+1))-d.beta)
	if !(end > d.from) {
		return moments{}
	}
	c, other, powerC, powerO := d.alpha, d.beta, d.m, d.s+1
	if d.beta < d.alpha {
		c, other, powerC, powerO = other, c, powerO, powerC
	}
	gap, startC, startO := other-c, c+d.from, other+d.from
	length := logRatio(c, end, d.from)
	fall := powerC*length + powerO*logRatio(other, end, d.from)
	rule, pieces := legendre32, math.Ceil(length/6)
	if length < 1.5 && fall < 12 {
		rule, pieces = legendre16, 1
	}

	var integral, logC, logO, inverseC, inverseO float64
	width := length / pieces
	for piece := range int(pieces) {
		for i, node := range rule.nodes {
			v := width * (float64(piece) + node) // ln((c+u)/(c+from))
			near := startC * math.Exp(v)
			far := near + gap
			far0 := math.Log(far / startO)
			weight := rule.weights[i] * width * near * math.Exp(-powerC*v-powerO*far0)
			integral += weight
			logC += weight * v
			logO += weight * far0
			inverseC += weight / near
			inverseO += weight / far
		}
	}
	if !(integral > 0) {
		return moments{}
	}
	m := moments{integral, logC / integral, logO / integral, inverseC / integral, inverseO / integral}
	if d.beta < d.alpha {
		m.logA, m.logB, m.inverseA, m.inverseB = m.logB, m.logA, m.inverseB, m.inverseA
	}
	return m
}

// rule is a Gauss-Legendre rule on [0,1].
type rule struct{ nodes, weights []float64 }

func newRule(n int) *rule {
	r := &rule{nodes: make([]float64, n), weights: make([]float64, n)}
	quad.Legendre{}.FixedLocations(r.nodes, r.weights, 0, 1)
	return r
}

var (
	legendre16 = newRule(16)
	legendre32 = newRule(32)
)
