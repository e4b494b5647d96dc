package model

import (
	"strings"

	"github.com/quimbi/quimbi/engine"
)

// Prediction is what is to be expected of a customer, and the model that it comes from.
type Prediction struct {
	*engine.Prediction
	ModelVersion int
	Watched      []engine.AlarmKind // by these detectors
	Off          engine.AlarmsOff   // why by none
}

// AlarmsOn are the detectors that look at the customer.
func (p *Prediction) AlarmsOn() []AlarmKind {
	kinds := make([]AlarmKind, len(p.Watched))
	for i, k := range p.Watched {
		kinds[i] = alarmKinds[k]
	}
	return kinds
}

// AlarmsOff is null where a detector looks.
func (p *Prediction) AlarmsOff() *engine.AlarmsOff {
	if p.Off == engine.AlarmsOn {
		return nil
	}
	return &p.Off
}

// FromBaseline is null where drift does not count.
func (p *Prediction) FromBaseline() *float64 { return p.Prediction.Drift }

// NoPurchaseProbability is the probability of no order within the horizon, before calibration.
func (p *Prediction) NoPurchaseProbability() float64 { return p.NoPurchase }

// IdentifiableReason is null where the history tells all parameters.
func (p *Prediction) IdentifiableReason() *string { return textOrNull(p.Prediction.IdentifiableReason) }

// ExpectedPurchases is that within the horizon.
func (p *Prediction) ExpectedPurchases() float64 { return p.Expected }

// NextOrder is null where none is expected soon.
func (p *Prediction) NextOrder() *NextOrder {
	if p.Next == nil {
		return nil
	}
	return &NextOrder{Date: p.Next.Date, From: p.Next.From, To: p.Next.To, Probability: engine.NextOrderProbability()}
}

// ExpectedOrderValue is in minor units.
func (p *Prediction) ExpectedOrderValue() *int64 { return p.OrderValueCents }

// PredictedLtv is in minor units.
func (p *Prediction) PredictedLtv() *int64 { return p.LTVCents }

// ValueReason is null where there is a value.
func (p *Prediction) ValueReason() *engine.PredictionReason {
	return PredictionReason(p.Prediction.ValueReason)
}

// PredictionReason is null where there is no reason.
func PredictionReason(r engine.PredictionReason) *engine.PredictionReason {
	if r == engine.PredictionGiven {
		return nil
	}
	return &r
}

// NewPurchaseModels shows the fits of a model; m is nil before the first re-clustering.
func NewPurchaseModels(m *engine.Model) []*PurchaseModel {
	list := []*PurchaseModel{}
	if m == nil {
		return list
	}
	for _, f := range m.Predictor.Models() {
		shown := &PurchaseModel{
			Name: PurchaseModelName(strings.ToUpper(f.Name)), AsOf: m.AsOf, Parameters: []*ModelParameter{}, Customers: f.Customers,
			Identifiable: f.Identifiable, IdentifiableReason: textOrNull(f.IdentifiableReason), Warning: textOrNull(f.Warning), Correlation: f.Correlation, Reason: PredictionReason(f.Reason),
		}
		for i, name := range f.Names {
			p := &ModelParameter{Name: name, Value: f.Parameters[i]}
			if i < len(f.StandardErrors) {
				p.StandardError = &f.StandardErrors[i]
			}
			shown.Parameters = append(shown.Parameters, p)
		}
		if len(f.Parameters) > 0 {
			shown.LogLikelihood = &f.LogLikelihood
		}
		list = append(list, shown)
	}
	return list
}

// Calibration is how churn risk comes from the purchase model.
type Calibration struct {
	*engine.CalibrationReport
	engine.Calibration
}

// NewCalibration shows the calibration of a model; nil where it has none.
func NewCalibration(m *engine.Model) *Calibration {
	if m == nil || m.Predictor == nil || m.Predictor.Calibrated == nil {
		return nil
	}
	return &Calibration{m.Predictor.Calibrated, m.Predictor.Calibration}
}

// Applied tells whether it is more than what the model says itself.
func (c *Calibration) Applied() bool { return c.CalibrationReport.Reason == engine.CalibrationApplied }

// Reason is null where it is applied.
func (c *Calibration) Reason() *engine.CalibrationReason {
	if c.Applied() {
		return nil
	}
	return &c.CalibrationReport.Reason
}

// DriftCoefficient is 0 where drift does not count.
func (c *Calibration) DriftCoefficient() float64 { return c.Calibration.Drift }

// Drift is null in models made before it was tried.
func (c *Calibration) Drift() *DriftTrial {
	r := c.CalibrationReport.Drift
	if r == nil {
		return nil
	}
	t := &DriftTrial{Applied: r.Reason == engine.DriftCounts, Customers: r.Customers, Outcomes: r.Outcomes, After: r.After}
	if !t.Applied {
		t.Reason = &r.Reason
	}
	if r.Fitted != nil {
		t.Coefficient = &r.Fitted.Drift
	}
	if r.After != nil {
		t.Gain, t.StandardError = &r.Gain, &r.StandardError
	}
	return t
}
