package engine

import (
	"context"
	"errors"

	"github.com/quimbi/quimbi/engine/btyd"
)

// PredictionSettings say what of the future is predicted. They are frozen in a model, so that all scores of one version
// mean the same.
type PredictionSettings struct {
	// HorizonDays is the time within which a customer without a purchase counts as lost.
	HorizonDays int `json:"horizonDays"`
	// Margin is the share of revenue that counts in lifetime value.
	Margin float64 `json:"margin"`
	// Discount is that of future value, a month.
	Discount float64 `json:"monthlyDiscount"`
}

// DefaultPredictionSettings are those of the specification.
func DefaultPredictionSettings() PredictionSettings {
	o := btyd.DefaultLTVOptions()
	return PredictionSettings{HorizonDays: 90, Margin: o.Margin, Discount: o.Discount}
}

// Validate tells what is wrong with the settings.
func (s *PredictionSettings) Validate() error {
	switch {
	case s.HorizonDays < 1 || s.HorizonDays > maxHorizonDays:
		return Errorf(CodeInvalid, "the churn horizon must be from 1 to %d days, is %d", maxHorizonDays, s.HorizonDays)
	case !(s.Margin > 0 && s.Margin <= 1):
		return Errorf(CodeInvalid, "the margin must be over 0 and at most 1, is %g", s.Margin)
	case !(s.Discount >= 0 && s.Discount < 1):
		return Errorf(CodeInvalid, "the monthly discount must be from 0 to under 1, is %g", s.Discount)
	}
	return nil
}

const maxHorizonDays = 730

// PredictionOverrides are the settings that a store has of its own; nil: the installation's.
type PredictionOverrides struct {
	HorizonDays *int
	Margin      *float64
	Discount    *float64
}

// Over gives the installation's settings with the store's own in their place.
func (o PredictionOverrides) Over(installation PredictionSettings) PredictionSettings {
	s := installation
	if o.HorizonDays != nil {
		s.HorizonDays = *o.HorizonDays
	}
	if o.Margin != nil {
		s.Margin = *o.Margin
	}
	if o.Discount != nil {
		s.Discount = *o.Discount
	}
	return s
}

// LTVOptions are the settings of lifetime value, which looks 12 months ahead.
func (s *PredictionSettings) LTVOptions() btyd.LTVOptions {
	o := btyd.DefaultLTVOptions()
	o.Margin, o.Discount = s.Margin, s.Discount
	return o
}

// PredictionReason says why there is no prediction, or no value in it.
type PredictionReason string

// The reasons.
const (
	PredictionGiven           PredictionReason = ""
	PredictionNoModel         PredictionReason = "NOT_CLUSTERED"         // the store has no model yet
	PredictionNotFitted       PredictionReason = "MODEL_WITHOUT"         // the model is of a version without predictions
	PredictionTooFew          PredictionReason = "TOO_FEW_CUSTOMERS"     // or too few who bought again
	PredictionNoOptimum       PredictionReason = "NO_OPTIMUM"            // the likelihood has no maximum that could be found
	PredictionSpendDegenerate PredictionReason = "SPEND_DOES_NOT_VARY"   // within customers, so there is no spend model
	PredictionNotStored       PredictionReason = "NOT_STORED"            // the snapshot was taken without scores
	PredictionBeforePurchase  PredictionReason = "BEFORE_FIRST_PURCHASE" // the customer had not bought yet
)

// Predictor is the part of a model that predicts purchases and their value: the modified beta-geometric/NBD model, since
// BG/NBD takes every customer with one purchase for alive, and Gamma-Gamma.
type Predictor struct {
	Settings PredictionSettings `json:"settings"`
	// Purchases is nil where Reason says why.
	Purchases *btyd.Fit[btyd.MBGNBD] `json:"purchases,omitempty"`
	Reason    PredictionReason       `json:"reason,omitempty"`
	// Spend is nil where SpendReason says why.
	Spend       *btyd.SpendFit   `json:"spend,omitempty"`
	SpendReason PredictionReason `json:"spendReason,omitempty"`
	Calibration Calibration      `json:"calibration"`
	// Calibrated is nil in models made before there were calibrations.
	Calibrated *CalibrationReport `json:"calibrated,omitempty"`
	// Alarms is nil where nobody could be watched, and in models made before there were alarms.
	Alarms *AlarmBasis `json:"alarms,omitempty"`
}

