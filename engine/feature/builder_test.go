package feature

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

func TestFeaturePlaces(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"purchases": atPurchases, "active_share": atActiveShare, "total_value": atTotalValue, "max_order_value": atMaxOrderValue,
		"discounted_orders": atDiscountedOrders, "relative_price": atRelativePrice, "price_percentile": atPricePercentile,
		"price_spread": atPriceSpread, "premium_share": atPremiumShare, "splurge_share": atSplurgeShare,
		"units_per_order": atUnitsPerOrder, "skus_per_order": atSKUsPerOrder, "mixed_orders": atMixedOrders, "bulk_share": atBulkShare,
		"tenure": atTenure, "active_span": atActiveSpan, "days_to_second": atDaysToSecond, "recent_trend": atRecentTrend,
		"gap_slope": atGapSlope, "value_slope": atValueSlope, "relative_recency": atRelativeRecency, "repeated_skus": atRepeatedSKUs,
		"repeat_lines": atRepeatLines, "repurchase_interval": atRepurchaseInterval, "refunded_value": atRefundedValue,
		"refunded_units": atRefundedUnits, "refunded_orders": atRefundedOrders, "category_switches": atCategorySwitches,
		"novel_skus": atNovelSKUs, "partial_refunds": atPartialRefunds, "recovered_refunds": atRecoveredRefunds,
		"category_entropy": atCategoryEntropy, "expected_categories": atExpectedCategories, "exploring_orders": atExploringOrders,
		"top_category_share": atTopCategoryShare, "sku_concentration": atSKUConcentration, "deep_categories": atDeepCategories,
		"top_category_skus": atTopCategorySKUs, "weekend_share": atWeekendShare, "office_hours_share": atOfficeHoursShare,
		"hour_cosine": atHourCosine, "hour_sine": atHourSine, "seasonality": atSeasonality, "recency": atRecency,
		"median_gap": atMedianGap, "gap_variation": atGapVariation, "clumpiness": atClumpiness, "median_order_value": atMedianOrderValue,
		"purchases_per_month": atPurchasesPerMonth, "recent_purchases": atRecentPurchases, "discount_rate": atDiscountRate,
	}
	for i := range engine.Axes {
		for j := range engine.Axes[i].Features {
			key := engine.Axes[i].Features[j].Key
			if place, ok := want[key]; !ok || place != engine.Axes[i].First+j {
				t.Errorf("%s stands at %d, the registry has it at %d", key, place, engine.Axes[i].First+j)
			}
		}
	}
	if atEnd != engine.FeatureCount || len(want) != engine.FeatureCount {
		t.Errorf("%d places and %d names for %d features", atEnd, len(want), engine.FeatureCount)
	}
}

var testZones = []string{"UTC", "America/New_York", "Europe/London", "Pacific/Auckland", "Asia/Kolkata", "America/Santiago"}

// drawZone draws a zone, most of them with clock changes.
func drawZone(t *rapid.T) *time.Location {
	zone, err := time.LoadLocation(rapid.SampledFrom(testZones).Draw(t, "zone"))
	if err != nil {
		t.Fatalf("zone: %v", err)
	}
	return zone
}

var testStart = time.Date(2023, time.September, 20, 0, 0, 0, 0, time.UTC)

