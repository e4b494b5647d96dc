// Package report writes what a backtest found as a page for people: Markdown with charts.
package report

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/backtest"
)

// Place puts a chart somewhere and gives the address for the page.
type Place func(name string, svg []byte) (address string)

// Inline puts a chart into the page itself.
func Inline(_ string, svg []byte) string {
	return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(svg)
}

// shown are the detectors whose curves are drawn, as far as they are there.
var shown = []string{backtest.DaysSilent, backtest.SilentOverGap, backtest.Dead, backtest.NoPurchase, backtest.RFM, backtest.NoPurchaseRFM}

// Markdown writes the page of a store's backtest.
func Markdown(store string, r *backtest.Result, place Place) string {
	p := &page{}
	p.line("# How early churn was seen: %s", store)
	p.line("")
	p.protocol(r)
	p.headline(r)
	p.line("## Detectors")
	p.line("")
	p.line("![Lead by detector](%s)", place("lead.svg", leadChart(r)))
	p.line("")
	p.detectors(r)
	p.splits(r)
	p.additions(r)
	p.classes(r)
	p.line("![Precision and recall](%s)", place("precision-recall.svg", precisionRecallChart(r, have(r, shown))))
	p.line("")
	p.calibration(r, place)
	return p.String()
}

func have(r *backtest.Result, names []string) []string {
	var list []string
	for _, name := range names {
		if r.Detector(name) != nil {
			list = append(list, name)
		}
	}
	return list
}

type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.Builder, format+"\n", args...) }

func (p *page) protocol(r *backtest.Result) {
	p.line("Churn is no purchase in %d days. Customers with at least three purchases were looked at on %d Sundays from %s to %s, by what was known on each;",
		r.HorizonDays, r.Weeks, r.From, r.To)
	p.line("orders are known from %s until before %s. Customers are divided at random (seed %d): models were fitted on %d, thresholds chosen on %d, and %d judged,",
		r.OrdersFrom, r.OrdersTo, r.Seed, r.Fitted, r.Threshold, r.Customers)
	p.line("with %d gaps between purchases, of which %d were churn: silent for more than %d days. A detector alarms once in a gap. Its threshold is the lowest with which it",
		r.Gaps, r.Churned, r.RuleDays+r.HorizonDays)
	p.line("was as precise as the rule \"silent for %d days\" on the threshold third, which was %s. Intervals are 95 %%, from a bootstrap of customers.",
		r.RuleDays, percent(r.Rule))
	p.line("%d customers were worked out again with all later orders hidden; nothing changed.", r.Checks)
	p.line("")
}

func (p *page) headline(r *backtest.Result) {
	d := r.Detector(r.Best)
	if d == nil {
		p.line("**No detector was earlier than the rule.**")
		p.line("")
		return
	}
	c := d.Class(backtest.CadenceAll)
	p.line("**Best: `%s`, %s days before the rule on average over churn, with a precision of %s; the rule's own was %s. It saw %s of churn before day %d.**",
		d.Name, interval(c.Lead, 1, 1), interval(c.Precision, 100, 0)+" %", interval(ruleOf(r).Precision, 100, 0)+" %", percent(c.Early), r.RuleDays)
	p.line("The best of several on these customers flatters itself a little; another seed tells how much.")
	p.line("")
}

func ruleOf(r *backtest.Result) *backtest.Class {
	return r.Detector(backtest.DaysSilent).Class(backtest.CadenceAll)
}

func (p *page) detectors(r *backtest.Result) {
	p.line("| detector | lead, days | precision, %% | seen before day %d, %% | median delay, days | PR area | PR area, silent <= %d | Brier | ECE |", r.RuleDays, r.RuleDays)
	p.line("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for i := range r.Detectors {
		d := &r.Detectors[i]
		c := d.Class(backtest.CadenceAll)
		ece := "-"
		if d.Reliability != nil {
			ece = fmt.Sprintf("%.3f", d.Reliability.ECE)
		}
		p.line("| %s | %s | %s | %.0f | %s | %s | %s | %s | %s |", d.Name, interval(c.Lead, 1, 1), interval(c.Precision, 100, 0), 100*c.Early,
			number(c.Delay, 0), number(c.PRAUC, 3), number(c.PRAUCEarly, 3), number(c.Brier, 4), ece)
	}
	p.line("")
	for i := range r.Detectors {
		p.line("* `%s`: %s", r.Detectors[i].Name, r.Detectors[i].About)
	}
	p.line("")
	for i := range r.Detectors {
		if r.Detectors[i].OwnThreshold {
			p.line("The alarms of the product go by thresholds of their own, with a false-alarm rate of %g a year and kind: their precision is not the rule's, and they look at nobody who buys less than", engine.DefaultFalseAlarmRate)
			p.line("once in ten weeks.")
			p.line("")
			break
		}
	}
	p.line("The area under precision and recall of a detector that knows nothing is the share of churn, %s.", percent(r.BaseRate))
	p.line("")
}

