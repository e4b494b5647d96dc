package btyd

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestSilence(t *testing.T) {
	t.Parallel()
	m := NBD{R: 0.5, Alpha: 6}
	h := History{X: 12, Tx: 24, T: 30}
	near(t, "silence", m.Silence(h), 1-math.Pow(30.0/36, 12.5), 1e-12)
	near(t, "silence at the purchase", m.Silence(History{X: 12, Tx: 24, T: 24}), 0, 0)

	near(t, "limit of a rare buyer", Limit(0.2, 0.05), 0.05, 0)
	near(t, "limit of a weekly buyer", Limit(0.2, 1), 0.2/52, 1e-15)
	rate, watched := m.OwnRate(Reference{X: 12, Weeks: 24})
	near(t, "rate", rate, 12.5/30, 1e-12)
	if !watched {
		t.Error("a buyer every other week is not watched")
	}
	if _, watched := m.OwnRate(Reference{X: 1, Weeks: 30}); watched {
		t.Error("a slow buyer is watched")
	}
}

func TestDetectorsByHand(t *testing.T) {
	t.Parallel()
	// Rate 2 and rho 0.5: one silent week adds 1, one purchase takes ln 2.
	cusum := Detector{Kind: CUSUM, Rho: RhoSlump}
	at := 0.0
	for week, want := range []float64{1, 0, 1, 2, 2 - math.Ln2 + 1} {
		at = cusum.Step(at, []int{0, 5, 0, 0, 1}[week], 2)
		near(t, "cusum", at, want, 1e-12)
	}

	roberts := Detector{Kind: ShiryaevRoberts, Rho: RhoSlump}
	value, w := 0.0, 0.0
	for _, purchases := range []int{0, 3, 1, 0, 0, 2} {
		value = roberts.Step(value, purchases, 2)
		w = (1 + w) * math.Exp(float64(purchases)*math.Log(0.5)+1)
		near(t, "ln(1+W)", value, math.Log1p(w), 1e-12)
	}
}

// Detectors stay finite for the busiest customers, and one more purchase never raises their value.
func TestDetectorsAreFiniteAndMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := Detector{
			Kind: rapid.SampledFrom([]string{CUSUM, ShiryaevRoberts}).Draw(t, "kind"),
			Rho:  rapid.SampledFrom([]float64{RhoStop, RhoSlump}).Draw(t, "rho"),
		}
		rate := rapid.Float64Range(0.1, 500).Draw(t, "rate")
		weekly := rapid.SliceOfN(rapid.IntRange(0, 2000), 1, 200).Draw(t, "weekly")
		value, more := 0.0, 0.0
		for _, y := range weekly {
			value = d.Step(value, y, rate)
			more = d.Step(more, y+1, rate)
			if !(value >= 0) || math.IsInf(value, 1) || more > value+1e-9 {
				t.Fatalf("value %g, with more purchases %g", value, more)
			}
		}
	})
}
