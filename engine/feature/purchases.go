package feature

import (
	"time"

	"github.com/quimbi/quimbi/engine"
)

// Purchases gives the customer's purchases before an instant in the order of time, as the features of that instant see
// them: an order that is known to be cancelled by then is none. The slice is new.
func (b *Builder) Purchases(lines []engine.Line, before time.Time) []engine.Purchase {
	var purchases []engine.Purchase
	b.walk(lines, []engine.Instant{{At: before}}, func(int, bool) {
		purchases = make([]engine.Purchase, len(b.history.orders))
		for i := range b.history.orders {
			purchases[i] = engine.Purchase{Day: b.history.orders[i].day, ValueCents: b.history.orders[i].net}
		}
	})
	return purchases
}

// Histories sums up the purchases before each instant (ascending by At), as the features of that instant have them, and calls yield where
// there is one.
func (b *Builder) Histories(lines []engine.Line, at []engine.Instant, yield func(i int, h engine.PurchaseHistory)) {
	b.walk(lines, at, func(i int, _ bool) { yield(i, b.history.summary()) })
}

// summary is that of all purchases so far, of which there is one at least.
func (h *history) summary() engine.PurchaseHistory {
	return engine.PurchaseHistory{Purchases: len(h.orders), FirstAt: h.orders[0].day, LastAt: h.lastDay(), RepeatCents: h.net - h.orders[0].net}
}
