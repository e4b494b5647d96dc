package feature

import (
	"fmt"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/realstore"
)

// instants gives the store's weeks, with their references, and then the day after the last order.
func instants(s *realstore.Store, from engine.Date) []engine.Instant {
	months := []engine.Date{}
	for m := s.From.Month(); m <= s.To; m = m.AddMonths(1) {
		months = append(months, m)
	}
	builder := NewReferenceBuilder(time.UTC, s.Columns, months)
	for _, lines := range s.Customers {
		builder.Add(lines)
	}
	references := map[engine.Date]*engine.Reference{}
	for _, r := range builder.References() {
		references[r.Month] = r
	}
	var at []engine.Instant
	for _, d := range append(engine.Weekly.Dates(from, s.To), s.To) {
		at = append(at, engine.Instant{At: d.UTC(), Reference: references[d.Month()]})
	}
	return at
}

// sane holds the bounds of features that have them.
var sane = map[int][2]float64{
	atPurchases: {math.Log1p(1), 7}, atPurchasesPerMonth: {-6, 4}, atRecentPurchases: {0, 5}, atActiveShare: {0.0001, 1},
	atTotalValue: {0, 15}, atMedianOrderValue: {0, 13}, atMaxOrderValue: {0, 13},
	atDiscountedOrders: {0, 1}, atDiscountRate: {0, 1}, atRelativePrice: {-8, 8},
	atPricePercentile: {0, 1}, atPriceSpread: {0, 0.5}, atPremiumShare: {0, 1}, atSplurgeShare: {0, 0.5},
	atUnitsPerOrder: {0, 12}, atSKUsPerOrder: {0, 7}, atMixedOrders: {0, 1}, atBulkShare: {0, 1},
	atTenure: {math.Log1p(1), 8}, atActiveSpan: {0, 1}, atDaysToSecond: {0, 8}, atRecentTrend: {-5, 5}, atRelativeRecency: {0, 8},
	atRepeatedSKUs: {0, 1}, atRepeatLines: {0, 1}, atRepurchaseInterval: {0, 8},
	atRefundedValue: {0, 1}, atRefundedUnits: {0, 1}, atRefundedOrders: {0, 1},
	atCategorySwitches: {0, 1}, atNovelSKUs: {0, 1}, atPartialRefunds: {0, 1}, atRecoveredRefunds: {0, 1},
	atCategoryEntropy: {0, math.Log(17)}, atExpectedCategories: {1, 5}, atExploringOrders: {0, 1},
	atTopCategoryShare: {0, 1}, atSKUConcentration: {0, 1}, atDeepCategories: {0, math.Log(18)}, atTopCategorySKUs: {0, 5},
	atWeekendShare: {0, 1}, atOfficeHoursShare: {0, 1}, atHourCosine: {-1, 1}, atHourSine: {-1, 1}, atSeasonality: {0, 1},
	atRecency: {math.Log1p(1), 8}, atMedianGap: {0, 8}, atGapVariation: {0, 15}, atClumpiness: {0, 1},
}

func TestRealStores(t *testing.T) {
	t.Parallel()
	// Customers with a purchase and purchases: the data's README and counts by another program (customer-days of rows of
	// positive quantity).
	for name, wantCustomers := range map[string]int{"cdnow": 23_570, "online retail": 4_339, "superstore": 793} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := realstore.Load(t, name)
			at := instants(store, store.To-60)
			builder := NewBuilder(time.UTC, store.Columns)
			defined := [engine.FeatureCount]int{}
			customers := 0
			for c, lines := range store.Customers {
				scratch := c%40 == 0 && len(lines) < 60 // from scratch takes long
				builder.Build(lines, at, func(i int, f *engine.Features) {
					if i == len(at)-1 {
						customers++
					}
					if scratch {
						want, _ := naiveFeatures(lines, at[i], time.UTC, store.Columns)
						for k := range want {
							if !sameFeature(float64(f.Values[k]), want[k]) {
								t.Errorf("%s of %s is %g at %s, %g from scratch", featureKey(k), lines[0].OrderKey, f.Values[k], at[i].At, want[k])
							}
						}
					}
					for k, v := range f.Values {
						x := float64(v)
						if math.IsNaN(x) {
							continue
						}
						if i == len(at)-1 {
							defined[k]++
						}
						bounds, bounded := sane[k]
						if math.IsInf(x, 0) || bounded && (x < bounds[0]-1e-6 || x > bounds[1]+1e-6) {
							t.Errorf("%s of %s is %g at %s", featureKey(k), lines[0].OrderKey, x, at[i].At)
						}
					}
				})
			}
			if customers != wantCustomers {
				t.Errorf("%d customers with a purchase, want %d", customers, wantCustomers)
			}
			for i := range engine.Axes {
				for j := range engine.Axes[i].Features {
					k := engine.Axes[i].First + j
					if on := store.Columns.Has(engine.Axes[i].Features[j].Needs); on != (defined[k] > 0) {
						t.Errorf("%s: on %t, defined for %d customers", featureKey(k), on, defined[k])
					}
				}
			}
		})
	}
}

