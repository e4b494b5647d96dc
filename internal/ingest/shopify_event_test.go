package ingest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

const (
	firstRefund  = `{"id": 91, "order_id": 4500008536682, "created_at": "2018-01-05T09:00:00-05:00", "refund_line_items": [{"line_item_id": 11, "quantity": 1, "subtotal": 9.0}], "transactions": []}`
	secondRefund = `{"id": 92, "order_id": 4500008536682, "created_at": "2018-01-07T09:00:00-05:00", "refund_line_items": [], "transactions": [{"amount": "3.70", "kind": "refund", "status": "success"}]}`
	shopifyBody  = `{"id": 4500008536682, "name": "#2079", "email": "PO@Example.com ", "created_at": "2017-12-30T12:00:00-05:00", "cancelled_at": null,
 "updated_at": "2018-01-07T09:00:01-05:00", "financial_status": "partially_refunded", "test": false, "total_price": "46.00", "currency": "USD", "line_items": [
 {"id": 11, "sku": "FUR-1", "quantity": 4, "price": "10.00", "total_discount": "0.00", "discount_allocations": [{"amount": "3.00"}, {"amount": "1.00"}]},
 {"id": 12, "sku": null, "quantity": 1, "price": "10.00", "total_discount": "0.00", "discount_allocations": []}],
 "refunds": [` + firstRefund + `, ` + secondRefund + `]}`
)

func parsed(t *testing.T, topic, body string) *ShopOrder {
	t.Helper()
	o, err := ParseShopifyEvent(topic, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestShopifyEvent(t *testing.T) {
	t.Parallel()
	records, rejects := parsed(t, "orders/updated", shopifyBody).Current().Records(Options{Now: today})
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
		if records, rejects := parsed(t, "orders/updated", body).Current().Records(Options{Now: today}); len(records) > 0 || rejects[0].Reason != reason {
			t.Errorf("%+v, want %s", rejects, reason)
		}
	}
	for _, topic := range []string{"orders/create", "refunds/create"} {
		for _, body := range []string{
			"", "{}", "[]", "null", `{"name": 5}`, `{"id": 1, "name": "#1", "created_at": "yesterday"}`, `{"id": 1, "order_id": 1}`,
			`{"id": 1, "name": "#1", "order_id": 1, "created_at": "9999-12-31T23:59:59-05:00"}`, `{"id": 99999999999999999999}`,
			`{"id": 1, "name": "#1", "created_at": "2020-01-01T00:00:00Z", "refunds": [{"id": 5}]}`,
		} {
			if o, err := ParseShopifyEvent(topic, []byte(body)); engine.CodeOf(err) != engine.CodeInvalid {
				t.Errorf("%s %s: %+v, %v", topic, body, o, err)
			}
		}
	}
}

// TestRefundsOnTheirOwn come to the same as an order that lists them.
func TestRefundsOnTheirOwn(t *testing.T) {
	t.Parallel()
	want := parsed(t, "orders/updated", shopifyBody)
	bare := strings.Replace(shopifyBody, firstRefund+", "+secondRefund, "", 1)
	var got ShopOrder
	got.Merge(parsed(t, "refunds/create", secondRefund))
	if got.Current() != nil {
		t.Error("a refund made an order")
	}
	got.Merge(parsed(t, "orders/create", bare))
	got.Merge(parsed(t, "refunds/create", firstRefund))
	got.Merge(parsed(t, "refunds/create", firstRefund))
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Error(diff)
	}
}

// drawEvents draws what a shop tells of one order: states of it and refunds, some of which it also lists.
func drawEvents(t *rapid.T) []*ShopOrder {
	at := time.Date(2020, 1, 1, 10, 0, 0, 0, time.UTC)
	var events []*ShopOrder
	refunds := map[int64]ShopRefund{}
	for i := range rapid.IntRange(1, 6).Draw(t, "events") {
		at = at.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "seconds")) * time.Second)
		if rapid.IntRange(0, 3).Draw(t, "refund") == 0 {
			refund := ShopRefund{At: at, Lines: map[int64]string{int64(rapid.IntRange(1, 3).Draw(t, "line")): "1.00"}}
			if rapid.Bool().Draw(t, "whole") {
				refund = ShopRefund{At: at, Whole: "0.50"}
			}
			refunds[int64(i)] = refund
			events = append(events, &ShopOrder{Number: 7, Refunds: map[int64]ShopRefund{int64(i): refund}})
			continue
		}
		state := &ShopState{UpdatedAt: at, LineIDs: []int64{1, 2}, Order: Order{ID: "#7", Customer: "a", OrderedAt: at, Status: fmt.Sprint("state ", i)}}
		for range state.LineIDs {
			state.Order.Lines = append(state.Order.Lines, OrderLine{Quantity: 1, UnitPrice: fmt.Sprint(i + 1)})
		}
		if rapid.IntRange(0, 4).Draw(t, "cancelled") == 0 {
			state.Order.CancelledAt = at
		}
		event := &ShopOrder{Number: 7, State: state}
		for id, r := range refunds {
			if event.Refunds == nil {
				event.Refunds = map[int64]ShopRefund{}
			}
			event.Refunds[id] = r
		}
		events = append(events, event)
	}
	return events
}

// TestEventsInAnyOrder holds that what came of an order does not depend on the order of its events, nor on how often they
// came, nor on whether it was stored between them; and that the newest state counts.
func TestEventsInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		var want ShopOrder
		var newest *ShopState
		for _, e := range events {
			want.Merge(e)
			if e.State != nil && (newest == nil || !e.State.UpdatedAt.Before(newest.UpdatedAt)) {
				newest = e.State
			}
		}
		if newest != nil && !want.State.UpdatedAt.Equal(newest.UpdatedAt) {
			t.Fatalf("the state is of %s, want %s", want.State.UpdatedAt, newest.UpdatedAt)
		}
		again := slices.Concat(events, rapid.SliceOfN(rapid.SampledFrom(events), 0, 5).Draw(t, "repeats"))
		var got ShopOrder
		for _, e := range rapid.Permutation(again).Draw(t, "order") {
			got.Merge(e)
			text, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			got = ShopOrder{}
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want.Current(), got.Current()); diff != "" {
			t.Fatalf("in another order (-want +got):\n%s", diff)
		}
	})
}

// FuzzShopifyEvent wants that nothing panics, that every line ends somewhere, and that an event can be stored.
func FuzzShopifyEvent(f *testing.F) {
	f.Add("orders/updated", []byte(shopifyBody))
	f.Add("refunds/create", []byte(firstRefund))
	f.Fuzz(func(t *testing.T, topic string, body []byte) {
		event, err := ParseShopifyEvent(topic, body)
		if err != nil {
			return
		}
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		var stored ShopOrder
		if err := json.Unmarshal(text, &stored); err != nil {
			t.Fatal(err)
		}
		order := stored.Current()
		if order == nil {
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
