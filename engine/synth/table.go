package synth

import (
	"math"
	"math/rand/v2"

	"github.com/quimbi/quimbi/engine"
)

// Table makes features of n customers without orders: on every axis there are three groups and some undefined features; there are
// one-time buyers, and half of the customers never returned anything.
func Table(n int, seed uint64) *engine.Table {
	random := rand.New(rand.NewPCG(seed, 7))
	t := &engine.Table{AsOf: engine.NewDate(2026, 3, 1), Columns: engine.AllColumns}
	for i := range n {
		f := engine.Features{
			PurchaseHistory: engine.PurchaseHistory{Purchases: 1 + random.IntN(3)*random.IntN(8)},
			ValueCents:      int64(random.IntN(100_000)),
		}
		f.FirstAt = t.AsOf - engine.Date(1+random.IntN(900))
		for a := range engine.Axes {
			group := float64(4 * random.IntN(3))
			for range engine.Axes[a].Features {
				v := group + random.NormFloat64()
				if random.IntN(20) == 0 {
					v = math.NaN()
				}
				f.Values = append(f.Values, float32(v))
			}
		}
		returns, _ := engine.AxisIndex("return_behavior")
		first := engine.Axes[returns].First
		for j := range 2 {
			f.Values[first+j] = float32(math.Abs(float64(f.Values[first+j])))
			if i%2 == 0 {
				f.Values[first+j] = 0
			}
		}
		t.Append(int64(i), &f)
	}
	return t
}
