package ingest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/quimbi/quimbi/engine"
)

// The formats.
const (
	FormatNormalised = "normalised"
	FormatMapped     = "mapped"
	FormatShopify    = "shopify"
	FormatWoo        = "woocommerce"
	FormatCDNOW      = "cdnow"
)

// field is a column that order lines are made of.
type field int

const (
	fieldCustomer field = iota
	fieldOrder
	fieldOrderedAt
	fieldSKU
	fieldCategory
	fieldQuantity
	fieldUnitPrice
	fieldValue
	fieldDiscount
	fieldRefunded
	fieldRefundAmount
	fieldRefundedAt
	fieldStore
	fieldStatus
	fieldCurrency
	fieldCancelledAt
	fieldLineKey
	fieldCount
)

// names gives, for every field, the normalised format's own header first and then what other files call the same thing. They
// are compared without regard to case, blanks and punctuation.
var names = [fieldCount][]string{
	fieldCustomer:     {"customer_id", "customer", "customer no", "customer number", "customer email", "client id", "email"},
	fieldOrder:        {"order_id", "order", "order no", "order number", "invoice no", "invoice number", "invoice id", "invoice"},
	fieldOrderedAt:    {"ordered_at", "order date", "invoice date", "purchase date", "created at", "date"},
	fieldSKU:          {"sku", "product sku", "stock code", "product id", "article id", "item id"},
	fieldCategory:     {"category", "product category"},
	fieldQuantity:     {"quantity", "qty"},
	fieldUnitPrice:    {"unit_price", "price", "item price"},
	fieldValue:        {"value", "net value", "line total", "amount"},
	fieldDiscount:     {"discount", "discount amount", "line discount"},
	fieldRefunded:     {"refunded"},
	fieldRefundAmount: {"refund_amount", "refunded amount"},
	fieldRefundedAt:   {"refunded_at", "refund date"},
	fieldStore:        {"store_id"},
	fieldStatus:       {"status", "order status"},
	fieldCurrency:     {"currency", "order currency"},
	fieldCancelledAt:  {"cancelled_at", "canceled at"},
	fieldLineKey:      {"line_key"},
}

// shortNames are further names of fields in a mapping.
var shortNames = map[string]field{
	"customer": fieldCustomer, "order": fieldOrder, "date": fieldOrderedAt, "price": fieldUnitPrice, "store": fieldStore,
}

// Fields lists what a mapping may name.
func Fields() []string {
	list := make([]string, fieldCount)
	for f := range list {
		list[f] = names[f][0]
	}
	return list
}

func (f field) String() string { return names[f][0] }

// header is the first row of a file.
type header struct {
	names []string
	place map[string]int // folded name -> first column
	twice map[string]bool
}

// fold makes names comparable: letters and digits only, in lower case.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// expected ends every refusal.
const expected = "an order file is a text table with a header: customer_id, ordered_at, and quantity with unit_price (or value), " +
	"or an orders export of Shopify or of WooCommerce's Import Export Suite; other headers can be named with --map customer_id=\"Client no\""

func refuse(format string, args ...any) error {
	return engine.Errorf(engine.CodeInvalid, "%s; %s", fmt.Sprintf(format, args...), expected)
}

// refuseForeign turns away what is no text table at all.
func refuseForeign(head []byte) error {
	text := bytes.TrimSpace(head)
	switch {
	case len(text) == 0:
		return refuse("the file is empty")
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return refuse("this is a spreadsheet or a .zip archive: save the table as CSV first")
	case bytes.HasPrefix(head, []byte{0x1F, 0x8B}):
		return refuse("this is a compressed file within a compressed file")
	case isBinary(head), bytes.HasPrefix(head, []byte("%PDF")):
		return refuse("this is no text but %s", strings.SplitN(http.DetectContentType(head), ";", 2)[0])
	case text[0] == '{' || text[0] == '[':
		return refuse("this is JSON, not a table")
	case text[0] == '<':
		return refuse("this is HTML or XML, not a table")
	}
	return nil
}

// isBinary tells by zero bytes: one in the first line, or many. A few in the rows of a table are faults of those rows.
func isBinary(head []byte) bool {
	first, _, _ := bytes.Cut(head, []byte{'\n'})
	return bytes.IndexByte(first, 0) >= 0 || bytes.Count(head, []byte{0})*100 > len(head)
}

// readHeader finds the separator and reads the first row.
func readHeader(sc *scanner) (*header, error) {
	head, err := sc.peek()
	if err != nil {
		return nil, err
	}
	if first, _, _ := bytes.Cut(head, []byte{'\n'}); len(first) < 8 && bytes.HasPrefix(first, []byte("sep=")) && len(first) > 4 {
		sc.comma = first[4]
		sc.skip(len(first) + 1)
	} else {
		sc.comma = separator(head)
	}
	r := sc.next()
	if r == nil || r.fault != nil {
		return nil, refuse("the first row cannot be read as a header")
	}
	h := &header{place: map[string]int{}, twice: map[string]bool{}}
	for i := range r.fields {
		name := strings.TrimSpace(string(r.text(i)))
		h.names = append(h.names, name)
		key := fold(name)
		if _, there := h.place[key]; there {
			h.twice[key] = true
			continue
		}
		h.place[key] = i
	}
	return h, nil
}

