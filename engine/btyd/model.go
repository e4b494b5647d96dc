package btyd

import "math"

// Model is a fitted model of repeat purchases. Histories handed to it must be valid (History.Valid); for others the
// results mean nothing.
type Model interface {
	// Name is one of bg_nbd, mbg_nbd, pareto_nbd and nbd.
	Name() string
	// ParameterNames names the values of Parameters, in the same order.
	ParameterNames() []string
	// Parameters are the values the model was built from; those of time are in weeks.
	Parameters() []float64
	// LogLikelihood is the natural logarithm of the density of one customer's history.
	LogLikelihood(h History) float64
	// PAlive is the probability that the customer has not dropped out by T.
	PAlive(h History) float64
	// NoPurchase is the probability of no purchase in the given weeks after T.
	NoPurchase(h History, weeks float64) float64
	// Expected is the expected number of purchases in the given weeks after T.
	Expected(h History, weeks float64) float64
	// ExpectedNew is the expected number of repeat purchases of a new customer in the weeks after the first purchase.
	ExpectedNew(weeks float64) float64
	// Active is the purchase process of a customer who has not dropped out.
	Active() NBD
}

// NBD is purchasing without dropout: Poisson purchases whose rate per week is Gamma(r, alpha) among customers
// (Ehrenberg 1959). It is the active part of every model here and their fallback where dropout cannot be seen.
type NBD struct {
	R     float64 `json:"r"`
	Alpha float64 `json:"alpha"`
}

var _ Model = NBD{}

// Name returns nbd.
func (NBD) Name() string { return "nbd" }

// ParameterNames returns r and alpha.
func (NBD) ParameterNames() []string { return []string{"r", "alpha"} }

// Parameters returns r and alpha.
func (m NBD) Parameters() []float64 { return []float64{m.R, m.Alpha} }

// LogLikelihood is lnG(r+x) - lnG(r) + r ln alpha - (r+x) ln(alpha+T).
func (m NBD) LogLikelihood(h History) float64 {
	rise, _ := logRising(m.R, h.X)
	return rise + m.R*math.Log(m.Alpha) - (m.R+float64(h.X))*math.Log(m.Alpha+h.T)
}

// PAlive is always 1: this model knows no dropout. It is nothing to show to a user.
func (NBD) PAlive(History) float64 { return 1 }

// NoPurchase is ((alpha+T)/(alpha+T+h))^(r+x).
func (m NBD) NoPurchase(h History, weeks float64) float64 {
	return math.Exp(-(m.R + float64(h.X)) * math.Log1p(weeks/(m.Alpha+h.T)))
}

// Expected is the posterior mean rate times the weeks.
func (m NBD) Expected(h History, weeks float64) float64 {
	return m.Rate(h.X, h.T) * weeks
}

// ExpectedNew is r/alpha times the weeks.
func (m NBD) ExpectedNew(weeks float64) float64 { return m.R / m.Alpha * weeks }

// Active is the model itself.
func (m NBD) Active() NBD { return m }

// Rate is the posterior mean (r+x)/(alpha+T) of the purchases per week of a customer who made x repeat purchases in the
// given weeks and was active throughout.
func (m NBD) Rate(x int, weeks float64) float64 {
	return (m.R + float64(x)) / (m.Alpha + weeks)
}

// NextPurchase is the number of weeks after T within which the customer purchases with the given probability. Asked for
// 0.1, 0.5 and 0.9 it gives the median of the next purchase date and an 80 % interval. ok is false where that
// probability is not reached within a thousand years, as for customers who have most likely dropped out; weeks is then 0.
func NextPurchase(m Model, h History, probability float64) (weeks float64, ok bool) {
	const horizon = 52_000.0
	if !(probability >= 0 && probability < 1) || !(1-m.NoPurchase(h, horizon) >= probability) {
		return 0, false
	}
	low, high := 0.0, horizon
	for range 100 {
		mid := (low + high) / 2
		if mid == low || mid == high {
			break
		}
		if 1-m.NoPurchase(h, mid) >= probability {
			high = mid
		} else {
			low = mid
		}
	}
	return high, true
}

// survival is 1/(1+e^odds), with the exponent capped so that the result never falls to 0.
func survival(odds float64) float64 {
	return 1 / (1 + math.Exp(math.Min(odds, 700)))
}

// noPurchase is 1 - P(alive) (1 - active), active the chance that a living customer makes no purchase, as the sum of two
// positive terms: 1 less a product would lose all digits of a small probability. It comes close to certainty, never there.
func noPurchase(odds, active float64) float64 {
	return math.Min(survival(-odds)+survival(odds)*active, almostOne)
}

// almostOne is the largest number under 1.
var almostOne = math.Nextafter(1, 0)

// softplus is ln(1+e^v) without overflow.
func softplus(v float64) float64 {
	if v > 36 {
		return v
	}
	return math.Log1p(math.Exp(v))
}
