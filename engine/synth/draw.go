package synth

import (
	"math"
	"math/rand/v2"
)

// draw is a random generator with the distributions that the shop needs.
type draw struct{ *rand.Rand }

// gamma draws from the gamma distribution of the shape, at least 1, with mean 1. Method: Marsaglia and Tsang, "A simple
// method for generating gamma variables", ACM Transactions on Mathematical Software 26 (2000) 363-372.
func (d draw) gamma(shape float64) float64 {
	offset := shape - 1.0/3
	scale := 1 / math.Sqrt(9*offset)
	for {
		x := d.NormFloat64()
		v := 1 + scale*x
		if v <= 0 {
			continue
		}
		v *= v * v
		if math.Log(1-d.Float64()) < x*x/2+offset*(1-v+math.Log(v)) {
			return offset * v / shape
		}
	}
}

// count draws a whole number of at least 1 whose mean is about the one given.
func (d draw) count(mean float64) int {
	return max(1, int(math.Round(mean*d.gamma(3))))
}

// reflected brings a number into [0, 1) by mirrors at 0 and 1.
func reflected(x float64) float64 {
	x = math.Mod(math.Abs(x), 2)
	if x > 1 {
		x = 2 - x
	}
	return min(x, math.Nextafter(1, 0))
}

// scatter spreads neighbouring numbers over all 64 bits, one to one: the finalizer of SplitMix64 (Steele, Lea and Flood,
// "Fast splittable pseudorandom number generators", OOPSLA 2014).
func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
