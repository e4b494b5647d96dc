package btyd

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

func anyModel(t *rapid.T) Model {
	value := func(name string, low, high float64) float64 {
		return math.Exp(rapid.Float64Range(math.Log(low), math.Log(high)).Draw(t, name))
	}
	r, alpha := value("r", 1e-4, 2e5), value("alpha", 1e-4, 2e5)
	switch rapid.SampledFrom([]string{"bg_nbd", "mbg_nbd", "pareto_nbd", "nbd"}).Draw(t, "model") {
	case "bg_nbd":
		return BGNBD{r, alpha, value("a", 1e-6, 2e5), value("b", 1e-6, 2e5)}
	case "mbg_nbd":
		return MBGNBD{r, alpha, value("a", 1e-6, 2e5), value("b", 1e-6, 2e5)}
	case "pareto_nbd":
		return ParetoNBD{r, alpha, value("s", 1e-6, 2e5), value("beta", 1e-6, 2e5)}
	}
	return NBD{r, alpha}
}

func anyHistory(t *rapid.T) History {
	h := History{X: rapid.IntRange(0, 10_000).Draw(t, "x"), T: rapid.Float64Range(0, 2000).Draw(t, "T")}
	if h.T == 0 {
		h.X = 0
	}
	if h.X > 0 {
		h.Tx = h.T * rapid.Float64Range(1e-6, 1).Draw(t, "t_x/T")
	}
	return h
}

func TestPredictionsAreSound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, h := anyModel(t), anyHistory(t)
		weeks := rapid.Float64Range(0, 520).Draw(t, "weeks")
		further := weeks + rapid.Float64Range(0, 520).Draw(t, "further")

		if p := m.PAlive(h); !(p > 0 && p <= 1) {
			t.Errorf("P(alive) = %g", p)
		}
		if l := m.LogLikelihood(h); math.IsNaN(l) || math.IsInf(l, 0) {
			t.Errorf("log-likelihood = %g", l)
		}
		soon, late := m.NoPurchase(h, weeks), m.NoPurchase(h, further)
		if !(late >= 0 && late <= soon+1e-12 && soon <= 1) {
			t.Errorf("P(no purchase) = %g in %g weeks, %g in %g", soon, weeks, late, further)
		}
		few, many := m.Expected(h, weeks), m.Expected(h, further)
		if !(few >= 0 && few <= many*(1+1e-7) && !math.IsInf(many, 1)) {
			t.Errorf("expected %g in %g weeks, %g in %g", few, weeks, many, further)
		}
		// At least one purchase cannot be likelier than the number of purchases expected.
		if late < 1-many*(1+1e-7)-1e-12 {
			t.Errorf("P(no purchase) = %g, expected purchases %g", late, many)
		}
		if active := m.Active().Expected(h, further); many > active*(1+1e-7) {
			t.Errorf("expected %g with dropout, %g without", many, active)
		}
	})
}

// Whatever the history, every prediction is a number: by the fits of CDNOW and by the spend of its customers.
func TestPredictionsAreFiniteOnAGrid(t *testing.T) {
	t.Parallel()
	models := []Model{
		BGNBD{0.243, 4.414, 0.793, 2.426},
		MBGNBD{0.525, 6.183, 0.891, 1.614},
		ParetoNBD{0.553, 10.578, 0.606, 11.669},
		ParetoNBD{0.553, 10.578, 0.606, 11.669}.Active(),
	}
	spend := GammaGamma{6.25, 3.74, 15.44}
	histories := 0
	for _, x := range []int{0, 1, 2, 5, 10, 30, 100, 300, 1000, 2000, 3000, 10_000} {
		value, ok := spend.ExpectedValue(Spend{X: x, Mean: 35})
		if !ok || !(value > 0) || math.IsInf(value, 1) {
			t.Errorf("x %d: expected value %g", x, value)
		}
		for _, T := range []float64{1.0 / 7, 1, 10, 39, 200, 700, 2000} {
			for _, share := range []float64{0, 1e-6, 0.01, 0.5, 0.99, 1} {
				h := History{X: x, Tx: T * share, T: T}
				if !h.Valid() {
					continue
				}
				histories++
				for _, m := range models {
					alive, none := m.PAlive(h), m.NoPurchase(h, 90.0/7)
					expected, ltv, l := m.Expected(h, 52), LTV(m, h, value, DefaultLTVOptions()), m.LogLikelihood(h)
					if !(alive > 0 && alive <= 1 && none >= 0 && none <= 1 && expected >= 0 && ltv >= 0) ||
						math.IsInf(expected, 0) || math.IsInf(ltv, 0) || math.IsInf(l, 0) || math.IsNaN(l) {
						t.Errorf("%s %+v: alive %g, none %g, expected %g, value %g, likelihood %g", m.Name(), h, alive, none, expected, ltv, l)
					}
				}
			}
		}
	}
	if histories < 350 {
		t.Errorf("only %d histories", histories)
	}
}

