package cli

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/internal/localpg"
)

// outage is a server of the API over a database that goes away, and clients that send it orders all the time.
type outage struct {
	*chaos
	url    string
	acks   atomic.Int64 // calls of importOrders that were acknowledged
	faults atomic.Int64 // those that were answered with a fault
	over   atomic.Bool  // no more disturbances come: one more each, and that is it
	mu     sync.Mutex
	sent   []sentCall
}

// sentCall is a call or a message, and what it told.
type sentCall struct {
	client string
	lines  map[string]sentLine // by article, each of which there is once
	acked  bool
}

// sentLine is what must be stored of a line.
type sentLine struct {
	customer string
	quantity int
	cents    int64
}

const outageSecret = "shpss_0123456789abcdef"

// newOutage starts both, and makes a store.
func newOutage(t *testing.T, folder string, settings ...string) *outage {
	t.Helper()
	c := &chaos{random: rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))}
	c.options = localpg.Options{DataDir: folder, PGBin: os.Getenv("PG_BIN"), Extra: append([]string{"fsync=off", "max_connections=100"}, settings...)}
	c.server = c.start(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(c.server.Close(ctx), os.RemoveAll(c.server.Folder())); err != nil {
			t.Error(err)
		}
	})
	work := t.TempDir()
	orders, secrets := filepath.Join(work, "orders.csv"), filepath.Join(work, "secrets")
	for file, text := range map[string]string{
		orders:  "customer_id,order_id,ordered_at,sku,quantity,unit_price\nfirst,first,2026-01-02T10:00:00Z,first,1,1.00\n",
		secrets: "shop " + outageSecret + "\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command("quimbi", args...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+c.server.URL(), "WEBHOOK_SECRETS_FILE="+secrets)
		cmd.Dir = work
		return cmd
	}
	if out, err := command("import", "--store", "shop", orders).CombinedOutput(); err != nil {
		t.Fatalf("importing: %v\n%s", err, out)
	}
	var err error
	if c.pool, err = pgxpool.New(t.Context(), c.server.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.pool.Close)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	o := &outage{chaos: c, url: "http://" + address}
	log, err := os.Create(filepath.Join(work, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	serve := command("serve", "--listen", address, "--rate-limit", "0")
	serve.Stdout, serve.Stderr = log, log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		_ = serve.Wait()
		_ = log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the end of the server's log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	o.until(t, "the server is ready", func() bool {
		answer, err := http.Get(o.url + "/readyz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return o
}

// outagePatience is how long anything may take that must happen by itself.
const outagePatience = 3 * time.Minute

func (o *outage) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(outagePatience)
	for !is() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("after %s it is not so: %s", outagePatience, what)
		}
	}
}

// post sends a body and gives the status and the answer. Whoever serves lives all the time, so there always is one.
func (o *outage) post(t *testing.T, path string, header http.Header, body []byte) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.url+path, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	request.Header = header.Clone()
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Errorf("no answer: %v", err)
		return 0, ""
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Errorf("half an answer: %v", err)
	}
	return answer.StatusCode, string(content)
}

const outageMutation = `mutation ($in: ImportOrdersInput!) { importOrders(input: $in) { outcomes { status } userErrors { code message } } }`

