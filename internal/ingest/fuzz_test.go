package ingest

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// FuzzRead wants that nothing panics, that no row is lost without a count, that no key comes twice, and that what is read can
// be written and read again as the same.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		head + "a,1,2020-01-01T10:00:00Z,s,c,2,3.50,1,true\n,1,2020-01-01,s,c,1,1,,\na,1,\"2020-01-01\",\"s,\n\"\"t\"\"\",c,-1,1,,false\n",
		" 00004 0001 19970101  2   29.33\n 00004 0001 19970118  2   29.73\n",
		shopifyHead + "#1,a@x,paid,27,27,3,2020-01-01 10:00:00 -0500,1,A,10,S,,,1\n#1,,,,,,,2,B,10,,,,2\n#1,a@x,refunded,9,9,,13/1/2020 1:05 PM,1,A,9,,,4,\n",
		wooHead + "7,1007,9/6/2016  6:29:00,completed,30,EUR,3,Ann@Example.com,name:Pin|sku:P-1|quantity:2|total:18.00|sub_total:20.00,,\n",
		"\uFEFFClient no;Datum;value\r\n7;24.12.2020;1.234,50\r\n8;24/12/2020;(5)\r\n",
		"customer_id\tordered_at\tvalue\n\xE9\t2020-01-01\t$1,234.50\n\"\t2020-01-01\t1\n",
		"\xFF\xFEa\x00\n\x00",
		"customer,date,qty,price\na,2020-01-01,1.000,\"1,250\"\na,2020-01-01,1,\"12,5\"\na,2020-01-01,1,12.5\n",
		shopifyHead + "#2,a@x,paid,7,7,,2020-01-01,1,A,1.234,,,,\n#1,,,,,,,1,A,1,,,,\n#2,a@x\n#2,,,,,,,1,A,\"1,2\",,,,\n#2,a@x,paid,7,7,,2020-01-01,1,A,7,,,,\n",
	} {
		for decided := range byte(4) {
			f.Add([]byte(seed), decided)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte, decided byte) {
		yes, no := true, false
		ways := []*bool{nil, &yes, &no}
		first, err := readAll(t, bytes.NewReader(file), Options{DecimalComma: ways[decided%3], DayFirst: ways[decided/3%3]})
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteNormalised(&b, "", sequence(first.records)); err != nil {
			t.Fatal(err)
		}
		again, err := readAll(t, bytes.NewReader(b.Bytes()), Options{})
		if err != nil || len(again.records) != len(first.records) {
			t.Fatalf("%v: %+v\n%s", err, again.rejects, b.String())
		}
		for i, want := range first.records {
			got := again.records[i]
			got.Line = want.Line
			if got != want {
				t.Fatalf("%+v\n%+v\n%s", want, got, b.String())
			}
		}
	})
}

// FuzzProducts wants that nothing panics.
func FuzzProducts(f *testing.F) {
	f.Add([]byte("Handle,Product Category,Type,Variant SKU\nquilt,Arts,Cloth,QU-1\nquilt,,,QU-2\n"))
	f.Add([]byte("sku;category\n\"a\n;b"))
	f.Fuzz(func(t *testing.T, file []byte) {
		products, err := ReadProducts(bytes.NewReader(file))
		if err != nil {
			return
		}
		for sku, category := range products {
			if sku == "" || category == "" || len(sku) > maxKey || len(category) > maxCategory {
				t.Fatalf("%q: %q", sku, category)
			}
		}
	})
}

// FuzzMapping wants that what is read can be written with every header in quotation marks and read again as the same.
func FuzzMapping(f *testing.F) {
	for _, seed := range []string{
		`customer="Client no",ordered_at="The ""Date"", local",price=Preis`, "# ours\r\ncustomer = Client no\r\n\r\nordered_at=\"a\nb\"\n", `customer="`, "=", ",#",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		mapping, err := ParseMapping(text)
		if err != nil {
			if engine.CodeOf(err) != engine.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		var b strings.Builder
		for name, column := range mapping {
			if !slices.Contains(Fields(), name) || column == "" {
				t.Fatalf("%q = %q", name, column)
			}
			b.WriteString(name + `="` + strings.ReplaceAll(column, `"`, `""`) + "\"\n")
		}
		if again, err := ParseMapping(b.String()); err != nil || !maps.Equal(again, mapping) {
			t.Errorf("%q is %q, read again %q, %v", text, mapping, again, err)
		}
	})
}

