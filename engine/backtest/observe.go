package backtest

import (
	"context"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/alarm"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/risk"
)

// Customer is one customer with all lines, in time order. Lines may be reused when the next one is read.
type Customer struct {
	ID    int64
	Lines []engine.Line
}

// Orders are a store's.
type Orders struct {
	Zone    *time.Location
	Columns engine.Columns
	// Customers is how many there are.
	Customers int
	// Each reads all customers with their lines before the plan's end, always in the same order. It is called up to four times.
	Each func() iter.Seq2[Customer, error]
	// At gives the instants of days, ascending, with what features need to know of the store at each.
	At func(days []engine.Date) ([]engine.Instant, error)
	// Params say how the segments are made whose drift is judged.
	Params engine.Params
}

// What is known of a customer on a day, before any detector. All but the last ones are in the product too.
const (
	signalSilent     = iota // days since the last purchase
	signalMedianGap         // between purchases, in days
	signalGapRatio          // silent/median gap
	signalSilence           // the chance that an active customer would have purchased by now
	signalDead              // 1 - P(alive); undefined where dropout cannot be seen
	signalNoPurchase        // the probability of no purchase within the horizon
	signalLogOdds           // of the same
	signalLnSilent          // ln(1 + silent)
	signalLnRepeats         // ln of the repeat purchases
	signalLnValue           // ln(1 + mean value of a repeat purchase)
	signalLnGapRatio        // ln(1 + silent/median gap)
	signalLevel             // R, the level of risk of where the customer stands
	signalDrift             // D, the overall drift since the Sunday before
	signalDirected          // G, the change of R since then
	signalBaseline          // G*, R less the customer's own baseline
	signalDriftOr0          // the last three with 0 where they are undefined, to be put into models
	signalDirectedOr0
	signalBaselineOr0
	signalAlarmSilence // the product's alarms: 1 where one is raised, else 0; undefined where nobody looks
	signalAlarmCUSUM
	signalAlarmShiryaevRoberts
	signalCounted // G* as the product's churn risk counts it, 0 where it does not
	signalCount
)

var signalNames = [signalCount]string{
	"days_silent", "median_gap", "silent_over_gap", "silence", "p_dead", "no_purchase", "log_odds", "ln_silent", "ln_repeats",
	"ln_value", "ln_silent_over_gap", "level", "drift", "directed_drift", "baseline_drift", "drift", "directed_drift", "baseline_drift",
	AlarmSilence, AlarmCUSUM, AlarmShiryaevRoberts, "counted_drift",
}

// minRepeats is the number of repeat purchases from which a customer is judged.
const minRepeats = 2

// observations are customers on days, customer after customer in the order of time, as columns of equal length.
type observations struct {
	signals  []float64 // len x signalCount
	lost     []int8    // 1: no purchase in the horizon that follows
	gap      []int32   // numbers from 0 rise with the rows; -1: the gap began before the first day
	customer []int32   // numbers from 0 rise with the rows
	date     []engine.Date
	third    []third
	cadence  []Cadence
	gaps     []gap
	// all are the predictions of everybody with at least one purchase, for the reliability of the churn risk.
	all struct {
		noPurchase        []float64
		baseline, counted []float64 // as signalBaselineOr0 and signalCounted
		lost              []int8
		third             []third
	}
	first     engine.Date // of the days on which customers are looked at
	customers int32       // so many were looked at
	checks    int         // observations worked out again without what came later
}

func (o *observations) signal(i, column int) float64 { return o.signals[i*signalCount+column] }

func (o *observations) defined(i int, columns []int) bool {
	for _, c := range columns {
		if math.IsNaN(o.signal(i, c)) {
			return false
		}
	}
	return true
}

// rows lists the observations of a third.
func (o *observations) rows(t third) []int {
	var rows []int
	for i := range o.third {
		if o.third[i] == t {
			rows = append(rows, i)
		}
	}
	return rows
}

// gap is the time after a purchase that began on or after the first day and was looked at.
type gap struct {
	customer int32
	cadence  Cadence
	churn    bool // silent for longer than rule and horizon together
	third    third
}

// view is what is known of a customer on one day.
type view struct {
	date    engine.Date
	history engine.PurchaseHistory
	signals [signalCount]float64
}

// fitted is what was fitted on the fitting third.
type fitted struct {
	purchases btyd.Model // nil where none could be fitted
	segments  *engine.Model
	weights   *risk.Weights
	watcher   *alarm.Watcher // raises the product's alarms; nil without a purchase model
	counted   *risk.Weights  // of the outcomes that were known on the last day; nil unless the product's churn risk counts drift
}

