package journey

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

// followed draws the ways of customers of a chain of known probabilities over segments and LAPSED, the last state.
func followed(p Matrix, customers, dates int, seed uint64) *Journey {
	j := &Journey{Customers: customers}
	for i := range p {
		j.States = append(j.States, State{Segment, i})
	}
	j.States[len(p)-1] = State{Lapsed, -1}
	for d := range dates {
		j.Dates = append(j.Dates, engine.Date(7*d))
	}
	random := rand.New(rand.NewPCG(seed, 1))
	for range customers {
		w := Way{At: make([]uint16, dates), Customers: 1}
		at := random.IntN(len(p))
		for d := range w.At {
			w.At[d] = uint16(at)
			x := random.Float64()
			for at = 0; at < len(p)-1 && x >= p[w.At[d]][at]; at++ {
				x -= p[w.At[d]][at]
			}
		}
		j.Ways = append(j.Ways, w)
	}
	return j
}

// weather is Kemeny and Snell's land of Oz (Finite Markov Chains, example 2.1.1), RAIN, NICE and SNOW, with the last as LAPSED: its
// stationary shares are 2/5, 1/5, 2/5, and the mean first passages to SNOW from RAIN and NICE are 10/3 and 8/3 (section 4.4).
var weather = Matrix{{0.5, 0.25, 0.25}, {0.5, 0, 0.5}, {0.25, 0.25, 0.5}}

// chainOf makes a chain of exact probabilities.
func chainOf(p Matrix) *Chain {
	c := &Chain{P: p, fresh: -1, lapsed: len(p) - 1, steps: make([]float64, len(p)), occupied: make([]bool, len(p))}
	for i := range c.steps {
		c.steps[i], c.occupied[i] = minSteps, true
	}
	return c
}

func TestKnownChain(t *testing.T) {
	t.Parallel()
	c := chainOf(weather)
	if got, refusal := c.Stationary(); refusal != Answered || !near([][]float64{got}, [][]float64{{0.4, 0.2, 0.4}}, 1e-12) {
		t.Errorf("stationary: %v %v", got, refusal)
	}
	if got, refusal := c.StepsToLapsed(); refusal != Answered || !near([][]float64{got}, [][]float64{{10.0 / 3, 8.0 / 3, 0}}, 1e-12) {
		t.Errorf("first passage: %v %v", got, refusal)
	}
	// The square is Kemeny and Snell's P^(2).
	if got, _ := c.Forecast(2); !near(got, Matrix{{0.4375, 0.1875, 0.375}, {0.375, 0.25, 0.375}, {0.375, 0.1875, 0.4375}}, 1e-12) {
		t.Errorf("two steps: %v", got)
	}
	// From RAIN: 1/4 at once, else 1/2 x 1/4 + 1/4 x 1/2 in the second step.
	if got, _ := c.LapsedWithin(2); !near([][]float64{got}, [][]float64{{0.5, 0.625, 1}}, 1e-12) {
		t.Errorf("lapsed within two steps: %v", got)
	}
}

func TestMarkovCheck(t *testing.T) {
	t.Parallel()
	j := followed(weather, 2000, 12, 1)
	c := j.NewChain(j.Counts())
	if !c.Check.Holds() || c.Check.Degrees != 6 || c.Check.P < 0.001 {
		t.Errorf("a chain is refused: %+v", c.Check)
	}
	if got, refusal := c.Stationary(); refusal != Answered || !near([][]float64{got}, [][]float64{{0.4, 0.2, 0.4}}, 0.02) {
		t.Errorf("stationary: %v %v", got, refusal)
	}

	// Who comes from the left goes on to the right: the place does not tell where customers go.
	const left, middle, right = 0, 1, 2
	j.Ways = []Way{{At: []uint16{left, middle, right, middle, left, middle, right}, Customers: 50}, {At: []uint16{right, middle, left, middle, right, middle, left}, Customers: 50}}
	j.Dates = j.Dates[:7]
	c = j.NewChain(j.Counts())
	if c.Check.Holds() || c.Check.Difference < 0.4 || c.Check.P > 1e-6 {
		t.Errorf("a chain of the second order passes: %+v", c.Check)
	}
	for name, refusal := range refusals(c) {
		if refusal != NotMarkov {
			t.Errorf("%s is refused for %q", name, refusal)
		}
	}
}

