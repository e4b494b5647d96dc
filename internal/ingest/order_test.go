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
		"good":               {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{good}}, "1000/0/0", ""},
		"guest":              {Order{ID: "1", Customer: " ", OrderedAt: at, Lines: []OrderLine{good}}, "", ReasonGuest},
		"no id":              {Order{Customer: "a", OrderedAt: at, Lines: []OrderLine{good}}, "", ReasonUnreadable},
		"test":               {Order{ID: "1", Customer: "a", OrderedAt: at, Test: true, Lines: []OrderLine{good}}, "", ReasonTest},
		"voided":             {Order{ID: "1", Customer: "a", OrderedAt: at, Status: "VOIDED", Lines: []OrderLine{good}}, "", ReasonVoided},
		"cancelled":          {Order{ID: "1", Customer: "a", OrderedAt: at, Status: "canceled", Lines: []OrderLine{good}}, "", ReasonCancelled},
		"cancelled on a day": {Order{ID: "1", Customer: "a", OrderedAt: at, Status: "paid", CancelledAt: at.AddDate(0, 0, 1), Lines: []OrderLine{good}}, "", ReasonCancelled},
		"cancelled tomorrow": {Order{ID: "1", Customer: "a", OrderedAt: at, CancelledAt: today.AddDate(0, 0, 3), Lines: []OrderLine{good}}, "", ReasonImpossible},
		"cancelled guest":    {Order{ID: "1", OrderedAt: at, Status: "cancelled", Lines: []OrderLine{good}}, "", ReasonCancelled},
		"refund of tomorrow": {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{Quantity: 1, UnitPrice: "4", Refunded: "1", RefundedAt: today.AddDate(0, 0, 3)}}}, "", ReasonImpossible},
		"own currency":       {Order{ID: "1", Customer: "a", OrderedAt: at, Currency: " eur", Lines: []OrderLine{good}}, "1000/0/0", ""},
		"another currency":   {Order{ID: "1", Customer: "a", OrderedAt: at, Currency: "USD", Lines: []OrderLine{good}}, "", ReasonImpossible},
		"no currency":        {Order{ID: "1", Customer: "a", OrderedAt: at, Currency: "$$$", Lines: []OrderLine{good}}, "", ReasonUnreadable},
		"id too long":        {Order{ID: strings.Repeat("x", 10_000), Customer: "a", OrderedAt: at, Status: "cancelled"}, "", ReasonUnreadable},
		"zero byte":          {Order{ID: "1\x00", Customer: "a", OrderedAt: at, Status: "cancelled", Lines: []OrderLine{good}}, "", ReasonUnreadable},
		"refund beyond all":  {Order{ID: "1", Customer: "a", OrderedAt: at, Refund: "99999999999999999", Lines: []OrderLine{good}}, "1000/0/1000", ""},
		"price beyond all":   {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{Quantity: 1 << 31, UnitPrice: "4"}}}, "", ReasonImpossible},
		"future":             {Order{ID: "1", Customer: "a", OrderedAt: today.AddDate(0, 0, 3), Lines: []OrderLine{good}}, "", ReasonImpossible},
		"no lines":           {Order{ID: "1", Customer: "a", OrderedAt: at}, "", ReasonNoLines},
		"quantity 0":         {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{UnitPrice: "1"}, good}}, "1000/0/0", ReasonZeroQuantity},
		"no price":           {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{Quantity: 1}}}, "", ReasonUnreadable},
		"refunded":           {Order{ID: "1", Customer: "a", OrderedAt: at, Status: "refunded", Lines: []OrderLine{good, good}}, "1000/0/1000 1000/0/1000", ""},
		"refunded in part":   {Order{ID: "1", Customer: "a", OrderedAt: at, Refund: "3.01", Lines: []OrderLine{good, good}}, "1000/0/151 1000/0/150", ""},
		"refund of a line":   {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{Quantity: 1, UnitPrice: "4", Discount: "1", Refunded: "9"}}}, "300/100/300", ""},
		"a line given back":  {Order{ID: "1", Customer: "a", OrderedAt: at, Refund: "1", Lines: []OrderLine{{Quantity: -1, UnitPrice: "4"}}}, "-400/0/0", ""},
		"negative refund":    {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{{Quantity: 1, UnitPrice: "4", Refunded: "-1"}}}, "", ReasonImpossible},
	} {
		records, rejects := test.order.Records(Options{Now: today, Products: Products{"ab": "Tools"}, Currency: "EUR"})
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

// Only an order that is known to be no purchase takes an earlier copy away.
func TestWithdrawn(t *testing.T) {
	t.Parallel()
	at := time.Date(2020, 7, 8, 10, 0, 0, 0, time.UTC)
	good, none := OrderLine{Quantity: 2, UnitPrice: "5.00"}, OrderLine{UnitPrice: "5.00"}
	for name, test := range map[string]struct {
		order Order
		want  bool
	}{
		"good":       {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{good, none}}, false},
		"guest":      {Order{ID: "1", OrderedAt: at, Lines: []OrderLine{good}}, false},
		"unreadable": {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{none, {Quantity: 1, UnitPrice: "x"}}}, false},
		"cancelled":  {Order{ID: "1", Customer: "a", OrderedAt: at, Status: "cancelled", Lines: []OrderLine{good, good}}, true},
		"test":       {Order{ID: "1", Customer: "a", OrderedAt: at, Test: true, Lines: []OrderLine{good}}, true},
		"failed":     {Order{ID: "1", Customer: "a", OrderedAt: at, Status: "failed", Lines: []OrderLine{good}}, true},
		"emptied":    {Order{ID: "1", Customer: "a", OrderedAt: at, Lines: []OrderLine{none, none}}, true},
		"no lines":   {Order{ID: "1", Customer: "a", OrderedAt: at}, true},
	} {
		if got := Withdrawn(test.order.Records(Options{Now: today})); got != test.want {
			t.Errorf("%s: withdrawn %t, want %t", name, got, test.want)
		}
	}
}
