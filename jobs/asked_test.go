package jobs

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// TestUnsaidOfOrders holds that what an order does not say is not among what tells requests apart, and that what it says is.
func TestUnsaidOfOrders(t *testing.T) {
	t.Parallel()
	hash := func(o Order) []byte {
		t.Helper()
		sum, err := (&OrdersRequest{Orders: []Order{o}}).hash()
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	o := Order{ID: "#1", Customer: "ann", OrderedAt: at("2026-11-20T10:00:00Z"), Lines: []OrderLine{{Quantity: 2, UnitPrice: "10"}, {}}}
	want := sha256.Sum256([]byte(`[{"Customer":"ann","ID":"#1","Lines":[{"Quantity":2,"UnitPrice":"10"},{}],"OrderedAt":"2026-11-20T10:00:00Z"}]`))
	if !bytes.Equal(hash(o), want[:]) {
		t.Error("an order is told by more than it says")
	}
	for name, other := range map[string]Order{
		"test":   {ID: o.ID, Customer: o.Customer, OrderedAt: o.OrderedAt, Lines: o.Lines, Test: true},
		"refund": {ID: o.ID, Customer: o.Customer, OrderedAt: o.OrderedAt, Lines: o.Lines, Refund: "0"},
		"lines":  {ID: o.ID, Customer: o.Customer, OrderedAt: o.OrderedAt, Lines: o.Lines[:1]},
	} {
		if bytes.Equal(hash(other), want[:]) {
			t.Errorf("an order with another %s is told by the same", name)
		}
	}
}