// Seeing nothing for h more weeks turns the likelihood of (x, t_x, T) into that of (x, t_x, T+h): their ratio is P0(h).
func TestNoPurchaseIsARatioOfLikelihoods(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, h := anyModel(t), anyHistory(t)
		weeks := rapid.Float64Range(0.1, 200).Draw(t, "weeks")
		later := h
		later.T += weeks
		want := m.LogLikelihood(later) - m.LogLikelihood(h)
		size := math.Abs(m.LogLikelihood(later)) + 1e3
		if got := math.Log(m.NoPurchase(h, weeks)); want > -20 && !(math.Abs(got-want) <= 1e-12*size) {
			t.Fatalf("ln P0 = %.12g, ratio of likelihoods %.12g", got, want)
		}
	})
}

// Small probabilities of no purchase keep their digits. With a whole r everything is rational, so the exact value can be had.
func TestNoPurchaseKeepsDigits(t *testing.T) {
	t.Parallel()
	power := func(base *big.Rat, n int) *big.Rat {
		result := big.NewRat(1, 1)
		for range n {
			result.Mul(result, base)
		}
		return result
	}
	rapid.Check(t, func(t *rapid.T) {
		r, alpha := rapid.IntRange(1, 5).Draw(t, "r"), rapid.IntRange(1, 40).Draw(t, "alpha")
		a, b := math.Pow(10, -rapid.Float64Range(-1, 12).Draw(t, "-log a")), rapid.IntRange(1, 999).Draw(t, "b")
		x, tx := rapid.IntRange(1, 300).Draw(t, "x"), rapid.IntRange(1, 100).Draw(t, "t_x")
		gap, weeks := rapid.IntRange(0, 3).Draw(t, "gap"), rapid.IntRange(1, 60).Draw(t, "weeks")
		h := History{X: x, Tx: float64(tx), T: float64(tx + gap)}
		for first, m := range []Model{ // the second one has a chance more to drop out
			BGNBD{float64(r), float64(alpha), a, float64(b)},
			MBGNBD{float64(r), float64(alpha), a, float64(b)},
		} {
			odds := new(big.Rat).SetFloat64(a)
			odds.Quo(odds, big.NewRat(int64(b+x-1+first), 1))
			odds.Mul(odds, power(big.NewRat(int64(alpha+tx+gap), int64(alpha+tx)), r+x))
			alive := new(big.Rat).Inv(odds.Add(odds, big.NewRat(1, 1)))
			active := power(big.NewRat(int64(alpha+tx+gap), int64(alpha+tx+gap+weeks)), r+x)
			buys := alive.Mul(alive, active.Sub(big.NewRat(1, 1), active))
			want, _ := buys.Sub(big.NewRat(1, 1), buys).Float64()
			if got := m.NoPurchase(h, float64(weeks)); !(math.Abs(got-want) <= 1e-12*want) {
				t.Errorf("%s: %.17g, want %.17g", m.Name(), got, want)
			}
		}
	})
}

