package risk

import (
	"math"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// A day's level is compared with those of the days BaselineTo before it and then every baselineStep days, while they lie within
// BaselineFrom: up to 12. They do not depend on which snapshots there are.
const baselineStep = 28

// baselineDays are those days, oldest first.
func baselineDays(day engine.Date) []engine.Date {
	var days []engine.Date
	for back := engine.Date(BaselineTo); back <= BaselineFrom; back += baselineStep {
		days = append(days, day-back)
	}
	slices.Reverse(days)
	return days
}

// BaselineDays gives the days that the levels of some days are compared with, ascending, but for those by which nobody had bought
// in a store whose first order is of the day first.
func BaselineDays(days []engine.Date, first engine.Date) []engine.Date {
	var all []engine.Date
	for _, day := range days {
		all = append(all, baselineDays(day)...)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(day engine.Date) bool { return day <= first })
}

// Lookback looks at one customer after another as of some instants: at where it stands, and how far its risk level lies from the
// customer's own baseline,
//
//	G*(t) = R(t) - mean of R over the days t-56, t-84, ... t-364 by which it had bought,
//
// worked out from its lines alone. It keeps working memory, so every goroutine needs its own.
type Lookback struct {
	scorer  *engine.Scorer
	weights []*Weights
	at      []engine.Instant
	asked   []int         // the place of each instant among those asked about; -1: it is of a baseline alone
	days    []engine.Date // of the instants asked about
	earlier [][]earlier   // of their baselines
	// Of the customer that is looked at.
	print  engine.Thumbprint
	now    int
	levels [][]float64 // by weights and instants; NaN where there is none
	past   []Point
}

// earlier is a day of a baseline and the place of its instant.
type earlier struct {
	day   engine.Date
	place int
}

// NewLookback looks at customers as of instants, ascending, under a model. Weights, of that model, tell of drift: for
// these it needs the instants of BaselineDays of the days, ascending. Without weights there is no drift, and no need of earlier instants.
func NewLookback(m *engine.Model, zone *time.Location, at, baseline []engine.Instant, weights ...*Weights) *Lookback {
	l := &Lookback{scorer: m.NewScorer(), weights: weights, levels: make([][]float64, len(weights))}
	asked := map[int64]int{}
	for i, in := range at {
		asked[in.At.UnixNano()] = i
		l.days = append(l.days, engine.DateOf(in.At, zone))
	}
	l.at = slices.Clone(at)
	if len(weights) > 0 {
		for _, in := range baseline {
			if _, both := asked[in.At.UnixNano()]; !both {
				l.at = append(l.at, in)
			}
		}
		slices.SortFunc(l.at, func(a, b engine.Instant) int { return a.At.Compare(b.At) })
	}
	places := map[int64]int{}
	l.asked = make([]int, len(l.at))
	for i, in := range l.at {
		places[in.At.UnixNano()] = i
		l.asked[i] = -1
		if place, ok := asked[in.At.UnixNano()]; ok {
			l.asked[i] = place
		}
	}
	l.earlier = make([][]earlier, len(at))
	for i := range l.days {
		for _, day := range baselineDays(l.days[i]) {
			if place, ok := places[day.In(zone).UnixNano()]; ok {
				l.earlier[i] = append(l.earlier[i], earlier{day, place})
			}
		}
	}
	for w := range l.levels {
		l.levels[w] = make([]float64, len(l.at))
	}
	return l
}

// Builder builds features as feature.Builder.Build does.
type Builder func(lines []engine.Line, at []engine.Instant, yield func(i int, f *engine.Features))

// Look builds a customer's features and calls yield for each instant asked about before which there is a purchase, with the
// thumbprint. Both are reused: copy what is to be kept. Within yield Drift tells of the same instant.
func (l *Lookback) Look(build Builder, lines []engine.Line, yield func(i int, f *engine.Features, print *engine.Thumbprint)) {
	for w := range l.levels {
		for i := range l.levels[w] {
			l.levels[w][i] = math.NaN()
		}
	}
	build(lines, l.at, func(i int, f *engine.Features) {
		l.scorer.Score(f.Purchases, f.Values, &l.print)
		for w := range l.weights {
			if level, ok := l.weights[w].Level(l.print); ok {
				l.levels[w][i] = level
			}
		}
		if l.now = i; l.asked[i] >= 0 {
			yield(l.asked[i], f, &l.print)
		}
	})
}

// Drift is the deviation from the customer's own baseline under some of the weights as of the instant that Look is at; nil without
// weights, without a level, and where fewer than four earlier levels are known.
func (l *Lookback) Drift(w int) *float64 {
	if w >= len(l.weights) || math.IsNaN(l.levels[w][l.now]) {
		return nil
	}
	l.past = l.past[:0]
	asked := l.asked[l.now]
	for _, e := range l.earlier[asked] {
		if level := l.levels[w][e.place]; !math.IsNaN(level) {
			l.past = append(l.past, Point{e.day, level})
		}
	}
	deviation, ok := FromBaseline(Point{l.days[asked], l.levels[w][l.now]}, l.past)
	if !ok {
		return nil
	}
	return &deviation
}