func (p *page) splits(r *backtest.Result) {
	if len(r.Splits) == 0 {
		return
	}
	p.line("The same for %d divisions of the customers, by the seeds from %d on: mean (least to most).", len(r.Splits), r.Seed)
	p.line("")
	p.line("| detector | lead, days | precision, %% | Brier |")
	p.line("| --- | --- | --- | --- |")
	for i := range r.Detectors {
		name := r.Detectors[i].Name
		p.line("| %s | %s | %s | %s |", name,
			spread(r.DetectorSpread(name, func(d *backtest.SplitDetector) *float64 { return d.Lead }), 1, 1),
			spread(r.DetectorSpread(name, func(d *backtest.SplitDetector) *float64 { return d.Precision }), 100, 0),
			spread(r.DetectorSpread(name, func(d *backtest.SplitDetector) *float64 { return d.Brier }), 1, 4))
	}
	p.line("")
	p.line("The rule's precision on the threshold third: %s %%. Calibration error on everybody: recalibrated on the fitting third %s, as the product does it %s.",
		spread(r.Spread(func(s *backtest.Split) *float64 { return &s.Rule }), 100, 0),
		spread(r.Spread(func(s *backtest.Split) *float64 { return s.ECE }), 1, 3),
		spread(r.Spread(func(s *backtest.Split) *float64 { return s.PastECE }), 1, 3))
	p.line("")
}

// spread writes a spread, times a factor.
func spread(s backtest.Spread, factor float64, digits int) string {
	if s.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, factor*s.Mean, digits, factor*s.Least, digits, factor*s.Most)
}

func (p *page) additions(r *backtest.Result) {
	if len(r.Additions) == 0 {
		return
	}
	p.line("Segments and drift, each put into `%s`, and kept only where the Brier score on the threshold third falls, and not by chance:", backtest.NoPurchaseRFM)
	p.line("")
	p.line("| feature | Brier without | Brier with | gain, times 10,000 | kept |")
	p.line("| --- | --- | --- | --- | --- |")
	for _, a := range r.Additions {
		kept := "no"
		if a.Kept {
			kept = "yes"
		}
		p.line("| %s | %.5f | %.5f | %s | %s |", a.Feature, a.Without, a.With, interval(&a.Gain, 1e4, 1), kept)
	}
	p.line("")
}

var classNames = map[backtest.Cadence]string{
	backtest.CadenceFast: "under 14 days", backtest.CadenceMedium: "14 to 45 days", backtest.CadenceSlow: "over 45 days",
}

func (p *page) classes(r *backtest.Result) {
	p.line("## By the customers' own rhythm")
	p.line("")
	p.line("| usual gap | gaps | churn | detector | lead, days | precision, %% | seen before day %d, %% | median delay, days |", r.RuleDays)
	p.line("| --- | --- | --- | --- | --- | --- | --- | --- |")
	names := []string{backtest.DaysSilent, backtest.NoPurchase}
	if r.Best != "" && r.Best != backtest.NoPurchase {
		names = append(names, r.Best)
	}
	for _, cadence := range backtest.Cadences[1:] {
		for _, name := range have(r, names) {
			c := r.Detector(name).Class(cadence)
			p.line("| %s | %d | %d | %s | %s | %s | %.0f | %s |", classNames[cadence], c.Gaps, c.Churned, name,
				interval(c.Lead, 1, 1), interval(c.Precision, 100, 0), 100*c.Early, number(c.Delay, 0))
		}
	}
	p.line("")
}

func (p *page) calibration(r *backtest.Result, place Place) {
	p.line("## How true the churn risk is")
	p.line("")
	if r.Calibration == nil {
		p.line("There is no purchase model: too few customers, or too few who bought again (%s).", r.PredictionReason)
		return
	}
	curves := map[string]*backtest.Reliability{"three purchases and more": r.Calibration}
	names := []string{"three purchases and more"}
	if r.Everybody != nil {
		curves["everybody who had bought"] = r.Everybody
		names = append(names, "everybody who had bought")
	}
	if r.Past != nil {
		curves["everybody, as the product calibrates"] = r.Past
		names = append(names, "everybody, as the product calibrates")
	}
	p.line("![Reliability](%s)", place("reliability.svg", reliabilityChart(curves, names)))
	p.line("")
	p.line("| customers | predictions | churn, %% | Brier | Brier of the mere share | ECE |")
	p.line("| --- | --- | --- | --- | --- | --- |")
	for _, name := range names {
		c := curves[name]
		p.line("| %s | %d | %.1f | %.4f | %.4f | %.4f |", name, c.Count, 100*c.BaseRate, c.Brier, c.Base, c.ECE)
	}
	p.line("")
	p.line("Judged on customers other than those that the model was fitted and recalibrated on, in the same months. ECE is the mean distance of predicted and observed over ten bins.")
	if r.Past != nil {
		p.line("The product calibrates by what it knows: here by the fitting third's outcomes that were known on the last Sunday.")
	}
	if !r.Identifiable {
		p.line("Not all of the purchase model can be told from the history: %s.", r.IdentifiableReason)
	}
}

// interval writes a value with its interval, times a factor.
func interval(i *backtest.Interval, factor float64, digits int) string {
	if i == nil {
		return "-"
	}
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, factor*i.Value, digits, factor*i.Low, digits, factor*i.High)
}

func number(v *float64, digits int) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.*f", digits, *v)
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }
