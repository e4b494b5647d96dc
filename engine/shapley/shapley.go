// Package shapley shares the value of a whole out among its parts (Shapley 1953, A value for n-person games): each part
// gets the mean, over the orders in which parts can come in, of what its coming in adds. It knows only numbers.
package shapley

import "math/rand/v2"

// MostExact is the most parts whose shares are exact; over it they are the mean over sampled orders.
const MostExact = 6

// sampledOrders is how many orders are drawn for more parts.
const sampledOrders = 64

// MostParts bounds the parts, which are bits of a set.
const MostParts = 64

// Values gives the share of each of n parts, from 0 to MostParts, in value(all) - value(none), to which the shares sum
// but for rounding. Bit i of a set is part i. Up to MostExact parts the shares are exact, by the 2^n sets; for more,
// 64 orders are drawn by the seed.
func Values(n int, seed uint64, value func(set uint64) float64) []float64 {
	if n <= MostExact {
		return exact(n, value)
	}
	return sampled(n, seed, value)
}

// exact weighs what part i adds to a set of s others by s! (n-s-1)!/n!, the share of the orders in which just they come first.
func exact(n int, value func(uint64) float64) []float64 {
	shares := make([]float64, n)
	values := make([]float64, 1<<n)
	for set := range values {
		values[set] = value(uint64(set))
	}
	weights := make([]float64, n) // by the size of the set
	for s := range weights {
		weights[s] = factorial(s) * factorial(n-s-1) / factorial(n)
	}
	for set := range values {
		size := 0
		for i := range n {
			size += set >> i & 1
		}
		for i := range n {
			if set>>i&1 == 0 {
				shares[i] += weights[size] * (values[set|1<<i] - values[set])
			}
		}
	}
	return shares
}

func factorial(n int) float64 {
	product := 1.0
	for i := 2; i <= n; i++ {
		product *= float64(i)
	}
	return product
}

func sampled(n int, seed uint64, value func(uint64) float64) []float64 {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	shares := make([]float64, n)
	none := value(0)
	for range sampledOrders {
		set, before := uint64(0), none
		for _, i := range random.Perm(n) {
			set |= 1 << i
			after := value(set)
			shares[i] += (after - before) / sampledOrders
			before = after
		}
	}
	return shares
}