// drawLines draws the lines of one customer: orders of several lines, some on one day, returns with and without an order,
// refunds known later, gifts, gaps in what the source knows.
func drawLines(t *rapid.T) []engine.Line {
	at := testStart
	span := rapid.SampledFrom([]int{0, 1, 6, 30, 100}).Draw(t, "span")
	var lines []engine.Line
	for o := range rapid.IntRange(1, 14).Draw(t, "orders") {
		at = at.Add(time.Duration(rapid.IntRange(0, span).Draw(t, "days"))*24*time.Hour +
			time.Duration(rapid.IntRange(0, 12).Draw(t, "hours"))*time.Hour)
		for range rapid.IntRange(1, 4).Draw(t, "lines") {
			l := engine.Line{
				OrderKey:  fmt.Sprint("o", o),
				Number:    int32(len(lines) + 1),
				OrderedAt: at,
				SKU:       rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e"}).Draw(t, "sku"),
				Category:  rapid.SampledFrom([]string{"", "x", "x > y", "z"}).Draw(t, "category"),
				Quantity:  rapid.Int32Range(0, 5).Draw(t, "quantity"),
			}
			unit := rapid.SampledFrom([]int64{0, 1, 500, 999, 1000, 2500, 40000, -700}).Draw(t, "price")
			if rapid.IntRange(0, 3).Draw(t, "discounted") == 0 {
				l.DiscountCents = unit * int64(l.Quantity) / 3
			}
			l.NetCents = unit*int64(l.Quantity) - l.DiscountCents
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0:
				l.RefundCents = max(0, l.NetCents)
			case 1:
				l.RefundCents = max(0, l.NetCents/2)
				l.RefundedAt = at.Add(time.Duration(rapid.IntRange(-24, 24*70).Draw(t, "refund")) * time.Hour)
			case 2:
				l.Quantity, l.NetCents, l.DiscountCents = -l.Quantity, -l.NetCents, 0
				l.OrderKey = fmt.Sprint("o", rapid.IntRange(0, o).Draw(t, "of"))
			case 3:
				l.Quantity, l.NetCents, l.DiscountCents = -l.Quantity, -l.NetCents, 0
				l.OrderKey = "return"
			}
			lines = append(lines, l)
		}
		if rapid.IntRange(0, 5).Draw(t, "cancelled") == 0 {
			from := len(lines) - rapid.IntRange(1, len(lines)).Draw(t, "taken back")
			for i := range lines[from:] {
				lines[from+i].CancelledAt = at.Add(time.Duration(rapid.IntRange(-24, 24*70).Draw(t, "known")) * time.Hour)
			}
		}
	}
	return lines
}

func drawReference(t *rapid.T, label string) *engine.Reference {
	if rapid.IntRange(0, 4).Draw(t, label) == 0 {
		return nil
	}
	r := &engine.Reference{Shares: map[string]float64{}, Prices: map[string]float32{}, Categories: map[string][]float32{}}
	for _, key := range shareKeys {
		r.Shares[key] = rapid.Float64Range(0, 1).Draw(t, "mean")
	}
	for _, sku := range []string{"a", "b", "d"} {
		r.Prices[sku] = rapid.SampledFrom([]float32{0, 4.5, 9.99, 25}).Draw(t, "usual")
	}
	for _, category := range []string{"x", "z"} {
		quantiles := rapid.SliceOfN(rapid.SampledFrom([]float32{0, 5, 9.99, 10, 24, 25, 30}), priceQuantiles, priceQuantiles).Draw(t, "quantiles")
		slices.Sort(quantiles)
		r.Categories[category] = quantiles
	}
	return r
}

// drawInstants draws ascending instants, midnights and others, some of which know less than was known.
func drawInstants(t *rapid.T, zone *time.Location, last time.Time) []engine.Instant {
	days := int(last.Sub(testStart).Hours()/24) + 100
	references := []*engine.Reference{drawReference(t, "first reference"), drawReference(t, "second reference")}
	var at []engine.Instant
	for range rapid.IntRange(1, 12).Draw(t, "instants") {
		in := engine.Instant{At: (engine.DateOf(testStart, zone) + engine.Date(rapid.IntRange(0, days).Draw(t, "day"))).In(zone)}
		if rapid.Bool().Draw(t, "within") {
			in.At = in.At.Add(time.Duration(rapid.IntRange(0, 23).Draw(t, "hour")) * time.Hour)
		}
		at = append(at, in)
	}
	slices.SortFunc(at, func(a, b engine.Instant) int { return a.At.Compare(b.At) })
	for i := range at {
		at[i].Reference = references[i*2/len(at)]
		if i > 0 && rapid.IntRange(0, 3).Draw(t, "hindsight") == 0 {
			at[i].KnownAt = at[rapid.IntRange(0, i).Draw(t, "known")].At
		}
	}
	return at
}

