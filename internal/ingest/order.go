package ingest

import (
	"fmt"
	"strings"
	"time"
)

// Order is one order as an API call or a shop's message states it. Amounts are decimal numbers; empty ones are not known.
type Order struct {
	ID        string
	Customer  string // empty: a guest
	OrderedAt time.Time
	Status    string // the shop's word: paid, voided, cancelled; empty counts as a purchase
	// CancelledAt is when the order was cancelled: it is then, whatever Status says. Zero: Status tells.
	CancelledAt time.Time
	KnownAt     time.Time // when the order was in this state, where that is known
	Test        bool
	Currency    string // ISO 4217; empty: the store's
	Lines       []OrderLine
	// Refund was given back without naming a line. It is spread over the lines in proportion to their values.
	Refund     string
	RefundedAt time.Time // when Refund, or a whole refund by Status, became known; zero: the order's time
}

// OrderLine is a line of an Order.
type OrderLine struct {
	SKU, Category string
	Quantity      int64  // negative for a return
	UnitPrice     string // before discount
	Discount      string // off the whole line
	Refunded      string // so far
	RefundedAt    time.Time
}

// Records applies to an order the rules that hold for files. A reject's Line is the place of the line in the order, from 1,
// and 0 where the order has no lines at all.
func (o *Order) Records(opt Options) (records []Record, rejects []Reject) {
	if opt.Zone == nil {
		opt.Zone = time.UTC
	}
	f := o.fault(&opt)
	if f == nil && len(o.Lines) == 0 {
		f = &fault{ReasonNoLines, "the order has no lines"}
	}
	if f != nil {
		for i := range max(1, len(o.Lines)) {
			rejects = append(rejects, Reject{
				Line: int64(min(i+1, len(o.Lines))), Reason: f.reason, Detail: f.detail, OrderID: strings.TrimSpace(o.ID), CancelledAt: o.CancelledAt,
			})
		}
		return nil, rejects
	}
	for i := range o.Lines {
		rec := Record{
			Customer: CustomerName(o.Customer), OrderID: strings.TrimSpace(o.ID), Line: int64(i + 1),
			OrderedAt: microseconds(o.OrderedAt), LineNo: int32(len(records) + 1),
		}
		rec.OrderKey = OrderKey(rec.OrderID)
		rec.HasTime = (&clock{zone: opt.Zone}).hasTime(rec.OrderedAt)
		if f := o.Lines[i].fill(&rec, &opt); f != nil {
			rejects = append(rejects, Reject{Line: rec.Line, Reason: f.reason, Detail: f.detail, OrderID: rec.OrderID})
			continue
		}
		records = append(records, rec)
	}
	o.refund(records)
	return records, rejects
}

// CustomerName gives a customer's name in the form in which it is stored: trimmed, and an e-mail address in lower case.
func CustomerName(name string) string {
	name = strings.TrimSpace(name)
	if strings.Contains(name, "@") {
		return strings.ToLower(name)
	}
	return name
}

// fault tells why the whole order is set aside. What an earlier copy must go for comes first.
func (o *Order) fault(opt *Options) *fault {
	id := strings.TrimSpace(o.ID)
	if id == "" {
		return &fault{ReasonUnreadable, "no order id"}
	}
	if f := checkTexts(&Record{Customer: CustomerName(o.Customer), OrderID: id}); f != nil {
		return f
	}
	for _, at := range []time.Time{o.CancelledAt, o.KnownAt, o.RefundedAt} {
		if f := checkKnown(at, opt); f != nil {
			return f
		}
	}
	if o.Test {
		return &fault{ReasonTest, "a test order"}
	}
	statuses := newStatuses(opt.Statuses, notPurchases)
	f := statuses.check([]byte(o.Status))
	if f == nil && !o.CancelledAt.IsZero() {
		f = statuses.check([]byte("cancelled"))
	}
	if f != nil {
		return f
	}
	if isEmpty([]byte(CustomerName(o.Customer))) {
		return &fault{ReasonGuest, "no customer"}
	}
	if f := checkCurrency(o.Currency, opt.Currency); f != nil {
		return f
	}
	return checkDate(o.OrderedAt, latest(opt.Now))
}

