package ingest

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
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
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		first, err := readAll(t, bytes.NewReader(file), Options{Statuses: nil})
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
