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
	"time"

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
	// Of Rated customers the newest snapshot has a churn risk; Risk is the sum of these.
	Rated int
	Risk  float64
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
	Ways      []Way     // in a fixed order
	Customers int       // on all ways together
	TakenAt   time.Time // when the newest of the snapshots was; zero without any
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
	// MeanRisk is the mean churn risk of those who have one in their newest snapshot; NaN where nobody has.
	MeanRisk float64
	// Cut is whether some of the customers went on beyond the last stage.
	Cut bool
}

// PathQuery says which paths are wanted: of MinStages to MaxStages stages, longer ones being cut there, of customers who are in one of
// the states Starts on the first date and in one of Ends on the last, nil: in any; at most Limit.
type PathQuery struct {
	MinStages, MaxStages int
	Starts, Ends         []int
	Limit                int
}

func (q *PathQuery) wants(at []uint16) bool {
	return (q.Starts == nil || slices.Contains(q.Starts, int(at[0]))) && (q.Ends == nil || slices.Contains(q.Ends, int(at[len(at)-1])))
}

// Paths gives the commonest paths, commonest first, and the number of different ones.
func (j *Journey) Paths(q PathQuery) (paths []Path, all int) {
	found, rated := map[string]*Path{}, map[string]int{}
	for _, w := range j.Ways {
		stages, dates, cut := stagesOf(w.At, q.MaxStages)
		if len(stages) < q.MinStages || !q.wants(w.At) {
			continue
		}
		key := make([]byte, 0, 2*q.MaxStages)
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
		p.MeanRisk += w.Risk
		rated[string(key)] += w.Rated
		p.Cut = p.Cut || cut
	}
	for key, p := range found {
		p.MeanRisk /= float64(rated[key]) // 0/0 is NaN
		for i := range p.MeanDays {
			p.MeanDays[i] /= float64(p.Customers)
		}
		paths = append(paths, *p)
	}
	slices.SortFunc(paths, func(a, b Path) int {
		return cmp.Or(cmp.Compare(b.Customers, a.Customers), slices.Compare(a.Stages, b.Stages))
	})
	return paths[:min(q.Limit, len(paths))], len(paths)
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
