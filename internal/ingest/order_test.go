package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
)

func TestParseMapping(t *testing.T) {
	t.Parallel()
	want := map[string]string{"customer_id": "Client no", "ordered_at": `The "Date", local`, "unit_price": "Preis"}
	for _, text := range []string{
		`customer="Client no",ordered_at="The ""Date"", local",price=Preis`,
		"# ours\ncustomer = Client no\nordered_at = \"The \"\"Date\"\", local\"\n\nprice=Preis\n",
	} {
		got, err := ParseMapping(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for _, text := range []string{"customer", "colour=x", "customer=", `customer="x`, `customer="x"y`, "customer=a,customer_id=b", "="} {
		if _, err := ParseMapping(text); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got, err := ParseMapping(" "); err != nil || len(got) > 0 {
		t.Error(got, err)
	}
}

// An order by the API follows the rules of files.
func TestOrder(t *testing.T) {
	t.Parallel()
	at := time.Date(2020, 7, 8, 10, 0, 0, 0, time.UTC)
	good := OrderLine{SKU: " AB ", Quantity: 2, UnitPrice: "5.00"}
	for name, test := range map[string]struct {
		order Order
		want  string // net/discount/refund of the records
		away  Reason
	}{
		"good":              {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{good}}, "1000/0/0", ""},
		"guest":             {Order{ID: "1", Customer: " ", OrderedAt: at, Lines: []OrderLine{good}}, "", ReasonGuest},
		"no id":             {Order{Customer: "a", OrderedAt: at, Lines: []OrderLine{good}}, "", ReasonUnreadable},
		"test":              {Order{ID: "1", Customer: "a", OrderedAt: at, Test: true, Lines: []OrderLine{good}}, "", ReasonTest},
		"voided":            {Order{ID: "1", Customer: "a", OrderedAt: at, Status: "VOIDED", Lines: []OrderLine{good}}, "", ReasonVoided},
		"cancelled":         {Order{ID: "1", Customer: "a", OrderedAt: at, Status: "canceled", Lines: []OrderLine{good}}, "", ReasonCancelled},
		"future":            {Order{ID: "1", Customer: "a", OrderedAt: today.AddDate(0, 0, 3), Lines: []OrderLine{good}}, "", ReasonImpossible},
		"no lines":          {Order{ID: "1", Customer: "a", OrderedAt: at}, "", ReasonNoLines},
		"quantity 0":        {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{UnitPrice: "1"}, good}}, "1000/0/0", ReasonZeroQuantity},
		"no price":          {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{Quantity: 1}}}, "", ReasonUnreadable},
		"refunded":          {Order{ID: "1", Customer: "a", OrderedAt: at, Status: "refunded", Lines: []OrderLine{good, good}}, "1000/0/1000 1000/0/1000", ""},
		"refunded in part":  {Order{ID: "1", Customer: "a", OrderedAt: at, Refund: "3.01", Lines: []OrderLine{good, good}}, "1000/0/151 1000/0/150", ""},
		"refund of a line":  {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{Quantity: 1, UnitPrice: "4", Discount: "1", Refunded: "9"}}}, "300/100/300", ""},
		"a line given back": {Order{ID: "1", Customer: "a", OrderedAt: at, Refund: "1", Lines: []OrderLine{{Quantity: -1, UnitPrice: "4"}}}, "-400/0/0", ""},
		"negative refund":   {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{Quantity: 1, UnitPrice: "4", Refunded: "-1"}}}, "", ReasonImpossible},
	} {
		records, rejects := test.order.Records(Options{Now: today, Products: Products{"ab": "Tools"}})
		var got []string
		for i, r := range records {
			got = append(got, cents(r.NetCents)+"/"+cents(r.DiscountCents)+"/"+cents(r.RefundCents))
			if int(r.LineNo) != i+1 || r.SKU == "ab" && r.Category != "Tools" {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if test.away == "" && len(rejects) > 0 || test.away != "" && (len(rejects) != 1 || rejects[0].Reason != test.away) {
			t.Errorf("%s: %+v", name, rejects)
		}
	}
}

const shopifyBody = `{"id": 4500008536682, "name": "#2079", "email": "PO@Example.com ", "created_at": "2017-12-30T12:00:00-05:00", "cancelled_at": null,
 "financial_status": "partially_refunded", "test": false, "total_price": "46.00", "line_items": [
 {"id": 11, "sku": "FUR-1", "quantity": 4, "price": "10.00", "total_discount": "0.00", "discount_allocations": [{"amount": "3.00"}, {"amount": "1.00"}]},
 {"id": 12, "sku": null, "quantity": 1, "price": "10.00", "total_discount": "0.00", "discount_allocations": []}],
 "refunds": [{"created_at": "2018-01-05T09:00:00-05:00", "refund_line_items": [{"line_item_id": 11, "quantity": 1, "subtotal": 9.0}], "transactions": []},
 {"created_at": "2018-01-07T09:00:00-05:00", "refund_line_items": [], "transactions": [{"amount": "3.70", "kind": "refund", "status": "success"}]}]}`

func TestShopifyEvent(t *testing.T) {
	t.Parallel()
	order, err := ParseShopifyOrder([]byte(shopifyBody))
	if err != nil {
		t.Fatal(err)
	}
	records, rejects := order.Records(Options{Now: today})
	base := Record{
		Customer: "po@example.com", OrderID: "#2079", OrderKey: "#2079", OrderedAt: time.Date(2017, 12, 30, 17, 0, 0, 0, time.UTC), HasTime: true,
		HasDiscount: true, KnowsReturns: true, RefundedAt: time.Date(2018, 1, 7, 14, 0, 0, 0, time.UTC),
	}
	one, two := base, base
	one.LineNo, one.Line, one.SKU, one.Quantity, one.NetCents, one.DiscountCents, one.RefundCents = 1, 1, "fur-1", 4, 3600, 400, 900+270
	two.LineNo, two.Line, two.Quantity, two.NetCents, two.RefundCents = 2, 2, 1, 1000, 100
	if diff := cmp.Diff([]Record{one, two}, records); diff != "" || rejects != nil {
		t.Error(diff, rejects)
	}
	for body, reason := range map[string]Reason{
		strings.Replace(shopifyBody, `"cancelled_at": null`, `"cancelled_at": "2018-01-05T09:00:00-05:00"`, 1): ReasonCancelled,
		strings.Replace(shopifyBody, `partially_refunded`, `voided`, 1):                                        ReasonVoided,
		strings.Replace(shopifyBody, `"test": false`, `"test": true`, 1):                                       ReasonTest,
		strings.Replace(shopifyBody, `PO@Example.com `, ``, 1):                                                 ReasonGuest,
	} {
		order, err := ParseShopifyOrder([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if records, rejects := order.Records(Options{Now: today}); len(records) > 0 || rejects[0].Reason != reason {
			t.Errorf("%+v, want %s", rejects, reason)
		}
	}
	for _, body := range []string{"", "{}", "[]", "null", `{"name": 5}`, `{"name": "#1", "created_at": "yesterday"}`} {
		if _, err := ParseShopifyOrder([]byte(body)); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// FuzzShopifyEvent wants that nothing panics, and that every line ends somewhere.
func FuzzShopifyEvent(f *testing.F) {
	f.Add([]byte(shopifyBody))
	f.Fuzz(func(t *testing.T, body []byte) {
		order, err := ParseShopifyOrder(body)
		if err != nil {
			return
		}
		records, rejects := order.Records(Options{Now: today})
		if len(records)+len(rejects) != max(1, len(order.Lines)) {
			t.Errorf("%d lines, %d records, %d rejects", len(order.Lines), len(records), len(rejects))
		}
		for _, r := range records {
			if r.RefundCents < 0 || r.RefundCents > max(r.NetCents, 0) {
				t.Errorf("%+v", r)
			}
		}
	})
}
