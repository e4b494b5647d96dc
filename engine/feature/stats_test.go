package feature

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

// tester is a test of the standard library or of rapid.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
}

func near(tb tester, what string, got, want, tolerance float64) {
	tb.Helper()
	if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > tolerance {
		tb.Errorf("%s is %.9g, want %.9g", what, got, want)
	}
}

// TestClumpiness has the worked values of Zhang, Bradlow and Small, "Predicting customer value using clumpiness",
// Marketing Science 34(2), 2015: six purchases in 30 days.
func TestClumpiness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		events []int
		want   float64
	}{
		{[]int{1, 6, 11, 16, 21, 26}, 0.036},
		{[]int{2, 3, 4, 27, 28, 29}, 0.477},
		{[]int{13, 14, 15, 16, 17, 18}, 0.341},
	} {
		sum, before := 0.0, 0
		for _, e := range append(slices.Clone(c.events), 31) {
			sum += xlnx(float64(e - before))
			before = e
		}
		near(t, fmt.Sprint("clumpiness of ", c.events), clumpiness(sum, 30, len(c.events)), c.want, 5e-4)
		near(t, fmt.Sprint("naive clumpiness of ", c.events), naiveClumpiness(c.events, 30), c.want, 5e-4)
	}
	// The first of them is a customer's: bought on day 1, seen 30 days later.
	f := featuresOf(t, onDays(1, 6, 11, 16, 21, 26), 31)
	near(t, "clumpiness of the customer", float64(f[atClumpiness]), 0.036, 5e-4)
}

// onDays makes a line on each of these days of January 2024.
func onDays(days ...int) []engine.Line {
	var lines []engine.Line
	for i, day := range days {
		lines = append(lines, engine.Line{
			OrderKey: fmt.Sprint(i), Number: 1, OrderedAt: time.Date(2024, time.January, day, 12, 0, 0, 0, time.UTC),
			SKU: "a", Category: "x", Quantity: 1, NetCents: 1000,
		})
	}
	return lines
}

// featuresOf computes the features at the start of a day of January 2024.
func featuresOf(tb testing.TB, lines []engine.Line, day int) []float32 {
	tb.Helper()
	var values []float32
	at := []engine.Instant{{At: time.Date(2024, time.January, day, 0, 0, 0, 0, time.UTC)}}
	NewBuilder(time.UTC, engine.AllColumns).Build(lines, at, func(_ int, f *engine.Features) { values = slices.Clone(f.Values) })
	if values == nil {
		tb.Fatal("no features")
	}
	return values
}

// spending makes one order of lines with these amounts, each of its own category and article.
func spending(cents ...int64) []engine.Line {
	var lines []engine.Line
	for i, c := range cents {
		l := onDays(1)[0]
		l.Number, l.NetCents, l.Category, l.SKU = int32(i+1), c, fmt.Sprint("category ", i), fmt.Sprint("article ", i)
		lines = append(lines, l)
	}
	return lines
}

func TestEntropyAndConcentration(t *testing.T) {
	t.Parallel()
	// Shannon, "A mathematical theory of communication" (1948), section 9: probabilities 1/2, 1/4, 1/8, 1/8 have an entropy of
	// 7/4 bits.
	f := featuresOf(t, spending(400, 200, 100, 100), 2)
	near(t, "entropy", float64(f[atCategoryEntropy]), 7.0/4*math.Ln2, 1e-6)
	// The example of the Herfindahl-Hirschman index in the explanation of the U.S. Department of Justice: shares of 30, 30, 20
	// and 20 per cent have an index of 2,600 points of 10,000.
	f = featuresOf(t, spending(3000, 3000, 2000, 2000), 2)
	near(t, "concentration", float64(f[atSKUConcentration]), 0.26, 1e-6)
	near(t, "share of the top category", float64(f[atTopCategoryShare]), 0.3, 1e-6)
	f = featuresOf(t, spending(700), 2)
	if f[atCategoryEntropy] != 0 || f[atSKUConcentration] != 1 || f[atTopCategoryShare] != 1 {
		t.Errorf("one category: entropy %g, concentration %g, share %g; want exactly 0, 1, 1",
			f[atCategoryEntropy], f[atSKUConcentration], f[atTopCategoryShare])
	}
	if f = featuresOf(t, spending(0, 0), 2); !math.IsNaN(float64(f[atCategoryEntropy])) || !math.IsNaN(float64(f[atSKUConcentration])) {
		t.Error("gifts alone have no shares of spend")
	}
}