// checkKnown wants a time at which something can have become known; zero is one that nobody told.
func checkKnown(at time.Time, opt *Options) *fault {
	if at.IsZero() {
		return nil
	}
	return checkDate(at, latest(opt.Now))
}

// checkCurrency wants amounts in the store's own currency: others cannot be added to them.
func checkCurrency(currency, store string) *fault {
	currency = strings.ToUpper(strings.TrimSpace(currency))
	switch {
	case currency == "":
		return nil
	case len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		return &fault{ReasonUnreadable, "not a currency's code: " + quote([]byte(currency))}
	case store != "" && currency != store:
		return foreign(currency, store)
	}
	return nil
}

// Withdrawn tells whether an order that came to these records and rejects is known to be no purchase: it was cancelled,
// voided or a test, does not count, or has no lines. An earlier copy of it must go. What cannot be read tells nothing.
func Withdrawn(records []Record, rejects []Reject) bool {
	if len(records) > 0 || len(rejects) == 0 {
		return false
	}
	for _, r := range rejects {
		if !r.Reason.Withdraws() && r.Reason != ReasonZeroQuantity && r.Reason != ReasonNoLines {
			return false
		}
	}
	return true
}

// fill reads one line.
func (l *OrderLine) fill(rec *Record, opt *Options) *fault {
	rec.SKU, rec.Category = strings.ToLower(strings.TrimSpace(l.SKU)), strings.TrimSpace(l.Category)
	if rec.Category == "" {
		rec.Category = opt.Products[rec.SKU]
	}
	if f := checkTexts(rec); f != nil {
		return f
	}
	unit, f := apiNumber("the unit price", []byte(l.UnitPrice))
	if f != nil {
		return f
	}
	var discount decimal
	if l.Discount != "" {
		if discount, f = apiNumber("the discount", []byte(l.Discount)); f != nil {
			return f
		}
		rec.HasDiscount = true
	}
	if f := setAmounts(rec, decimal{m: l.Quantity}, unit, discount); f != nil {
		return f
	}
	rec.KnowsReturns = rec.Quantity < 0
	if f := checkKnown(l.RefundedAt, opt); f != nil {
		return f
	}
	if l.Refunded == "" {
		return nil
	}
	refunded, f := apiNumber("the refund", []byte(l.Refunded))
	if f != nil {
		return f
	}
	amount, ok := refunded.cents()
	if !ok || amount < 0 {
		return &fault{ReasonImpossible, fmt.Sprintf("a refund of %s", quote([]byte(l.Refunded)))}
	}
	rec.KnowsReturns = true
	if rec.Quantity > 0 && amount > 0 {
		rec.RefundCents = min(amount, rec.NetCents)
		if rec.RefundCents > 0 {
			rec.RefundedAt = microseconds(l.RefundedAt)
		}
	}
	return nil
}

// microseconds is a time as exact as it is stored.
func microseconds(at time.Time) time.Time {
	if at.IsZero() {
		return time.Time{}
	}
	return at.UTC().Truncate(time.Microsecond)
}

// refund spreads what was given back for the order as a whole.
func (o *Order) refund(records []Record) {
	rest := make([]int64, len(records))
	var all int64
	for i, r := range records {
		if r.Quantity > 0 {
			rest[i] = r.NetCents - r.RefundCents
			all += rest[i]
		}
	}
	amount := int64(0)
	if d, _, ok := parseDecimal([]byte(o.Refund), signsOwn); ok {
		if amount, ok = d.cents(); !ok {
			amount = all // more than any order is worth
		}
	}
	if statusName(o.Status) == "refunded" {
		amount = all
	}
	for i, part := range spread(amount, rest) {
		if records[i].KnowsReturns = records[i].KnowsReturns || amount > 0; part == 0 {
			continue
		}
		records[i].RefundCents += part
		if at := microseconds(o.RefundedAt); at.After(records[i].RefundedAt) {
			records[i].RefundedAt = at
		}
	}
}
