package ingest

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quimbi/quimbi/engine"
)

const wooHead = "order_id,order_number,order_date,status,order_total,order_currency,customer_id,customer_email,line_item_1,line_item_2,line_item_note\n"

func TestWooSuite(t *testing.T) {
	t.Parallel()
	got := readText(t, wooHead+
		`7,1007,9/6/2016  6:29:00,completed,30,EUR,3,Ann@Example.com,name:Pin|product_id:1|sku:P-1|quantity:2|total:18.00|sub_total:20.00,`+
		`name:A | B: C|product_id:2|sku:|quantity:1|total:12.00|sub_total:12.00|tax:2|meta:x:y,`+"\n"+
		`8,1008,9/7/2016 6:29:00,refunded,5,EUR,4,,name:Pin|product_id:1|sku:P-1|quantity:1|total:5|sub_total:5,,`+"\n"+
		`9,1009,9/7/2016 6:29:00,cancelled,5,EUR,4,,name:Pin|sku:P-1|quantity:1|total:5,,`+"\n"+
		`10,1010,9/7/2016 6:29:00,wc-pending,5,EUR,4,,name:Pin|sku:P-1|quantity:1|total:5,,`+"\n"+
		`11,1011,9/7/2016 6:29:00,completed,5,EUR,0,,name:Pin|sku:P-1|quantity:1|total:5,,`+"\n"+
		`12,1012,9/7/2016 6:29:00,completed,5,EUR,5,,,,`+"\n"+
		`13,1013,2016-09-07 06:29:00,completed,5,EUR,5,,Pin,name:Pin|sku:P-1|quantity:1|total:5|refunded:2,`+"\n"+
		"14,cut\n"+
		`7,1007,9/6/2016  6:29:00,completed,30,EUR,3,Ann@Example.com,name:Pin|product_id:1|sku:P-1|quantity:2|total:18.00|sub_total:20.00,,`+"\n",
		Options{Products: Products{"p-1": "Pins"}, Zone: newYork(t)})
	at := time.Date(2016, 9, 7, 10, 29, 0, 0, time.UTC)
	want := []Record{
		{
			Customer: "5", OrderID: "13", OrderKey: "13", LineNo: 1, OrderedAt: at, HasTime: true, SKU: "p-1", Category: "Pins", Quantity: 1,
			NetCents: 500, RefundCents: 200, KnowsReturns: true, Line: 8,
		},
		{
			Customer: "ann@example.com", OrderID: "7", OrderKey: "7", LineNo: 1, OrderedAt: at.AddDate(0, 0, -1), HasTime: true, SKU: "p-1",
			Category: "Pins", Quantity: 2, NetCents: 1800, DiscountCents: 200, HasDiscount: true, KnowsReturns: true, Line: 10,
		},
	}
	if diff := cmp.Diff(want, got.records[:2]); diff != "" { // by the text of their ids
		t.Error(diff)
	}
	if r := got.records[2]; r.Customer != "4" || r.RefundCents != 500 {
		t.Errorf("%+v", r)
	}
	away := map[Reason]int64{ReasonCancelled: 1, ReasonStatusNotCounted: 1, ReasonGuest: 1, ReasonNoLines: 1, ReasonUnreadable: 2}
	if diff := cmp.Diff(away, got.Problems, cmpopts.EquateEmpty()); diff != "" || got.Superseded != 2 || got.Format != FormatWoo || got.Currency != "EUR" {
		t.Errorf("%s %+v", diff, got.Summary)
	}
}

// WooCommerce's own report is refused with the reason, and read once its owner has named the columns.
func TestWooReport(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(dataFile(t, "raw/woocommerce_orders_report.csv"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = readAll(t, strings.NewReader(string(text)), Options{})
	if engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), "neither SKU nor price") {
		t.Error(err)
	}
	got := readText(t, string(text), Options{Mapping: map[string]string{
		"customer": "Customer", "date": "Date", "order": "Order #", "quantity": "Items sold", "value": "N. Revenue (formatted)",
	}})
	if got.Imported != 1_080 || got.Format != FormatMapped {
		t.Errorf("%+v", got.Problems)
	}
}
