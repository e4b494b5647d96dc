package synth

import (
	"math"
	"slices"
	"testing"
)

// Purchases come at the rate that is planted, before the change and after it.
func TestSeries(t *testing.T) {
	t.Parallel()
	const weekly, days, change, customers = 0.7, 728, 364, 600
	share := 1 - math.Exp(-weekly/7)
	for kind, want := range map[string][2]float64{ // of the first and the last 182 days after the change
		Stop: {0, 0}, Halving: {1 - math.Exp(-weekly/14), 1 - math.Exp(-weekly/14)}, Fade: {share / 2, 0}, "": {share, share},
	} {
		counts := [3]float64{}
		for c := range uint64(customers) {
			bought := Series(1, c, weekly, days, kind, change)
			if bought[0] != 0 || !slices.IsSorted(bought) || bought[len(bought)-1] >= days {
				t.Fatalf("%s: %v", kind, bought)
			}
			for _, day := range bought[1:] {
				counts[max(0, (day-change+182)/182)]++
			}
		}
		for i, want := range [3]float64{share * 363, want[0] * 182, want[1] * 182} {
			if got := counts[i] / customers; math.Abs(got-want) > 4*math.Sqrt(want/customers)+0.3 {
				t.Errorf("%q, part %d: %.2f purchases, want %.2f", kind, i, got, want)
			}
		}
	}
	if !slices.Equal(Series(1, 5, weekly, days, Stop, change), Series(1, 5, weekly, days, Stop, change)) {
		t.Error("the same seed gives another series")
	}
}
