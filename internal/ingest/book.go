package ingest

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// book holds the orders of a file that writes an order over several rows, or several lines into a row, until the whole file
// is read: the last copy of an order wins.
type book struct {
	sink       *sink
	zone       clock
	latest     time.Time
	comma      bool // decimal comma
	statuses   statuses
	texts      interner
	votes      dateVotes
	currencies currencies
	copies     map[string]*shopOrder
	rawBytes   int // of rows kept to be shown
}

// Bounds on what a book holds: some 100 bytes a line, and the text of rows that are or may be set aside.
const (
	maxBookRows = 10_000_000
	maxBookRaw  = 64 << 20
	shortRaw    = 256
)

// shopOrder is the newest copy of an order so far.
type shopOrder struct {
	id, customer string
	date         string
	cancelled    string // date
	currency     string
	fault        *fault // the whole order is set aside
	refunded     bool
	total        amount
	subtotal     amount // of all lines, less all discounts
	discount     amount // off the order; it may or may not contain the lines' own
	refund       amount
	keepRaw      bool // rows may yet be set aside for the order's sake
	broken       bool // its first row could not be read
	lines        []shopLine
}

// shopLine is a line of a shopOrder.
type shopLine struct {
	at       int64 // line of the file
	raw      string
	fault    *fault
	sku      string
	quantity int32
	net, off int64 // off is the line's own discount
	hasOff   bool
	free     bool // its price is 0
	refund   int64
}

// amount is a number of cents that may be unknown.
type amount struct {
	cents int64
	known bool
}

func newBook(sc *scanner, o *Options, s *sink, notPurchases []string) *book {
	return &book{
		sink: s, zone: clock{zone: o.Zone, dayFirst: o.DayFirst}, latest: latest(o.Now), comma: sc.comma == ';',
		statuses: newStatuses(o.Statuses, notPurchases), texts: newInterner(), currencies: newCurrencies(o), copies: map[string]*shopOrder{},
	}
}

// start begins a new copy of an order; an older one is superseded.
func (b *book) start(id string) *shopOrder {
	if old := b.copies[id]; old != nil {
		b.sink.sum.Superseded += int64(len(old.lines))
	}
	o := &shopOrder{id: id}
	b.copies[id] = o
	return o
}

// dated notes when the order was placed. It is read at the end, when all of the file's dates are known.
func (b *book) dated(o *shopOrder, text []byte) {
	o.date = string(text)
	b.votes.see(text)
	if _, _, f := b.zone.read(text); f != nil {
		o.keepRaw = true
	}
}

// priced notes the currency of the order's amounts. It is judged at the end, of the orders that stand.
func (b *book) priced(o *shopOrder, currency []byte) {
	o.currency = b.texts.get(currency)
	o.keepRaw = o.keepRaw || b.currencies.differs(o.currency)
}

// amount reads a sum of the order's, which may be missing.
func (b *book) amount(text []byte) (a amount) {
	if len(text) == 0 {
		return a
	}
	if d, ok := parseDecimal(text, b.comma); ok {
		a.cents, a.known = d.cents()
	}
	return a
}

// add appends a line; its row is kept as long as it may have to be shown.
func (b *book) add(o *shopOrder, l shopLine, raw []byte) {
	if o.keepRaw || o.fault != nil || l.fault != nil {
		if b.rawBytes > maxBookRaw {
			raw = raw[:min(len(raw), shortRaw)]
		}
		l.raw = printable(raw)
		b.rawBytes += len(l.raw)
	}
	o.lines = append(o.lines, l)
}

// full refuses a file that would take too much memory.
func (b *book) full() error {
	if b.sink.sum.Rows <= maxBookRows {
		return nil
	}
	return engine.Errorf(engine.CodeInvalid, "an orders export of more than %d rows cannot be read in one go: export shorter periods, one file each", maxBookRows)
}

// finish hands over every order, in the order of the file. fallback is how dates are read that the file leaves open.
func (b *book) finish(fallback *bool) error {
	if b.zone.dayFirst == nil {
		b.zone.dayFirst = cmp.Or(b.votes.decide(), fallback)
	}
	if b.votes != (dateVotes{}) {
		b.sink.noteDates(b.zone.dayFirst)
	}
	orders := make([]*shopOrder, 0, len(b.copies))
	for _, o := range b.copies {
		if len(o.lines) > 0 {
			orders = append(orders, o)
		}
	}
	slices.SortFunc(orders, func(x, y *shopOrder) int { return cmp.Compare(x.lines[0].at, y.lines[0].at) })
	for i, o := range orders {
		if err := b.settle(o); err != nil {
			return err
		}
		if orders[i] = nil; i%1024 == 0 && b.sink.ctx.Err() != nil {
			return b.sink.ctx.Err()
		}
	}
	b.sink.sum.Currency = b.currencies.one()
	return nil
}

