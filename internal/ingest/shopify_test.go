package ingest

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quimbi/quimbi/engine"
)

// byOrder groups records.
func byOrder(records []Record) map[string][]Record {
	orders := map[string][]Record{}
	for _, r := range records {
		orders[r.OrderID] = append(orders[r.OrderID], r)
	}
	return orders
}

func newYork(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// The counts are those of the data's README. The values are compared with Superstore's own, of which the file was made.
func TestShopify(t *testing.T) {
	t.Parallel()
	got := readData(t, "raw/shopify_orders_export.csv", Options{Products: superstoreProducts(t)})
	if got.Format != FormatShopify || got.Rows != 2_122 || got.Imported != 2_122 || got.Orders != 1_080 || got.Customers != 594 || got.Currency != "USD" {
		t.Fatalf("%+v", got.Summary)
	}
	refunded := map[string]bool{}
	var net, off int64
	for _, r := range got.records {
		if net += r.NetCents; r.RefundCents > 0 {
			refunded[r.OrderID] = true
		}
		off += r.DiscountCents
		if r.Category == "" || !r.HasTime || !r.KnowsReturns || !r.HasDiscount {
			t.Fatalf("%+v", r)
		}
	}
	if len(refunded) != 71 {
		t.Errorf("%d refunded orders", len(refunded))
	}
	from, to := time.Date(2017, 7, 1, 0, 0, 0, 0, time.UTC), time.Date(2017, 12, 31, 0, 0, 0, 0, time.UTC)
	var wantNet, wantOff int64
	lines := 0
	for _, r := range readData(t, "superstore.csv.gz", Options{}).records {
		if !r.OrderedAt.Before(from) && r.OrderedAt.Before(to) {
			lines++
			wantNet += r.NetCents
			wantOff += r.DiscountCents
		}
	}
	// Prices in the export are rounded to cents, so a line is off by half a cent a piece.
	if lines != 2_122 || wantNet-net > 300 || net-wantNet > 300 || wantOff-off > 300 || off-wantOff > 300 {
		t.Errorf("%d lines, net %d and discount %d; Superstore has %d and %d", lines, net, off, wantNet, wantOff)
	}
}

// superstoreProducts makes a products file of what Superstore's lines say.
func superstoreProducts(t *testing.T) Products {
	t.Helper()
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"SKU", "Category"})
	for _, r := range readData(t, "superstore.csv.gz", Options{}).records {
		_ = w.Write([]string{strings.ToUpper(r.SKU), r.Category})
	}
	w.Flush()
	p, err := ReadProducts(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every planted fault is handled, or set aside for the right reason, and everything else comes out as in the clean file.
func TestShopifyDirty(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(dataFile(t, "raw/shopify_orders_export_dirty.defects.json"))
	if err != nil {
		t.Fatal(err)
	}
	var defects map[string][]string
	if err := json.Unmarshal(text, &defects); err != nil {
		t.Fatal(err)
	}
	zone := newYork(t)
	clean := byOrder(readData(t, "raw/shopify_orders_export.csv", Options{Zone: zone}).records)
	got := readData(t, "raw/shopify_orders_export_dirty.csv", Options{Zone: zone})
	dirty := byOrder(got.records)
	amounts := rawRefunds(t)
	aside := map[string][]Reason{}
	for _, r := range got.rejects {
		name, _, _ := strings.Cut(r.Raw, ",")
		if r.OrderID != name {
			t.Errorf("line %d is of order %s, not %s", r.Line, name, r.OrderID)
		}
		aside[name] = append(aside[name], r.Reason)
	}
	where := cmpopts.IgnoreFields(Record{}, "Line")
	same := func(t *testing.T, id string, want []Record, opts ...cmp.Option) {
		t.Helper()
		if diff := cmp.Diff(want, dirty[id], append(opts, where)...); diff != "" || aside[id] != nil {
			t.Errorf("%s: set aside %v, %s", id, aside[id], diff)
		}
	}
	allAside := func(reason Reason) func(*testing.T, string) {
		return func(t *testing.T, id string) {
			want := slices.Repeat([]Reason{reason}, max(1, len(clean[id])))
			if diff := cmp.Diff(want, aside[id]); diff != "" || dirty[id] != nil {
				t.Errorf("%s: %s", id, diff)
			}
		}
	}
	unharmed := func(t *testing.T, id string) { same(t, id, clean[id]) }
	checks := []struct {
		fault string // the beginning of its name
		check func(t *testing.T, id string)
	}{
		{"guest orders", allAside(ReasonGuest)},
		{"Email written with capitals", unharmed},
		{"Created at re-saved", unharmed}, // 12/30/2017 and others leave month first as the file's only reading
		{"Lineitem price with a decimal comma", unharmed},
		{"Lineitem price with a thousands comma", unharmed},
		{"cancelled before capture", allAside(ReasonVoided)},
		{"partially_refunded", func(t *testing.T, id string) {
			same(t, id, clean[id], cmpopts.IgnoreFields(Record{}, "RefundCents"))
			var sum int64
			for _, r := range dirty[id] {
				sum += r.RefundCents
				if r.RefundCents < 0 || r.RefundCents > r.NetCents {
					t.Errorf("%s: %d of %d refunded", id, r.RefundCents, r.NetCents)
				}
			}
			if sum != amounts[id] || sum == 0 {
				t.Errorf("%s: %d refunded, want %d", id, sum, amounts[id])
			}
		}},
		{"Lineitem sku empty", func(t *testing.T, id string) {
			same(t, id, clean[id], cmpopts.IgnoreFields(Record{}, "SKU"))
			for _, r := range dirty[id] {
				if r.SKU != "" {
					t.Errorf("%s: %s", id, r.SKU)
				}
			}
		}},
		{"Notes with a line break", unharmed},
		{"Lineitem quantity 0", func(t *testing.T, id string) {
			want := slices.Clone(clean[id][1:])
			for i := range want {
				want[i].LineNo--
			}
			if diff := cmp.Diff(want, dirty[id], where, cmpopts.EquateEmpty()); diff != "" || !slices.Equal(aside[id], []Reason{ReasonZeroQuantity}) {
				t.Errorf("%s: set aside %v, %s", id, aside[id], diff)
			}
		}},
		{"whole order repeated word for word", unharmed},
		{"order repeated at the end with a later state", func(t *testing.T, id string) {
			want := slices.Clone(clean[id])
			for i := range want {
				want[i].RefundCents = want[i].NetCents
			}
			same(t, id, want)
		}},
		{"test order", allAside(ReasonTest)},
		{"last line cut off", allAside(ReasonUnreadable)},
	}
	seen := map[string]bool{}
	repeated := 0
	for name, ids := range defects {
		i := slices.IndexFunc(checks, func(c struct {
			fault string
			check func(*testing.T, string)
		},
		) bool {
			return strings.HasPrefix(name, c.fault)
		})
		if i < 0 {
			t.Errorf("no check for %q", name)
			continue
		}
		t.Run(checks[i].fault, func(t *testing.T) {
			for _, id := range ids {
				seen[id] = true
				checks[i].check(t, id)
				if strings.Contains(name, "repeated") {
					repeated += len(clean[id])
				}
			}
		})
	}
	if len(defects) != len(checks) {
		t.Errorf("%d kinds of faults, %d checks", len(defects), len(checks))
	}
	for _, id := range slices.Sorted(maps.Keys(dirty)) {
		if !seen[id] {
			unharmed(t, id)
		}
	}
	names := maps.Clone(aside)
	for id := range dirty {
		names[id] = nil
	}
	if got.Rows != 805 || got.Superseded != int64(repeated) || len(names) != 402 || got.Dates != datesMonthFirst {
		t.Errorf("%d order names, %d rows repeated, %d superseded, %d rows", len(names), repeated, got.Superseded, got.Rows)
	}
}

// rawRefunds reads the column Refunded Amount without this package's help.
func rawRefunds(t *testing.T) map[string]int64 {
	t.Helper()
	f, err := os.Open(dataFile(t, "raw/shopify_orders_export_dirty.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := slices.Index(rows[0], "Refunded Amount")
	amounts := map[string]int64{}
	for _, row := range rows[1:] {
		if len(row) > column && row[column] != "" {
			d, _ := plainDecimal([]byte(row[column]))
			amounts[row[0]], _ = d.cents()
		}
	}
	return amounts
}

const shopifyHead = "name,EMAIL,Financial Status,Subtotal,Total,Discount Amount,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem SKU,Canceled at,Refunded Amount,Lineitem discount\n"

func TestShopifyOrders(t *testing.T) {
	t.Parallel()
	const day = "2020-01-01 10:00:00 -0500"
	for name, test := range map[string]struct {
		rows string
		want string // net/discount/refund of each line kept
		away map[Reason]int64
	}{
		"carried down": {"#1,a@x,paid,30,33,,DAY,1,A,10,,,,\n#1,,,,,,,2,B,10,,,,\n", "1000/0/0 2000/0/0", nil},
		"an order's discount beside its lines'": {
			"#1,a@x,paid,25,25,3,DAY,1,A,10,,,,\n#1,,,,,,,2,B,10,,,,2\n", "893/107/0 1607/393/0", nil,
		},
		"an order's discount that is its lines'": {"#1,a@x,paid,27,27,3,DAY,1,A,10,,,,1\n#1,,,,,,,2,B,10,,,,2\n", "900/100/0 1800/200/0", nil},
		"free shipping is off no line":           {"#1,a@x,paid,30,30,5,DAY,3,A,10,,,,\n", "3000/0/0", nil},
		"no subtotal":                            {"#1,a@x,paid,,30,1,DAY,3,A,0.33,,,,\n#1,,,,,,,7,A,1,,,,\n", "87/12/0 612/88/0", nil},
		"a free order that is no test":           {"#1,a@x,paid,0,0,30,DAY,3,A,10,,,,30\n", "0/3000/0", nil},
		"refunded in part":                       {"#1,a@x,partially_refunded,40,40,,DAY,1,A,10,,,10.01,\n#1,,,,,,,3,B,10,,,,\n", "1000/0/250 3000/0/751", nil},
		"more refunded than the lines":           {"#1,a@x,partially_refunded,10,18,,DAY,1,A,10,,,18,\n", "1000/0/1000", nil},
		"cancelled":                              {"#1,a@x,paid,10,10,,DAY,1,A,10,,DAY,,\n#1,,,,,,,1,A,10,,,,\n", "", map[Reason]int64{ReasonCancelled: 2}},
		"expired":                                {"#1,a@x,expired,10,10,,DAY,1,A,10,,,,\n", "", map[Reason]int64{ReasonStatusNotCounted: 1}},
		"no first row":                           {"#1,,,,,,,1,A,10,,,,\n", "", map[Reason]int64{ReasonUnreadable: 1}},
		"first row of a copy cut off": {
			"#1,a@x,paid,20,20,,DAY,1,A,10,,,,\n#1,,,,,,,1,A,10,,,,\n#2,a@x,paid,7,7,,DAY,1,A,7,,,,\n#1,a@x\n#1,,,,,,,1,A,10,,,,\n",
			"1000/0/0 1000/0/0 700/0/0",
			map[Reason]int64{ReasonUnreadable: 2},
		},
		"no line item":     {"#1,a@x,paid,20,20,,DAY,,,,,,,\n", "", map[Reason]int64{ReasonNoLines: 1}},
		"no date":          {"#1,a@x,paid,20,20,,,1,A,20,,,,\n", "", map[Reason]int64{ReasonUnreadable: 1}},
		"open date":        {"#1,a@x,paid,20,20,,7/8/2020,1,A,20,,,,\n", "", map[Reason]int64{ReasonUnreadable: 1}},
		"one bad quantity": {"#1,a@x,paid,20,20,,DAY,x,A,10,,,,\n#1,,,,,,,1,A,10,,,,\n", "1000/0/0", map[Reason]int64{ReasonUnreadable: 1}},
		"the later copy":   {"#1,a@x,paid,20,20,,DAY,1,A,20,,,,\n#1,,,,,,,1,B,5,,,,\n#1,a@x,refunded,20,20,,DAY,1,A,20,,,20,\n", "2000/0/2000", nil},
		"a later copy that is void": {
			"#1,a@x,pending,20,20,,DAY,1,A,20,,,,\n#1,a@x,voided,20,20,,DAY,1,A,20,,,,\n", "", map[Reason]int64{ReasonVoided: 1},
		},
	} {
		got := readText(t, shopifyHead+strings.ReplaceAll(test.rows, "DAY", day), Options{})
		var lines []string
		for _, r := range got.records {
			lines = append(lines, cents(r.NetCents)+"/"+cents(r.DiscountCents)+"/"+cents(r.RefundCents))
		}
		if diff := cmp.Diff(test.want, strings.Join(lines, " ")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(test.away, got.Problems, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, r := range got.rejects {
			if want := time.Date(2020, 1, 1, 15, 0, 0, 0, time.UTC); r.Reason == ReasonCancelled != r.CancelledAt.Equal(want) {
				t.Errorf("%s: cancelled at %s", name, r.CancelledAt)
			}
		}
	}
}

func cents(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// TestShopifyBroken holds that nothing is told of an order when the reading ends within it: because it has too many lines, or because
// nobody wants to read on.
func TestShopifyBroken(t *testing.T) {
	t.Parallel()
	const head = "Name,Email,Financial Status,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku\n#1,ann@x.com,paid,2026-01-01 10:00:00 +0000,1,Tea,4,tea\n"
	const line = "#2,,,,1,Tea,4,tea\n"
	opens := strings.Replace(line, ",,,", ",bob@x.com,paid,2026-01-02 10:00:00 +0000", 1)
	read := func(ctx context.Context, lines int, first func()) error {
		kept := 0
		_, err := Read(ctx, strings.NewReader(head+opens+strings.Repeat(line, lines-1)), Options{}, func(r Record) error {
			if first(); r.OrderID != "#1" {
				t.Fatalf("of the order that breaks off, of %d lines: %+v", lines, r)
			}
			kept++
			return nil
		}, func(r Reject) error {
			t.Fatalf("of the order that breaks off, of %d lines: %+v", lines, r)
			return nil
		})
		if kept != 1 {
			t.Errorf("%d lines of the whole order, want 1", kept)
		}
		return err
	}
	if err := read(t.Context(), maxOrderLines+1, func() {}); engine.CodeOf(err) != engine.CodeInvalid {
		t.Errorf("an order of too many lines: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := read(ctx, 3000, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody wanted to read on: %v", err)
	}
}

func TestProducts(t *testing.T) {
	t.Parallel()
	got, err := ReadProducts(strings.NewReader("Handle,Title,Product Category,Type,Variant SKU\n" +
		"quilt,Quilt,Arts > Fabric,Cloth, QU-1 \nquilt,,,,QU-2\npin,Pin,,Notions,P-1\nnone,None,,,N-1\n"))
	want := Products{"qu-1": "Arts > Fabric", "qu-2": "Arts > Fabric", "p-1": "Notions"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"", "{}", "name,price\n", "sku,price\na,1\n"} {
		if _, err := ReadProducts(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is no products file", bad)
		}
	}
}
