package feature

import (
	"math"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/scale"
)

// The features by their place in Features.Values, in the registry's order.
const (
	atPurchases = iota
	atPurchasesPerMonth
	atRecentPurchases
	atActiveShare

	atTotalValue
	atMedianOrderValue
	atMaxOrderValue

	atDiscountedOrders
	atDiscountRate
	atRelativePrice

	atPricePercentile
	atPriceSpread
	atPremiumShare
	atSplurgeShare

	atUnitsPerOrder
	atSKUsPerOrder
	atMixedOrders
	atBulkShare

	atTenure
	atActiveSpan
	atDaysToSecond

	atRecentTrend
	atGapSlope
	atValueSlope
	atRelativeRecency

	atRepeatedSKUs
	atRepeatLines
	atRepurchaseInterval

	atRefundedValue
	atRefundedUnits
	atRefundedOrders

	atCategorySwitches
	atNovelSKUs
	atPartialRefunds
	atRecoveredRefunds

	atCategoryEntropy
	atExpectedCategories
	atExploringOrders

	atTopCategoryShare
	atSKUConcentration
	atDeepCategories
	atTopCategorySKUs

	atWeekendShare
	atOfficeHoursShare
	atHourCosine
	atHourSine
	atSeasonality

	atRecency
	atMedianGap
	atGapVariation
	atClumpiness

	atEnd
)

const (
	minTrendTenure  = 180 // days a customer must be known before the last 90 are held against the 90 before
	trendDays       = 90
	minTenureOfRate = 30  // days: orders a month of a newer customer are taken over so many
	trendPrior      = 0.5 // purchases added to both sides, so that none is no division by zero
	splurgeMedians  = 2
	minGapTrend     = 4 // purchases
	minValueTrend   = 3
	minSplurge      = 3
	minSeason       = 3
	minGapVariation = 3
	minClumpiness   = 3
	minPricedLines  = 2
)

// finish computes the features at instant i from the history up to it.
func (b *Builder) finish(i int, events bool) {
	h := &b.history
	f := &b.features
	today, table := b.recent[i].day, b.recent[i].table
	if h.changed {
		f.PurchaseHistory = h.summary()
		f.ValueCents = h.net - h.refundSum
		b.setPurchases()
		b.setGaps()
		b.setRefunds()
		b.setArticles()
		b.setCategories()
	}
	if h.changed || h.table != table {
		h.holdAgainst(table, b.skus.names, b.categories.names)
		if len(h.priced) > 0 || h.changed {
			b.setPrices()
		}
		b.setShares()
	}
	b.setPassing(today)
	f.Active = events
	h.changed = false
}

// instant is what an Instant of the last customer came to; from customer to customer it is the same.
type instant struct {
	engine.Instant
	cut    time.Time // only what was known before it counts
	second int64     // of cut, since 1970
	day    engine.Date
	table  *storeTable // nil: not looked up yet
}

// instant looks up the Instant in place i.
func (b *Builder) instant(i int, in *engine.Instant) *instant {
	for i >= len(b.recent) {
		b.recent = append(b.recent, instant{})
	}
	r := &b.recent[i]
	if r.table != nil && r.Instant == *in {
		return r
	}
	table := b.tables[in.Reference]
	if table == nil {
		table = newStoreTable(in.Reference)
		b.tables[in.Reference] = table
	}
	*r = instant{Instant: *in, cut: in.At, table: table}
	if !in.KnownAt.IsZero() && in.KnownAt.Before(in.At) {
		r.cut = in.KnownAt
	}
	r.second = r.cut.Unix()
	r.day, _ = b.clock.at(in.At)
	return r
}

// Results this close to 0 are roundings of 0: told from it, they would make equal customers unequal.
const roundedToZero = 1e-12

// set stores a feature, NaN where the store lacks its columns.
func (b *Builder) set(place int, value float64) {
	switch {
	case !b.on[place]:
		value = undefined
	case math.Abs(value) < roundedToZero:
		value = 0
	}
	b.features.Values[place] = float32(value)
}

// setIf stores a feature that is defined only under a condition.
func (b *Builder) setIf(defined bool, place int, value float64) {
	if !defined {
		value = undefined
	}
	b.set(place, value)
}

// log1pAmount is ln(1 + an amount in minor units), amounts below 0 being 0.
func log1pAmount(cents float64) float64 { return math.Log(1 + max(0, cents)/100) }

