package synth

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
)

var end = engine.NewDate(2026, time.March, 14)

// same compares customers without the cost of a readable difference, of which there would be megabytes.
func same(a, b Customer) bool {
	if (a.Change == nil) != (b.Change == nil) || a.Change != nil && *a.Change != *b.Change {
		return false
	}
	return a.Key == b.Key && a.Archetype == b.Archetype && slices.Equal(a.Lines, b.Lines)
}

func TestShopIsDeterministic(t *testing.T) {
	t.Parallel()
	o := Options{Seed: 3, Customers: 1200, End: end}
	large := Shop(o).Customers
	if !slices.EqualFunc(large, Shop(o).Customers, same) {
		t.Error("two shops of the same options differ")
	}
	o.Customers = 700
	if !slices.EqualFunc(large[:700], Shop(o).Customers, same) {
		t.Error("a smaller shop is not the beginning of a larger one")
	}
	o.Seed++
	if slices.EqualFunc(large[:700], Shop(o).Customers, same) {
		t.Error("another seed gives the same shop")
	}
}

func TestLinesAreBelievable(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Seed: 1, End: end}, {Seed: 2, Customers: 50, End: end, Weeks: 1}, {Seed: math.MaxUint64, Customers: 300, Weeks: 30}} {
		begin, closing := o.Begin().UTC(), (o.End + 1).UTC()
		prices, orders, customers := map[string]int64{}, map[string]bool{}, map[string]bool{}
		refunds, partial, discounts, lines := 0, 0, 0, 0
		for c := range Stream(o) {
			if customers[c.Key] || len(c.Lines) == 0 {
				t.Fatalf("customer %s is there twice or has no lines", c.Key)
			}
			customers[c.Key] = true
			last := engine.Line{}
			for _, l := range c.Lines {
				lines++
				if l.OrderKey != last.OrderKey {
					if orders[l.OrderKey] || l.Number != 1 || l.OrderedAt.Before(last.OrderedAt) {
						t.Fatalf("order %s of %s is there twice, does not begin with line 1 or is out of order", l.OrderKey, c.Key)
					}
					orders[l.OrderKey] = true
				} else if l.Number != last.Number+1 || !l.OrderedAt.Equal(last.OrderedAt) {
					t.Fatalf("line %d of order %s is out of place", l.Number, l.OrderKey)
				}
				last = l
				if l.OrderedAt.Before(begin) || !l.OrderedAt.Before(closing) || !l.RefundedAt.IsZero() && !l.RefundedAt.Before(closing) {
					t.Fatalf("order %s at %s, refunded at %s, is outside the history", l.OrderKey, l.OrderedAt, l.RefundedAt)
				}
				if l.SKU == "" || l.Category == "" || l.Quantity < 1 || l.NetCents <= 0 || l.DiscountCents < 0 || l.RefundCents < 0 || l.RefundCents > l.NetCents {
					t.Fatalf("no line of a shop: %+v", l)
				}
				if price := l.GrossCents() / int64(l.Quantity); l.GrossCents()%int64(l.Quantity) != 0 || prices[l.SKU] != 0 && prices[l.SKU] != price {
					t.Fatalf("%s has two prices", l.SKU)
				} else {
					prices[l.SKU] = price
				}
				if l.DiscountCents > 0 {
					discounts++
				}
				if l.RefundCents > 0 {
					if !l.RefundedAt.After(l.OrderedAt) {
						t.Fatalf("a refund of order %s came before it", l.OrderKey)
					}
					refunds++
					if l.RefundCents < l.NetCents {
						partial++
					}
				}
			}
		}
		if o.Customers == 0 {
			t.Logf("%d lines, %d orders, %d articles, %d refunds (%d partial), %d discounts", lines, len(orders), len(prices), refunds, partial, discounts)
			if refunds < lines/200 || partial == 0 || partial == refunds || discounts < lines/20 || discounts > lines/2 {
				t.Errorf("of %d lines %d refunded (%d in part) and %d discounted", lines, refunds, partial, discounts)
			}
		}
	}
}

func TestArchetypes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		shop := Shop(Options{Seed: seed, End: end})
		count := map[string]int{}
		changes := map[string]int{}
		orders, value := map[string]float64{}, map[string]float64{}
		for _, c := range shop.Customers {
			count[c.Archetype]++
			for _, l := range c.Lines {
				if l.Number == 1 {
					orders[c.Archetype]++
				}
				value[c.Archetype] += float64(l.NetCents) / 100
			}
			if c.Change == nil {
				continue
			}
			changes[c.Change.Kind]++
			last := engine.DateOf(c.Lines[len(c.Lines)-1].OrderedAt, time.UTC)
			if c.Change.Kind == Churn && last >= c.Change.Date {
				t.Errorf("%s churned on %s and bought on %s", c.Key, c.Change.Date, last)
			}
		}
		t.Logf("%v %v", count, changes)
		for a, n := range orders {
			t.Logf("%s: %.1f orders a customer, %.2f an order", a, n/float64(count[a]), value[a]/n)
		}
		if s := float64(count[OneTime]) / 4000; s < 0.44 || s > 0.50 {
			t.Errorf("seed %d: %.3f one-time buyers", seed, s)
		}
		if n := count[Enterprise]; n < 3 || n > 6 {
			t.Errorf("seed %d: %d enterprises", seed, n)
		}
		if changes[Churn] < 50 || changes[Slowdown] < 20 || changes[Upgrade] < 20 {
			t.Errorf("seed %d: too few changes: %v", seed, changes)
		}
	}
}

func TestLinesOfResult(t *testing.T) {
	t.Parallel()
	shop := Shop(Options{Customers: 30, End: end})
	at := 0
	var all []engine.Line
	for key, l := range shop.Lines() {
		for len(all) == len(shop.Customers[at].Lines) {
			at, all = at+1, nil
		}
		if key != shop.Customers[at].Key {
			t.Fatalf("a line of %s among those of %s", key, shop.Customers[at].Key)
		}
		all = append(all, l)
	}
	if at != len(shop.Customers)-1 || !slices.Equal(all, shop.Customers[at].Lines) {
		t.Errorf("the lines end at customer %d", at)
	}
}

// The mean of the unit gamma distribution is 1 and its variance 1/shape.
func TestGamma(t *testing.T) {
	t.Parallel()
	random := draw{rand.New(rand.NewPCG(1, 2))}
	for _, shape := range []float64{1, 2, 9} {
		const n = 100_000
		var sum, squares float64
		for range n {
			g := random.gamma(shape)
			sum += g
			squares += (g - 1) * (g - 1)
		}
		if mean, variance := sum/n, squares/n; math.Abs(mean-1) > 0.02 || math.Abs(variance*shape-1) > 0.05 {
			t.Errorf("shape %g: mean %g, variance %g", shape, mean, variance)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	lines := 0
	for b.Loop() {
		lines = 0
		for c := range Stream(Options{Customers: 10_000, End: end}) {
			lines += len(c.Lines)
		}
	}
	b.ReportMetric(float64(lines)/10_000, "lines/customer")
}
