package engine

import (
	"cmp"
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine/scale"
)

var undefined = math.NaN()

// middle gives the median of x, and NaN of none. It reorders x, which is how medians come without sorting: what an
// earlier call has put in order makes the next one cheap.
func middle[T int32 | int64 | float32 | float64](x []T) float64 {
	n := len(x)
	if n == 0 {
		return undefined
	}
	upper := nth(x, n/2)
	if n%2 == 1 {
		return float64(upper)
	}
	lower := x[0]
	for _, v := range x[1 : n/2] {
		lower = max(lower, v)
	}
	return (float64(lower) + float64(upper)) / 2
}

// Below this length sorting by insertion is the fastest way to the n-th value.
const insertionLength = 16

// nth puts the n-th smallest value (from 0) in its place, smaller ones before it, and returns it: Hoare's selection
// (1961) with the median of three as pivot, and a full sort where the pivots turn out badly. Without NaN in x.
func nth[T cmp.Ordered](x []T, n int) T {
	low, high := 0, len(x)-1
	for rounds := 0; high-low >= insertionLength; rounds++ {
		if rounds > 64 {
			slices.Sort(x[low : high+1])
			return x[n]
		}
		a, b, c := x[low], x[(low+high)/2], x[high]
		pivot := max(min(a, b), min(max(a, b), c))
		i, j := low, high
		for i <= j {
			for x[i] < pivot {
				i++
			}
			for pivot < x[j] {
				j--
			}
			if i <= j {
				x[i], x[j] = x[j], x[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			high = j
		case n >= i:
			low = i
		default:
			return x[n]
		}
	}
	for i := low + 1; i <= high; i++ {
		v := x[i]
		j := i
		for ; j > low && v < x[j-1]; j-- {
			x[j] = x[j-1]
		}
		x[j] = v
	}
	return x[n]
}

// quantile is [scale.Quantile] of values that are not sorted. It reorders x, which
// must not be empty.
func quantile(x []float64, p float64) float64 {
	low := int(p * float64(len(x)-1))
	nth(x, low)
	if low+1 < len(x) {
		nth(x[low+1:], 0)
	}
	return scale.Quantile(x, p)
}

// trend is the slope of Theil (1950) and Sen (1968) of a growing series over its index: the median of the slopes of all
// pairs of points, so that a single odd point does not turn it.
//
// The pairs grow with the square of the points, and a replay asks for the median again after each of them. So, once there
// are many, the slopes around the median are kept apart: a new point moves the median by no more ranks than it adds slopes.
type trend struct {
	points []float64
	slopes []float32 // of all pairs among points[:paired], as precise as features are stored
	paired int
	near   []float32 // copies of the slopes of rank below and up; empty: not kept apart
	below  int
}

// A customer's slopes that took more memory than this are not kept for the next one.
const keptSlopes = 1 << 20

func (t *trend) reset() {
	t.points, t.slopes, t.near, t.paired = t.points[:0], t.slopes[:0], t.near[:0], 0
	if cap(t.slopes) > keptSlopes {
		t.slopes = nil
	}
}

func (t *trend) add(y float64) { t.points = append(t.points, y) }

// slope is NaN for fewer than two points.
func (t *trend) slope() float64 {
	known := len(t.slopes)
	for ; t.paired < len(t.points); t.paired++ {
		y := t.points[t.paired]
		for i, x := range t.points[:t.paired] {
			t.slopes = append(t.slopes, float32((y-x)/float64(t.paired-i)))
		}
	}
	n := len(t.slopes)
	margin := len(t.points) + insertionLength
	if n < 8*margin {
		return middle(t.slopes)
	}
	if len(t.near) > 0 {
		low, high := slices.Min(t.near), slices.Max(t.near)
		for _, s := range t.slopes[known:] {
			switch {
			case s < low:
				t.below++
			case s <= high:
				t.near = append(t.near, s)
			}
		}
	}
	if len(t.near) == 0 || (n-1)/2 < t.below || n/2 >= t.below+len(t.near) {
		t.below = n/2 - margin
		nth(t.slopes, t.below)
		nth(t.slopes[t.below:], 2*margin)
		t.near = append(t.near[:0], t.slopes[t.below:t.below+2*margin+1]...)
	}
	upper := nth(t.near, n/2-t.below)
	if n%2 == 1 {
		return float64(upper)
	}
	return (float64(slices.Max(t.near[:n/2-t.below])) + float64(upper)) / 2
}

// clumpiness measures how much n purchases within days come in clumps: 0 if evenly spread, 1 if all at one moment (Zhang,
// Bradlow and Small, "Predicting customer value using clumpiness", Marketing Science 34(2), 2015, with entropy as the
// measure). With the intervals x = i/(days+1) before, between and after the purchases it is
// 1 + sum x ln x / ln(n+1), and sum x ln x = (sum i ln i)/(days+1) - ln(days+1) as the i sum to days+1; sum is sum i ln i.
func clumpiness(sum float64, days, n int) float64 {
	return 1 + (sum/float64(days+1)-lnCount(days+1))/lnCount(n+1)
}

// xlnx is x ln x, and 0 at 0.
func xlnx(x float64) float64 {
	if x <= 0 {
		return 0
	}
	return x * math.Log(x)
}

// rarefied adds to the expected number of categories in a draw of 5 of all lines what a category with so many lines gives: the
// probability 1 - C(all-lines, 5)/C(all, 5) that it is drawn (Hurlbert, "The nonconcept of species diversity", Ecology
// 52(4), 1971).
func rarefied(lines, all int) float64 {
	missed := 1.0
	for i := range rarefactionLines {
		missed *= float64(max(0, all-lines-i)) / float64(all-i)
	}
	return 1 - missed
}

const rarefactionLines = 5

// Most logarithms and exponentials here are of whole numbers of days or purchases. Replaying the past takes a dozen of them
// for every customer and week, which is most of its cost; tables of twenty years of days make it a third.
const tabulated = 8192

var (
	lnTable = tabulate(func(i int) float64 { return math.Log(float64(i)) })
	// fadeTable is exp(-days/90).
	fadeTable = tabulate(func(i int) float64 { return math.Exp(-float64(i) / fadingDays) })
)

func tabulate(f func(int) float64) *[tabulated]float64 {
	var table [tabulated]float64
	for i := range table {
		table[i] = f(i)
	}
	return &table
}

// lnCount is ln of a whole number, which must not be negative.
func lnCount(n int) float64 {
	if n < tabulated {
		return lnTable[n]
	}
	return math.Log(float64(n))
}

// lnOnePlus is ln(1 + x) for x of at least 0: the table at the nearest 1/512 and three terms of the series for the rest,
// which is at most a thousandth, so that the error is below 3e-13.
func lnOnePlus(x float64) float64 {
	const step = 512
	y := step * (1 + x)
	if y >= tabulated-1 {
		return math.Log1p(x)
	}
	i := int(y + 0.5)
	u := (y - float64(i)) / float64(i)
	return lnTable[i] - lnTable[step] + u*(1-u*(1.0/2-u*(1.0/3)))
}

// fade is exp(-days/90) for days of at least 0.
func fade(days int) float64 {
	if days < tabulated {
		return fadeTable[days]
	}
	return math.Exp(-float64(days) / fadingDays)
}
