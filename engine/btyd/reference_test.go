package btyd

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s = %.10g, want %.10g within %g", what, got, want, tolerance)
	}
}

func allNear(t *testing.T, what string, got, want, tolerance []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s = %v, want %v", what, got, want)
	}
	for i := range want {
		near(t, what, got[i], want[i], tolerance[i])
	}
}

// The data facts are those of Fader, Hardie, Lee 2005, table 2 and section 4.
func TestCDNOWHistories(t *testing.T) {
	t.Parallel()
	data := loadCDNOW(t)
	groups, rejected := GroupHistories(data.histories)
	customers, once, repeats, largest := 0, 0, 0, 0
	shortest, longest := math.Inf(1), 0.0
	for _, g := range groups {
		customers += g.Count
		repeats += g.Count * g.X
		if g.X == 0 {
			once += g.Count
		}
		largest = max(largest, g.X)
		shortest, longest = math.Min(shortest, g.T), math.Max(longest, g.T)
	}
	got := []int{customers, once, repeats, largest, rejected}
	if diff := cmp.Diff([]int{2357, 1411, 2457, 29, 0}, got); diff != "" {
		t.Errorf("customers, without repeat, repeats, most repeats, rejected (-want +got):\n%s", diff)
	}
	near(t, "shortest T", shortest, 27, 1e-9)
	near(t, "longest T", longest, 38.857, 0.0005)
}

