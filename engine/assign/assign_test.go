package assign

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// cheapest tries every way to pair the rows with columns.
func cheapest(cost []float64, n, m int) float64 {
	if n > m {
		turned := make([]float64, len(cost))
		for i := range n {
			for j := range m {
				turned[j*n+i] = cost[i*m+j]
			}
		}
		return cheapest(turned, m, n)
	}
	used := make([]bool, m)
	var from func(i int) float64
	from = func(i int) float64 {
		if i == n {
			return 0
		}
		best := math.Inf(1)
		for j := range m {
			if !used[j] {
				used[j] = true
				best = min(best, cost[i*m+j]+from(i+1))
				used[j] = false
			}
		}
		return best
	}
	return from(0)
}

func TestMin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, m := rapid.IntRange(0, 6).Draw(t, "n"), rapid.IntRange(0, 6).Draw(t, "m")
		cost := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 {
			return float64(rapid.IntRange(-20, 20).Draw(t, "cost")) / 4 // ties are frequent
		}), n*m, n*m).Draw(t, "costs")
		columns, err := Min(cost, n, m)
		if err != nil || len(columns) != n {
			t.Fatal(columns, err)
		}
		total, pairs := 0.0, 0
		var taken []int
		for i, j := range columns {
			if j < 0 {
				continue
			}
			if slices.Contains(taken, j) {
				t.Fatalf("column %d is taken twice: %v", j, columns)
			}
			taken = append(taken, j)
			total += cost[i*m+j]
			pairs++
		}
		if pairs != min(n, m) {
			t.Fatalf("%d pairs of %d x %d", pairs, n, m)
		}
		if want := cheapest(cost, n, m); math.Abs(total-want) > 1e-9 {
			t.Fatalf("%v costs %v, the cheapest %v", columns, total, want)
		}
	})
}

func TestMinRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if _, err := Min([]float64{1, bad}, 1, 2); !errors.Is(err, ErrCost) {
			t.Errorf("a cost of %v gave %v", bad, err)
		}
	}
}
