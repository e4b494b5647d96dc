package journey

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// Place is where a customer's snapshot puts it on one axis. Its slices need not outlast Add.
type Place struct {
	CustomerID   int64
	Date         engine.Date
	ModelVersion int
	Purchases    int
	FirstAt      engine.Date // of the first purchase
	Silent       int         // days since the last purchase
	ChurnRisk    *float64    // nil where it was not stored
	TakenAt      time.Time
	// Of a snapshot of the collector's model: the position in a thumbprint of the leaf that the customer belongs to, -1 for none,
	// and, where soft flows are wanted, the memberships in the axis's leaves.
	Dominant   int16
	Membership []int16
	// Of a snapshot of another model, which is scored again: the axis's features, nil where they were not stored.
	Features []float32
}

// locator tells which state a snapshot puts its customer into: the segments of a level, then those of afterNew and so on.
type locator struct {
	model    *engine.Model
	axis     int
	horizon  int
	scorer   *engine.AxisScorer
	segments []int // of the level, as indices in AxisModel.Segments
	place    []int // of each leaf, its place in segments
}

func newLocator(m *engine.Model, axis int, level engine.Level, horizon int) *locator {
	a := &m.Axes[axis]
	l := &locator{model: m, axis: axis, horizon: horizon, scorer: m.NewAxisScorer(axis), place: make([]int, a.Leaves)}
	for i := range a.Segments {
		s := &a.Segments[i]
		if level == engine.LevelRoots && s.Parent < 0 || level == engine.LevelLeaves && s.IsLeaf() {
			l.segments = append(l.segments, i)
		}
		if s.IsLeaf() {
			l.place[s.Leaf] = len(l.segments) - 1
		}
	}
	return l
}

// tally is what customers of one way come to. Churn risks are added up in millionths, so that no order of addition matters.
type tally struct {
	customers, rated int
	risk             int64
}

// Collector makes a journey from the snapshots of a store, customer by customer. It holds no customer's memberships but the present
// one's, and of the others their ways, equal ones once.
type Collector struct {
	*locator
	soft  bool
	dates []engine.Date

	ways     map[string]*tally
	flows    []Matrix
	present  []int // snapshots on each date
	expected []int // customers on each date
	unscored []int // snapshots that could not be scored again

	open     bool // there is a present customer
	customer int64
	firstAt  engine.Date
	at       []uint16
	risk     *float64    // in the newest snapshot
	taken    time.Time   // when the newest of all snapshots was
	u        [][]float64 // memberships in all states on each date
	key      []byte
}

// States beside the segments follow these while collecting. A missing place is one until the customer is complete.
const (
	afterNew = iota
	afterAbsent
	afterLapsed
	afterUnknown
	states // how many there are beside segments
)

// NewCollector is for an axis of a model that is on. horizon is the churn horizon in days; dates are those that count, in order.
func NewCollector(m *engine.Model, axis int, level engine.Level, horizon int, dates []engine.Date, soft bool) *Collector {
	c := &Collector{
		locator: newLocator(m, axis, level, horizon), soft: soft, dates: dates,
		ways: map[string]*tally{}, at: make([]uint16, len(dates)), key: make([]byte, 2*len(dates)),
		present: make([]int, len(dates)), expected: make([]int, len(dates)), unscored: make([]int, len(dates)),
	}
	if soft {
		n := len(c.segments) + states
		c.u = make([][]float64, len(dates))
		for t := range c.u {
			c.u[t] = make([]float64, n)
		}
		for range max(0, len(dates)-1) {
			c.flows = append(c.flows, newMatrix(n))
		}
	}
	return c
}

// Add takes a snapshot. Those of a customer come one after the other; dates that do not count are left out.
func (c *Collector) Add(p Place) {
	if !c.open || c.customer != p.CustomerID {
		c.close()
		c.begin(p)
	}
	t, ok := slices.BinarySearch(c.dates, p.Date)
	if !ok {
		return
	}
	c.at[t] = c.stateOf(&p)
	c.present[t]++
	c.risk = p.ChurnRisk
	if p.TakenAt.After(c.taken) {
		c.taken = p.TakenAt
	}
	if !c.soft {
		return
	}
	u := c.u[t]
	clear(u)
	if segment := int(c.at[t]); segment >= len(c.segments) || p.Membership == nil {
		u[c.at[t]] = 1
		return
	}
	for leaf, units := range p.Membership {
		u[c.place[leaf]] += float64(units) / engine.MembershipUnit
	}
}

// begin puts a customer where it is without snapshots.
func (c *Collector) begin(p Place) {
	c.open, c.customer, c.firstAt, c.risk = true, p.CustomerID, p.FirstAt, nil
	for t, date := range c.dates {
		state := len(c.segments) + afterNew
		if p.FirstAt < date {
			state = len(c.segments) + afterAbsent
			c.expected[t]++
		}
		c.at[t] = uint16(state)
		if c.soft {
			clear(c.u[t])
			c.u[t][state] = 1
		}
	}
}

