package btyd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat"
)

// ErrDegenerateSpend says that the Gamma-Gamma likelihood grows towards p = infinity, as it does where all purchases of
// a customer cost the same. Use the customer's own mean instead.
var ErrDegenerateSpend = errors.New("spend does not vary within customers, so Gamma-Gamma has no maximum; use each customer's own mean")

// MaxSpendCorrelation is the absolute correlation of frequency and mean spend above which the independence that
// Gamma-Gamma assumes is doubtful.
const MaxSpendCorrelation = 0.3

// maxSpendShape is the p above which a fit lies on the degenerate ridge p -> infinity, gamma -> 0.
const maxSpendShape = 1000

// Spend is what the spend model knows of one customer.
type Spend struct {
	// X counts repeat purchases.
	X int `json:"x"`
	// Mean is the mean value of the X repeat purchases in the store's currency; the first purchase is left out.
	Mean float64 `json:"mean"`
}

// usable tells whether the spend can enter a fit.
func (s Spend) usable() bool { return s.X >= 1 && s.Mean > 0 && !math.IsInf(s.Mean, 1) }

// GammaGamma is the spend model of Fader, Hardie 2013 ("The Gamma-Gamma model of monetary value"): the value of a
// purchase is Gamma(p, nu), and nu is Gamma(q, gamma) among customers. Gamma is in the store's currency.
type GammaGamma struct {
	P     float64 `json:"p"`
	Q     float64 `json:"q"`
	Gamma float64 `json:"gamma"`
}

// Name returns gamma_gamma.
func (GammaGamma) Name() string { return "gamma_gamma" }

// ParameterNames returns p, q, gamma.
func (GammaGamma) ParameterNames() []string { return []string{"p", "q", "gamma"} }

// Parameters returns p, q, gamma.
func (m GammaGamma) Parameters() []float64 { return []float64{m.P, m.Q, m.Gamma} }

// LogLikelihood is the logarithm of the density of the mean value of x repeat purchases (eq. 1a of the note). It is 0 for
// customers whom the fit leaves out.
func (m GammaGamma) LogLikelihood(s Spend) float64 {
	if !s.usable() {
		return 0
	}
	x := float64(s.X)
	shape := m.P * x
	return logGamma(shape+m.Q) - logGamma(shape) - logGamma(m.Q) +
		m.Q*math.Log(m.Gamma) + (shape-1)*math.Log(s.Mean) + shape*math.Log(x) -
		(shape+m.Q)*math.Log(m.Gamma+s.Mean*x)
}

// ExpectedValue is the expected value of a purchase given the customer's history, eq. 5 of the note: p (gamma + x mean) /
// (px + q - 1). ok is false where that mean does not exist (px + q <= 1); the value is then 0.
func (m GammaGamma) ExpectedValue(s Spend) (value float64, ok bool) {
	x := float64(max(s.X, 0))
	if m.P*x+m.Q <= 1 {
		return 0, false
	}
	return m.P * (m.Gamma + x*s.Mean) / (m.P*x + m.Q - 1), true
}

// SpendFit is a fitted spend model.
type SpendFit struct {
	Name           string     `json:"name"`
	Model          GammaGamma `json:"parameters"`
	StandardErrors []float64  `json:"standard_errors"`
	LogLikelihood  float64    `json:"log_likelihood"`
	// Customers counts those with x >= 1 and a mean above 0; the others are left out.
	Customers int `json:"customers"`
	// Correlation is Pearson's, of x and the mean. The model assumes independence; see MaxSpendCorrelation.
	Correlation float64 `json:"correlation"`
	// Median of the customers' means stands in where the model has no mean.
	Median float64 `json:"median"`
	// Identifiable is false where the population mean does not exist (q <= 1) or a parameter has run out of its range.
	Identifiable bool   `json:"identifiable"`
	Reason       string `json:"reason,omitempty"`
}

// Warning is a sentence about what the model takes for granted and these customers contradict; empty where they do not.
func (f *SpendFit) Warning() string {
	if math.Abs(f.Correlation) <= MaxSpendCorrelation {
		return ""
	}
	return fmt.Sprintf("frequency and value go together (correlation %.2f), which the model takes for independent, so expected values are doubtful", f.Correlation)
}

// ExpectedValue is that of the model, or the median where the model has none; modelled is false then.
func (f *SpendFit) ExpectedValue(s Spend) (value float64, modelled bool) {
	if v, ok := f.Model.ExpectedValue(s); ok {
		return v, true
	}
	return f.Median, false
}