// refusals gives why each answer of a chain is refused.
func refusals(c *Chain) map[string]Refusal {
	_, forecast := c.Forecast(3)
	_, within := c.LapsedWithin(3)
	_, passage := c.StepsToLapsed()
	_, stationary := c.Stationary()
	return map[string]Refusal{"the forecast": forecast, "lapsing": within, "the first passage": passage, "the stationary distribution": stationary}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	j := followed(weather, 2000, 12, 1)
	j.Ways = j.Ways[:10] // a hundred steps
	for name, refusal := range refusals(j.NewChain(j.Counts())) {
		if refusal == Answered {
			t.Errorf("%s is given for 10 customers", name)
		}
	}
	two := followed(weather, 2000, 2, 1)
	for name, refusal := range refusals(two.NewChain(two.Counts())) {
		if refusal != NoMiddle {
			t.Errorf("%s of two dates is refused for %q", name, refusal)
		}
	}
	thin := followed(weather, 2000, 12, 1)
	thin.States = append(thin.States, State{Absent, -1})
	thin.Ways = append(thin.Ways, Way{At: []uint16{3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0}, Customers: 2}) // 20 steps
	got := refusals(thin.NewChain(thin.Counts()))
	if got["the forecast"] != Answered || got["the stationary distribution"] != TooFew || got["the first passage"] != TooFew {
		t.Errorf("with a thin row: %v", got)
	}
	empty := followed(weather, 2000, 12, 1) // a segment in which nobody is says nothing, and stands in nobody's way
	empty.States = append([]State{{Segment, 3}}, empty.States...)
	for i := range empty.Ways {
		for d := range empty.Ways[i].At {
			empty.Ways[i].At[d]++
		}
	}
	c := empty.NewChain(empty.Counts())
	steps, refusal := c.StepsToLapsed()
	shares, _ := c.Stationary()
	if refusal != Answered || !math.IsNaN(steps[0]) || math.Abs(steps[1]-10.0/3) > 0.1 || shares[0] != 0 || math.Abs(shares[1]-0.4) > 0.02 {
		t.Errorf("with an empty segment: %v %q, %v", steps, refusal, shares)
	}
	none := followed(weather, 2000, 12, 1)
	none.States[2] = State{Segment, 2}
	got = refusals(none.NewChain(none.Counts()))
	if got["lapsing"] != NoneLapsed || got["the first passage"] != NoneLapsed || got["the stationary distribution"] != Answered {
		t.Errorf("where nobody lapsed: %v", got)
	}
}

func TestChainProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j := drawn(t)
		c := j.NewChain(j.Counts())
		c.refusal = Answered
		for i := range c.steps {
			c.steps[i] = minSteps
		}
		fresh, lapsed := j.index(New), j.index(Lapsed)
		p, _ := c.Stationary()
		sum := 0.0
		for k := range p {
			into := 0.0
			for i := range p {
				into += p[i] * c.P[i][k]
			}
			if math.Abs(into-p[k]) > 1e-9 {
				t.Fatalf("%v is not stationary under %v", p, c.P)
			}
			sum += p[k]
		}
		if math.Abs(sum-1) > 1e-9 || p[fresh] > 1e-9 {
			t.Fatalf("stationary shares %v", p)
		}
		if c.lapsed < 0 {
			return // nobody did
		}
		steps, _ := c.StepsToLapsed()
		for i := range steps {
			if !c.occupied[i] {
				continue
			}
			want := 0.0
			if i != lapsed {
				want = 1
				for k, x := range c.P[i] {
					if x > 0 {
						want += x * steps[k]
					}
				}
			}
			if math.Abs(steps[i]-want) > 1e-6*want {
				t.Fatalf("%v steps from %d, by its neighbours %v", steps[i], i, want)
			}
		}
		within := make([]float64, len(steps))
		for n := range 6 {
			next, _ := c.LapsedWithin(n)
			for i := range next {
				if next[i] < within[i]-tolerance || next[i] > 1+tolerance {
					t.Fatalf("lapsed within %d: %v, before %v", n, next, within)
				}
			}
			within = next
		}
		f, _ := c.Forecast(4)
		for i := range f {
			if math.Abs(total(f[i])-1) > 1e-9 {
				t.Fatalf("a forecast sums to %v", total(f[i]))
			}
		}
	})
}
