package backtest

import (
	"strings"
	"testing"

	"github.com/quimbi/quimbi/engine/synth"
)

// Detectors on planted changes: who buys often is seen soon, who stops sooner than who halves, and more false alarms buy
// shorter delays.
func TestSimulate(t *testing.T) {
	t.Parallel()
	s, err := simulate(t.Context(), quickParams(), 1, 30)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*SimulatedDetector{}
	for i := range s.Detectors {
		d := &s.Detectors[i]
		byName[d.Name] = d
		last := map[string]float64{}
		for _, p := range d.Points {
			product := strings.HasPrefix(d.Name, "alarm_")
			if p.Got > p.Asked+0.12 && d.Name != AlarmAny {
				t.Errorf("%s: %.2f of the unchanged have an alarm, %.2f were asked for", d.Name, p.Got, p.Asked)
			}
			for _, k := range p.Kinds {
				if k.Rate != 0 {
					continue
				}
				if before, ok := last[k.Kind]; ok && k.Mean > before+1e-6 && !product { // with a low threshold an alarm of the product may have been raised before
					t.Errorf("%s, %s: more false alarms took longer: %.1f after %.1f", d.Name, k.Kind, k.Mean, before)
				}
				last[k.Kind] = k.Mean
				if k.Customers < 35 || k.Seen < 0 || k.Seen > 1 || k.Mean > simulatedWatch*week+1e-6 {
					t.Errorf("%s: %+v", d.Name, k)
				}
			}
		}
	}
	for _, name := range []string{Silence, NoPurchase, CUSUMStop, SRStop, AlarmSilence, AlarmCUSUM, AlarmShiryaevRoberts, AlarmAny} {
		d := byName[name]
		if d == nil {
			t.Fatalf("%s was not judged", name)
		}
		often, seldom := d.Delay(SimulatedFalseAlarms, synth.Stop, 2), d.Delay(SimulatedFalseAlarms, synth.Stop, 0.2)
		if often.Median == nil || *often.Median > 70 || often.Mean >= seldom.Mean {
			t.Errorf("%s: stops at 2 purchases a week %+v, at 0.2 %+v", name, often, seldom)
		}
		if halving := d.Delay(SimulatedFalseAlarms, synth.Halving, 1); halving.Mean <= d.Delay(SimulatedFalseAlarms, synth.Stop, 1).Mean {
			t.Errorf("%s sees a halving sooner than a stop: %+v", name, halving)
		}
	}
}

// Delays by hand: of three customers one is not seen.
func TestDelayOf(t *testing.T) {
	t.Parallel()
	p := &Plan{Options: Options{Seed: 1}}
	var customers []simulated
	var series [][]float64
	flat := make([]float64, simulatedWatch)
	rising := make([]float64, simulatedWatch)
	for w := range rising {
		rising[w] = float64(w)
	}
	for id := int64(1); id <= 60; id++ {
		c := simulated{rate: 1, kind: ""}
		c.ID = id
		v := flat
		if id%3 != 0 {
			c.kind = synth.Stop
		}
		if id%3 == 1 {
			v = rising
		}
		customers, series = append(customers, c), append(series, v)
	}
	s := &Simulation{Rates: []float64{1}}
	s.judge(p, customers, "rising", series)
	d := s.Detectors[0].Delay(SimulatedFalseAlarms, synth.Stop, 1)
	// Alarm in the second week after the change, told on its last day.
	if s.Detectors[0].Points[0].Got != 0 || d.Customers == 0 || d.Seen < 0.2 || d.Seen > 0.8 || d.Seen > 0.5 && *d.Median != 14 {
		t.Errorf("%+v, %+v", s.Detectors[0].Points[0], d)
	}
	near(t, "the mean delay", d.Mean, d.Seen*14+(1-d.Seen)*simulatedWatch*week, 1e-9)
}
