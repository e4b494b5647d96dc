package engine

import "math"

// Calibration turns a model's probability into the one shown: sigma(c0 + c1 logit p), fitted on outcomes that are known
// (logistic recalibration, Cox 1958).
type Calibration struct {
	Intercept float64 `json:"c0"`
	Slope     float64 `json:"c1"`
}

// Uncalibrated leaves probabilities as they are: what holds until enough outcomes are known.
func Uncalibrated() Calibration { return Calibration{Intercept: 0, Slope: 1} }

// certain is how near to 0 or 1 a calibrated probability may come: nobody is certain of a customer.
const certain = 1e-6

// Apply gives the calibrated probability, never 0 or 1.
func (c Calibration) Apply(p float64) float64 {
	p = math.Min(1-certain, math.Max(certain, p))
	if c != Uncalibrated() {
		p = 1 / (1 + math.Exp(-c.Intercept-c.Slope*math.Log(p/(1-p))))
	}
	return math.Min(1-certain, math.Max(certain, p))
}