// TestSinglePass holds the features of one pass over the lines against a computation from scratch at every instant.
func TestSinglePass(t *testing.T) {
	t.Parallel()
	builders := map[string]*Builder{} // reused, as in production
	rapid.Check(t, func(t *rapid.T) {
		zone := drawZone(t)
		have := rapid.SampledFrom([]engine.Columns{engine.AllColumns, engine.AllColumns, engine.AllColumns &^ engine.ColumnOrderID, engine.AllColumns &^ engine.ColumnSKU, 0}).Draw(t, "columns")
		key := fmt.Sprint(zone, have)
		if builders[key] == nil {
			builders[key] = NewBuilder(zone, have)
		}
		lines := drawLines(t)
		at := drawInstants(t, zone, lines[len(lines)-1].OrderedAt)
		next := 0
		skipped := func(to int) {
			for ; next < to; next++ {
				if _, ok := naiveFeatures(lines, at[next], zone, have); ok {
					t.Fatalf("instant %d has a purchase and was left out", next)
				}
			}
		}
		builders[key].Build(lines, at, func(i int, f *engine.Features) {
			skipped(i)
			next = i + 1
			want, ok := naiveFeatures(lines, at[i], zone, have)
			if !ok {
				t.Fatalf("instant %d has no purchase and was given", i)
			}
			for k := range want {
				if !sameFeature(float64(f.Values[k]), want[k]) {
					t.Errorf("instant %d, %s: %g in one pass, %g from scratch", i, featureKey(k), f.Values[k], want[k])
				}
			}
			if active := naiveActive(lines, at, i); f.Active != active {
				t.Errorf("instant %d: active %t, want %t", i, f.Active, active)
			}
		})
		skipped(len(at))
	})
}

