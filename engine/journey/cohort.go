package journey

import (
	"math"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// Interval is how wide a cohort and a period are.
type Interval string

// The intervals, all by the calendar.
const (
	Week    Interval = "WEEK"
	Month   Interval = "MONTH"
	Quarter Interval = "QUARTER"
)

// Start gives the first day of the interval that a day falls into; a week begins on the given day.
func (i Interval) Start(d engine.Date, weekStart time.Weekday) engine.Date {
	switch i {
	case Week:
		return d - engine.Date((int(d.Weekday())-int(weekStart)+7)%7)
	case Quarter:
		_, month, _ := d.Calendar()
		return d.Month().AddMonths(-(int(month) - 1) % 3)
	default:
		return d.Month()
	}
}

// Add gives the first day of the n-th interval after the one that begins on start.
func (i Interval) Add(start engine.Date, n int) engine.Date {
	switch i {
	case Week:
		return start + engine.Date(7*n)
	case Quarter:
		return start.AddMonths(3 * n)
	default:
		return start.AddMonths(n)
	}
}

// Between gives how many intervals after the one that begins on from the one that begins on to is.
func (i Interval) Between(from, to engine.Date) int {
	if i == Week {
		return int(to-from) / 7
	}
	y0, m0, _ := from.Calendar()
	y1, m1, _ := to.Calendar()
	months := 12*(y1-y0) + int(m1) - int(m0)
	if i == Quarter {
		return months / 3
	}
	return months
}

// CohortCell is what a cohort did in a period.
type CohortCell struct {
	Cohort, Period engine.Date // first days
	Sum            float64
	Count          float64 // what Sum is divided by
}

// Heatmap is a metric by cohort and by age.
type Heatmap struct {
	Cohorts []engine.Date
	Sizes   []int
	// Values has a row for each cohort: its element j is the metric j periods after the cohort's own; NaN for a period that is not
	// over, or of which nothing is known.
	Values [][]float64
}

// NewHeatmap puts cells in their places. Cohorts without customers are rows too, between the first and the last. missing is the value
// of a period of which there is no cell: 0 where nothing means that nothing was bought, NaN where it is not known.
func NewHeatmap(interval Interval, sizes map[engine.Date]int, cells []CohortCell, periods int, now engine.Date, missing float64) *Heatmap {
	h := &Heatmap{}
	if len(sizes) == 0 {
		return h
	}
	first, last := engine.Date(math.MaxInt32), engine.Date(math.MinInt32)
	for cohort := range sizes {
		first, last = min(first, cohort), max(last, cohort)
	}
	for cohort := first; cohort <= last; cohort = interval.Add(cohort, 1) {
		row := make([]float64, periods)
		for j := range row {
			row[j] = missing
			if interval.Add(cohort, j+1) > now || sizes[cohort] == 0 {
				row[j] = math.NaN()
			}
		}
		h.Cohorts, h.Sizes, h.Values = append(h.Cohorts, cohort), append(h.Sizes, sizes[cohort]), append(h.Values, row)
	}
	for _, c := range cells {
		i, j := interval.Between(first, c.Cohort), interval.Between(c.Cohort, c.Period)
		if c.Cohort < first || i >= len(h.Values) || c.Period < c.Cohort || j >= periods || c.Count == 0 || interval.Add(c.Period, 1) > now {
			continue
		}
		h.Values[i][j] = c.Sum / c.Count
	}
	return h
}
