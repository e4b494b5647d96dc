package engine

import (
	"math"

	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/engine/scale"
)

// Purchase is a day on which a customer bought: at least one line of positive quantity, whatever its value. Orders of one
// day are one purchase; returns are none.
type Purchase struct {
	Day        Date  // in the store's zone
	ValueCents int64 // of the day's lines of positive quantity, less discounts; refunds do not count
}

// PurchaseHistory sums up a customer's purchases so far: what the purchase and spend models know of it.
type PurchaseHistory struct {
	// Purchases is their number; never 0 in Features: before the first one there is nothing to tell.
	Purchases int
	// FirstAt and LastAt are the days of the first and the last purchase, in the store's zone.
	FirstAt, LastAt Date
	// RepeatCents is the value of all purchases but the first.
	RepeatCents int64
}

// HistoryOf sums purchases up.
func HistoryOf(purchases []Purchase) PurchaseHistory {
	h := PurchaseHistory{Purchases: len(purchases)}
	if h.Purchases == 0 {
		return h
	}
	h.FirstAt, h.LastAt = purchases[0].Day, purchases[h.Purchases-1].Day
	for _, p := range purchases[1:] {
		h.RepeatCents += p.ValueCents
	}
	return h
}

// Repeats is what the purchase models know, as of a day: T is (day - first day)/7 weeks.
func (h PurchaseHistory) Repeats(day Date) btyd.History {
	return btyd.HistoryOfDays(h.Purchases-1, int(h.LastAt-h.FirstAt), int(day-h.FirstAt))
}

// Spend is what the spend model knows: the mean value of the repeat purchases in the store's currency, 0 without any.
func (h PurchaseHistory) Spend() btyd.Spend {
	s := btyd.Spend{X: h.Purchases - 1}
	if s.X > 0 {
		s.Mean = math.Max(0, float64(h.RepeatCents)/centsPerUnit/float64(s.X))
	}
	return s
}

const centsPerUnit = 100

// usualGap is the median number of days between purchases; ok is false with fewer than two of them.
func usualGap(purchases []Purchase) (days float64, ok bool) {
	if len(purchases) < 2 {
		return 0, false
	}
	gaps := make([]int32, len(purchases)-1)
	for i := range gaps {
		gaps[i] = int32(purchases[i+1].Day - purchases[i].Day)
	}
	return scale.Median(gaps), true
}