// The same of Pareto/NBD: the customer leaves in the gap, leaves later before a purchase, or stays without one.
func TestParetoNoPurchaseKeepsDigits(t *testing.T) {
	t.Parallel()
	for _, h := range []History{{1, 20, 20.5}, {10, 30, 30}, {100, 50, 50.1}, {300, 100, 100}, {3, 5, 5.2}, {0, 0, 0}} {
		for _, m := range []ParetoNBD{{0.553, 10.578, 0.606, 11.669}, {3, 2, 1e-3, 900}, {2, 1, 1e-9, 5000}} {
			power := m.R + float64(h.X)
			seen := func(u float64) float64 {
				return math.Exp(-power*math.Log((m.Alpha+u)/(m.Alpha+h.T)) - m.S*math.Log((m.Beta+u)/(m.Beta+h.T)))
			}
			leaving := func(u float64) float64 { return m.S / (m.Beta + u) * seen(u) }
			const weeks = 12.0
			gone := panels(leaving, h.Tx, h.T, 20)
			want := (gone + panels(leaving, h.T, h.T+weeks, 400) + seen(h.T+weeks)) / (gone + 1)
			near(t, fmt.Sprint(m, h), m.NoPurchase(h, weeks), want, 1e-11*want)
		}
	}
}

// However sure it is that a customer is gone, or that one buys, no probability is 0 or 1.
func TestNoPurchaseIsNeverCertain(t *testing.T) {
	t.Parallel()
	for _, m := range []Model{BGNBD{0.243, 4.414, 0.793, 2.426}, MBGNBD{0.525, 6.183, 0.891, 1.614}, ParetoNBD{0.553, 10.578, 0.606, 11.669}} {
		for _, h := range []History{{0, 0, 0}, {0, 0, 2000}, {60, 10, 400}, {400, 100, 2000}, {60, 100, 100}} {
			for _, weeks := range []float64{1e-9, 1, 520} {
				if p := m.NoPurchase(h, weeks); !(p > 0 && p < 1) {
					t.Errorf("%s %v: P0 = %g in %g weeks", m.Name(), h, p, weeks)
				}
			}
			near(t, "P0 of no time", m.NoPurchase(h, 0), 1, 0)
		}
	}
}

// gammaMean is the mean of f over a Gamma(shape, rate) variable, by Gauss-Legendre panels in its logarithm.
func gammaMean(shape, rate float64, f func(float64) float64) float64 {
	lg, _ := math.Lgamma(shape)
	density := func(v float64) float64 { // v = ln(rate * lambda)
		return math.Exp(shape*v-math.Exp(v)-lg) * f(math.Exp(v)/rate)
	}
	return panels(density, -60/shape-5, math.Log(shape+1)+5, 400)
}

func panels(f func(float64) float64, low, high float64, n int) float64 {
	sum, width := 0.0, (high-low)/float64(n)
	for i := range n {
		sum += quad.Fixed(f, low+float64(i)*width, low+float64(i+1)*width, 12, quad.Legendre{}, 0)
	}
	return sum
}

func betaMean(a, b float64, f func(float64) float64) float64 {
	d := distuv.Beta{Alpha: a, Beta: b}
	return panels(func(v float64) float64 { // logit
		p := 1 / (1 + math.Exp(-v))
		return math.Exp(d.LogProb(p)) * p * (1 - p) * f(p)
	}, -36, 36, 400)
}

var crossChecked = []History{{0, 0, 30}, {1, 0.3, 38}, {2, 30.43, 38.86}, {5, 10, 12}, {7, 3, 39}, {26, 30.857, 31}}

