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
	return 1 - m.PAlive(h)*math.Max(0, 1-stays-leaves)
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
func (d *dropout) integral() float64 {
	sum := 0.0
	for _, panel := range d.panels() {
		for i, node := range panel.rule.nodes {
			sum += panel.rule.weights[i] * d.at(panel.low+panel.width*node).weight * panel.width
		}
	}
	return sum
}

// moments are the integral and the means, weighted by its integrand, that the gradient needs.
type moments struct{ integral, logA, logB, inverseA, inverseB float64 }

func (d *dropout) moments() moments {
	var s moments
	for _, panel := range d.panels() {
		for i, node := range panel.rule.nodes {
			p := d.at(panel.low + panel.width*node)
			weight := panel.rule.weights[i] * p.weight * panel.width
			s.integral += weight
			s.logA += weight * p.logA
			s.logB += weight * p.logB
			s.inverseA += weight / p.a
			s.inverseB += weight / p.b
		}
	}
	if s.integral > 0 {
		s.logA /= s.integral
		s.logB /= s.integral
		s.inverseA /= s.integral
		s.inverseB /= s.integral
	}
	return s
}

// point is one node: a = alpha+u, b = beta+u, their logarithms relative to u = from, and the integrand.
type point struct{ a, b, logA, logB, weight float64 }

// at computes the integrand at v = ln(c+u), c the smaller of alpha and beta. That choice puts the singularities of
// both powers off the real line by pi, whatever the parameters are.
func (d *dropout) at(v float64) point {
	c := math.Min(d.alpha, d.beta)
	near := math.Exp(v)
	far := near + math.Abs(d.alpha-d.beta)
	logNear := v - math.Log(c+d.from)
	logFar := math.Log(far / (math.Max(d.alpha, d.beta) + d.from))
	p := point{a: near, b: far, logA: logNear, logB: logFar}
	if d.alpha > d.beta {
		p = point{a: far, b: near, logA: logFar, logB: logNear}
	}
	p.weight = near * math.Exp(-d.m*p.logA-(d.s+1)*p.logB)
	return p
}

type panel struct {
	rule       *rule
	low, width float64
}

// panels cuts the range of v where the integrand has fallen by e^-45, and into pieces short enough for 32 nodes.
func (d *dropout) panels() []panel {
	const decay = 45
	end := min(d.to,
		(d.alpha+d.from)*math.Exp(decay/d.m)-d.alpha,
		(d.beta+d.from)*math.Exp(decay/(d.s+1))-d.beta)
	if !(end > d.from) {
		return nil
	}
	c := math.Min(d.alpha, d.beta)
	low := math.Log(c + d.from)
	length := math.Log1p((end - d.from) / (c + d.from))
	fall := d.m*logRatio(d.alpha, end, d.from) + (d.s+1)*logRatio(d.beta, end, d.from)
	if length < 1.5 && fall < 12 {
		return []panel{{rule: legendre16, low: low, width: length}}
	}
	n := math.Ceil(length / 6)
	all := make([]panel, int(n))
	for i := range all {
		all[i] = panel{rule: legendre32, low: low + length*float64(i)/n, width: length / n}
	}
	return all
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
