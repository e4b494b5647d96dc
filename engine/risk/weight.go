// Package risk says which way a customer moves: every segment has the share of its members who did not buy again, so that
// a thumbprint has a level of risk, and drift a direction. Distance has none: a customer who comes back and one who leaves can
// drift as far as each other.
package risk

import (
	"math"

	"github.com/quimbi/quimbi/engine"
)

// prior is how many customers of the base rate are added to every segment.
const prior = 10

// Tally counts what became of customers by the segments in which they stood. It works under one model, whose thumbprints it
// takes; it is not safe for concurrent use, but tallies of parts can be added up.
type Tally struct {
	model *engine.Model
	power []float64 // u^m by u in units of 1/10000
	sums  [engine.AxisCount][]sums
	units []int // scratch: memberships in an axis's segments
	base  engine.RiskBasis
}

// sums are those of one segment: of u^m, and of u^m of those who were lost.
type sums struct{ all, lost float64 }

// NewTally makes a tally of the customers as they stand horizonDays before the model's day, when their outcomes are known.
func NewTally(m *engine.Model, horizonDays int) *Tally {
	t := &Tally{
		model: m, power: make([]float64, engine.MembershipUnit+1),
		base: engine.RiskBasis{AsOf: m.AsOf - engine.Date(horizonDays), HorizonDays: horizonDays},
	}
	fuzziness := m.Params.Fuzziness
	if !m.Params.Fuzzy {
		fuzziness = 1
	}
	for u := range t.power {
		t.power[u] = math.Pow(float64(u)/engine.MembershipUnit, fuzziness)
	}
	for a := range m.Axes {
		t.sums[a] = make([]sums, len(m.Axes[a].Segments))
	}
	return t
}

// Model is the model whose thumbprints are counted.
func (t *Tally) Model() *engine.Model { return t.model }

// AsOf is the day at whose beginning customers are looked at.
func (t *Tally) AsOf() engine.Date { return t.base.AsOf }

// Add counts a customer: where it stood at the beginning of AsOf, on features of what was known then, and whether it was
// lost, which is without a purchase from then on until the model's day.
func (t *Tally) Add(then engine.Thumbprint, lost bool) {
	t.base.Customers++
	if lost {
		t.base.Lost++
	}
	for a := range t.sums {
		units := t.segmentUnits(a, then)
		for s, u := range units {
			w := t.power[u]
			t.sums[a][s].all += w
			if lost {
				t.sums[a][s].lost += w
			}
		}
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
	t.base.Customers += other.base.Customers
	t.base.Lost += other.base.Lost
	for a := range t.sums {
		for s := range t.sums[a] {
			t.sums[a][s].all += other.sums[a][s].all
			t.sums[a][s].lost += other.sums[a][s].lost
		}
	}
}

// Weigh writes the risk weights to the segments of the model,
//
//	rho_aj = (sum_i u_aj^m y_i + 10 ybar)/(sum_i u_aj^m + 10),
//
// y being 1 for the lost and ybar their share, and keeps in the model what they rest on. Where nobody was counted it has none.
func (t *Tally) Weigh() {
	t.model.Risk = nil
	if t.base.Customers > 0 {
		basis := t.base
		t.model.Risk = &basis
	}
	share := t.base.LostShare()
	for a := range t.sums {
		for s := range t.sums[a] {
			segment := &t.model.Axes[a].Segments[s]
			segment.RiskWeight = nil
			if t.base.Customers > 0 {
				weight := (t.sums[a][s].lost + prior*share) / (t.sums[a][s].all + prior)
				segment.RiskWeight = &weight
			}
		}
	}
}
