package backtest

import (
	"cmp"
	"math"
	"slices"
)

// alarms holds one detector's alarms: at most one in a gap, the first snapshot whose score reaches the threshold.
type alarms struct {
	rows []int // of the observations, in order
	lost int   // so many of them were churn
}

// precision is the share of alarms that were churn; NaN without alarms.
func (a alarms) precision() float64 { return float64(a.lost) / float64(len(a.rows)) }

// alarm raises the alarms of a threshold among rows, which are in the order of gaps and within a gap of time. A score that
// is NaN raises none.
func (o *observations) alarm(rows []int, score []float64, threshold float64) alarms {
	var a alarms
	last := int32(-1)
	for _, i := range rows {
		if gap := o.gap[i]; gap >= 0 && gap != last && score[i] >= threshold {
			last = gap
			a.rows = append(a.rows, i)
			a.lost += int(o.lost[i])
		}
	}
	return a
}

// threshold gives the lowest score from which on the precision is at least the one wanted; ok is false where there is none.
func (o *observations) threshold(rows []int, score []float64, precision float64) (threshold float64, ok bool) {
	// Within a gap only a score above all before it can be the alarm. As the threshold falls, alarms move to earlier rows.
	var steps []int
	last, highest := int32(-1), math.Inf(-1)
	for _, i := range rows {
		if o.gap[i] < 0 || math.IsNaN(score[i]) {
			continue
		}
		if o.gap[i] != last {
			last, highest = o.gap[i], math.Inf(-1)
		}
		if score[i] > highest {
			highest = score[i]
			steps = append(steps, i)
		}
	}
	slices.SortFunc(steps, func(a, b int) int { return cmp.Or(cmp.Compare(score[b], score[a]), cmp.Compare(a, b)) })
	at := map[int32]int{}
	count, lost := 0, 0
	for n, i := range steps {
		if before, alarmed := at[o.gap[i]]; alarmed {
			lost -= int(o.lost[before])
		} else {
			count++
		}
		at[o.gap[i]] = i
		lost += int(o.lost[i])
		if n+1 < len(steps) && score[steps[n+1]] == score[i] {
			continue
		}
		if float64(lost) >= precision*float64(count) {
			threshold, ok = score[i], true
		}
	}
	return threshold, ok
}