// setPurchases sets what the orders' number and values give.
func (b *Builder) setPurchases() {
	h := &b.history
	n := len(h.orders)
	median := scale.Median(h.values)
	splurges := 0
	for _, v := range h.values {
		if float64(v) > splurgeMedians*median {
			splurges++
		}
	}
	b.set(atPurchases, lnCount(n+1))
	b.set(atTotalValue, log1pAmount(float64(h.net-h.refundSum)))
	b.set(atMedianOrderValue, log1pAmount(median))
	b.set(atMaxOrderValue, log1pAmount(float64(h.largest)))
	b.setIf(h.gross > 0, atDiscountRate, min(1, max(0, float64(h.discount)/float64(h.gross))))
	b.setIf(n >= minSplurge, atSplurgeShare, float64(splurges)/float64(n))
	b.set(atUnitsPerOrder, h.logUnits/float64(n))
	b.set(atBulkShare, float64(h.bulkUnits)/float64(h.units))
	b.setIf(n >= minValueTrend, atValueSlope, h.valueTrend.slope())
	b.set(atHourCosine, h.hourCos/float64(n))
	b.set(atHourSine, h.hourSin/float64(n))
	b.setIf(n >= minSeason, atSeasonality, math.Hypot(h.yearSin, h.yearCos)/float64(n))
}

// setGaps sets what the days between purchases give.
func (b *Builder) setGaps() {
	h := &b.history
	n := len(h.orders)
	daysToSecond := undefined
	if n >= 2 {
		daysToSecond = float64(h.orders[1].day - h.orders[0].day)
	}
	h.medianGap = scale.Median(h.gaps)
	// Sums of whole numbers are exact, so even gaps have a deviation of exactly 0.
	spread := math.Sqrt(max(0, float64(n-1)*h.gapSum2-h.gapSum*h.gapSum))
	b.set(atDaysToSecond, math.Log(daysToSecond))
	b.setIf(n >= minGapTrend, atGapSlope, h.gapTrend.slope())
	b.set(atMedianGap, math.Log(h.medianGap))
	b.setIf(n >= minGapVariation, atGapVariation, spread/h.gapSum)
}

// setRefunds sets what refunds and returns give. For a customer who never returned anything refunded_value and
// refunded_units are 0, and only for such a one both are.
func (b *Builder) setRefunds() {
	h := &b.history
	value, partial := 0.0, 0
	if h.refundSum > 0 {
		value = 1
		if h.net > 0 {
			value = min(1, float64(h.refundSum)/float64(h.net))
		}
	}
	for _, purchase := range h.hits {
		if o := &h.orders[purchase]; o.refunded < o.net {
			partial++
		}
	}
	for _, r := range h.returns {
		if r.purchase >= 0 && r.cents < h.orders[r.purchase].net {
			partial++
		}
	}
	refunds := len(h.hits) + len(h.returns)
	defined := refunds > 0 && len(h.orders) >= 2
	b.set(atRefundedValue, value)
	b.set(atRefundedUnits, min(1, h.refundUnits/float64(h.units)))
	b.setIf(defined, atPartialRefunds, float64(partial)/float64(refunds))
	b.setIf(defined, atRecoveredRefunds, float64(h.recovered)/float64(refunds))
}

// setArticles sets what the SKUs of the lines give.
func (b *Builder) setArticles() {
	h := &b.history
	again := len(h.orders) >= 2
	b.setIf(h.skuOrders > 0, atSKUsPerOrder, h.logSKUs/float64(h.skuOrders))
	b.setIf(again && h.skus > 0, atRepeatedSKUs, float64(h.repeatedSKUs)/float64(h.skus))
	b.setIf(h.laterLines > 0, atRepeatLines, float64(h.repeatLines)/float64(h.laterLines))
	b.set(atRepurchaseInterval, math.Log(scale.Median(h.intervals)))
	b.setIf(h.laterLines > 0, atNovelSKUs, float64(h.laterLines-h.repeatLines)/float64(h.laterLines))
	b.setIf(h.skuSpend > 0, atSKUConcentration, min(1, h.skuSquares/(h.skuSpend*h.skuSpend)))
}

