// Package journey follows customers through the segments of one axis over a series of dates: how many go from where to where, by
// which ways, how long they stay, and, as far as the past allows it, where that leads. It works on places that are known; it
// reads nothing.
//
// A place is a segment or one of three states beside them: before the first purchase, without a place on the axis, and lapsed,
// which is no purchase within the churn horizon. So customers come and leave in sight, and no count loses any.
package journey

import (
	"cmp"
	"slices"

	"github.com/quimbi/quimbi/engine"
)

// Kind is the kind of a state.
type Kind string

// The kinds.
const (
	Segment Kind = "SEGMENT"
	New     Kind = "NEW"    // not a customer yet; only ever left
	Absent  Kind = "ABSENT" // a customer without memberships on the axis, or without a snapshot
	Lapsed  Kind = "LAPSED" // no purchase within the churn horizon
)

// State is where a customer can be on an axis.
type State struct {
	Kind    Kind
	Segment int // index in AxisModel.Segments; -1 for every other kind
}

// Way is a sequence of places that customers share: At has one of the journey's states for each date.
type Way struct {
	At        []uint16
	Customers int
}

// Matrix is square, rows from, columns to, in the order of a journey's states.
type Matrix [][]float64

func newMatrix(n int) Matrix {
	m, cells := make(Matrix, n), make([]float64, n*n)
	for i := range m {
		m[i] = cells[i*n : (i+1)*n : (i+1)*n]
	}
	return m
}

// Journey is what became of a store's customers on one axis, under one model.
type Journey struct {
	States []State
	// Dates are equally far apart by the calendar; empty where there is nothing to follow.
	Dates     []engine.Date
	Ways      []Way // in a fixed order
	Customers int   // on all ways together
	// Flows is the membership that went from state to state from each date to the next; nil where only dominant segments were
	// followed.
	Flows []Matrix
}

// index gives the place of the state of a kind beside the segments; -1 where it does not occur.
func (j *Journey) index(kind Kind) int {
	return slices.IndexFunc(j.States, func(s State) bool { return s.Kind == kind })
}

// StepDays is the mean distance of two dates, in days; 0 with fewer than two.
func (j *Journey) StepDays() float64 {
	if len(j.Dates) < 2 {
		return 0
	}
	return float64(j.Dates[len(j.Dates)-1]-j.Dates[0]) / float64(len(j.Dates)-1)
}

// Path is a sequence of states, each left once, that customers share.
type Path struct {
	Stages    []int     // states
	MeanDays  []float64 // in each stage, each date standing for one step
	Customers int
	// Cut is whether some of the customers went on beyond the last stage.
	Cut bool
}

// Paths gives the commonest paths of minStages to maxStages stages, commonest first; longer ones are cut after maxStages. At most
// limit, and the number of different ones.
func (j *Journey) Paths(minStages, maxStages, limit int) (paths []Path, all int) {
	found := map[string]*Path{}
	for _, w := range j.Ways {
		stages, dates, cut := stagesOf(w.At, maxStages)
		if len(stages) < minStages {
			continue
		}
		key := make([]byte, 0, 2*maxStages)
		for _, s := range stages {
			key = append(key, byte(s), byte(s>>8))
		}
		p := found[string(key)]
		if p == nil {
			p = &Path{Stages: stages, MeanDays: make([]float64, len(stages))}
			found[string(key)] = p
		}
		for i, n := range dates {
			p.MeanDays[i] += float64(w.Customers*n) * j.StepDays()
		}
		p.Customers += w.Customers
		p.Cut = p.Cut || cut
	}
	for _, p := range found {
		for i := range p.MeanDays {
			p.MeanDays[i] /= float64(p.Customers)
		}
		paths = append(paths, *p)
	}
	slices.SortFunc(paths, func(a, b Path) int {
		return cmp.Or(cmp.Compare(b.Customers, a.Customers), slices.Compare(a.Stages, b.Stages))
	})
	return paths[:min(limit, len(paths))], len(paths)
}

// stagesOf runs a way together: its different places one after the other, and on how many dates the customer was there.
func stagesOf(at []uint16, most int) (stages, dates []int, cut bool) {
	for _, s := range at {
		switch last := len(stages) - 1; {
		case last >= 0 && stages[last] == int(s):
			dates[last]++
		case len(stages) == most:
			return stages, dates, true
		default:
			stages, dates = append(stages, int(s)), append(dates, 1)
		}
	}
	return stages, dates, false
}
