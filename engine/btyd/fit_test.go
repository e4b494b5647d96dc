package btyd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat/distuv"
)

// simulate draws customers of a model who made their first purchase at a uniform time in the given weeks before now.
// Times fall on whole days, as a shop's do.
func simulate(m Model, customers int, shortest, longest float64, seed uint64) []History {
	histories, _ := simulateOn(m, customers, shortest, longest, 0, seed)
	return histories
}

// simulateOn also tells how many purchases each of them makes in the given weeks after now.
func simulateOn(m Model, customers int, shortest, longest, weeks float64, seed uint64) (histories []History, later []int) {
	histories, later = make([]History, customers), make([]int, customers)
	for i := range histories {
		source := rand.NewPCG(seed, uint64(i))
		uniform := distuv.Uniform{Min: shortest, Max: longest, Src: source}
		day := func(weeks float64) float64 { return math.Floor(weeks*DaysPerWeek) / DaysPerWeek }
		h := History{T: day(uniform.Rand())}
		active := m.Active()
		rate := distuv.Gamma{Alpha: active.R, Beta: active.Alpha, Src: source}.Rand()
		until, stop := math.Inf(1), 0.0
		switch m := m.(type) {
		case BGNBD:
			stop = distuv.Beta{Alpha: m.A, Beta: m.B, Src: source}.Rand()
		case MBGNBD:
			stop = distuv.Beta{Alpha: m.A, Beta: m.B, Src: source}.Rand()
			if (distuv.Uniform{Max: 1, Src: source}).Rand() < stop {
				until = 0
			}
		case ParetoNBD:
			until = distuv.Exponential{Rate: distuv.Gamma{Alpha: m.S, Beta: m.Beta, Src: source}.Rand(), Src: source}.Rand()
		}
		wait := distuv.Exponential{Rate: rate, Src: source}
		chance := distuv.Uniform{Max: 1, Src: source}
		last := 0.0
		for at := wait.Rand(); at <= math.Min(until, h.T+weeks); at += wait.Rand() {
			if day(at) > last { // purchases of one day are one
				last = day(at)
				if last > h.T {
					later[i]++
				} else {
					h.X++
					h.Tx = last
				}
			}
			if chance.Rand() < stop {
				break
			}
		}
		histories[i] = h
	}
	return histories, later
}

func within(t *testing.T, names []string, got, errs, want []float64) {
	t.Helper()
	if len(errs) != len(want) {
		t.Fatalf("no standard errors: %v", errs)
	}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 4*errs[i] || errs[i] > want[i] {
			t.Errorf("%s = %.4g with standard error %.2g, simulated with %g", names[i], got[i], errs[i], want[i])
		}
	}
}

