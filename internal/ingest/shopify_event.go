package ingest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// shopifyEvent is what is of use in the order that Shopify's Admin API and webhooks (orders/create, orders/updated and the
// like) send.
type shopifyEvent struct {
	ID          int64      `json:"id"`
	Name        string     `json:"name"`
	Email       string     `json:"email"`
	CreatedAt   time.Time  `json:"created_at"`
	CancelledAt *time.Time `json:"cancelled_at"`
	Status      string     `json:"financial_status"`
	Test        bool       `json:"test"`
	Total       string     `json:"total_price"`
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

// ParseShopifyOrder reads an order as Shopify's webhooks send it. It has the same key as the same order in an orders export:
// its name. Unlike the export it says when a refund was made, and mostly for which line.
func ParseShopifyOrder(body []byte) (*Order, error) {
	var e shopifyEvent
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, engine.Errorf(engine.CodeInvalid, "the body is not an order in Shopify's JSON form")
	}
	if e.Name == "" || e.CreatedAt.IsZero() {
		return nil, engine.Errorf(engine.CodeInvalid, "the body is not an order in Shopify's JSON form: it lacks name or created_at")
	}
	o := &Order{ID: e.Name, Customer: e.Email, OrderedAt: e.CreatedAt, Status: e.Status, Test: e.Test || e.isTest()}
	if strings.TrimSpace(o.Customer) == "" && e.Customer != nil {
		o.Customer = e.Customer.Email
	}
	if e.CancelledAt != nil && statusName(e.Status) != "voided" {
		o.Status = "cancelled"
	}
	place := map[int64]int{}
	for i, l := range e.Lines {
		place[l.ID] = i
		line := OrderLine{SKU: l.SKU, Quantity: l.Quantity, UnitPrice: l.Price, Discount: l.Discount, Refunded: "0"}
		if len(l.Allocations) > 0 {
			line.Discount = sumOf(l.Allocations)
		}
		o.Lines = append(o.Lines, line)
	}
	for _, r := range e.Refunds {
		o.take(&r, place)
	}
	return o, nil
}

// isTest is the rule for orders exports.
func (e *shopifyEvent) isTest() bool {
	isZero := func(s string) bool { d, ok := parseDecimal([]byte(s), false); return ok && d.m == 0 }
	for _, l := range e.Lines {
		if !isZero(l.Price) {
			return false
		}
	}
	return isZero(e.Total) && len(e.Lines) > 0
}

// take notes a refund, line by line where it names lines. A line with several refunds has the last one's time: only from
// then on was the whole sum known.
func (o *Order) take(r *shopifyRefund, place map[int64]int) {
	for _, l := range r.Lines {
		if i, ok := place[l.LineID]; ok {
			line := &o.Lines[i]
			line.Refunded = sumOf([]shopifyAmount{{line.Refunded}, {l.Subtotal.String()}})
			if r.CreatedAt.After(line.RefundedAt) {
				line.RefundedAt = r.CreatedAt
			}
		}
	}
	if r.CreatedAt.After(o.RefundedAt) {
		o.RefundedAt = r.CreatedAt
	}
	if len(r.Lines) > 0 {
		return
	}
	for _, t := range r.Transactions {
		if t.Kind == "refund" && t.Status == "success" {
			o.Refund = sumOf([]shopifyAmount{{o.Refund}, {t.Amount}})
		}
	}
}

// sumOf adds amounts; one that cannot be read counts as nothing.
func sumOf(amounts []shopifyAmount) string {
	var sum int64
	for _, a := range amounts {
		if d, ok := parseDecimal([]byte(a.Amount), false); ok {
			cents, _ := d.cents()
			sum += cents
		}
	}
	return string(appendCents(nil, sum))
}
