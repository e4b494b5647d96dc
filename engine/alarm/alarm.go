// Package alarm tells when one customer's buying changed, from the purchases alone: a gap that an active customer would hardly leave
// (silence), and too few purchases over some weeks (CUSUM, Shiryaev-Roberts). What is told of a day depends on the purchases before it and
// on the model, and on nothing else, so that whoever looks again sees the same.
package alarm

import (
	"math"
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
type Watcher struct{ detectors []detector }

// detector looks for one kind of change.
type detector struct {
	kind      engine.AlarmKind
	read      func(m btyd.NBD, purchases []engine.Purchase, at engine.Date) reading
	model     btyd.NBD
	levels    []float64 // see engine.AlarmBasis
	threshold float64   // of the evidence
}

// reading is what a detector reads of a customer on a day.
type reading struct {
	watched bool
	rate    float64 // the customer's own, in purchases a week
	// evidence of a change is on the scale of a logarithm of odds, and larger for a change; what is under any threshold is -Inf.
	evidence float64
}

// NewWatcher makes a watcher by a model's predictor, each of whose detectors reports the given share of unchanged customers within a
// year, over 0 and under 1. nil where the model predicts nothing; then nobody is watched.
func NewWatcher(p *engine.Predictor, falseAlarmRate float64) *Watcher {
	if p.Fault() != engine.PredictionGiven {
		return nil
	}
	w := &Watcher{}
	for _, d := range detectorsOf(p) {
		switch {
		case len(d.levels) > 0:
			d.threshold = d.levels[place(falseAlarmRate, len(d.levels))]
		case d.kind == engine.AlarmSilence: // as if a year's gaps were all looked at when they end
			d.threshold = -math.Log(falseAlarmRate)
		default:
			continue
		}
		w.detectors = append(w.detectors, d)
	}
	return w
}

// detectorsOf gives the detectors of a predictor, without thresholds.
func detectorsOf(p *engine.Predictor) []detector {
	basis := p.Alarms
	if basis == nil {
		basis = &engine.AlarmBasis{}
	}
	list := []detector{
		{kind: engine.AlarmSilence, read: silence, levels: basis.Silence},
		{kind: engine.AlarmCUSUM, read: few(btyd.Detector{Kind: btyd.CUSUM, Rho: btyd.RhoStop}), levels: basis.CUSUM},
		{kind: engine.AlarmShiryaevRoberts, read: few(btyd.Detector{Kind: btyd.ShiryaevRoberts, Rho: btyd.RhoStop}), levels: basis.ShiryaevRoberts},
	}
	for i := range list {
		list[i].model = p.Purchases.Predictor().Active()
	}
	return list
}

// place is that of the level that a share of the simulated are reported with.
func place(share float64, levels int) int {
	return min(levels-1, max(0, int(share*float64(levels)+1e-9)-1))
}

// pValue is the share of unchanged customers who are reported within a year for as much evidence: one of the levels' shares, so never 0.
func (d *detector) pValue(evidence float64) float64 {
	n := len(d.levels)
	if n == 0 {
		return min(1, max(1.0/levels, math.Exp(-evidence)))
	}
	at, _ := slices.BinarySearchFunc(d.levels, evidence, func(level, evidence float64) int {
		if level >= evidence {
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
	for i := range w.detectors {
		d := &w.detectors[i]
		r := d.look(now, at)
		if !r.watched {
			continue
		}
		s.Watched = append(s.Watched, d.kind)
		if r.evidence > d.threshold && !(d.look(before, at-daysPerWeek).evidence > d.threshold) {
			s.Alarms = append(s.Alarms, d.alarm(r, now, at))
		}
	}
	return s
}

// Watches lists the detectors that look at a customer on a day, and says why none does. A nil watcher has none, and no reason.
func (w *Watcher) Watches(purchases []engine.Purchase, at engine.Date) (kinds []engine.AlarmKind, off engine.AlarmsOff) {
	if w == nil {
		return nil, engine.AlarmsOn
	}
	known := until(purchases, at)
	for i := range w.detectors {
		if w.detectors[i].look(known, at).watched {
			kinds = append(kinds, w.detectors[i].kind)
		}
	}
	if len(kinds) > 0 {
		return kinds, engine.AlarmsOn
	}
	if ref, ok := reference(known, at-quietDays); ok {
		if _, fast := w.detectors[0].model.OwnRate(ref); !fast {
			return nil, engine.AlarmsTooSlow
		}
	}
	return nil, engine.AlarmsTooYoung
}

// look is what the detector reads by the purchases before a day; without evidence where the customer is not watched.
func (d *detector) look(purchases []engine.Purchase, at engine.Date) reading {
	if len(purchases) >= 2 {
		if r := d.read(d.model, purchases, at); r.watched {
			return r
		}
	}
	return reading{evidence: math.Inf(-1)}
}

// alarm tells what was read, in the terms of its kind.
func (d *detector) alarm(r reading, purchases []engine.Purchase, at engine.Date) engine.Alarm {
	a := engine.Alarm{
		Kind: d.kind, Date: at, Rate: r.rate, Orders: len(purchases) - len(until(purchases, at-watchDays)),
		DaysSilent: int(at - purchases[len(purchases)-1].Day),
		Value:      r.evidence, Threshold: d.threshold, PValue: d.pValue(r.evidence),
	}
	if d.kind == engine.AlarmSilence {
		a.Value, a.Threshold = chance(d.model, purchases, at), btyd.Limit(math.Exp(-d.threshold), r.rate)
	}
	return a
}

// until are the purchases before a day.
func until(purchases []engine.Purchase, day engine.Date) []engine.Purchase {
	n, _ := slices.BinarySearchFunc(purchases, day, func(p engine.Purchase, day engine.Date) int { return int(p.Day - day) })
	return purchases[:n]
}

// reference is the time from the first purchase to a day; ok is false where there is no purchase before it.
func reference(purchases []engine.Purchase, day engine.Date) (ref btyd.Reference, ok bool) {
	known := until(purchases, day)
	if len(known) == 0 {
		return ref, false
	}
	return btyd.Reference{X: len(known) - 1, Weeks: float64(day-known[0].Day) / daysPerWeek}, true
}

// chance is that of an active customer to be silent for so long.
func chance(m btyd.NBD, purchases []engine.Purchase, at engine.Date) float64 {
	first, last := purchases[0].Day, purchases[len(purchases)-1].Day
	return 1 - m.Silence(btyd.HistoryOfDays(len(purchases)-1, int(last-first), int(at-first)))
}

// silence reads the present gap. The evidence is -ln of the gaps as long as this one that an active customer leaves in a year: its
// chance times their number. A gap that is not rare in itself is none.
func silence(m btyd.NBD, purchases []engine.Purchase, at engine.Date) (r reading) {
	ref, ok := reference(purchases, at-quietDays)
	if !ok {
		return r
	}
	r.rate, r.watched = m.OwnRate(ref)
	c := chance(m, purchases, at)
	if r.evidence = -math.Log(c * weeksPerYear * r.rate); c > btyd.Tail {
		r.evidence = math.Inf(-1)
	}
	return r
}

// few reads the last weeks by a detector of too few purchases.
func few(d btyd.Detector) func(btyd.NBD, []engine.Purchase, engine.Date) reading {
	return func(m btyd.NBD, purchases []engine.Purchase, at engine.Date) (r reading) {
		ref, ok := reference(purchases, at-watchDays)
		if !ok {
			return r
		}
		if r.rate, r.watched = m.OwnRate(ref); !r.watched {
			return r
		}
		for _, n := range weeksBefore(purchases, at) {
			r.evidence = d.Step(r.evidence, n, r.rate)
		}
		return r
	}
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
