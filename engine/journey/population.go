package journey

import (
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
)

// psiFloor is the least share that enters an index, so that an empty segment does not make it infinite.
const psiFloor = 1e-4

// From where a population stability index is worth a look, and from where a new model is advised. Both are conventions.
const (
	PSINotice = 0.1
	PSIRefit  = 0.25
)

// PSI is the population stability index of two distributions over the same segments, sum (p - q) ln(p/q), shares under 1e-4
// taken for that: Jeffreys' divergence (Kullback and Leibler 1951), as credit scoring uses it (Siddiqi 2006, Credit Risk Scorecards).
func PSI(p, q []float64) float64 {
	sum := 0.0
	for i := range p {
		a, b := max(p[i], psiFloor), max(q[i], psiFloor)
		sum += (a - b) * math.Log(a/b)
	}
	return sum
}

// Population adds up the memberships of all customers on each date, under one model.
type Population struct {
	model  *engine.Model
	scorer *engine.Scorer
	dates  []engine.Date
	print  engine.Thumbprint // scratch

	sums     [][]int64 // by date: of each position of a thumbprint, in units of 1/10000
	counted  []int     // snapshots on each date
	unscored []int     // those of another model without features
}

// NewPopulation is for the dates that count, in order.
func NewPopulation(m *engine.Model, dates []engine.Date) *Population {
	p := &Population{model: m, dates: dates, sums: make([][]int64, len(dates)), counted: make([]int, len(dates)), unscored: make([]int, len(dates))}
	for t := range p.sums {
		p.sums[t] = make([]int64, m.Positions())
	}
	return p
}

// Add takes a snapshot in, scored again from features where it is of another model; dates that do not count are left out.
func (p *Population) Add(s *engine.Snapshot) {
	t, ok := slices.BinarySearch(p.dates, s.Date)
	if !ok {
		return
	}
	units := s.Membership
	if s.ModelVersion != p.model.Version {
		if s.Features == nil {
			p.unscored[t]++
			return
		}
		if p.scorer == nil {
			p.scorer = p.model.NewScorer()
		}
		p.scorer.Score(s.Purchases, s.Features, &p.print)
		units = p.print.Membership
	}
	p.counted[t]++
	for i, u := range units {
		p.sums[t][i] += int64(max(0, u))
	}
}

// Means are mean memberships on the dates that have most of their snapshots under the model.
type Means struct {
	Dates     []engine.Date
	Customers []int // snapshots that were added up on each
	// Axes has a row for each date: the mean memberships in the axis's roots, summing to 1 over those who have a place there; nil where
	// nobody has.
	Axes [engine.AxisCount][][]float64
}

// Means gives the mean memberships in the roots of all axes.
func (p *Population) Means() *Means {
	m := &Means{}
	for t, date := range p.dates {
		if p.counted[t] == 0 || p.unscored[t] > p.counted[t] {
			continue
		}
		m.Dates, m.Customers = append(m.Dates, date), append(m.Customers, p.counted[t])
		for i := range m.Axes {
			m.Axes[i] = append(m.Axes[i], p.roots(i, p.sums[t]))
		}
	}
	return m
}

func (p *Population) roots(axis int, sums []int64) []float64 {
	a := &p.model.Axes[axis]
	if a.Status != engine.AxisOn {
		return nil
	}
	var shares []float64
	sum := 0.0
	for i := range a.Segments {
		s := &a.Segments[i]
		if s.Parent < 0 {
			shares = append(shares, 0)
		}
		if s.IsLeaf() {
			u := float64(sums[a.First+s.Leaf])
			shares[len(shares)-1] += u
			sum += u
		}
	}
	if sum == 0 {
		return nil
	}
	for i := range shares {
		shares[i] /= sum
	}
	return shares
}

// Stability gives the indices of an axis over the dates: against the date before, and against the first that has memberships; NaN
// where there is none.
func (m *Means) Stability(axis int) (step, sinceFirst []float64) {
	step, sinceFirst = make([]float64, len(m.Dates)), make([]float64, len(m.Dates))
	var first, before []float64
	for t, shares := range m.Axes[axis] {
		step[t], sinceFirst[t] = math.NaN(), math.NaN()
		if shares != nil && before != nil {
			step[t] = PSI(before, shares)
		}
		if shares != nil && first != nil {
			sinceFirst[t] = PSI(first, shares)
		}
		if before = shares; first == nil {
			first = shares
		}
	}
	return step, sinceFirst
}
