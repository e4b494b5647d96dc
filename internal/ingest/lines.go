package ingest

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Longer values are no names of anything; the bounds are what the database's indexes hold.
const (
	maxKey      = 255
	maxCategory = 1000
)

// lineReader makes a record of every row of a normalised or mapped file.
type lineReader struct {
	cols     [fieldCount]int
	width    int
	clock    clock
	keyZone  *time.Location
	latest   time.Time // zero: no bound
	numbers  numbers
	statuses statuses
	texts    interner
}

// readLines reads a file whose rows each stand for themselves.
func readLines(sc *scanner, h *header, o *Options, s *sink) error {
	cols, own, err := h.columns(o.Mapping)
	if err != nil {
		return err
	}
	s.sum.Format = FormatMapped
	if own {
		s.sum.Format = FormatNormalised
	}
	for f, i := range cols {
		if i >= 0 {
			s.sum.Mapping[field(f).String()] = h.names[i]
		}
	}
	p := &lineReader{
		cols: cols, width: len(h.names), clock: clock{zone: o.Zone, dayFirst: o.DayFirst}, keyZone: o.KeyZone, latest: latest(o.Now),
		numbers: newNumbers(o.DecimalComma), statuses: newStatuses(o.Statuses, notPurchases), texts: newInterner(),
	}
	p.decide(sc.sample(), own && sc.comma != ';')
	s.noteDates(p.clock.dayFirst)
	currencies := newCurrencies(o)
	for {
		r := sc.next()
		if r == nil {
			break
		}
		if err := s.row(r.line); err != nil {
			return err
		}
		var rec Record
		p.numbers.line = r.line
		f := p.record(r, &rec)
		if f == nil {
			if f, err = currencies.check(p.get(r, fieldCurrency), r.line); err != nil {
				return err
			}
		}
		if f == nil {
			err = s.keep(&rec)
		} else {
			err = s.dropOf(rec.CancelledAt, r.line, f, rec.OrderID, printable(r.raw))
		}
		if err = cmp.Or(err, p.numbers.contradiction()); err != nil {
			return err
		}
	}
	s.sum.Currency, s.sum.Numbers = currencies.one(), p.numbers.found()
	return sc.err
}