// The likelihoods of one customer with known rates, from the papers, averaged over the rates by numerical integration.
func TestLikelihoodsAgainstIntegration(t *testing.T) {
	t.Parallel()
	for _, h := range crossChecked {
		x := float64(h.X)
		until := func(r, alpha, end float64) float64 {
			return gammaMean(r, alpha, func(rate float64) float64 { return math.Pow(rate, x) * math.Exp(-rate*end) })
		}

		bg := BGNBD{0.243, 4.414, 0.793, 2.426}
		want := betaMean(bg.A, bg.B, func(p float64) float64 { return math.Pow(1-p, x) }) * until(bg.R, bg.Alpha, h.T)
		if h.X > 0 {
			want += betaMean(bg.A, bg.B, func(p float64) float64 { return p * math.Pow(1-p, x-1) }) * until(bg.R, bg.Alpha, h.Tx)
		}
		near(t, fmt.Sprint("BG/NBD ", h), bg.LogLikelihood(h), math.Log(want), 1e-8)

		mbg := MBGNBD{0.525, 6.183, 0.891, 1.614}
		want = betaMean(mbg.A, mbg.B, func(p float64) float64 { return math.Pow(1-p, x+1) })*until(mbg.R, mbg.Alpha, h.T) +
			betaMean(mbg.A, mbg.B, func(p float64) float64 { return p * math.Pow(1-p, x) })*until(mbg.R, mbg.Alpha, h.Tx)
		near(t, fmt.Sprint("MBG/NBD ", h), mbg.LogLikelihood(h), math.Log(want), 1e-8)
	}
}

// Schmittlein, Morrison, Colombo 1987: given purchase rate l and dropout rate u, the likelihood is
// l^x/(l+u) (u e^(-(l+u) t_x) + l e^(-(l+u) T)); averaged over both rates.
func TestParetoLikelihoodAgainstIntegration(t *testing.T) {
	t.Parallel()
	for _, m := range []ParetoNBD{{0.553, 10.578, 0.606, 11.669}, {1.4, 3, 0.8, 60}, {2, 80, 3, 5}} {
		for _, h := range crossChecked {
			x := float64(h.X)
			want := coarseGammaMean(m.R, m.Alpha, func(l float64) float64 {
				return coarseGammaMean(m.S, m.Beta, func(u float64) float64 {
					return math.Pow(l, x) / (l + u) * (u*math.Exp(-(l+u)*h.Tx) + l*math.Exp(-(l+u)*h.T))
				})
			})
			near(t, fmt.Sprint(m, h), m.LogLikelihood(h), math.Log(want), 1e-7)
		}
	}
}

// coarseGammaMean is fast enough for a double integral.
func coarseGammaMean(shape, rate float64, f func(float64) float64) float64 {
	lg, _ := math.Lgamma(shape)
	return panels(func(v float64) float64 {
		return math.Exp(shape*v-math.Exp(v)-lg) * f(math.Exp(v)/rate)
	}, -24/shape-5, math.Log(shape+1)+5, 40)
}

// The integral of the dropout times must hold where alpha and beta differ by orders of magnitude, and for large x.
func TestParetoIntegralEverywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ln := func(name string, low, high float64) float64 {
			return math.Exp(rapid.Float64Range(math.Log(low), math.Log(high)).Draw(t, name))
		}
		d := dropout{m: ln("m", 0.01, 10_000), s: ln("s", 0.01, 100), alpha: ln("alpha", 1e-3, 1e3), beta: ln("beta", 1e-3, 1e3)}
		d.to = ln("T", 0.01, 2000)
		d.from = d.to * rapid.SampledFrom([]float64{0, 1e-4, 0.3, 0.99}).Draw(t, "t_x/T")
		got := d.integral(d.logs())
		f := func(v float64) float64 { // u - from = e^v
			u := math.Exp(v)
			return u * math.Exp(-d.m*math.Log1p(u/(d.alpha+d.from))-(d.s+1)*math.Log1p(u/(d.beta+d.from)))
		}
		high := math.Log(d.to - d.from)
		want := panels(f, high-60, high, 150)
		if !(math.Abs(got-want) <= 1e-9*want) {
			t.Fatalf("%+v: %.14g, want %.14g", d, got, want)
		}
	})
}

// Given rate u of dropout, a living customer's expected purchases are l (1 - e^(-u t))/u.
func TestParetoExpectedAgainstIntegration(t *testing.T) {
	t.Parallel()
	for _, s := range []float64{0.606, 1, 1 + 1e-9, 2.5} {
		m := ParetoNBD{0.553, 10.578, s, 11.669}
		for _, h := range crossChecked {
			lasting := gammaMean(m.S, m.Beta+h.T, func(u float64) float64 { return -math.Expm1(-u*52) / u })
			want := m.PAlive(h) * m.Active().Rate(h.X, h.T) * lasting
			near(t, fmt.Sprint(m, h), m.Expected(h, 52), want, 1e-8*want)
		}
	}
}

