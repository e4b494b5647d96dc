package btyd

import "math"

// WeeksPerMonth is the length of a month of LTV.
const WeeksPerMonth = 4.345

// LTVOptions are the settings of a lifetime value.
type LTVOptions struct {
	// Months looked ahead.
	Months int
	// Discount per month, such as 0.01.
	Discount float64
	// Margin is the share of a purchase's value that counts, such as 1.
	Margin float64
}

// DefaultLTVOptions are 12 months at 1 % a month and full margin.
func DefaultLTVOptions() LTVOptions { return LTVOptions{Months: 12, Discount: 0.01, Margin: 1} }

// LTV is the discounted value of the purchases a customer is expected to make in the coming months, in the currency of
// value, the expected value of one purchase. Past revenue is no part of it.
func LTV(m Model, h History, value float64, options LTVOptions) float64 {
	total, before := 0.0, 0.0
	for k := 1; k <= options.Months; k++ {
		until := m.Expected(h, float64(k)*WeeksPerMonth)
		total += (until - before) / math.Pow(1+options.Discount, float64(k))
		before = until
	}
	return total * value * options.Margin
}
