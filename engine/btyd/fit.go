package btyd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
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
	ErrNoOptimum = errors.New("the likelihood has no maximum that could be found; import more of the history")
)

// TooFewError tells what a fit needs and what it found.
type TooFewError struct {
	Customers, NeededCustomers int
	Repeaters, NeededRepeaters int
}

func (e *TooFewError) Error() string {
	return fmt.Sprintf("%v: found %d customers with %d repeaters, needed %d with %d; import more of the history, or wait until %d customers have bought and %d of them on two days or more",
		ErrTooFew, e.Customers, e.Repeaters, e.NeededCustomers, e.NeededRepeaters, e.NeededCustomers, e.NeededRepeaters)
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
	// Identifiable is false where these histories do not tell every parameter: one has run out of its range, or the
	// information at the optimum is singular. P(alive) must not be shown then. Reason says why, and what follows.
	Identifiable bool   `json:"identifiable"`
	Reason       string `json:"reason,omitempty"`
	// Fallback is purchasing without dropout, fitted to the same histories, where these do not show dropout; nil elsewhere.
	Fallback *NBD `json:"fallback,omitempty"`
}

// Predictor is the model to score customers with: the fitted one, also where a parameter has run away because all customers
// are alike; or purchasing without dropout where no dropout is visible.
func (f *Fit[M]) Predictor() Model {
	if f.Fallback != nil {
		return *f.Fallback
	}
	return f.Model
}

// Warning is a sentence about an identifiable fit that is hardly so, empty for others: the spread of dropout among customers
// (a or s) is known to no more than a factor of e.
func (f *Fit[M]) Warning() string {
	const shape = 2
	if !f.Identifiable || len(f.StandardErrors) <= shape {
		return ""
	}
	relative := f.StandardErrors[shape] / f.Model.Parameters()[shape]
	if relative <= 1 {
		return ""
	}
	return fmt.Sprintf("this history hardly shows dropout: ln %s has a standard error of %.2g, so P(alive) is rough", f.Model.ParameterNames()[shape], relative)
}

// purchaseStarts are the starting points of every purchase fit, as logarithms of the parameters in weeks.
var purchaseStarts = [][]float64{{0, 0, 0, 0}, {-1, 1, 0, 1}, {2, 2, 2, 2}, {-3, 4, -2, 0}}

// FitBGNBD fits BG/NBD by maximum likelihood. Errors: ErrTooFew, ErrNoOptimum, an invalid group, or the context's.
func FitBGNBD(ctx context.Context, groups []Group, options FitOptions) (*Fit[BGNBD], error) {
	return fitPurchases(ctx, groups, options,
		func(data *histories) likelihood { return &geometricLikelihood{histories: data} },
		func(p []float64) BGNBD { return BGNBD{R: p[0], Alpha: p[1], A: p[2], B: p[3]} })
}

// FitMBGNBD fits MBG/NBD by maximum likelihood. Errors are those of FitBGNBD.
func FitMBGNBD(ctx context.Context, groups []Group, options FitOptions) (*Fit[MBGNBD], error) {
	return fitPurchases(ctx, groups, options,
		func(data *histories) likelihood { return &geometricLikelihood{histories: data, first: 1} },
		func(p []float64) MBGNBD { return MBGNBD{R: p[0], Alpha: p[1], A: p[2], B: p[3]} })
}

// FitParetoNBD fits Pareto/NBD by maximum likelihood. Errors are those of FitBGNBD.
func FitParetoNBD(ctx context.Context, groups []Group, options FitOptions) (*Fit[ParetoNBD], error) {
	return fitPurchases(ctx, groups, options,
		func(data *histories) likelihood { return newParetoLikelihood(data) },
		func(p []float64) ParetoNBD { return ParetoNBD{R: p[0], Alpha: p[1], S: p[2], Beta: p[3]} })
}

func fitPurchases[M Model](
	ctx context.Context, groups []Group, options FitOptions, newLikelihood func(*histories) likelihood, build func([]float64) M,
) (*Fit[M], error) {
	data, err := newHistories(groups, options.Workers)
	if err != nil {
		return nil, err
	}
	if data.customers < MinCustomers || data.repeaters < MinRepeaters {
		return nil, &TooFewError{data.customers, MinCustomers, data.repeaters, MinRepeaters}
	}
	top, err := climb(ctx, data, newLikelihood, purchaseStarts, options.Ridge)
	if err != nil {
		return nil, err
	}
	model := build(exponentials(top.logs))
	fit := &Fit[M]{
		Name: model.Name(), Model: model, StandardErrors: top.standardErrors, LogLikelihood: top.logLikelihood,
		Customers: data.customers, Repeaters: data.repeaters,
	}
	flaw := flawOf(model, top.standardErrors)
	if fit.Identifiable = flaw == ""; fit.Identifiable {
		return fit, nil
	}
	return fit, fit.fallBack(ctx, data, options, flaw)
}