// madeStore has customers of 12 lines over two years, with everything that a line can say, in a shop of 5,000 articles in 40
// categories.
func madeStore() *realstore.Store {
	random := rand.New(rand.NewPCG(1, 2))
	first := engine.NewDate(2023, time.January, 1)
	store := &realstore.Store{Columns: engine.AllColumns, From: first, To: first + 730}
	for range 10_000 {
		var lines []engine.Line
		at := first.UTC().Add(time.Duration(random.IntN(300*24*60)) * time.Minute)
		for o := range 6 {
			for n := range 2 {
				sku := int(5000 * math.Pow(random.Float64(), 3))
				l := engine.Line{
					OrderKey: fmt.Sprint(o), Number: int32(n + 1), OrderedAt: at,
					SKU: fmt.Sprintf("article-%05d", sku), Category: fmt.Sprintf("department %d > shelf %d", sku%5, sku%40),
					Quantity: int32(1 + random.IntN(4)), DiscountCents: int64(max(0, random.IntN(300)-200)),
				}
				l.NetCents = int64(l.Quantity)*int64(500+sku) - l.DiscountCents
				if random.IntN(20) == 0 {
					l.RefundCents, l.RefundedAt = l.NetCents, at.AddDate(0, 0, 5)
				}
				lines = append(lines, l)
			}
			at = at.Add(time.Duration(random.ExpFloat64()*70*24*60) * time.Minute)
		}
		store.Customers = append(store.Customers, lines)
		store.Lines += len(lines)
	}
	return store
}

// BenchmarkReference measures lines a second of the pass that makes the references of two years.
func BenchmarkReference(b *testing.B) {
	store := madeStore()
	for b.Loop() {
		if at := instants(store, store.To); len(at) != 1 {
			b.Fatalf("%d instants", len(at))
		}
	}
	b.ReportMetric(float64(b.N*store.Lines)/b.Elapsed().Seconds()/1e6, "Mlines/s")
}

// BenchmarkBuild measures lines a second of the processor in one pass, and what 53 weekly instants cost beside it: in turn, so
// that other work on the machine slows both.
func BenchmarkBuild(b *testing.B) {
	for _, name := range []string{"made", "cdnow", "online retail", "superstore"} {
		store := madeStore()
		if name != "made" {
			store = realstore.Load(b, name)
		}
		all := instants(store, store.To-52*7)
		b.Run(name, func(b *testing.B) {
			builder := NewBuilder(time.UTC, store.Columns)
			var spent [2]time.Duration
			b.ReportAllocs()
			for b.Loop() {
				for kind, at := range [][]engine.Instant{all[len(all)-1:], all[len(all)-53:]} {
					began := processorTime(b)
					for _, lines := range store.Customers {
						builder.Build(lines, at, func(int, *engine.Features) {})
					}
					spent[kind] += processorTime(b) - began
				}
			}
			b.ReportMetric(float64(b.N*store.Lines)/spent[0].Seconds()/1e6, "Mlines/cpu-s")
			b.ReportMetric(spent[1].Seconds()/spent[0].Seconds(), "passes")
		})
	}
}

// processorTime is what the process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
