package journey

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

func day(y int, m time.Month, d int) engine.Date { return engine.NewDate(y, m, d) }

func TestIntervals(t *testing.T) {
	t.Parallel()
	// 2024-02-29 is a Thursday.
	leap := day(2024, time.February, 29)
	for _, c := range []struct {
		interval  Interval
		weekStart time.Weekday
		want      engine.Date
	}{
		{Week, time.Monday, day(2024, time.February, 26)},
		{Week, time.Sunday, day(2024, time.February, 25)},
		{Week, time.Thursday, leap},
		{Week, time.Friday, day(2024, time.February, 23)},
		{Month, time.Sunday, day(2024, time.February, 1)},
		{Quarter, time.Sunday, day(2024, time.January, 1)},
	} {
		if got := c.interval.Start(leap, c.weekStart); got != c.want {
			t.Errorf("the %s from %s on begins on %s, want %s", c.interval, c.weekStart, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		interval := rapid.SampledFrom([]Interval{Week, Month, Quarter}).Draw(t, "interval")
		weekStart := time.Weekday(rapid.IntRange(0, 6).Draw(t, "week start"))
		d := engine.Date(rapid.IntRange(-40_000, 40_000).Draw(t, "day"))
		n := rapid.IntRange(0, 200).Draw(t, "n")
		start := interval.Start(d, weekStart)
		if start > d || interval.Add(start, 1) <= d || interval.Start(start, weekStart) != start {
			t.Fatalf("%s is in the %s from %s to %s", d, interval, start, interval.Add(start, 1))
		}
		if later := interval.Add(start, n); interval.Between(start, later) != n || interval.Start(later, weekStart) != later {
			t.Fatalf("%d after %s is %s, %d after", n, start, later, interval.Between(start, later))
		}
	})
}

func TestHeatmap(t *testing.T) {
	t.Parallel()
	january, february, march, april := day(2026, time.January, 1), day(2026, time.February, 1), day(2026, time.March, 1), day(2026, time.April, 1)
	cells := []CohortCell{
		{january, january, 10, 10},
		{january, march, 4, 10},
		{january, april, 9, 10},
		{march, march, 3, 6},
		{march, february, 1, 6}, // returned before buying
		{april, april, 1, 2},
	}
	sizes := map[engine.Date]int{january: 10, march: 6, april: 2}
	nan := math.NaN()
	h := NewHeatmap(Month, sizes, cells, 3, day(2026, time.April, 20), 0) // April is not over
	if !slices.Equal(h.Cohorts, []engine.Date{january, february, march, april}) || !slices.Equal(h.Sizes, []int{10, 0, 6, 2}) {
		t.Errorf("cohorts %v of %v", h.Cohorts, h.Sizes)
	}
	if want := [][]float64{{1, 0, 0.4}, {nan, nan, nan}, {0.5, nan, nan}, {nan, nan, nan}}; !near(h.Values, want, 0) {
		t.Errorf("values %v, want %v", h.Values, want)
	}
	h = NewHeatmap(Month, sizes, cells, 2, day(2026, time.May, 1), nan)
	if want := [][]float64{{1, nan}, {nan, nan}, {0.5, nan}, {0.5, nan}}; !near(h.Values, want, 0) {
		t.Errorf("values %v, want %v", h.Values, want)
	}
	if h := NewHeatmap(Week, nil, nil, 12, 0, 0); len(h.Cohorts) != 0 {
		t.Errorf("without customers: %+v", h)
	}
}
