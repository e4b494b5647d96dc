package journey

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

const horizon = 90

var weekly = []engine.Date{700, 707, 714, 721}

// testModel has one axis, with a root of two leaves and a whole one, of one feature in use.
func testModel() *engine.Model {
	m := &engine.Model{Version: 2, Params: engine.DefaultParams()}
	for i := range m.Axes {
		m.Axes[i].Status = engine.AxisOff
	}
	segment := func(parent, leaf int, center float64, children ...int) engine.Segment {
		depth := 0
		if parent >= 0 {
			depth = 1
		}
		return engine.Segment{Parent: parent, Depth: depth, Leaf: leaf, Children: children, Center: []float64{center}}
	}
	m.Axes[0] = engine.AxisModel{
		Status: engine.AxisOn, Leaves: 3,
		Features: []engine.FeatureModel{{Status: engine.FeatureOn, Low: -10, High: 10, SD: 1}, {Status: engine.FeatureConstant}, {Status: engine.FeatureConstant}, {Status: engine.FeatureConstant}},
		Segments: []engine.Segment{segment(-1, -1, 0, 1, 2), segment(0, 0, -1), segment(0, 1, 1), segment(-1, 2, 5)},
	}
	return m
}

func at(customer int64, t int, dominant int16) Place {
	units := []int16{0, 0, 0}
	if dominant >= 0 {
		units[dominant] = engine.MembershipUnit
	}
	return Place{CustomerID: customer, Date: weekly[t], ModelVersion: 2, FirstAt: 600, Dominant: dominant, Membership: units}
}

func collected(level engine.Level, soft bool, places ...Place) *Journey {
	c := NewCollector(testModel(), 0, level, horizon, weekly, soft)
	for _, p := range places {
		c.Add(p)
	}
	return c.Journey()
}

func TestCollector(t *testing.T) {
	t.Parallel()
	var places []Place
	for week := range weekly {
		places = append(places, at(1, week, int16(week%2)), at(2, week, 2))
	}
	slices.SortStableFunc(places, func(a, b Place) int { return int(a.CustomerID - b.CustomerID) })
	comes := at(3, 2, 0)
	comes.FirstAt = weekly[1] // on that day, so not before it
	leaves := at(4, 3, 2)
	leaves.Silent = horizon
	places = append(places, comes, at(4, 0, 2), at(4, 1, -1), at(4, 2, 2), leaves, Place{CustomerID: 4, Date: 719, ModelVersion: 2, FirstAt: 600})

	j := collected(engine.LevelRoots, false, places...)
	want := &Journey{
		States: []State{{Segment, 0}, {Segment, 3}, {New, -1}, {Absent, -1}, {Lapsed, -1}}, Dates: weekly, Customers: 4,
		Ways: []Way{
			{At: []uint16{0, 0, 0, 0}, Customers: 1},
			{At: []uint16{1, 1, 1, 1}, Customers: 1},
			{At: []uint16{1, 3, 1, 4}, Customers: 1},
			{At: []uint16{2, 2, 0, 3}, Customers: 1},
		},
	}
	if diff := cmp.Diff(want, j); diff != "" {
		t.Errorf("roots: -want +got:\n%s", diff)
	}
	j = collected(engine.LevelLeaves, false, places...)
	if want := []uint16{0, 1, 0, 1}; !slices.Equal(j.Ways[0].At, want) || len(j.States) != 6 {
		t.Errorf("leaves: %+v, want the first way %v", j, want)
	}
}