// TestBorders has what random customers seldom meet.
func TestBorders(t *testing.T) {
	t.Parallel()
	day := func(d int) time.Time { return time.Date(2023, time.January, d, 12, 0, 0, 0, time.UTC) }
	bought := func(d int, cents int64) engine.Line {
		return engine.Line{OrderKey: fmt.Sprint(d), Number: int32(d), OrderedAt: day(d), SKU: "a", Category: "x", Quantity: 1, NetCents: cents}
	}
	refunded := func(l engine.Line, cents int64) engine.Line {
		l.RefundCents = cents
		return l
	}
	returned := func(d int, cents int64) engine.Line {
		return engine.Line{OrderKey: fmt.Sprint("return ", d), Number: int32(d), OrderedAt: day(d), Quantity: -1, NetCents: -cents}
	}
	other := func(d int, category string, cents int64) engine.Line {
		l := bought(d, cents)
		l.Category, l.Number = category, int32(d+1000)
		return l
	}
	manyOrders := func() (lines []engine.Line) {
		for d := range 90 {
			lines = append(lines, bought(d+1, 100))
			lines[d].OrderKey = fmt.Sprint(d)
		}
		lines[0].NetCents = 50
		return lines
	}
	orderBack := func(order string) engine.Line {
		l := returned(90, 99)
		l.OrderKey = order
		return l
	}
	for _, c := range []struct {
		what    string
		lines   []engine.Line
		seen    int
		feature int
		want    float64
	}{
		{"an order 60 days after a refund", []engine.Line{refunded(bought(1, 100), 100), bought(61, 100)}, 62, atRecoveredRefunds, 1},
		{"an order 61 days after a refund", []engine.Line{refunded(bought(1, 100), 100), bought(62, 100)}, 63, atRecoveredRefunds, 0},
		{"a refund of all", []engine.Line{refunded(bought(1, 100), 100), bought(61, 100)}, 62, atPartialRefunds, 0},
		{"a refund of a part", []engine.Line{refunded(bought(1, 100), 99), bought(61, 100)}, 62, atPartialRefunds, 1},
		{"a return of as much as was bought before", []engine.Line{bought(1, 100), returned(3, 100), bought(5, 500)}, 9, atPartialRefunds, 0},
		{"a return of less", []engine.Line{bought(1, 100), returned(3, 99), bought(5, 10)}, 9, atPartialRefunds, 1},
		{"more days with returns than orders", []engine.Line{
			bought(1, 100), returned(2, 1), returned(3, 1), returned(4, 1), returned(5, 1), returned(6, 1), returned(7, 1),
		}, 9, atRefundedOrders, 1},
		{"more returned than bought", []engine.Line{bought(1, 100), returned(2, 200)}, 9, atRefundedValue, 1},
		{"more returned than bought", []engine.Line{bought(1, 100), returned(2, 200)}, 9, atTotalValue, 0},
		{"a gift returned", []engine.Line{bought(1, 0), returned(2, 5)}, 9, atRefundedValue, 1},
		{"a gift kept", []engine.Line{bought(1, 0)}, 9, atRefundedValue, 0},
		{"a gift kept", []engine.Line{bought(1, 0)}, 9, atMedianOrderValue, 0},
		{"never returned", []engine.Line{bought(1, 100)}, 9, atRefundedOrders, 2.5 / 6},
		{"90 days ago", []engine.Line{bought(1, 100), bought(110, 100)}, 200, atRecentTrend, math.Log(1.5 / 0.5)},
		{"91 days ago", []engine.Line{bought(1, 100), bought(110, 100)}, 201, atRecentTrend, math.Log(0.5 / 1.5)},
		{"known for 180 days", []engine.Line{bought(1, 100), bought(101, 100)}, 181, atRecentTrend, 0},
		{"known for 179 days", []engine.Line{bought(1, 100), bought(101, 100)}, 180, atRecentTrend, math.NaN()},
		{"one purchase, 60 days known", []engine.Line{bought(1, 100)}, 61, atActiveShare, 0.5},
		{"one purchase, 61 days known", []engine.Line{bought(1, 100)}, 62, atActiveShare, 1.0 / 3},
		{"a purchase after 30 days", []engine.Line{bought(1, 100), bought(31, 100)}, 61, atActiveShare, 1},
		{"a new customer's purchases a month", []engine.Line{bought(1, 100)}, 2, atPurchasesPerMonth, math.Log(30.44 / 30)},
		{"of 30 days", []engine.Line{bought(1, 100)}, 31, atPurchasesPerMonth, math.Log(30.44 / 30)},
		{"of 60 days", []engine.Line{bought(1, 100)}, 61, atPurchasesPerMonth, math.Log(30.44 / 60)},
		{"fading", []engine.Line{bought(1, 100), bought(91, 100)}, 181, atRecentPurchases, math.Log(1 + math.Exp(-1) + math.Exp(-2))},
		{"equal categories: the first", []engine.Line{bought(1, 100), other(1, "y", 100), other(2, "y", 100)}, 9, atCategorySwitches, 1},
		{"the larger category", []engine.Line{bought(1, 100), other(1, "y", 101), other(2, "y", 100)}, 9, atCategorySwitches, 0},
		{"two orders a category", []engine.Line{bought(1, 1), bought(2, 1)}, 9, atDeepCategories, 0},
		{"three orders a category", []engine.Line{bought(1, 1), bought(2, 1), bought(3, 1)}, 9, atDeepCategories, math.Log(2)},
		{"twice the median is no splurge", []engine.Line{bought(1, 100), bought(2, 100), bought(3, 200)}, 9, atSplurgeShare, 0},
		{"more than twice is", []engine.Line{bought(1, 100), bought(2, 100), bought(3, 201)}, 9, atSplurgeShare, 1.0 / 3},
		{"noon is the cosine's low", []engine.Line{bought(1, 100)}, 9, atHourCosine, -1},
		{"noon is in office hours", []engine.Line{bought(2, 100)}, 9, atOfficeHoursShare, 3.5 / 6},
		{"Sunday", []engine.Line{bought(1, 100)}, 9, atWeekendShare, 3.5 / 6},
		{"Monday", []engine.Line{bought(2, 100)}, 9, atWeekendShare, 2.5 / 6},
		{"four lines", []engine.Line{other(1, "a", 1), other(1, "b", 1), other(1, "c", 1), other(1, "d", 1)}, 9, atExpectedCategories, math.NaN()},
		{"no slope of two gaps", []engine.Line{bought(1, 100), bought(2, 100), bought(4, 100)}, 9, atGapSlope, math.NaN()},
		{"gaps of 1, 2, 4", []engine.Line{bought(1, 100), bought(2, 100), bought(4, 100), bought(8, 100)}, 9, atGapSlope, math.Ln2},
		{"even gaps", []engine.Line{bought(1, 100), bought(8, 100), bought(15, 100)}, 19, atGapVariation, 0},
		{"one usual gap of silence", []engine.Line{bought(1, 100), bought(8, 100)}, 15, atRelativeRecency, math.Ln2},
		{"all of the first of many orders came back", append(manyOrders(), orderBack("0")), 99, atPartialRefunds, 0},
		{"a part of the last of them", append(manyOrders(), orderBack("89")), 99, atPartialRefunds, 1},
		{"a part of what was bought before, which no order names", append(manyOrders(), orderBack("90")), 99, atPartialRefunds, 1},
	} {
		var got []float32
		at := []engine.Instant{{At: day(c.seen).Add(-12 * time.Hour)}}
		NewBuilder(time.UTC, engine.AllColumns).Build(c.lines, at, func(_ int, f *engine.Features) { got = slices.Clone(f.Values) })
		if got == nil || !sameFeature(float64(got[c.feature]), c.want) {
			t.Errorf("%s: %s is %g, want %g", c.what, featureKey(c.feature), got[c.feature], c.want)
		}
	}
}

