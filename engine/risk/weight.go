// Package risk says which way a customer moves: every segment has the share of its members who did not buy again, so that
// a thumbprint has a level of risk, and drift a direction. Distance has none: a customer who comes back and one who leaves can
// drift as far as each other.
package risk

import (
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
)

// prior is how many customers of the base rate are added to every segment.
const prior = 10

// Tally counts what became of customers by the segments in which they stood, each fold of customers for itself. It works under one
// model, whose thumbprints it takes; it is not safe for concurrent use, but tallies of parts can be added up.
type Tally struct {
	model       *engine.Model
	power       []float64 // u^m by u in units of 1/10000
	folds       [folds]counted
	units       []int             // scratch: memberships in an axis's segments
	scorer      *engine.Scorer    // of Watch
	then        engine.Thumbprint // scratch
	asOf        engine.Date
	horizonDays int
}

// counted is what was counted of some customers.
type counted struct {
	customers, lost int
	sums            [engine.AxisCount][]sums
}

// sums are those of one segment: of u^m, and of u^m of those who were lost.
type sums struct{ all, lost float64 }

func newCounted(m *engine.Model) counted {
	var c counted
	for a := range m.Axes {
		c.sums[a] = make([]sums, len(m.Axes[a].Segments))
	}
	return c
}

func (c *counted) add(other *counted) {
	c.customers += other.customers
	c.lost += other.lost
	for a := range c.sums {
		for s := range c.sums[a] {
			c.sums[a][s].all += other.sums[a][s].all
			c.sums[a][s].lost += other.sums[a][s].lost
		}
	}
}

// share is that of the lost; 0 without customers.
func (c *counted) share() float64 {
	basis := engine.RiskBasis{Customers: c.customers, Lost: c.lost}
	return basis.LostShare()
}

// weight is the risk weight of a segment.
func (c *counted) weight(axis, segment int) float64 {
	s := c.sums[axis][segment]
	return (s.lost + prior*c.share()) / (s.all + prior)
}

// NewTally makes a tally of the customers as they stand horizonDays before the model's day, when their outcomes are known.
func NewTally(m *engine.Model, horizonDays int) *Tally {
	t := &Tally{model: m, power: make([]float64, engine.MembershipUnit+1), asOf: m.AsOf - engine.Date(horizonDays), horizonDays: horizonDays}
	fuzziness := m.Params.Fuzziness
	if !m.Params.Fuzzy {
		fuzziness = 1
	}
	for u := range t.power {
		t.power[u] = math.Pow(float64(u)/engine.MembershipUnit, fuzziness)
	}
	for f := range t.folds {
		t.folds[f] = newCounted(m)
	}
	return t
}

// Model is the model whose thumbprints are counted.
func (t *Tally) Model() *engine.Model { return t.model }

// AsOf is the day at whose beginning customers are looked at.
func (t *Tally) AsOf() engine.Date { return t.asOf }

// Add counts a customer: where it stood at the beginning of AsOf, on features of what was known then, and whether it was
// lost, which is without a purchase from then on until the model's day.
func (t *Tally) Add(customer int64, then engine.Thumbprint, lost bool) {
	c := &t.folds[fold(customer)]
	c.customers++
	if lost {
		c.lost++
	}
	for a := range c.sums {
		units := t.segmentUnits(a, then)
		for s, u := range units {
			w := t.power[u]
			c.sums[a][s].all += w
			if lost {
				c.sums[a][s].lost += w
			}
		}
	}
}

// Watch counts a customer by its lines. The instants are those of AsOf and of the model's day; the builder, of the store's columns, is not kept.
func (t *Tally) Watch(b *feature.Builder, instants []engine.Instant, customer int64, lines []engine.Line) {
	if t.scorer == nil {
		t.scorer = t.model.NewScorer()
	}
	known, lost := false, true
	b.Build(lines, instants, func(i int, f *engine.Features) {
		if i == 0 {
			known = true
			t.scorer.Score(f.Purchases, f.Values, &t.then)
		} else {
			lost = f.LastAt < t.asOf
		}
	})
	if known {
		t.Add(customer, t.then, lost)
	}
}

// segmentUnits gives the memberships in all segments of an axis, those of a parent being the sum of its leaves'; nil
// without any.
func (t *Tally) segmentUnits(axis int, print engine.Thumbprint) []int {
	m := &t.model.Axes[axis]
	leaves := leavesOf(m, print)
	if leaves == nil {
		return nil
	}
	t.units = append(t.units[:0], make([]int, len(m.Segments))...)
	for i := len(m.Segments) - 1; i >= 0; i-- {
		s := &m.Segments[i]
		if s.IsLeaf() {
			t.units[i] = int(leaves[s.Leaf])
		}
		if s.Parent >= 0 {
			t.units[s.Parent] += t.units[i]
		}
	}
	return t.units
}

// leavesOf is an axis's part of a thumbprint; nil where it has no memberships.
func leavesOf(m *engine.AxisModel, print engine.Thumbprint) []int16 {
	if m.Status != engine.AxisOn || m.Leaves == 0 || m.First+m.Leaves > len(print.Membership) || print.Membership[m.First] < 0 {
		return nil
	}
	return print.Membership[m.First : m.First+m.Leaves]
}

// Merge adds the counts of another tally of the same model and day. Sums of numbers with a fraction depend on their order,
// so whoever counts parts side by side merges them in a fixed one.
func (t *Tally) Merge(other *Tally) {
	for f := range t.folds {
		t.folds[f].add(&other.folds[f])
	}
}

// total counts everybody but the customers of some folds.
func (t *Tally) total(without ...int) *counted {
	all := newCounted(t.model)
	for f := range t.folds {
		if !slices.Contains(without, f) {
			all.add(&t.folds[f])
		}
	}
	return &all
}

// Weigh writes the risk weights to the segments of the model,
//
//	rho_aj = (sum_i u_aj^m y_i + 10 ybar)/(sum_i u_aj^m + 10),
//
// y being 1 for the lost and ybar their share, and keeps in the model what they rest on. Where nobody was counted it has none.
func (t *Tally) Weigh() {
	all := t.total()
	t.model.Risk = nil
	if all.customers > 0 {
		t.model.Risk = &engine.RiskBasis{AsOf: t.asOf, HorizonDays: t.horizonDays, Customers: all.customers, Lost: all.lost}
	}
	for a := range t.model.Axes {
		for s := range t.model.Axes[a].Segments {
			segment := &t.model.Axes[a].Segments[s]
			segment.RiskWeight = nil
			if all.customers > 0 {
				weight := all.weight(a, s)
				segment.RiskWeight = &weight
			}
		}
	}
}

// Weights gives the weights that follow from everybody but the customers of some folds, and writes nothing; nil where nobody is left.
func (t *Tally) Weights(without ...int) *Weights {
	counted := t.total(without...)
	if counted.customers == 0 {
		return nil
	}
	return newWeights(t.model, counted.weight)
}