// stateOf gives the state of a snapshot, and in p what it lacks, scored again where it is of another model.
func (l *locator) stateOf(p *Place) uint16 {
	beside := len(l.segments)
	if p.Silent >= l.horizon {
		return uint16(beside + afterLapsed)
	}
	first := l.model.Axes[l.axis].First
	if p.ModelVersion != l.model.Version {
		if p.Features == nil {
			return uint16(beside + afterUnknown)
		}
		p.Dominant = -1
		if leaf, units := l.scorer.Leaf(p.Purchases, p.Features); leaf >= 0 {
			p.Dominant, p.Membership = int16(first+leaf), units
		}
	}
	if p.Dominant < 0 {
		return uint16(beside + afterAbsent)
	}
	return uint16(l.place[int(p.Dominant)-first])
}

// close takes the present customer in.
func (c *Collector) close() {
	if !c.open {
		return
	}
	c.open = false
	unknown, fresh := uint16(len(c.segments)+afterUnknown), uint16(len(c.segments)+afterNew)
	for t, state := range c.at {
		binary.BigEndian.PutUint16(c.key[2*t:], state)
		if state == unknown {
			c.unscored[t]++
		}
		if c.soft && t > 0 && (c.at[t-1] != fresh || state != fresh) {
			Couple(c.flows[t-1], c.u[t-1], c.u[t])
		}
	}
	way := c.ways[string(c.key)]
	if way == nil {
		way = &tally{}
		c.ways[string(c.key)] = way
	}
	way.customers++
	if c.risk != nil {
		way.rated++
		way.risk += int64(math.Round(*c.risk * riskUnit))
	}
}

// Journey gives what was collected over the latest unbroken part of the dates: those on which at least half of the customers by then
// have a snapshot, and all snapshots can be brought under the model. The collector is not to be used afterwards.
func (c *Collector) Journey() *Journey {
	c.close()
	from, to := c.unbroken()
	if from == to {
		return &Journey{}
	}
	n := len(c.segments) + states
	occurs := make([]bool, n)
	for i := range c.segments {
		occurs[i] = true
	}
	cut := map[string]tally{}
	for _, key := range slices.Sorted(maps.Keys(c.ways)) {
		part := key[2*from : 2*to]
		seen := false
		for t := range len(part) / 2 {
			state := stateAt(part, t)
			seen = seen || state != len(c.segments)+afterNew
		}
		if !seen {
			continue // came later
		}
		for t := range len(part) / 2 {
			occurs[stateAt(part, t)] = true
		}
		sum, way := cut[part], c.ways[key]
		cut[part] = tally{sum.customers + way.customers, sum.rated + way.rated, sum.risk + way.risk}
	}
	j := &Journey{Dates: c.dates[from:to], TakenAt: c.taken}
	place := make([]int, n)
	for state := range occurs {
		if !occurs[state] {
			continue
		}
		place[state] = len(j.States)
		j.States = append(j.States, c.state(state))
	}
	for _, key := range slices.Sorted(maps.Keys(cut)) {
		w := Way{At: make([]uint16, to-from), Customers: cut[key].customers, Rated: cut[key].rated, Risk: float64(cut[key].risk) / riskUnit}
		for t := range w.At {
			w.At[t] = uint16(place[stateAt(key, t)])
		}
		j.Ways = append(j.Ways, w)
		j.Customers += w.Customers
	}
	if c.soft {
		j.Flows = make([]Matrix, to-from-1)
		for t := range j.Flows {
			j.Flows[t] = shrunk(c.flows[from+t], occurs, place, len(j.States))
		}
	}
	return j
}

// riskUnit is the number that stands for a churn risk of 1 while they are added up.
const riskUnit = 1e6

func stateAt(key string, t int) int { return int(key[2*t])<<8 | int(key[2*t+1]) }

func (l *locator) state(number int) State {
	if number < len(l.segments) {
		return State{Segment, l.segments[number]}
	}
	return State{[]Kind{New, Absent, Lapsed, Absent}[number-len(l.segments)], -1}
}

// unbroken gives the latest run of dates that can be followed, as places; equal ones where there is none.
func (c *Collector) unbroken() (from, to int) {
	usable := func(t int) bool {
		return c.present[t] > 0 && 2*c.present[t] >= c.expected[t] && c.unscored[t] == 0
	}
	for to = len(c.dates); to > 0 && !usable(to-1); to-- {
	}
	for from = to; from > 0 && usable(from-1); from-- {
	}
	return from, to
}

func shrunk(m Matrix, occurs []bool, place []int, n int) Matrix {
	small := newMatrix(n)
	for i := range m {
		for k, f := range m[i] {
			if occurs[i] && occurs[k] {
				small[place[i]][place[k]] = f
			}
		}
	}
	return small
}
