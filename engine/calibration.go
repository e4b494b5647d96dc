package engine

import "math"

// Calibration turns a model's probability into the one shown: sigma(c0 + c1 logit p + beta G*), fitted on outcomes that are known
// (logistic recalibration, Cox 1958). G* is how far the customer's risk level lies from the customer's own baseline.
type Calibration struct {
	Intercept float64 `json:"c0"`
	Slope     float64 `json:"c1"`
	// Drift is beta, in log odds by a whole unit of risk level; 0 unless drift was shown to predict, as in models made before it was tried.
	Drift float64 `json:"drift,omitempty"`
}

// Uncalibrated leaves probabilities as they are: what holds until enough outcomes are known.
func Uncalibrated() Calibration { return Calibration{Intercept: 0, Slope: 1} }

// certain is how near to 0 or 1 a calibrated probability may come: nobody is certain of a customer.
const certain = 1e-6

// Apply gives the calibrated probability, never 0 or 1. Without a drift, which is nil, its term falls away.
func (c Calibration) Apply(p float64, drift *float64) float64 {
	p = math.Min(1-certain, math.Max(certain, p))
	if c != Uncalibrated() {
		odds := c.Intercept + c.Slope*math.Log(p/(1-p))
		if drift != nil {
			odds += c.Drift * *drift
		}
		p = 1 / (1 + math.Exp(-odds))
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
	// Drift tells what came of putting drift in; nil where nobody tried, as in models made before it was tried.
	Drift *DriftReport `json:"drift,omitempty"`
}

// DriftReason says why drift does not count in churn risk.
type DriftReason string

// The reasons.
const (
	DriftCounts        DriftReason = ""
	DriftNotCalibrated DriftReason = "NOT_CALIBRATED"   // the calibration that it would be added to is not applied
	DriftNoWeights     DriftReason = "NO_RISK_WEIGHTS"  // no outcomes of segments were known
	DriftTooFew        DriftReason = "TOO_FEW_OUTCOMES" // of customers with a baseline of their own, of the lost among them or of those who came back
	DriftNoFit         DriftReason = "NO_FIT"           // none, or one that turns the order of customers round
	DriftNoGain        DriftReason = "NO_GAIN"          // for customers who were not fitted on, or none that could not be chance
)

// DriftReport tells what drift adds to a calibration.
type DriftReport struct {
	// Customers have a baseline of their own on one of the past days or more; Outcomes counts these customers and days.
	Customers int `json:"customers"`
	Outcomes  int `json:"outcomes"`
	// Fitted is the calibration with drift, whether it is applied or not; nil without a fit.
	Fitted *Calibration `json:"fitted,omitempty"`
	Reason DriftReason  `json:"reason,omitempty"`
	// After is how good the probabilities are with drift, for customers by others and over all outcomes; nil where nothing was fitted. The
	// calibration without drift is judged by the same folds.
	After *CalibrationScores `json:"after,omitempty"`
	// Gain is by what the Brier score falls, and StandardError that of this difference, over customers.
	Gain          float64 `json:"gain"`
	StandardError float64 `json:"standardError"`
}

// CalibrationScores are how good probabilities were; less is better.
type CalibrationScores struct {
	Brier float64 `json:"brier"`
	Error float64 `json:"ece"` // expected calibration error in 10 classes of equal width
}
