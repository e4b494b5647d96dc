package btyd

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// plainMoments are moments by one rule with nodes to spare on many pieces of v = ln((c+u)/(c+from)), c the smaller of alpha
// and beta; the code under test chooses rules with as few nodes as will do.
func plainMoments(d dropout) (m moments) {
	const pieces = 12
	if d.to <= d.from {
		return m
	}
	c := math.Min(d.alpha, d.beta)
	end := math.Min(d.to, math.Min((d.alpha+d.from)*math.Exp(50/d.m)-d.alpha, (d.beta+d.from)*math.Exp(50/(d.s+1))-d.beta))
	width := math.Log1p((end-d.from)/(c+d.from)) / pieces
	for piece := range pieces {
		for i, node := range longRule.nodes {
			after := (c + d.from) * math.Expm1(width*(float64(piece)+node))
			u := d.from + after
			a, b := math.Log1p(after/(d.alpha+d.from)), math.Log1p(after/(d.beta+d.from))
			weight := longRule.weights[i] * width * (c + u) * math.Exp(-d.m*a-(d.s+1)*b)
			m.integral += weight
			m.logA += weight * a
			m.logB += weight * b
			m.inverseA += weight / (d.alpha + u)
			m.inverseB += weight / (d.beta + u)
		}
	}
	return m
}

// plainParetoLikelihood is the formula, one integral a group.
type plainParetoLikelihood struct{ *histories }

func (l *plainParetoLikelihood) evaluate(parameters, gradient []float64) (total float64) {
	r, alpha, s, beta := parameters[0], parameters[1], parameters[2], parameters[3]
	clear(gradient)
	for _, g := range l.groups {
		n, m := float64(g.Count), r+float64(g.X)
		rise, riseR := logRising(r, g.X)
		d := dropout{m: m, s: s, alpha: alpha, beta: beta, from: g.Tx, to: g.T}
		a, b := d.logs()
		left := plainMoments(d)
		odds := math.Log(s*left.integral/(beta+g.Tx)) + m*a + s*b
		alive, gone := survival(odds), survival(-odds)
		logA, logB := math.Log1p(g.T/alpha), math.Log1p(g.T/beta)
		total += n * (rise - float64(g.X)*math.Log(alpha) - m*logA - s*logB + softplus(odds))
		gradient[0] += n * (riseR - alive*logA)
		gradient[1] += n * (r/alpha - m*alive/(alpha+g.T))
		gradient[2] -= n * alive * logB
		gradient[3] += n * (s/beta - s*alive/(beta+g.T))
		if left.integral > 0 {
			gradient[0] -= n * gone * (math.Log1p(g.Tx/alpha) + left.logA/left.integral)
			gradient[1] -= n * gone * m * left.inverseA / left.integral
			gradient[2] -= n * gone * (math.Log1p(g.Tx/beta) + left.logB/left.integral - 1/s)
			gradient[3] -= n * gone * (s + 1) * left.inverseB / left.integral
		}
	}
	return total
}

// What groups share loses no digits, whether their times are days or anything else, and whatever the parameters.
func TestSharedParetoLikelihoodIsThePlainOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var list []History
		days := rapid.Bool().Draw(t, "days")
		for range rapid.IntRange(1, 40).Draw(t, "customers") {
			h := History{X: rapid.SampledFrom([]int{0, 1, 1, 2, 3, 40, 2000}).Draw(t, "x"), T: float64(rapid.IntRange(0, 900).Draw(t, "T")) / 7}
			if !days {
				h.T += rapid.Float64Range(0, 0.1).Draw(t, "more")
			}
			if h.T == 0 {
				h.X = 0
			}
			if h.X > 0 {
				h.Tx = h.T
				if share := rapid.Float64Range(0.001, 1).Draw(t, "t_x/T"); days {
					h.Tx = math.Ceil(h.T*7*share) / 7
				} else {
					h.Tx *= share
				}
			}
			list = append(list, h)
		}
		groups, _ := GroupHistories(list)
		data, err := newHistories(groups, 2)
		if err != nil {
			t.Fatal(err)
		}
		parameters := make([]float64, 4)
		for i, name := range []string{"ln r", "ln alpha", "ln s", "ln beta"} {
			parameters[i] = math.Exp(rapid.Float64Range(-12, 12).Draw(t, name))
		}
		got, want := make([]float64, 4), make([]float64, 4)
		value := newParetoLikelihood(data).evaluate(parameters, got)
		plain := (&plainParetoLikelihood{data}).evaluate(parameters, want)
		size := 0.0 // of the terms that are added up
		for _, g := range groups {
			size += float64(g.Count) * (1 + parameters[2] + (parameters[0]+float64(g.X))*(1+math.Log1p(g.T/parameters[1])+math.Abs(math.Log(parameters[1]))) +
				parameters[2]*math.Log1p(g.T/parameters[3]))
		}
		if !(math.Abs(value-plain) <= 1e-12*size) {
			t.Errorf("log-likelihood %.15g, plain %.15g", value, plain)
		}
		for i := range got {
			if !(math.Abs(got[i]-want[i])*parameters[i] <= 1e-11*size) {
				t.Errorf("derivative %d: %.12g, plain %.12g, times the parameter, of %g", i, got[i]*parameters[i], want[i]*parameters[i], size)
			}
		}
	})
}

