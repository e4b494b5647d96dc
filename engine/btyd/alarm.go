package btyd

import "math"

// SlowestRate is the own rate in purchases per week below which alarms are switched off: no method can notice a stop
// before several expected orders are missing, and these customers' orders are too far apart. Use NoPurchase for them.
const SlowestRate = 0.1

// Reference is a customer's purchases in a period in which he is taken to be unchanged; it should end at least 8 weeks
// before the weeks that are watched.
type Reference struct {
	// X counts repeat purchases in the period.
	X int `json:"x"`
	// Weeks is its length.
	Weeks float64 `json:"weeks"`
}

// OwnRate is the posterior mean (r + x)/(alpha + weeks) of the customer's purchases per week. Watched is false where it
// is below SlowestRate.
func (m NBD) OwnRate(ref Reference) (rate float64, watched bool) {
	rate = m.Rate(ref.X, ref.Weeks)
	return rate, rate >= SlowestRate
}

// Silence is the probability 1 - ((alpha+t_x)/(alpha+t_x+gap))^(r+x), gap = T - t_x, that a customer who is still active
// would have purchased since the last purchase.
func (m NBD) Silence(h History) float64 {
	return -math.Expm1(-(m.R + float64(h.X)) * logRatio(m.Alpha, h.T, h.Tx))
}

// Tail is the largest chance of a gap that is reported: one that happens to 5 % of active customers.
const Tail = 0.05

// Limit is the chance of a gap at or below which an active customer with the rate in purchases a week is reported, so that it has at most
// perYear false alarms in a year. A gap is looked at once, so the chance shrinks with the number of gaps in a year.
func Limit(perYear, rate float64) float64 {
	return math.Min(Tail, perYear/(52*rate))
}

// Kinds of Detector.
const (
	CUSUM           = "cusum"
	ShiryaevRoberts = "shiryaev_roberts"
)

// Falls of the rate that detectors are tuned to.
const (
	RhoStop  = 0.1
	RhoSlump = 0.5
)

// Detector watches weekly purchase counts for a fall from the own rate to Rho times that rate.
type Detector struct {
	// Kind is CUSUM (Page 1954) or ShiryaevRoberts.
	Kind string `json:"kind"`
	// Rho is RhoStop, RhoSlump or another share in (0, 1).
	Rho float64 `json:"rho"`
}

// Step takes the detector's value and the purchases of one more week to the next value, which is the larger the fewer there are. A watch
// starts with 0.
//
// The value of CUSUM is C_t = max(0, C_(t-1) + y ln rho + rate (1-rho)); that of Shiryaev-Roberts is ln(1+W_t) with
// W_t = (1+W_(t-1)) rho^y e^(rate (1-rho)), the logarithm because W grows beyond every float for frequent buyers.
func (d Detector) Step(value float64, purchases int, rate float64) float64 {
	gain := float64(purchases)*math.Log(d.Rho) + rate*(1-d.Rho)
	if d.Kind == ShiryaevRoberts {
		return softplus(value + gain)
	}
	return math.Max(0, value+gain)
}
