package journey

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

const tolerance = 1e-12

// near tells whether two matrices are equal but for rounding; NaN equals NaN.
func near(a, b [][]float64, tolerance float64) bool {
	return slices.EqualFunc(a, b, func(r, s []float64) bool {
		return slices.EqualFunc(r, s, func(x, y float64) bool {
			return math.Abs(x-y) <= tolerance || math.IsNaN(x) && math.IsNaN(y)
		})
	})
}

// byHand has segments A and B and all other states, over four dates a week apart.
func byHand() *Journey {
	const a, b, fresh, lapsed = 0, 1, 2, 3
	j := &Journey{
		States: []State{{Segment, 0}, {Segment, 1}, {New, -1}, {Lapsed, -1}},
		Dates:  []engine.Date{0, 7, 14, 21},
		Ways: []Way{
			{At: []uint16{a, a, a, b}, Customers: 4},
			{At: []uint16{a, b, b, b}, Customers: 3},
			{At: []uint16{fresh, fresh, a, a}, Customers: 2},
			{At: []uint16{b, b, lapsed, lapsed}, Customers: 1},
			{At: []uint16{b, lapsed, lapsed, b}, Customers: 1},
		},
	}
	for _, w := range j.Ways {
		j.Customers += w.Customers
	}
	return j
}

// drawn draws a journey of several segments with all other states.
func drawn(t *rapid.T) *Journey {
	segments, dates := rapid.IntRange(1, 4).Draw(t, "segments"), rapid.IntRange(2, 6).Draw(t, "dates")
	j := &Journey{}
	for i := range segments {
		j.States = append(j.States, State{Segment, i})
	}
	j.States = append(j.States, State{New, -1}, State{Absent, -1}, State{Lapsed, -1})
	for d := range dates {
		j.Dates = append(j.Dates, engine.Date(7*d))
	}
	for range rapid.IntRange(1, 12).Draw(t, "ways") {
		w := Way{At: make([]uint16, dates), Customers: rapid.IntRange(1, 60).Draw(t, "customers")}
		entry := rapid.IntRange(0, dates-1).Draw(t, "entry")
		for d := range w.At {
			if d < entry {
				w.At[d] = uint16(segments)
				continue
			}
			state := rapid.IntRange(0, segments+1).Draw(t, "state")
			if state >= segments {
				state++ // not NEW
			}
			w.At[d] = uint16(state)
		}
		j.Ways = append(j.Ways, w)
		j.Customers += w.Customers
	}
	return j
}

func TestCountsByHand(t *testing.T) {
	t.Parallel()
	j := byHand()
	one, two := j.Counts()
	if want := (Matrix{{10, 7, 0, 0}, {0, 7, 0, 2}, {2, 0, 0, 0}, {0, 1, 0, 2}}); !near(one, want, 0) {
		t.Errorf("one step: %v, want %v", one, want)
	}
	// Of two steps: A A A B gives AA, AB; A B B B gives AB, BB; NEW NEW A A gives NEW A; B B L L gives BL twice; B L L B gives BL, LB.
	if want := (Matrix{{4, 7, 0, 0}, {0, 3, 0, 3}, {2, 0, 0, 0}, {0, 1, 0, 0}}); !near(two, want, 0) {
		t.Errorf("two steps: %v, want %v", two, want)
	}
	p := j.Probabilities(one)
	if want := []float64{10.5 / 18.5, 7.5 / 18.5, 0, 0.5 / 18.5}; !near(p[:1], [][]float64{want}, tolerance) {
		t.Errorf("probabilities out of A: %v, want %v", p[0], want)
	}
	if got, want := j.Stays(one), []float64{17.0 / 7, 9.0 / 2, math.NaN(), 3}; !near([][]float64{got}, [][]float64{want}, tolerance) {
		t.Errorf("stays: %v, want %v", got, want)
	}
}

func TestCountsLoseNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j := drawn(t)
		one, _ := j.Counts()
		fresh := j.index(New)
		steps := 0.0
		for _, w := range j.Ways {
			for d := 0; d+1 < len(w.At); d++ {
				if int(w.At[d+1]) != fresh {
					steps += float64(w.Customers)
				}
			}
		}
		all := 0.0
		p := j.Probabilities(one)
		for i := range one {
			all += total(one[i])
			if one[i][fresh] != 0 || p[i][fresh] != 0 || math.Abs(total(p[i])-1) > tolerance {
				t.Fatalf("row %d: counts %v, probabilities %v", i, one[i], p[i])
			}
		}
		if all != steps {
			t.Fatalf("%v steps counted of %v", all, steps)
		}
	})
}

