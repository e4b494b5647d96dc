// Package backtest measures on a store's own past how early and how surely detectors saw that a customer would stay away,
// and how true the probability of it was. Customers are divided at random: models are fitted on one third, thresholds
// chosen on the second, and the third is judged. What a detector knows of a customer on a day comes from the pass that
// features come from, as of that day; a check hides what came later and works it out again.
package backtest

import (
	"github.com/quimbi/quimbi/engine"
)

// Options say what is measured.
type Options struct {
	// HorizonDays is the time without a purchase that counts as churn.
	HorizonDays int `json:"horizon_days"`
	// RuleDays is the rule that detectors are compared with: silent for so many days.
	RuleDays int `json:"rule_days"`
	// WarmupDays is the time at the beginning in which customers are watched and not judged; nil: as many days as the
	// horizon, at most half of the time there is.
	WarmupDays *int `json:"warmup_days"`
	// Seed divides the customers and draws the bootstrap's.
	Seed uint64 `json:"seed"`
	// Splits is the number of divisions, with this seed and those that follow it; 0 is 1.
	Splits int `json:"splits,omitempty"`
}

// DefaultOptions are those of the specification, with seed 1.
func DefaultOptions() Options { return Options{HorizonDays: 90, RuleDays: 90, Seed: 1} }

const (
	week      = 7
	maxDays   = 730
	minWarmup = 4 * week
	// A gap can be judged in which the rule raised its alarm; gaps must begin on so many days at least.
	minGapStarts = 4 * week
	// A replay of more weeks would be one of decades.
	maxDates = 1000
)

// Validate tells what is wrong with the options.
func (o *Options) Validate() error {
	switch {
	case o.HorizonDays < 1 || o.HorizonDays > maxDays:
		return engine.Errorf(engine.CodeInvalid, "the horizon must be from 1 to %d days, is %d", maxDays, o.HorizonDays).At("input", "horizonDays")
	case o.RuleDays < 1 || o.RuleDays > maxDays:
		return engine.Errorf(engine.CodeInvalid, "the rule must be from 1 to %d days of silence, is %d", maxDays, o.RuleDays).At("input", "ruleDays")
	case o.Splits < 0 || o.Splits > MaxSplits:
		return engine.Errorf(engine.CodeInvalid, "there must be from 1 to %d divisions, is %d", MaxSplits, o.Splits).At("input", "splits")
	case o.WarmupDays != nil && (*o.WarmupDays < 0 || *o.WarmupDays > 10*maxDays):
		return engine.Errorf(engine.CodeInvalid, "the warm-up must be from 0 to %d days, is %d", 10*maxDays, *o.WarmupDays).At("input", "warmupDays")
	}
	return nil
}

// Plan is what is measured on which days.
type Plan struct {
	Options
	// First is the day of the store's first order, End the day up to which its orders are known.
	First, End engine.Date
	// Dates are the Sundays on which customers are looked at; the last one is the horizon before the end.
	Dates []engine.Date
}

// NewPlan lays out the days of a store whose orders are known from first until before end. Fault: INSUFFICIENT_DATA where
// they do not reach.
func NewPlan(o Options, first, end engine.Date) (*Plan, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	last := end - engine.Date(o.HorizonDays)
	days := int(last - first)
	room := days - o.RuleDays - minGapStarts
	warmup := min(o.HorizonDays, days/2, room)
	if o.WarmupDays != nil {
		warmup = *o.WarmupDays
	} else if warmup < minWarmup {
		return nil, tooShort(o, minWarmup, int(end-first))
	}
	if warmup > room {
		return nil, tooShort(o, warmup, int(end-first))
	}
	dates := engine.Weekly.Dates(first+engine.Date(warmup), last+1)
	if len(dates) > maxDates {
		dates = dates[len(dates)-maxDates:]
	}
	return &Plan{Options: o, First: first, End: end, Dates: dates}, nil
}

func tooShort(o Options, warmup, has int) error {
	return engine.Errorf(engine.CodeInsufficientData,
		"a backtest with a horizon of %d days and a rule of %d days needs at least %d days of orders, and there are %d; choose a shorter horizon, rule or warm-up",
		o.HorizonDays, o.RuleDays, warmup+o.RuleDays+minGapStarts+o.HorizonDays, has)
}

// From and to give the first and the last day on which customers are looked at.
func (p *Plan) from() engine.Date { return p.Dates[0] }
func (p *Plan) to() engine.Date   { return p.Dates[len(p.Dates)-1] }

// third is a third of the customers.
type third int8

const (
	unused third = iota - 1 // more customers than can be looked at
	fitting
	choosing
	judging
)

// maxCustomers bounds the customers who are looked at, and so time and memory. Of a larger store some are drawn.
const maxCustomers = 60_000

// third gives a customer's third. It depends on seed and number alone, so thirds are the same however customers are read.
func (p *Plan) third(customerID int64, customers int) third {
	h := scatter(p.Seed ^ scatter(uint64(customerID)))
	if customers > maxCustomers && float64(scatter(h)>>11)/(1<<53) >= maxCustomers/float64(customers) {
		return unused
	}
	return third(h % 3)
}

// scatter spreads neighbouring numbers over all 64 bits, one to one: the finalizer of SplitMix64 (Steele, Lea and Flood,
// "Fast splittable pseudorandom number generators", OOPSLA 2014).
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
