package report

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/backtest"
)

// found is a result with a detector for every case: one that leads, the rule, and one that never alarmed.
func found() *backtest.Result {
	delay, area, brier := 40.0, 0.6, 0.2
	class := func(lead *backtest.Interval, precision *backtest.Interval) []backtest.Class {
		var list []backtest.Class
		for _, c := range backtest.Cadences {
			list = append(list, backtest.Class{Cadence: c, Gaps: 10, Churned: 3, Alarms: 4, Precision: precision, Early: 0.5, Delay: &delay, Lead: lead, PRAUC: &area, Brier: &brier})
		}
		return list
	}
	some, half := &backtest.Interval{Value: 12.34, Low: 3, High: 20}, &backtest.Interval{Value: 0.5, Low: 0.4, High: 0.6}
	curve := []backtest.Point{{Recall: 0.1, Precision: 0.9}, {Recall: 1, Precision: 0.4}}
	reliability := &backtest.Reliability{Brier: 0.2, ECE: 0.01, Count: 7, Bins: []backtest.Bin{{Predicted: 0.3, Observed: 0.25, Count: 7}}}
	return &backtest.Result{
		HorizonDays: 90, RuleDays: 90, Seed: 5, From: engine.NewDate(2026, 1, 4), To: engine.NewDate(2026, 6, 7), Weeks: 23, Best: backtest.NoPurchase,
		Detectors: []backtest.Detector{
			{Name: backtest.DaysSilent, About: "days <since> the last purchase", Classes: class(&backtest.Interval{}, half), Curve: curve},
			{Name: backtest.NoPurchase, About: "P0", Probability: true, Classes: class(some, half), Curve: curve, Reliability: reliability},
			{Name: backtest.Silence, About: "never alarmed", Classes: class(nil, nil)},
			{Name: backtest.AlarmAny, About: "the product's", OwnThreshold: true, Classes: class(some, half)},
		},
		Calibration: reliability, Everybody: reliability, Past: reliability, Identifiable: true, BaseRate: 0.4,
		Splits: []backtest.Split{division(5, 10, 0.02), division(6, 20, 0.04)},
	}
}

// division is one in which a detector had a lead and the others none.
func division(seed uint64, lead, ece float64) backtest.Split {
	precision := 0.5
	return backtest.Split{Seed: seed, Rule: 0.4, ECE: &ece, Detectors: []backtest.SplitDetector{{Name: backtest.NoPurchase, Lead: &lead, Precision: &precision}}}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	charts := map[string][]byte{}
	place := func(name string, svg []byte) string {
		charts[name] = svg
		return name
	}
	text := Markdown("shop", found(), place)
	for _, want := range []string{
		"# How early churn was seen: shop", "12.3 (3.0 to 20.0) days before the rule", "| no_purchase | 12.3 (3.0 to 20.0) | 50 (40 to 60) | 50 | 40 | 0.600 | - | 0.2000 | 0.010 |",
		"| silence | - | - |", "for 2 divisions", "| no_purchase | 15.0 (10.0 to 20.0) | 50 (50 to 50) | - |", "fitting third 0.030 (0.020 to 0.040), as the product does it -", "a false-alarm rate of 0.2 a year", "](lead.svg)", "](reliability.svg)", "](precision-recall.svg)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	for name, svg := range charts {
		shapes := wellFormed(t, name, svg)
		if slices.Contains([]string{"lead.svg", "reliability.svg", "precision-recall.svg"}, name) && shapes < 5 {
			t.Errorf("%s has only %d elements", name, shapes)
		}
	}
	// Every row of a table has as many cells as its header.
	cells := 0
	for _, line := range strings.Split(text, "\n") {
		n := strings.Count(line, "|")
		switch {
		case n == 0:
			cells = 0
		case cells == 0:
			cells = n
		case n != cells:
			t.Errorf("a row has %d bars, its header %d: %s", n, cells, line)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "%!") {
		t.Errorf("the page has a number that is none:\n%s", text)
	}
}

func wellFormed(t *testing.T, name string, svg []byte) (elements int) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return elements
		}
		if err != nil {
			t.Fatalf("%s is no XML: %v\n%s", name, err, svg)
		}
		if _, ok := token.(xml.StartElement); ok {
			elements++
		}
	}
}

// What could not be measured is said in words.
func TestMarkdownWithoutModelOrLead(t *testing.T) {
	t.Parallel()
	r := found()
	r.Best, r.Calibration, r.Everybody, r.Past, r.Splits, r.PredictionReason = "", nil, nil, nil, nil, engine.PredictionTooFew
	text := Markdown("shop", r, Inline)
	if !strings.Contains(text, "No detector was earlier") || !strings.Contains(text, "no purchase model") || !strings.Contains(text, "data:image/svg+xml;base64,") {
		t.Error(text)
	}
}

func TestSimulationPage(t *testing.T) {
	t.Parallel()
	days := 21.0
	s := &backtest.Simulation{Seed: 1, Rates: []float64{0.5, 1}, Customers: 90, Weeks: 52}
	for _, name := range []string{backtest.NoPurchase, backtest.Drift} {
		d := backtest.SimulatedDetector{Name: name}
		for _, asked := range []float64{0.05, 0.1, 0.2, 0.4} {
			point := backtest.SimulatedPoint{Asked: asked, Got: asked + 0.01}
			for _, change := range changes {
				for _, rate := range []float64{0, 0.5, 1} {
					delay := backtest.SimulatedDelay{Kind: change, Rate: rate, Customers: 10, Seen: 0.4, Mean: 200}
					if rate == 1 {
						delay.Median = &days
					}
					point.Kinds = append(point.Kinds, delay)
				}
			}
			d.Points = append(d.Points, point)
		}
		s.Detectors = append(s.Detectors, d)
	}
	s.Detectors[0].Points[3].Got = 0.53 // further than was asked for, and drawn all the same
	var chart []byte
	text := Simulation(s, func(_ string, svg []byte) string { chart = svg; return "simulation.svg" })
	for _, want := range []string{"| no_purchase | - | 21 | 40 |", "| drift | 6.0 % | 11.0 % | 21.0 % | 41.0 % |", "](simulation.svg)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if axis := strings.Count(string(chart), ">0.6<"); axis != len(changes) {
		t.Errorf("%d axes end at 0.6", axis)
	}
	if n := wellFormed(t, "simulation.svg", chart); n < 30 || strings.Contains(text, "%!") {
		t.Errorf("%d elements in the chart, and the page:\n%s", n, text)
	}
}
