package risk

import (
	"math"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// drifts are the deviations from the own baseline of one customer on one day, each under weights that its own fold's outcomes have no
// part in: at the place of its own fold under those of all other folds, at another fold's place without that fold too. 0 where
// there is none, so that the term falls away.
type drifts struct {
	known bool
	value [folds]float64
}

// without is the deviation to fit or to judge by where a fold is left out.
func (d *drifts) without(customer int64, but int) float64 {
	if but == nobody {
		but = fold(customer)
	}
	return d.value[but]
}

// DriftTrial finds out whether drift predicts beside the purchase model, on the observations of an observer.
type DriftTrial struct {
	observer *Observer
	model    *engine.Model
	report   *engine.DriftReport
	// weights are by two folds, both left out: a customer's own and the one that is judged.
	weights   [folds][folds]*Weights
	customers []int64
	first     map[int64]int // of each customer's observations, which follow each other
}

// TryDrift begins a trial, once everything is observed, counted and calibrated. It is nil where there is nothing to try: the
// predictor's report says why.
func (o *Observer) TryDrift(t *Tally) *DriftTrial {
	calibrated := o.predictor.Calibrated
	if o.predictor.Fault() != engine.PredictionGiven || calibrated == nil {
		return nil
	}
	report := &engine.DriftReport{}
	calibrated.Drift = report
	if calibrated.Reason != engine.CalibrationApplied {
		report.Reason = engine.DriftNotCalibrated
		return nil
	}
	d := &DriftTrial{observer: o, model: t.model, report: report, first: map[int64]int{}}
	for own := range folds {
		for f := range folds {
			if d.weights[own][f] = t.Weights(own, f); d.weights[own][f] == nil {
				report.Reason = engine.DriftNoWeights
				return nil
			}
		}
	}
	for i := range o.seen {
		if i == 0 || o.seen[i].customer != o.seen[i-1].customer {
			d.customers = append(d.customers, o.seen[i].customer)
			d.first[o.seen[i].customer] = i
		}
	}
	return d
}

// Customers are those to look at once more.
func (d *DriftTrial) Customers() []int64 { return d.customers }

// Days are those on which they are looked at, ascending.
func (d *DriftTrial) Days() []engine.Date { return d.observer.days }

// DriftLooker looks at customers for a trial. It keeps working memory, so every goroutine needs its own, and customers of its own.
type DriftLooker struct {
	trial     *DriftTrial
	lookbacks [folds]*Lookback // by the customer's fold
}

// Looker needs the instants of Days and those of their BaselineDays.
func (d *DriftTrial) Looker(zone *time.Location, at, baseline []engine.Instant) *DriftLooker {
	l := &DriftLooker{trial: d}
	for own := range folds {
		l.lookbacks[own] = NewLookback(d.model, zone, at, baseline, d.weights[own][:]...)
	}
	return l
}

// Add looks at one of the trial's customers with all lines.
func (l *DriftLooker) Add(build Builder, customer int64, lines []engine.Line) {
	seen := l.trial.observer.seen
	next, ok := l.trial.first[customer]
	if !ok {
		return
	}
	lookback := l.lookbacks[fold(customer)]
	lookback.Look(build, lines, func(day int, _ *engine.Features, _ *engine.Thumbprint) {
		for next < len(seen) && seen[next].customer == customer && seen[next].day < day {
			next++
		}
		if next == len(seen) || seen[next].customer != customer || seen[next].day != day {
			return
		}
		drift := &seen[next].drift
		for f := range folds {
			if deviation := lookback.Drift(f); deviation != nil {
				drift.known, drift.value[f] = true, *deviation
			}
		}
	})
}

// Judge fits sigma(c0 + c1 logit p + beta G*) and puts it in force where it is better for customers who were not fitted on than the
// calibration without drift, and not by chance: the Brier score has to fall by more than the standard error of the difference. Whoever
// is judged has a part neither in the fit nor in any risk weight that it rests on. The report says what came out.
func (d *DriftTrial) Judge() {
	o, report := d.observer, d.report
	var known outcomes
	for i := range o.seen {
		if o.seen[i].drift.known {
			known.add(&o.seen[i])
		}
	}
	report.Customers, report.Outcomes = known.customers(), known.observations
	if known.tooFew() {
		report.Reason = engine.DriftTooFew
		return
	}
	fitted, ok := fitLogistic(o.seen, nobody, true)
	if !ok {
		report.Reason = engine.DriftNoFit
		return
	}
	report.Fitted = &fitted
	var with judgement
	gains := newPaired()
	for f := range folds {
		c, ok := fitLogistic(o.seen, f, true)
		if !ok {
			report.Reason = engine.DriftNoFit
			return
		}
		for i := range o.seen {
			s := &o.seen[i]
			if fold(s.customer) != f {
				continue
			}
			drift := s.drift.without(s.customer, f)
			before, after := o.held[f].Apply(sigmoid(s.logit), nil), c.Apply(sigmoid(s.logit), &drift)
			with.add(after, s.lost)
			gains.add(s.customer, squared(before, s.lost)-squared(after, s.lost))
		}
	}
	report.After = with.scores()
	report.Gain, report.StandardError = gains.mean()
	if !(report.Gain > report.StandardError && report.After.Error <= o.predictor.Calibrated.Before.Error) {
		report.Reason = engine.DriftNoGain
		return
	}
	o.predictor.Calibration = fitted
}

// paired sums differences up by customer, whose observations hang together. Customers keep the order in which they came, so that
// the same differences give the same sums.
type paired struct {
	places map[int64]int
	sums   []difference
}

type difference struct{ sum, n float64 }

func newPaired() *paired { return &paired{places: map[int64]int{}} }

func (p *paired) add(customer int64, d float64) {
	place, ok := p.places[customer]
	if !ok {
		place = len(p.sums)
		p.places[customer] = place
		p.sums = append(p.sums, difference{})
	}
	p.sums[place].sum += d
	p.sums[place].n++
}

// mean is that over all observations, with its standard error by the customers, of a ratio of sums (Cochran 1977, chapter 6).
func (p *paired) mean() (mean, standardError float64) {
	var sum, n, squares float64
	for _, d := range p.sums {
		sum += d.sum
		n += d.n
	}
	mean = sum / n
	for _, d := range p.sums {
		e := d.sum - mean*d.n
		squares += e * e
	}
	customers := float64(len(p.sums))
	return mean, math.Sqrt(squares*customers/(customers-1)) / n
}