// latest is the last instant that an order can have; a day is left for clocks and zones that disagree.
func latest(now time.Time) time.Time {
	if now.IsZero() {
		return time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return now.Add(24 * time.Hour)
}

// decide finds out from the first part of a file how its dates and numbers are meant. ownPoints: its format writes decimal points.
func (p *lineReader) decide(sample *scanner, ownPoints bool) {
	var dates dateVotes
	for r := sample.next(); r != nil; r = sample.next() {
		if checkWidth(r, p.width) != nil {
			continue
		}
		dates.see(p.get(r, fieldOrderedAt))
		for _, f := range []field{fieldQuantity, fieldUnitPrice, fieldValue, fieldDiscount, fieldRefundAmount} {
			_, told, _ := parseDecimal(p.get(r, f), signsOpen)
			p.numbers.votes.see(told)
		}
	}
	if p.clock.dayFirst == nil {
		p.clock.dayFirst = dates.decide()
	}
	p.numbers.decide(ownPoints)
}

func (s *sink) noteDates(dayFirst *bool) {
	switch {
	case dayFirst == nil:
	case *dayFirst:
		s.sum.Dates = datesDayFirst
	default:
		s.sum.Dates = datesMonthFirst
	}
}

// get gives a field's text, trimmed; nil where the file has no such column.
func (p *lineReader) get(r *row, f field) []byte {
	if p.cols[f] < 0 {
		return nil
	}
	return bytes.TrimSpace(r.text(p.cols[f]))
}

// record fills rec from a row, or says why it cannot.
func (p *lineReader) record(r *row, rec *Record) *fault {
	if f := checkWidth(r, p.width); f != nil {
		return f
	}
	rec.OrderID = p.texts.get(p.get(r, fieldOrder))
	customer := p.get(r, fieldCustomer)
	if isEmpty(customer) {
		return &fault{ReasonGuest, "no customer"}
	}
	if f := p.cancelled(r, rec); f != nil {
		return f
	}
	if f := p.statuses.check(p.get(r, fieldStatus)); f != nil {
		return f
	}
	rec.Line = r.line
	rec.Customer = p.texts.customer(customer)
	rec.SKU = p.texts.lower(p.get(r, fieldSKU))
	rec.Category = p.texts.get(p.get(r, fieldCategory))
	rec.Store = p.texts.get(p.get(r, fieldStore))
	if f := checkTexts(rec); f != nil {
		return f
	}
	if f := p.time(p.get(r, fieldOrderedAt), rec); f != nil {
		return f
	}
	if f := checkDate(rec.OrderedAt, p.latest); f != nil {
		return f
	}
	if f := p.amounts(r, rec); f != nil {
		return f
	}
	if f := p.refund(r, rec); f != nil {
		return f
	}
	return p.lineKey(r, rec)
}

// cancelled reads from when on the line counts no more. Up to then it was a purchase, so it is kept, unless its status says that
// it is none.
func (p *lineReader) cancelled(r *row, rec *Record) *fault {
	text := p.get(r, fieldCancelledAt)
	if len(text) == 0 {
		return nil
	}
	at, _, f := p.clock.read(text)
	if f == nil {
		f = checkDate(at, p.latest)
	}
	if f == nil {
		rec.CancelledAt = at
	}
	return f
}

// lineKey takes the key of a line without an order id from an export: the store may know it by a time that was read in another
// zone.
func (p *lineReader) lineKey(r *row, rec *Record) *fault {
	text := p.get(r, fieldLineKey)
	if len(text) == 0 || rec.OrderID != "" {
		return nil
	}
	if _, ok := madeHash(string(text)); !ok {
		return &fault{ReasonUnreadable, "line_key is not one that an export gave: " + quote(text)}
	}
	rec.OrderKey = string(text)
	return nil
}

// time reads when the order was placed.
func (p *lineReader) time(text []byte, rec *Record) (f *fault) {
	if rec.OrderedAt, rec.HasTime, f = p.clock.read(text); f == nil && p.keyZone != nil {
		keyed := p.clock
		keyed.zone = p.keyZone
		rec.KeyedAt, _, f = keyed.read(text)
	}
	return f
}

func checkWidth(r *row, width int) *fault {
	if r.fault != nil {
		return r.fault
	}
	if len(r.fields) < width {
		return &fault{ReasonUnreadable, fmt.Sprintf("the row is cut off: %d values of %d", len(r.fields), width)}
	}
	for i := width; i < len(r.fields); i++ {
		if len(bytes.TrimSpace(r.fields[i])) > 0 {
			return &fault{ReasonUnreadable, fmt.Sprintf("%d values for %d columns: a separator stands in a value without quotation marks", len(r.fields), width)}
		}
	}
	return nil
}

func checkTexts(rec *Record) *fault {
	for _, t := range []struct {
		name, text string
		longest    int
	}{
		{"customer_id", rec.Customer, maxKey},
		{"order_id", rec.OrderID, maxKey - 1}, // OrderKey may add a sign
		{"sku", rec.SKU, maxKey},
		{"category", rec.Category, maxCategory},
	} {
		if len(t.text) > t.longest {
			return &fault{ReasonUnreadable, fmt.Sprintf("%s is longer than %d bytes", t.name, t.longest)}
		}
		if strings.IndexByte(t.text, 0) >= 0 {
			return &fault{ReasonUnreadable, t.name + " holds a zero byte"}
		}
	}
	return nil
}

// firstDay is the day that an empty date becomes in programs that count from 1970.
var firstDay = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)

func checkDate(at, latest time.Time) *fault {
	switch {
	case at.After(latest):
		return &fault{ReasonImpossible, "the date " + at.Format(time.DateOnly) + " lies in the future"}
	case at.Before(firstDay):
		return &fault{ReasonImpossible, "the date " + at.Format(time.DateOnly) + " is too old for an order"}
	}
	return nil
}

// amounts reads quantity, price or value, and discount.
func (p *lineReader) amounts(r *row, rec *Record) *fault {
	quantity := decimal{m: 1}
	if text := p.get(r, fieldQuantity); p.cols[fieldQuantity] >= 0 {
		var f *fault
		if quantity, f = p.numbers.read("quantity", text); f != nil {
			return f
		}
	}
	var discount decimal
	if text := p.get(r, fieldDiscount); len(text) > 0 {
		var f *fault
		if discount, f = p.numbers.read("discount", text); f != nil {
			return f
		}
		rec.HasDiscount = true
	}
	price, value := p.get(r, fieldUnitPrice), p.get(r, fieldValue)
	switch {
	case len(price) > 0 && p.cols[fieldQuantity] >= 0:
		unit, f := p.numbers.read("unit_price", price)
		if f != nil {
			return f
		}
		return setAmounts(rec, quantity, unit, discount)
	case len(value) > 0:
		net, f := p.numbers.read("value", value)
		if f != nil {
			return f
		}
		if p.cols[fieldQuantity] < 0 && net.m < 0 {
			quantity.m = -1
		}
		return setValue(rec, quantity, net, discount)
	}
	return &fault{ReasonUnreadable, "no price"}
}

// setQuantity is for whole pieces only.
func setQuantity(rec *Record, quantity decimal) *fault {
	n, whole := quantity.whole()
	switch {
	case quantity.m == 0:
		return &fault{ReasonZeroQuantity, "quantity 0"}
	case !whole:
		return &fault{ReasonUnreadable, "quantity is not a whole number"}
	case n > math.MaxInt32 || n < -math.MaxInt32:
		return &fault{ReasonImpossible, fmt.Sprintf("quantity %d is too large", n)}
	}
	rec.Quantity = int32(n)
	return nil
}