// TestStandardErrors compares the bootstrap with what it tends to: the errors of a ratio by its linear part, over customers,
//
//	se(r)^2 = sum_c (n_c,ij - r n_c,i)^2 / n_i^2  (Cochran 1977, Sampling Techniques, 6.3, without the correction for a finite population).
func TestStandardErrors(t *testing.T) {
	t.Parallel()
	j := byHand()
	for i := range j.Ways {
		j.Ways[i].Customers *= 200 // the prior does not count then
	}
	one, _ := j.Counts()
	got := j.StandardErrors(1)
	for i := range one {
		n := total(one[i])
		for k := range one {
			r, squares := one[i][k]/n, 0.0
			for _, w := range j.Ways {
				own := newMatrix(len(one))
				addSteps(own, w.At, 2, 1, 1)
				e := own[i][k] - r*total(own[i])
				squares += float64(w.Customers) * e * e
			}
			want := math.Sqrt(squares) / n
			if math.Abs(got[i][k]-want) > 0.2*want+1e-3 { // 200 samples tell it to 5 %
				t.Errorf("standard error of %d to %d is %.5f, want about %.5f", i, k, got[i][k], want)
			}
		}
	}
	if !near(got, j.StandardErrors(1), 0) {
		t.Error("the same seed gives other errors")
	}
	if near(got, j.StandardErrors(2), 0) {
		t.Error("another seed gives the same errors")
	}
}

func TestCoupleByHand(t *testing.T) {
	t.Parallel()
	// The worked vectors of drift: 0.35 leaves the first segment, 0.15 of it to the second, 0.20 to the third.
	f := newMatrix(3)
	Couple(f, []float64{0.80, 0.05, 0.15}, []float64{0.45, 0.20, 0.35})
	if want := (Matrix{{0.45, 0.15, 0.20}, {0, 0.05, 0}, {0, 0, 0.15}}); !near(f, want, tolerance) {
		t.Errorf("got %v, want %v", f, want)
	}
	f = newMatrix(3)
	Couple(f, []float64{0.5, 0.3, 0.2}, []float64{0.5, 0.3, 0.2})
	if want := (Matrix{{0.5, 0, 0}, {0, 0.3, 0}, {0, 0, 0.2}}); !near(f, want, 0) {
		t.Errorf("who does not move flows as %v", f)
	}
}

// simplex draws memberships in units of 1/10000, as snapshots have them.
func simplex(t *rapid.T, n int, label string) []float64 {
	cuts := rapid.SliceOfN(rapid.IntRange(0, 10_000), n-1, n-1).Draw(t, label)
	slices.Sort(cuts)
	u, before := make([]float64, n), 0
	for i, c := range append(cuts, 10_000) {
		u[i] = float64(c-before) / 10_000
		before = c
	}
	return u
}

func TestCoupleKeepsMass(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "segments")
		before, after := simplex(t, n, "before"), simplex(t, n, "after")
		f := newMatrix(n)
		Couple(f, before, after)
		moved, columns := 0.0, make([]float64, n)
		for i := range f {
			if math.Abs(total(f[i])-before[i]) > tolerance {
				t.Fatalf("row %d sums to %v, not %v", i, total(f[i]), before[i])
			}
			if f[i][i] != min(before[i], after[i]) {
				t.Fatalf("segment %d keeps %v of %v and %v", i, f[i][i], before[i], after[i])
			}
			for k, x := range f[i] {
				if x < 0 {
					t.Fatalf("a flow of %v", x)
				}
				columns[k] += x
				if i != k {
					moved += x
				}
			}
		}
		variation := 0.0
		for k := range after {
			if math.Abs(columns[k]-after[k]) > tolerance {
				t.Fatalf("column %d sums to %v, not %v", k, columns[k], after[k])
			}
			variation += math.Abs(before[k]-after[k]) / 2
		}
		if math.Abs(moved-variation) > tolerance { // no coupling moves less
			t.Fatalf("%v moved, the total variation is %v", moved, variation)
		}
	})
}