// TestOtherModels scores snapshots of other models again, and begins after those that cannot be.
func TestOtherModels(t *testing.T) {
	t.Parallel()
	other := func(customer int64, week int, features []float32) Place {
		return Place{CustomerID: customer, Date: weekly[week], ModelVersion: 1, FirstAt: 600, Purchases: 1, Dominant: 2, Features: features}
	}
	scored := collected(engine.LevelLeaves, true, other(1, 0, []float32{-1, 0, 0, 0}), other(1, 1, []float32{1, 0, 0, 0}), at(1, 2, 2), at(1, 3, 2))
	if want := []uint16{0, 1, 2, 2}; len(scored.Ways) != 1 || !slices.Equal(scored.Ways[0].At, want) {
		t.Errorf("scored again: %+v, want %v", scored.Ways, want)
	}
	balanced(t, scored, scored.Sankey(true, 0.005), 3)
	begun := collected(engine.LevelLeaves, true, other(1, 0, nil), at(1, 1, 0), at(1, 2, 1), at(1, 3, 1), at(2, 0, 2), at(2, 1, 2), at(2, 2, 2), at(2, 3, 2))
	if !slices.Equal(begun.Dates, weekly[1:]) || len(begun.Flows) != 2 || begun.Customers != 2 {
		t.Errorf("begins on %v with %d customers and %d flows", begun.Dates, begun.Customers, len(begun.Flows))
	}
	lapsed := other(1, 0, nil)
	lapsed.Silent = horizon // needs no model
	if j := collected(engine.LevelLeaves, false, lapsed, at(1, 1, 0), at(1, 2, 0), at(1, 3, 0)); len(j.Dates) != 4 {
		t.Errorf("one who lapsed is not followed: %v", j.Dates)
	}
}

// TestStages by hand: one who comes in the range, changes, has no place, lapses and returns.
func TestStages(t *testing.T) {
	t.Parallel()
	gone := at(1, 3, 0)
	gone.Silent = horizon
	unknown := Place{CustomerID: 1, Date: weekly[1], ModelVersion: 1, FirstAt: 600}
	places := []Place{at(1, 0, 0), unknown, at(1, 1, 1), at(1, 2, -1), gone}
	got := Stages(testModel(), 0, engine.LevelLeaves, horizon, 600, places)
	want := []Stage{
		{State{New, -1}, 600, 700, true, 0},
		{State{Segment, 1}, 700, 707, true, 1},
		{State{Segment, 2}, 707, 714, true, 1},
		{State{Absent, -1}, 714, 721, true, 1},
		{State{Lapsed, -1}, 721, 721, false, 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leaves: -want +got:\n%s", diff)
	}
	got = Stages(testModel(), 0, engine.LevelRoots, horizon, 601, places)
	if len(got) != 3 || got[0] != (Stage{State{Segment, 0}, 700, 714, true, 2}) {
		t.Errorf("roots, of a customer from before: %+v", got)
	}
	if none := Stages(testModel(), 0, engine.LevelRoots, horizon, 0, []Place{unknown}); len(none) != 0 {
		t.Errorf("of a snapshot that cannot be scored: %+v", none)
	}
}

// TestStagesAreTheCollectorsWay holds one customer's stages to the way on which a store's journey has the customer.
func TestStagesAreTheCollectorsWay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var places []Place
		for week := range weekly {
			p := at(1, week, int16(rapid.IntRange(-1, 2).Draw(t, "leaf")))
			p.Silent = rapid.SampledFrom([]int{0, 90}).Draw(t, "silent")
			places = append(places, p)
		}
		level := rapid.SampledFrom([]engine.Level{engine.LevelRoots, engine.LevelLeaves}).Draw(t, "level")
		j := collected(level, false, places...)
		var way, stays []State
		for _, state := range j.Ways[0].At {
			way = append(way, j.States[state])
		}
		for _, s := range Stages(testModel(), 0, level, horizon, 601, places) {
			for range s.Snapshots {
				stays = append(stays, s.State)
			}
		}
		if !slices.Equal(stays, way) {
			t.Fatalf("stages %v, the way %v", stays, way)
		}
	})
}

