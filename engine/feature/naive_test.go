package feature

import (
	"math"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// naiveFeatures is the specification written down as directly as possible, from scratch for one instant: everything is
// counted anew, by day, with maps and sorting. It shares nothing with Builder but the numbers of the features. ok is false
// before the first purchase.
func naiveFeatures(lines []engine.Line, in engine.Instant, zone *time.Location, have engine.Columns) (values [engine.FeatureCount]float64, ok bool) {
	for i := range values {
		values[i] = math.NaN()
	}
	cut := in.At
	if !in.KnownAt.IsZero() && in.KnownAt.Before(cut) {
		cut = in.KnownAt
	}
	type purchase struct {
		day              engine.Date
		first            time.Time
		lines            []engine.Line
		net, discount    int64
		units            int
		refunded         int64
		refundedFrom     engine.Date
		hit              bool
		main             string
		skus, categories []string
	}
	type event struct {
		day     engine.Date
		partial bool
	}
	var bought, back []engine.Line
	for _, l := range lines {
		switch {
		case !l.OrderedAt.Before(cut) || l.Quantity == 0 || !l.CancelledAt.IsZero() && l.CancelledAt.Before(cut):
		case l.Quantity > 0:
			bought = append(bought, l)
		default:
			back = append(back, l)
		}
	}
	var purchases []*purchase
	for _, l := range bought {
		day := engine.DateOf(l.OrderedAt, zone)
		i := slices.IndexFunc(purchases, func(p *purchase) bool { return p.day == day })
		if i < 0 {
			purchases = append(purchases, &purchase{day: day, first: l.OrderedAt})
			i = len(purchases) - 1
		}
		p := purchases[i]
		if l.OrderedAt.Before(p.first) {
			p.first = l.OrderedAt
		}
		p.lines = append(p.lines, l)
		p.net += l.NetCents
		p.discount += l.DiscountCents
		p.units += int(l.Quantity)
	}
	n := len(purchases)
	if n == 0 {
		return values, false
	}
	slices.SortFunc(purchases, func(a, b *purchase) int { return int(a.day - b.day) })
	today := engine.DateOf(in.At, zone)
	a := math.Max(1, float64(today-purchases[0].day))
	r := float64(today - purchases[n-1].day)
	N := float64(n)
	p := func(key string) float64 {
		if in.Reference == nil {
			return 0.5
		}
		if v, known := in.Reference.Shares[key]; known {
			return v
		}
		return 0.5
	}
	sh := func(x, n float64, key string) float64 { return math.Min(1, (x+5*p(key))/(n+5)) }
	median := func(x []float64) float64 {
		if len(x) == 0 {
			return math.NaN()
		}
		x = slices.Sorted(slices.Values(x))
		return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
	}
	theilSen := func(y []float64) float64 {
		var s []float64
		for j := range y {
			for i := range j {
				s = append(s, (y[j]-y[i])/float64(j-i))
			}
		}
		return median(s)
	}
	distinct := func(x []string) []string {
		var d []string
		for _, s := range x {
			if s != "" && !slices.Contains(d, s) {
				d = append(d, s)
			}
		}
		return d
	}
	amount := func(cents float64) float64 { return math.Log1p(math.Max(0, cents/100)) }
	put := func(at int, v float64) { values[at] = v }

	// Frequency.
	put(atPurchases, math.Log(1+N))
	put(atPurchasesPerMonth, math.Log(30.44*N/math.Max(a, 30)))
	fading, windows := 0.0, map[engine.Date]bool{}
	for _, p := range purchases {
		fading += math.Exp(-float64(today-p.day) / 90)
		windows[(p.day-purchases[0].day)/30] = true
	}
	put(atRecentPurchases, math.Log(1+fading))
	put(atActiveShare, math.Min(1, float64(len(windows))/math.Ceil(a/30)))

	// Refunds: those known, those lines that name an order, the rest by day.
	var refundSum, refundUnits float64
	hit := func(p *purchase, cents int64, day engine.Date) {
		p.refunded += cents
		if !p.hit || day < p.refundedFrom {
			p.refundedFrom = day
		}
		p.hit = true
	}
	for _, p := range purchases {
		for _, l := range p.lines {
			known := l.RefundKnownAt()
			if known.Before(l.OrderedAt) {
				known = l.OrderedAt
			}
			if l.RefundCents <= 0 || !known.Before(cut) {
				continue
			}
			refundSum += float64(l.RefundCents)
			share := 1.0
			if l.NetCents > l.RefundCents {
				share = float64(l.RefundCents) / float64(l.NetCents)
			}
			refundUnits += float64(l.Quantity) * share
			hit(p, l.RefundCents, engine.DateOf(known, zone))
		}
	}
	byDay := map[engine.Date]int64{}
	for _, l := range back {
		cents := max(l.NetCents, -l.NetCents)
		refundSum += float64(cents)
		refundUnits += float64(-l.Quantity)
		day := engine.DateOf(l.OrderedAt, zone)
		var of *purchase
		if have.Has(engine.ColumnOrderID) {
			for _, p := range purchases {
				for _, o := range p.lines {
					earlier := o.OrderedAt.Before(l.OrderedAt) || o.OrderedAt.Equal(l.OrderedAt) && indexOf(lines, o) < indexOf(lines, l)
					if o.OrderKey == l.OrderKey && earlier {
						of = p
					}
				}
			}
		}
		if of != nil {
			hit(of, cents, day)
		} else {
			byDay[day] += cents
		}
	}
	var refunds []event
	for _, p := range purchases {
		if p.hit {
			refunds = append(refunds, event{p.refundedFrom, p.refunded < p.net})
		}
	}
	for day, cents := range byDay {
		e := event{day: day}
		for _, p := range purchases {
			if p.day <= day {
				e.partial = cents < p.net
			}
		}
		refunds = append(refunds, e)
	}

	// Value.
	var netSum, grossSum, discountSum, unitSum, bulk, discounted, largest float64
	var nets, logNets []float64
	largest = math.Inf(-1)
	for _, p := range purchases {
		v := float64(p.net)
		netSum += v
		discountSum += float64(p.discount)
		grossSum += float64(p.net + p.discount)
		unitSum += float64(p.units)
		largest = math.Max(largest, v)
		nets = append(nets, v)
		logNets = append(logNets, math.Log(math.Max(0.01, v/100)))
		if p.discount > 0 {
			discounted++
		}
		for _, l := range p.lines {
			if l.Quantity >= 3 {
				bulk += float64(l.Quantity)
			}
		}
	}
	put(atTotalValue, amount(netSum-refundSum))
	put(atMedianOrderValue, amount(median(nets)))
	put(atMaxOrderValue, amount(largest))
	put(atDiscountedOrders, sh(discounted, N, "discounted_orders"))
	if grossSum > 0 {
		put(atDiscountRate, math.Min(1, math.Max(0, discountSum/grossSum)))
	}
	if n >= 3 {
		splurges := 0.0
		for _, v := range nets {
			if v > 2*median(nets) {
				splurges++
			}
		}
		put(atSplurgeShare, splurges/N)
		put(atValueSlope, theilSen(logNets))
	}

	// Prices against the store's.
	if in.Reference != nil {
		var units, sum, categoryUnits, premium float64
		var percentiles, weights []float64
		for _, l := range bought {
			q := float64(l.Quantity)
			if usual, known := in.Reference.Prices[l.SKU]; known && l.SKU != "" {
				units += q
				sum += q * (math.Log(math.Max(0.01, float64(l.NetCents)/100/q)) - math.Log(math.Max(0.01, float64(usual))))
			}
			if prices, known := in.Reference.Categories[l.Category]; known && l.Category != "" {
				price := float32(float64(l.GrossCents()) / 100 / q)
				categoryUnits += q
				if price > prices[30] {
					premium += q
				}
				percentiles = append(percentiles, naivePercentile(prices, price))
				weights = append(weights, q)
			}
		}
		if units > 0 {
			put(atRelativePrice, sum/units)
		}
		if categoryUnits > 0 {
			mean, variance := 0.0, 0.0
			for i, x := range percentiles {
				mean += weights[i] * x / categoryUnits
			}
			for i, x := range percentiles {
				variance += weights[i] * (x - mean) * (x - mean) / categoryUnits
			}
			put(atPricePercentile, mean)
			put(atPremiumShare, premium/categoryUnits)
			if len(percentiles) >= 2 {
				put(atPriceSpread, math.Sqrt(variance))
			}
		}
	}

	// Baskets, articles, categories.
	var logUnits, logSKUs, skuOrders float64
	var skus, categories []string
	var laterLines, repeatLines float64
	var intervals []float64
	var categoryOrders, mixed, exploring, pairs, changes float64
	for k, p := range purchases {
		logUnits += math.Log(float64(p.units)) / N
		spend := map[string]int64{}
		for _, l := range p.lines {
			p.skus = append(p.skus, l.SKU)
			p.categories = append(p.categories, l.Category)
			spend[l.Category] += l.NetCents
			if k > 0 && l.SKU != "" {
				laterLines++
				if slices.Contains(skus, l.SKU) {
					repeatLines++
				}
			}
		}
		p.skus, p.categories = distinct(p.skus), distinct(p.categories)
		if len(p.skus) > 0 {
			skuOrders++
			logSKUs += math.Log(float64(len(p.skus)))
		}
		for _, sku := range p.skus {
			for j := k - 1; j >= 0; j-- {
				if slices.Contains(purchases[j].skus, sku) {
					intervals = append(intervals, float64(p.day-purchases[j].day))
					break
				}
			}
		}
		skus = distinct(append(skus, p.skus...))
		if len(p.categories) > 0 {
			categoryOrders++
			if len(p.categories) > 1 {
				mixed++
			}
			if known := len(categories); categoryOrders > 1 && len(distinct(append(slices.Clone(categories), p.categories...))) > known {
				exploring++
			}
			p.main = p.categories[0]
			for _, c := range p.categories {
				if spend[c] > spend[p.main] {
					p.main = c
				}
			}
			if k > 0 && purchases[k-1].main != "" {
				pairs++
				if purchases[k-1].main != p.main {
					changes++
				}
			}
		}
		categories = distinct(append(categories, p.categories...))
	}
	put(atUnitsPerOrder, logUnits)
	put(atSKUsPerOrder, logSKUs/skuOrders)
	if categoryOrders > 0 {
		put(atMixedOrders, sh(mixed, categoryOrders, "mixed_orders"))
	}
	put(atBulkShare, bulk/unitSum)
	if categoryOrders > 1 {
		put(atExploringOrders, sh(exploring, categoryOrders-1, "exploring_orders"))
	}
	put(atCategorySwitches, changes/pairs)
	ordersWith := func(sku, category string) int {
		orders := 0
		for _, p := range purchases {
			if slices.ContainsFunc(p.lines, func(l engine.Line) bool {
				return (sku == "" || l.SKU == sku) && (category == "" || l.Category == category)
			}) {
				orders++
			}
		}
		return orders
	}
	if n > 1 && len(skus) > 0 {
		repeated := 0.0
		for _, sku := range skus {
			if ordersWith(sku, "") > 1 {
				repeated++
			}
		}
		put(atRepeatedSKUs, repeated/float64(len(skus)))
	}
	put(atRepeatLines, repeatLines/laterLines)
	put(atNovelSKUs, 1-repeatLines/laterLines)
	put(atRepurchaseInterval, math.Log(median(intervals)))

	// Spend by category and by article.
	spendOf := func(match func(*engine.Line) bool) float64 {
		sum := 0.0
		for i := range bought {
			if match(&bought[i]) {
				sum += float64(bought[i].NetCents)
			}
		}
		return sum
	}
	if len(categories) > 0 {
		total, deep, top, topSpend := 0.0, 0.0, "", math.Inf(-1)
		var spends []float64
		for _, c := range categories {
			s := spendOf(func(l *engine.Line) bool { return l.Category == c })
			if s > topSpend {
				top, topSpend = c, s
			}
			total += math.Max(0, s)
			spends = append(spends, math.Max(0, s))
			if ordersWith("", c) >= 3 {
				deep++
			}
		}
		if total > 0 {
			entropy := 0.0
			for _, s := range spends {
				if s > 0 {
					entropy -= s / total * math.Log(s/total)
				}
			}
			put(atCategoryEntropy, entropy)
			put(atTopCategoryShare, topSpend/total)
		}
		put(atDeepCategories, math.Log(1+deep))
		var inTop, all []string
		for _, l := range bought {
			if l.Category == top {
				inTop = append(inTop, l.SKU)
			}
			if l.Category != "" {
				all = append(all, l.Category)
			}
		}
		if known := len(distinct(inTop)); known > 0 {
			put(atTopCategorySKUs, math.Log(float64(known)))
		}
		if len(all) >= 5 {
			put(atExpectedCategories, naiveRarefaction(all))
		}
	}
	if len(skus) > 0 {
		total, squares := 0.0, 0.0
		for _, sku := range skus {
			total += math.Max(0, spendOf(func(l *engine.Line) bool { return l.SKU == sku }))
		}
		for _, sku := range skus {
			share := math.Max(0, spendOf(func(l *engine.Line) bool { return l.SKU == sku })) / total
			squares += share * share
		}
		if total > 0 {
			put(atSKUConcentration, squares)
		}
	}

	// Maturity, trajectory, regularity.
	var gaps, logGaps []float64
	for i := 1; i < n; i++ {
		g := float64(purchases[i].day - purchases[i-1].day)
		gaps = append(gaps, g)
		logGaps = append(logGaps, math.Log(g))
	}
	put(atTenure, math.Log(1+a))
	put(atActiveSpan, math.Min(1, float64(purchases[n-1].day-purchases[0].day)/a))
	if n > 1 {
		put(atDaysToSecond, logGaps[0])
		put(atRelativeRecency, math.Log(1+r/median(gaps)))
		put(atMedianGap, math.Log(median(gaps)))
	}
	if float64(today-purchases[0].day) >= 180 {
		late, early := 0.5, 0.5
		for _, p := range purchases {
			switch age := today - p.day; {
			case age <= 90:
				late++
			case age <= 180:
				early++
			}
		}
		put(atRecentTrend, math.Log(late/early))
	}
	if n >= 4 {
		put(atGapSlope, theilSen(logGaps))
	}
	put(atRecency, math.Log(1+r))
	if n >= 3 {
		mean, variance := 0.0, 0.0
		for _, g := range gaps {
			mean += g / (N - 1)
		}
		for _, g := range gaps {
			variance += (g - mean) * (g - mean) / (N - 1)
		}
		put(atGapVariation, math.Sqrt(variance)/mean)
		var events []int
		for _, p := range purchases {
			events = append(events, int(p.day-purchases[0].day)+1)
		}
		put(atClumpiness, naiveClumpiness(events, int(today-purchases[0].day)))
	}

	// Returns and problems.
	put(atRefundedValue, 0)
	if refundSum > 0 {
		put(atRefundedValue, 1)
		if netSum > 0 {
			put(atRefundedValue, math.Min(1, refundSum/netSum))
		}
	}
	put(atRefundedUnits, math.Min(1, refundUnits/unitSum))
	put(atRefundedOrders, sh(float64(len(refunds)), N, "refunded_orders"))
	if n > 1 && len(refunds) > 0 {
		partial, recovered := 0.0, 0.0
		for _, e := range refunds {
			if e.partial {
				partial++
			}
			if slices.ContainsFunc(purchases, func(p *purchase) bool { return p.day > e.day && p.day <= e.day+60 }) {
				recovered++
			}
		}
		put(atPartialRefunds, partial/float64(len(refunds)))
		put(atRecoveredRefunds, recovered/float64(len(refunds)))
	}

	// Cadence.
	var weekend, office, hourCos, hourSin, yearCos, yearSin float64
	for _, p := range purchases {
		if w := p.day.Weekday(); w == time.Saturday || w == time.Sunday {
			weekend++
		}
		local := p.first.In(zone)
		if local.Hour() >= 9 && local.Hour() < 17 {
			office++
		}
		hour := float64(local.Hour()) + float64(local.Minute())/60 + float64(local.Second())/3600
		hourCos += math.Cos(hour/24*2*math.Pi) / N
		hourSin += math.Sin(hour/24*2*math.Pi) / N
		year, _, _ := p.day.Calendar()
		length := time.Date(year, time.December, 31, 0, 0, 0, 0, time.UTC).YearDay()
		angle := 2 * math.Pi * float64(p.day.UTC().YearDay()-1) / float64(length)
		yearCos += math.Cos(angle) / N
		yearSin += math.Sin(angle) / N
	}
	put(atWeekendShare, sh(weekend, N, "weekend_share"))
	put(atOfficeHoursShare, sh(office, N, "office_hours_share"))
	put(atHourCosine, hourCos)
	put(atHourSine, hourSin)
	if n >= 3 {
		put(atSeasonality, math.Hypot(yearCos, yearSin))
	}

	for i := range engine.Axes {
		for j := range engine.Axes[i].Features {
			if !have.Has(engine.Axes[i].Features[j].Needs) {
				values[engine.Axes[i].First+j] = math.NaN()
			}
		}
	}
	return values, true
}

// indexOf finds a line by its number, which generated lines have to themselves.
func indexOf(lines []engine.Line, l engine.Line) int {
	return slices.IndexFunc(lines, func(o engine.Line) bool { return o.Number == l.Number })
}

// naiveClumpiness is the formula of Zhang, Bradlow and Small on events on days 1 to days+1.
func naiveClumpiness(events []int, days int) float64 {
	var intervals []int
	before := 0
	for _, e := range events {
		intervals = append(intervals, e-before)
		before = e
	}
	intervals = append(intervals, days+1-before)
	sum := 0.0
	for _, i := range intervals {
		if x := float64(i) / float64(days+1); x > 0 {
			sum += x * math.Log(x)
		}
	}
	return 1 + sum/math.Log(float64(len(events)+1))
}

// naiveRarefaction is the mean number of categories over all draws of 5 lines, by binomial coefficients.
func naiveRarefaction(categories []string) float64 {
	choose := func(n, k int) float64 {
		if n < k {
			return 0
		}
		c := 1.0
		for i := range k {
			c = c * float64(n-i) / float64(i+1)
		}
		return c
	}
	counts := map[string]int{}
	for _, c := range categories {
		counts[c]++
	}
	expected := 0.0
	for _, n := range counts {
		expected += 1 - choose(len(categories)-n, 5)/choose(len(categories), 5)
	}
	return expected
}

// naivePercentile walks through the quantiles.
func naivePercentile(quantiles []float32, price float32) float64 {
	var equal []float64
	for i, q := range quantiles {
		if q == price {
			equal = append(equal, float64(i)/40)
		}
	}
	if len(equal) > 0 {
		return (equal[0] + equal[len(equal)-1]) / 2
	}
	for i := 1; i < len(quantiles); i++ {
		if low, high := quantiles[i-1], quantiles[i]; low < price && price < high {
			return (float64(i-1) + float64(price-low)/float64(high-low)) / 40
		}
	}
	if price > quantiles[0] {
		return 1
	}
	return 0
}