func TestPathsByHand(t *testing.T) {
	t.Parallel()
	j := byHand()
	paths, all := j.Paths(PathQuery{MinStages: 1, MaxStages: 6, Limit: 10})
	want := []Path{
		{Stages: []int{0, 1}, MeanDays: []float64{(4*21 + 3*7) / 7.0, (4*7 + 3*21) / 7.0}, Customers: 7},
		{Stages: []int{2, 0}, MeanDays: []float64{14, 14}, Customers: 2},
		{Stages: []int{1, 3}, MeanDays: []float64{14, 14}, Customers: 1},
		{Stages: []int{1, 3, 1}, MeanDays: []float64{7, 14, 7}, Customers: 1},
	}
	if all != 4 || !slices.EqualFunc(paths, want, func(a, b Path) bool {
		return slices.Equal(a.Stages, b.Stages) && slices.Equal(a.MeanDays, b.MeanDays) && a.Customers == b.Customers && a.Cut == b.Cut
	}) {
		t.Errorf("%d paths: %+v, want %+v", all, paths, want)
	}
	if paths, all := j.Paths(PathQuery{MinStages: 1, MaxStages: 2, Limit: 1}); all != 3 || len(paths) != 1 {
		t.Errorf("cut after 2 stages: %d paths, %d given", all, len(paths))
	}
	if paths, all := j.Paths(PathQuery{MinStages: 3, MaxStages: 6, Limit: 10}); all != 1 || paths[0].Customers != 1 {
		t.Errorf("of 3 stages or more: %+v", paths)
	}
	paths, _ = j.Paths(PathQuery{MinStages: 1, MaxStages: 2, Limit: 10})
	if i := slices.IndexFunc(paths, func(p Path) bool { return slices.Equal(p.Stages, []int{1, 3}) }); i < 0 || paths[i].Customers != 2 || !paths[i].Cut {
		t.Errorf("B, LAPSED and beyond: %+v", paths)
	}
}

// TestPathsBetween keeps the ways that begin or end in a state, and takes the mean of the churn risks that are known.
func TestPathsBetween(t *testing.T) {
	t.Parallel()
	const a, b, lapsed = 0, 1, 3
	j := byHand()
	j.Ways[0].Rated, j.Ways[0].Risk = 4, 1
	j.Ways[1].Rated, j.Ways[1].Risk = 1, 0.75
	stages := func(q PathQuery) (list [][]int, risks []float64) {
		q.MinStages, q.MaxStages, q.Limit = 1, 6, 10
		paths, all := j.Paths(q)
		for _, p := range paths {
			list, risks = append(list, p.Stages), append(risks, p.MeanRisk)
		}
		if all != len(paths) {
			t.Errorf("%d paths are counted, %d given", all, len(paths))
		}
		return list, risks
	}
	begun, risks := stages(PathQuery{Starts: []int{a}})
	if !reflect.DeepEqual(begun, [][]int{{a, b}}) || math.Abs(risks[0]-1.75/5) > tolerance {
		t.Errorf("from A: %v with the risks %v", begun, risks)
	}
	ended, risks := stages(PathQuery{Ends: []int{lapsed}})
	if !reflect.DeepEqual(ended, [][]int{{b, lapsed}}) || !math.IsNaN(risks[0]) {
		t.Errorf("to LAPSED: %v with the risks %v", ended, risks)
	}
	if both, _ := stages(PathQuery{Starts: []int{b}, Ends: []int{b}}); !reflect.DeepEqual(both, [][]int{{b, lapsed, b}}) {
		t.Errorf("from B to B: %v", both)
	}
	if none, _ := stages(PathQuery{Starts: []int{}}); none != nil {
		t.Errorf("from nowhere: %v", none)
	}
}

func TestPSI(t *testing.T) {
	t.Parallel()
	// By hand: 0.1 ln(0.6/0.5) + 0.1 ln(0.5/0.4).
	if got, want := PSI([]float64{0.6, 0.4}, []float64{0.5, 0.5}), 0.1*math.Log(1.2)+0.1*math.Log(1.25); math.Abs(got-want) > tolerance {
		t.Errorf("got %v, want %v", got, want)
	}
	// An empty segment counts as 1e-4.
	if got, want := PSI([]float64{1, 0}, []float64{0.9, 0.1}), 0.1*math.Log(1/0.9)+0.0999*math.Log(1000); math.Abs(got-want) > tolerance {
		t.Errorf("got %v, want %v", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "segments")
		p, q := simplex(t, n, "p"), simplex(t, n, "q")
		if x := PSI(p, q); x < 0 || math.Abs(x-PSI(q, p)) > tolerance || PSI(p, p) != 0 {
			t.Fatalf("the index of %v and %v is %v", p, q, x)
		}
	})
}
