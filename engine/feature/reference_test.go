package feature

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

// TestReferenceByHand has ten lines of one article and one category.
func TestReferenceByHand(t *testing.T) {
	t.Parallel()
	month := engine.NewDate(2024, time.March, 1)
	var lines []engine.Line
	for i, net := range []int64{100, 100, 200, 400, 800} {
		lines = append(lines, engine.Line{
			OrderKey: fmt.Sprint(i), OrderedAt: (month - 10 + engine.Date(i)).UTC().Add(10 * time.Hour),
			SKU: "a", Category: "x", Quantity: 2, NetCents: 2 * net, DiscountCents: 200,
		})
	}
	lines = append(lines,
		engine.Line{OrderKey: "old", OrderedAt: (month - 366).UTC(), SKU: "a", Category: "x", Quantity: 1, NetCents: 9900},
		engine.Line{OrderKey: "back", OrderedAt: (month - 3).UTC(), SKU: "a", Category: "x", Quantity: -1, NetCents: -9900},
		engine.Line{OrderKey: "next", OrderedAt: month.UTC(), SKU: "a", Category: "x", Quantity: 1, NetCents: 9900},
	)
	b := NewReferenceBuilder(time.UTC, engine.AllColumns, []engine.Date{engine.NewDate(2023, time.January, 1), month})
	b.Add(lines)
	references := b.References()
	if diff := cmp.Diff(&engine.Reference{Month: engine.NewDate(2023, time.January, 1), Shares: map[string]float64{}}, references[0]); diff != "" {
		t.Errorf("before the first order (-want +got):\n%s", diff)
	}
	r := references[1]
	if len(r.Prices) != 1 || r.Prices["a"] != 2 {
		t.Errorf("median prices %v, want 2 for a", r.Prices)
	}
	q := r.Categories["x"] // prices before discount 2, 2, 3, 5, 9
	if len(q) != priceQuantiles || q[0] != 2 || q[10] != 2 || q[20] != 3 || q[25] != 4 || q[30] != 5 || q[40] != 9 {
		t.Errorf("quantiles %v", q)
	}
	// Six purchases: 20 to 24 February 2024 are Tuesday to Saturday, 1 March 2023 was a Wednesday; the return is a day of its
	// own.
	for key, want := range map[string]float64{
		"discounted_orders": 5.0 / 6, "mixed_orders": 0, "refunded_orders": 1.0 / 6, "exploring_orders": 0, "weekend_share": 1.0 / 6,
		"office_hours_share": 5.0 / 6,
	} {
		near(t, key, r.Shares[key], want, 1e-12)
	}
}

// TestPricePercentile is about prices between, on and outside of the quantiles.
func TestPricePercentile(t *testing.T) {
	t.Parallel()
	quantiles := make([]float32, priceQuantiles)
	for i := range quantiles {
		quantiles[i] = float32(max(10, i)) // 10 eleven times, then 11 to 40
	}
	for price, want := range map[float32]float64{9: 0, 10: 5.0 / 40, 10.5: 10.5 / 40, 30: 30.0 / 40, 40: 1, 41: 1} {
		for guess := range priceQuantiles + 1 {
			near(t, fmt.Sprint("percentile of ", price), pricePercentile(quantiles, price, rank(quantiles, price, guess)), want, 1e-6)
		}
		near(t, fmt.Sprint("naive percentile of ", price), naivePercentile(quantiles, price), want, 1e-6)
	}
	same := make([]float32, priceQuantiles)
	near(t, "percentile of the only price", pricePercentile(same, 0, 0), 0.5, 0)
}

// TestReferenceFromScratch holds references against counting everything anew, for customers in any order and divided
// among builders in any way.
func TestReferenceFromScratch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := drawZone(t)
		var customers [][]engine.Line
		for range rapid.IntRange(1, 6).Draw(t, "customers") {
			customers = append(customers, drawLines(t))
		}
		var months []engine.Date
		for month := engine.ReferenceMonth(testStart, zone); len(months) < 20; month = month.AddMonths(1) {
			if rapid.Bool().Draw(t, "wanted") {
				months = append(months, month)
			}
			if rapid.IntRange(0, 19).Draw(t, "enough") == 0 {
				break
			}
		}
		builders := []*ReferenceBuilder{
			NewReferenceBuilder(zone, engine.AllColumns, months), NewReferenceBuilder(zone, engine.AllColumns, months), NewReferenceBuilder(zone, engine.AllColumns, months),
		}
		random := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
		for _, i := range random.Perm(len(customers)) {
			builders[0].Add(customers[i])
			builders[1+random.IntN(2)].Add(customers[i])
		}
		if err := builders[1].Merge(builders[2]); err != nil {
			t.Fatal(err)
		}
		got := builders[0].References()
		if diff := cmp.Diff(got, builders[1].References()); diff != "" {
			t.Errorf("merged (-one builder +merged):\n%s", diff)
		}
		for i, month := range months {
			if diff := cmp.Diff(naiveReference(customers, month, zone), got[i], cmp.Comparer(samePrice)); diff != "" {
				t.Errorf("%s (-from scratch +builder):\n%s", month, diff)
			}
		}
	})
}

