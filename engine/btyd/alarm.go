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

// SilenceRule raises an alarm when a gap has become too long for an active customer. The test runs once in each gap, so
// the chance allowed per gap shrinks with the number of gaps in a year.
type SilenceRule struct {
	// Tail is the largest chance of such a gap, for customers with few gaps a year.
	Tail float64 `json:"tail"`
	// PerYear is the number of false alarms allowed to one active customer in a year.
	PerYear float64 `json:"per_year"`
}

// DefaultSilenceRule allows gaps that happen to 5 % of active customers, and 0.2 false alarms a year.
func DefaultSilenceRule() SilenceRule { return SilenceRule{Tail: 0.05, PerYear: 0.2} }

// Limit is the chance of a gap at or below which a customer with the rate in purchases per week is reported.
func (r SilenceRule) Limit(rate float64) float64 {
	return math.Min(r.Tail, r.PerYear/(52*rate))
}

// Alarm tells whether the present gap is too long. It is false for customers slower than SlowestRate.
func (r SilenceRule) Alarm(m NBD, h History, rate float64) bool {
	return rate >= SlowestRate && 1-m.Silence(h) <= r.Limit(rate)
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
	// Threshold is on the scale of Step's value, the same for all customers.
	Threshold float64 `json:"threshold"`
}

// Step takes the detector's value and the purchases of one more week to the next value, and tells whether that exceeds
// the threshold. A watch starts with 0, and again with 0 after an alarm.
//
// The value of CUSUM is C_t = max(0, C_(t-1) + y ln rho + rate (1-rho)); that of Shiryaev-Roberts is ln(1+W_t) with
// W_t = (1+W_(t-1)) rho^y e^(rate (1-rho)), the logarithm because W grows beyond every float for frequent buyers.
func (d Detector) Step(value float64, purchases int, rate float64) (next float64, alarm bool) {
	gain := float64(purchases)*math.Log(d.Rho) + rate*(1-d.Rho)
	if d.Kind == ShiryaevRoberts {
		next = softplus(value + gain)
	} else {
		next = math.Max(0, value+gain)
	}
	return next, next > d.Threshold
}
