package btyd

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"
)

// million is a shop of 1,000,000 customers who joined over two years.
var million = sync.OnceValue(func() []History {
	return simulate(MBGNBD{0.7, 8, 0.8, 2.4}, 1_000_000, 1, 104, 1)
})

// cpu is the time that all threads of this process have computed for: what a busy machine does not stretch.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFitMillion measures grouping and fitting together.
func BenchmarkFitMillion(b *testing.B) {
	fits := map[string]func(context.Context, []Group) error{
		"bg":     func(ctx context.Context, g []Group) error { _, err := FitBGNBD(ctx, g, FitOptions{}); return err },
		"mbg":    func(ctx context.Context, g []Group) error { _, err := FitMBGNBD(ctx, g, FitOptions{}); return err },
		"pareto": func(ctx context.Context, g []Group) error { _, err := FitParetoNBD(ctx, g, FitOptions{}); return err },
	}
	for _, name := range []string{"bg", "mbg", "pareto"} {
		b.Run(name, func(b *testing.B) {
			histories := million()
			began := cpu(b)
			for b.Loop() {
				groups, _ := GroupHistories(histories)
				if err := fits[name](b.Context(), groups); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(groups)), "groups")
			}
			b.ReportMetric((cpu(b)-began).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// BenchmarkScore measures one customer on one core.
func BenchmarkScore(b *testing.B) {
	histories := simulate(MBGNBD{0.7, 8, 0.8, 2.4}, 10_000, 1, 104, 2)
	for _, m := range []Model{BGNBD{0.243, 4.414, 0.793, 2.426}, MBGNBD{0.525, 6.183, 0.891, 1.614}, ParetoNBD{0.553, 10.578, 0.606, 11.669}} {
		b.Run(m.Name()+"/P0", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				m.NoPurchase(histories[i%len(histories)], 90.0/7)
			}
		})
		b.Run(m.Name()+"/LTV", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				LTV(m, histories[i%len(histories)], 30, DefaultLTVOptions())
			}
		})
	}
}
