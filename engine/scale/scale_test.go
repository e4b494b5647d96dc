package scale_test

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine/scale"
)

// 1, 2, ..., 100 and 1000, with one gap filled by the median. Expected values by
// exact arithmetic in Python's fractions.
func TestFit(t *testing.T) {
	t.Parallel()
	column := []float64{math.NaN(), 1000}
	for i := 1; i <= 100; i++ {
		column = append(column, float64(i))
	}
	s, err := scale.Fit(column)
	if err != nil {
		t.Fatal(err)
	}
	want := scale.Scale{Fill: 51, Lo: 2.01, Hi: 99.99, Mean: 51, SD: 28.977354308927133}
	if diff := cmp.Diff(want, s, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
	if got := s.Transform(math.NaN()); got != s.Transform(51) {
		t.Errorf("undefined value became %v", got)
	}
	if s.Transform(1e9) != s.Transform(99.99) || s.Transform(-5) != s.Transform(2.01) {
		t.Error("values outside the percentiles were not winsorised")
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	four := []float64{1, 2, 4, 8}
	for _, c := range []struct{ p, want float64 }{{0, 1}, {0.25, 1.75}, {0.5, 3}, {0.9, 6.8}, {1, 8}} {
		if got := scale.Quantile(four, c.p); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("quantile %v is %v, want %v", c.p, got, c.want)
		}
	}
	if !math.IsNaN(scale.Quantile(nil, 0.5)) || scale.Quantile([]float64{7}, 0.3) != 7 {
		t.Error("quantile of none or one")
	}
}

func TestDegenerateColumns(t *testing.T) {
	t.Parallel()
	if _, err := scale.Fit([]float64{math.NaN()}); !errors.Is(err, scale.ErrNoValues) {
		t.Errorf("no values: %v", err)
	}
	if _, err := scale.Fit([]float64{1, math.Inf(-1)}); !errors.Is(err, scale.ErrInfinite) {
		t.Errorf("infinite value: %v", err)
	}
	if _, err := scale.Fit([]float64{-1e308, 1e308}); !errors.Is(err, scale.ErrInfinite) {
		t.Errorf("overflowing spread: %v", err)
	}
	constant, err := scale.Fit([]float64{0.1, 0.1, math.NaN(), 0.1})
	if err != nil || !constant.Constant() || constant.Transform(3) != 0 || constant.Inverse(0) != 0.1 {
		t.Errorf("constant column: %+v, %v", constant, err)
	}
	// One exception in 1,000 rows lies outside the percentiles: nothing is left to vary.
	rare := make([]float64, 1000)
	rare[3] = 1
	if s, err := scale.Fit(rare); err != nil || !s.Constant() {
		t.Errorf("column that is constant once winsorised: %+v, %v", s, err)
	}
}

func TestCorrelation(t *testing.T) {
	t.Parallel()
	// By hand: covariance 8, both sums of squares 10.
	a, b := []float64{1, 2, 3, 4, 5}, []float64{2, 1, 4, 3, 5}
	if got := scale.Correlation(a, b); math.Abs(got-0.8) > 1e-12 {
		t.Errorf("correlation %v, want 0.8", got)
	}
	if got := scale.Correlation(append(a, math.NaN(), 9), append(b, 9, math.NaN())); math.Abs(got-0.8) > 1e-12 {
		t.Errorf("with undefined rows %v, want 0.8", got)
	}
	if scale.Correlation(a, []float64{3, 3, 3, 3, 3}) != 0 || scale.Correlation(nil, nil) != 0 {
		t.Error("a constant column correlates with nothing")
	}
}

func TestStandardisedSample(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		column := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-1e6, 1e6), rapid.Just(math.NaN())), 1, 200).Draw(t, "column")
		s, err := scale.Fit(column)
		if errors.Is(err, scale.ErrNoValues) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var sum, squares float64
		for _, v := range column {
			z := s.Transform(v)
			sum += z
			squares += z * z
			if back := s.Inverse(z); !s.Constant() && math.Abs(back-s.Winsorise(s.Filled(v))) > 1e-6 {
				t.Fatalf("%v came back as %v", v, back)
			}
		}
		n := float64(len(column))
		if s.Constant() {
			if squares != 0 {
				t.Fatal("a constant column must transform to 0")
			}
			return
		}
		if s.SD > 1e-6*math.Abs(s.Mean) && (math.Abs(sum/n) > 1e-6 || math.Abs(squares/n-1) > 1e-6) {
			t.Fatalf("mean %v and mean square %v of the standardised sample", sum/n, squares/n)
		}
	})
}

// Transforming is monotone, and a shift and stretch of the feature leaves it alone.
func TestTransformIgnoresUnits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		column := rapid.SliceOfN(rapid.Float64Range(-100, 100), 5, 100).Draw(t, "column")
		shift, stretch := rapid.Float64Range(-100, 100).Draw(t, "shift"), rapid.Float64Range(0.1, 10).Draw(t, "stretch")
		other := make([]float64, len(column))
		for i, v := range column {
			other[i] = shift + stretch*v
		}
		s, err := scale.Fit(column)
		o, errOther := scale.Fit(other)
		if err != nil || errOther != nil {
			t.Fatal(err, errOther)
		}
		if s.SD < 1e-3 {
			return
		}
		for i, v := range column {
			if math.Abs(s.Transform(v)-o.Transform(other[i])) > 1e-8 {
				t.Fatalf("%v and %v", s.Transform(v), o.Transform(other[i]))
			}
			if v < column[0] && s.Transform(v) > s.Transform(column[0]) {
				t.Fatal("the order changed")
			}
		}
	})
}