// The rule is chosen by the length of the range and by how far the integrand falls in it. Each is good to twelve digits up
// to its limits.
func TestRulesKeepDigits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ln := func(name string, low, high float64) float64 {
			return math.Exp(rapid.Float64Range(math.Log(low), math.Log(high)).Draw(t, name))
		}
		d := dropout{m: ln("m", 1e-4, 1e5), s: ln("s", 1e-5, 1e5), alpha: ln("alpha", 1e-4, 1e5), beta: ln("beta", 1e-4, 1e5), from: rapid.Float64Range(0, 500).Draw(t, "from")}
		d.to = d.from + ln("length", 1e-3, 2000)
		a, b := d.logs()
		m, plain := d.moments(a, b), plainMoments(d)
		for _, c := range []struct {
			name            string
			got, want, size float64
		}{
			{"integral alone", d.integral(a, b), plain.integral, 0},
			{"integral", m.integral, plain.integral, 0},
			{"log a", m.logA, plain.logA, plain.integral}, // a logarithm of nearly 1 has absolute digits
			{"log b", m.logB, plain.logB, plain.integral},
			{"inverse a", m.inverseA, plain.inverseA, 0},
			{"inverse b", m.inverseB, plain.inverseB, 0},
		} {
			tolerance := 1e-12 + 4e-16*(d.m+d.s) // the powers of a rounded logarithm
			if !(math.Abs(c.got-c.want) <= tolerance*c.want+1e-15*c.size) {
				t.Fatalf("%s: %.15g, want %.15g", c.name, c.got, c.want)
			}
		}
	})
}

// Over the whole grid: P(alive) by the logarithms of the integrand and Simpson's rule in ln(u-t_x), and the living customer's
// purchases by integrating the chance to last.
func TestParetoExpectedEverywhere(t *testing.T) {
	t.Parallel()
	models := []ParetoNBD{
		{0.553, 10.578, 0.606, 11.669},
		{0.5, 10, 1, 2},
		{0.05, 0.1, 3, 400},
		{2, 300, 0.01, 0.3},
		{40, 90, 1 + 1e-9, 30},
		{1e4, 3e4, 2000, 9e4},
	}
	for _, m := range models {
		t.Run(fmt.Sprint(m), func(t *testing.T) {
			t.Parallel()
			weeks, lasting := []float64{1.0 / 7, 4.345, 52, 520}, make([]float64, 4)
			for _, T := range []float64{0, 0.5, 5, 50, 400, 2000} {
				for i := range weeks {
					lasting[i] = panels(func(u float64) float64 { return math.Exp(-m.S * math.Log1p(u/(m.Beta+T))) }, 0, weeks[i], 400)
				}
				for _, x := range []int{0, 1, 2, 10, 100, 1000, 10_000} {
					for _, share := range []float64{0, 1e-3, 0.2, 0.9, 0.999, 1} {
						h := History{X: x, Tx: share * T, T: T}
						if !h.Valid() {
							continue
						}
						alive := 1 / (1 + math.Exp(plainOdds(m, h)))
						for i := range weeks {
							want := alive * (m.R + float64(x)) / (m.Alpha + T) * lasting[i]
							if got := m.Expected(h, weeks[i]); !(math.Abs(got-want) <= 1e-8*want+1e-290) {
								t.Errorf("%+v, weeks %g: %.12g, want %.12g", h, weeks[i], got, want)
							}
						}
					}
				}
			}
		})
	}
}

// plainOdds is the logarithm of P(left)/P(stayed); nothing overflows, since the largest value of the integrand is taken out.
func plainOdds(m ParetoNBD, h History) float64 {
	if h.T == h.Tx {
		return math.Inf(-1)
	}
	const steps = 8_000
	power := m.R + float64(h.X)
	high := math.Log(h.T - h.Tx)
	low := high - 60
	f := func(v float64) float64 { // logarithm, relative to having stayed until T
		u := math.Exp(v)
		return v + power*math.Log1p((h.T-h.Tx-u)/(m.Alpha+h.Tx+u)) + m.S*math.Log1p((h.T-h.Tx-u)/(m.Beta+h.Tx+u)) - math.Log(m.Beta+h.Tx+u)
	}
	values, largest := make([]float64, steps+1), math.Inf(-1)
	for i := range values {
		values[i] = f(low + (high-low)*float64(i)/steps)
		largest = math.Max(largest, values[i])
	}
	sum := 0.0
	for i, v := range values {
		weight := 4.0
		if i%2 == 0 {
			weight = 2
		}
		if i == 0 || i == steps {
			weight = 1
		}
		sum += weight * math.Exp(v-largest)
	}
	return math.Log(m.S*sum*(high-low)/steps/3) + largest
}
