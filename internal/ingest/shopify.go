package ingest

import "cmp"

// shopifyColumns are the columns of an orders export that are of use. Lists differ by year and shop, so each may be missing.
type shopifyColumns struct {
	name, email, status, subtotal, total, discount, created, cancelled, refund, currency int
	quantity, item, price, sku, lineDiscount                                             int
}

func (h *header) isShopify() bool {
	return h.has("Name", "Created at", "Lineitem quantity", "Lineitem price")
}

func (h *header) shopify() shopifyColumns {
	return shopifyColumns{
		name: h.column("Name"), email: h.column("Email"), status: h.column("Financial Status"), subtotal: h.column("Subtotal"),
		total: h.column("Total"), discount: h.column("Discount Amount"), created: h.column("Created at"),
		cancelled: h.column("Cancelled at", "Canceled at"), refund: h.column("Refunded Amount"), currency: h.column("Currency"),
		quantity: h.column("Lineitem quantity"), item: h.column("Lineitem name"), price: h.column("Lineitem price"),
		sku: h.column("Lineitem sku"), lineDiscount: h.column("Lineitem discount"),
	}
}

// readShopify reads Shopify's Orders > Export: a row a line item, with what concerns the order on its first row only.
func readShopify(sc *scanner, h *header, o *Options, s *sink) error {
	c := h.shopify()
	if c.email < 0 {
		return refuse("this looks like an orders export of Shopify, but has no column Email: nothing tells the customers apart")
	}
	s.sum.Format = FormatShopify
	for f, i := range map[field]int{
		fieldCustomer: c.email, fieldOrder: c.name, fieldOrderedAt: c.created, fieldSKU: c.sku, fieldQuantity: c.quantity, fieldUnitPrice: c.price,
		fieldDiscount: c.lineDiscount, fieldRefundAmount: c.refund, fieldStatus: c.status, fieldCurrency: c.currency,
	} {
		if i >= 0 {
			s.sum.Mapping[f.String()] = h.names[i]
		}
	}
	b := newBook(sc, o, s, notShopPurchases)
	var current *shopOrder
	for r := sc.next(); r != nil; r = sc.next() {
		if err := cmp.Or(s.row(r.line), b.full()); err != nil {
			return err
		}
		f := checkWidth(r, len(h.names))
		if f == nil {
			current, f = b.shopifyRow(r, &c, current)
		} else {
			b.spoiled(textAt(r, c.name), current)
		}
		if f != nil {
			if err := s.drop(r.line, f, string(textAt(r, c.name)), printable(r.raw)); err != nil {
				return err
			}
		}
	}
	if sc.err != nil {
		return sc.err
	}
	return b.finish(nil)
}

// spoiled notes an unreadable row of an order. Unless it follows rows of that order it was its first row, and those after it
// must not be taken for lines of an older copy.
func (b *book) spoiled(name []byte, current *shopOrder) {
	id := string(name)
	if id == "" || current != nil && current.id == id {
		return
	}
	if old := b.copies[id]; old != nil {
		old.broken = true
	}
}

// shopifyRow reads one row and gives the order it belongs to, or why the row is of no order.
func (b *book) shopifyRow(r *row, c *shopifyColumns, current *shopOrder) (*shopOrder, *fault) {
	id := b.texts.get(textAt(r, c.name))
	if id == "" {
		return current, &fault{ReasonUnreadable, "no order name"}
	}
	order := b.copies[id]
	switch {
	case c.opensOrder(r) || order == nil && !c.canTell():
		order = b.shopifyOrder(r, c, id)
	case order == nil, order.broken:
		return current, &fault{ReasonUnreadable, "the first row of the order is missing"}
	}
	b.add(order, b.shopifyLine(r, c), r.raw)
	return order, nil
}

// canTell tells whether the file has columns that are filled on an order's first row only. Name, Email and Created at may be
// filled on others too.
func (c *shopifyColumns) canTell() bool { return c.status >= 0 || c.subtotal >= 0 || c.total >= 0 }

func (c *shopifyColumns) opensOrder(r *row) bool {
	return len(textAt(r, c.status)) > 0 || len(textAt(r, c.subtotal)) > 0 || len(textAt(r, c.total)) > 0
}

// shopifyOrder reads what a first row says of its order.
func (b *book) shopifyOrder(r *row, c *shopifyColumns, id string) *shopOrder {
	o := b.start(id)
	email := textAt(r, c.email)
	if !isEmpty(email) {
		o.customer = b.texts.customer(email)
	}
	status := textAt(r, c.status)
	o.fault = b.statuses.check(status)
	if o.fault == nil && len(textAt(r, c.cancelled)) > 0 {
		o.fault = b.statuses.check([]byte("cancelled"))
	}
	if o.customer == "" {
		o.fault = &fault{ReasonGuest, "no customer: the order has no e-mail address"}
	}
	if f := checkTexts(&Record{Customer: o.customer, OrderID: o.id}); f != nil {
		o.fault = f
	}
	o.refunded = statusName(string(status)) == "refunded"
	o.total, o.subtotal = b.amount(textAt(r, c.total)), b.amount(textAt(r, c.subtotal))
	o.discount, o.refund = b.amount(textAt(r, c.discount)), b.amount(textAt(r, c.refund))
	o.keepRaw = o.total.known && o.total.cents == 0
	b.dated(o, textAt(r, c.created))
	o.cancelled = string(textAt(r, c.cancelled))
	b.priced(o, textAt(r, c.currency))
	return o
}

// shopifyLine reads a row's line item.
func (b *book) shopifyLine(r *row, c *shopifyColumns) shopLine {
	l := shopLine{at: r.line, sku: b.texts.lower(textAt(r, c.sku)), hasOff: c.lineDiscount >= 0 || c.discount >= 0}
	quantity, price := textAt(r, c.quantity), textAt(r, c.price)
	if len(quantity) == 0 && len(price) == 0 && len(textAt(r, c.item)) == 0 {
		l.fault = &fault{ReasonNoLines, "the row has no line item"}
		return l
	}
	var discount decimal
	q, f := readNumber("Lineitem quantity", quantity, b.comma)
	unit, priceFault := readNumber("Lineitem price", price, b.comma)
	l.free = priceFault == nil && unit.m == 0
	if text := textAt(r, c.lineDiscount); f == nil && len(text) > 0 {
		discount, f = readNumber("Lineitem discount", text, b.comma)
	}
	if f == nil {
		f = priceFault
	}
	rec := Record{SKU: l.sku}
	if f == nil {
		f = checkTexts(&rec)
	}
	if f == nil {
		f = setAmounts(&rec, q, unit, discount)
	}
	// A line that is set aside keeps its discount: the order's contains it.
	if off, ok := discount.cents(); ok {
		l.off = off
	}
	l.fault, l.quantity, l.net = f, rec.Quantity, rec.NetCents
	return l
}
