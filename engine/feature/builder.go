// Package feature turns order lines into features: of one customer after another as of any instants, in one pass, and the
// references of the store that they are held against.
package feature

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// Builder computes the features of one customer after another. It is not safe for concurrent use; reuse it, since it
// keeps its memory and what it knows of a store's articles.
//
// A customer's lines are read once, in time order, for all instants. What grows line by line (sums, counts, the sets that
// medians are taken of) is carried along; an instant closes the day that is open and computes the features from it:
// what the customer did, only if something happened since the instant before; what depends on the store, if that or the
// reference changed; what passes with time, always.
type Builder struct {
	clock      wallClock
	have       engine.Columns
	on         [engine.FeatureCount]bool
	skus       dictionary
	categories dictionary
	tables     map[*engine.Reference]*storeTable
	recent     []instant
	seasons    seasons
	history    history
	pairs      map[skuCategory]struct{}
	bySKU      []skuState      // by id in skus
	byCategory []categoryState // by id in categories
	epoch      uint32          // states with another epoch are of an earlier customer
	sorted     []engine.Line
	cancels    []time.Time // of the customer's lines, ascending
	standing   []engine.Line
	features   engine.Features
}

// NewBuilder makes a builder for a store with these columns; features that need others are NaN. A nil zone is UTC.
func NewBuilder(zone *time.Location, have engine.Columns) *Builder {
	if zone == nil {
		zone = time.UTC
	}
	b := &Builder{clock: wallClock{zone: zone}, have: have, pairs: map[skuCategory]struct{}{}}
	b.features.Values = make([]float32, engine.FeatureCount)
	for i := range b.features.Values {
		b.features.Values[i] = float32(undefined)
	}
	for i := range engine.Axes {
		for j := range engine.Axes[i].Features {
			b.on[engine.Axes[i].First+j] = have.Has(engine.Axes[i].Features[j].Needs)
		}
	}
	b.forget()
	return b
}

// forget drops what is known of the store's articles.
func (b *Builder) forget() {
	b.skus, b.categories = dictionary{}, dictionary{}
	b.bySKU, b.byCategory = nil, nil
	b.tables, b.recent = make(map[*engine.Reference]*storeTable), nil
}

// A builder that has met more references than this forgets them; a replay of five years needs 60.
const tableLimit = 128

// Build reads a customer's lines, in time order, and calls yield for each instant (ascending by At) before which there is
// a purchase, with the features that a computation from scratch at that instant would give. f is reused: copy what is
// to be kept. Lines of quantity 0 are nothing.
func (b *Builder) Build(lines []engine.Line, at []engine.Instant, yield func(i int, f *engine.Features)) {
	if len(b.skus.names) > dictionaryLimit || len(b.categories.names) > dictionaryLimit || len(b.tables) > tableLimit {
		b.forget()
	}
	b.walk(lines, at, func(i int, events bool) {
		b.finish(i, events)
		yield(i, &b.features)
	})
}

// walk brings the history to each instant in turn and calls visit where there is a purchase; events tells whether
// something happened since the instant before. What was taken in cannot be taken back, so a cancellation begins anew
// without the lines that it concerns. Most instants of a replay lie in a pause of the customer's, and pass by the seconds alone.
func (b *Builder) walk(lines []engine.Line, at []engine.Instant, visit func(i int, events bool)) {
	all := b.inOrder(lines)
	b.cancellations(all)
	b.begin(all)
	h := &b.history
	var reached time.Time
	before, cancelled := 0, 0
	pauseFrom, pauseTo := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range at {
		in := b.instant(i, &at[i])
		if in.second > pauseFrom && in.second < pauseTo {
			reached, pauseFrom = in.cut, in.second
			if len(h.orders) > 0 {
				visit(i, false)
			}
			continue
		}
		back := i > 0 && in.cut.Before(reached)
		n := sort.Search(len(b.cancels), func(j int) bool { return !b.cancels[j].Before(in.cut) })
		switch {
		case n != cancelled:
			b.begin(b.withoutCancelled(all, in.cut))
		case back:
			b.begin(h.lines)
		}
		reached = in.cut
		b.advance(in.cut)
		events := !back && (h.events > before || n > cancelled)
		before, cancelled = h.events, n
		pauseFrom, pauseTo = in.second, h.pause()
		if n < len(b.cancels) {
			pauseTo = min(pauseTo, b.cancels[n].Unix())
		}
		if len(h.orders) > 0 {
			b.closeDay()
			visit(i, events)
		}
	}
}