// importOrders sends three orders of two lines, and tells whether they were acknowledged.
func (o *outage) importOrders(t *testing.T, client, call int) (sentCall, func() bool) {
	t.Helper()
	name := fmt.Sprintf("api-%d-%d", client, call)
	sent := sentCall{client: "importOrders", lines: map[string]sentLine{}}
	var orders []any
	for n := range 3 {
		customer := fmt.Sprintf("customer-%d", (client*7+call+n)%40)
		var lines []any
		for l := range 2 {
			sku, quantity, cents := fmt.Sprintf("%s-%d-%d", name, n, l), 1+(call+l)%4, int64(100+call%900+n)
			lines = append(lines, map[string]any{"sku": sku, "quantity": quantity, "unitPrice": fmt.Sprintf("%d.%02d", cents/100, cents%100)})
			sent.lines[sku] = sentLine{customer, quantity, cents * int64(quantity)}
		}
		orders = append(orders, map[string]any{"orderId": fmt.Sprintf("%s-%d", name, n), "customerId": customer, "orderedAt": "2026-02-03T10:00:00Z", "lines": lines})
	}
	body, err := json.Marshal(map[string]any{
		"query": outageMutation, "variables": map[string]any{"in": map[string]any{"storeId": "shop", "idempotencyKey": name, "orders": orders}},
	})
	if err != nil {
		t.Error(err)
	}
	return sent, func() bool {
		status, text := o.post(t, "/graphql", http.Header{}, body)
		var answer struct {
			Data struct {
				ImportOrders *struct {
					Outcomes   []struct{ Status string }
					UserErrors []any
				}
			}
			Errors []struct {
				Message    string
				Extensions struct{ Code string }
			}
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Errorf("%s: status %d, %v: %s", name, status, err, text)
			return false
		}
		if p := answer.Data.ImportOrders; len(answer.Errors) == 0 && p != nil {
			ok := status == http.StatusOK && len(p.Outcomes) == len(orders) && len(p.UserErrors) == 0
			for _, outcome := range p.Outcomes {
				ok = ok && (outcome.Status == "CREATED" || outcome.Status == "UNCHANGED")
			}
			if !ok {
				t.Errorf("%s: status %d: %s", name, status, text)
			}
			return ok
		}
		if len(answer.Errors) != 1 || answer.Errors[0].Extensions.Code != "UNAVAILABLE" || strings.Contains(answer.Errors[0].Message, "SQLSTATE") {
			t.Errorf("%s: status %d: %s", name, status, text)
		}
		return false
	}
}

// webhook sends an order of Shopify.
func (o *outage) webhook(t *testing.T, client, call int) (sentCall, func() bool) {
	t.Helper()
	name := fmt.Sprintf("hook-%d-%d", client, call)
	quantity, cents := 1+call%3, int64(200+call%700)
	customer := fmt.Sprintf("hooked-%d@example.com", call%30)
	sent := sentCall{client: "webhook", lines: map[string]sentLine{name: {customer, quantity, cents * int64(quantity)}}}
	body := fmt.Appendf(nil, `{"id": %d, "name": %q, "email": %q, "created_at": "2026-02-03T10:00:00Z", "updated_at": "2026-02-03T10:00:00Z", "financial_status": "paid",
"total_price": "%d.00", "currency": "USD", "line_items": [{"id": 1, "sku": %q, "quantity": %d, "price": "%d.%02d", "total_discount": "0.00"}], "refunds": []}`,
		1+client*1_000_000+call, "#"+name, customer, 1+cents/100, name, quantity, cents/100, cents%100)
	mac := hmac.New(sha256.New, []byte(outageSecret))
	mac.Write(body)
	header := http.Header{"X-Shopify-Topic": {"orders/create"}, "X-Shopify-Webhook-Id": {name}, "X-Shopify-Hmac-Sha256": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
	return sent, func() bool {
		status, text := o.post(t, "/webhooks/shopify/shop", header, body)
		if status == http.StatusOK && (strings.Contains(text, "ACCEPTED") || strings.Contains(text, "REPEATED")) {
			return true
		}
		if status != http.StatusServiceUnavailable || !strings.Contains(text, `"UNAVAILABLE"`) {
			t.Errorf("%s: status %d: %s", name, status, text)
		}
		return false
	}
}

// client sends one thing after the other until the disturbances are over and it has been acknowledged once more. Every second thing
// that fails it sends again until it is acknowledged, the others it gives up.
func (o *outage) client(t *testing.T, number int, make func(t *testing.T, client, call int) (sentCall, func() bool)) {
	limit := time.Now().Add(3 * outagePatience)
	pace := time.NewTicker(30 * time.Millisecond)
	defer pace.Stop()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for call := 0; ; call++ {
		last := o.over.Load()
		sent, send := make(t, number, call)
		for {
			if sent.acked = send(); sent.acked {
				if sent.client == "importOrders" {
					o.acks.Add(1)
				}
				break
			}
			o.faults.Add(1)
			<-retry.C
			if t.Failed() || time.Now().After(limit) {
				t.Errorf("client %d: call %d was not acknowledged in time", number, call)
				return
			}
			if call%2 == 1 && !last {
				break
			}
		}
		o.mu.Lock()
		o.sent = append(o.sent, sent)
		o.mu.Unlock()
		if last && sent.acked {
			return
		}
		if sent.client == "webhook" { // a shop has other things to do: else there would be no time for calls
			<-pace.C
		}
	}
}

// load lets clients send while the database is disturbed, waits until what was accepted is taken in, and compares it with what is stored.
func (o *outage) load(t *testing.T, disturb func()) {
	t.Helper()
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() { o.client(t, n, o.importOrders) })
	}
	for n := range 2 {
		clients.Go(func() { o.client(t, n, o.webhook) })
	}
	disturb()
	o.over.Store(true)
	clients.Wait()
	o.pool.Reset()
	o.until(t, "what shops sent is taken in", func() bool {
		var waiting int
		err := o.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM shop_event WHERE body IS NOT NULL) + (SELECT count(*) FROM run WHERE state IN ('QUEUED', 'RUNNING'))").Scan(&waiting)
		return err == nil && waiting == 0
	})
	o.compare(t)
}

