package ingest

import (
	"cmp"
	"strings"
)

// wooItem begins the names of the columns that hold line items.
const wooItem = "line_item_"

// isWooSuite tells the layout of the plugin Import Export Suite for WooCommerce: one row an order, its line items in columns
// of their own.
func (h *header) isWooSuite() bool {
	return h.column("order_id", "order_number") >= 0 && h.has("order_date") && len(h.wooItems()) > 0
}

// wooItems gives the columns of line items.
func (h *header) wooItems() (columns []int) {
	for i, name := range h.names {
		number, ok := strings.CutPrefix(strings.ToLower(name), wooItem)
		if ok && number != "" && allDigits(number) {
			columns = append(columns, i)
		}
	}
	return columns
}

// wooColumns are the columns of use.
type wooColumns struct {
	id, date, status, currency int
	customers, items           []int // the first customer that is filled counts
}

func (h *header) woo() wooColumns {
	c := wooColumns{
		id: h.column("order_id", "order_number"), date: h.column("order_date"), status: h.column("status"),
		currency: h.column("order_currency"), items: h.wooItems(),
	}
	for _, name := range []string{"customer_email", "billing_email", "customer_id", "customer_user"} {
		if i := h.column(name); i >= 0 {
			c.customers = append(c.customers, i)
		}
	}
	return c
}

// readWooSuite reads the export suite's file. Every line item counts as a row, and so does an order without any.
func readWooSuite(sc *scanner, h *header, o *Options, s *sink) error {
	c := h.woo()
	if len(c.customers) == 0 {
		return refuse("this looks like an orders export of WooCommerce, but has neither customer_email nor customer_id: nothing tells the customers apart")
	}
	s.sum.Format = FormatWoo
	for f, i := range map[field]int{
		fieldCustomer: c.customers[0], fieldOrder: c.id, fieldOrderedAt: c.date, fieldStatus: c.status, fieldCurrency: c.currency, fieldSKU: c.items[0],
		fieldQuantity: c.items[0], fieldValue: c.items[0],
	} {
		if i >= 0 {
			s.sum.Mapping[f.String()] = h.names[i]
		}
	}
	b := newBook(sc, o, s, notWooPurchases)
	for r := sc.next(); r != nil; r = sc.next() {
		f, lines := checkWidth(r, len(h.names)), 1
		if f == nil {
			lines, f = b.wooOrder(r, &c)
		}
		for range lines {
			if err := cmp.Or(s.row(r.line), b.full()); err != nil {
				return err
			}
		}
		if f != nil {
			if err := s.drop(r.line, f, string(textAt(r, c.id)), printable(r.raw)); err != nil {
				return err
			}
		}
	}
	if sc.err != nil {
		return sc.err
	}
	monthFirst := false // the plugin's documentation: MM/DD/YYYY
	return b.finish(&monthFirst)
}

// wooOrder reads an order and counts its lines, or says why the row is none.
func (b *book) wooOrder(r *row, c *wooColumns) (lines int, f *fault) {
	id := b.texts.get(textAt(r, c.id))
	if id == "" {
		return 1, &fault{ReasonUnreadable, "no order_id"}
	}
	o := b.start(id)
	for _, column := range c.customers {
		if text := textAt(r, column); !isEmpty(text) && string(text) != "0" { // user 0 is nobody
			o.customer = b.texts.customer(text)
			break
		}
	}
	status := textAt(r, c.status)
	o.fault = b.statuses.check(status)
	if o.customer == "" {
		o.fault = &fault{ReasonGuest, "no customer: the order has neither an e-mail address nor a customer id"}
	}
	if f := checkTexts(&Record{Customer: o.customer, OrderID: o.id}); f != nil {
		o.fault = f
	}
	o.refunded = statusName(string(status)) == "refunded"
	b.dated(o, textAt(r, c.date))
	b.priced(o, textAt(r, c.currency))
	for _, column := range c.items {
		if text := textAt(r, column); len(text) > 0 {
			b.add(o, b.wooLine(string(text), r.line), r.raw)
		}
	}
	if len(o.lines) == 0 {
		b.add(o, shopLine{at: r.line, fault: &fault{ReasonNoLines, "the order has no line items"}}, r.raw)
	}
	return len(o.lines), nil
}

// wooLine reads a line item: name:…|product_id:…|sku:…|quantity:…|total:…|sub_total:… and whatever follows. total is after
// the discount, sub_total before it.
func (b *book) wooLine(text string, at int64) shopLine {
	l := shopLine{at: at}
	values := wooValues(text)
	quantity, f := readNumber("quantity", []byte(values["quantity"]), b.comma)
	total, totalFault := readNumber("total", []byte(values["total"]), b.comma)
	if f == nil {
		f = totalFault
	}
	rec := Record{SKU: b.texts.lower([]byte(values["sku"]))}
	if f == nil {
		f = checkTexts(&rec)
	}
	var discount decimal
	if before := b.amount([]byte(values["sub_total"])); f == nil && before.known {
		after, _ := total.cents()
		discount, l.hasOff = decimal{m: max(before.cents-after, 0), scale: 2}, true
	}
	if f == nil {
		f = setValue(&rec, quantity, total, discount)
	}
	refund := b.amount([]byte(values["refunded"]))
	l.fault, l.sku, l.quantity, l.net, l.off = f, rec.SKU, rec.Quantity, rec.NetCents, rec.DiscountCents
	l.refund = min(max(refund.cents, -refund.cents), max(l.net, 0))
	return l
}

// wooValues takes a line item apart. A name may hold the separator, so what comes before product_id or sku is the name.
func wooValues(text string) map[string]string {
	values := map[string]string{}
	for part := range strings.SplitSeq(text, "|") {
		key, value, ok := strings.Cut(part, ":")
		key = strings.ToLower(strings.TrimSpace(key))
		if _, there := values[key]; ok && !there {
			values[key] = strings.TrimSpace(value)
		}
	}
	return values
}
