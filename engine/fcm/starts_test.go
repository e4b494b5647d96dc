package fcm

import (
	"math"
	"math/rand/v2"
	"testing"
)

// severalOptima are seven clouds of which four clusters can be made in three ways; a start finds the best with a chance of a quarter.
func severalOptima() (x []float64, n int) {
	random := rand.New(rand.NewPCG(39, 1))
	for range 7 {
		a, b := 4*random.NormFloat64(), 4*random.NormFloat64()
		for range 10 + random.IntN(90) {
			x = append(x, a+0.2*random.NormFloat64(), b+0.2*random.NormFloat64())
			n++
		}
	}
	return x, n
}

// Four starts alone would miss the optimum for every third seed; since they disagree there are twelve, which do for one in thirty.
func TestMoreStartsWhereTheyDisagree(t *testing.T) {
	t.Parallel()
	x, n := severalOptima()
	objectives := make([]float64, 30)
	least := math.Inf(1)
	for seed := range objectives {
		r, err := Fit(t.Context(), x, n, 2, 4, Options{Starts: 4, MoreStarts: 8, Seed: uint64(seed)})
		if err != nil {
			t.Fatal(err)
		}
		objectives[seed] = r.Objective
		least = min(least, r.Objective)
	}
	missed := 0
	for _, o := range objectives {
		if o > least*(1+sameOptimum) {
			missed++
		}
	}
	if math.Abs(least-1105.645) > 0.001 || missed > 3 {
		t.Errorf("the least objective is %v, and %d of %d seeds missed it", least, missed, len(objectives))
	}
}
