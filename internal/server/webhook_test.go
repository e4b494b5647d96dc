package server_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quimbi/quimbi/internal/server"
)

func sign(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// webhook is a message of Shopify.
type webhook struct {
	store, topic, delivery, body, secret string
	header                               http.Header
}

func (a *api) deliver(t *testing.T, w webhook) *reply {
	t.Helper()
	header := http.Header{"X-Shopify-Topic": {w.topic}, "X-Shopify-Webhook-Id": {w.delivery}, "X-Shopify-Hmac-Sha256": {sign(w.body, w.secret)}}
	for key, values := range w.header {
		header[key] = values
	}
	return a.send(t, http.MethodPost, "/webhooks/shopify/"+w.store, w.body, header)
}

// shopifyOrder is an order of two days ago in its state of some hours ago.
func shopifyOrder(id int, customer string, hoursAgo int, more string) string {
	return fmt.Sprintf(`{"id": %d, "name": "#%d", "email": %q, "created_at": %q, "updated_at": %q, "financial_status": "paid", "total_price": "20.00", "currency": "USD",
 "line_items": [{"id": 1, "sku": "A-1", "quantity": 2, "price": "10.00", "total_discount": "0.00"}], "refunds": []%s}`,
		id, id, customer, time.Now().AddDate(0, 0, -2).Format(time.RFC3339), time.Now().Add(-time.Duration(hoursAgo)*time.Hour).Format(time.RFC3339), more)
}

// TestWebhooks takes Shopify's messages, each once, and refuses everybody else's.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	a := newShop(t)
	good := webhook{store: "shop", topic: "orders/create", delivery: "w1", body: shopifyOrder(9, "Hook@Example.com", 12, ""), secret: "the shop's secret"}
	huge := strings.Repeat(" ", 2<<20)
	for _, c := range []struct {
		name   string
		change func(*webhook)
		status int
		want   string
	}{
		{"good", func(*webhook) {}, 200, `"outcome":"ACCEPTED"`},
		{"again", func(*webhook) {}, 200, `"outcome":"REPEATED"`},
		{"signed with the older secret", func(w *webhook) { w.delivery, w.secret = "w2", "an older secret" }, 200, "ACCEPTED"},
		{"another host's name", func(w *webhook) { w.delivery, w.header = "w3", http.Header{"Host": {"shop.example.com"}} }, 200, "ACCEPTED"},
		{"named by the event alone", func(w *webhook) {
			w.header = http.Header{"X-Shopify-Webhook-Id": nil, "X-Shopify-Event-Id": {"w1"}}
		}, 200, "ACCEPTED"},
		{"another topic", func(w *webhook) { w.topic = "products/update" }, 200, "IGNORED"},
		{"no topic", func(w *webhook) { w.topic = "" }, 200, "IGNORED"},
		{"the other store's secret", func(w *webhook) { w.secret = "the other's secret" }, 401, "UNAUTHENTICATED"},
		{"no signature", func(w *webhook) { w.header = http.Header{"X-Shopify-Hmac-Sha256": nil} }, 401, "UNAUTHENTICATED"},
		{"a signature that is no base64", func(w *webhook) { w.header = http.Header{"X-Shopify-Hmac-Sha256": {"%%%"}} }, 401, "UNAUTHENTICATED"},
		{"a signature in hexadecimal", func(w *webhook) { w.header = http.Header{"X-Shopify-Hmac-Sha256": {strings.Repeat("0a", 32)}} }, 401, "UNAUTHENTICATED"},
		{"a body that was changed", func(w *webhook) {
			w.header = http.Header{"X-Shopify-Hmac-Sha256": {sign(w.body, w.secret)}}
			w.body = strings.Replace(w.body, "10.00", "90.00", 1)
		}, 401, "UNAUTHENTICATED"},
		{"a store without a secret", func(w *webhook) { w.store = "empty" }, 404, "NOT_FOUND"},
		{"a store that is none", func(w *webhook) { w.store = "%00" }, 404, "NOT_FOUND"},
		{"too large", func(w *webhook) { w.body += huge }, 413, "BODY_LIMIT_EXCEEDED"},
		{"no name", func(w *webhook) { w.header = http.Header{"X-Shopify-Webhook-Id": nil} }, 400, "BAD_USER_INPUT"},
		{"a long name", func(w *webhook) { w.delivery = strings.Repeat("x", 256) }, 400, "BAD_USER_INPUT"},
		{"no JSON", func(w *webhook) { w.body = "order=9" }, 400, "BAD_USER_INPUT"},
		{"no order", func(w *webhook) { w.body = "{}" }, 400, "BAD_USER_INPUT"},
		{"a refund of no order", func(w *webhook) { w.topic, w.body = "refunds/create", `{"id": 1}` }, 400, "BAD_USER_INPUT"},
	} {
		w := good
		c.change(&w)
		r := a.deliver(t, w)
		if r.Status != c.status || !strings.Contains(r.Text, c.want) || strings.Contains(r.Text, "secret of") {
			t.Errorf("%s: %d %s, want %d with %s", c.name, r.Status, r.Text, c.status, c.want)
		}
	}
	if r := a.send(t, http.MethodGet, "/webhooks/shopify/shop", "", nil); r.Status != http.StatusMethodNotAllowed {
		t.Errorf("by GET: %d", r.Status)
	}
	if r := a.send(t, http.MethodPost, "/graphql", `{"query": "{ __typename }"}`, http.Header{"Host": {"shop.example.com"}}); r.Status != http.StatusMisdirectedRequest {
		t.Errorf("another host's name on /graphql: %d", r.Status)
	}
	got := a.hooked(t)
	if got == nil || got.OrderCount != 1 || got.TotalValue != "20.00" {
		t.Fatalf("the customer of the message: %+v", got)
	}
	// A refund on its own, twice, then the order in an earlier state, which says nothing new, then its cancellation.
	refund := fmt.Sprintf(`{"id": 5, "order_id": 9, "created_at": %q, "refund_line_items": [{"line_item_id": 1, "subtotal": "4.00"}], "transactions": []}`, time.Now().Add(-time.Hour).Format(time.RFC3339))
	for i := range 2 {
		a.deliver(t, webhook{store: "shop", topic: "refunds/create", delivery: fmt.Sprint("r", i), body: refund, secret: good.secret})
	}
	earlier := strings.Replace(shopifyOrder(9, "Hook@Example.com", 24, ""), `"quantity": 2`, `"quantity": 5`, 1)
	a.deliver(t, webhook{store: "shop", topic: "orders/updated", delivery: "old", body: earlier, secret: good.secret})
	if got = a.hooked(t); got.TotalValue != "16.00" {
		t.Errorf("after the refund the customer's orders are worth %s", got.TotalValue)
	}
	cancelled := shopifyOrder(9, "Hook@Example.com", 1, fmt.Sprintf(`, "cancelled_at": %q`, time.Now().Add(-time.Hour).Format(time.RFC3339)))
	a.deliver(t, webhook{store: "shop", topic: "orders/cancelled", delivery: "c", body: cancelled, secret: good.secret})
	if got = a.hooked(t); got.OrderCount != 0 || got.TotalValue != "0.00" {
		t.Errorf("after the cancellation: %+v", got)
	}
}

