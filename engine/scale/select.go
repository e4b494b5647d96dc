package scale

import (
	"cmp"
	"math"
	"slices"
)

// Median gives the median of x, and NaN of none. It reorders x, which is how medians come without sorting: what an
// earlier call has put in order makes the next one cheap.
func Median[T int32 | int64 | float32 | float64](x []T) float64 {
	n := len(x)
	if n == 0 {
		return math.NaN()
	}
	upper := Nth(x, n/2)
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

// Nth puts the n-th smallest value (from 0) in its place, smaller ones before it, and returns it: Hoare's selection
// (1961) with the median of three as pivot, and a full sort where the pivots turn out badly. Without NaN in x.
func Nth[T cmp.Ordered](x []T, n int) T {
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

// QuantileUnsorted is [Quantile] of values that are not sorted. It reorders x, which
// must not be empty.
func QuantileUnsorted(x []float64, p float64) float64 {
	low := int(p * float64(len(x)-1))
	Nth(x, low)
	if low+1 < len(x) {
		Nth(x[low+1:], 0)
	}
	return Quantile(x, p)
}
