package engine

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// realStore is a store of the sample data with its lines by customer.
type realStore struct {
	name      string
	have      Columns
	customers [][]Line
	lines     int
	from, to  Date
}

// realStores are read once for all tests.
var realStores = map[string]func() (*realStore, error){
	"cdnow": sync.OnceValues(func() (*realStore, error) {
		return readStore("cdnow_full.csv.gz", 0)
	}),
	"cdnow sample": sync.OnceValues(func() (*realStore, error) {
		return readStore("cdnow_sample.csv.gz", 0)
	}),
	"online retail": sync.OnceValues(func() (*realStore, error) {
		return readStore("online_retail_2010_2011.csv.gz", ColumnOrderID|ColumnSKU|ColumnReturns|ColumnTimeOfDay)
	}),
	"superstore": sync.OnceValues(func() (*realStore, error) {
		return readStore("superstore.csv.gz", allColumns&^ColumnTimeOfDay)
	}),
}

// loadStore gives a store, and skips where the data are not there, which continuous integration must not.
func loadStore(tb testing.TB, name string) *realStore {
	tb.Helper()
	store, err := realStores[name]()
	switch {
	case errors.Is(err, os.ErrNotExist) && os.Getenv("CI") != "true":
		tb.Skipf("the sample data are not there: %v", err)
	case err != nil:
		tb.Fatalf("reading %s: %v", name, err)
	}
	return store
}

// dataFile finds a file of the data folder, which stands beside the module's.
func dataFile(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared", "data", name), nil
		}
		if filepath.Dir(dir) == dir {
			return "", os.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
}

func readStore(file string, have Columns) (*realStore, error) {
	path, err := dataFile(file)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	rows := csv.NewReader(unzipped)
	rows.ReuseRecord = true
	if _, err := rows.Read(); err != nil { // header
		return nil, err
	}
	store := &realStore{name: file, have: have, from: math.MaxInt32}
	places := map[string]int{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if row[1] == "" {
			continue
		}
		l, err := readLine(row, store.lines)
		if err != nil {
			return nil, err
		}
		if l.Quantity == 0 {
			continue
		}
		place, ok := places[row[1]]
		if !ok {
			place = len(store.customers)
			places[strings.Clone(row[1])] = place
			store.customers = append(store.customers, nil)
		}
		store.customers[place] = append(store.customers[place], l)
		store.lines++
		day := DateOf(l.OrderedAt, time.UTC)
		store.from, store.to = min(store.from, day), max(store.to, day+1)
	}
	for _, lines := range store.customers {
		slices.SortStableFunc(lines, func(a, b Line) int { return a.OrderedAt.Compare(b.OrderedAt) })
	}
	return store, nil
}

// readLine reads store_id,customer_id,order_id,ordered_at,sku,category,quantity,unit_price,discount,refunded.
func readLine(row []string, number int) (Line, error) {
	at, err := time.Parse(time.RFC3339, row[3])
	if err != nil {
		return Line{}, err
	}
	quantity, err := strconv.Atoi(row[6])
	if err != nil {
		return Line{}, err
	}
	price, err := strconv.ParseFloat(row[7], 64)
	if err != nil {
		return Line{}, err
	}
	discount := 0.0
	if row[8] != "" {
		if discount, err = strconv.ParseFloat(row[8], 64); err != nil {
			return Line{}, err
		}
	}
	l := Line{
		OrderKey: strings.Clone(row[2]), Number: int32(number), OrderedAt: at,
		SKU: strings.ToLower(strings.TrimSpace(row[4])), Category: strings.Clone(row[5]),
		Quantity:      int32(quantity),
		NetCents:      int64(math.Round((float64(quantity)*price - discount) * 100)),
		DiscountCents: int64(math.Round(discount * 100)),
	}
	if l.OrderKey == "" {
		l.OrderKey = fmt.Sprint("row ", number)
	}
	if row[9] == "true" && quantity > 0 {
		l.RefundCents = l.NetCents
	}
	return l, nil
}

// instants gives the store's weeks, with their references, and then the day after the last order.
func (s *realStore) instants(from Date) []Instant {
	months := []Date{}
	for m := s.from.Month(); m <= s.to; m = m.AddMonths(1) {
		months = append(months, m)
	}
	builder := NewReferenceBuilder(time.UTC, s.have, months)
	for _, lines := range s.customers {
		builder.Add(lines)
	}
	references := map[Date]*Reference{}
	for _, r := range builder.References() {
		references[r.Month] = r
	}
	var at []Instant
	for _, d := range append(Weekly.Dates(from, s.to), s.to) {
		at = append(at, Instant{At: d.UTC(), Reference: references[d.Month()]})
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
			store := loadStore(t, name)
			at := store.instants(store.to - 60)
			builder := NewBuilder(time.UTC, store.have)
			defined := [FeatureCount]int{}
			customers := 0
			for c, lines := range store.customers {
				scratch := c%40 == 0 && len(lines) < 60 // from scratch takes long
				builder.Build(lines, at, func(i int, f *Features) {
					if i == len(at)-1 {
						customers++
					}
					if scratch {
						want, _ := naiveFeatures(lines, at[i], time.UTC, store.have)
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
			for i := range Axes {
				for j := range Axes[i].Features {
					k := Axes[i].First + j
					if on := store.have.Has(Axes[i].Features[j].Needs); on != (defined[k] > 0) {
						t.Errorf("%s: on %t, defined for %d customers", featureKey(k), on, defined[k])
					}
				}
			}
		})
	}
}

// madeStore has customers of 12 lines over two years, with everything that a line can say, in a shop of 5,000 articles in 40
// categories.
func madeStore() *realStore {
	random := rand.New(rand.NewPCG(1, 2))
	first := NewDate(2023, time.January, 1)
	store := &realStore{name: "made", have: allColumns, from: first, to: first + 730}
	for range 10_000 {
		var lines []Line
		at := first.UTC().Add(time.Duration(random.IntN(300*24*60)) * time.Minute)
		for o := range 6 {
			for n := range 2 {
				sku := int(5000 * math.Pow(random.Float64(), 3))
				l := Line{
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
		store.customers = append(store.customers, lines)
		store.lines += len(lines)
	}
	return store
}

// BenchmarkReference measures lines a second of the pass that makes the references of two years.
func BenchmarkReference(b *testing.B) {
	store := madeStore()
	for b.Loop() {
		if at := store.instants(store.to); len(at) != 1 {
			b.Fatalf("%d instants", len(at))
		}
	}
	b.ReportMetric(float64(b.N*store.lines)/b.Elapsed().Seconds()/1e6, "Mlines/s")
}

// BenchmarkBuild measures lines a second of the processor in one pass, and what 53 weekly instants cost beside it: in turn, so
// that other work on the machine slows both.
func BenchmarkBuild(b *testing.B) {
	for _, name := range []string{"made", "cdnow", "online retail", "superstore"} {
		store := madeStore()
		if name != store.name {
			store = loadStore(b, name)
		}
		all := store.instants(store.to - 52*7)
		b.Run(name, func(b *testing.B) {
			builder := NewBuilder(time.UTC, store.have)
			var spent [2]time.Duration
			b.ReportAllocs()
			for b.Loop() {
				for kind, at := range [][]Instant{all[len(all)-1:], all[len(all)-53:]} {
					began := processorTime(b)
					for _, lines := range store.customers {
						builder.Build(lines, at, func(int, *Features) {})
					}
					spent[kind] += processorTime(b) - began
				}
			}
			b.ReportMetric(float64(b.N*store.lines)/spent[0].Seconds()/1e6, "Mlines/cpu-s")
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
