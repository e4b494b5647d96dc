package backtest

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/alarm"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/engine/synth"
)

// Simulation is what detectors do where the day of a change is known: customers are Poisson processes who at some point stop,
// buy half as often, fade away within 26 weeks, or go on.
type Simulation struct {
	Seed uint64 `json:"seed"`
	// Rates are those of the customers before the change, in purchases a week.
	Rates []float64 `json:"rates"`
	// Customers is how many there are in all, a third of them judged.
	Customers   int `json:"customers"`
	HorizonDays int `json:"horizon_days"`
	// Weeks is how long after the change customers are watched.
	Weeks     int                 `json:"weeks"`
	Detectors []SimulatedDetector `json:"detectors"`
}

// SimulatedDetector is one detector at several rates of false alarms.
type SimulatedDetector struct {
	Name   string           `json:"name"`
	Points []SimulatedPoint `json:"points"`
}

// SimulatedPoint is a detector whose threshold lets a share of unchanged customers have an alarm in a year.
type SimulatedPoint struct {
	Asked float64 `json:"false_alarms_asked"`
	// Got is the share of unchanged customers of the judged third who had one.
	Got   float64          `json:"false_alarms"`
	Kinds []SimulatedDelay `json:"changes"`
}

// SimulatedDelay is how long an alarm took after a change, for the customers of one rate or of all.
type SimulatedDelay struct {
	Kind      string  `json:"change"`
	Rate      float64 `json:"rate"` // purchases a week; 0: all
	Customers int     `json:"customers"`
	// Seen is the share with an alarm within the time they are watched.
	Seen float64 `json:"seen"`
	// Median is that of the days from the change to the first alarm; nil where fewer than half were seen.
	Median *float64 `json:"median_delay_days"`
	// Mean is the mean of the same, restricted to the time they are watched.
	Mean float64 `json:"mean_delay_days"`
}

// What is simulated. A year of reference, eight weeks until the change, a year that is watched.
const (
	simulatedReference = 52
	simulatedChange    = 60
	simulatedWatch     = 52
	simulatedHorizon   = 90
	simulatedEach      = 300 // customers of a rate and a change; three times as many unchanged
)

var (
	simulatedRates  = []float64{0.1, 0.2, 0.35, 0.5, 1, 2}
	simulatedKinds  = []string{synth.Stop, synth.Halving, synth.Fade}
	simulatedAlarms = []float64{0.05, 0.1, 0.2, 0.4}
)

// SimulatedFalseAlarms is the share of false alarms at which results are shown first, the default of the alarms in force.
const SimulatedFalseAlarms = 0.2

// Names of the detectors that only the simulation has: they need a reference period of their own.
const (
	CUSUMStop  = "cusum_stop"
	CUSUMSlump = "cusum_slump"
	SRStop     = "shiryaev_roberts_stop"
	SRSlump    = "shiryaev_roberts_slump"
)

var sequential = []struct {
	name string
	btyd.Detector
}{
	{CUSUMStop, btyd.Detector{Kind: btyd.CUSUM, Rho: btyd.RhoStop}},
	{CUSUMSlump, btyd.Detector{Kind: btyd.CUSUM, Rho: btyd.RhoSlump}},
	{SRStop, btyd.Detector{Kind: btyd.ShiryaevRoberts, Rho: btyd.RhoStop}},
	{SRSlump, btyd.Detector{Kind: btyd.ShiryaevRoberts, Rho: btyd.RhoSlump}},
}

// simulated is one customer with what was planted.
type simulated struct {
	Customer
	rate float64
	kind string
	days []int
}

// Simulate makes the customers and judges every detector on them: models are fitted on a third, thresholds chosen on the
// unchanged customers of the second, and the last third is judged.
func Simulate(ctx context.Context, params engine.Params, seed uint64) (*Simulation, error) {
	return simulate(ctx, params, seed, simulatedEach)
}