func TestProbabilitiesMakeTheExpectation(t *testing.T) {
	t.Parallel()
	type counted interface {
		Model
		Probability(n int, weeks float64) float64
	}
	for _, m := range []counted{
		BGNBD{0.243, 4.414, 0.793, 2.426},
		BGNBD{2, 5, 1, 0.5},
		MBGNBD{0.525, 6.183, 0.891, 1.614},
		MBGNBD{2, 5, 3, 8},
	} {
		for _, weeks := range []float64{0, 1, 39} {
			total, mean := 0.0, 0.0
			for n := range 3000 {
				p := m.Probability(n, weeks)
				total += p
				mean += float64(n) * p
			}
			near(t, fmt.Sprint(m, " total"), total, 1, 1e-9)
			near(t, fmt.Sprint(m, " mean"), mean, m.ExpectedNew(weeks), 1e-7)
			near(t, fmt.Sprint(m, " none"), m.Probability(0, weeks), m.NoPurchase(History{}, weeks), 1e-12)
		}
		if p := m.Probability(-1, 1); p != 0 {
			t.Errorf("P(-1 purchases) = %g", p)
		}
	}
}

func TestOneTimeBuyersAreNeverCertain(t *testing.T) {
	t.Parallel()
	for _, m := range []Model{MBGNBD{0.525, 6.183, 0.891, 1.614}, ParetoNBD{0.553, 10.578, 0.606, 11.669}} {
		for _, weeks := range []float64{0.2, 12, 104, 2000} {
			h := History{T: weeks}
			if p := m.PAlive(h); !(p > 0 && p < 1) {
				t.Errorf("%s: P(alive) = %g after %g weeks", m.Name(), p, weeks)
			}
			if p := m.NoPurchase(h, 90.0/7); !(p > 0 && p < 1) {
				t.Errorf("%s: P0 = %g after %g weeks", m.Name(), p, weeks)
			}
		}
	}
}

func TestNextPurchase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, h := anyModel(t), anyHistory(t)
		p := rapid.Float64Range(0.01, 0.99).Draw(t, "probability")
		weeks, ok := NextPurchase(m, h, p)
		switch {
		case !ok && 1-m.NoPurchase(h, 52_000) >= p:
			t.Fatal("not found, though reached")
		case ok && !(1-m.NoPurchase(h, weeks) >= p):
			t.Fatalf("not reached after %g weeks", weeks)
		case ok && weeks > 1e-6 && 1-m.NoPurchase(h, weeks*(1-1e-6)) >= p+1e-9:
			t.Fatalf("reached before %g weeks", weeks)
		}
	})
	m := NBD{R: 2, Alpha: 3}
	h := History{X: 4, Tx: 5, T: 6}
	weeks, ok := NextPurchase(m, h, 0.5)
	if !ok {
		t.Fatal("no median")
	}
	near(t, "median", weeks, 9*(math.Pow(2, 1.0/6)-1), 1e-9)
	if _, ok := NextPurchase(m, h, 1); ok {
		t.Error("certainty is never reached")
	}
}

// Without dropout every month brings the same number of purchases, so the sum can be written out.
func TestLTV(t *testing.T) {
	t.Parallel()
	m, h := NBD{R: 2, Alpha: 4}, History{X: 3, Tx: 10, T: 12}
	monthly := 5.0 / 16 * WeeksPerMonth
	want := 0.0
	for k := 1; k <= 12; k++ {
		want += 25 * 0.3 * monthly / math.Pow(1.01, float64(k))
	}
	near(t, "LTV", LTV(m, h, 25, LTVOptions{Months: 12, Discount: 0.01, Margin: 0.3}), want, 1e-9)
	near(t, "LTV of no months", LTV(m, h, 25, LTVOptions{Margin: 1}), 0, 0)
}