// cancellations notes when lines ended to count.
func (b *Builder) cancellations(lines []engine.Line) {
	b.cancels = b.cancels[:0]
	for i := range lines {
		if l := &lines[i]; !l.CancelledAt.IsZero() && l.Quantity != 0 {
			b.cancels = append(b.cancels, later(l.OrderedAt, l.CancelledAt))
		}
	}
	slices.SortFunc(b.cancels, time.Time.Compare)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// withoutCancelled gives the lines that still count as seen from the cut.
func (b *Builder) withoutCancelled(lines []engine.Line, cut time.Time) []engine.Line {
	b.standing = b.standing[:0]
	for i := range lines {
		if !cancelledBefore(&lines[i], cut) {
			b.standing = append(b.standing, lines[i])
		}
	}
	return b.standing
}

// cancelledBefore tells whether the line is nothing any more at an instant.
func cancelledBefore(l *engine.Line, at time.Time) bool {
	return !l.CancelledAt.IsZero() && l.CancelledAt.Before(at)
}

// inOrder gives the lines sorted by time, as they are where they are so already.
func (b *Builder) inOrder(lines []engine.Line) []engine.Line {
	byTime := func(x, y engine.Line) int { return x.OrderedAt.Compare(y.OrderedAt) }
	for i := 1; i < len(lines); i++ {
		if lines[i].OrderedAt.Before(lines[i-1].OrderedAt) {
			b.sorted = append(b.sorted[:0], lines...)
			slices.SortStableFunc(b.sorted, byTime)
			return b.sorted
		}
	}
	return lines
}

// begin starts a customer, or the same one again.
func (b *Builder) begin(lines []engine.Line) {
	b.history.reset(lines)
	if len(b.pairs) > 0 {
		clear(b.pairs)
	}
	if b.epoch++; b.epoch == 0 { // after four billion customers
		clear(b.bySKU)
		clear(b.byCategory)
		b.epoch = 1
	}
}

// advance takes in all lines and refunds before the cut, in the order of time.
func (b *Builder) advance(cut time.Time) {
	h := &b.history
	for {
		line := h.next < len(h.lines) && h.lines[h.next].OrderedAt.Before(cut)
		refund := h.paid < len(h.refunds) && h.refunds[h.paid].at.Before(cut)
		switch {
		case line && !(refund && h.refunds[h.paid].at.Before(h.lines[h.next].OrderedAt)):
			l := &h.lines[h.next]
			h.next++
			if l.Quantity == 0 {
				continue
			}
			day, second := b.clock.at(l.OrderedAt)
			// A few zones have set their clocks back over midnight: the minutes in question stay with the later day.
			day = max(day, h.latest)
			h.latest = day
			switch {
			case l.Quantity < 0:
				h.returned(l, day, b.have)
			case h.closed && h.lastDay() == day:
				// An instant within the day has closed it. What was added then cannot be taken back, so begin again.
				b.begin(h.lines)
				continue
			default:
				b.bought(l, day, second)
			}
			h.events++
			h.changed = true
		case refund:
			r := &h.refunds[h.paid]
			h.paid++
			day, _ := b.clock.at(r.at)
			h.refunded(r, day)
			h.events++
			h.changed = true
		default:
			return
		}
	}
}

// skuState is what one customer's history holds of an article.
type skuState struct {
	epoch    uint32
	category int32 // of its first line; -1: none
	first    int32 // purchase, from 0
	last     int32
	lastDay  engine.Date
	spend    int64
}

// categoryState is what one customer's history holds of a category.
type categoryState struct {
	epoch    uint32
	last     int32 // purchase, from 0
	orders   int32
	lines    int32
	skus     int32
	spend    int64
	daySpend int64 // in the last purchase
}

// skuCategory is a further category of an article; most have one.
type skuCategory struct{ sku, category int32 }

// bought takes in a line of positive quantity.
func (b *Builder) bought(l *engine.Line, day engine.Date, second int) {
	h := &b.history
	if len(h.orders) == 0 || h.lastDay() != day {
		b.closeDay()
		h.openDay(day, second, &b.seasons)
	}
	o := &h.orders[len(h.orders)-1]
	o.net += l.NetCents
	h.net += l.NetCents
	h.gross += l.GrossCents()
	h.discount += l.DiscountCents
	h.day.discount += l.DiscountCents
	h.day.units += int64(l.Quantity)
	h.units += int64(l.Quantity)
	if l.Quantity >= bulkQuantity {
		h.bulkUnits += int64(l.Quantity)
	}
	if n := len(h.orderKeys); n == 0 || h.orderKeys[n-1].key != l.OrderKey {
		h.orderKeys = append(h.orderKeys, orderKey{l.OrderKey, int32(len(h.orders) - 1)})
	}
	if l.RefundCents > 0 {
		h.expect(l)
	}
	sku, category := int32(-1), int32(-1)
	if l.Category != "" && b.have.Has(engine.ColumnCategory) {
		category = b.categories.id(l.Category)
		b.boughtCategory(l, category)
	}
	if l.SKU != "" && b.have.Has(engine.ColumnSKU) {
		sku = b.skus.id(l.SKU)
		b.boughtSKU(l, sku, category, day)
	}
	if sku >= 0 || category >= 0 {
		h.priced = append(h.priced, priceLine(l, sku, category))
	}
}

func (b *Builder) boughtCategory(l *engine.Line, id int32) {
	h := &b.history
	for int(id) >= len(b.byCategory) {
		b.byCategory = append(b.byCategory, categoryState{})
	}
	s := &b.byCategory[id]
	purchase := int32(len(h.orders) - 1)
	if s.epoch != b.epoch {
		*s = categoryState{epoch: b.epoch, last: -1}
		h.categories = append(h.categories, id)
		h.day.newCategory = true
	}
	if s.last != purchase {
		s.last = purchase
		s.daySpend = 0
		h.day.categories = append(h.day.categories, id)
		if s.orders++; s.orders == deepOrders {
			h.deepCategories++
		}
	}
	s.lines++
	s.spend += l.NetCents
	s.daySpend += l.NetCents
	h.categoryLines++
}

func (b *Builder) boughtSKU(l *engine.Line, id, category int32, day engine.Date) {
	h := &b.history
	for int(id) >= len(b.bySKU) {
		b.bySKU = append(b.bySKU, skuState{})
	}
	s := &b.bySKU[id]
	purchase := int32(len(h.orders) - 1)
	switch {
	case s.epoch != b.epoch:
		*s = skuState{epoch: b.epoch, category: category, first: purchase, last: purchase, lastDay: day}
		h.skus++
		h.day.skus++
		if category >= 0 {
			b.byCategory[category].skus++
		}
	case s.last != purchase:
		if s.last == s.first {
			h.repeatedSKUs++
		}
		h.intervals = append(h.intervals, int32(day-s.lastDay))
		s.last, s.lastDay = purchase, day
		h.day.skus++
	}
	if category != s.category && category >= 0 {
		pair := skuCategory{id, category}
		if _, known := b.pairs[pair]; !known {
			b.pairs[pair] = struct{}{}
			b.byCategory[category].skus++
		}
	}
	if purchase > 0 {
		h.laterLines++
		if s.first < purchase {
			h.repeatLines++
		}
	}
	was := float64(max(0, s.spend))
	s.spend += l.NetCents
	is := float64(max(0, s.spend))
	h.skuSpend += is - was
	h.skuSquares += is*is - was*was
}

// closeDay adds the purchase that is open to what is known of purchases.
func (b *Builder) closeDay() {
	h := &b.history
	if h.closed || len(h.orders) == 0 {
		return
	}
	main := int32(-1)
	for _, id := range h.day.categories {
		if main < 0 || b.byCategory[id].daySpend > b.byCategory[main].daySpend {
			main = id
		}
	}
	h.closeDay(main)
}
