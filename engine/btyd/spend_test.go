package btyd

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

func simulateSpends(m GammaGamma, customers int, seed uint64) []Spend {
	spends := make([]Spend, customers)
	for i := range spends {
		source := rand.NewPCG(seed, uint64(i))
		x := 1 + int(distuv.Poisson{Lambda: 2, Src: source}.Rand())
		scale := distuv.Gamma{Alpha: m.Q, Beta: m.Gamma, Src: source}.Rand()
		total := distuv.Gamma{Alpha: m.P * float64(x), Beta: scale, Src: source}.Rand()
		spends[i] = Spend{X: x, Mean: total / float64(x)}
	}
	return spends
}

func TestGammaGammaRecoversSimulatedParameters(t *testing.T) {
	t.Parallel()
	m := GammaGamma{P: 5, Q: 4, Gamma: 20}
	fit, err := FitGammaGamma(t.Context(), simulateSpends(m, 5000, 1), FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	within(t, m.ParameterNames(), fit.Model.Parameters(), fit.StandardErrors, m.Parameters())
	near(t, "correlation", fit.Correlation, 0, 0.06)
}

// In another currency gamma and the median are multiplied, and nothing else changes.
func TestGammaGammaInAnotherCurrency(t *testing.T) {
	t.Parallel()
	spends := simulateSpends(GammaGamma{P: 5, Q: 4, Gamma: 20}, 800, 2)
	first, err := FitGammaGamma(t.Context(), spends, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const yen = 150_000
	for i := range spends {
		spends[i].Mean *= yen
	}
	second, err := FitGammaGamma(t.Context(), spends, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "p", second.Model.P, first.Model.P, 1e-6)
	near(t, "q", second.Model.Q, first.Model.Q, 1e-6)
	near(t, "gamma", second.Model.Gamma/yen, first.Model.Gamma, 1e-5)
	near(t, "standard error of gamma", second.StandardErrors[2]/yen, first.StandardErrors[2], 1e-3)
	near(t, "median", second.Median/yen, first.Median, 1e-9)
	near(t, "log-likelihood", second.LogLikelihood, first.LogLikelihood-800*math.Log(yen), 1e-6)
	sum := 0.0
	for _, s := range spends {
		sum += second.Model.LogLikelihood(s)
	}
	near(t, "sum of log-likelihoods", sum, second.LogLikelihood, 1e-6)
}

// The density of the mean of x purchases has total mass 1 and, per customer, the mean that ExpectedValue gives for new ones.
func TestGammaGammaDensity(t *testing.T) {
	t.Parallel()
	m := GammaGamma{P: 6.25, Q: 3.74, Gamma: 15.44}
	for _, x := range []int{1, 3, 20} {
		density := func(v float64) float64 { return math.Exp(m.LogLikelihood(Spend{X: x, Mean: math.Exp(v)}) + v) }
		near(t, "mass", panels(density, -25, 25, 400), 1, 1e-9)
		mean := panels(func(v float64) float64 { return math.Exp(v) * density(v) }, -25, 25, 400)
		want, _ := m.ExpectedValue(Spend{})
		near(t, "mean", mean, want, 1e-6)
	}
}

func TestSpendWithoutMean(t *testing.T) {
	t.Parallel()
	fit := SpendFit{Model: GammaGamma{P: 2, Q: 0.8, Gamma: 10}, Median: 33}
	for _, c := range []struct {
		spend    Spend
		want     float64
		modelled bool
	}{{Spend{}, 33, false}, {Spend{X: 1, Mean: 20}, 2 * 30 / 1.8, true}} {
		value, modelled := fit.ExpectedValue(c.spend)
		near(t, "expected value", value, c.want, 1e-9)
		if modelled != c.modelled {
			t.Errorf("%+v: by the model %v", c.spend, modelled)
		}
	}
}

func TestSpendRefusals(t *testing.T) {
	t.Parallel()
	spends := simulateSpends(GammaGamma{P: 5, Q: 4, Gamma: 20}, 49, 3)
	spends = append(spends, Spend{X: 0, Mean: 5}, Spend{X: 2, Mean: 0}, Spend{X: 2, Mean: math.NaN()})
	_, err := FitGammaGamma(t.Context(), spends, FitOptions{})
	var few *TooFewError
	if !errors.As(err, &few) || few.Repeaters != 49 {
		t.Errorf("49 repeaters: %v", err)
	}

	// Subscriptions: every customer pays the same each time, however often.
	var subscriptions []Spend
	for i, s := range simulateSpends(GammaGamma{P: 5, Q: 4, Gamma: 20}, 400, 4) {
		subscriptions = append(subscriptions, Spend{X: 1 + i%40, Mean: s.Mean})
	}
	if fit, err := FitGammaGamma(t.Context(), subscriptions, FitOptions{}); !errors.Is(err, ErrDegenerateSpend) {
		t.Errorf("subscriptions: %+v, %v", fit, err)
	}
}
