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
	Test      bool
	Lines     []OrderLine
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
			rejects = append(rejects, Reject{Line: int64(min(i+1, len(o.Lines))), Reason: f.reason, Detail: f.detail, OrderID: strings.TrimSpace(o.ID)})
		}
		return nil, rejects
	}
	customer := CustomerName(o.Customer)
	for i := range o.Lines {
		rec := Record{
			Customer: customer, OrderID: strings.TrimSpace(o.ID), Line: int64(i + 1),
			OrderedAt: o.OrderedAt.UTC().Truncate(time.Microsecond), LineNo: int32(len(records) + 1),
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

// fault tells why the whole order is set aside.
func (o *Order) fault(opt *Options) *fault {
	statuses := newStatuses(opt.Statuses, notPurchases)
	switch {
	case isEmpty([]byte(strings.TrimSpace(o.Customer))):
		return &fault{ReasonGuest, "no customer"}
	case strings.TrimSpace(o.ID) == "":
		return &fault{ReasonUnreadable, "no order id"}
	case o.Test:
		return &fault{ReasonTest, "a test order"}
	}
	if f := statuses.check([]byte(o.Status)); f != nil {
		return f
	}
	return checkDate(o.OrderedAt, latest(opt.Now))
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
	unit, f := readNumber("the unit price", []byte(l.UnitPrice), false)
	if f != nil {
		return f
	}
	var discount decimal
	if l.Discount != "" {
		if discount, f = readNumber("the discount", []byte(l.Discount), false); f != nil {
			return f
		}
		rec.HasDiscount = true
	}
	if f := setAmounts(rec, decimal{m: l.Quantity}, unit, discount); f != nil {
		return f
	}
	rec.KnowsReturns = rec.Quantity < 0
	if l.Refunded == "" {
		return nil
	}
	refunded, f := readNumber("the refund", []byte(l.Refunded), false)
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
			rec.RefundedAt = l.RefundedAt
		}
	}
	return nil
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
	if d, ok := parseDecimal([]byte(o.Refund), false); ok {
		amount, _ = d.cents()
	}
	if statusName(o.Status) == "refunded" {
		amount = all
	}
	for i, part := range spread(amount, rest) {
		if records[i].KnowsReturns = records[i].KnowsReturns || amount > 0; part == 0 {
			continue
		}
		records[i].RefundCents += part
		if o.RefundedAt.After(records[i].RefundedAt) {
			records[i].RefundedAt = o.RefundedAt
		}
	}
}
