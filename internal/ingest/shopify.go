package ingest

// The columns of an orders export that are of use: those of an order, then those of a line. Lists differ by year and shop, so each
// may be missing.
const (
	shopEmail = iota
	shopStatus
	shopSubtotal
	shopTotal
	shopDiscount
	shopCreated
	shopCancelled
	shopRefund
	shopCurrency
	shopQuantity // the first one of a line
	shopItem
	shopPrice
	shopSKU
	shopLineDiscount
	shopColumns
)

// shopifyColumns gives the place of each column, or -1.
type shopifyColumns [shopColumns]int

func (h *header) isShopify() bool {
	return h.has("Name", "Created at", "Lineitem quantity", "Lineitem price")
}

func (h *header) shopify() shopifyColumns {
	return shopifyColumns{
		shopEmail: h.column("Email"), shopStatus: h.column("Financial Status"), shopSubtotal: h.column("Subtotal"), shopTotal: h.column("Total"),
		shopDiscount: h.column("Discount Amount"), shopCreated: h.column("Created at"), shopCancelled: h.column("Cancelled at", "Canceled at"),
		shopRefund: h.column("Refunded Amount"), shopCurrency: h.column("Currency"), shopQuantity: h.column("Lineitem quantity"),
		shopItem: h.column("Lineitem name"), shopPrice: h.column("Lineitem price"), shopSKU: h.column("Lineitem sku"),
		shopLineDiscount: h.column("Lineitem discount"),
	}
}

// kept gives the columns' places in rows that come back from the book.
func (c shopifyColumns) kept() shopifyColumns {
	for i := range c {
		if c[i] >= 0 {
			c[i] = i
		}
	}
	return c
}

// readShopify reads Shopify's Orders > Export: a row a line item, with what concerns the order on its first row only.
func readShopify(sc *scanner, h *header, o *Options, s *sink) error {
	c, name := h.shopify(), h.column("Name")
	if c[shopEmail] < 0 {
		return refuse("this looks like an orders export of Shopify, but has no column Email: nothing tells the customers apart")
	}
	s.sum.Format = FormatShopify
	for f, i := range map[field]int{
		fieldCustomer: c[shopEmail], fieldOrder: name, fieldOrderedAt: c[shopCreated], fieldSKU: c[shopSKU], fieldQuantity: c[shopQuantity],
		fieldUnitPrice: c[shopPrice], fieldDiscount: c[shopLineDiscount], fieldRefundAmount: c[shopRefund], fieldStatus: c[shopStatus],
		fieldCurrency: c[shopCurrency],
	} {
		if i >= 0 {
			s.sum.Mapping[f.String()] = h.names[i]
		}
	}
	b := newBook(sc, o, s, notShopPurchases, c[:]...)
	defer b.sorter.Close()
	for r := sc.next(); r != nil; r = sc.next() {
		if err := s.row(r.line); err != nil {
			return err
		}
		id := textAt(r, name)
		f := checkWidth(r, len(h.names))
		var err error
		switch {
		case f == nil && len(id) > 0:
			err = b.holdShopify(r, &c, b.texts.get(id))
		case f == nil:
			f = &fault{ReasonUnreadable, "no order name"}
		default:
			err = b.spoiled(r, string(id))
		}
		if err == nil && f != nil {
			err = s.drop(r.line, f, string(id), printable(r.raw))
		}
		if err != nil {
			return err
		}
	}
	if sc.err != nil {
		return sc.err
	}
	kept := c.kept()
	return b.finish(nil, func(id string, kind byte, r *row) error { return b.takeShopify(r, &kept, id, kind) })
}

// spoiled notes an unreadable row of an order. Unless it follows rows of that order it was its first row, and those after it
// must not be taken for lines of an older copy.
func (b *book) spoiled(r *row, id string) error {
	if id == "" || b.current == id {
		return nil
	}
	return b.hold(id, rowSpoiled, r, 0, "")
}