type hookedCustomer struct {
	OrderCount int
	TotalValue string
}

// hooked waits until everything that was delivered is taken in, and gives the customer of the messages.
func (a *api) hooked(t *testing.T) *hookedCustomer {
	t.Helper()
	var got struct {
		Store    struct{ LatestRun struct{ ID, Trigger string } }
		Customer *hookedCustomer
	}
	a.data(t, &got, `{ store(key: "shop") { latestRun(kind: RESCORE) { id trigger } } }`, nil)
	a.followed(t, got.Store.LatestRun.ID)
	a.data(t, &got, `{ customer(by: {key: {storeId: "shop", customerId: "hook@example.com"}}) { orderCount totalValue } }`, nil)
	return got.Customer
}

// TestSecretsAreNotShown in any of the ways in which values are written.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	secret := server.Secret("hush")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("configured", "secret", secret, "all", map[string][]server.Secret{"shop": {secret}})
	text, err := secret.MarshalText()
	check(t, err)
	for _, shown := range []string{log.String(), fmt.Sprint(secret), fmt.Sprintf("%v %+v %#v %s %q", secret, secret, secret, secret, []server.Secret{secret}), string(text)} {
		if strings.Contains(shown, "hush") {
			t.Errorf("the secret is in %s", shown)
		}
	}
}