func simulate(ctx context.Context, params engine.Params, seed uint64, each int) (*Simulation, error) {
	begin := engine.NewDate(2024, time.January, 7) // a Sunday; nothing depends on it
	change := begin + simulatedChange*week
	end := change + simulatedWatch*week + simulatedHorizon
	warmup := simulatedChange * week
	p, err := NewPlan(Options{HorizonDays: simulatedHorizon, RuleDays: 90, WarmupDays: &warmup, Seed: seed}, begin, end)
	if err != nil {
		return nil, err
	}
	p.Dates = p.Dates[1:] // on the day of the change nothing has changed yet
	customers := population(seed, begin, int(end-begin), each)
	at := func(days []engine.Date) (instants []engine.Instant, err error) {
		for _, d := range days {
			instants = append(instants, engine.Instant{At: d.UTC()})
		}
		return instants, nil
	}
	orders := Orders{At: at, Zone: time.UTC, Columns: engine.ColumnOrderID, Customers: len(customers), Params: params, Each: func() iter.Seq2[Customer, error] {
		return func(yield func(Customer, error) bool) {
			for i := range customers {
				if !yield(customers[i].Customer, nil) {
					return
				}
			}
		}
	}}
	f, predictor, _, err := fitThird(ctx, p, &orders, func(Progress) {})
	if err != nil {
		return nil, err
	}
	f.watcher = nil // alarms have a watcher for each rate; and nobody who churn risk would be calibrated on lives before the change
	observer, err := newObserver(p, &orders, f)
	if err != nil {
		return nil, err
	}
	o, err := observer.collect(ctx, &orders, func(int) {})
	if err != nil {
		return nil, err
	}
	if predictor.Alarms, err = basisAt(ctx, predictor, customers, p); err != nil {
		return nil, err
	}
	s := &Simulation{Seed: seed, Rates: simulatedRates, Customers: len(customers), HorizonDays: simulatedHorizon, Weeks: simulatedWatch}
	list, _ := detectors(o, predictor, 0, seed)
	for i := range list {
		s.judge(p, customers, list[i].name, seriesOf(o, list[i].scores(o), customers))
	}
	if predictor.Purchases != nil {
		active := predictor.Purchases.Model.Active()
		for _, d := range sequential {
			s.judge(p, customers, d.name, watched(d.Detector, active, customers))
		}
	}
	if predictor.Alarms != nil {
		s.watch(p, begin, customers, predictor)
	}
	return s, nil
}

// basisAt simulates the thresholds of the product's alarms after the fitting third on the day of the change.
func basisAt(ctx context.Context, predictor *engine.Predictor, customers []simulated, p *Plan) (*engine.AlarmBasis, error) {
	weeks := simulatedChange - engine.AlarmWeeks
	var references []btyd.Reference
	for i := range customers {
		if p.third(customers[i].ID, len(customers)) != fitting {
			continue
		}
		known, _ := slices.BinarySearch(customers[i].days, weeks*week)
		h := engine.PurchaseHistory{Purchases: known}
		if ref, watched := alarm.Reference(predictor, h, engine.Date(weeks*week)); watched {
			references = append(references, ref)
		}
	}
	return alarm.Simulate(ctx, predictor, references)
}

// watch adds the product's alarms as it raises them: by thresholds of its own simulation, which are to let as many unchanged customers have one
// as are asked for, and once for every reason.
func (s *Simulation) watch(p *Plan, begin engine.Date, customers []simulated, predictor *engine.Predictor) {
	list := make([]SimulatedDetector, len(productAlarms)+1)
	for k := range productAlarms {
		list[k].Name = productAlarms[k].name
	}
	list[len(productAlarms)].Name = AlarmAny
	var purchases []engine.Purchase
	for _, asked := range simulatedAlarms {
		w := alarm.NewWatcher(predictor, asked)
		first := make([][]int, len(list)) // weeks after the change, by customer; -1: none
		for k := range first {
			first[k] = slices.Repeat([]int{-1}, len(customers))
		}
		for i := range customers {
			if p.third(customers[i].ID, len(customers)) != judging {
				continue
			}
			purchases = purchases[:0]
			for _, day := range customers[i].days {
				purchases = append(purchases, engine.Purchase{Day: begin + engine.Date(day)})
			}
			for n := range simulatedWatch {
				for _, a := range w.Look(purchases, begin+engine.Date((simulatedChange+n+1)*week)).Alarms {
					for k := range first {
						if first[k][i] < 0 && (k == len(productAlarms) || productAlarms[k].kind == a.Kind) {
							first[k][i] = n
						}
					}
				}
			}
		}
		for k := range list {
			list[k].Points = append(list[k].Points, s.point(p, customers, asked, first[k]))
		}
	}
	s.Detectors = append(s.Detectors, list...)
}

func population(seed uint64, begin engine.Date, days, each int) []simulated {
	var all []simulated
	for _, rate := range simulatedRates {
		for _, kind := range append([]string{""}, simulatedKinds...) {
			n := each
			if kind == "" {
				n = 3 * each
			}
			for range n {
				c := simulated{rate: rate, kind: kind}
				c.ID = int64(len(all) + 1)
				c.days = synth.Series(seed, uint64(c.ID), rate, days, kind, simulatedChange*week)
				value := rand.New(rand.NewPCG(seed^1, uint64(c.ID)))
				for i, day := range c.days {
					c.Lines = append(c.Lines, engine.Line{
						OrderKey: string(rune('a' + i%26)), Number: int32(i + 1), OrderedAt: (begin + engine.Date(day)).UTC().Add(12 * time.Hour),
						Quantity: 1, NetCents: int64(1000 + 8000*value.Float64()),
					})
				}
				all = append(all, c)
			}
		}
	}
	return all
}