// more waits until so many calls of importOrders were acknowledged again.
func (o *outage) more(t *testing.T, acks int64) {
	t.Helper()
	want := o.acks.Load() + acks
	o.until(t, "clients are acknowledged again", func() bool { return t.Failed() || o.acks.Load() >= want })
}

// compare finds every line of what was acknowledged, all or nothing of what was not, and nothing else.
func (o *outage) compare(t *testing.T) {
	t.Helper()
	rows, err := o.pool.Query(t.Context(), `SELECT sku, customer_key, quantity, net_cents FROM customer_order JOIN customer USING (store_id, customer_id) WHERE sku <> 'first'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	stored, lines := map[string]sentLine{}, 0
	for rows.Next() {
		var sku string
		var l sentLine
		if err := rows.Scan(&sku, &l.customer, &l.quantity, &l.cents); err != nil {
			t.Fatal(err)
		}
		stored[sku] = l
		lines++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if lines != len(stored) {
		t.Errorf("%d lines are stored of %d articles: some are doubled", lines, len(stored))
	}
	acked, kept, lost := map[string]int{}, 0, 0
	for _, call := range o.sent {
		found := 0
		for sku, want := range call.lines {
			got, ok := stored[sku]
			if ok {
				found++
				delete(stored, sku)
				if got != want {
					t.Errorf("%s is stored as %+v, want %+v", sku, got, want)
				}
			}
		}
		switch {
		case call.acked && found != len(call.lines):
			t.Errorf("of an acknowledged call of %s with %v only %d lines are stored", call.client, call.lines, found)
		case !call.acked && found != 0 && found != len(call.lines):
			t.Errorf("half of a call of %s is stored: %d of %v", call.client, found, call.lines)
		case call.acked:
			acked[call.client]++
		case found > 0:
			kept++
		default:
			lost++
		}
	}
	if len(stored) > 0 {
		t.Errorf("%d lines are stored that nobody sent", len(stored))
	}
	if acked["importOrders"] == 0 || acked["webhook"] == 0 || o.faults.Load() == 0 {
		t.Errorf("acknowledged: %v, faults: %d: nothing is shown", acked, o.faults.Load())
	}
	t.Logf("acknowledged %v, all of them stored; %d faults, all of them UNAVAILABLE; of calls that were given up %d are stored whole and %d not at all", acked, o.faults.Load(), kept, lost)
}

// TestRestartUnderLoad restarts Postgres at once, without a word, while clients send orders: what was acknowledged is there, once and
// as it was sent; of what was not there is all or nothing; faults say UNAVAILABLE; and all goes on by itself.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	o := newOutage(t, t.TempDir())
	times := kills(t)
	if os.Getenv("QUIMBI_CHAOS") == "" {
		times = 2
	}
	o.load(t, func() {
		for range times {
			o.more(t, 4+o.random.Int64N(12))
			for _, d := range disturbances {
				if strings.Contains(d.name, "postmaster") {
					d.do(t, o.chaos)
				}
			}
		}
		o.more(t, 8)
	})
	t.Logf("%d restarts", times)
}

// TestFullDiskUnderLoad lets the disk run full while clients send orders: the same holds, once there is room again.
func TestFullDiskUnderLoad(t *testing.T) {
	t.Parallel()
	o := newOutage(t, smallDisk(t), "max_wal_size=48MB", "min_wal_size=32MB", "shared_buffers=32MB")
	o.load(t, func() {
		o.more(t, 8)
		file := fill(t, o.server.Folder())
		before := o.faults.Load()
		o.until(t, "clients are refused", func() bool { return t.Failed() || o.faults.Load() >= before+20 })
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := o.start(t).Close(t.Context()); err != nil { // should it have given up
			t.Fatal(err)
		}
		o.more(t, 8)
	})
}
