// Package alarm tells when one customer's buying changed, from the purchases alone: a gap that an active customer would hardly leave
// (silence), and too few purchases over some weeks (CUSUM, Shiryaev-Roberts). What is told of a day depends on the purchases before it and
// on the model, and on nothing else, so that whoever looks again sees the same.
package alarm

import (
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/btyd"
)

const (
	daysPerWeek = btyd.DaysPerWeek
	watchDays   = engine.AlarmWeeks * daysPerWeek
	// quietDays before the day in question are left out of the own rate that silence is measured by.
	quietDays = 8 * daysPerWeek
	// weeksPerYear is what false alarms are counted in.
	weeksPerYear = 52
)

// Watcher watches the customers of a store.
type Watcher struct {
	model     btyd.NBD
	rate      float64 // false alarms a year
	silence   btyd.SilenceRule
	detectors []detector
}

// detector is one that looks for too few purchases.
type detector struct {
	kind engine.AlarmKind
	btyd.Detector
	levels []float64 // see engine.AlarmBasis
}

// NewWatcher makes a watcher by a model's predictor, each of whose detectors reports the given share of unchanged customers within a
// year, over 0 and under 1. nil where the model predicts nothing; then nobody is watched.
func NewWatcher(p *engine.Predictor, falseAlarmRate float64) *Watcher {
	if p.Fault() != engine.PredictionGiven {
		return nil
	}
	w := &Watcher{model: p.Purchases.Predictor().Active(), rate: falseAlarmRate, silence: btyd.DefaultSilenceRule()}
	w.silence.PerYear = falseAlarmRate
	if basis := p.Alarms; basis != nil {
		for i, levels := range [][]float64{basis.CUSUM, basis.ShiryaevRoberts} {
			d := detector{kind: detected[i].kind, Detector: detected[i].Detector, levels: levels}
			d.Threshold = levels[place(falseAlarmRate, len(levels))]
			w.detectors = append(w.detectors, d)
		}
	}
	return w
}

// detected are the detectors, without thresholds, in the order of the basis.
var detected = []detector{
	{kind: engine.AlarmCUSUM, Detector: btyd.Detector{Kind: btyd.CUSUM, Rho: btyd.RhoStop}},
	{kind: engine.AlarmShiryaevRoberts, Detector: btyd.Detector{Kind: btyd.ShiryaevRoberts, Rho: btyd.RhoStop}},
}

// place is that of the level that a share of the simulated go beyond.
func place(share float64, levels int) int {
	return min(levels-1, max(0, int(share*float64(levels)+1e-9)-1))
}

// pValue is the share of unchanged customers who reach the value within a year: one of the levels' shares, so never 0.
func (d *detector) pValue(value float64) float64 {
	n := len(d.levels)
	at, _ := slices.BinarySearchFunc(d.levels, value, func(level, value float64) int {
		if level >= value {
			return -1
		}
		return 1
	})
	return float64(min(n, at+1)) / float64(n)
}

// Sight is what was seen of one customer on one day.
type Sight struct {
	Alarms  []engine.Alarm     // raised on the day; customer, store and model are left to the caller
	Watched []engine.AlarmKind // that look at the customer: it orders often enough, and is known for long enough
}

// Look looks at a customer at the beginning of a day by the purchases before it, in the order of time. An alarm is raised on the first day
// on which it would be, of days one week apart. A nil watcher sees nothing.
func (w *Watcher) Look(purchases []engine.Purchase, at engine.Date) (s Sight) {
	if w == nil {
		return s
	}
	now, before := until(purchases, at), until(purchases, at-daysPerWeek)
	if len(now) < 2 {
		return s
	}
	if a, alarm, watched := w.silent(now, at); watched {
		s.Watched = append(s.Watched, engine.AlarmSilence)
		if alarm {
			if _, already, _ := w.silent(before, at-daysPerWeek); !already {
				s.Alarms = append(s.Alarms, a)
			}
		}
	}
	for i := range w.detectors {
		d := &w.detectors[i]
		a, alarm, watched := w.few(d, now, at)
		if !watched {
			continue
		}
		s.Watched = append(s.Watched, d.kind)
		if alarm {
			if _, already, _ := w.few(d, before, at-daysPerWeek); !already {
				s.Alarms = append(s.Alarms, a)
			}
		}
	}
	return s
}

// until are the purchases before a day.
func until(purchases []engine.Purchase, day engine.Date) []engine.Purchase {
	n, _ := slices.BinarySearchFunc(purchases, day, func(p engine.Purchase, day engine.Date) int { return int(p.Day - day) })
	return purchases[:n]
}

// ownRate is that of the purchases before a day; watched is false where it is too small, or there are none.
func (w *Watcher) ownRate(purchases []engine.Purchase, day engine.Date) (rate float64, watched bool) {
	ref, ok := reference(purchases, day)
	if !ok {
		return 0, false
	}
	return w.model.OwnRate(ref)
}

// reference is the time from the first purchase to a day; ok is false where there is no purchase before it.
func reference(purchases []engine.Purchase, day engine.Date) (ref btyd.Reference, ok bool) {
	known := until(purchases, day)
	if len(known) == 0 {
		return ref, false
	}
	return btyd.Reference{X: len(known) - 1, Weeks: float64(day-known[0].Day) / daysPerWeek}, true
}

func (w *Watcher) seen(kind engine.AlarmKind, purchases []engine.Purchase, at engine.Date, rate float64) engine.Alarm {
	return engine.Alarm{
		Kind: kind, Date: at, Rate: rate, Orders: len(purchases) - len(until(purchases, at-watchDays)),
		DaysSilent: int(at - purchases[len(purchases)-1].Day),
	}
}

// silent looks at the present gap.
func (w *Watcher) silent(purchases []engine.Purchase, at engine.Date) (a engine.Alarm, alarm, watched bool) {
	rate, watched := w.ownRate(purchases, at-quietDays)
	if !watched {
		return a, false, false
	}
	h := engine.HistoryOf(purchases).Repeats(at)
	a = w.seen(engine.AlarmSilence, purchases, at, rate)
	a.Value, a.Threshold = 1-w.model.Silence(h), w.silence.Limit(rate)
	a.PValue = min(1, a.Value*weeksPerYear*rate)
	return a, w.silence.Alarm(w.model, h, rate), true
}

// few runs a detector over the last weeks.
func (w *Watcher) few(d *detector, purchases []engine.Purchase, at engine.Date) (a engine.Alarm, alarm, watched bool) {
	rate, watched := w.ownRate(purchases, at-watchDays)
	if !watched {
		return a, false, false
	}
	weekly := weeksBefore(purchases, at)
	a = w.seen(d.kind, purchases, at, rate)
	a.Value, a.Threshold = d.run(weekly[:], rate), d.Threshold
	a.PValue = d.pValue(a.Value)
	return a, a.Value > a.Threshold, true
}

// weeksBefore counts purchases by week, the last one ending on the day.
func weeksBefore(purchases []engine.Purchase, at engine.Date) (weekly [engine.AlarmWeeks]int) {
	for i := len(purchases) - 1; i >= 0; i-- {
		ago := int(at-1-purchases[i].Day) / daysPerWeek
		if ago >= engine.AlarmWeeks {
			break
		}
		weekly[engine.AlarmWeeks-1-ago]++
	}
	return weekly
}

// run is the detector's value after some weeks.
func (d *detector) run(weekly []int, rate float64) float64 {
	value := 0.0
	for _, n := range weekly {
		value, _ = d.Step(value, n, rate)
	}
	return value
}
