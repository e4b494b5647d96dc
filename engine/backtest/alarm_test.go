package backtest

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// drawn makes observations of some gaps with coarse scores, so that many are equal; some are undefined.
func drawn(t *rapid.T) (*observations, []float64) {
	o := &observations{}
	var score []float64
	next := int32(0)
	for range rapid.IntRange(1, 12).Draw(t, "gaps") {
		gap := next
		if rapid.IntRange(0, 5).Draw(t, "began before") == 0 {
			gap = -1
		} else {
			next++
		}
		for range rapid.IntRange(1, 6).Draw(t, "weeks") {
			o.gap = append(o.gap, gap)
			o.lost = append(o.lost, int8(rapid.IntRange(0, 1).Draw(t, "lost")))
			v := float64(rapid.IntRange(0, 5).Draw(t, "score"))
			if rapid.IntRange(0, 9).Draw(t, "undefined") == 0 {
				v = math.NaN()
			}
			score = append(score, v)
		}
	}
	return o, score
}

// The threshold is the lowest score at which the alarms, raised one by one, are as precise as wanted.
func TestThreshold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o, score := drawn(t)
		rows := make([]int, len(score))
		for i := range rows {
			rows[i] = i
		}
		wanted := rapid.SampledFrom([]float64{0, 0.25, 1.0 / 3, 0.5, 0.6, 1}).Draw(t, "precision")
		got, ok := o.threshold(rows, score, wanted)
		lowest, found := 0.0, false
		for c := 5.0; c >= 0; c-- {
			a := o.alarm(rows, score, c)
			if len(a.rows) > 0 && float64(a.lost) >= wanted*float64(len(a.rows)) {
				lowest, found = c, true
			}
		}
		// Scores that nobody has are not looked at: the alarms are those of the next higher one.
		if ok != found || ok && len(o.alarm(rows, score, got).rows) != len(o.alarm(rows, score, lowest).rows) {
			t.Fatalf("the threshold is %v (%v), one by one %v (%v)", got, ok, lowest, found)
		}
		if ok && got < lowest {
			t.Fatalf("the threshold is %v, and %v is precise enough", got, lowest)
		}
	})
}

// One alarm a gap, the first that reaches the threshold; none in a gap that began before the first day.
func TestAlarmsByHand(t *testing.T) {
	t.Parallel()
	o := &observations{
		gap:  []int32{-1, -1, 0, 0, 0, 1, 1, 2},
		lost: []int8{1, 1, 0, 1, 1, 0, 0, 1},
	}
	score := []float64{9, 9, 1, 3, 4, 3, 9, math.NaN()}
	rows := []int{0, 1, 2, 3, 4, 5, 6, 7}
	a := o.alarm(rows, score, 3)
	if len(a.rows) != 2 || a.rows[0] != 3 || a.rows[1] != 5 || a.precision() != 0.5 {
		t.Errorf("%+v, precision %v", a, a.precision())
	}
	if c, ok := o.threshold(rows, score, 0.5); !ok || c != 3 {
		t.Errorf("the threshold is %v, %v", c, ok)
	}
	if _, ok := o.threshold(rows, score, 0.9); ok {
		t.Error("a precision that no threshold reaches was reached")
	}
}