// seriesOf gives a detector's scores by customer and week after the change; NaN where there is none.
func seriesOf(o *observations, scores []float64, customers []simulated) [][]float64 {
	series := make([][]float64, len(customers))
	for i := range series {
		series[i] = slices.Repeat([]float64{math.NaN()}, simulatedWatch)
	}
	first := o.first
	for i := range scores {
		// Every simulated customer is observed, so their numbers are those of the population.
		series[o.customer[i]][int(o.date[i]-first)/week] = scores[i]
	}
	return series
}

// watched gives a sequential detector's values by customer and week after the change.
func watched(d btyd.Detector, m btyd.NBD, customers []simulated) [][]float64 {
	series := make([][]float64, len(customers))
	for i := range customers {
		series[i] = slices.Repeat([]float64{math.NaN()}, simulatedWatch)
		before, _ := slices.BinarySearch(customers[i].days, simulatedReference*week)
		rate, ok := m.OwnRate(btyd.Reference{X: before - 1, Weeks: simulatedReference})
		if !ok {
			continue
		}
		value := 0.0
		for w := range simulatedWatch {
			from, _ := slices.BinarySearch(customers[i].days, (simulatedChange+w)*week)
			to, _ := slices.BinarySearch(customers[i].days, (simulatedChange+w+1)*week)
			value = d.Step(value, to-from, rate)
			series[i][w] = value
		}
	}
	return series
}

// judge adds a detector by its scores of each customer in each week after the change.
func (s *Simulation) judge(p *Plan, customers []simulated, name string, series [][]float64) {
	d := SimulatedDetector{Name: name}
	var highest []float64 // of unchanged customers of the threshold third
	for i := range customers {
		if customers[i].kind == "" && p.third(customers[i].ID, len(customers)) == choosing {
			highest = append(highest, highestOf(series[i]))
		}
	}
	slices.Sort(highest)
	for _, asked := range simulatedAlarms {
		threshold := highest[min(len(highest)-1, int(math.Ceil((1-asked)*float64(len(highest))))-1)]
		first := make([]int, len(customers))
		for i := range customers {
			first[i] = slices.IndexFunc(series[i], func(v float64) bool { return v > threshold })
		}
		d.Points = append(d.Points, s.point(p, customers, asked, first))
	}
	s.Detectors = append(s.Detectors, d)
}

// point sums up the judged third by the week after the change, from 0, in which each customer had its first alarm; -1: none.
func (s *Simulation) point(p *Plan, customers []simulated, asked float64, first []int) SimulatedPoint {
	point := SimulatedPoint{Asked: asked}
	unchanged, alarmed := 0, 0
	delays := map[string]map[float64][]float64{}
	for i := range customers {
		c := &customers[i]
		if p.third(c.ID, len(customers)) != judging {
			continue
		}
		at := first[i]
		if c.kind == "" {
			unchanged++
			alarmed += min(1, at+1)
			continue
		}
		delay := math.Inf(1)
		if at >= 0 {
			delay = float64(week * (at + 1))
		}
		if delays[c.kind] == nil {
			delays[c.kind] = map[float64][]float64{}
		}
		delays[c.kind][c.rate] = append(delays[c.kind][c.rate], delay)
		delays[c.kind][0] = append(delays[c.kind][0], delay)
	}
	point.Got = float64(alarmed) / float64(unchanged)
	for _, kind := range simulatedKinds {
		for _, rate := range append([]float64{0}, s.Rates...) {
			point.Kinds = append(point.Kinds, delayOf(kind, rate, delays[kind][rate]))
		}
	}
	return point
}

// highestOf is the largest score; a customer without one has none, and no alarm.
func highestOf(series []float64) float64 {
	highest := math.Inf(-1)
	for _, v := range series {
		if v > highest {
			highest = v
		}
	}
	return highest
}

func delayOf(kind string, rate float64, delays []float64) SimulatedDelay {
	d := SimulatedDelay{Kind: kind, Rate: rate, Customers: len(delays)}
	slices.Sort(delays)
	seen := 0
	for _, v := range delays {
		d.Mean += math.Min(v, simulatedWatch*week) / float64(len(delays))
		seen += btou(!math.IsInf(v, 1))
	}
	if len(delays) > 0 {
		d.Seen = float64(seen) / float64(len(delays))
		if middle := delays[(len(delays)-1)/2]; !math.IsInf(middle, 1) {
			d.Median = &middle
		}
	}
	return d
}

func btou(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Delay gives a detector's result at a share of false alarms, for a change and a rate, 0 being all; nil where there is none.
func (d *SimulatedDetector) Delay(falseAlarms float64, kind string, rate float64) *SimulatedDelay {
	for i := range d.Points {
		if d.Points[i].Asked != falseAlarms {
			continue
		}
		for j := range d.Points[i].Kinds {
			if k := &d.Points[i].Kinds[j]; k.Kind == kind && k.Rate == rate {
				return k
			}
		}
	}
	return nil
}
