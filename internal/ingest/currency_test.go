package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
)

// TestCurrencies holds amounts of several currencies apart: by the store's, or the caller's word; else the file is refused.
func TestCurrencies(t *testing.T) {
	t.Parallel()
	lines := func(currencies ...string) string {
		text := "customer_id,order_id,ordered_at,quantity,unit_price,currency\n"
		for i, c := range currencies {
			text += fmt.Sprintf("a,%d,2020-01-0%d,1,5,%s\n", i+1, i+1, c)
		}
		return text
	}
	shopify := func(currencies ...string) string {
		text := "Name,Email,Financial Status,Currency,Subtotal,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price,Cancelled at\n"
		for i, c := range currencies {
			c, cancelled, _ := strings.Cut(c, " ")
			text += fmt.Sprintf("#%d,a@x,paid,%s,5,5,2020-01-0%d 10:00:00 +0000,1,A,3,%s\n#%d,,,,,,,1,B,2,\n", i+1, c, i+1, cancelled, i+1)
		}
		return text
	}
	woo := func(currencies ...string) string {
		text := "order_id,order_date,status,customer_email,order_currency,line_item_1\n"
		for i, c := range currencies {
			text += fmt.Sprintf("%d,2020-01-0%d,completed,a@x,%s,name:A|sku:a|quantity:1|total:5\n", i+1, i+1, c)
		}
		return text
	}
	for name, test := range map[string]struct {
		text, currency string // the store's
		imported       int64
		want           string // the file's
		away           string // Raw of the first row set aside
		refused        bool
	}{
		"none":                      {lines("", ""), "", 2, "", "", false},
		"none, in a store with one": {lines("", ""), "EUR", 2, "", "", false},
		"the first":                 {lines("", "usd", "USD", " Usd "), "", 4, "USD", "", false},
		"no code":                   {lines("$", "US dollars", "12€"), "EUR", 3, "", "", false},
		"two":                       {lines("EUR", "USD"), "", 0, "", "", true},
		"two, one counts":           {lines("EUR", "USD", ""), "eur", 2, "EUR", "a,2,2020-01-02,1,5,USD", false},
		"another":                   {lines("USD", "USD"), "EUR", 0, "", "a,1,2020-01-01,1,5,USD", false},
		"shopify":                   {shopify("USD", "USD"), "", 4, "USD", "", false},
		"shopify, two":              {shopify("USD", "EUR"), "", 0, "", "", true},
		"shopify, one counts":       {shopify("USD", "EUR"), "USD", 2, "USD", "#2,a@x,paid,EUR,5,5,2020-01-02 10:00:00 +0000,1,A,3,", false},
		"a cancelled one is no matter": {
			shopify("USD", "EUR 2020-01-03"), "", 2, "USD", "#2,a@x,paid,EUR,5,5,2020-01-02 10:00:00 +0000,1,A,3,2020-01-03", false,
		},
		"woocommerce": {woo("USD", "EUR"), "EUR", 1, "EUR", "1,2020-01-01,completed,a@x,USD,name:A|sku:a|quantity:1|total:5", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := Options{Currency: test.currency}
			if test.refused {
				_, err := Read(t.Context(), strings.NewReader(test.text), options, nil, nil)
				if engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), "--currency") {
					t.Errorf("the file gave %v", err)
				}
				return
			}
			got, err := readAll(t, strings.NewReader(test.text), options)
			if err != nil {
				t.Fatal(err)
			}
			if got.Imported != test.imported || got.Currency != test.want {
				t.Errorf("%d records in %q, want %d in %q", got.Imported, got.Currency, test.imported, test.want)
			}
			away, impossible := "", int64(0)
			for i, r := range got.rejects {
				if i == 0 {
					away = r.Raw
				}
				if r.Reason == ReasonImpossible {
					impossible++
				}
			}
			if diff := cmp.Diff(test.away, away); diff != "" || impossible != got.Problems[ReasonImpossible] {
				t.Errorf("set aside: -want +got:\n%s", diff)
			}
		})
	}
}
