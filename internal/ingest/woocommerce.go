package ingest

import (
	"cmp"
	"slices"
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
	date, status, currency int
	customers, items       []int // the first customer that is filled counts
}

func (h *header) woo() wooColumns {
	c := wooColumns{date: h.column("order_date"), status: h.column("status"), currency: h.column("order_currency"), items: h.wooItems()}
	for _, name := range []string{"customer_email", "billing_email", "customer_id", "customer_user"} {
		if i := h.column(name); i >= 0 {
			c.customers = append(c.customers, i)
		}
	}
	return c
}

// list gives the columns in the order in which the book keeps them.
func (c *wooColumns) list() []int {
	return slices.Concat([]int{c.date, c.status, c.currency}, c.customers, c.items)
}

// kept gives the columns' places in rows that come back from the book.
func (c *wooColumns) kept() wooColumns {
	kept := wooColumns{date: 0, status: 1, currency: 2}
	for range c.customers {
		kept.customers = append(kept.customers, 3+len(kept.customers))
	}
	for range c.items {
		kept.items = append(kept.items, 3+len(kept.customers)+len(kept.items))
	}
	return kept
}

// readWooSuite reads the export suite's file. Every line item counts as a row, and so does an order without any.
func readWooSuite(sc *scanner, h *header, o *Options, s *sink) error {
	c, number := h.woo(), h.column("order_id", "order_number")
	if len(c.customers) == 0 {
		return refuse("this looks like an orders export of WooCommerce, but has neither customer_email nor customer_id: nothing tells the customers apart")
	}
	s.sum.Format = FormatWoo
	for f, i := range map[field]int{
		fieldCustomer: c.customers[0], fieldOrder: number, fieldOrderedAt: c.date, fieldStatus: c.status, fieldCurrency: c.currency, fieldSKU: c.items[0],
		fieldQuantity: c.items[0], fieldValue: c.items[0],
	} {
		if i >= 0 {
			s.sum.Mapping[f.String()] = h.names[i]
		}
	}
	b := newBook(sc, o, s, notWooPurchases, c.list()...)
	defer b.sorter.Close()
	for r := sc.next(); r != nil; r = sc.next() {
		f, lines, id := checkWidth(r, len(h.names)), 1, textAt(r, number)
		if f == nil && len(id) == 0 {
			f = &fault{ReasonUnreadable, "no order_id"}
		}
		var err error
		if f == nil {
			lines, err = b.holdWoo(r, &c, b.texts.get(id))
		} else {
			err = s.drop(r.line, f, string(id), printable(r.raw))
		}
		if err != nil {
			return err
		}
		for range lines {
			if err := s.row(r.line); err != nil {
				return err
			}
		}
	}
	if sc.err != nil {
		return sc.err
	}
	kept, monthFirst := c.kept(), false // the plugin's documentation: MM/DD/YYYY
	return b.finish(&monthFirst, func(id string, _ byte, r *row) error {
		b.start(b.wooOrder(r, &kept, id))
		for _, l := range b.wooLines(r, &kept) {
			if err := b.add(l, r.raw); err != nil {
				return err
			}
		}
		return nil
	})
}

// holdWoo puts an order by and counts its lines.
func (b *book) holdWoo(r *row, c *wooColumns, id string) (int, error) {
	o, lines := b.wooOrder(r, c, id), b.wooLines(r, c)
	aside := func(l shopLine) bool { return l.fault != nil }
	raw := ""
	if o.keepRaw || o.fault != nil || slices.ContainsFunc(lines, aside) {
		raw = printable(r.raw)
	}
	return len(lines), b.hold(id, rowOpens, r, 0, raw)
}

// wooOrder reads what a row says of its order.
func (b *book) wooOrder(r *row, c *wooColumns, id string) shopOrder {
	o := shopOrder{id: id}
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
	b.dated(&o, textAt(r, c.date))
	b.priced(&o, textAt(r, c.currency))
	return o
}

// wooLines reads the line items of a row; at least one, since an order without any is set aside.
func (b *book) wooLines(r *row, c *wooColumns) (lines []shopLine) {
	for _, column := range c.items {
		if text := textAt(r, column); len(text) > 0 {
			lines = append(lines, b.wooLine(string(text), r.line))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, shopLine{at: r.line, fault: &fault{ReasonNoLines, "the order has no line items"}})
	}
	return lines
}

// wooLine reads a line item: name:…|product_id:…|sku:…|quantity:…|total:…|sub_total:… and whatever follows. total is after
// the discount, sub_total before it.
func (b *book) wooLine(text string, at int64) shopLine {
	l := shopLine{at: at}
	values := wooValues(text)
	quantity, f := b.numbers.read("quantity", []byte(values["quantity"]))
	total, totalFault := b.numbers.read("total", []byte(values["total"]))
	before, beforeFault := b.optional("sub_total", values["sub_total"])
	refund, refundFault := b.optional("refunded", values["refunded"])
	f = cmp.Or(f, totalFault, beforeFault, refundFault)
	rec := Record{SKU: b.texts.lower([]byte(values["sku"]))}
	if f == nil {
		f = checkTexts(&rec)
	}
	var discount decimal
	if f == nil && before.known {
		after, _ := total.cents()
		discount, l.hasOff = decimal{m: max(before.cents-after, 0), scale: 2}, true
	}
	if f == nil {
		f = setValue(&rec, quantity, total, discount)
	}
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