// FuzzOrder wants that no line of a call is lost, that lines have numbers of their own, and that amounts are possible ones.
func FuzzOrder(f *testing.F) {
	f.Add("#1", "Ann@Example.com ", "paid", "EUR", "S-1", "A > B", "19.90", "1.5", "2", "3.00", int64(2), int64(1577872800), int64(0), byte(3))
	f.Add("~1", "", "voided", "us$", "", "", "1,250", "-1", "x", "1e9", int64(-1), int64(-1), int64(1577872800), byte(0x82))
	f.Add("", "null", "refunded", "", "\x00", "c", "92233720368547758.07", "", "", "", int64(1)<<62, int64(1)<<40, int64(1)<<62, byte(1))
	f.Fuzz(func(t *testing.T, id, customer, status, currency, sku, category, price, discount, refunded, refund string, quantity, at, later int64, flags byte) {
		when := func(seconds int64) time.Time {
			if seconds == 0 {
				return time.Time{}
			}
			return time.Unix(seconds, seconds%1e9)
		}
		order := Order{
			ID: id, Customer: customer, OrderedAt: when(at), Status: status, Currency: currency, Test: flags&0x80 != 0, Refund: refund, RefundedAt: when(later),
		}
		if flags&0x40 != 0 {
			order.CancelledAt, order.KnownAt = when(later), when(at)
		}
		for i := range int64(flags & 7) {
			order.Lines = append(order.Lines, OrderLine{
				SKU: sku, Category: category, Quantity: quantity * (1 - i), UnitPrice: price, Discount: discount, Refunded: refunded, RefundedAt: when(later),
			})
		}
		options := Options{Now: today, Currency: "EUR", Products: Products{"s-1": "A"}}
		if flags&0x20 != 0 {
			options.Statuses = []string{"paid"}
		}
		records, rejects := order.Records(options)
		if len(records)+len(rejects) != max(1, len(order.Lines)) {
			t.Fatalf("%d lines, %d records and %d rejects", len(order.Lines), len(records), len(rejects))
		}
		if Withdrawn(records, rejects) && len(records) > 0 {
			t.Error("an order with records is withdrawn")
		}
		for i, r := range records {
			if r.LineNo != int32(i+1) || r.OrderKey == "" || OrderIDOf(r.OrderKey) != r.OrderID || r.Customer == "" || r.Quantity == 0 {
				t.Errorf("record %d is %+v", i, r)
			}
			if r.Quantity > 0 && (r.NetCents < 0 || r.RefundCents < 0 || r.RefundCents > r.NetCents) || r.Quantity < 0 && r.RefundCents != 0 || max(r.NetCents, -r.NetCents) > maxCents {
				t.Errorf("amounts of record %d: %+v", i, r)
			}
			if r.OrderedAt.Before(firstDay) || r.OrderedAt.After(latest(today)) || !r.RefundedAt.IsZero() && (r.RefundedAt.Before(firstDay) || r.RefundedAt.After(latest(today))) {
				t.Errorf("times of record %d: %+v", i, r)
			}
		}
		for _, r := range rejects {
			if r.Reason == "" || r.Detail == "" || r.Line < 0 || int(r.Line) > len(order.Lines) {
				t.Errorf("reject %+v", r)
			}
		}
	})
}

// FuzzDecimal compares with strconv wherever both read a number.
func FuzzDecimal(f *testing.F) {
	for _, seed := range []string{"1234.5", "1.234,50", "$1,234.50", "12,5", "(3.00)", "3.00-", "EUR 5", "-.5", "1'234", "0.000000000000000000001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, told, ok := parseDecimal([]byte(s), signsPoint)
		other, toldOther, okOther := parseDecimal([]byte(s), signsComma)
		if ok != okOther || told != toldOther || ok && !told.isOpen() && d != other {
			t.Errorf("%q is %v or %v, and tells %d or %d", s, d, other, told, toldOther)
		}
		if _, told, read := parseDecimal([]byte(s), signsOpen); read != (ok && !told.isOpen()) {
			t.Errorf("%q is read without a decision", s)
		}
		if !ok {
			return
		}
		got := float64(d.m) / math.Pow10(d.scale)
		want, err := strconv.ParseFloat(s, 64)
		if err == nil && !strings.Contains(s, "_") && math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
			t.Errorf("%q is %v, not %v", s, got, want)
		}
		if again, _, ok := parseDecimal(d.append(nil), signsPoint); !ok || again.cmp(d) != 0 {
			t.Errorf("%q is %v, written %s, read %v", s, d, d.append(nil), again)
		}
	})
}

// cmp compares two numbers.
func (d decimal) cmp(e decimal) float64 {
	return float64(d.m)/math.Pow10(d.scale) - float64(e.m)/math.Pow10(e.scale)
}

// FuzzClock compares with the standard library wherever both read a time.
func FuzzClock(f *testing.F) {
	for _, seed := range []string{
		"2020-01-01T10:00:00Z", "2012-01-01 11:13:13 -0500", "9/6/2016  6:29:00", "12/30/2017 1:05 PM", "24.12.2020", "20200101", "2 Jan 2006",
		"2020-02-29T23:59:59.999999999+14:00", "1/1/99",
	} {
		f.Add(seed)
	}
	dayFirst := true
	c := clock{zone: time.FixedZone("", 3600), dayFirst: &dayFirst}
	f.Fuzz(func(t *testing.T, s string) {
		at, hasTime, fault := c.read([]byte(s))
		if fault != nil {
			return
		}
		if at.Location() != time.UTC || at.Year() < 0 || at.Year() > 10_000 || hasTime != c.hasTime(at) {
			t.Fatalf("%q is %v (%v)", s, at, hasTime)
		}
		if want, err := time.Parse(time.RFC3339Nano, s); err == nil && !want.Truncate(time.Microsecond).Equal(at) {
			t.Errorf("%q is %v, not %v", s, at, want)
		}
		again, _, fault := c.read([]byte(at.Format(time.RFC3339Nano)))
		if fault == nil && !again.Equal(at) {
			t.Errorf("%q is %v, read again %v", s, at, again)
		}
	})
}
