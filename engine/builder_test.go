package engine

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const allColumns = ColumnOrderID | ColumnSKU | ColumnCategory | ColumnDiscount | ColumnReturns | ColumnTimeOfDay

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
	for i := range Axes {
		for j := range Axes[i].Features {
			key := Axes[i].Features[j].Key
			if place, ok := want[key]; !ok || place != Axes[i].First+j {
				t.Errorf("%s stands at %d, the registry has it at %d", key, place, Axes[i].First+j)
			}
		}
	}
	if atEnd != FeatureCount || len(want) != FeatureCount {
		t.Errorf("%d places and %d names for %d features", atEnd, len(want), FeatureCount)
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
func drawLines(t *rapid.T) []Line {
	at := testStart
	span := rapid.SampledFrom([]int{0, 1, 6, 30, 100}).Draw(t, "span")
	var lines []Line
	for o := range rapid.IntRange(1, 14).Draw(t, "orders") {
		at = at.Add(time.Duration(rapid.IntRange(0, span).Draw(t, "days"))*24*time.Hour +
			time.Duration(rapid.IntRange(0, 12).Draw(t, "hours"))*time.Hour)
		for range rapid.IntRange(1, 4).Draw(t, "lines") {
			l := Line{
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
	}
	return lines
}

func drawReference(t *rapid.T, label string) *Reference {
	if rapid.IntRange(0, 4).Draw(t, label) == 0 {
		return nil
	}
	r := &Reference{Shares: map[string]float64{}, Prices: map[string]float32{}, Categories: map[string][]float32{}}
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
func drawInstants(t *rapid.T, zone *time.Location, last time.Time) []Instant {
	days := int(last.Sub(testStart).Hours()/24) + 100
	references := []*Reference{drawReference(t, "first reference"), drawReference(t, "second reference")}
	var at []Instant
	for range rapid.IntRange(1, 12).Draw(t, "instants") {
		in := Instant{At: (DateOf(testStart, zone) + Date(rapid.IntRange(0, days).Draw(t, "day"))).In(zone)}
		if rapid.Bool().Draw(t, "within") {
			in.At = in.At.Add(time.Duration(rapid.IntRange(0, 23).Draw(t, "hour")) * time.Hour)
		}
		at = append(at, in)
	}
	slices.SortFunc(at, func(a, b Instant) int { return a.At.Compare(b.At) })
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
		have := rapid.SampledFrom([]Columns{allColumns, allColumns, allColumns &^ ColumnOrderID, allColumns &^ ColumnSKU, 0}).Draw(t, "columns")
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
		builders[key].Build(lines, at, func(i int, f *Features) {
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

// sameFeature compares to the precision in which features are stored.
func sameFeature(got, want float64) bool {
	if math.IsNaN(want) || math.IsNaN(got) {
		return math.IsNaN(want) && math.IsNaN(got)
	}
	return math.Abs(got-want) <= 2e-6*math.Max(1, math.Abs(want))
}

func featureKey(place int) string {
	for i := range Axes {
		if a := &Axes[i]; place < a.First+len(a.Features) {
			return a.Features[place-a.First].Key
		}
	}
	return "none"
}

// naiveActive tells whether a line or refund became known in [what the instant before knew, what this one knows).
func naiveActive(lines []Line, at []Instant, i int) bool {
	known := func(in Instant) time.Time {
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
		if l.Quantity != 0 && within(l.OrderedAt) || l.Quantity > 0 && l.RefundCents > 0 && within(refund) {
			return true
		}
	}
	return false
}
