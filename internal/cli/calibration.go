package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/quimbi/quimbi/engine"
)

// calibrationResult tells how the probabilities of mbg_nbd are calibrated; what is null was not fitted.
type calibrationResult struct {
	Applied     bool     `json:"applied"`
	Reason      *string  `json:"reason"`
	Intercept   float64  `json:"intercept"`
	Slope       float64  `json:"slope"`
	HorizonDays int      `json:"horizon_days"`
	Customers   int      `json:"customers"`
	Outcomes    int      `json:"outcomes"`
	Lost        int      `json:"lost"`
	BrierBefore *float64 `json:"brier_before"`
	BrierAfter  *float64 `json:"brier_after"`
	ECEBefore   *float64 `json:"ece_before"`
	ECEAfter    *float64 `json:"ece_after"`
}

func newCalibrationResult(p *engine.Predictor) *calibrationResult {
	report := p.Calibrated
	r := &calibrationResult{
		Applied: report.Reason == engine.CalibrationApplied, Intercept: p.Calibration.Intercept, Slope: p.Calibration.Slope,
		HorizonDays: p.Settings.HorizonDays, Customers: report.Customers, Outcomes: report.Outcomes, Lost: report.Lost,
	}
	if !r.Applied {
		reason := string(report.Reason)
		r.Reason = &reason
	}
	if report.Before != nil {
		r.BrierBefore, r.ECEBefore = &report.Before.Brier, &report.Before.Error
		r.BrierAfter, r.ECEAfter = &report.After.Brier, &report.After.Error
	}
	return r
}

func (r *calibrationResult) describe(w io.Writer) {
	fmt.Fprintf(w, "  calibration of mbg_nbd at %d days, %s outcomes of %s customers: ", r.HorizonDays, number(int64(r.Outcomes)), number(int64(r.Customers)))
	switch {
	case r.Applied:
		fmt.Fprintf(w, "intercept %.3f, slope %.3f", r.Intercept, r.Slope)
	default:
		fmt.Fprintf(w, "none (%s)", strings.ToLower(strings.ReplaceAll(*r.Reason, "_", " ")))
	}
	if r.BrierBefore != nil {
		fmt.Fprintf(w, "; by customers left out, Brier %.4f to %.4f, calibration error %.4f to %.4f", *r.BrierBefore, *r.BrierAfter, *r.ECEBefore, *r.ECEAfter)
	}
	fmt.Fprintln(w)
}