// TestOddInput has what a source should not give.
func TestOddInput(t *testing.T) {
	t.Parallel()
	builder := NewBuilder(nil, engine.AllColumns)
	late := []engine.Instant{{At: time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC)}}
	count := func(lines []engine.Line, at []engine.Instant) (n int) {
		builder.Build(lines, at, func(int, *engine.Features) { n++ })
		return n
	}
	if n := count(nil, late); n != 0 {
		t.Errorf("no lines: %d features", n)
	}
	if n := count(onDays(1), nil); n != 0 {
		t.Errorf("no instants: %d features", n)
	}
	zero := onDays(1)
	zero[0].Quantity = 0
	if n := count(zero, late); n != 0 {
		t.Errorf("a line of no units: %d features", n)
	}
	back := onDays(1)
	back[0].Quantity = -1
	if n := count(back, late); n != 0 {
		t.Errorf("a return alone: %d features", n)
	}
	lines := onDays(9, 2, 30, 1, 16)
	unsorted := slices.Clone(lines)
	got := featuresOf(t, unsorted, 31)
	slices.SortFunc(lines, func(a, b engine.Line) int { return a.OrderedAt.Compare(b.OrderedAt) })
	want := featuresOf(t, lines, 31)
	for k := range want {
		if !sameFeature(float64(got[k]), float64(want[k])) {
			t.Errorf("unsorted lines: %s is %g, want %g", featureKey(k), got[k], want[k])
		}
	}
	if unsorted[0].OrderedAt.Day() != 9 {
		t.Error("the caller's lines were sorted")
	}
	// Lines of the year 1 and of the far future.
	lines[0].OrderedAt = time.Time{}.Add(13 * time.Hour)
	lines[4].OrderedAt = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)
	for k, v := range featuresOf(t, lines, 31) {
		if math.IsInf(float64(v), 0) {
			t.Errorf("%s is %g", featureKey(k), v)
		}
	}
}

// TestClockSetBackOverMidnight: in Newfoundland clocks were once set back at one minute past midnight, so that a day
// ended, began again an hour later, and its last hour came twice.
func TestClockSetBackOverMidnight(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/St_Johns")
	if err != nil {
		t.Fatal(err)
	}
	midnight := time.Date(2009, time.November, 1, 0, 0, 0, 0, zone)
	var lines []engine.Line
	for i, after := range []time.Duration{-time.Minute, 30 * time.Second, 2 * time.Minute} {
		lines = append(lines, engine.Line{Number: int32(i), OrderedAt: midnight.Add(after), Quantity: 1, NetCents: 100})
	}
	NewBuilder(zone, 0).Build(lines, []engine.Instant{{At: midnight.AddDate(0, 0, 7)}}, func(_ int, f *engine.Features) {
		if f.Purchases != 2 || f.LastAt-f.FirstAt != 1 {
			t.Errorf("%d purchases from %s to %s, want 2 on consecutive days", f.Purchases, f.FirstAt, f.LastAt)
		}
	})
}