// FitGammaGamma fits the spend model by maximum likelihood on the customers with x >= 1 and a mean above 0. Errors:
// ErrTooFew below MinRepeaters of them, ErrDegenerateSpend, or the context's.
func FitGammaGamma(ctx context.Context, spends []Spend, options FitOptions) (*SpendFit, error) {
	data := newSpendLikelihood(spends, options.Workers)
	if n := len(data.spends); n < MinRepeaters {
		return nil, &TooFewError{n, MinRepeaters, n, MinRepeaters}
	}
	starts := [][]float64{{1, 1, 0}, {0, 0, 0}, {2, 1.5, -1}, {-1, 0.5, 1}, {0.5, 2, 2}}
	top, err := maximise(ctx, data, starts, options.Ridge,
		func(logs []float64) bool { return logs[0] > math.Log(maxSpendShape) })
	if errors.Is(err, ErrNoOptimum) {
		return nil, ErrDegenerateSpend
	}
	if err != nil {
		return nil, err
	}
	p := exponentials(top.logs)
	model := GammaGamma{P: p[0], Q: p[1], Gamma: p[2] * data.unit}
	fit := &SpendFit{
		Name: model.Name(), Model: model, StandardErrors: top.standardErrors,
		// The density of the mean in the store's currency, not in units of the average.
		LogLikelihood: top.logLikelihood - data.size()*math.Log(data.unit),
		Customers:     len(data.spends), Correlation: data.correlation(), Median: data.median(),
	}
	if len(fit.StandardErrors) == 3 {
		fit.StandardErrors[2] *= data.unit
	}
	fit.Reason = spendFlaw(p, top.standardErrors)
	fit.Identifiable = fit.Reason == ""
	return fit, nil
}

// spendFlaw takes gamma in units of the average spend.
func spendFlaw(p, standardErrors []float64) string {
	for i, name := range []string{"p", "q", "gamma/mean"} {
		if !inRange(p[i]) {
			return fmt.Sprintf("%s = %.3g has run out of the range %g to %g", name, p[i], lowest, highest)
		}
	}
	switch {
	case p[1] <= 1:
		return fmt.Sprintf("q = %.3g is not above 1, so the population has no mean spend; the median is used", p[1])
	case len(standardErrors) == 0:
		return flat
	default:
		return ""
	}
}

// spendLikelihood is that of Gamma-Gamma with spend measured in units of its average, so that the starts suit every
// currency.
type spendLikelihood struct {
	spends  []Spend
	repeats []repeatCount
	unit    float64
	fixed   float64 // minus sum ln mean
	perP    float64 // sum x ln(x mean)
	workers int
}

func newSpendLikelihood(spends []Spend, workers int) *spendLikelihood {
	l := &spendLikelihood{workers: usableWorkers(workers)}
	total := 0.0
	for _, s := range spends {
		if s.usable() {
			l.spends = append(l.spends, s)
			total += s.Mean
		}
	}
	if len(l.spends) == 0 {
		return l
	}
	l.unit = total / float64(len(l.spends))
	slices.SortFunc(l.spends, func(a, b Spend) int {
		return compareHistories(History{X: a.X, T: a.Mean}, History{X: b.X, T: b.Mean})
	})
	for i := range l.spends {
		s := &l.spends[i]
		s.Mean /= l.unit
		x := float64(s.X)
		l.fixed -= math.Log(s.Mean)
		l.perP += x * math.Log(x*s.Mean)
		if n := len(l.repeats); n > 0 && l.repeats[n-1].x == s.X {
			l.repeats[n-1].customers++
		} else {
			l.repeats = append(l.repeats, repeatCount{x: s.X, customers: 1})
		}
	}
	return l
}

func (l *spendLikelihood) size() float64 { return float64(len(l.spends)) }

func (l *spendLikelihood) evaluate(parameters, gradient []float64) float64 {
	p, q, gamma := parameters[0], parameters[1], parameters[2]
	logGam := math.Log(gamma)
	total := sums{
		l.fixed + p*l.perP + l.size()*(q*logGam-logGamma(q)),
		l.perP,
		l.size() * (logGam - mathext.Digamma(q)),
		l.size() * q / gamma,
	}
	for _, c := range l.repeats {
		x := float64(c.x)
		total[0] += c.customers * (logGamma(p*x+q) - logGamma(p*x))
		both := mathext.Digamma(p*x + q)
		total[1] += c.customers * x * (both - mathext.Digamma(p*x))
		total[2] += c.customers * both
	}
	chunks := sumChunks(len(l.spends), l.workers, func(low, high int) sums {
		var s sums
		for _, c := range l.spends[low:high] {
			x := float64(c.X)
			shape, base := p*x+q, gamma+x*c.Mean
			log := math.Log(base)
			s[0] -= shape * log
			s[1] -= x * log
			s[2] -= log
			s[3] -= shape / base
		}
		return s
	})
	for i, v := range chunks {
		total[i] += v
	}
	copy(gradient, total[1:4])
	return total[0]
}

func (l *spendLikelihood) correlation() float64 {
	x, mean := make([]float64, len(l.spends)), make([]float64, len(l.spends))
	for i, s := range l.spends {
		x[i], mean[i] = float64(s.X), s.Mean
	}
	c := stat.Correlation(x, mean, nil)
	if math.IsNaN(c) {
		return 0 // one of them is constant
	}
	return c
}

func (l *spendLikelihood) median() float64 {
	means := make([]float64, len(l.spends))
	for i, s := range l.spends {
		means[i] = s.Mean
	}
	slices.Sort(means)
	n := len(means)
	return l.unit * (means[(n-1)/2] + means[n/2]) / 2
}
