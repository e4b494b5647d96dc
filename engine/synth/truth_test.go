package synth

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/fit"
)

// The planted archetypes have to be found again from the orders alone, among all customers: those who have changed since
// count as what they were.
func TestArchetypesAreFound(t *testing.T) {
	t.Parallel()
	shops := uint64(10)
	if raced {
		shops = 2 // more take long
	}
	for seed := uint64(1); seed <= shops; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			shop := Shop(Options{Seed: seed, End: end})
			asOf := end + 1
			table := &engine.Table{AsOf: asOf, Columns: engine.ColumnOrderID}
			builder := feature.NewBuilder(time.UTC, table.Columns)
			for i, c := range shop.Customers {
				builder.Build(c.Lines, []engine.Instant{{At: asOf.UTC()}}, func(_ int, f *engine.Features) { table.Append(int64(i), f) })
			}
			keepAxes(table, "purchase_frequency", "purchase_value")
			model, err := fit.Model(t.Context(), engine.DefaultParams(), seed, table, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			for key, least := range map[string]float64{"purchase_frequency": 0.8, "purchase_value": 0.7} {
				index := foundAgain(model, key, table, shop)
				t.Logf("%s: adjusted Rand index %.3f", key, index)
				if index < least {
					t.Errorf("%s: adjusted Rand index %.3f, want at least %g", key, index, least)
				}
			}
		})
	}
}

// foundAgain compares the dominant roots of an axis with the archetypes.
func foundAgain(model *engine.Model, key string, table *engine.Table, shop *Result) float64 {
	axis, _ := engine.AxisIndex(key)
	scorer := model.NewScorer()
	var found, planted []string
	var print engine.Thumbprint
	for i, c := range shop.Customers {
		scorer.Score(int(table.Purchases[i]), table.Row(i), &print)
		found = append(found, model.Axes[axis].Segments[model.Path(axis, print)[0]].Key)
		planted = append(planted, c.Archetype)
	}
	return adjustedRand(found, planted)
}

// keepAxes makes the features of all other axes undefined, so that they are not fitted.
func keepAxes(table *engine.Table, keys ...string) {
	for a := range engine.Axes {
		axis := &engine.Axes[a]
		if slices.Contains(keys, axis.Key) {
			continue
		}
		for i := range table.Len() {
			for j := range axis.Features {
				table.Values[i*engine.FeatureCount+axis.First+j] = float32(math.NaN())
			}
		}
	}
}

// adjustedRand compares two partitions: 1 for the same, about 0 for unrelated ones. Hubert and Arabie, "Comparing
// partitions", Journal of Classification 2 (1985) 193-218, equation 5.
func adjustedRand(x, y []string) float64 {
	both, first, second := map[[2]string]float64{}, map[string]float64{}, map[string]float64{}
	for i := range x {
		both[[2]string{x[i], y[i]}]++
		first[x[i]]++
		second[y[i]]++
	}
	index, sumFirst, sumSecond, all := pairs(both), pairs(first), pairs(second), float64(len(x))*float64(len(x)-1)/2
	expected := sumFirst * sumSecond / all
	return (index - expected) / ((sumFirst+sumSecond)/2 - expected)
}

func pairs[K comparable](counts map[K]float64) float64 {
	sum := 0.0
	for _, n := range counts {
		sum += n * (n - 1) / 2
	}
	return sum
}

// The expected number is worked out by hand: three pairs in the first partition, four in the second, one in both, of
// ten. (1 - 1.2)/(3.5 - 1.2).
func TestAdjustedRand(t *testing.T) {
	t.Parallel()
	x, y := []string{"a", "a", "a", "b", "c"}, []string{"p", "p", "q", "q", "q"}
	if got := adjustedRand(x, y); math.Abs(got- -0.2/2.3) > 1e-12 {
		t.Errorf("got %g", got)
	}
	if got := adjustedRand(y, y); got != 1 {
		t.Errorf("a partition against itself: %g", got)
	}
}
