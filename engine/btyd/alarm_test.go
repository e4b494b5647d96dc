package btyd

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

func TestSilence(t *testing.T) {
	t.Parallel()
	m := NBD{R: 0.5, Alpha: 6}
	h := History{X: 12, Tx: 24, T: 30}
	near(t, "silence", m.Silence(h), 1-math.Pow(30.0/36, 12.5), 1e-12)
	near(t, "silence at the purchase", m.Silence(History{X: 12, Tx: 24, T: 24}), 0, 0)

	rule := DefaultSilenceRule()
	near(t, "limit of a rare buyer", rule.Limit(0.05), 0.05, 0)
	near(t, "limit of a weekly buyer", rule.Limit(1), 0.2/52, 1e-15)
	rate, watched := m.OwnRate(Reference{X: 12, Weeks: 24})
	near(t, "rate", rate, 12.5/30, 1e-12)
	if !watched || rule.Alarm(m, h, rate) {
		t.Error("a gap of 6 weeks is no alarm yet")
	}
	if h.T = 60; !rule.Alarm(m, h, rate) {
		t.Error("a gap of 36 weeks must be an alarm")
	}
	if slow, watched := m.OwnRate(Reference{X: 1, Weeks: 30}); watched || rule.Alarm(m, h, slow) {
		t.Error("slow buyers have no alarms")
	}
}

func TestDetectorsByHand(t *testing.T) {
	t.Parallel()
	// Rate 2 and rho 0.5: one silent week adds 1, one purchase takes ln 2.
	cusum := Detector{Kind: CUSUM, Rho: RhoSlump, Threshold: 2.5}
	if diff := cmp.Diff([]int{4, 7}, cusum.Alarms([]int{0, 5, 0, 0, 0, 0, 0, 0, 0}, 2)); diff != "" {
		t.Errorf("weeks with an alarm (-want +got):\n%s", diff)
	}
	if weeks := cusum.Alarms(make([]int, 500), 0.09); weeks != nil {
		t.Errorf("alarms of a slow buyer: %v", weeks)
	}

	roberts := Detector{Kind: ShiryaevRoberts, Rho: RhoSlump, Threshold: math.Inf(1)}
	value, w := 0.0, 0.0
	for _, purchases := range []int{0, 3, 1, 0, 0, 2} {
		value, _ = roberts.Step(value, purchases, 2)
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
			value, _ = d.Step(value, y, rate)
			more, _ = d.Step(more, y+1, rate)
			if !(value >= 0) || math.IsInf(value, 1) || more > value+1e-9 {
				t.Fatalf("value %g, with more purchases %g", value, more)
			}
		}
	})
}

// Fresh unchanged customers alarm in a year about as often as asked; customers who stop are found within the year.
func TestThresholdsHoldTheirRate(t *testing.T) {
	t.Parallel()
	m := NBD{R: 0.8, Alpha: 4}
	var references []Reference
	rates := distuv.Gamma{Alpha: m.R, Beta: m.Alpha, Src: rand.NewPCG(9, 9)}
	var truth []float64
	for range 8000 {
		rate := rates.Rand()
		references = append(references, Reference{X: int(distuv.Poisson{Lambda: rate * 40, Src: rand.NewPCG(8, uint64(len(truth)))}.Rand()), Weeks: 40})
		truth = append(truth, rate)
	}
	options := DefaultThresholdOptions()
	options.Customers = 8000
	detectors, err := Thresholds(t.Context(), m, references, []Detector{
		{Kind: CUSUM, Rho: RhoStop}, {Kind: CUSUM, Rho: RhoSlump}, {Kind: ShiryaevRoberts, Rho: RhoStop}, {Kind: ShiryaevRoberts, Rho: RhoSlump},
	}, options)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Thresholds(t.Context(), m, references, detectors[:2], options)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(detectors[:2], again); diff != "" {
		t.Errorf("the same seed gives other thresholds (-first +second):\n%s", diff)
	}

	for _, d := range detectors {
		watched, alarmed, frequent, found := 0.0, 0.0, 0.0, 0.0
		for i, ref := range references {
			rate, ok := m.OwnRate(ref)
			if !ok {
				continue
			}
			weekly := make([]int, 52)
			poisson := distuv.Poisson{Lambda: truth[i], Src: rand.NewPCG(7, uint64(i))}
			for w := range weekly {
				weekly[w] = int(poisson.Rand())
			}
			watched++
			if len(d.Alarms(weekly, rate)) > 0 {
				alarmed++
			}
			if rate > 0.5 {
				frequent++
				if len(d.Alarms(make([]int, 26), rate)) > 0 {
					found++
				}
			}
		}
		near(t, d.Kind+" share of false alarms", alarmed/watched, 0.2, 0.03)
		if found < 0.95*frequent {
			t.Errorf("%s with rho %g finds %g of %g frequent buyers who stopped", d.Kind, d.Rho, found, frequent)
		}
	}
}

func TestThresholdRefusals(t *testing.T) {
	t.Parallel()
	m, options := NBD{R: 1, Alpha: 4}, DefaultThresholdOptions()
	frequent := []Reference{{X: 40, Weeks: 30}}
	stop := []Detector{{Kind: CUSUM, Rho: RhoStop}}

	if _, err := Thresholds(t.Context(), m, []Reference{{X: 0, Weeks: 30}}, stop, options); !errors.Is(err, ErrNoneWatched) {
		t.Errorf("only slow buyers: %v", err)
	}
	if _, err := Thresholds(t.Context(), m, frequent, []Detector{{Kind: "ewma", Rho: 0.1}}, options); err == nil {
		t.Error("an unknown kind was taken")
	}
	if _, err := Thresholds(t.Context(), m, frequent, []Detector{{Kind: CUSUM, Rho: 1}}, options); err == nil {
		t.Error("rho = 1 was taken")
	}
	if _, err := Thresholds(t.Context(), m, frequent, stop, ThresholdOptions{}); err == nil {
		t.Error("empty options were taken")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Thresholds(cancelled, m, frequent, stop, options); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