// Parameters that customers were simulated with come back within four standard errors. Rates are low, so that merging
// the purchases of a day, which the models know nothing of, does not show.
func TestFitsRecoverSimulatedParameters(t *testing.T) {
	t.Parallel()
	t.Run("bg", func(t *testing.T) {
		t.Parallel()
		m := BGNBD{0.7, 12, 0.8, 2.4}
		groups, _ := GroupHistories(simulate(m, 6000, 30, 100, 1))
		fit, err := FitBGNBD(t.Context(), groups, FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		within(t, m.ParameterNames(), fit.Model.Parameters(), fit.StandardErrors, m.Parameters())
	})
	t.Run("mbg", func(t *testing.T) {
		t.Parallel()
		m := MBGNBD{0.7, 12, 0.8, 2.4}
		groups, _ := GroupHistories(simulate(m, 6000, 30, 100, 2))
		fit, err := FitMBGNBD(t.Context(), groups, FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		within(t, m.ParameterNames(), fit.Model.Parameters(), fit.StandardErrors, m.Parameters())
	})
	t.Run("pareto", func(t *testing.T) {
		t.Parallel()
		m := ParetoNBD{0.7, 12, 0.9, 20}
		groups, _ := GroupHistories(simulate(m, 6000, 30, 100, 3))
		fit, err := FitParetoNBD(t.Context(), groups, FitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		within(t, m.ParameterNames(), fit.Model.Parameters(), fit.StandardErrors, m.Parameters())
	})
}

func TestPredictionsOfSimulatedCustomers(t *testing.T) {
	t.Parallel()
	for i, m := range []Model{BGNBD{0.5, 6, 0.8, 2.4}, MBGNBD{0.7, 8, 0.8, 2.4}, ParetoNBD{0.6, 9, 0.9, 20}} {
		mean, none := 0.0, 0.0
		const customers = 40_000
		for _, h := range simulate(m, customers, 39.01, 39.02, uint64(10+i)) {
			mean += float64(h.X) / customers
			if h.X == 0 {
				none += 1.0 / customers
			}
		}
		near(t, m.Name()+" mean", mean, m.ExpectedNew(39), 0.05)
		near(t, m.Name()+" none", none, m.NoPurchase(History{}, 39), 0.01)
	}
}

// Customers who never drop out leave nothing to see of dropout.
func TestDropoutThatCannotBeSeen(t *testing.T) {
	t.Parallel()
	groups, _ := GroupHistories(simulate(NBD{1.2, 6}, 1000, 4, 30, 5))
	bg, err := FitBGNBD(t.Context(), groups, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mbg, err := FitMBGNBD(t.Context(), groups, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pareto, err := FitParetoNBD(t.Context(), groups, FitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h := History{X: 3, Tx: 5, T: 20}
	for _, c := range []struct {
		name         string
		identifiable bool
		reason       string
		predictor    Model
	}{
		{bg.Name, bg.Identifiable, bg.Reason, bg.Predictor()},
		{mbg.Name, mbg.Identifiable, mbg.Reason, mbg.Predictor()},
		{pareto.Name, pareto.Identifiable, pareto.Reason, pareto.Predictor()},
	} {
		if c.identifiable || !strings.Contains(c.reason, "does not show dropout") {
			t.Errorf("%s: identifiable %v, reason %q", c.name, c.identifiable, c.reason)
		}
		near(t, c.name+" P0", c.predictor.NoPurchase(h, 13), math.Pow(26.0/39, 4.2), 0.03)
	}
}

// Where a parameter runs away, the reason says why, and what the fit predicts comes true: without dropout only where none is
// visible.
func TestFitsAtTheEdgePredictWhatComes(t *testing.T) {
	t.Parallel()
	bg := func(ctx context.Context, groups []Group) (edge, error) {
		f, err := FitBGNBD(ctx, groups, FitOptions{})
		if err != nil {
			return edge{}, err
		}
		return edge{f.Predictor(), f.Identifiable, f.Reason, f.Fallback}, nil
	}
	mbg := func(ctx context.Context, groups []Group) (edge, error) {
		f, err := FitMBGNBD(ctx, groups, FitOptions{})
		if err != nil {
			return edge{}, err
		}
		return edge{f.Predictor(), f.Identifiable, f.Reason, f.Fallback}, nil
	}
	pareto := func(ctx context.Context, groups []Group) (edge, error) {
		f, err := FitParetoNBD(ctx, groups, FitOptions{})
		if err != nil {
			return edge{}, err
		}
		return edge{f.Predictor(), f.Identifiable, f.Reason, f.Fallback}, nil
	}
	const sameRate, noDropout = "buy at about the same rate", "does not show dropout"
	for _, c := range []struct {
		name   string
		truth  Model
		seed   uint64
		fit    func(context.Context, []Group) (edge, error)
		reason string
	}{
		{"bg, nobody leaves", NBD{1.2, 20}, 1, bg, noDropout},
		{"mbg, nobody leaves", NBD{1.2, 20}, 1, mbg, noDropout},
		{"pareto, nobody leaves", NBD{1.2, 20}, 1, pareto, noDropout},
		{"bg, all leave alike", BGNBD{1.2, 24, 3e6, 7e6}, 3, bg, "equally likely to leave after a purchase"},
		{"mbg, all leave alike", MBGNBD{1.2, 12, 3e6, 7e6}, 1, mbg, "equally likely to leave after a purchase"},
		{"pareto, all leave alike", ParetoNBD{1.2, 6, 1e6, 2e7}, 1, pareto, "leave at about the same rate"},
		{"mbg, all buy alike", MBGNBD{5e6, 4e7, 0.8, 2.4}, 1, mbg, sameRate},
		{"pareto, all buy alike", ParetoNBD{5e6, 4e7, 0.9, 20}, 1, pareto, sameRate},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const customers, weeks = 2500, 26
			histories, later := simulateOn(c.truth, customers, 10, 60, weeks, c.seed)
			groups, _ := GroupHistories(histories)
			fit, err := c.fit(t.Context(), groups)
			if err != nil {
				t.Fatal(err)
			}
			if fit.identifiable || !strings.Contains(fit.reason, c.reason) || (fit.fallback != nil) != (c.reason == noDropout) {
				t.Errorf("identifiable %v, reason %q, fallback %v", fit.identifiable, fit.reason, fit.fallback)
			}
			expected, none, bought, silent := 0.0, 0.0, 0.0, 0.0
			for i, h := range histories {
				expected += fit.predictor.Expected(h, weeks) / customers
				none += fit.predictor.NoPurchase(h, weeks) / customers
				bought += float64(later[i]) / customers
				if later[i] == 0 {
					silent += 1.0 / customers
				}
			}
			near(t, "purchases of a customer", expected, bought, 0.07*bought+0.02)
			near(t, "share without a purchase", none, silent, 0.02)
		})
	}
}

func TestFlaws(t *testing.T) {
	t.Parallel()
	known := []float64{1, 1, 1, 1}
	for _, c := range []struct {
		model Model
		errs  []float64
		want  string
	}{
		{MBGNBD{0.5, 6, 0.9, 1.6}, known, ""},
		{MBGNBD{0.5, 6, 0.9, 1.6}, nil, "cannot be told apart"},
		{ParetoNBD{0.5, 6, 1e-3, 1e4}, known, ""},
		{BGNBD{0.5, 6, 2e-3, 50}, known, "hardly anybody leaves after a purchase (4e-05)"},
		{BGNBD{0.5, 6, 2e-4, 1}, known, "the likelihood grows towards an edge (a = 0.0002, out of the range 0.001 to 10000)"},
		{MBGNBD{0.5, 6, 2e-4, 5e-4}, known, "customers leave at the first chance or never (a = 0.0002, b = 0.0005,"},
		{MBGNBD{0.5, 6, 9e4, 200}, known, "equally likely to leave after a purchase (a = 9e+04, out"},
		{MBGNBD{0.5, 6, 3, 2e4}, known, "the likelihood grows towards an edge (b = 2e+04, out"},
		{MBGNBD{5e4, 1e5, 4e4, 9e4}, known, "at about the same rate while they are active, and all customers are about equally"},
		{ParetoNBD{0.5, 6, 5e3, 2e4}, known, "leave at about the same rate (beta = 2e+04, out"},
		{ParetoNBD{0.5, 6, 0.02, 1e-5}, known, "right after the first purchase or late (beta = 1e-05, out"},
		{ParetoNBD{2e4, 4e5, 0.6, 11}, known, "buy at about the same rate while they are active (r = 2e+04, alpha = 4e+05, out"},
	} {
		if got := flawOf(c.model, c.errs); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%+v: %q, want %q", c.model, got, c.want)
		}
	}
}

// edge is what there is to tell of a fit at the edge of its parameters.
type edge struct {
	predictor    Model
	identifiable bool
	reason       string
	fallback     *NBD
}

func TestTimeUnitChangesNothingButTimes(t *testing.T) {
	t.Parallel()
	data := loadCDNOW(t)
	days := slices.Clone(data.histories)
	for i := range days {
		days[i].Tx *= DaysPerWeek
		days[i].T *= DaysPerWeek
	}
	weekly, _ := GroupHistories(data.histories)
	daily, _ := GroupHistories(days)
	options := FitOptions{}

	bgWeeks, err1 := FitBGNBD(t.Context(), weekly, options)
	bgDays, err2 := FitBGNBD(t.Context(), daily, options)
	mbgWeeks, err3 := FitMBGNBD(t.Context(), weekly, options)
	mbgDays, err4 := FitMBGNBD(t.Context(), daily, options)
	paretoWeeks, err5 := FitParetoNBD(t.Context(), weekly, options)
	paretoDays, err6 := FitParetoNBD(t.Context(), daily, options)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		weeks, days Model
		scaled      []float64 // factor of each parameter
	}{
		{bgWeeks.Model, bgDays.Model, []float64{1, 7, 1, 1}},
		{mbgWeeks.Model, mbgDays.Model, []float64{1, 7, 1, 1}},
		{paretoWeeks.Model, paretoDays.Model, []float64{1, 7, 1, 7}},
	} {
		for i, p := range c.weeks.Parameters() {
			near(t, c.weeks.ParameterNames()[i], c.days.Parameters()[i], p*c.scaled[i], 1e-5*p*c.scaled[i])
		}
		h := History{X: 3, Tx: 11, T: 30}
		inDays := History{X: 3, Tx: 77, T: 210}
		near(t, "P(alive)", c.days.PAlive(inDays), c.weeks.PAlive(h), 1e-6)
		near(t, "P0", c.days.NoPurchase(inDays, 90), c.weeks.NoPurchase(h, 90.0/7), 1e-6)
		near(t, "expected", c.days.Expected(inDays, 365), c.weeks.Expected(h, 365.0/7), 1e-5)
	}
	// Each repeat purchase has a density in time, which is 7 times smaller per day.
	near(t, "log-likelihood", bgDays.LogLikelihood, bgWeeks.LogLikelihood-2457*math.Log(7), 1e-5)
}

func TestFitDoesNotDependOnWorkersOrOrder(t *testing.T) {
	t.Parallel()
	histories := simulate(MBGNBD{0.7, 5, 0.8, 2.4}, 30_000, 10, 100, 7)
	groups, _ := GroupHistories(histories)
	one, err := FitMBGNBD(t.Context(), groups, FitOptions{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(histories)
	groups, _ = GroupHistories(histories)
	many, err := FitMBGNBD(t.Context(), groups, FitOptions{Workers: 7})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one, many); diff != "" {
		t.Errorf("one worker against seven (-one +seven):\n%s", diff)
	}
}

func TestGradientsAgainstDifferences(t *testing.T) {
	t.Parallel()
	groups, _ := GroupHistories(simulate(MBGNBD{0.7, 5, 0.8, 2.4}, 400, 1, 100, 8))
	data, err := newHistories(groups, 2)
	if err != nil {
		t.Fatal(err)
	}
	spends := simulateSpends(GammaGamma{6, 4, 15}, 300, 8)
	points := [][]float64{{0.5, 6, 0.8, 2}, {3, 0.2, 0.05, 9}, {0.02, 70, 20, 0.3}}
	for name, l := range map[string]likelihood{
		"bg":     &geometricLikelihood{histories: data},
		"mbg":    &geometricLikelihood{histories: data, first: 1},
		"pareto": newParetoLikelihood(data),
		"spend":  newSpendLikelihood(spends, 2),
	} {
		for _, p := range points {
			if name == "spend" {
				p = p[:3]
			}
			gradient := make([]float64, len(p))
			l.evaluate(p, gradient)
			for i := range p {
				step := 1e-5 * p[i]
				up, down := slices.Clone(p), slices.Clone(p)
				up[i] += step
				down[i] -= step
				unused := make([]float64, len(p))
				want := (l.evaluate(up, unused) - l.evaluate(down, unused)) / (2 * step)
				near(t, fmt.Sprintf("%s at %v, derivative %d", name, p, i), gradient[i], want, 1e-5*(math.Abs(want)+10/p[i]))
			}
		}
	}
}

// The likelihood that is maximised is the one that Model reports for a customer.
func TestFitSumsTheModelsLikelihood(t *testing.T) {
	t.Parallel()
	histories := simulate(ParetoNBD{0.6, 9, 0.9, 20}, 1000, 5, 60, 9)
	groups, _ := GroupHistories(histories)
	bg, err1 := FitBGNBD(t.Context(), groups, FitOptions{})
	mbg, err2 := FitMBGNBD(t.Context(), groups, FitOptions{Ridge: 0.001})
	pareto, err3 := FitParetoNBD(t.Context(), groups, FitOptions{})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		model Model
		sum   float64
	}{{bg.Model, bg.LogLikelihood}, {mbg.Model, mbg.LogLikelihood}, {pareto.Model, pareto.LogLikelihood}} {
		total := 0.0
		for _, h := range histories {
			total += c.model.LogLikelihood(h)
		}
		near(t, c.model.Name(), c.sum, total, 1e-8*math.Abs(total))
	}
}

func TestFitRefusals(t *testing.T) {
	t.Parallel()
	enough, _ := GroupHistories(simulate(BGNBD{0.7, 12, 0.8, 2.4}, 400, 30, 100, 1))
	few := []Group{{History{T: 5}, 199}, {History{X: 1, Tx: 1, T: 5}, 30}}

	_, err := FitBGNBD(t.Context(), few, FitOptions{})
	var short *TooFewError
	if !errors.Is(err, ErrTooFew) || !errors.As(err, &short) {
		t.Fatalf("error = %v", err)
	}
	want := TooFewError{Customers: 229, NeededCustomers: 200, Repeaters: 30, NeededRepeaters: 50}
	if diff := cmp.Diff(want, *short); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if _, err := FitParetoNBD(t.Context(), nil, FitOptions{}); !errors.Is(err, ErrTooFew) {
		t.Errorf("no groups: %v", err)
	}
	invalid := append(slices.Clone(enough), Group{History{X: 2, Tx: 9, T: 5}, 1})
	if _, err := FitMBGNBD(t.Context(), invalid, FitOptions{}); err == nil || !strings.Contains(err.Error(), "GroupHistories") {
		t.Errorf("invalid group: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := FitBGNBD(cancelled, enough, FitOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestGroupHistories(t *testing.T) {
	t.Parallel()
	groups, rejected := GroupHistories([]History{
		{2, 3, 4},
		{0, 0, 4},
		{2, 3, 4},
		{0, 0, 3},
		{X: 1, T: 4},
		{Tx: 1, T: 4},
		{2, 5, 4},
		{-1, 1, 4},
		{2, -1, 4},
		{0, 0, -1},
		{0, 0, math.NaN()},
		{1, 1, math.Inf(1)},
	})
	want := []Group{{History{0, 0, 3}, 1}, {History{0, 0, 4}, 1}, {History{2, 3, 4}, 2}}
	if diff := cmp.Diff(want, groups); diff != "" || rejected != 8 {
		t.Errorf("rejected %d, groups (-want +got):\n%s", rejected, diff)
	}
	if h := HistoryOfDays(3, 7, 21); h != (History{X: 3, Tx: 1, T: 3}) {
		t.Errorf("history of days = %+v", h)
	}
}