// observer works out what is known of customers, one after another.
type observer struct {
	plan  *Plan
	zone  *time.Location
	build risk.Builder
	truth *feature.Builder
	fitted
	lookback *risk.Lookback
	// Of the customer that is observed: where it stood on the Sunday before.
	before   engine.Thumbprint
	standing bool
	views    []view
	hidden   []engine.Line
}

func newObserver(p *Plan, orders *Orders, f fitted) (*observer, error) {
	o := &observer{
		plan: p, zone: orders.Zone, fitted: f,
		build: feature.NewBuilder(orders.Zone, orders.Columns).Build, truth: feature.NewBuilder(orders.Zone, orders.Columns),
	}
	at, err := orders.At(p.Dates)
	if err != nil {
		return nil, err
	}
	baseline, err := orders.At(risk.BaselineDays(p.Dates, p.First))
	if err != nil {
		return nil, err
	}
	o.lookback = risk.NewLookback(f.segments, orders.Zone, at, baseline, f.weights, f.counted)
	return o, nil
}

// observe gives what is known of a customer on each day by which there was a purchase. The slice is reused.
func (o *observer) observe(lines []engine.Line) []view {
	o.views, o.standing = o.views[:0], false
	o.lookback.Look(o.build, lines, func(i int, f *engine.Features, print *engine.Thumbprint) {
		v := view{date: o.plan.Dates[i], history: f.PurchaseHistory}
		o.fill(&v, f)
		o.watch(&v, lines)
		o.place(&v, print)
		o.views = append(o.views, v)
	})
	return o.views
}

var medianGapFeature = featureIndex("median_gap")

func featureIndex(key string) int {
	for a := range engine.Axes {
		for f := range engine.Axes[a].Features {
			if engine.Axes[a].Features[f].Key == key {
				return engine.Axes[a].First + f
			}
		}
	}
	panic("no feature " + key)
}

func (o *observer) fill(v *view, f *engine.Features) {
	for j := range v.signals {
		v.signals[j] = math.NaN()
	}
	s := &v.signals
	silent := float64(v.date - f.LastAt)
	s[signalSilent], s[signalLnSilent] = silent, math.Log1p(silent)
	h := f.Repeats(v.date)
	if h.X >= minRepeats {
		// The feature is a logarithm in float32; medians of days are whole or halves.
		gap := math.Round(2*math.Exp(float64(f.Values[medianGapFeature]))) / 2
		s[signalMedianGap], s[signalGapRatio] = gap, silent/gap
		s[signalLnGapRatio] = math.Log1p(silent / gap)
		s[signalLnRepeats], s[signalLnValue] = math.Log(float64(h.X)), math.Log1p(f.Spend().Mean)
	}
	if o.purchases == nil {
		return
	}
	s[signalNoPurchase] = o.purchases.NoPurchase(h, float64(o.plan.HorizonDays)/btyd.DaysPerWeek)
	s[signalLogOdds] = logOdds(s[signalNoPurchase])
	s[signalSilence] = o.purchases.Active().Silence(h)
	if _, never := o.purchases.(btyd.NBD); !never {
		s[signalDead] = 1 - o.purchases.PAlive(h)
	}
}

// place fills in what follows from where the customer stands among the segments, now and on the Sundays before.
func (o *observer) place(v *view, print *engine.Thumbprint) {
	s := &v.signals
	s[signalDriftOr0], s[signalDirectedOr0], s[signalBaselineOr0], s[signalCounted] = 0, 0, 0, 0
	if level, ok := o.weights.Level(*print); ok {
		s[signalLevel] = level
	}
	if deviation := o.lookback.Drift(0); deviation != nil {
		s[signalBaseline], s[signalBaselineOr0] = *deviation, *deviation
	}
	if deviation := o.lookback.Drift(1); deviation != nil {
		s[signalCounted] = *deviation
	}
	if o.standing {
		if d := o.segments.Drift(o.before, *print); d.Overall != nil {
			s[signalDrift], s[signalDriftOr0] = *d.Overall, *d.Overall
		}
		if change, ok := o.weights.Drift(o.before, *print); ok {
			s[signalDirected], s[signalDirectedOr0] = change, change
		}
	}
	o.before.Membership = append(o.before.Membership[:0], print.Membership...)
	o.before.Dominant = append(o.before.Dominant[:0], print.Dominant...)
	o.standing = true
}

