package feature

import (
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine/scale"
)

var undefined = math.NaN()

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

// slopeMargin is the number of ranks kept apart beside those by which one more point can move the median.
const slopeMargin = 16

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
	margin := len(t.points) + slopeMargin
	if n < 8*margin {
		return scale.Median(t.slopes)
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
		scale.Nth(t.slopes, t.below)
		scale.Nth(t.slopes[t.below:], 2*margin)
		t.near = append(t.near[:0], t.slopes[t.below:t.below+2*margin+1]...)
	}
	upper := scale.Nth(t.near, n/2-t.below)
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