// FitPredictor fits the purchase and spend models on the histories of a table, as of its day. A model that cannot be
// fitted says so in its reason; that is no error.
func FitPredictor(ctx context.Context, t *Table, settings PredictionSettings) (*Predictor, error) {
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	p := &Predictor{Settings: settings, Calibration: Uncalibrated()}
	histories, spends := make([]btyd.History, len(t.Histories)), make([]btyd.Spend, len(t.Histories))
	for i, h := range t.Histories {
		histories[i], spends[i] = h.Repeats(t.AsOf), h.Spend()
	}
	groups, _ := btyd.GroupHistories(histories) // none is rejected: days are in order
	var err error
	p.Purchases, err = btyd.FitMBGNBD(ctx, groups, btyd.FitOptions{})
	if p.Reason, err = unfitted(err); err != nil {
		return nil, err
	}
	p.Spend, err = btyd.FitGammaGamma(ctx, spends, btyd.FitOptions{})
	if p.SpendReason, err = unfitted(err); err != nil {
		return nil, err
	}
	return p, nil
}

// unfitted tells the faults of data from others.
func unfitted(err error) (PredictionReason, error) {
	switch {
	case err == nil:
		return PredictionGiven, nil
	case errors.Is(err, btyd.ErrTooFew):
		return PredictionTooFew, nil
	case errors.Is(err, btyd.ErrNoOptimum):
		return PredictionNoOptimum, nil
	case errors.Is(err, btyd.ErrDegenerateSpend):
		return PredictionSpendDegenerate, nil
	default:
		return PredictionGiven, err
	}
}

// FittedModel is a purchase or spend model as it was fitted, to be shown.
type FittedModel struct {
	Name string // mbg_nbd or gamma_gamma
	// Parameters are named by Names; they and StandardErrors, of equal length or empty, are missing where Reason says why.
	Names                      []string
	Parameters, StandardErrors []float64
	LogLikelihood              float64
	Customers                  int
	Identifiable               bool
	IdentifiableReason         string
	Warning                    string   // about parameters that are hardly known, or what the model takes for granted
	Correlation                *float64 // of frequency and mean value, of a spend model alone
	Reason                     PredictionReason
}

// Models lists the fits.
func (p *Predictor) Models() []FittedModel {
	if p == nil {
		return nil
	}
	purchases := FittedModel{Name: btyd.MBGNBD{}.Name(), Reason: p.Reason}
	if f := p.Purchases; f != nil {
		purchases.Names, purchases.Parameters, purchases.StandardErrors = f.Model.ParameterNames(), f.Model.Parameters(), f.StandardErrors
		purchases.LogLikelihood, purchases.Customers = f.LogLikelihood, f.Customers
		purchases.Identifiable, purchases.IdentifiableReason, purchases.Warning = f.Identifiable, f.Reason, f.Warning()
	}
	spend := FittedModel{Name: btyd.GammaGamma{}.Name(), Reason: p.SpendReason}
	if f := p.Spend; f != nil {
		spend.Names, spend.Parameters, spend.StandardErrors = f.Model.ParameterNames(), f.Model.Parameters(), f.StandardErrors
		spend.LogLikelihood, spend.Customers, spend.Correlation = f.LogLikelihood, f.Customers, &f.Correlation
		spend.Identifiable, spend.IdentifiableReason, spend.Warning = f.Identifiable, f.Reason, f.Warning()
	}
	return []FittedModel{purchases, spend}
}