// collect looks at all customers on all days.
func (o *observer) collect(ctx context.Context, orders *Orders, progress func(done int)) (*observations, error) {
	all := &observations{first: o.plan.from()}
	done := 0
	for c, err := range orders.Each() {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if done++; done%1000 == 0 {
			progress(done)
		}
		t := o.plan.third(c.ID, orders.Customers)
		if t == unused {
			continue
		}
		views := slices.Clone(o.observe(c.Lines))
		o.add(all, t, views, o.truth.Purchases(c.Lines, o.plan.End.In(orders.Zone)))
		if err := o.check(all, &c, views, orders.Customers); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// add labels a customer's views by the purchases as they are known at the end, and appends them.
func (o *observer) add(all *observations, t third, views []view, purchases []engine.Purchase) {
	customer := all.customers
	all.customers++
	began := engine.Date(-1 << 30)
	for i := range views {
		v := &views[i]
		next := nextPurchase(purchases, v.date-1, o.plan.End)
		lost := int8(0)
		if next >= v.date+engine.Date(o.plan.HorizonDays) {
			lost = 1
		}
		all.all.noPurchase = append(all.all.noPurchase, v.signals[signalNoPurchase])
		all.all.baseline = append(all.all.baseline, v.signals[signalBaselineOr0])
		all.all.counted = append(all.all.counted, v.signals[signalCounted])
		all.all.lost = append(all.all.lost, lost)
		all.all.third = append(all.all.third, t)
		if v.history.Purchases <= minRepeats {
			continue
		}
		cadence := cadenceOf(v.signals[signalMedianGap])
		at := int32(-1)
		if v.history.LastAt >= o.plan.from() {
			if v.history.LastAt != began {
				began = v.history.LastAt
				length := int(nextPurchase(purchases, began, o.plan.End) - began)
				all.gaps = append(all.gaps, gap{customer, cadence, length > o.plan.RuleDays+o.plan.HorizonDays, t})
			}
			at = int32(len(all.gaps) - 1)
		}
		all.signals = append(all.signals, v.signals[:]...)
		all.lost = append(all.lost, lost)
		all.gap = append(all.gap, at)
		all.customer = append(all.customer, customer)
		all.date = append(all.date, v.date)
		all.third = append(all.third, t)
		all.cadence = append(all.cadence, cadence)
	}
}

// nextPurchase is the day of the first purchase after a day, and the end where there is none by then.
func nextPurchase(purchases []engine.Purchase, after, end engine.Date) engine.Date {
	i, _ := slices.BinarySearchFunc(purchases, after+1, func(p engine.Purchase, d engine.Date) int { return int(p.Day - d) })
	if i == len(purchases) {
		return end
	}
	return purchases[i].Day
}

// checkedCustomers is about how many customers are looked at twice.
const checkedCustomers = 200

// check works out one day of some customers again from what was known on it alone. Whatever differs has looked into the future.
func (o *observer) check(all *observations, c *Customer, views []view, customers int) error {
	h := scatter(scatter(o.plan.Seed) ^ scatter(uint64(c.ID)+1))
	if len(views) == 0 || customers > checkedCustomers && h%uint64(customers) >= checkedCustomers {
		return nil
	}
	chosen := views[int(scatter(h)%uint64(len(views)))]
	again := o.observe(o.hide(c.Lines, chosen.date.In(o.zone)))
	at := slices.IndexFunc(again, func(v view) bool { return v.date == chosen.date })
	all.checks++
	if at < 0 || again[at].history != chosen.history {
		return lookedAhead("the purchases", chosen.date)
	}
	for j, s := range again[at].signals {
		if s != chosen.signals[j] && !(math.IsNaN(s) && math.IsNaN(chosen.signals[j])) {
			return lookedAhead(signalNames[j], chosen.date)
		}
	}
	return nil
}

func lookedAhead(what string, date engine.Date) error {
	return engine.Errorf(engine.CodeInternal,
		"the backtest is not valid: %s of a customer on %s changed when later orders were hidden, so it looks into the future", what, date)
}

// hide gives the lines as they were known before an instant.
func (o *observer) hide(lines []engine.Line, at time.Time) []engine.Line {
	o.hidden = o.hidden[:0]
	for _, l := range lines {
		if !l.OrderedAt.Before(at) {
			continue
		}
		if !l.CancelledAt.Before(at) {
			l.CancelledAt = time.Time{}
		}
		if !l.RefundKnownAt().Before(at) {
			l.RefundCents, l.RefundedAt = 0, time.Time{}
		}
		o.hidden = append(o.hidden, l)
	}
	return o.hidden
}
