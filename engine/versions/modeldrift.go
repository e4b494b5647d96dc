package versions

import (
	"math"
	"sync"

	"github.com/quimbi/quimbi/engine"
)

// ModelDrift is how far a new model moves customers who did nothing: the mean over the customers of a table of
// |u_n(x) - P u_o(x)| / sqrt(2), on each axis and, as the root mean square over the axes, in all.
func ModelDrift(from, to *engine.Model, table *engine.Table) *engine.ModelDrift {
	drift := &engine.ModelDrift{Before: from.Version}
	var pairs [engine.AxisCount]*Alignment
	comparable, on := 0, 0
	for axis := range pairs {
		if to.Axes[axis].Status == engine.AxisOn {
			on++
		}
		if a, ok := Align(from, to, engine.LevelRoots, axis); ok {
			pairs[axis] = &a
			comparable++
		}
	}
	if comparable == 0 {
		return drift
	}
	parts := make([]driftSums, (table.Len()+driftPart-1)/driftPart)
	var group sync.WaitGroup
	for i := range parts {
		group.Go(func() { parts[i].add(from, to, &pairs, table, i*driftPart, min((i+1)*driftPart, table.Len())) })
	}
	group.Wait()
	var all driftSums
	for i := range parts { // in their order: the sums are the same on any number of cores
		all.merge(&parts[i])
	}
	for axis, n := range all.counts {
		if n > 0 {
			mean := all.sums[axis] / float64(n)
			drift.Axes[axis] = &mean
		}
	}
	if all.count > 0 && 2*comparable >= on {
		mean := all.sum / float64(all.count)
		drift.Overall = &mean
	}
	return drift
}

// driftPart is how many customers a goroutine compares.
const driftPart = 5000

// driftSums are over customers: on each axis, and in all.
type driftSums struct {
	sums   [engine.AxisCount]float64
	counts [engine.AxisCount]int
	sum    float64
	count  int
}

func (s *driftSums) add(from, to *engine.Model, pairs *[engine.AxisCount]*Alignment, table *engine.Table, first, end int) {
	older, newer := from.NewScorer(), to.NewScorer()
	var before, after engine.Thumbprint
	for i := first; i < end; i++ {
		older.Score(int(table.Purchases[i]), table.Row(i), &before)
		newer.Score(int(table.Purchases[i]), table.Row(i), &after)
		squares, axes := 0.0, 0
		for axis, pair := range pairs {
			if pair == nil {
				continue
			}
			u, v := from.RootMemberships(axis, before, nil), to.RootMemberships(axis, after, nil)
			if len(u) == 0 || len(v) == 0 {
				continue
			}
			d := distance(pair.Move(u), v)
			s.sums[axis] += d
			s.counts[axis]++
			squares += d * d
			axes++
		}
		if axes > 0 {
			s.sum += math.Sqrt(squares / float64(axes))
			s.count++
		}
	}
}

func (s *driftSums) merge(part *driftSums) {
	for axis := range s.sums {
		s.sums[axis] += part.sums[axis]
		s.counts[axis] += part.counts[axis]
	}
	s.sum += part.sum
	s.count += part.count
}

// distance is the norm of the difference over the square root of 2, in memberships.
func distance(u, v []int) float64 {
	squares := 0
	for j := range u {
		e := u[j] - v[j]
		squares += e * e
	}
	return math.Sqrt(float64(squares)/2) / engine.MembershipUnit
}
