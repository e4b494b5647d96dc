package risk

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
)

// BenchmarkCalibrateMillion measures what calibrating adds to a re-clustering of 1,000,000 customers: the look at each one's past
// and the fits, without reading the orders, which is shared with the risk weights.
func BenchmarkCalibrateMillion(b *testing.B) {
	const customers, distinct = 1_000_000, 20_000
	random := rand.New(rand.NewPCG(1, 9))
	lines := make([][]engine.Line, distinct)
	for i := range lines {
		day := observedAsOf - engine.Date(random.IntN(720))
		for n := int32(0); day < observedAsOf; n++ {
			lines[i] = append(lines[i], engine.Line{OrderKey: string(rune('a' + n)), Number: 1, OrderedAt: day.UTC().Add(12 * time.Hour), Quantity: 1, NetCents: 1000})
			if random.Float64() < 0.3 {
				break // for good
			}
			day += engine.Date(1 + random.ExpFloat64()*60)
		}
	}
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	builder, began := feature.NewBuilder(time.UTC, engine.ColumnOrderID), cpu()
	for b.Loop() {
		o := NewObserver(fitted(), observedAsOf, customers)
		for id := range int64(customers) {
			o.Add(builder, time.UTC, id, lines[id%distinct])
		}
		o.Calibrate()
		b.ReportMetric(float64(o.predictor.Calibrated.Customers), "observed")
	}
	b.ReportMetric((cpu()-began).Seconds()/float64(b.N), "cpu-s/op")
}