// TestForgetting has more articles than a dictionary holds.
func TestForgetting(t *testing.T) {
	t.Parallel()
	builder := NewBuilder(time.UTC, engine.AllColumns)
	lines := onDays(1, 2, 3)
	at := []engine.Instant{{At: lines[2].OrderedAt.AddDate(0, 0, 3), Reference: &engine.Reference{Prices: map[string]float32{"a": 5}}}}
	build := func() (values []float32) {
		builder.Build(lines, at, func(_ int, f *engine.Features) { values = slices.Clone(f.Values) })
		return values
	}
	want := build()
	for i := range dictionaryLimit + 1 {
		builder.skus.id(fmt.Sprint("article ", i))
	}
	got := build()
	if len(builder.skus.names) != 1 {
		t.Errorf("%d names are known after forgetting, want 1", len(builder.skus.names))
	}
	near(t, "relative price", float64(got[atRelativePrice]), float64(want[atRelativePrice]), 0)
	near(t, "relative price", float64(got[atRelativePrice]), math.Ln2, 1e-6)
}

// TestEpochs goes once around the counter that tells customers apart.
func TestEpochs(t *testing.T) {
	t.Parallel()
	builder := NewBuilder(time.UTC, engine.AllColumns)
	lines := onDays(1, 2, 3)
	at := []engine.Instant{{At: lines[2].OrderedAt.AddDate(0, 0, 3)}}
	for range 3 {
		builder.Build(lines, at, func(_ int, f *engine.Features) {
			near(t, "ln of articles in the top category", float64(f.Values[atTopCategorySKUs]), 0, 0)
			near(t, "repeated articles", float64(f.Values[atRepeatedSKUs]), 1, 0)
		})
		if builder.epoch == 1 {
			builder.epoch = math.MaxUint32
		}
	}
}

// TestNoAllocation: a builder that knows a customer's articles computes without new memory.
func TestNoAllocation(t *testing.T) {
	lines := onDays(1, 2, 3, 9, 20)
	lines[2].RefundCents, lines[2].RefundedAt = 100, lines[3].OrderedAt
	at := []engine.Instant{{At: lines[1].OrderedAt}, {At: lines[4].OrderedAt}, {At: lines[4].OrderedAt.AddDate(0, 1, 0)}}
	builder := NewBuilder(time.UTC, engine.AllColumns)
	yield := func(int, *engine.Features) {}
	if n := testing.AllocsPerRun(100, func() { builder.Build(lines, at, yield) }); n > 0 {
		t.Errorf("%g allocations a customer", n)
	}
}

// sameFeature compares to the precision in which features are stored.
func sameFeature(got, want float64) bool {
	if math.IsNaN(want) || math.IsNaN(got) {
		return math.IsNaN(want) && math.IsNaN(got)
	}
	return math.Abs(got-want) <= 2e-6*math.Max(1, math.Abs(want))
}

func featureKey(place int) string {
	for i := range engine.Axes {
		if a := &engine.Axes[i]; place < a.First+len(a.Features) {
			return a.Features[place-a.First].Key
		}
	}
	return "none"
}

// naiveActive tells whether a line, refund or cancellation became known in [what the instant before knew, what this one knows).
func naiveActive(lines []engine.Line, at []engine.Instant, i int) bool {
	known := func(in engine.Instant) time.Time {
		if !in.KnownAt.IsZero() && in.KnownAt.Before(in.At) {
			return in.KnownAt
		}
		return in.At
	}
	var from time.Time
	if i > 0 {
		from = known(at[i-1])
	}
	within := func(x time.Time) bool { return !x.Before(from) && x.Before(known(at[i])) }
	for _, l := range lines {
		refund := l.RefundKnownAt()
		if refund.Before(l.OrderedAt) {
			refund = l.OrderedAt
		}
		cancelled := !l.CancelledAt.IsZero() && l.CancelledAt.Before(known(at[i]))
		switch {
		case l.Quantity == 0:
		case within(l.OrderedAt), cancelled && within(later(l.OrderedAt, l.CancelledAt)):
			return true
		case !cancelled && l.Quantity > 0 && l.RefundCents > 0 && within(refund):
			return true
		}
	}
	return false
}
