package fit

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/synth"
)

// BenchmarkFit measures a full fit of every axis that is on: k = 2..10, hierarchy, profiles and names. Beside the wall
// clock it reports CPU seconds, the largest resident memory while fitting, table included, and CPU nanoseconds over
// n log2 n, which do not grow with n where time grows no faster than n log n. A million customers are made first, which
// takes minutes. docs/performance.md has figures.
func BenchmarkFit(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("customers=%d", n), func(b *testing.B) { benchmarkFit(b, syntheticTable(n)) })
	}
	b.Run("cdnow", func(b *testing.B) { benchmarkFit(b, realTable(b, "cdnow", 0)) })
}

func benchmarkFit(b *testing.B, table *engine.Table) {
	on := 0
	debug.FreeOSMemory()
	resetPeakMemory()
	before := cpuSeconds()
	for b.Loop() {
		model, err := Model(b.Context(), engine.DefaultParams(), 1, table, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		on = 0
		for i := range model.Axes {
			if model.Axes[i].Status == engine.AxisOn {
				on++
			}
		}
	}
	n := float64(table.Len())
	cpu := (cpuSeconds() - before) / float64(b.N)
	b.ReportMetric(cpu, "cpu-s/op")
	b.ReportMetric(1e9*cpu/(n*math.Log2(n)), "cpu-ns/(n*log2n)")
	b.ReportMetric(peakMemory(), "peak-MB")
	b.ReportMetric(float64(on), "axes")
}

// largest is the table made so far: the customers of a smaller shop are the first of a larger one.
var largest struct {
	sync.Mutex
	table *engine.Table
}

// syntheticTable makes the features of n customers of the made-up shop, who have two years of orders with all columns.
func syntheticTable(n int) *engine.Table {
	largest.Lock()
	defer largest.Unlock()
	if largest.table == nil || largest.table.Len() < n {
		largest.table = makeTable(n)
	}
	t := largest.table
	return &engine.Table{
		AsOf: t.AsOf, Columns: t.Columns, CustomerID: t.CustomerID[:n], Purchases: t.Purchases[:n],
		ValueCents: t.ValueCents[:n], TenureDays: t.TenureDays[:n], Values: t.Values[:n*engine.FeatureCount],
	}
}

const (
	referenceCustomers = 20_000 // the shop's prices and shares are known well from so many
	customersAtOnce    = 500
)

// makeTable streams the shop, so that no more than some hundred customers are in memory, and builds the features on
// every core.
func makeTable(n int) *engine.Table {
	shop := synth.Options{Seed: 1, Customers: n, End: engine.NewDate(2026, time.March, 14)}
	asOf := shop.End + 1
	references := feature.NewReferenceBuilder(time.UTC, engine.AllColumns, []engine.Date{engine.ReferenceMonth(asOf.UTC(), time.UTC)})
	known := shop
	known.Customers = min(n, referenceCustomers)
	for c := range synth.Stream(known) {
		references.Add(c.Lines)
	}
	at := []engine.Instant{{At: asOf.UTC(), Reference: references.References()[0]}}

	table := &engine.Table{
		AsOf: asOf, Columns: engine.AllColumns, CustomerID: make([]int64, n), Purchases: make([]int32, n), ValueCents: make([]int64, n),
		TenureDays: make([]int32, n), Values: make([]float32, n*engine.FeatureCount),
	}
	type batch struct {
		first     int
		customers []synth.Customer
	}
	batches := make(chan batch, 1)
	var building sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		building.Go(func() {
			builder := feature.NewBuilder(time.UTC, engine.AllColumns)
			one := engine.Table{AsOf: asOf}
			for batch := range batches {
				for i, c := range batch.customers {
					one = engine.Table{AsOf: asOf, CustomerID: one.CustomerID[:0], Purchases: one.Purchases[:0], ValueCents: one.ValueCents[:0], TenureDays: one.TenureDays[:0], Values: one.Values[:0]}
					builder.Build(c.Lines, at, func(_ int, f *engine.Features) { one.Append(int64(batch.first+i), f) })
					row := batch.first + i
					table.CustomerID[row], table.Purchases[row] = one.CustomerID[0], one.Purchases[0]
					table.ValueCents[row], table.TenureDays[row] = one.ValueCents[0], one.TenureDays[0]
					copy(table.Row(row), one.Values)
				}
			}
		})
	}
	next := batch{}
	for c := range synth.Stream(shop) {
		next.customers = append(next.customers, c)
		if len(next.customers) == customersAtOnce {
			batches <- next
			next = batch{first: next.first + customersAtOnce}
		}
	}
	batches <- next
	close(batches)
	building.Wait()
	return table
}

// resetPeakMemory makes Linux forget the largest resident memory so far; elsewhere it does nothing.
func resetPeakMemory() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peakMemory is the largest resident memory in MB (millions of bytes); NaN where the system does not tell.
func peakMemory() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
	fields := strings.Fields(string(after))
	if len(fields) == 0 {
		return math.NaN()
	}
	kib, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return math.NaN()
	}
	return kib * 1024 / 1e6
}

// cpuSeconds is what this process has used of all cores, to a hundredth; NaN where the system does not tell.
func cpuSeconds() float64 {
	stat, _ := os.ReadFile("/proc/self/stat")
	_, after, _ := bytes.Cut(stat, []byte(") ")) // the name before may hold blanks
	fields := strings.Fields(string(after))
	if len(fields) < 13 {
		return math.NaN()
	}
	user, err := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err != nil || err2 != nil {
		return math.NaN()
	}
	return (user + system) / 100
}
