package ingest

import (
	"bufio"
	"io"
	"iter"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// exportHeader is the normalised format with columns more, so that nothing is lost: of refunds, of cancelled orders, of values that no
// unit price makes, of the keys of lines without an order id, and the currency.
const exportHeader = "store_id,customer_id,order_id,ordered_at,sku,category,quantity,unit_price,discount,refunded,refund_amount,refunded_at,value,cancelled_at,currency,line_key\n"

// WriteNormalised writes records with amounts in a currency, which may be empty, as a normalised file. Lines of an order must come in
// the order of their LineNo; then Read gives every record again with the same key and the same values, so importing the
// file changes nothing.
func WriteNormalised(w io.Writer, currency string, records iter.Seq2[Record, error]) error {
	b := bufio.NewWriterSize(w, 64<<10)
	if _, err := b.WriteString(exportHeader); err != nil {
		return err
	}
	var line []byte
	for r, err := range records {
		if err != nil {
			return err
		}
		line = appendRecord(line[:0], &r, currency)
		if _, err := b.Write(line); err != nil {
			return err
		}
	}
	return b.Flush()
}

func appendRecord(b []byte, r *Record, currency string) []byte {
	for _, text := range []string{r.Store, r.Customer, r.OrderID} {
		b = append(appendText(b, text), ',')
	}
	b = append(appendTime(b, r.OrderedAt), ',')
	b = append(appendText(b, r.SKU), ',')
	b = append(appendText(b, r.Category), ',')
	b = append(strconv.AppendInt(b, int64(r.Quantity), 10), ',')
	gross := r.NetCents + r.DiscountCents
	priced := gross == 0 || (gross > 0) == (r.Quantity > 0) // else it was no unit price that made the value
	if priced {
		b = appendPrice(b, gross, int64(r.Quantity))
	}
	b = append(b, ',')
	if r.HasDiscount {
		b = appendCents(b, r.DiscountCents)
	}
	b = append(b, ',')
	if r.KnowsReturns {
		b = strconv.AppendBool(b, r.RefundCents > 0 || r.Quantity < 0)
	}
	b = append(b, ',')
	if r.RefundCents > 0 && r.RefundCents != r.NetCents {
		b = appendCents(b, r.RefundCents)
	}
	b = append(b, ',')
	if r.RefundCents > 0 && !r.RefundedAt.IsZero() {
		b = appendTime(b, r.RefundedAt)
	}
	b = append(b, ',')
	if !priced {
		b = appendCents(b, r.NetCents)
	}
	b = append(b, ',')
	if !r.CancelledAt.IsZero() {
		b = appendTime(b, r.CancelledAt)
	}
	b = append(append(append(b, ','), currency...), ',')
	if r.OrderID == "" {
		b = append(b, r.OrderKey...)
	}
	return append(b, '\n')
}

// WriteProducts writes what is known of articles as a table that ReadProducts reads: SKU and category.
func WriteProducts(w io.Writer, products iter.Seq2[[2]string, error]) error {
	b := bufio.NewWriter(w)
	if _, err := b.WriteString("sku,category\n"); err != nil {
		return err
	}
	var line []byte
	for p, err := range products {
		if err != nil {
			return err
		}
		line = append(appendText(append(appendText(line[:0], p[0]), ','), p[1]), '\n')
		if _, err := b.Write(line); err != nil {
			return err
		}
	}
	return b.Flush()
}

func appendTime(b []byte, at time.Time) []byte { return at.UTC().AppendFormat(b, time.RFC3339Nano) }

// appendText quotes a value where it must be.
func appendText(b []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"\r\n") {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}

func appendCents(b []byte, cents int64) []byte {
	return decimal{m: cents, scale: 2}.append(b)
}

// append writes the number with all its decimals.
func (d decimal) append(b []byte) []byte {
	if d.m < 0 {
		b = append(b, '-')
	}
	n := magnitude(d.m)
	unit := uint64(pow10[d.scale])
	b = strconv.AppendUint(b, n/unit, 10)
	if d.scale == 0 {
		return b
	}
	b = append(b, '.')
	fraction := strconv.FormatUint(n%unit, 10)
	for range d.scale - len(fraction) {
		b = append(b, '0')
	}
	return append(b, fraction...)
}

// appendPrice writes a unit price with as few decimals, at least two, as give gross cents again when multiplied by the
// quantity and rounded.
func appendPrice(b []byte, gross, quantity int64) []byte {
	if quantity == 0 {
		return appendCents(b, gross)
	}
	g, q := magnitude(gross), magnitude(quantity)
	var price decimal
	for price.scale = 2; price.scale < maxDigits; price.scale++ {
		hi, lo := bits.Mul64(g, uint64(pow10[price.scale-2]))
		if hi >= q {
			break
		}
		m, rest := bits.Div64(hi, lo, q)
		if rest >= q-rest {
			m++
		}
		if m >= 1<<61 {
			break
		}
		price.m = int64(m)
		if again, ok := price.times(int64(q), decimal{}); ok && again == int64(g) {
			break
		}
	}
	if (gross < 0) != (quantity < 0) {
		price.m = -price.m
	}
	return price.append(b)
}

// RejectWriter writes rejects as a table: line, reason, detail, row.
type RejectWriter struct {
	w       io.Writer
	started bool
	line    []byte
}

// NewRejectWriter writes to w, which the caller buffers, flushes and closes. Nothing is written before the first reject.
func NewRejectWriter(w io.Writer) *RejectWriter { return &RejectWriter{w: w} }

// Write appends a reject.
func (w *RejectWriter) Write(r Reject) error {
	b := w.line[:0]
	if !w.started {
		b = append(b, "line,reason,detail,row\n"...)
		w.started = true
	}
	b = append(strconv.AppendInt(b, r.Line, 10), ',')
	b = append(append(b, r.Reason...), ',')
	b = append(appendText(b, r.Detail), ',')
	b = append(appendText(b, r.Raw), '\n')
	w.line = b
	_, err := w.w.Write(b)
	return err
}
