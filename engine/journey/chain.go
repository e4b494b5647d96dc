package journey

import (
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Chain takes the steps of a journey as those of a Markov chain (Kemeny and Snell 1960, Finite Markov Chains), which they
// are only where the place alone, and not how one came there, tells where customers go.
type Chain struct {
	P     Matrix // the probabilities of one step, with the prior
	Check Check

	steps         []float64 // customer-steps out of each state
	occupied      []bool    // whether anybody is in a state; of others nothing is told
	fresh, lapsed int       // -1 where nobody is
	refusal       Refusal
}

// Refusal says why a chain tells nothing of what comes.
type Refusal string

// The reasons.
const (
	Answered    Refusal = ""
	NoMiddle    Refusal = "NO_MIDDLE_DATE" // two steps need three dates
	NotMarkov   Refusal = "NOT_MARKOV"     // two steps are not one step twice
	TooFew      Refusal = "TOO_FEW_STEPS"  // out of some state
	NoneLapsed  Refusal = "NONE_LAPSED"    // nobody, in this range
	minSteps            = 30               // customer-steps that a row is trusted with
	markovLimit         = 0.05             // the largest difference that forecasts allow
)

// Check compares what happened in two steps with one step twice, on observed shares without a prior, over the states that
// customers left at least 30 times. Differences of a chain of a higher order show here (Anderson and Goodman 1957, Annals of
// Mathematical Statistics 28, test the order likewise).
type Check struct {
	// Difference is the largest one of a probability, from 0 to 1; NaN where nothing can be compared.
	Difference float64
	// G is 2 sum O ln(O/E) over the counts of two steps, and P its probability under a chain of Degrees degrees of freedom. Steps
	// of one customer overlap, so P is a rough one; with many customers it is small for any difference.
	G       float64
	Degrees int
	P       float64
}

// Holds tells whether two steps are one step twice, near enough to forecast.
func (c Check) Holds() bool { return c.Difference < markovLimit }

// NewChain makes the chain of a journey from its counts of one and two steps.
func (j *Journey) NewChain(one, two Matrix) *Chain {
	c := &Chain{P: j.Probabilities(one), fresh: j.index(New), lapsed: j.index(Lapsed), steps: make([]float64, len(one)), occupied: j.occupied()}
	if c.lapsed >= 0 && !c.occupied[c.lapsed] {
		c.lapsed = -1
	}
	for i := range one {
		c.steps[i] = total(one[i])
	}
	c.Check = c.check(one, two)
	switch {
	case len(j.Dates) < 3:
		c.refusal = NoMiddle
	case math.IsNaN(c.Check.Difference):
		c.refusal = TooFew
	case !c.Check.Holds():
		c.refusal = NotMarkov
	}
	return c
}

func (c *Chain) check(one, two Matrix) Check {
	// A state that nobody was seen to leave has only the prior.
	shares := Shares(one)
	for i := range shares {
		if c.steps[i] == 0 {
			shares[i] = c.P[i]
		}
	}
	twice := times(shares, shares)
	check := Check{Difference: math.NaN(), P: math.NaN()}
	for i, row := range two {
		n := total(row)
		if n < minSteps || c.steps[i] < minSteps {
			continue
		}
		cells := 0
		for k, seen := range row {
			if d := math.Abs(seen/n - twice[i][k]); !(d <= check.Difference) {
				check.Difference = d
			}
			if twice[i][k] > 0 {
				cells++
			}
			if seen > 0 {
				check.G += 2 * seen * math.Log(seen/(n*twice[i][k]))
			}
		}
		check.Degrees += cells - 1
	}
	check.G = max(0, check.G)
	if check.Degrees > 0 {
		check.P = distuv.ChiSquared{K: float64(check.Degrees)}.Survival(check.G)
	}
	return check
}

func times(a, b Matrix) Matrix {
	c := newMatrix(len(a))
	for i := range a {
		for l, x := range a[i] {
			if x == 0 {
				continue
			}
			for k, y := range b[l] {
				c[i][k] += x * y
			}
		}
	}
	return c
}

func power(p Matrix, n int) Matrix {
	result := newMatrix(len(p))
	for i := range result {
		result[i][i] = 1
	}
	for ; n > 0; n-- {
		result = times(result, p)
	}
	return result
}

// Forecast gives the probabilities after n steps; nil, with a reason, where two steps are not one step twice.
func (c *Chain) Forecast(n int) (Matrix, Refusal) {
	if c.refusal != Answered {
		return nil, c.refusal
	}
	return power(c.P, n), Answered
}

// LapsedWithin gives for each state the probability of having lapsed at some time within n steps, LAPSED being absorbing; NaN for
// a state in which nobody is; nil, with a reason, as for Forecast and where nobody lapsed.
func (c *Chain) LapsedWithin(n int) ([]float64, Refusal) {
	if c.refusal != Answered {
		return nil, c.refusal
	}
	if c.lapsed < 0 {
		return nil, NoneLapsed
	}
	absorbing := make(Matrix, len(c.P))
	copy(absorbing, c.P)
	absorbing[c.lapsed] = make([]float64, len(c.P))
	absorbing[c.lapsed][c.lapsed] = 1
	within := make([]float64, len(c.P))
	for i, row := range power(absorbing, n) {
		if within[i] = row[c.lapsed]; !c.occupied[i] {
			within[i] = math.NaN()
		}
	}
	return within, Answered
}

// StepsToLapsed gives for each state the mean number of steps until LAPSED is reached first: with Q the steps among the other
// states, t = (I - Q)^-1 1 (Kemeny and Snell 1960, theorem 3.3.5). It is 0 for LAPSED, and NaN for NEW where fewer than 30 came, and
// for a state in which nobody is; nil, with a reason, as for LapsedWithin and where fewer than 30 customer-steps lead out of another state.
func (c *Chain) StepsToLapsed() ([]float64, Refusal) {
	if c.refusal != Answered {
		return nil, c.refusal
	}
	if c.lapsed < 0 {
		return nil, NoneLapsed
	}
	if c.thin(c.lapsed) {
		return nil, TooFew
	}
	n := len(c.P)
	a, ones := mat.NewDense(n, n, nil), mat.NewVecDense(n, nil)
	for i := range n {
		a.Set(i, i, 1)
		if i == c.lapsed {
			continue
		}
		ones.SetVec(i, 1)
		for k, p := range c.P[i] {
			if k != c.lapsed {
				a.Set(i, k, a.At(i, k)-p)
			}
		}
	}
	var t mat.VecDense
	if err := t.SolveVec(a, ones); err != nil {
		return nil, TooFew
	}
	steps := make([]float64, n)
	for i := range steps {
		if steps[i] = t.AtVec(i); !c.occupied[i] {
			steps[i] = math.NaN()
		}
	}
	if c.fresh >= 0 && c.steps[c.fresh] < minSteps {
		steps[c.fresh] = math.NaN()
	}
	return steps, Answered
}

// thin tells whether fewer than 30 customer-steps lead out of a state in which somebody is, other than NEW and the given one.
func (c *Chain) thin(but int) bool {
	for i, n := range c.steps {
		if n < minSteps && c.occupied[i] && i != c.fresh && i != but {
			return true
		}
	}
	return false
}

// Stationary gives the shares that customers tend to, were nobody to come, from p = p P and sum p = 1; 0 for NEW and for a state in
// which nobody is. nil, with a
// reason, as for Forecast and where fewer than 30 customer-steps lead out of a state.
func (c *Chain) Stationary() ([]float64, Refusal) {
	if c.refusal != Answered {
		return nil, c.refusal
	}
	if c.thin(-1) {
		return nil, TooFew
	}
	n := len(c.P)
	a, b := mat.NewDense(n, n, nil), mat.NewVecDense(n, nil)
	for i := range n {
		for k := range n {
			a.Set(k, i, c.P[i][k])
		}
	}
	for i := range n {
		a.Set(i, i, a.At(i, i)-1)
	}
	// The equations are dependent; that of the sum takes the place of one among the states that are entered.
	at := 0
	for at == c.fresh || !c.occupied[at] {
		at++
	}
	for k := range n {
		a.Set(at, k, 1)
	}
	b.SetVec(at, 1)
	var p mat.VecDense
	if err := p.SolveVec(a, b); err != nil {
		return nil, TooFew
	}
	shares := make([]float64, n)
	for i := range shares {
		shares[i] = max(0, p.AtVec(i))
	}
	return shares, Answered
}

// Stays gives for each state the mean number of steps that customers stay, from the observed steps: customer-steps out of the
// state over departures, which is the maximum likelihood of a geometric stay where some stays are not over yet. NaN where nobody left, and for NEW.
func (j *Journey) Stays(one Matrix) []float64 {
	stays := make([]float64, len(one))
	for i, row := range one {
		stays[i] = math.NaN()
		if n := total(row); n > row[i] && j.States[i].Kind != New {
			stays[i] = n / (n - row[i])
		}
	}
	return stays
}