// separator gives the one that stands most often in the first line outside quotes.
func separator(head []byte) byte {
	count := map[byte]int{}
	quoted := false
	for _, c := range head {
		if c == '"' {
			quoted = !quoted
		}
		if c == '\n' && !quoted {
			break
		}
		if !quoted {
			count[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte{';', '\t', '|'} {
		if count[c] > count[best] {
			best = c
		}
	}
	return best
}

// has tells whether all the names are there.
func (h *header) has(names ...string) bool {
	for _, name := range names {
		if _, ok := h.place[fold(name)]; !ok {
			return false
		}
	}
	return true
}

// column gives the place of the first of the names that is there, or -1.
func (h *header) column(names ...string) int {
	for _, name := range names {
		if i, ok := h.place[fold(name)]; ok {
			return i
		}
	}
	return -1
}

func (h *header) isWooReport() bool {
	return h.has("N. Revenue (formatted)", "Product(s)", "Items sold")
}

// refuseWooReport says why WooCommerce's own report is of no use, and what to export instead.
func refuseWooReport() error {
	return engine.Errorf(engine.CodeInvalid, "this is WooCommerce's own orders report (Analytics > Orders > Download): it names customers only by "+
		"their full name, without e-mail or customer id, and gives neither SKU nor price of a line. Export the orders with the plugin "+
		"Import Export Suite for WooCommerce instead, or add a column with the customer's e-mail and name the columns, for example "+
		"--map customer_id=\"Email\",ordered_at=\"Date\",order_id=\"Order #\",quantity=\"Items sold\",value=\"Net Sales\"")
}

// columns places every field in the header; -1 where there is none. own tells that the header is the normalised format's.
func (h *header) columns(mapping map[string]string) (cols [fieldCount]int, own bool, err error) {
	for f := range cols {
		cols[f] = -1
	}
	for _, key := range slices.Sorted(maps.Keys(mapping)) {
		f, ok := fieldNamed(key)
		if !ok {
			return cols, false, engine.Errorf(engine.CodeInvalid, "there is no field %q to map a column to; the fields are %s", key, strings.Join(Fields(), ", "))
		}
		if cols[f] = h.exactly(mapping[key]); cols[f] < 0 {
			return cols, false, engine.Errorf(engine.CodeInvalid, "the file has no column %q for %s; its columns are %s", mapping[key], f, h.list())
		}
	}
	own = len(mapping) == 0
	for f := range cols {
		if cols[f] >= 0 {
			continue
		}
		for i, name := range names[f] {
			place, ok := h.place[fold(name)]
			if !ok || i > 0 && slices.Contains(cols[:], place) {
				continue
			}
			if h.twice[fold(name)] {
				return cols, false, refuse("the column %q stands in the header more than once", h.names[place])
			}
			cols[f] = place
			own = own && i == 0
			break
		}
	}
	return cols, own, h.complete(&cols)
}

func (h *header) complete(cols *[fieldCount]int) error {
	var missing []string
	for _, f := range []field{fieldCustomer, fieldOrderedAt} {
		if cols[f] < 0 {
			missing = append(missing, f.String())
		}
	}
	if cols[fieldValue] < 0 {
		switch {
		case cols[fieldQuantity] < 0 && cols[fieldUnitPrice] < 0:
			missing = append(missing, "quantity with unit_price, or value")
		case cols[fieldQuantity] < 0:
			missing = append(missing, "quantity")
		case cols[fieldUnitPrice] < 0:
			missing = append(missing, "unit_price or value")
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return refuse("the header lacks %s; it has %s", strings.Join(missing, ", "), h.list())
}

func fieldNamed(key string) (field, bool) {
	key = fold(key)
	for f := range fieldCount {
		if fold(names[f][0]) == key {
			return f, true
		}
	}
	f, ok := shortNames[key]
	return f, ok
}

// exactly finds a column by its name but for case and blanks around it; by its folded name if that fails.
func (h *header) exactly(name string) int {
	for i, n := range h.names {
		if strings.EqualFold(n, strings.TrimSpace(name)) {
			return i
		}
	}
	return h.column(name)
}

// list names the columns for a message.
func (h *header) list() string {
	const shown, longest = 20, 40
	var b strings.Builder
	for i, name := range h.names[:min(shown, len(h.names))] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote([]byte(name[:min(longest, len(name))])))
	}
	if len(h.names) > shown {
		fmt.Fprintf(&b, " and %d more", len(h.names)-shown)
	}
	return b.String()
}

// quote shows a value in a message.
func quote(b []byte) string {
	const longest = 60
	more := ""
	if len(b) > longest {
		b, more = b[:longest], "…"
	}
	if !utf8.Valid(b) {
		b = bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	return fmt.Sprintf("%q%s", b, more)
}
