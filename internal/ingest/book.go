package ingest

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/linesort"
)

// book gathers the orders of a file that writes an order over several rows, or several lines into a row: the last copy of an
// order wins, and its rows need not stand together. So what is of use in each row goes through a sorter that keeps it in
// bounded memory, and comes back by order and, within an order, as in the file. A row is read twice: once to learn what the
// file's dates and numbers say and whether its text may have to be shown, and once when its order is complete and all of the
// file is known.
type book struct {
	sink       *sink
	zone       clock
	latest     time.Time
	numbers    numbers
	ownPoints  bool // the format writes decimal points
	statuses   statuses
	texts      interner
	votes      dateVotes
	currencies currencies

	sorter  *linesort.Sorter
	columns []int  // of the file, that are kept
	packed  []byte // a row on its way to the sorter
	current string // the order of the row before
	keepRaw bool   // current's rows may yet be set aside for its sake

	order    shopOrder // the one that is gathered, if any
	gathered bool
	rawBytes int // of its rows kept to be shown
}

// Bounds on one order: its lines, and the text of rows that are to be set aside.
const (
	maxOrderLines = 100_000
	maxOrderRaw   = 16 << 20
	shortRaw      = 256
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

// newBook makes a book of the columns, which are renumbered from 0 in the rows that come back.
func newBook(sc *scanner, o *Options, s *sink, notPurchases []string, columns ...int) *book {
	return &book{
		sink: s, zone: clock{zone: o.Zone, dayFirst: o.DayFirst}, latest: latest(o.Now), numbers: newNumbers(o.DecimalComma), ownPoints: sc.comma != ';',
		statuses: newStatuses(o.Statuses, notPurchases), texts: newInterner(), currencies: newCurrencies(o), sorter: linesort.New(), columns: columns,
	}
}

// start begins a new copy of an order; an older one is superseded.
func (b *book) start(o shopOrder) {
	if b.gathered {
		b.sink.sum.Superseded += int64(len(b.order.lines))
	}
	o.lines = b.order.lines[:0]
	b.order, b.gathered, b.rawBytes = o, true, 0
}

// dated notes when the order was placed. It is read for good at the end, when all of the file's dates are known.
func (b *book) dated(o *shopOrder, text []byte) {
	o.date = string(text)
	b.votes.see(text)
	if at, _, f := b.zone.read(text); f != nil || checkDate(at, b.latest) != nil {
		o.keepRaw = true
	}
}

// priced notes the currency of the order's amounts. It is judged at the end, of the orders that stand.
func (b *book) priced(o *shopOrder, currency []byte) {
	o.currency = b.texts.get(currency)
	o.keepRaw = o.keepRaw || b.currencies.differs(o.currency)
}

// amount reads a sum of the order's, which may be missing. One that can be read both ways sets the order aside.
func (b *book) amount(o *shopOrder, name string, text []byte) amount {
	a, f := b.optional(name, string(text))
	o.fault = cmp.Or(o.fault, f)
	return a
}

// optional reads a number that may be missing, or be no number; one that can be read both ways is a fault.
func (b *book) optional(name, text string) (a amount, f *fault) {
	if text == "" {
		return a, nil
	}
	d, told, ok := parseDecimal([]byte(text), b.numbers.signs)
	b.numbers.votes.see(told)
	switch {
	case ok:
		a.cents, a.known = d.cents()
	case told.isOpen():
		f = openNumber(name, []byte(text), told)
	}
	return a, f
}

// add appends a line to the order that is gathered; its row is kept as long as it may have to be shown.
func (b *book) add(l shopLine, raw []byte) error {
	o := &b.order
	if len(o.lines) == maxOrderLines {
		return engine.Errorf(engine.CodeInvalid, "the order %s has more than %d lines (line %d of the file): this is no orders export", quote([]byte(o.id)), maxOrderLines, l.at)
	}
	if o.keepRaw || o.fault != nil || l.fault != nil {
		if b.rawBytes > maxOrderRaw {
			raw = raw[:min(len(raw), shortRaw)]
		}
		l.raw = printable(raw)
		b.rawBytes += len(l.raw)
	}
	o.lines = append(o.lines, l)
	return nil
}

// What a row is to its order.
const (
	rowContinues byte = iota // a line of the copy before
	rowOpens                 // it begins a copy
	rowSpoiled               // it began a copy and could not be read; it is set aside already
)

// hold puts a row by until its order is complete. Of a row that continues an order only the columns from lineColumns on are kept.
func (b *book) hold(id string, kind byte, r *row, lineColumns int, raw string) error {
	p := append(b.packed[:0], kind)
	p = binary.AppendUvarint(p, uint64(len(raw)))
	p = append(p, raw...)
	for i, column := range b.columns {
		var text []byte
		if kind == rowOpens || kind == rowContinues && i >= lineColumns {
			text = textAt(r, column)
		}
		p = binary.AppendUvarint(p, uint64(len(text)))
		p = append(p, text...)
	}
	b.packed = p
	return b.sorter.Add(&linesort.Line{Key: id, At: r.line, Row: p})
}

// unpack is the inverse of hold.
func unpack(packed []byte, r *row) (kind byte) {
	kind, rest := packed[0], packed[1:]
	next := func() (text []byte) {
		size, n := binary.Uvarint(rest)
		text, rest = rest[n:n+int(size)], rest[n+int(size):]
		return text
	}
	r.raw, r.fields = next(), r.fields[:0]
	for len(rest) > 0 {
		r.fields = append(r.fields, next())
	}
	return kind
}

// finish hands over every order, by its id. fallback is how dates are read that the file leaves open; take adds a row to the order
// that is gathered.
func (b *book) finish(fallback *bool, take func(id string, kind byte, r *row) error) error {
	if b.zone.dayFirst == nil {
		b.zone.dayFirst = cmp.Or(b.votes.decide(), fallback)
	}
	if b.votes != (dateVotes{}) {
		b.sink.noteDates(b.zone.dayFirst)
	}
	b.numbers.decide(b.ownPoints)
	b.sink.sum.Numbers = b.numbers.found()
	var id string
	var r row
	rows := 0
	err := b.sorter.Sorted()(func(l *linesort.Line) error {
		if l.Key != id {
			if err := b.settle(); err != nil {
				return err
			}
			id = l.Key
		}
		if rows++; rows%1024 == 0 && b.sink.ctx.Err() != nil {
			return b.sink.ctx.Err()
		}
		r.line = l.At
		kind := unpack(l.Row, &r)
		return take(id, kind, &r)
	})
	if err == nil {
		err = b.settle()
	}
	if err != nil {
		return err // what is gathered then is no whole order
	}
	b.sink.sum.Currency = b.currencies.one()
	return nil
}

// settle hands the gathered order's lines over, or sets them aside.
func (b *book) settle() error {
	if !b.gathered {
		return nil
	}
	o := &b.order
	b.gathered = false
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
	kept := int32(0)
	for i := range o.lines {
		l := &o.lines[i]
		var err error
		if f := cmp.Or(whole, l.fault); f != nil {
			err = b.sink.dropOf(b.cancelledAt(o), l.at, f, o.id, l.raw)
		} else {
			kept++
			err = b.sink.keep(&Record{
				Customer: o.customer, OrderID: o.id, LineNo: kept, OrderedAt: at, HasTime: hasTime, SKU: l.sku, Quantity: l.quantity,
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