// climb looks for the right hill on a sample, where there are many groups; only the climb to its top needs everybody.
func climb(
	ctx context.Context, data *histories, newLikelihood func(*histories) likelihood, starts [][]float64, ridge float64,
) (*optimum, error) {
	if sample := data.sample(); sample != nil {
		top, err := maximise(ctx, newLikelihood(sample), starts, ridge, nil)
		if err != nil {
			return nil, err
		}
		starts = [][]float64{top.logs}
	}
	return maximise(ctx, newLikelihood(data), starts, ridge, nil)
}

// worthOfDropout is the gain in log-likelihood that two more parameters must bring to be worth having (Akaike 1974).
const worthOfDropout = 2

// fallBack completes a fit with a flaw. The models hold purchasing without dropout as a limit (a or s to 0, b or beta to
// infinity); where that does as well, nothing of dropout is visible, whichever parameter has run away.
func (f *Fit[M]) fallBack(ctx context.Context, data *histories, options FitOptions, flaw string) error {
	top, err := climb(ctx, data, func(d *histories) likelihood { return &nbdLikelihood{d} }, [][]float64{{0, 1}, {-1, 2}, {2, 2}}, options.Ridge)
	if err != nil {
		return err
	}
	if f.LogLikelihood-top.logLikelihood < worthOfDropout {
		p := exponentials(top.logs)
		f.Fallback = &NBD{R: p[0], Alpha: p[1]}
		f.Reason = fmt.Sprintf("this history does not show dropout: without any the log-likelihood is %.2f, with it %.2f; so every customer counts as active",
			top.logLikelihood, f.LogLikelihood)
		return nil
	}
	f.Reason = flaw + "; so the model is at its edge, and P(alive) is not to be relied on"
	return nil
}

// flawOf says which parameters have run away and what of the customers that means, or that the parameters cannot be told
// apart, for want of standard errors; it is empty where there is nothing of the kind.
func flawOf(m Model, standardErrors []float64) string {
	names, p := m.ParameterNames(), m.Parameters()
	var out []string
	for i, v := range p {
		if !inRange(v) {
			out = append(out, fmt.Sprintf("%s = %.3g", names[i], v))
		}
	}
	first, second := p[2], p[3]
	_, pareto := m.(ParetoNBD)
	rare := !pareto && first/(first+second) < 1e-4
	if len(out) == 0 && !rare {
		if len(standardErrors) == 0 {
			return flat
		}
		return ""
	}
	var meaning []string
	if p[0] > highest {
		meaning = append(meaning, "all customers buy at about the same rate while they are active")
	}
	const alike = 100 // a coefficient of variation of a tenth
	switch {
	case pareto && first > alike && first+second > highest:
		meaning = append(meaning, "all customers leave at about the same rate")
	case pareto && second < lowest:
		meaning = append(meaning, "customers leave right after the first purchase or late")
	case pareto:
	case rare:
		meaning = append(meaning, fmt.Sprintf("hardly anybody leaves after a purchase (%.2g)", first/(first+second)))
	case first+second > highest && first > alike && second > alike:
		meaning = append(meaning, "all customers are about equally likely to leave after a purchase")
	case first < lowest && second < lowest:
		meaning = append(meaning, "customers leave at the first chance or never")
	}
	if len(meaning) == 0 {
		meaning = []string{"the likelihood grows towards an edge"}
	}
	text := strings.Join(meaning, ", and ")
	if len(out) > 0 {
		text += fmt.Sprintf(" (%s, out of the range %g to %g)", strings.Join(out, ", "), lowest, highest)
	}
	return text
}

const flat = "the likelihood is flat along a line of parameters, which cannot be told apart"

// The likelihood is flat outside this range of the parameters.
const lowest, highest = 1e-3, 1e4

func inRange(v float64) bool { return v >= lowest && v <= highest }

func exponentials(logs []float64) []float64 {
	values := make([]float64, len(logs))
	for i, v := range logs {
		values[i] = math.Exp(v)
	}
	return values
}
