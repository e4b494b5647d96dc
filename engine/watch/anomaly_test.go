package watch

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestRobustZ holds to values worked out by hand: median 0.10, MAD 0.02, so 1.4826 x 0.02 = 0.029652.
func TestRobustZ(t *testing.T) {
	t.Parallel()
	earlier := func() []float64 { return []float64{0.08, 0.12, 0.10, 0.10, 0.06, 0.14, 0.08, 0.12} }
	z, ok := RobustZ(earlier(), 0.25)
	if want := (0.25 - 0.10) / (1.4826 * 0.02); !ok || math.Abs(z-want) > 1e-12 {
		t.Errorf("z = %v, %v, want %v", z, ok, want)
	}
	if _, ok := RobustZ(earlier()[:7], 0.9); ok {
		t.Error("seven earlier drifts gave a deviation")
	}
	// The deviation is at least 0.02, or a customer who always moves alike would be anomalous for a hair.
	if z, _ := RobustZ([]float64{0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}, 0.11); math.Abs(z-0.5) > 1e-9 {
		t.Errorf("z = %v, want 0.5", z)
	}
}

// TestStoreMedianIsTakenOff moves everybody in a week: the customer's deviation does not change.
func TestStoreMedianIsTakenOff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 0.5), 9, 40).Draw(t, "drifts")
		plain, moved := make([]Dated, len(values)), make([]Dated, len(values))
		var medians []Median
		for i, v := range values {
			shift := rapid.Float64Range(0, 0.5).Draw(t, "shift")
			plain[i], moved[i] = Dated{7 * i, v}, Dated{7 * i, v + shift}
			medians = append(medians, Median{7 * i, shift})
		}
		want, ok := Last(plain, nil)
		got, known := Last(moved, medians)
		if !ok || !known || math.Abs(want-got) > 1e-6 {
			t.Fatalf("z = %v (%v), with everybody moving %v (%v)", want, ok, got, known)
		}
	})
	if m := MedianAt([]Median{{10, 0.1}, {20, 0.2}}, 15); m != 0.1 {
		t.Errorf("on a day without a median %v counts, want the one before", m)
	}
}

// TestSpread compares with counting.
func TestSpread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		drifts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 {
			units := 100 // many do not move
			if rapid.Bool().Draw(t, "moves") {
				units = rapid.IntRange(0, 10_000).Draw(t, "drift")
			}
			return float64(float32(units) / 10_000) // as snapshots keep it
		}), 400, 600).Draw(t, "drifts")
		slices.Sort(drifts)
		spread := make(Spread, 0, SpreadSteps+1)
		for _, f := range Fractions() { // as percentile_cont does
			at := f * float64(len(drifts)-1)
			low, high := drifts[int(math.Floor(at))], drifts[int(math.Ceil(at))]
			spread = append(spread, float32(low+(at-math.Floor(at))*(high-low)))
		}
		if m := spread.Median(); math.Abs(m-(drifts[(len(drifts)-1)/2]+drifts[len(drifts)/2])/2) > 1e-6 {
			t.Fatalf("median %v", m)
		}
		x := rapid.OneOf(rapid.SampledFrom(drifts), rapid.Map(rapid.IntRange(0, 10_000), func(i int) float64 { return float64(float32(i) / 10_000) })).Draw(t, "x")
		below, _ := slices.BinarySearch(drifts, x)
		if got, want := spread.Below(x), float64(below)/float64(len(drifts)); math.Abs(got-want) > 0.01 {
			t.Fatalf("%v of the customers moved less than %v, counted are %v", got, x, want)
		}
	})
	if none := Spread(nil); none.Below(0.5) != 0 || none.Median() != 0 {
		t.Error("nobody's drifts say something")
	}
}