// setAmounts works the row's value out: quantity x unit price - discount.
func setAmounts(rec *Record, quantity, unit, discount decimal) *fault {
	if f := setQuantity(rec, quantity); f != nil {
		return f
	}
	if unit.m < 0 {
		return &fault{ReasonImpossible, "a negative price; a return has a negative quantity"}
	}
	q := int64(rec.Quantity)
	net, ok1 := unit.times(q, discount)
	off, ok2 := discount.cents()
	if !ok1 || !ok2 {
		return &fault{ReasonImpossible, "the amount is too large"}
	}
	rec.NetCents, rec.DiscountCents = net, off
	return checkAmounts(rec)
}

// setValue takes the row's value as it is given: after the discount.
func setValue(rec *Record, quantity, net, discount decimal) *fault {
	if f := setQuantity(rec, quantity); f != nil {
		return f
	}
	value, ok1 := net.cents()
	off, ok2 := discount.cents()
	if !ok1 || !ok2 {
		return &fault{ReasonImpossible, "the amount is too large"}
	}
	if rec.Quantity > 0 && value < 0 || rec.Quantity < 0 && value > 0 {
		return &fault{ReasonImpossible, "quantity and value have different signs"}
	}
	rec.NetCents, rec.DiscountCents = value, off
	return checkAmounts(rec)
}

// checkAmounts wants a discount between nothing and the price. A cent is left for rounding.
func checkAmounts(rec *Record) *fault {
	switch {
	case rec.Quantity < 0:
		return nil // a return gives back what was paid, however the shop writes the discount
	case rec.DiscountCents < 0:
		return &fault{ReasonImpossible, "a negative discount"}
	case rec.NetCents < -1:
		return &fault{ReasonImpossible, "the discount is larger than the price"}
	}
	rec.NetCents = max(rec.NetCents, 0)
	return nil
}

// refund reads what the file knows of returns.
func (p *lineReader) refund(r *row, rec *Record) *fault {
	if rec.Quantity > 0 && statusName(string(p.get(r, fieldStatus))) == "refunded" {
		rec.RefundCents, rec.KnowsReturns = rec.NetCents, true
	}
	if text := p.get(r, fieldRefunded); len(text) > 0 {
		refunded, ok := parseBool(text)
		if !ok {
			return &fault{ReasonUnreadable, "refunded is neither true nor false: " + quote(text)}
		}
		rec.KnowsReturns = true
		if refunded && rec.Quantity > 0 {
			rec.RefundCents = rec.NetCents
		}
	}
	if text := p.get(r, fieldRefundAmount); len(text) > 0 {
		d, f := p.numbers.read("refund_amount", text)
		if f != nil {
			return f
		}
		amount, ok := d.cents()
		if !ok || amount < 0 {
			return &fault{ReasonImpossible, "refund_amount is negative or too large"}
		}
		rec.KnowsReturns = true
		if rec.Quantity > 0 {
			rec.RefundCents = min(amount, rec.NetCents)
		}
	}
	if rec.Quantity < 0 {
		rec.KnowsReturns = true
	}
	if text := p.get(r, fieldRefundedAt); len(text) > 0 {
		at, _, f := p.clock.read(text)
		if f != nil {
			return f
		}
		if f := checkDate(at, p.latest); f != nil {
			return f
		}
		if rec.RefundCents > 0 {
			rec.RefundedAt = at
		}
	}
	return nil
}

func parseBool(b []byte) (value, ok bool) {
	switch strings.ToLower(string(b)) {
	case "true", "t", "yes", "y", "1":
		return true, true
	case "false", "f", "no", "n", "0":
		return false, true
	}
	return false, false
}

// isEmpty tells whether a customer's name is none: programs write an absent value in several ways.
func isEmpty(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if len(b) > 4 {
		return false
	}
	switch strings.ToLower(string(b)) {
	case "null", "nan", "none", "n/a", "#n/a", `\n`, "nil":
		return true
	}
	return false
}

// interner keeps one copy of texts that repeat, so that a row costs few allocations.
type interner struct {
	seed    maphash.Seed
	slots   []string
	scratch []byte
}

func newInterner() interner {
	return interner{seed: maphash.MakeSeed(), slots: make([]string, 1<<13)}
}

func (in *interner) get(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	slot := &in.slots[maphash.Bytes(in.seed, b)%uint64(len(in.slots))]
	if *slot != string(b) {
		*slot = string(b)
	}
	return *slot
}

// lower is get in lower case.
func (in *interner) lower(b []byte) string {
	in.scratch = in.scratch[:0]
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return in.get(bytes.ToLower(b))
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		in.scratch = append(in.scratch, c)
	}
	return in.get(in.scratch)
}

// customer is get; e-mail addresses do not differ by case.
func (in *interner) customer(b []byte) string {
	if bytes.IndexByte(b, '@') >= 0 {
		return in.lower(b)
	}
	return in.get(b)
}
