package btyd

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Fewest customers and repeaters (x >= 1) a purchase model is fitted on, and fewest repeaters with spend for
// Gamma-Gamma.
const (
	MinCustomers = 200
	MinRepeaters = 50
)

var (
	// ErrTooFew says that the data are below the minimum; errors.As gives a *TooFewError with the counts.
	ErrTooFew = errors.New("too few customers to fit a model")
	// ErrNoOptimum says that no start led to a maximum of the likelihood.
	ErrNoOptimum = errors.New("the likelihood has no maximum that could be found; use the pooled defaults")
)

// TooFewError tells what a fit needs and what it found.
type TooFewError struct {
	Customers, NeededCustomers int
	Repeaters, NeededRepeaters int
}

func (e *TooFewError) Error() string {
	return fmt.Sprintf("%v: found %d customers with %d repeaters, needed %d with %d; wait for more orders or use the pooled defaults",
		ErrTooFew, e.Customers, e.Repeaters, e.NeededCustomers, e.NeededRepeaters)
}

// Unwrap makes errors.Is(err, ErrTooFew) true.
func (e *TooFewError) Unwrap() error { return ErrTooFew }

// FitOptions are the settings of a fit. The zero value is the usual fit.
type FitOptions struct {
	// Workers is the number of goroutines; 0 means one per usable core. The result does not depend on it.
	Workers int
	// Ridge is subtracted as Ridge * sum (ln theta)^2 from the mean log-likelihood while searching. 0 is off.
	Ridge float64
}

// Fit is a fitted model of purchases.
type Fit[M Model] struct {
	Name  string `json:"name"`
	Model M      `json:"parameters"`
	// StandardErrors belong to Model.Parameters in their order: the inverse observed information of the log-parameters,
	// carried over by the delta method. It is empty where the information is singular.
	StandardErrors []float64 `json:"standard_errors"`
	// LogLikelihood is summed over customers, without the ridge.
	LogLikelihood float64 `json:"log_likelihood"`
	Customers     int     `json:"customers"`
	Repeaters     int     `json:"repeaters"`
	// Identifiable is false where these histories cannot tell dropout: P(alive) must not be shown then, and Predictor
	// leaves dropout out. Reason says why, as a sentence.
	Identifiable bool   `json:"identifiable"`
	Reason       string `json:"reason,omitempty"`
}

// Predictor is the model to score customers with: the fitted one, or its purchase process without dropout where dropout
// is not identifiable.
func (f *Fit[M]) Predictor() Model {
	if f.Identifiable {
		return f.Model
	}
	return f.Model.Active()
}

// purchaseStarts are the starting points of every purchase fit, as logarithms of the parameters in weeks.
var purchaseStarts = [][]float64{{0, 0, 0, 0}, {-1, 1, 0, 1}, {2, 2, 2, 2}, {-3, 4, -2, 0}}

// FitBGNBD fits BG/NBD by maximum likelihood. Errors: ErrTooFew, ErrNoOptimum, an invalid group, or the context's.
func FitBGNBD(ctx context.Context, groups []Group, options FitOptions) (*Fit[BGNBD], error) {
	return fitPurchases(ctx, groups, options,
		func(data *histories) likelihood { return &geometricLikelihood{histories: data} },
		func(p []float64) BGNBD { return BGNBD{R: p[0], Alpha: p[1], A: p[2], B: p[3]} },
		dropoutShare)
}

// FitMBGNBD fits MBG/NBD by maximum likelihood. Errors are those of FitBGNBD.
func FitMBGNBD(ctx context.Context, groups []Group, options FitOptions) (*Fit[MBGNBD], error) {
	return fitPurchases(ctx, groups, options,
		func(data *histories) likelihood { return &geometricLikelihood{histories: data, first: 1} },
		func(p []float64) MBGNBD { return MBGNBD{R: p[0], Alpha: p[1], A: p[2], B: p[3]} },
		dropoutShare)
}

// FitParetoNBD fits Pareto/NBD by maximum likelihood. Errors are those of FitBGNBD.
func FitParetoNBD(ctx context.Context, groups []Group, options FitOptions) (*Fit[ParetoNBD], error) {
	return fitPurchases(ctx, groups, options,
		func(data *histories) likelihood { return &paretoLikelihood{histories: data} },
		func(p []float64) ParetoNBD { return ParetoNBD{R: p[0], Alpha: p[1], S: p[2], Beta: p[3]} },
		func([]float64) string { return "" })
}

func fitPurchases[M Model](
	ctx context.Context, groups []Group, options FitOptions,
	newLikelihood func(*histories) likelihood, build func([]float64) M, hidden func([]float64) string,
) (*Fit[M], error) {
	data, err := newHistories(groups, options.Workers)
	if err != nil {
		return nil, err
	}
	if data.customers < MinCustomers || data.repeaters < MinRepeaters {
		return nil, &TooFewError{data.customers, MinCustomers, data.repeaters, MinRepeaters}
	}

	starts := purchaseStarts
	if sample := data.sample(); sample != nil {
		// The search for the right hill runs on a sample; only the climb to its top needs everybody.
		top, err := maximise(ctx, newLikelihood(sample), starts, options.Ridge, nil)
		if err != nil {
			return nil, err
		}
		starts = [][]float64{top.logs}
	}
	top, err := maximise(ctx, newLikelihood(data), starts, options.Ridge, nil)
	if err != nil {
		return nil, err
	}

	parameters := exponentials(top.logs)
	model := build(parameters)
	reason := ""
	if fault := outOfRange(model.ParameterNames(), parameters); fault != "" {
		reason = fault + ", so this history does not show dropout"
	} else {
		reason = hidden(parameters)
	}
	return &Fit[M]{
		Name: model.Name(), Model: model, StandardErrors: top.standardErrors, LogLikelihood: top.logLikelihood,
		Customers: data.customers, Repeaters: data.repeaters, Identifiable: reason == "", Reason: reason,
	}, nil
}

// outOfRange names the first parameter outside [1e-3, 1e4]: the likelihood is flat out there.
func outOfRange(names []string, parameters []float64) string {
	for i, v := range parameters {
		if !(v >= 1e-3 && v <= 1e4) {
			return fmt.Sprintf("parameter %s = %.3g has run out of its range 0.001 to 10000", names[i], v)
		}
	}
	return ""
}

// dropoutShare applies to BG/NBD and MBG/NBD: a/(a+b) is the mean chance to drop out after a purchase.
func dropoutShare(p []float64) string {
	if share := p[2] / (p[2] + p[3]); share < 1e-4 {
		return fmt.Sprintf("dropout after a purchase is only %.2g, so this history does not show dropout", share)
	}
	return ""
}

func exponentials(logs []float64) []float64 {
	values := make([]float64, len(logs))
	for i, v := range logs {
		values[i] = math.Exp(v)
	}
	return values
}