// Fader, Hardie, Lee 2005, table 2 (BG/NBD) and section 4.2; expectations at the fit from their spreadsheet note
// ("Implementing the BG/NBD model in Microsoft Excel"); standard errors from the lifetimes package.
func TestBGNBDOnCDNOW(t *testing.T) {
	t.Parallel()
	groups, _ := GroupHistories(loadCDNOW(t).histories)
	fit, err := FitBGNBD(t.Context(), groups, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	allNear(t, "r, alpha, a, b", fit.Model.Parameters(),
		[]float64{0.243, 4.414, 0.793, 2.426}, []float64{0.0005, 0.0005, 0.0005, 0.0005})
	near(t, "log-likelihood", fit.LogLikelihood, -9582.43, 0.005)
	allNear(t, "standard errors", fit.StandardErrors,
		[]float64{0.01256, 0.3782, 0.1857, 0.7054}, []float64{0.0001, 0.001, 0.001, 0.002})
	if !fit.Identifiable || fit.Customers != 2357 || fit.Repeaters != 946 {
		t.Errorf("fit = %+v", fit)
	}

	for _, c := range []struct{ weeks, want float64 }{
		{0.1429, 0.0078},
		{1, 0.0532},
		{3, 0.1506},
		{31.8571, 1.0405},
		{32, 1.0437},
		{52, 1.4440},
		{78, 1.8576},
	} {
		near(t, "E[X(t)]", fit.Model.ExpectedNew(c.weeks), c.want, 0.0005)
	}
	near(t, "E[Y(39)]", fit.Model.Expected(History{X: 2, Tx: 30.43, T: 38.86}, 39), 1.226, 0.0005)
	frequent := History{X: 26, Tx: 30.857, T: 31}
	near(t, "E[Y(52)] for x = 26", fit.Model.Expected(frequent, 52), 25.757, 0.005)
	near(t, "P(alive) for x = 26", fit.Model.PAlive(frequent), 0.96885, 0.0002)
}

// Values of the lifetimes package's tests at the rounded parameters.
func TestBGNBDProbability(t *testing.T) {
	t.Parallel()
	m := BGNBD{R: 0.243, Alpha: 4.414, A: 0.793, B: 2.426}
	near(t, "P(X(2)=10)", m.Probability(10, 2), 1.0787e-7, 5e-12)
	near(t, "P(X(39)=0)", m.Probability(0, 39), 0.573786, 5e-7)
}

// Parameters as in the tests of the lifetimes package, which took them from BTYDplus. The log-likelihood is ours, at the
// parameters that agree with theirs.
func TestMBGNBDOnCDNOW(t *testing.T) {
	t.Parallel()
	groups, _ := GroupHistories(loadCDNOW(t).histories)
	fit, err := FitMBGNBD(t.Context(), groups, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	allNear(t, "r, alpha, a, b", fit.Model.Parameters(),
		[]float64{0.525, 6.183, 0.891, 1.614}, []float64{0.0005, 0.001, 0.0005, 0.001})
	near(t, "log-likelihood", fit.LogLikelihood, -9582.14, 0.005)
}

// Fader, Hardie 2005, "A note on implementing the Pareto/NBD model in MATLAB".
func TestParetoNBDOnCDNOW(t *testing.T) {
	t.Parallel()
	groups, _ := GroupHistories(loadCDNOW(t).histories)
	fit, err := FitParetoNBD(t.Context(), groups, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	allNear(t, "r, alpha, s, beta", fit.Model.Parameters(),
		[]float64{0.553, 10.578, 0.606, 11.669}, []float64{0.0005, 0.001, 0.0005, 0.001})
	near(t, "log-likelihood", fit.LogLikelihood, -9594.976, 0.0005)
}

// Fader, Hardie 2013, "The Gamma-Gamma model of monetary value", section 3: 946 repeaters, mean spend 35.
func TestGammaGammaOnCDNOW(t *testing.T) {
	t.Parallel()
	fit, err := FitGammaGamma(t.Context(), loadCDNOW(t).spends, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	allNear(t, "p, q, gamma", fit.Model.Parameters(), []float64{6.25, 3.74, 15.44}, []float64{0.005, 0.005, 0.01})
	near(t, "correlation", fit.Correlation, 0.114, 0.0005)
	if fit.Customers != 946 || !fit.Identifiable || fit.Warning() != "" {
		t.Errorf("fit = %+v", fit)
	}
	population, _ := fit.ExpectedValue(Spend{})
	near(t, "mean spend of the population", population, 35.2, 0.1)
}

// All of CDNOW, of which the sample above is a tenth. Nobody has published these fits, so they come from a second
// implementation: the likelihoods of the papers in NumPy with SciPy's hyp2f1, maximised by its Nelder-Mead to 1e-8.
func TestAllModelsOnFullCDNOW(t *testing.T) {
	t.Parallel()
	data := load(t, readFull)
	groups, _ := GroupHistories(data.histories)
	bg, err1 := FitBGNBD(t.Context(), groups, FitOptions{})
	mbg, err2 := FitMBGNBD(t.Context(), groups, FitOptions{})
	pareto, err3 := FitParetoNBD(t.Context(), groups, FitOptions{})
	spend, err4 := FitGammaGamma(t.Context(), data.spends, FitOptions{})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                 string
		parameters, want     []float64
		logLikelihood, wants float64
	}{
		{bg.Name, bg.Model.Parameters(), []float64{0.25162396, 4.78894297, 0.72343352, 2.16108837}, bg.LogLikelihood, -95368.443933},
		{mbg.Name, mbg.Model.Parameters(), []float64{0.63713974, 7.31028956, 0.80747414, 1.22839398}, mbg.LogLikelihood, -95336.958320},
		{pareto.Name, pareto.Model.Parameters(), []float64{0.59741998, 11.58565816, 0.52218571, 8.8277617}, pareto.LogLikelihood, -95415.118617},
		{spend.Name, spend.Model.Parameters(), []float64{6.2753589, 3.62445004, 14.98368729}, spend.LogLikelihood, -40763.476261},
	} {
		for i, want := range c.want {
			near(t, c.name, c.parameters[i], want, 1e-5*want)
		}
		near(t, c.name+" log-likelihood", c.logLikelihood, c.wants, 1e-4)
	}
	near(t, "correlation", spend.Correlation, 0.080153587659, 1e-9)

	if spend.Customers != 9450 || bg.Customers != 23_570 {
		t.Errorf("%d customers, %d with spend", bg.Customers, spend.Customers)
	}
}

func TestFitIsStoredAsJSON(t *testing.T) {
	t.Parallel()
	groups, _ := GroupHistories(loadCDNOW(t).histories)
	fit, err := FitParetoNBD(t.Context(), groups, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(fit)
	if err != nil {
		t.Fatal(err)
	}
	var back Fit[ParetoNBD]
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*fit, back); diff != "" {
		t.Errorf("after JSON (-want +got):\n%s", diff)
	}
	var keys struct {
		Parameters map[string]float64 `json:"parameters"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for _, name := range fit.Model.ParameterNames() {
		if _, there := keys.Parameters[name]; !there {
			t.Errorf("parameter %s is not in %s", name, text)
		}
	}
}
