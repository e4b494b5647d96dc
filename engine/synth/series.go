package synth

import (
	"math"
	"math/rand/v2"
)

// Kinds of change in a series.
const (
	Stop    = "stop"    // no purchase any more
	Halving = "halving" // half the rate
	Fade    = "fade"    // the rate falls to nothing along a line within 26 weeks
)

const fadeDays = 26 * 7

// Series gives the days, from 0 to days-1, on which a customer buys who is at first a Poisson process of so many purchases a
// week, and changes on the day change. An unknown kind, such as none, changes nothing. The first day has a purchase.
func Series(seed, customer uint64, weekly float64, days int, kind string, change int) []int {
	random := rand.New(rand.NewPCG(seed, scatter(customer)))
	bought := []int{0}
	for day := 1; day < days; day++ {
		// A customer-day counts once, however many orders fall on it, so rates are those of days with an order.
		if random.Float64() < 1-math.Exp(-weekly/7*rateAfter(kind, day-change)) {
			bought = append(bought, day)
		}
	}
	return bought
}

// rateAfter is the share of the first rate that is left so many days after the change.
func rateAfter(kind string, days int) float64 {
	switch {
	case days < 0:
		return 1
	case kind == Stop:
		return 0
	case kind == Halving:
		return 0.5
	case kind == Fade:
		return math.Max(0, 1-float64(days)/fadeDays)
	default:
		return 1
	}
}
