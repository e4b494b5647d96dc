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

// CalibrationReason says why a model's probabilities are left as they are.
type CalibrationReason string

// The reasons.
const (
	CalibrationApplied CalibrationReason = ""
	CalibrationTooFew  CalibrationReason = "TOO_FEW_OUTCOMES" // of customers, of the lost or of those who came back
	CalibrationNoFit   CalibrationReason = "NO_FIT"           // none, or one that turns the order of customers round
	CalibrationNoGain  CalibrationReason = "NO_GAIN"          // for customers who were not fitted on
)

// CalibrationReport tells what a calibration rests on and what it is worth.
type CalibrationReport struct {
	// From and To are the first and the last of the past days that customers were looked at on.
	From Date `json:"from"`
	To   Date `json:"to"`
	// Customers were seen on one day or more; Outcomes counts customers and days, Lost those without a purchase in the horizon after.
	Customers int `json:"customers"`
	Outcomes  int `json:"outcomes"`
	Lost      int `json:"lost"`
	// Fitted is what came out, whether it is applied or not; zero without a fit.
	Fitted Calibration       `json:"fitted"`
	Reason CalibrationReason `json:"reason,omitempty"`
	// Before is how good the probabilities were as they are; After, as calibrated for customers by others. nil where nothing was fitted.
	Before *CalibrationScores `json:"before,omitempty"`
	After  *CalibrationScores `json:"after,omitempty"`
}

// CalibrationScores are how good probabilities were; less is better.
type CalibrationScores struct {
	Brier float64 `json:"brier"`
	Error float64 `json:"ece"` // expected calibration error in 10 classes of equal width
}
