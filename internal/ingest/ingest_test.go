package ingest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
)

// today is the clock of the tests.
var today = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// dataFile gives the path of a file of the folder shared/data, which stands beside the repository's root.
func dataFile(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		path := filepath.Join(dir, "..", "shared", "data", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
		dir = filepath.Dir(dir)
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("../shared/data/%s is missing", name)
	}
	t.Skipf("../shared/data/%s is not here", name)
	return ""
}

// result is everything that came out of a file.
type result struct {
	Summary
	records []Record
	rejects []Reject
}

func readAll(t testing.TB, r io.Reader, o Options) (result, error) {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = today
	}
	var got result
	sum, err := Read(context.Background(), r, o,
		func(rec Record) error { got.records = append(got.records, rec); return nil },
		func(rej Reject) error { got.rejects = append(got.rejects, rej); return nil })
	got.Summary = sum
	checkCounts(t, &got)
	return got, err
}

// checkCounts holds for every input: no row is lost without a count, and no two records share a key.
func checkCounts(t testing.TB, got *result) {
	t.Helper()
	if got.Rows != got.Imported+got.Guests+got.Rejected+got.Superseded {
		t.Errorf("%d rows, but %d imported + %d guests + %d rejected + %d superseded", got.Rows, got.Imported, got.Guests, got.Rejected, got.Superseded)
	}
	if int(got.Imported) != len(got.records) || int(got.Guests+got.Rejected) != len(got.rejects) {
		t.Errorf("counted %d and %d, handed over %d records and %d rejects", got.Imported, got.Guests+got.Rejected, len(got.records), len(got.rejects))
	}
	problems := int64(0)
	for _, n := range got.Problems {
		problems += n
	}
	if problems != got.Guests+got.Rejected {
		t.Errorf("problems add up to %d", problems)
	}
	type key struct {
		order string
		line  int32
	}
	seen := make(map[key]bool, len(got.records))
	for _, r := range got.records {
		k := key{r.OrderKey, r.LineNo}
		if seen[k] || r.OrderKey == "" || r.LineNo < 1 {
			t.Fatalf("key %v is not unique", k)
		}
		seen[k] = true
		if r.Customer == "" || r.Quantity == 0 || OrderIDOf(r.OrderKey) != r.OrderID {
			t.Fatalf("not a record: %+v", r)
		}
	}
}