// settle hands an order's lines over, or sets them aside.
func (b *book) settle(o *shopOrder) error {
	at, hasTime, dateFault := b.zone.read([]byte(o.date))
	if dateFault == nil {
		dateFault = checkDate(at, b.latest)
	}
	whole := o.fault
	if whole == nil && o.isTest() {
		whole = &fault{ReasonTest, "a test order: its total and all its prices are 0"}
	}
	if whole == nil {
		var err error
		if whole, err = b.currencies.check([]byte(o.currency), o.lines[0].at); err != nil {
			return err
		}
	}
	if whole == nil {
		whole = dateFault
	}
	if whole == nil {
		o.spreadDiscount()
		o.spreadRefund()
	}
	for i := range o.lines {
		l := &o.lines[i]
		var err error
		if f := cmp.Or(whole, l.fault); f != nil {
			err = b.sink.dropOf(b.cancelledAt(o), l.at, f, o.id, l.raw)
		} else {
			err = b.sink.keep(&Record{
				Customer: o.customer, OrderID: o.id, OrderedAt: at, HasTime: hasTime, SKU: l.sku, Quantity: l.quantity,
				NetCents: l.net, DiscountCents: l.off, HasDiscount: l.hasOff, RefundCents: l.refund, KnowsReturns: true, Line: l.at,
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cancelledAt is when the order was cancelled; zero where the file does not say.
func (b *book) cancelledAt(o *shopOrder) time.Time {
	if o.cancelled == "" {
		return time.Time{}
	}
	at, _, f := b.zone.read([]byte(o.cancelled))
	if f != nil || checkDate(at, b.latest) != nil {
		return time.Time{}
	}
	return at
}

// isTest tells an order that was never meant to cost anything from one that a discount made free.
func (o *shopOrder) isTest() bool {
	if !o.total.known || o.total.cents != 0 {
		return false
	}
	for _, l := range o.lines {
		if !l.free {
			return false
		}
	}
	return true
}

// spreadDiscount spreads what was taken off the whole order over its lines, in proportion to their values. Shops are not
// clear about whether the order's discount contains the lines' own; the subtotal settles it. A difference of a cent a piece
// is rounding.
func (o *shopOrder) spreadDiscount() {
	if !o.discount.known || o.discount.cents <= 0 {
		return
	}
	var own, value, pieces int64
	complete := true
	for _, l := range o.lines {
		own += l.off
		value += l.net
		pieces += max(int64(l.quantity), 1)
		complete = complete && l.fault == nil
	}
	extra := o.discount.cents - own
	if complete && o.subtotal.known {
		extra = min(value-o.subtotal.cents, o.discount.cents)
	}
	if extra <= pieces || value <= 0 {
		return
	}
	for i, part := range spread(extra, o.weights(func(l *shopLine) int64 { return l.net })) {
		o.lines[i].net -= part
		o.lines[i].off += part
		o.lines[i].hasOff = true
	}
}

// spreadRefund spreads what was given back over the lines: all of it, or, where no line is named, in proportion.
func (o *shopOrder) spreadRefund() {
	if o.refunded {
		for i := range o.lines {
			o.lines[i].refund = max(o.lines[i].net, 0)
		}
		return
	}
	if !o.refund.known || o.refund.cents <= 0 {
		return
	}
	for i, part := range spread(o.refund.cents, o.weights(func(l *shopLine) int64 { return l.net - l.refund })) {
		o.lines[i].refund += part
	}
}

// weights gives a number for every line; 0 for those set aside.
func (o *shopOrder) weights(of func(*shopLine) int64) []int64 {
	weights := make([]int64, len(o.lines))
	for i := range o.lines {
		if o.lines[i].fault == nil {
			weights[i] = of(&o.lines[i])
		}
	}
	return weights
}

// spread shares total out in proportion to weights, to the cent: rounded down, and the cents left over go to the largest
// remainders. No share exceeds its weight; weights below 0 count as 0.
func spread(total int64, weights []int64) []int64 {
	parts := make([]int64, len(weights))
	var all uint64
	for _, w := range weights {
		all += uint64(max(w, 0))
	}
	if all == 0 || total <= 0 {
		return parts
	}
	amount := min(uint64(total), all)
	type remainder struct {
		part int
		size uint64
	}
	left, remainders := amount, make([]remainder, len(weights))
	for i, w := range weights {
		hi, lo := bits.Mul64(amount, uint64(max(w, 0)))
		share, rest := bits.Div64(hi, lo, all)
		parts[i], remainders[i] = int64(share), remainder{i, rest}
		left -= share
	}
	slices.SortStableFunc(remainders, func(a, b remainder) int { return cmp.Compare(b.size, a.size) })
	for _, r := range remainders[:left] {
		parts[r.part]++
	}
	return parts
}

// textAt gives a trimmed value; nil where there is no such column.
func textAt(r *row, column int) []byte {
	if column < 0 || column >= len(r.fields) {
		return nil
	}
	return bytes.TrimSpace(r.text(column))
}