func TestTrend(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		points []float64
		want   float64
	}{
		// Helsel and Hirsch, Statistical Methods in Water Resources (2002), section 10.1: 21 pairs, their median is 1, whatever the
		// outlier.
		{[]float64{1, 2, 3, 4, 5, 16, 7}, 1},
		// By hand: slopes 2, 1/2, 3, -1, 7/2, 8.
		{[]float64{1, 3, 2, 10}, 2.5},
		{[]float64{5}, math.NaN()},
		{nil, math.NaN()},
	} {
		var line trend
		for _, y := range c.points {
			line.add(y)
		}
		near(t, fmt.Sprint("slope of ", c.points), line.slope(), c.want, 1e-6)
	}
}

// TestLongTrend asks for the slope after every few points, which keeps the slopes around the median apart, and holds it
// against sorting them all.
func TestLongTrend(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var line trend
		drift := rapid.Float64Range(-0.3, 0.3).Draw(t, "drift")
		for i, noise := range rapid.SliceOfN(rapid.Float64Range(-3, 3), 20, 90).Draw(t, "noise") {
			turn := 1.0
			if i > 50 {
				turn = -2 // the median must wander
			}
			line.add(math.Round(4*(drift*turn*float64(i)+noise)) / 4) // with ties
			if rapid.IntRange(0, 2).Draw(t, "ask") > 0 {
				var slopes []float64
				for b := range line.points {
					for a := range b {
						slopes = append(slopes, (line.points[b]-line.points[a])/float64(b-a))
					}
				}
				slices.Sort(slopes)
				if n := len(slopes); n > 0 {
					near(t, fmt.Sprint("slope of ", n), line.slope(), (slopes[(n-1)/2]+slopes[n/2])/2, 1e-6)
				}
			}
		}
	})
}

func TestTables(t *testing.T) {
	t.Parallel()
	for _, x := range []float64{0, 1e-13, 1e-9, 0.001, 0.0009765625, 0.5, 1, 2.718, 14.9, 14.999, 15, 1e6} {
		near(t, fmt.Sprint("ln of 1 and ", x), lnOnePlus(x), math.Log1p(x), 3e-13)
	}
	for _, n := range []int{1, 2, tabulated - 1, tabulated, 10 * tabulated} {
		near(t, fmt.Sprint("ln of ", n), lnCount(n), math.Log(float64(n)), 0)
		near(t, fmt.Sprint("fading of ", n), fade(n), math.Exp(-float64(n)/90), 1e-15)
	}
}

// TestRarefaction has numbers worked by hand from the formula of Hurlbert (1971).
func TestRarefaction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []int
		want  float64
	}{
		{[]int{6, 3, 1}, 1 + (1 - 21.0/252) + (1 - 126.0/252)}, // C(4,5) = 0, C(7,5) = 21, C(9,5) = 126, C(10,5) = 252
		{[]int{5, 1}, 1 + 5.0/6},
		{[]int{4, 2}, 2},
		{[]int{5}, 1},
		{[]int{1, 1, 1, 1, 1}, 5},
	} {
		all, got := 0, 0.0
		for _, n := range c.lines {
			all += n
		}
		for _, n := range c.lines {
			got += rarefied(n, all)
		}
		near(t, fmt.Sprint("categories expected of ", c.lines), got, c.want, 1e-12)
	}
}
