package backtest

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// The expected values are average_precision_score's of scikit-learn 1.2.1 for the same numbers.
func TestAveragePrecision(t *testing.T) {
	t.Parallel()
	near(t, "the area", averagePrecision([]float64{0.1, 0.4, 0.35, 0.8}, []int8{0, 0, 1, 1}), 0.8333333333333333, 1e-12)
	near(t, "the area with equal scores", averagePrecision([]float64{1, 1, 2, 2, 3, 0}, []int8{1, 0, 1, 0, 0, 1}), 0.4111111111111111, 1e-12)
	near(t, "the area of equal scores", averagePrecision([]float64{5, 5, 5, 5}, []int8{1, 0, 0, 0}), 0.25, 1e-12)
	if v := averagePrecision([]float64{1, 2}, []int8{0, 0}); !math.IsNaN(v) {
		t.Errorf("without churn the area is %v", v)
	}
	curve, _ := precisionRecall([]float64{0.1, 0.4, 0.35, 0.8}, []int8{0, 0, 1, 1}, 100)
	if curve[0] != (Point{0.5, 1}) || curve[len(curve)-1].Recall != 1 {
		t.Errorf("%v", curve)
	}
}

func TestReliabilityByHand(t *testing.T) {
	t.Parallel()
	r := reliabilityOf([]float64{0.05, 0.95, 0.9, 1, math.NaN(), 0.5}, []int8{0, 1, 0, 1, 1, 1})
	near(t, "the Brier score", r.Brier, (0.0025+0.0025+0.81+0+0.25)/5, 1e-12)
	near(t, "the base's Brier score", r.Base, 0.6*0.4, 1e-12)
	// Bins: 0.05 -> 0; 0.5 -> 1; 0.9, 0.95, 1 -> 2/3.
	near(t, "the calibration error", r.ECE, (0.05+0.5+math.Abs(2.85-2))/5, 1e-12)
	if len(r.Bins) != 3 || r.Bins[2].Count != 3 || r.Count != 5 {
		t.Errorf("%+v", r)
	}
	near(t, "the last bin", r.Bins[2].Observed, 2.0/3, 1e-12)
}

// The interval holds the ratio of alike customers exactly, and that of a mean at about the normal distance.
func TestRatio(t *testing.T) {
	t.Parallel()
	same := ratio([]cluster{{2, 1}, {4, 2}, {6, 3}}, 1)
	if same != (Interval{2, 2, 2}) {
		t.Errorf("%+v", same)
	}
	var many []cluster
	for i := range 400 {
		many = append(many, cluster{float64(i % 2), 1})
	}
	r := ratio(many, 1)
	near(t, "the lower end", r.Low, 0.5-1.96*0.025, 0.01)
	near(t, "the upper end", r.High, 0.5+1.96*0.025, 0.01)
	if again := ratio(many, 1); again != r {
		t.Error("the same seed gives another interval")
	}
}

// table makes observations of one signal.
func tableOf(x []float64, lost []int8) *observations {
	o := &observations{lost: lost}
	for _, v := range x {
		var s [signalCount]float64
		s[signalLogOdds] = v
		o.signals = append(o.signals, s[:]...)
		o.third = append(o.third, fitting)
	}
	return o
}

// With one column of two values the probabilities are the shares of the two groups, but for the ridge; a constant column
// changes nothing.
func TestLogisticOfGroups(t *testing.T) {
	t.Parallel()
	var x []float64
	var lost []int8
	for i := range 2000 {
		group := i % 2
		x = append(x, 3+10*float64(group))
		lost = append(lost, int8(btoi(i/2%10 < 2+5*group)))
	}
	o := tableOf(x, lost)
	l, ok := fitLogistic(o, o.rows(fitting), []int{signalLogOdds, signalSilent})
	if !ok {
		t.Fatal("it does not fit")
	}
	near(t, "the first group", l.probability(o, 0), 0.2, 2e-3)
	near(t, "the second group", l.probability(o, 1), 0.7, 2e-3)
	if _, ok := fitLogistic(tableOf([]float64{1, 2}, []int8{1, 1}), []int{0, 1}, []int{signalLogOdds}); ok {
		t.Error("outcomes that are all alike were fitted")
	}
	o.signals[signalLogOdds] = math.NaN()
	if p := l.probability(o, 0); !math.IsNaN(p) {
		t.Errorf("a row without a signal has the probability %v", p)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// At the optimum the gradient vanishes, whatever the data.
func TestLogisticOptimum(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(5, 60).Draw(t, "rows")
		x := rapid.SliceOfN(rapid.Float64Range(-50, 50), n, n).Draw(t, "x")
		lost := make([]int8, n)
		for i := range lost {
			lost[i] = int8(rapid.IntRange(0, 1).Draw(t, "lost"))
		}
		lost[0], lost[1] = 0, 1
		o := tableOf(x, lost)
		l, ok := fitLogistic(o, o.rows(fitting), []int{signalLogOdds})
		if !ok {
			t.Fatal("it does not fit")
		}
		residual, slope := 0.0, -ridge*l.weights[1]
		for i := range x {
			e := float64(lost[i]) - l.probability(o, i)
			residual += e
			slope += e * (x[i] - l.mean[0]) / l.sd[0]
		}
		if math.Abs(residual) > 1e-4 || math.Abs(slope) > 1e-4 {
			t.Fatalf("the gradient at the optimum is %v, %v", residual, slope)
		}
	})
}
