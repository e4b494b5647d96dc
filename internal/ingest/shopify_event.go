package ingest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// shopifyOrder is what is of use in the order that Shopify's webhooks send.
type shopifyOrder struct {
	ID          int64      `json:"id"`
	Name        string     `json:"name"`
	Email       string     `json:"email"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	CancelledAt *time.Time `json:"cancelled_at"`
	Status      string     `json:"financial_status"`
	Test        bool       `json:"test"`
	Total       string     `json:"total_price"`
	Currency    string     `json:"currency"`
	Customer    *struct {
		Email string `json:"email"`
	} `json:"customer"`
	Lines []struct {
		ID          int64           `json:"id"`
		SKU         string          `json:"sku"`
		Quantity    int64           `json:"quantity"`
		Price       string          `json:"price"`
		Discount    string          `json:"total_discount"`
		Allocations []shopifyAmount `json:"discount_allocations"`
	} `json:"line_items"`
	Refunds []shopifyRefund `json:"refunds"`
}

type shopifyAmount struct {
	Amount string `json:"amount"`
}

type shopifyRefund struct {
	ID        int64     `json:"id"`
	OrderID   int64     `json:"order_id"`
	CreatedAt time.Time `json:"created_at"`
	Lines     []struct {
		LineID   int64       `json:"line_item_id"`
		Subtotal json.Number `json:"subtotal"`
	} `json:"refund_line_items"`
	Transactions []struct {
		Amount string `json:"amount"`
		Kind   string `json:"kind"`
		Status string `json:"status"`
	} `json:"transactions"`
}

// ShopOrder is what a shop's events said of one order so far. Its zero value says nothing. Events come several times and in
// any order, and refunds also come on their own; Merge makes the same of them whatever the order.
type ShopOrder struct {
	Number  int64                `json:"number"` // the shop's own, by which refunds name the order
	State   *ShopState           `json:"state,omitempty"`
	Refunds map[int64]ShopRefund `json:"refunds,omitempty"` // by the shop's number
}

// ShopState is an order as one event stated it, without its refunds.
type ShopState struct {
	UpdatedAt time.Time `json:"updated_at"`
	Order     Order     `json:"order"`
	LineIDs   []int64   `json:"line_ids"` // the shop's numbers of the order's lines
}

// ShopRefund is money given back.
type ShopRefund struct {
	At    time.Time        `json:"at"`
	Lines map[int64]string `json:"lines,omitempty"` // amounts by the line's number
	Whole string           `json:"whole,omitempty"` // the amount, where no line is named
}

// ShopifyTopics are the topics whose events ParseShopifyEvent reads.
var ShopifyTopics = []string{"orders/create", "orders/updated", "orders/paid", "orders/cancelled", refundTopic}

const refundTopic = "refunds/create"

// ParseShopifyEvent reads the body of a webhook of one of ShopifyTopics. An order has the same key as in an orders export: its
// name. Unlike the export it says when a refund was made, and mostly for which line. Fault: INVALID.
func ParseShopifyEvent(topic string, body []byte) (*ShopOrder, error) {
	read := parseOrder
	if topic == refundTopic {
		read = parseRefund
	}
	o, err := read(body)
	if err != nil {
		return nil, err
	}
	if _, err := json.Marshal(o); err != nil {
		return nil, engine.Errorf(engine.CodeInvalid, "the body has a time beyond the year 9999")
	}
	return o, nil
}

func parseRefund(body []byte) (*ShopOrder, error) {
	var r shopifyRefund
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, engine.Errorf(engine.CodeInvalid, "the body is not a refund in Shopify's JSON form")
	}
	if r.OrderID == 0 {
		return nil, engine.Errorf(engine.CodeInvalid, "the body is not a refund in Shopify's JSON form: it lacks order_id")
	}
	o := &ShopOrder{Number: r.OrderID}
	return o, o.take(&r)
}

func parseOrder(body []byte) (*ShopOrder, error) {
	var e shopifyOrder
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, engine.Errorf(engine.CodeInvalid, "the body is not an order in Shopify's JSON form")
	}
	if e.ID == 0 || e.Name == "" || e.CreatedAt.IsZero() {
		return nil, engine.Errorf(engine.CodeInvalid, "the body is not an order in Shopify's JSON form: it lacks id, name or created_at")
	}
	o := &ShopOrder{Number: e.ID, State: e.state()}
	for i := range e.Refunds {
		if err := o.take(&e.Refunds[i]); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (e *shopifyOrder) state() *ShopState {
	s := &ShopState{UpdatedAt: later(e.CreatedAt, e.UpdatedAt).UTC(), Order: Order{
		ID: e.Name, Customer: e.Email, OrderedAt: e.CreatedAt.UTC(), Status: e.Status, Test: e.Test || e.isTest(), Currency: e.Currency,
	}}
	if strings.TrimSpace(e.Email) == "" && e.Customer != nil {
		s.Order.Customer = e.Customer.Email
	}
	if e.CancelledAt != nil {
		s.Order.CancelledAt = e.CancelledAt.UTC()
	}
	for _, l := range e.Lines {
		line := OrderLine{SKU: l.SKU, Quantity: l.Quantity, UnitPrice: l.Price, Discount: l.Discount, Refunded: "0"}
		if len(l.Allocations) > 0 {
			line.Discount = sumOf(l.Allocations)
		}
		s.Order.Lines = append(s.Order.Lines, line)
		s.LineIDs = append(s.LineIDs, l.ID)
	}
	return s
}

// isTest is the rule for orders exports.
func (e *shopifyOrder) isTest() bool {
	isZero := func(s string) bool { d, _, ok := parseDecimal([]byte(s), signsOwn); return ok && d.m == 0 }
	for _, l := range e.Lines {
		if !isZero(l.Price) {
			return false
		}
	}
	return isZero(e.Total) && len(e.Lines) > 0
}

// take notes a refund, line by line where it names lines.
func (o *ShopOrder) take(r *shopifyRefund) error {
	if r.ID == 0 || r.CreatedAt.IsZero() {
		return engine.Errorf(engine.CodeInvalid, "the body is not in Shopify's JSON form: a refund lacks id or created_at")
	}
	refund := ShopRefund{At: r.CreatedAt.UTC()}
	for _, l := range r.Lines {
		if refund.Lines == nil {
			refund.Lines = map[int64]string{}
		}
		refund.Lines[l.LineID] = sumOf([]shopifyAmount{{refund.Lines[l.LineID]}, {l.Subtotal.String()}})
	}
	for _, t := range r.Transactions {
		if len(r.Lines) == 0 && t.Kind == "refund" && t.Status == "success" {
			refund.Whole = sumOf([]shopifyAmount{{refund.Whole}, {t.Amount}})
		}
	}
	if o.Refunds == nil {
		o.Refunds = map[int64]ShopRefund{}
	}
	o.Refunds[r.ID] = refund
	return nil
}

// Merge adds what another event said of the same order: the newest state counts, and every refund once. It does not matter
// in which order and how often events are merged.
func (o *ShopOrder) Merge(e *ShopOrder) {
	o.Number = e.Number
	if e.State != nil && (o.State == nil || e.State.newerThan(o.State)) {
		o.State = e.State
	}
	for id, refund := range e.Refunds {
		if o.Refunds == nil {
			o.Refunds = map[int64]ShopRefund{}
		}
		if known, ok := o.Refunds[id]; !ok || greater(refund, known) {
			o.Refunds[id] = refund
		}
	}
}

// newerThan compares states. Shops tell time by the second: of one second a cancelled state is the newer one, and else, to
// have one answer, the one whose text is greater.
func (s *ShopState) newerThan(o *ShopState) bool {
	if c := s.UpdatedAt.Compare(o.UpdatedAt); c != 0 {
		return c > 0
	}
	if a, b := s.Order.CancelledAt.IsZero(), o.Order.CancelledAt.IsZero(); a != b {
		return b
	}
	return greater(s, o)
}

func greater(a, b any) bool {
	x, _ := json.Marshal(a) // both are made of what was read from JSON
	y, _ := json.Marshal(b)
	return bytes.Compare(x, y) > 0
}

// Current is the order with its refunds; nil where only refunds came yet. A line with several refunds has the last one's
// time: only from then on was the whole sum known.
func (o *ShopOrder) Current() *Order {
	if o.State == nil {
		return nil
	}
	order := o.State.Order
	order.KnownAt = o.State.UpdatedAt
	order.Lines = append([]OrderLine(nil), order.Lines...)
	place := map[int64]int{}
	for i, id := range o.State.LineIDs {
		place[id] = i
	}
	for _, number := range slices.Sorted(maps.Keys(o.Refunds)) {
		r := o.Refunds[number]
		for id, amount := range r.Lines {
			if i, ok := place[id]; ok && i < len(order.Lines) {
				line := &order.Lines[i]
				line.Refunded = sumOf([]shopifyAmount{{line.Refunded}, {amount}})
				line.RefundedAt = later(line.RefundedAt, r.At)
			}
		}
		if r.Whole != "" {
			order.Refund = sumOf([]shopifyAmount{{order.Refund}, {r.Whole}})
		}
		order.RefundedAt = later(order.RefundedAt, r.At)
	}
	return &order
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// sumOf adds amounts; one that cannot be read counts as nothing.
func sumOf(amounts []shopifyAmount) string {
	var sum int64
	for _, a := range amounts {
		if d, _, ok := parseDecimal([]byte(a.Amount), signsOwn); ok {
			if cents, ok := d.cents(); ok {
				sum = min(maxCents, max(-maxCents, sum+cents))
			}
		}
	}
	return string(appendCents(nil, sum))
}