// TestBrokenSeries follows the latest dates that hold at least half of the customers.
func TestBrokenSeries(t *testing.T) {
	t.Parallel()
	places := []Place{at(1, 1, 0), at(1, 2, 0), at(1, 3, 0), at(2, 1, 0), at(2, 2, 0), at(3, 1, 0), at(3, 2, 0)}
	if j := collected(engine.LevelLeaves, false, places...); !slices.Equal(j.Dates, weekly[1:3]) {
		t.Errorf("followed on %v", j.Dates)
	}
	gap := []Place{at(1, 0, 0), at(1, 2, 0), at(1, 3, 0)}
	if j := collected(engine.LevelLeaves, false, gap...); !slices.Equal(j.Dates, weekly[2:]) {
		t.Errorf("with a gap followed on %v", j.Dates)
	}
	if j := collected(engine.LevelLeaves, true); len(j.Dates) != 0 || j.Customers != 0 {
		t.Errorf("without snapshots: %+v", j)
	}
}

// TestSoftIsHardForPureMemberships: flows of customers who are wholly in one segment are counts of customers; of others they keep
// as much, and the diagram of both balances.
func TestSoftFlows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pure := rapid.Bool().Draw(t, "pure")
		level := rapid.SampledFrom([]engine.Level{engine.LevelRoots, engine.LevelLeaves}).Draw(t, "level")
		var places []Place
		for customer := range rapid.IntRange(1, 8).Draw(t, "customers") {
			for week := rapid.IntRange(0, 3).Draw(t, "first"); week < len(weekly); week++ {
				p := at(int64(customer), week, int16(rapid.IntRange(0, 2).Draw(t, "leaf")))
				p.FirstAt, p.Silent = weekly[week]-1, rapid.SampledFrom([]int{0, 90}).Draw(t, "silent")
				if week > 0 && len(places) > 0 && places[len(places)-1].CustomerID == p.CustomerID {
					p.FirstAt = places[len(places)-1].FirstAt
				}
				if !pure {
					for i, u := range simplex(t, 3, fmt.Sprint(customer, week)) {
						p.Membership[i] = int16(math.Round(u * engine.MembershipUnit))
					}
				}
				places = append(places, p)
			}
		}
		j := collected(level, true, places...)
		one, _ := j.Counts()
		soft := j.Soft()
		all := 0.0
		for i := range one {
			all += total(one[i])
		}
		if len(j.Dates) < 2 {
			return
		}
		if pure && !near(soft, one, 1e-9) {
			t.Fatalf("soft %v, hard %v", soft, one)
		}
		balanced(t, j, j.Sankey(true, 0.005), all)
	})
}

func TestPopulation(t *testing.T) {
	t.Parallel()
	p := NewPopulation(testModel(), weekly)
	add := func(week, version int, features []float32, units ...int16) {
		p.Add(&engine.Snapshot{Date: weekly[week], ModelVersion: version, Purchases: 1, Features: features, Thumbprint: engine.Thumbprint{Membership: units}})
	}
	features := make([]float32, engine.FeatureCount)
	features[0] = 5 // the centre of the last leaf
	add(0, 2, nil, 4000, 1000, 5000)
	add(0, 2, nil, 0, 0, 10_000)
	add(0, 2, nil, -1, -1, -1) // not eligible
	add(1, 1, nil)             // cannot be scored again
	add(2, 1, features)
	add(2, 2, nil, 0, 5000, 5000)
	add(3, 2, nil, 10_000, 0, 0)
	m := p.Means()
	if want := []engine.Date{700, 714, 721}; !slices.Equal(m.Dates, want) || !slices.Equal(m.Customers, []int{3, 2, 1}) {
		t.Errorf("dates %v, customers %v", m.Dates, m.Customers)
	}
	if want := [][]float64{{0.25, 0.75}, {0.25, 0.75}, {1, 0}}; !near(m.Axes[0], want, tolerance) {
		t.Errorf("mean memberships %v, want %v", m.Axes[0], want)
	}
	step, since := m.Stability(0)
	moved := PSI([]float64{0.25, 0.75}, []float64{1, 0})
	if want := [][]float64{{math.NaN(), 0, moved}, {math.NaN(), 0, moved}}; !near([][]float64{step, since}, want, tolerance) {
		t.Errorf("indices %v and %v, want %v", step, since, want)
	}
	if step, _ := m.Stability(1); !math.IsNaN(step[2]) {
		t.Errorf("an axis that is off has %v", step)
	}
}