// samePrice allows for the last digit.
func samePrice(a, b float32) bool {
	return math.Abs(float64(a-b)) <= 1e-6*max(1, math.Abs(float64(a)))
}

// naiveReference counts from scratch. The x of a share is read from the feature, (x + 5p)/(n + 5), with a p that keeps it
// from being capped at 1.
func naiveReference(customers [][]engine.Line, month engine.Date, zone *time.Location) *engine.Reference {
	r := &engine.Reference{Month: month, Shares: map[string]float64{}}
	prices := map[string][]float64{}
	grosses := map[string][]float64{}
	x, n := map[string]float64{}, map[string]float64{}
	const farBelow = -1000
	none := &engine.Reference{Shares: map[string]float64{}}
	for _, key := range shareKeys {
		none.Shares[key] = farBelow
	}
	for _, lines := range customers {
		lines = slices.DeleteFunc(slices.Clone(lines), func(l engine.Line) bool { return !l.CancelledAt.IsZero() })
		values, ok := naiveFeatures(lines, engine.Instant{At: month.In(zone), Reference: none}, zone, engine.AllColumns)
		if !ok {
			continue
		}
		days, named := map[engine.Date]bool{}, map[engine.Date]bool{}
		for _, l := range lines {
			day := engine.DateOf(l.OrderedAt, zone)
			if l.Quantity <= 0 || day >= month {
				continue
			}
			days[day] = true
			if l.Category != "" {
				named[day] = true
			}
			if day < month-365 {
				continue
			}
			if l.SKU != "" {
				prices[l.SKU] = append(prices[l.SKU], float64(unitPrice(l.NetCents, l.Quantity)))
			}
			if l.Category != "" {
				grosses[l.Category] = append(grosses[l.Category], float64(unitPrice(l.GrossCents(), l.Quantity)))
			}
		}
		for s, key := range shareKeys {
			of := float64(len(days))
			switch share(s) {
			case shareMixed:
				of = float64(len(named))
			case shareExploring:
				of = max(0, float64(len(named)-1))
			}
			for k := range engine.FeatureCount {
				if featureKey(k) == key && of > 0 {
					x[key] += math.Round(values[k]*(of+5) - 5*farBelow)
					n[key] += of
				}
			}
		}
	}
	for _, key := range shareKeys {
		if n[key] > 0 {
			r.Shares[key] = min(1, x[key]/n[key])
		}
	}
	quantile := func(x []float64, p float64) float32 {
		slices.Sort(x)
		h := p * float64(len(x)-1)
		low := int(math.Floor(h + 1e-9))
		if low == len(x)-1 {
			return float32(x[low])
		}
		return float32(x[low] + max(0, h-float64(low))*(x[low+1]-x[low]))
	}
	for sku, p := range prices {
		if len(p) >= 5 {
			if r.Prices == nil {
				r.Prices = map[string]float32{}
			}
			r.Prices[sku] = quantile(p, 0.5)
		}
	}
	for category, p := range grosses {
		if r.Categories == nil {
			r.Categories = map[string][]float32{}
		}
		for j := range priceQuantiles {
			r.Categories[category] = append(r.Categories[category], quantile(p, float64(j)/40))
		}
	}
	return r
}

func TestMergeOfOtherMonths(t *testing.T) {
	t.Parallel()
	a := NewReferenceBuilder(nil, 0, []engine.Date{engine.NewDate(2024, time.March, 1)})
	if err := a.Merge(NewReferenceBuilder(nil, 0, nil)); engine.CodeOf(err) != engine.CodeInternal || err == nil {
		t.Errorf("error %v, want one", err)
	}
}