// holdShopify puts a row by. Its text is kept where the row, or its order, may be set aside; of an order that was begun
// elsewhere in the file that is not known.
func (b *book) holdShopify(r *row, c *shopifyColumns, id string) error {
	kind := rowContinues
	switch {
	case c.opensOrder(r) || !c.canTell():
		kind = rowOpens
		o := b.shopifyOrder(r, c, id)
		b.current, b.keepRaw = id, o.keepRaw || o.fault != nil || !c.canTell()
	case id != b.current:
		b.current, b.keepRaw = id, true
	}
	raw := ""
	if l := b.shopifyLine(r, c); b.keepRaw || l.fault != nil {
		raw = printable(r.raw)
	}
	return b.hold(id, kind, r, shopQuantity, raw)
}

// takeShopify adds a row to its order.
func (b *book) takeShopify(r *row, c *shopifyColumns, id string, kind byte) error {
	switch {
	case kind == rowSpoiled:
		b.order.broken = true
		return nil
	case kind == rowOpens && (c.canTell() || !b.gathered):
		b.start(b.shopifyOrder(r, c, id))
	case !b.gathered, b.order.broken:
		return b.sink.drop(r.line, &fault{ReasonUnreadable, "the first row of the order is missing"}, id, string(r.raw))
	}
	return b.add(b.shopifyLine(r, c), r.raw)
}

// canTell tells whether the file has columns that are filled on an order's first row only. Name, Email and Created at may be
// filled on others too.
func (c *shopifyColumns) canTell() bool {
	return c[shopStatus] >= 0 || c[shopSubtotal] >= 0 || c[shopTotal] >= 0
}

func (c *shopifyColumns) opensOrder(r *row) bool {
	return len(textAt(r, c[shopStatus])) > 0 || len(textAt(r, c[shopSubtotal])) > 0 || len(textAt(r, c[shopTotal])) > 0
}

// shopifyOrder reads what a first row says of its order.
func (b *book) shopifyOrder(r *row, c *shopifyColumns, id string) shopOrder {
	o := shopOrder{id: id}
	email := textAt(r, c[shopEmail])
	if !isEmpty(email) {
		o.customer = b.texts.customer(email)
	}
	status := textAt(r, c[shopStatus])
	o.fault = b.statuses.check(status)
	if o.fault == nil && len(textAt(r, c[shopCancelled])) > 0 {
		o.fault = b.statuses.check([]byte("cancelled"))
	}
	if o.customer == "" {
		o.fault = &fault{ReasonGuest, "no customer: the order has no e-mail address"}
	}
	if f := checkTexts(&Record{Customer: o.customer, OrderID: o.id}); f != nil {
		o.fault = f
	}
	o.refunded = statusName(string(status)) == "refunded"
	o.total = b.amount(&o, "Total", textAt(r, c[shopTotal]))
	o.subtotal = b.amount(&o, "Subtotal", textAt(r, c[shopSubtotal]))
	o.discount = b.amount(&o, "Discount Amount", textAt(r, c[shopDiscount]))
	o.refund = b.amount(&o, "Refunded Amount", textAt(r, c[shopRefund]))
	o.keepRaw = o.total.known && o.total.cents == 0
	b.dated(&o, textAt(r, c[shopCreated]))
	o.cancelled = string(textAt(r, c[shopCancelled]))
	b.priced(&o, textAt(r, c[shopCurrency]))
	return o
}

// shopifyLine reads a row's line item.
func (b *book) shopifyLine(r *row, c *shopifyColumns) shopLine {
	l := shopLine{at: r.line, sku: b.texts.lower(textAt(r, c[shopSKU])), hasOff: c[shopLineDiscount] >= 0 || c[shopDiscount] >= 0}
	quantity, price := textAt(r, c[shopQuantity]), textAt(r, c[shopPrice])
	if len(quantity) == 0 && len(price) == 0 && len(textAt(r, c[shopItem])) == 0 {
		l.fault = &fault{ReasonNoLines, "the row has no line item"}
		return l
	}
	var discount decimal
	q, f := b.numbers.read("Lineitem quantity", quantity)
	unit, priceFault := b.numbers.read("Lineitem price", price)
	l.free = priceFault == nil && unit.m == 0
	if text := textAt(r, c[shopLineDiscount]); len(text) > 0 {
		var discountFault *fault
		if discount, discountFault = b.numbers.read("Lineitem discount", text); f == nil {
			f = discountFault
		}
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
