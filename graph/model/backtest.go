package model

import (
	"github.com/quimbi/quimbi/engine/backtest"
	"github.com/quimbi/quimbi/engine/backtest/report"
)

// BacktestRun measures how early churn was seen in a store's own past.
type BacktestRun struct {
	RunBase
}

// BacktestResult is what a backtest found.
type BacktestResult struct {
	*backtest.Result
	StoreKey string
}

// Seed divides the customers.
func (r *BacktestResult) Seed() int64 { return int64(r.Result.Seed) }

// RulePrecision is what detectors had to reach.
func (r *BacktestResult) RulePrecision() float64 { return r.Rule }

// Best is null where no detector had a lead.
func (r *BacktestResult) Best() *string { return textOrNull(r.Result.Best) }

// Detectors lists every detector in every class.
func (r *BacktestResult) Detectors() []*DetectorResult {
	list := []*DetectorResult{}
	for i := range r.Result.Detectors {
		d := &r.Result.Detectors[i]
		for j := range d.Classes {
			list = append(list, &DetectorResult{d, &d.Classes[j]})
		}
	}
	return list
}

// CustomersFitted is the first third.
func (r *BacktestResult) CustomersFitted() int { return r.Fitted }

// CustomersThreshold is the second third.
func (r *BacktestResult) CustomersThreshold() int { return r.Result.Threshold }

// Curves are those of the detectors that have a score.
func (r *BacktestResult) Curves() []*DetectorCurve {
	list := []*DetectorCurve{}
	for i := range r.Result.Detectors {
		d := &r.Result.Detectors[i]
		if len(d.Curve) == 0 {
			continue
		}
		c := &DetectorCurve{Detector: d.Name}
		for j := range d.Curve {
			c.Recall, c.Precision = append(c.Recall, d.Curve[j].Recall), append(c.Precision, d.Curve[j].Precision)
		}
		list = append(list, c)
	}
	return list
}

// Additions are empty without a purchase model.
func (r *BacktestResult) Additions() []*BacktestAddition {
	list := make([]*BacktestAddition, len(r.Result.Additions))
	for i, a := range r.Result.Additions {
		list[i] = &BacktestAddition{
			Feature: a.Feature, BrierWithout: a.Without, BrierWith: a.With,
			Gain: a.Gain.Value, GainLow: a.Gain.Low, GainHigh: a.Gain.High, Kept: a.Kept,
		}
	}
	return list
}

// Reliability is that of customers with three purchases and more.
func (r *BacktestResult) Reliability() *Reliability { return reliability(r.Result.Calibration) }

// ReliabilityEverybody is that of all customers with a purchase.
func (r *BacktestResult) ReliabilityEverybody() *Reliability { return reliability(r.Everybody) }

// ReliabilityProduct is that of the product's own calibration.
func (r *BacktestResult) ReliabilityProduct() *Reliability { return reliability(r.Past) }

func reliability(r *backtest.Reliability) *Reliability {
	if r == nil {
		return nil
	}
	return &Reliability{Brier: r.Brier, BaseBrier: r.Base, CalibrationError: r.ECE, Count: r.Count, BaseRate: r.BaseRate, Bins: bins(r)}
}

// Splits are empty where there was one division.
func (r *BacktestResult) Splits() []*BacktestSplit {
	list := make([]*BacktestSplit, len(r.Result.Splits))
	for i := range list {
		s := &r.Result.Splits[i]
		split := &BacktestSplit{
			Seed: int64(s.Seed), RulePrecision: s.Rule, CalibrationErrorEverybody: s.ECE, CalibrationErrorProduct: s.PastECE,
			Detectors: make([]*SplitDetector, len(s.Detectors)),
		}
		for j, d := range s.Detectors {
			split.Detectors[j] = &SplitDetector{Detector: d.Name, LeadDays: d.Lead, Precision: d.Precision, Brier: d.Brier}
		}
		list[i] = split
	}
	return list
}

// Spreads are those of the detectors of the first division.
func (r *BacktestResult) Spreads() []*DetectorSpread {
	list := []*DetectorSpread{}
	if len(r.Result.Splits) == 0 {
		return list
	}
	for i := range r.Result.Detectors {
		name := r.Result.Detectors[i].Name
		of := func(pick func(*backtest.SplitDetector) *float64) *Spread { return spread(r.DetectorSpread(name, pick)) }
		list = append(list, &DetectorSpread{
			Detector:  name,
			LeadDays:  of(func(d *backtest.SplitDetector) *float64 { return d.Lead }),
			Precision: of(func(d *backtest.SplitDetector) *float64 { return d.Precision }),
			Brier:     of(func(d *backtest.SplitDetector) *float64 { return d.Brier }),
		})
	}
	return list
}