func readText(t testing.TB, text string, o Options) result {
	t.Helper()
	got, err := readAll(t, strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func readData(t testing.TB, name string, o Options) result {
	t.Helper()
	f, err := Open(dataFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := readAll(t, f, o)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// The counts are those of the data's README.
func TestRealFiles(t *testing.T) {
	t.Parallel()
	const all = engine.ColumnOrderID | engine.ColumnSKU | engine.ColumnCategory | engine.ColumnDiscount | engine.ColumnReturns
	for _, want := range []struct {
		file, format                    string
		rows, guests, customers, orders int64
		columns                         engine.Columns
		sold, returned, refunded        int64 // cents; sold is of positive quantity
		pieces                          int64
	}{
		{"cdnow_full.csv.gz", FormatNormalised, 69_659, 0, 23_570, 69_659, 0, 250_031_563, 0, 0, 167_881},
		{"cdnow_sample.csv.gz", FormatNormalised, 6_919, 0, 2_357, 6_919, 0, 24_409_194, 0, 0, 16_479},
		{"raw/CDNOW_sample.txt.gz", FormatCDNOW, 6_919, 0, 2_357, 6_919, 0, 24_409_194, 0, 0, 16_479},
		{
			"online_retail_2010_2011.csv.gz", FormatNormalised, 541_909, 135_080, 4_372, -1,
			engine.ColumnOrderID | engine.ColumnSKU | engine.ColumnReturns | engine.ColumnTimeOfDay, -1, -1, 0, -1,
		},
		{
			"raw/online_retail_raw_2010-12-01_05.csv.gz", FormatMapped, 10_144, 2_291, -1, -1,
			engine.ColumnOrderID | engine.ColumnSKU | engine.ColumnReturns | engine.ColumnTimeOfDay, -1, -1, 0, -1,
		},
		{"superstore.csv.gz", FormatNormalised, 9_994, 0, 793, 5_009, all, 229_720_086, 0, 18_050_428, -1},
	} {
		t.Run(want.file, func(t *testing.T) {
			t.Parallel()
			got := readData(t, want.file, Options{})
			check := func(what string, got, want int64, tolerance int64) {
				if want >= 0 && (got < want-tolerance || got > want+tolerance) {
					t.Errorf("%s = %d, want %d", what, got, want)
				}
			}
			var sold, returned, refunded, pieces int64
			for _, r := range got.records {
				if r.Quantity > 0 {
					sold += r.NetCents
				} else {
					returned += r.NetCents
				}
				refunded += r.RefundCents
				pieces += int64(r.Quantity)
			}
			check("rows", got.Rows, want.rows, 0)
			check("guests", got.Guests, want.guests, 0)
			check("rejected", got.Rejected, 0, 0)
			check("customers", got.Customers, want.customers, 0)
			check("orders", got.Orders, want.orders, 0)
			check("sold", sold, want.sold, want.rows/200) // rows are rounded to cents, the README's sum is not
			check("returned", returned, want.returned, 0)
			check("refunded", refunded, want.refunded, 10)
			check("pieces", pieces, want.pieces, 0)
			if got.Format != want.format || got.Columns != want.columns {
				t.Errorf("format %s, columns %b, want %s, %b", got.Format, got.Columns, want.format, want.columns)
			}
		})
	}
}

// The untouched source gives the very lines of the normalised file: importing one after the other changes nothing.
func TestCDNOWRawEqualsNormalised(t *testing.T) {
	t.Parallel()
	raw, normalised := readData(t, "raw/CDNOW_sample.txt.gz", Options{}), readData(t, "cdnow_sample.csv.gz", Options{})
	for i := range normalised.records {
		a, b := raw.records[i], normalised.records[i]
		b.Store, b.Line = "", a.Line
		if diff := cmp.Diff(b, a); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"empty":          "",
		"blank":          " \n\n",
		"only a mark":    "\uFEFF",
		"JSON":           `{"customer_id": 1}`,
		"JSON list":      `[{"customer_id": 1}]`,
		"HTML":           "<!doctype html><p>customer_id,ordered_at</p>",
		"PNG":            "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
		"spreadsheet":    "PK\x03\x04\x14\x00",
		"program":        "\x7fELF\x02\x01\x01\x00",
		"wrong header":   "name,age\nAnn,3\n",
		"no customer":    "ordered_at,quantity,unit_price\n2020-01-01,1,1\n",
		"no date":        "customer_id,quantity,unit_price\n1,1,1\n",
		"no price":       "customer_id,ordered_at,quantity\n1,2020-01-01,1\n",
		"twice":          "customer_id,ordered_at,quantity,quantity,unit_price\n1,2020-01-01,1,1,1\n",
		"text":           "It was a bright cold day in April.\n",
		"broken header":  "\"customer_id,ordered_at\n",
		"Woo's report":   "Date,Order #,N. Revenue (formatted),Status,Customer,Customer type,Product(s),Items sold,Coupon(s),Net Sales,Attribution\n",
		"gzip in gzip":   "\x1f\x8b\x08\x00\x00\x00",
		"numbers":        "1,2,3\n4,5,6\n",
		"date last only": "00004 0001 x  2   29.33\n",
	} {
		_, err := readAll(t, strings.NewReader(file), Options{})
		if engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const head = "customer_id,order_id,ordered_at,sku,category,quantity,unit_price,discount,refunded\n"

// Every row is set aside for its own reason, and the rows around it are kept.
func TestRejects(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for row, want := range map[string]Reason{
		",o,2020-01-01,s,c,1,1,,":                 ReasonGuest,
		"  ,o,nonsense,s,c,1,1,,":                 ReasonGuest,
		"NULL,o,2020-01-01,s,c,1,1,,":             ReasonGuest,
		"a,o,2020-01-01,s,c,0,1,,":                ReasonZeroQuantity,
		"a,o,2020-01-01,s,c":                      ReasonUnreadable,
		"a,o,2020-01-01,s,c,1,1,,,more":           ReasonUnreadable,
		"a,o,,s,c,1,1,,":                          ReasonUnreadable,
		"a,o,2020-02-30,s,c,1,1,,":                ReasonUnreadable,
		"a,o,2020-01-01T25:00:00Z,s,c,1,1,,":      ReasonUnreadable,
		"a,o,2020-01-01T05:00:00+5,s,c,1,1,,":     ReasonUnreadable,
		"a,o,yesterday,s,c,1,1,,":                 ReasonUnreadable,
		"a,o,7/8/2020,s,c,1,1,,":                  ReasonUnreadable,
		"a,o,2020-01-01,s,c,,1,,":                 ReasonUnreadable,
		"a,o,2020-01-01,s,c,many,1,,":             ReasonUnreadable,
		"a,o,2020-01-01,s,c,1.5,1,,":              ReasonUnreadable,
		"a,o,2020-01-01,s,c,1,,,":                 ReasonUnreadable,
		"a,o,2020-01-01,s,c,1,free,,":             ReasonUnreadable,
		"a,o,2020-01-01,s,c,1,1,x,":               ReasonUnreadable,
		"a,o,2020-01-01,s,c,1,1,,maybe":           ReasonUnreadable,
		"a\x00b,o,2020-01-01,s,c,1,1,,":           ReasonUnreadable,
		long + ",o,2020-01-01,s,c,1,1,,":          ReasonUnreadable,
		"a," + long + ",2020-01-01,s,c,1,1,,":     ReasonUnreadable,
		"a,o,2020-01-01," + long + ",c,1,1,,":     ReasonUnreadable,
		`a,"o,2020-01-01,s,c,1,1,,`:               ReasonUnreadable,
		`a,"o"x,2020-01-01,s,c,1,1,,`:             ReasonUnreadable,
		"a,o,2027-01-01,s,c,1,1,,":                ReasonImpossible,
		"a,o,9999-12-31,s,c,1,1,,":                ReasonImpossible,
		"a,o,1970-01-01,s,c,1,1,,":                ReasonImpossible,
		"a,o,0001-01-01,s,c,1,1,,":                ReasonImpossible,
		"a,o,2020-01-01,s,c,9999999999,1,,":       ReasonImpossible,
		"a,o,2020-01-01,s,c,1,-1,,":               ReasonImpossible,
		"a,o,2020-01-01,s,c,1,99999999999999,,":   ReasonImpossible,
		"a,o,2020-01-01,s,c,1,5,6,":               ReasonImpossible,
		"a,o,2020-01-01,s,c,1,5,-6,":              ReasonImpossible,
		"a,o,2020-01-01,s,c,1,1e5,,":              ReasonUnreadable,
		"a,o,2020-01-01,s,c,1,Inf,,":              ReasonUnreadable,
		"a,o,2020-01-01,s,c,1,0x10,,":             ReasonUnreadable,
		"a,o,2020-01-01,s,c,1,1.2.3,,":            ReasonUnreadable,
		"a,o,2020-01-01,s,c,1,\"1,23,4\",,":       ReasonUnreadable,
		"a,o,2020-01-01 00:00 EST,s,c,1,1,,":      ReasonUnreadable,
		"a,o,2020-01-01T00:00:00Z trash,s,c,1,1,": ReasonUnreadable,
	} {
		got := readText(t, head+"k,1,2020-01-01,s,c,1,1,,\n"+row+"\nk,2,2020-01-01,s,c,1,1,,\n", Options{})
		if got.Imported != 2 || len(got.rejects) != 1 || got.rejects[0].Reason != want {
			t.Errorf("%.60q: %d imported, %+v", row, got.Imported, got.rejects)
			continue
		}
		if r := got.rejects[0]; r.Line != 3 || r.Detail == "" || !strings.HasPrefix(strings.ReplaceAll(row, "\x00", "\uFFFD"), r.Raw[:1]) {
			t.Errorf("%q: %+v", row, r)
		}
	}
}

// One row in many ways of writing.
func TestWaysOfWriting(t *testing.T) {
	t.Parallel()
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	monthFirst := false
	want := Record{
		Customer: "ann@example.com", OrderID: "7", OrderKey: "7", LineNo: 1, Line: 2, HasTime: true, HasDiscount: true, KnowsReturns: true,
		OrderedAt: time.Date(2020, 7, 8, 18, 5, 0, 0, time.UTC), SKU: "ab-1", Category: "Café > Tee", Quantity: 3,
		NetCents: 374_050, DiscountCents: 1_000, RefundCents: 374_050,
	}
	const plain = "customer_id,order_id,ordered_at,sku,category,quantity,unit_price,discount,refunded\n" +
		"ann@example.com,7,2020-07-08T18:05:00Z,ab-1,Café > Tee,3,1250.1666667,10,true\n"
	for name, text := range map[string]string{
		"plain":          plain,
		"CRLF and mark":  "\uFEFF" + strings.ReplaceAll(plain, "\n", "\r\n"),
		"no last break":  strings.TrimSpace(plain),
		"tabs":           strings.ReplaceAll(plain, ",", "\t"),
		"separator line": "sep=|\n" + strings.ReplaceAll(plain, ",", "|"),
		"Latin-1":        strings.ReplaceAll(plain, "é", "\xE9"),
		"blank lines":    strings.ReplaceAll(plain, "\nann", "\r\n\nann"),
		"other order": "Refunded,Discount,Extra,UNIT PRICE,Quantity,Category,SKU,Ordered-At,Order_ID,Customer ID\n" +
			"yes,10.00,\"a,\n\"\"b\"\"\",1250.1666667,3.0,Café > Tee, AB-1 ,2020-07-08T20:05:00+02:00,7, Ann@Example.COM \n",
		"German": "customer_id;order_id;ordered_at;sku;category;quantity;unit_price;discount;refunded\n" +
			"ann@example.com;7;2020-07-08 14:05;ab-1;Café > Tee;3;1.250,1666667 €;10,00;1\n",
		"spreadsheet": "customer_id,order_id,ordered_at,sku,category,quantity,unit_price,discount,refunded\n" +
			"\"ann@example.com\",7,7/8/2020 2:05 PM,\"AB-1\",Café > Tee,3,\"$1,250.1666667\",10,TRUE\n",
		"UTF-16": utf16(plain),
	} {
		got := readText(t, text, Options{Zone: newYork, DayFirst: &monthFirst})
		if len(got.records) != 1 {
			t.Errorf("%s: %+v", name, got.rejects)
			continue
		}
		want := want
		want.Line = got.records[0].Line
		if diff := cmp.Diff(want, got.records[0]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func utf16(s string) string {
	b := []byte{0xFF, 0xFE}
	for _, r := range s {
		b = append(b, byte(r), byte(r>>8))
	}
	return string(b)
}

// Dates whose order is open are read by the whole file's evidence, never by a row's own.
func TestDateOrder(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, test := range []struct {
		dates    string // one row each
		dayFirst *bool
		want     string // the dates read, "-" for a row set aside
		order    string
	}{
		{"7/8/2020 13/8/2020", nil, "2020-08-07 2020-08-13", datesDayFirst},
		{"7/8/2020 8/13/2020", nil, "2020-07-08 2020-08-13", datesMonthFirst},
		{"7/8/2020 8/8/2020", nil, "- 2020-08-08", ""},
		{"7/8/2020 8/13/2020 13/8/2020", nil, "- - -", ""},
		{"7/8/2020 8/13/2020", &yes, "2020-08-07 -", datesDayFirst},
		{"7/8/2020 13-8-20", &no, "2020-07-08 -", datesMonthFirst},
		{"7.8.2020 2020/08/13 20200813", nil, "2020-08-07 2020-08-13 2020-08-13", ""},
	} {
		text := "customer_id,ordered_at,value\n"
		for date := range strings.FieldsSeq(test.dates) {
			text += "a," + date + ",1\n"
		}
		got := readText(t, text, Options{DayFirst: test.dayFirst})
		read := make([]string, got.Rows)
		for i := range read {
			read[i] = "-"
		}
		for _, r := range got.records {
			read[r.Line-2] = r.OrderedAt.Format(time.DateOnly)
		}
		if diff := cmp.Diff(test.want, strings.Join(read, " ")); diff != "" || got.Dates != test.order {
			t.Errorf("%s: %s (%q)", test.dates, diff, got.Dates)
		}
	}
}

func TestMapping(t *testing.T) {
	t.Parallel()
	const file = "Client no;Datum;Beleg;Betrag;Menge;Status\n7;24.12.2020;A1;1.234,50;2;bezahlt\n8;24.12.2020;A2;5;1;storniert\n"
	got := readText(t, file, Options{
		Mapping:  map[string]string{"customer": "client no", "ordered_at": "Datum", "order": "Beleg", "value": "Betrag", "quantity": "Menge"},
		Statuses: []string{"Bezahlt"},
	})
	if got.Format != FormatMapped || got.Imported != 1 || got.Problems[ReasonStatusNotCounted] != 1 {
		t.Fatalf("%+v", got.Summary)
	}
	if r := got.records[0]; r.Customer != "7" || r.NetCents != 123_450 || r.Quantity != 2 || r.OrderID != "A1" || r.HasTime {
		t.Errorf("%+v", r)
	}
	wantMapping := map[string]string{
		"customer_id": "Client no", "ordered_at": "Datum", "order_id": "Beleg", "value": "Betrag", "quantity": "Menge", "status": "Status",
	}
	if diff := cmp.Diff(wantMapping, got.Mapping); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []map[string]string{{"colour": "Menge"}, {"customer": "Kunde"}} {
		if _, err := readAll(t, strings.NewReader(file), Options{Mapping: bad}); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// A row keeps its key whatever stands around it, and lines of an order need not stand together.
func TestKeys(t *testing.T) {
	t.Parallel()
	got := readText(t, "customer_id,order_id,ordered_at,value\na,1,2020-01-01,1\nb,~2,2020-01-01,1\na,1,2020-01-01,1\n"+
		"c,,2020-01-01,1\nc,,2020-01-01,1\nc,,2020-01-01,2\n", Options{})
	var keys []string
	for _, r := range got.records {
		keys = append(keys, r.OrderKey[:min(3, len(r.OrderKey))]+string('0'+r.LineNo))
	}
	if keys[3][:3] != keys[4][:3] || keys[4][:3] == keys[5][:3] || got.Orders != 5 {
		t.Errorf("%v, %d orders", keys, got.Orders)
	}
	if want := "11 ~~21 12"; strings.Join(keys[:3], " ") != want {
		t.Errorf("%v", keys)
	}
	if keys[3][3] != '1' || keys[4][3] != '2' || keys[5][3] != '1' {
		t.Errorf("%v", keys)
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	var counts tally
	want := map[uint64]int32{}
	h := uint64(1)
	for i := range 200_000 {
		h = h*6364136223846793005 + 1442695040888963407
		key := h
		if i%3 == 0 {
			key = uint64(i%7) << 60 // few keys with large counts
		}
		want[key]++
		if got := counts.add(key); got != want[key] {
			t.Fatalf("%x counted %d times, want %d", key, got, want[key])
		}
	}
}

func TestRowsOfAnyLength(t *testing.T) {
	t.Parallel()
	good := "a,2020-01-01,1,x\n"
	long := "a,2020-01-01,1," + strings.Repeat("x", 900_000) + "\n"
	tooLong := "a,2020-01-01,1," + strings.Repeat("x", 3_000_000) + "\n"
	open := "a,2020-01-01,1,\"" + strings.Repeat("x23456789\n", 120_000)
	got := readText(t, "customer_id,ordered_at,value,note\n"+good+long+good+tooLong+good+open+good, Options{})
	if got.Imported != 5 || got.Rejected != 120_001 || got.Rows != 120_006 {
		t.Errorf("%+v", got.Problems)
	}
	if last := got.records[4]; last.Line != 120_006+1 {
		t.Errorf("the last row stands in line %d", last.Line)
	}
}

func TestReaderFails(t *testing.T) {
	t.Parallel()
	broken := io.MultiReader(strings.NewReader(head+strings.Repeat("a,1,2020-01-01,s,c,1,1,,\n", 20_000)), failing{})
	got, err := readAll(t, broken, Options{})
	if engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), "unplugged") {
		t.Errorf("%v after %d rows", err, got.Rows)
	}
	stop := errors.New("stop")
	_, err = Read(t.Context(), strings.NewReader(head+"a,1,2020-01-01,s,c,1,1,,\n"), Options{}, func(Record) error { return stop }, nil)
	if !errors.Is(err, stop) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Read(ctx, strings.NewReader(head+strings.Repeat("a,1,2020-01-01,s,c,1,1,,\n", 2_000)), Options{}, nil, nil)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("unplugged") }

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	damaged := filepath.Join(dir, "x.gz")
	if err := os.WriteFile(damaged, []byte("\x1f\x8bnonsense and more"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]engine.Code{
		filepath.Join(dir, "none.csv"): engine.CodeNotFound, dir: engine.CodeInvalid, damaged: engine.CodeInvalid,
	} {
		if _, err := Open(path); engine.CodeOf(err) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}
