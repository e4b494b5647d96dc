package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/quimbi/quimbi/engine/backtest"
	"github.com/quimbi/quimbi/engine/synth"
)

// drawnInSimulation are the detectors whose curves are drawn.
var drawnInSimulation = []string{
	backtest.DaysSilent, backtest.SilentOverGap, backtest.NoPurchase, backtest.AlarmShiryaevRoberts, backtest.AlarmAny, backtest.Directed,
}

var changeNames = map[string]string{
	synth.Stop: "a stop", synth.Halving: "half the rate", synth.Fade: "a fade over 26 weeks",
}

var changes = []string{synth.Stop, synth.Halving, synth.Fade}

// Simulation writes the page of a simulation.
func Simulation(s *backtest.Simulation, place Place) string {
	p := &page{}
	p.line("# How soon changes are seen whose day is known")
	p.line("")
	p.line("%d customers were made up (seed %d): each buys at random at a rate of its own, from %g to %g purchases a week, for 60 weeks. Then half of them go on, and the others stop,",
		s.Customers, s.Seed, s.Rates[0], s.Rates[len(s.Rates)-1])
	p.line("buy half as often, or fade away within 26 weeks. Models are fitted on a third. A detector has one threshold for all customers, chosen on the unchanged ones of the second")
	p.line("third so that a share of them has an alarm within %d weeks. The last third is judged. A delay is counted from the day of the change to the first alarm. Here nobody differs", s.Weeks)
	p.line("but in rate, so this is the best case for detectors that expect just that. `alarm_silence`, `alarm_cusum` and `alarm_shiryaev_roberts` are the alarms of the product, by the same code,")
	p.line("with the thresholds of its own simulation for such a false-alarm rate; `%s` is the first of the three. They look at nobody who buys less than once in ten weeks.", backtest.AlarmAny)
	p.line("")
	p.line("![Delay against false alarms](%s)", place("simulation.svg", simulationChart(s)))
	p.line("")
	for _, change := range changes {
		p.line("## Delay after %s", changeNames[change])
		p.line("")
		p.line("Median days at %.0f %% false alarms a year, by purchases a week before the change; - where fewer than half were seen within %d weeks.",
			100*backtest.SimulatedFalseAlarms, s.Weeks)
		p.line("")
		head, rule := "| detector |", "| --- |"
		for _, rate := range s.Rates {
			head += fmt.Sprintf(" %g |", rate)
			rule += " --- |"
		}
		p.line("%s seen, %% |", head)
		p.line("%s --- |", rule)
		for i := range s.Detectors {
			d := &s.Detectors[i]
			row := "| " + d.Name + " |"
			for _, rate := range s.Rates {
				row += " " + number(d.Delay(backtest.SimulatedFalseAlarms, change, rate).Median, 0) + " |"
			}
			p.line("%s %.0f |", row, 100*d.Delay(backtest.SimulatedFalseAlarms, change, 0).Seen)
		}
		p.line("")
	}
	p.line("## False alarms")
	p.line("")
	p.line("The share of unchanged customers of the judged third who had an alarm, against what was asked for.")
	p.line("")
	p.line("| detector | 5 %% | 10 %% | 20 %% | 40 %% |")
	p.line("| --- | --- | --- | --- | --- |")
	for i := range s.Detectors {
		cells := make([]string, len(s.Detectors[i].Points))
		for j, point := range s.Detectors[i].Points {
			cells[j] = fmt.Sprintf("%.1f %%", 100*point.Got)
		}
		p.line("| %s | %s |", s.Detectors[i].Name, strings.Join(cells, " | "))
	}
	return p.String()
}

// simulationChart shows mean delays over false alarms, a panel a change.
func simulationChart(s *backtest.Simulation) []byte {
	const panel = 300
	d := newDrawing(3*panel+40, 470, "Delay against false alarms")
	d.text(20, 24, "start", "Mean days from the change to the first alarm, at most %d, over the share of unchanged customers with an alarm in a year", 7*s.Weeks)
	for n, change := range changes {
		f := frame{left: 70 + float64(n)*panel, top: 60, width: panel - 70, height: 290, maxX: mostFalseAlarms(s), maxY: 364}
		d.text(f.left, f.top-12, "start", "%s", changeNames[change])
		name := ""
		if n == 0 {
			name = "mean delay, days"
		}
		f.grid(d, 0.1, 52, "false alarms", name)
		for c, name := range drawnInSimulation {
			for i := range s.Detectors {
				if s.Detectors[i].Name == name {
					f.delays(d, &s.Detectors[i], change, colours[c])
				}
			}
		}
	}
	for c, name := range drawnInSimulation {
		x, y := 40+300*float64(c%3), 422+22*float64(c/3)
		d.put(`<rect x="%.1f" y="%.1f" width="12" height="12" fill="%s"/>`, x, y-10, colours[c])
		d.put(`<text x="%.1f" y="%.1f" fill="%s">%s</text>`, x+18, y, ink, html.EscapeString(name))
	}
	return d.end()
}

// mostFalseAlarms is where the axis ends: at least at a half, and beyond all that is drawn.
func mostFalseAlarms(s *backtest.Simulation) float64 {
	most := 0.5
	for _, d := range s.Detectors {
		for _, p := range d.Points {
			if slices.Contains(drawnInSimulation, d.Name) {
				most = max(most, math.Ceil(10*p.Got)/10)
			}
		}
	}
	return most
}

func (f *frame) delays(d *drawing, detector *backtest.SimulatedDetector, change, colour string) {
	var points []backtest.Point
	for _, p := range detector.Points {
		points = append(points, backtest.Point{Recall: p.Got, Precision: detector.Delay(p.Asked, change, 0).Mean})
	}
	f.curve(d, points, colour)
	for _, p := range points {
		d.put(`<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`, f.x(p.Recall), f.y(p.Precision), colour)
	}
}