// setCategories sets what the categories of the lines give. The main category is that of the largest spend, of equal ones
// the one bought first.
func (b *Builder) setCategories() {
	h := &b.history
	spend, logs, expected := 0.0, 0.0, 0.0
	top := categoryState{spend: math.MinInt64}
	for _, id := range h.categories {
		c := &b.byCategory[id]
		s := float64(max(0, c.spend))
		spend += s
		logs += xlnx(s)
		if h.categoryLines >= rarefactionLines {
			expected += rarefied(int(c.lines), h.categoryLines)
		}
		if c.spend > top.spend {
			top = *c
		}
	}
	named := len(h.categories) > 0
	b.setIf(spend > 0, atCategoryEntropy, max(0, math.Log(spend)-logs/spend))
	b.setIf(h.categoryLines >= rarefactionLines, atExpectedCategories, expected)
	b.setIf(spend > 0, atTopCategoryShare, float64(top.spend)/spend)
	b.setIf(named, atDeepCategories, lnCount(1+h.deepCategories))
	b.setIf(named && top.skus > 0, atTopCategorySKUs, lnCount(int(top.skus)))
	b.setIf(h.mainPairs > 0, atCategorySwitches, float64(h.mainChanges)/float64(h.mainPairs))
}

// setPrices sets what the prices paid, held against the store's, give.
func (b *Builder) setPrices() {
	p := &b.history.prices
	mean := p.percentile / p.categoryUnits
	variance := p.percentile2/p.categoryUnits - mean*mean
	if variance < roundedToZero {
		variance = 0
	}
	b.setIf(p.skuUnits > 0, atRelativePrice, p.logRatio/p.skuUnits)
	b.setIf(p.categoryLines > 0, atPricePercentile, mean)
	b.setIf(p.categoryLines >= minPricedLines, atPriceSpread, math.Sqrt(variance))
	b.setIf(p.categoryLines > 0, atPremiumShare, p.premium/p.categoryUnits)
}

// setShares sets the shares that are shrunk to the store's means.
func (b *Builder) setShares() {
	for s, place := range [shareCount]int{
		shareDiscounted: atDiscountedOrders,
		shareMixed:      atMixedOrders,
		shareRefunded:   atRefundedOrders,
		shareExploring:  atExploringOrders,
		shareWeekend:    atWeekendShare,
		shareOffice:     atOfficeHoursShare,
	} {
		if b.on[place] { // else it stays undefined
			x, n := b.history.share(share(s))
			b.set(place, shrunk(x, n, b.history.table.means[s]))
		}
	}
}

// setPassing sets what changes while a customer does nothing. These features need no columns, and it is the one part that
// every instant of a replay pays for: hence without set.
func (b *Builder) setPassing(today engine.Date) {
	h := &b.history
	values := (*[engine.FeatureCount]float32)(b.features.Values)
	n := len(h.orders)
	first, last := h.orders[0].day, h.lastDay()
	a := int(max(1, today-first))
	recency := int(max(0, today-last))

	values[atPurchasesPerMonth] = float32(lnDaysPerMonth + lnCount(n) - lnCount(max(a, minTenureOfRate)))
	values[atRecentPurchases] = float32(lnOnePlus(h.fading * fade(recency)))
	values[atActiveShare] = float32(min(1, float64(h.windows)/float64((a+activeWindowDays-1)/activeWindowDays)))
	values[atTenure] = float32(lnCount(1 + a))
	values[atActiveSpan] = float32(min(1, float64(last-first)/float64(a)))
	values[atRecency] = float32(lnCount(1 + recency))

	trend := undefined
	if a >= minTrendTenure {
		h.lately.move(h.orders, today-trendDays)
		h.earlier.move(h.orders, today-2*trendDays)
		// (x + 1/2)/(y + 1/2), doubled on both sides to be of whole numbers
		trend = lnCount(2*(n-int(h.lately))+1) - lnCount(2*int(h.lately-h.earlier)+1)
	}
	values[atRecentTrend] = float32(trend)

	overdue, clumps := undefined, undefined
	if n >= 2 {
		doubled := int(2 * h.medianGap) // whole: a median of days is a whole number or a half
		overdue = lnCount(doubled+2*recency) - lnCount(doubled)
	}
	if n >= minClumpiness {
		sum := h.gapLogs
		if recency > 0 {
			sum += float64(recency) * lnCount(recency)
		}
		clumps = clumpiness(sum, int(last-first)+recency, n)
	}
	values[atRelativeRecency] = float32(overdue)
	values[atClumpiness] = float32(clumps)
}

// daysPerMonth is the mean length of a month.
const daysPerMonth = 30.44

var lnDaysPerMonth = math.Log(daysPerMonth)
