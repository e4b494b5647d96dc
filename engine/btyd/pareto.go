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
	a, b := d.logs()
	return math.Log(d.s*d.integral(a, b)/(d.beta+d.from)) + d.m*a + d.s*b
}

// NoPurchase adds the customers who have dropped out, those who drop out before their next purchase, and those who stay
// without one.
func (m ParetoNBD) NoPurchase(h History, weeks float64) float64 {
	if !(weeks > 0) {
		return 1
	}
	// Given that the customer is alive at T, both rates are Gamma again, with (r+x, alpha+T) and (s, beta+T).
	d := dropout{m: m.R + float64(h.X), s: m.S, alpha: m.Alpha + h.T, beta: m.Beta + h.T, to: weeks}
	a, b := d.logs()
	stays := math.Exp(-d.m*a - d.s*b)
	leaves := d.s / d.beta * d.integral(a, b)
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
// between:
//
//	integral_from^to f(u) du, f(u) = ((alpha+u)/(alpha+from))^-m ((beta+u)/(beta+from))^-(s+1)
//
// The integral is positive and at most to-from.
type dropout struct{ m, s, alpha, beta, from, to float64 }

// logs are ln((alpha+to)/(alpha+from)) and the same of beta.
func (d *dropout) logs() (a, b float64) {
	return logRatio(d.alpha, d.to, d.from), logRatio(d.beta, d.to, d.from)
}

// integral takes logs.
func (d *dropout) integral(a, b float64) float64 {
	q, ok := d.quadrature(a, b)
	if !ok {
		return 0
	}
	sum := 0.0
	for piece := range q.pieces {
		for i, node := range q.nodes {
			v := q.width * (float64(piece) + node)
			far := math.Exp(v) + q.gap
			sum += q.weights[i] * math.Exp((1-q.powerC)*v-q.powerO*math.Log(far*q.scale))
		}
	}
	return sum * q.width * q.startC
}

// moments are the integral and, for the gradient, those of f(u) times ln((alpha+u)/(alpha+from)), ln((beta+u)/(beta+from)),
// 1/(alpha+u) and 1/(beta+u).
type moments struct{ integral, logA, logB, inverseA, inverseB float64 }

// moments takes logs.
func (d *dropout) moments(a, b float64) moments {
	q, ok := d.quadrature(a, b)
	if !ok {
		return moments{}
	}
	var m moments // A is that of the smaller one of alpha and beta at first
	for piece := range q.pieces {
		for i, node := range q.nodes {
			v := q.width * (float64(piece) + node)
			near := math.Exp(v)
			far := near + q.gap
			log := math.Log(far * q.scale)
			weight := q.weights[i] * math.Exp((1-q.powerC)*v-q.powerO*log)
			m.integral += weight
			m.logA += weight * v
			m.logB += weight * log
			m.inverseA += weight / near
			m.inverseB += weight / far
		}
	}
	size := q.width * q.startC
	m = moments{m.integral * size, m.logA * size, m.logB * size, m.inverseA * q.width, m.inverseB * q.width}
	if d.beta < d.alpha {
		m.logA, m.logB, m.inverseA, m.inverseB = m.logB, m.logA, m.inverseB, m.inverseA
	}
	return m
}

// quadrature integrates over v = ln((c+u)/(c+from)), c the smaller of alpha and beta. That choice keeps the singularities of
// both powers off the real line by pi, whatever the parameters are.
type quadrature struct {
	*rule
	pieces         int
	width          float64 // of a piece, in v
	powerC, powerO float64 // of c+u and of the other one
	startC         float64 // c + from
	gap            float64 // other - c, in units of startC
	scale          float64 // startC/(other + from)
}

// quadrature cuts the range where f has fallen by e^-45, and into pieces short enough for the rule. ok is false where the
// range is empty.
func (d *dropout) quadrature(a, b float64) (q quadrature, ok bool) {
	const decay = 45
	if d.m*a+(d.s+1)*b > decay {
		cut := *d
		cut.to = min(d.to,
			(d.alpha+d.from)*math.Exp(decay/d.m)-d.alpha,
			(d.beta+d.from)*math.Exp(decay/(d.s+1))-d.beta)
		a, b = cut.logs()
	}
	if !(a > 0 && b > 0) {
		return quadrature{}, false
	}
	length := a
	if d.beta < d.alpha {
		length = b
		q.startC, q.powerC, q.powerO = d.beta+d.from, d.s+1, d.m
		q.scale = q.startC / (d.alpha + d.from)
	} else {
		q.startC, q.powerC, q.powerO = d.alpha+d.from, d.m, d.s+1
		q.scale = q.startC / (d.beta + d.from)
	}
	q.gap = math.Abs(d.alpha-d.beta) / q.startC
	q.rule, q.pieces = ruleFor(length, d.m*a+(d.s+1)*b)
	q.width = length / float64(q.pieces)
	return q, true
}

// rule is a Gauss-Legendre rule on [0,1], good to about 1e-14 where the range in v is at most length and f falls by at most
// e^-fall in it.
type rule struct {
	nodes, weights []float64
	length, fall   float64
}

func newRule(n int, length, fall float64) *rule {
	r := &rule{nodes: make([]float64, n), weights: make([]float64, n), length: length, fall: fall}
	quad.Legendre{}.FixedLocations(r.nodes, r.weights, 0, 1)
	return r
}

var (
	shortRules = []*rule{newRule(4, 0.12, 0.25), newRule(6, 0.4, 1), newRule(8, 0.8, 2.5), newRule(12, 1.8, 7), newRule(16, 2.2, 12)}
	longRule   = newRule(32, 6, math.Inf(1))
)

func ruleFor(length, fall float64) (r *rule, pieces int) {
	for _, r := range shortRules {
		if length <= r.length && fall <= r.fall {
			return r, 1
		}
	}
	return longRule, int(math.Ceil(length / longRule.length))
}
