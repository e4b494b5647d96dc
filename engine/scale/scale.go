// Package scale puts one feature on the scale that clustering works in: fill,
// winsorise, standardise. The numbers are taken once from a fitting sample and
// frozen, so that fitted and new customers go one way.
package scale

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// The percentiles at which values are winsorised.
const (
	lowPercentile  = 0.01
	highPercentile = 0.99
)

var (
	// ErrNoValues means that a column has no defined value to learn from.
	ErrNoValues = errors.New("the feature is undefined for every row of the fitting sample: switch it off")
	// ErrInfinite means that a column holds an infinite value.
	ErrInfinite = errors.New("the feature holds an infinite value: correct its source or leave it undefined (NaN)")
)

// Scale is the frozen transformation of one feature. Its fields are what a
// model stores; a Scale read back from them transforms exactly as the fitted one.
type Scale struct {
	// Fill is the median of the defined values; it stands in for undefined ones.
	Fill float64
	// Lo and Hi are the 1st and 99th percentile of the filled sample. Values outside count as these.
	Lo, Hi float64
	// Mean and SD are those of the filled and winsorised sample; SD divides by n.
	Mean, SD float64
}

// Fit learns a Scale from a column of the fitting sample, where NaN means
// undefined. The column is not changed.
func Fit(column []float64) (Scale, error) {
	sorted := make([]float64, 0, len(column))
	for i, v := range column {
		if math.IsInf(v, 0) {
			return Scale{}, fmt.Errorf("%w: row %d", ErrInfinite, i)
		}
		if !math.IsNaN(v) {
			sorted = append(sorted, v)
		}
	}
	if len(sorted) == 0 {
		return Scale{}, ErrNoValues
	}
	slices.Sort(sorted)
	s := Scale{Fill: Quantile(sorted, 0.5)}
	sorted = fill(sorted, s.Fill, len(column)-len(sorted))
	s.Lo, s.Hi = Quantile(sorted, lowPercentile), Quantile(sorted, highPercentile)
	if s.Lo == s.Hi {
		s.Mean = s.Lo
		return s, nil
	}
	s.Mean, s.SD = s.moments(sorted)
	if math.IsInf(s.SD, 0) || math.IsNaN(s.SD) {
		return Scale{}, fmt.Errorf("%w: values between %v and %v are too far apart to square", ErrInfinite, s.Lo, s.Hi)
	}
	return s, nil
}

// fill inserts count copies of v into the sorted values.
func fill(sorted []float64, v float64, count int) []float64 {
	if count == 0 {
		return sorted
	}
	at, _ := slices.BinarySearch(sorted, v)
	return slices.Insert(sorted, at, slices.Repeat([]float64{v}, count)...)
}

// moments are the mean and the population standard deviation of the winsorised
// values, by differences from the middle of the range so that large offsets do not cancel.
func (s Scale) moments(values []float64) (mean, sd float64) {
	origin := s.Lo/2 + s.Hi/2
	n := float64(len(values))
	first := 0.0
	for _, v := range values {
		first += (s.Winsorise(v) - origin) / n
	}
	second := 0.0
	for _, v := range values {
		e := s.Winsorise(v) - origin - first
		second += e * e / n
	}
	return origin + first, math.Sqrt(second)
}

// Constant tells that the feature does not vary and is to be dropped.
func (s Scale) Constant() bool { return s.SD == 0 }

// Filled replaces an undefined value.
func (s Scale) Filled(v float64) float64 {
	if math.IsNaN(v) {
		return s.Fill
	}
	return v
}

// Winsorise moves a value outside [Lo, Hi] to the nearer end.
func (s Scale) Winsorise(v float64) float64 {
	return min(max(v, s.Lo), s.Hi)
}

// Transform fills, winsorises and standardises; a constant feature gives 0.
func (s Scale) Transform(v float64) float64 {
	return s.Standardise(s.Winsorise(s.Filled(v)))
}

// Standardise is (v - Mean)/SD without winsorising, as the test for outliers needs it;
// a constant feature gives 0.
func (s Scale) Standardise(v float64) float64 {
	if s.SD == 0 {
		return 0
	}
	return (v - s.Mean) / s.SD
}

// Inverse takes a standardised value back to the feature's own unit.
func (s Scale) Inverse(z float64) float64 {
	return s.Mean + z*s.SD
}

// Quantile of ascending values by linear interpolation between the order
// statistics at (n-1)p (definition 7 of Hyndman and Fan 1996); NaN without values.
func Quantile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := p * float64(len(sorted)-1)
	low := int(at)
	if low >= len(sorted)-1 {
		return sorted[len(sorted)-1]
	}
	part := at - float64(low)
	a, b := sorted[low], sorted[low+1]
	if part == 0 || a == b {
		return a
	}
	return a*(1-part) + b*part
}

// Correlation is Pearson's, of two columns of the same length; 0 where one does
// not vary. Rows with an undefined value on either side are left out. Columns
// are best transformed first, so that no value is extreme.
func Correlation(a, b []float64) float64 {
	n := min(len(a), len(b))
	var count, meanA, meanB, varA, varB, cov float64
	for i := range n {
		if math.IsNaN(a[i]) || math.IsNaN(b[i]) {
			continue
		}
		// One-pass updates (Welford 1962) do not cancel for large means.
		count++
		ea, eb := a[i]-meanA, b[i]-meanB
		meanA += ea / count
		meanB += eb / count
		varA += ea * (a[i] - meanA)
		varB += eb * (b[i] - meanB)
		cov += ea * (b[i] - meanB)
	}
	if !(varA > 0) || !(varB > 0) {
		return 0
	}
	return max(-1, min(1, cov/math.Sqrt(varA)/math.Sqrt(varB)))
}
