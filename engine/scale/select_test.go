package scale_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine/scale"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Int32Range(-50, 50), 0, 300).Draw(t, "x")
		if rapid.Bool().Draw(t, "sorted") {
			slices.Sort(x)
		}
		sorted := slices.Sorted(slices.Values(x))
		want := math.NaN()
		if n := len(x); n > 0 {
			want = float64(sorted[(n-1)/2]+sorted[n/2]) / 2
		}
		if got := scale.Median(x); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("median is %v, want %v", got, want)
		}
		if slices.Sort(x); !slices.Equal(x, sorted) {
			t.Error("the median has changed the values")
		}
		if len(x) > 0 {
			n := rapid.IntRange(0, len(x)-1).Draw(t, "n")
			if got := scale.Nth(x, n); got != sorted[n] {
				t.Errorf("value %d is %d, want %d", n, got, sorted[n])
			}
		}
	})
}

func TestQuantileUnsorted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float64Range(-5, 5), 1, 200).Draw(t, "x")
		p := rapid.Float64Range(0, 1).Draw(t, "p")
		want := scale.Quantile(slices.Sorted(slices.Values(x)), p)
		if got := scale.QuantileUnsorted(x, p); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