// spread is nil where no division has the value.
func spread(s backtest.Spread) *Spread {
	if s.Count == 0 {
		return nil
	}
	return &Spread{Count: s.Count, Mean: s.Mean, Least: s.Least, Most: s.Most}
}

// Calibration is empty without a purchase model.
func (r *BacktestResult) Calibration() []*CalibrationBin { return bins(r.Result.Calibration) }

func bins(r *backtest.Reliability) []*CalibrationBin {
	list := []*CalibrationBin{}
	if r != nil {
		for _, b := range r.Bins {
			list = append(list, &CalibrationBin{Predicted: b.Predicted, Observed: b.Observed, Count: b.Count})
		}
	}
	return list
}

// Brier is that of the churn risk.
func (r *BacktestResult) Brier() *float64 { return brier(r.Result.Calibration) }

// CalibrationError is that of the churn risk.
func (r *BacktestResult) CalibrationError() *float64 { return calibrationError(r.Result.Calibration) }

// BrierEverybody is of all customers with a purchase.
func (r *BacktestResult) BrierEverybody() *float64 { return brier(r.Everybody) }

// CalibrationErrorEverybody is of all customers with a purchase.
func (r *BacktestResult) CalibrationErrorEverybody() *float64 { return calibrationError(r.Everybody) }

func brier(r *backtest.Reliability) *float64 {
	if r == nil {
		return nil
	}
	return &r.Brier
}

func calibrationError(r *backtest.Reliability) *float64 {
	if r == nil {
		return nil
	}
	return &r.ECE
}

// Report is a page for people, with its charts inside.
func (r *BacktestResult) Report() string {
	return report.Markdown(r.StoreKey, r.Result, report.Inline)
}

// DetectorResult is how a detector did in a class of customers.
type DetectorResult struct {
	of    *backtest.Detector
	class *backtest.Class
}

// Detector is its name.
func (d *DetectorResult) Detector() string { return d.of.Name }

// About says what it is.
func (d *DetectorResult) About() string { return d.of.About }

// Cadence is the class.
func (d *DetectorResult) Cadence() backtest.Cadence { return d.class.Cadence }

// Threshold is the score from which it alarms.
func (d *DetectorResult) Threshold() *float64 { return d.of.Threshold }

// OwnThreshold tells the product's alarms from detectors that have to be as precise as the rule.
func (d *DetectorResult) OwnThreshold() bool { return d.of.OwnThreshold }

// Gaps were judged.
func (d *DetectorResult) Gaps() int { return d.class.Gaps }

// Churned is how many of them were churn.
func (d *DetectorResult) Churned() int { return d.class.Churned }

// Alarms is how many it raised.
func (d *DetectorResult) Alarms() int { return d.class.Alarms }

// Precision is the share of alarms that were churn.
func (d *DetectorResult) Precision() *float64 { return value(d.class.Precision) }

// PrecisionLow is the lower end of its interval.
func (d *DetectorResult) PrecisionLow() *float64 { return low(d.class.Precision) }

// PrecisionHigh is the upper end of its interval.
func (d *DetectorResult) PrecisionHigh() *float64 { return high(d.class.Precision) }

// EarlyShare is the share of churn that it saw before the rule.
func (d *DetectorResult) EarlyShare() float64 { return d.class.Early }

// MedianDelayDays is from the last purchase to the alarm.
func (d *DetectorResult) MedianDelayDays() *float64 { return d.class.Delay }

// LeadDays is the restricted mean lead time.
func (d *DetectorResult) LeadDays() *float64 { return value(d.class.Lead) }

// LeadDaysLow is the lower end of its interval.
func (d *DetectorResult) LeadDaysLow() *float64 { return low(d.class.Lead) }

// LeadDaysHigh is the upper end of its interval.
func (d *DetectorResult) LeadDaysHigh() *float64 { return high(d.class.Lead) }

// PrAuc is the area under precision and recall.
func (d *DetectorResult) PrAuc() *float64 { return d.class.PRAUC }

// PrAucEarly is the same among those silent no longer than the rule.
func (d *DetectorResult) PrAucEarly() *float64 { return d.class.PRAUCEarly }

// Brier is null for a detector that is no probability.
func (d *DetectorResult) Brier() *float64 { return d.class.Brier }

func value(i *backtest.Interval) *float64 {
	if i == nil {
		return nil
	}
	return &i.Value
}

func low(i *backtest.Interval) *float64 {
	if i == nil {
		return nil
	}
	return &i.Low
}

func high(i *backtest.Interval) *float64 {
	if i == nil {
		return nil
	}
	return &i.High
}
