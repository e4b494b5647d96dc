package feature

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/btyd"
)

// A history is the same whether it comes with the features of an instant or from the purchases before it.
func TestHistoriesAgreeWithFeatures(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone, lines := drawZone(t), drawLines(t)
		builder := NewBuilder(zone, engine.AllColumns)
		day := engine.DateOf(testStart, zone) + engine.Date(rapid.IntRange(-2, 500).Draw(t, "day"))
		var want engine.PurchaseHistory
		builder.Build(lines, []engine.Instant{{At: day.In(zone)}}, func(_ int, f *engine.Features) { want = f.PurchaseHistory })
		if diff := cmp.Diff(want, engine.HistoryOf(builder.Purchases(lines, day.In(zone)))); diff != "" {
			t.Errorf("before %s (-features +purchases):\n%s", day, diff)
		}
	})
}

func TestPurchases(t *testing.T) {
	t.Parallel()
	at := func(day, hour int) time.Time { return time.Date(2026, time.March, day, hour, 0, 0, 0, time.UTC) }
	lines := []engine.Line{
		{OrderKey: "1", OrderedAt: at(2, 9), Quantity: 1, NetCents: 1000, DiscountCents: 500},
		{OrderKey: "2", OrderedAt: at(2, 20), Quantity: 2, NetCents: 300}, // the same day
		{OrderKey: "3", OrderedAt: at(5, 0), Quantity: 1, NetCents: 0},    // worth nothing, and still a purchase
		{OrderKey: "1", OrderedAt: at(7, 9), Quantity: -1, NetCents: -1000},
		{OrderKey: "4", OrderedAt: at(16, 9), Quantity: 1, NetCents: 800, RefundCents: 800},
	}
	first := engine.NewDate(2026, time.March, 2)
	builder := NewBuilder(time.UTC, engine.AllColumns)
	before := func(day engine.Date) []engine.Purchase { return builder.Purchases(lines, day.In(time.UTC)) }
	purchases := before(first + 21)
	want := []engine.Purchase{{Day: first, ValueCents: 1300}, {Day: first + 3}, {Day: first + 14, ValueCents: 800}}
	if diff := cmp.Diff(want, purchases); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	all := engine.HistoryOf(purchases)
	if diff := cmp.Diff(btyd.History{X: 2, Tx: 2, T: 3}, all.Repeats(first+21)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(btyd.Spend{X: 2, Mean: 4}, all.Spend()); diff != "" {
		t.Errorf("the first purchase does not count (-want +got):\n%s", diff)
	}
	if h := engine.HistoryOf(before(first + 14)); h.Purchases != 2 || h.LastAt != first+3 || h.RepeatCents != 0 {
		t.Errorf("a day's purchases do not come before it: %+v", h)
	}
	if h := engine.HistoryOf(before(first)); h != (engine.PurchaseHistory{}) {
		t.Errorf("before the first purchase: %+v", h)
	}
	lines[4].CancelledAt = at(18, 0)
	if diff := cmp.Diff([]int{3, 2}, []int{len(before(first + 16)), len(before(first + 17))}); diff != "" {
		t.Errorf("an order counts until it is known to be cancelled (-want +got):\n%s", diff)
	}
}
