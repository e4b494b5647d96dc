package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/internal/pgtest"
)

// imported is the answer of importOrders.
type imported struct {
	Outcomes []struct {
		OrderID string
		Status  string
		Reason  *string
	}
	Counts *struct {
		Rows, Imported, Changed, Guests, Rejected, Orders, Customers string
		Problems                                                     []struct{ Reason, Rows string }
	}
	Run *struct {
		ID, Kind, State, Trigger string
	}
	UserErrors []struct {
		Typename, Message, Code string
		Field                   []string
	}
}

const importQuery = `mutation ($in: ImportOrdersInput!) { importOrders(input: $in) {
  outcomes { orderId status reason } counts { rows imported changed guests rejected orders customers problems { reason rows } }
  run { id kind state trigger } userErrors { code message field } } }`

func (a *api) importOrders(t *testing.T, store string, orders []map[string]any, key ...string) imported {
	t.Helper()
	in := map[string]any{"storeId": store, "orders": orders}
	if len(key) > 0 {
		in["idempotencyKey"] = key[0]
	}
	var got struct{ ImportOrders imported }
	a.data(t, &got, importQuery, map[string]any{"in": in})
	return got.ImportOrders
}

// orderInput is an order of one line, placed some days ago.
func orderInput(id, customer string, daysAgo int) map[string]any {
	return map[string]any{
		"orderId": id, "customerId": customer, "orderedAt": time.Now().AddDate(0, 0, -daysAgo).UTC().Format(time.RFC3339), "status": "paid",
		"lines": []map[string]any{{"sku": fmt.Sprint("s", daysAgo%7), "category": []string{"x", "x > y", "z"}[daysAgo%3], "quantity": 1 + daysAgo%4, "unitPrice": fmt.Sprint(5+daysAgo%11, ".50"), "discount": "0.25", "refunded": "0"}},
	}
}

// newShop is an API with workers and a clustered store, "shop", whose orders all came by importOrders.
func newShop(t *testing.T) *api {
	t.Helper()
	a := newEmptyAPI(t)
	a.work(t)
	_, err := a.db.EnsureStore(t.Context(), "shop")
	check(t, err)
	_, err = a.db.EnsureStore(t.Context(), "other")
	check(t, err)
	var orders []map[string]any
	for i := range 120 {
		for j := range 1 + i%5 {
			orders = append(orders, orderInput(fmt.Sprintf("%d-%d", i, j), name(i), 2+(i*7+j*31)%300))
		}
	}
	first := a.importOrders(t, "shop", orders, "the history")
	if len(first.Outcomes) != len(orders) || first.Run != nil || first.Counts.Orders != fmt.Sprint(len(orders)) || first.Counts.Customers != "120" {
		t.Fatalf("the history: %+v", first.Counts)
	}
	var started struct {
		Recluster struct{ Run struct{ ID string } }
	}
	a.data(t, &started, `mutation { recluster(input: {storeId: "shop", seed: 1, options: {kMax: 4, starts: 2}}) { run { id } } }`, nil)
	a.followed(t, started.Recluster.Run.ID)
	return a
}

// drift is a drift event as a subscriber sees it.
type drift struct {
	ID, Severity, Cause, ToDate string
	Provisional                 bool
	Customer                    struct{ CustomerID string }
	FromSnapshot, ToSnapshot    *struct{ ID string }
}

func (a *api) watchDrift(t *testing.T, arguments string) *websocket.Conn {
	t.Helper()
	socket := a.dial(t)
	check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{
		"query": `subscription { driftEvents` + arguments + ` { id severity cause toDate provisional customer { customerId } fromSnapshot { id } toSnapshot { id } } }`,
	}}))
	return socket
}

func nextDrift(t *testing.T, socket *websocket.Conn) drift {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var m struct {
		Type    string
		Payload struct {
			Data struct{ DriftEvents drift }
		}
	}
	_, text, err := socket.Read(ctx)
	check(t, err)
	check(t, json.Unmarshal(text, &m))
	if m.Type != "next" {
		t.Fatalf("the subscription sent %s", text)
	}
	return m.Payload.Data.DriftEvents
}

// spreeOf are orders of today that change how a customer looks.
func spreeOf(customer string) (orders []map[string]any) {
	for i := range 4 {
		o := orderInput(fmt.Sprint("spree ", customer, i), customer, i)
		o["lines"] = []map[string]any{{"sku": fmt.Sprint("new", i), "category": "new", "quantity": 40, "unitPrice": "250.00", "discount": "0", "refunded": "0"}}
		orders = append(orders, o)
	}
	return orders
}

// TestStreaming goes the whole way: orders over the API, a model, a snapshot, further orders, and the provisional drift that
// they bring to a subscriber within seconds.
func TestStreaming(t *testing.T) {
	t.Parallel()
	a := newShop(t)
	for i := range 2 {
		a.data(t, new(any), `mutation ($c: String!) { createSnapshot(input: {customer: {key: {storeId: "shop", customerId: $c}}}) { created userErrors { code } } }`, map[string]any{"c": name(i)})
	}
	all, other := a.watchDrift(t, ``), a.watchDrift(t, `(filter: {storeId: "other", minSeverity: STABLE, causes: [ORDER, TIME]})`)
	a.subscribed(t, 2)

	begin := time.Now()
	answer := a.importOrders(t, "shop", spreeOf(name(0)))
	if answer.Run == nil || answer.Run.Kind != "RESCORE" || answer.Run.Trigger != "MUTATION" || len(answer.UserErrors) > 0 {
		t.Fatalf("%+v", answer)
	}
	first := nextDrift(t, all)
	t.Logf("the first provisional event came %s after the orders", time.Since(begin))
	if !first.Provisional || first.Customer.CustomerID != name(0) || first.Cause != "ORDER" || first.FromSnapshot == nil || first.ToSnapshot != nil {
		t.Errorf("%+v", first)
	}
	a.followed(t, answer.Run.ID)
	var run struct {
		Run struct {
			Customers   int
			DriftEvents string
			Counts      struct{ Rows string }
		}
	}
	a.data(t, &run, `query ($id: ID!) { run(id: $id) { ... on RescoreRun { customers driftEvents counts { rows } } } }`, map[string]any{"id": answer.Run.ID})
	if run.Run.Customers != 1 || run.Run.DriftEvents == "0" || run.Run.Counts.Rows != "0" {
		t.Errorf("the run: %+v", run.Run)
	}
	var got struct {
		Node     struct{ Provisional bool }
		Customer struct {
			OrderCount int
			Thumbprint []struct{ Status string }
		}
		DriftEvents struct{ Nodes []drift }
	}
	a.data(t, &got, `query ($id: ID!, $c: String!) { node(id: $id) { ... on DriftEvent { provisional } }
  customer(by: {key: {storeId: "shop", customerId: $c}}) { orderCount thumbprint { status } }
  driftEvents(filter: {storeId: "shop", minSeverity: STABLE, causes: [ORDER, TIME]}, first: 100) { nodes { id } } }`, map[string]any{"id": first.ID, "c": name(0)})
	if !got.Node.Provisional || len(got.DriftEvents.Nodes) > 0 || len(got.Customer.Thumbprint) != 14 {
		t.Errorf("%+v", got)
	}

	// Whoever comes back with the last event that was seen gets the others, then the new ones.
	again := a.watchDrift(t, fmt.Sprintf(`(filter: {storeId: "shop", minSeverity: MINOR}, after: %q)`, first.ID))
	a.importOrders(t, "shop", spreeOf(name(1)))
	for e := nextDrift(t, again); e.Customer.CustomerID != name(1); e = nextDrift(t, again) {
		if e.ID == first.ID {
			t.Error("the event that was seen came again")
		}
	}
	quiet, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, text, err := other.Read(quiet); err == nil {
		t.Errorf("the other store's subscriber got %s", text)
	}
	for arguments, code := range map[string]string{
		`(after: "abc")`: "BAD_USER_INPUT", `(filter: {storeId: "nowhere"})`: "NOT_FOUND", `(filter: {axes: ["none"]})`: "BAD_USER_INPUT",
		fmt.Sprintf(`(after: %q)`, answer.Run.ID): "NOT_FOUND",
	} {
		_, text, err := a.watchDrift(t, arguments).Read(t.Context())
		check(t, err)
		if !strings.Contains(string(text), code) {
			t.Errorf("%s: %s, want %s", arguments, text, code)
		}
	}
}

// subscribed waits until so many subscriptions have looked what there is: each asks for the newest event.
func (a *api) subscribed(t *testing.T, n int) {
	t.Helper()
	counter := pgtest.Queries(t, a.pool)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		looked := 0
		for _, sql := range counter.Reads() {
			if strings.Contains(sql, "NewestDrift") {
				looked++
			}
		}
		if looked >= n {
			return
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatal("the subscriptions did not begin")
		}
	}
}

// TestImportOrdersStatements holds a call to as many statements for a thousand orders as for one.
func TestImportOrdersStatements(t *testing.T) {
	t.Parallel()
	a := newShop(t)
	counter := pgtest.Queries(t, a.pool)
	a.importOrders(t, "shop", []map[string]any{orderInput("one", name(0), 1)}, "one")
	one := len(counter.Reads())
	counter.AtMost(t, 20)
	var orders []map[string]any
	for i := range 1000 {
		orders = append(orders, orderInput(fmt.Sprint("many ", i), fmt.Sprint("new ", i%300), 1+i%200))
	}
	counter.Reset()
	begin := time.Now()
	answer := a.importOrders(t, "shop", orders, "many")
	t.Logf("1000 orders took %s and %d reading statements", time.Since(begin), len(counter.Reads()))
	if len(answer.Outcomes) != 1000 || answer.Outcomes[999].Status != "CREATED" {
		t.Errorf("%+v", answer.Counts)
	}
	counter.AtMost(t, one)
}

// TestImportOrdersAudit sends what no shop should.
func TestImportOrdersAudit(t *testing.T) {
	t.Parallel()
	a := newShop(t)
	with := func(change func(order, line map[string]any)) map[string]any {
		o := orderInput("odd", "odd", 3)
		change(o, o["lines"].([]map[string]any)[0])
		return o
	}
	// What is wrong with an order is told in its outcome, and does not touch the others.
	set := func(key string, value any) map[string]any {
		return with(func(order, line map[string]any) {
			if _, ok := line[key]; ok || key == "refundedAt" {
				line[key] = value
			} else {
				order[key] = value
			}
		})
	}
	long := strings.Repeat("x", 300_000)
	for i, c := range []struct {
		order  map[string]any
		reason string
	}{
		{set("orderId", long), "UNREADABLE"},
		{set("orderId", ""), "UNREADABLE"},
		{set("orderId", "a\x00b"), "UNREADABLE"},
		{set("customerId", long), "UNREADABLE"},
		{set("customerId", "a\x00b"), "UNREADABLE"},
		{set("customerId", nil), "GUEST"},
		{set("sku", long), "UNREADABLE"},
		{set("category", "\x00"), "UNREADABLE"},
		{set("status", long), ""}, // an unknown word counts as a purchase
		{set("orderedAt", "9999-12-31T23:59:59Z"), "IMPOSSIBLE"},
		{set("orderedAt", "0000-01-01T00:00:00Z"), "IMPOSSIBLE"},
		{set("orderedAt", "1969-07-20T20:17:00Z"), "IMPOSSIBLE"},
		{set("refundedAt", "9999-12-31T23:59:59Z"), "IMPOSSIBLE"},
		{set("cancelledAt", "9999-12-31T23:59:59Z"), "IMPOSSIBLE"},
		{set("currency", "EURO"), "UNREADABLE"},
		{set("currency", long), "UNREADABLE"},
		{set("quantity", 0), "ZERO_QUANTITY"},
		{set("quantity", -2147483648), "IMPOSSIBLE"},
		{set("unitPrice", "-5.00"), "IMPOSSIBLE"},
		{set("unitPrice", nil), "UNREADABLE"},
		{set("unitPrice", "92233720368547758.07"), "IMPOSSIBLE"},
		{set("discount", "99999.00"), "IMPOSSIBLE"},
		{set("refunded", "-1.00"), "IMPOSSIBLE"},
		{set("lines", []any{}), "NO_LINES"},
	} {
		if c.order["orderId"] == "odd" {
			c.order["orderId"] = fmt.Sprint("odd ", i)
		}
		got := a.importOrders(t, "shop", []map[string]any{c.order, orderInput(fmt.Sprint("fine ", i), "fine", 2)})
		if len(got.Outcomes) != 2 || got.Outcomes[1].Status != "CREATED" {
			t.Errorf("case %d: %+v", i, got)
			continue
		}
		reason := ""
		if r := got.Outcomes[0].Reason; r != nil {
			reason = *r
		}
		if reason != c.reason || (reason != "") != (got.Outcomes[0].Status == "REJECTED") {
			t.Errorf("case %d, want %q: %s %s", i, c.reason, got.Outcomes[0].Status, reason)
		}
	}
	// What cannot be read as the schema says, or breaks a bound, refuses the whole call with a code.
	good := []map[string]any{orderInput("good", "good", 1)}
	wide := with(func(order, _ map[string]any) { order["lines"] = make([]map[string]any, 0) })
	var lines []map[string]any
	for range 20_001 {
		lines = append(lines, map[string]any{"quantity": 1})
	}
	wide["lines"] = lines
	for name, c := range map[string]struct {
		in   map[string]any
		want string
	}{
		"unknown store":       {map[string]any{"storeId": "nowhere", "orders": good}, `"NOT_FOUND"`},
		"store of zero bytes": {map[string]any{"storeId": "a\x00", "orders": good}, `"NOT_FOUND"`},
		"long store":          {map[string]any{"storeId": long, "orders": good}, `"NOT_FOUND"`},
		"no orders":           {map[string]any{"storeId": "shop", "orders": []any{}}, `"INVALID"`},
		"too many orders":     {map[string]any{"storeId": "shop", "orders": make1001()}, `"INVALID"`},
		"too many lines":      {map[string]any{"storeId": "shop", "orders": []any{wide}}, `"INVALID"`},
		"empty key":           {map[string]any{"storeId": "shop", "orders": good, "idempotencyKey": ""}, `"INVALID"`},
		"long key":            {map[string]any{"storeId": "shop", "orders": good, "idempotencyKey": long}, `"INVALID"`},
		"key of zero bytes":   {map[string]any{"storeId": "shop", "orders": good, "idempotencyKey": "\x00"}, `"INVALID"`},
		"quantity of 2^31":    {map[string]any{"storeId": "shop", "orders": []any{set("quantity", 1<<31)}}, "BAD_USER_INPUT"},
		"a fraction":          {map[string]any{"storeId": "shop", "orders": []any{set("quantity", 1.5)}}, "GRAPHQL_VALIDATION_FAILED"},
		"a price of letters":  {map[string]any{"storeId": "shop", "orders": []any{set("unitPrice", "ten")}}, "BAD_USER_INPUT"},
		"a price beyond 64":   {map[string]any{"storeId": "shop", "orders": []any{set("unitPrice", "1e400")}}, "BAD_USER_INPUT"},
		"no date":             {map[string]any{"storeId": "shop", "orders": []any{set("orderedAt", "yesterday")}}, "BAD_USER_INPUT"},
		"the year 10000":      {map[string]any{"storeId": "shop", "orders": []any{set("orderedAt", "9999-12-31T23:59:59-05:00")}}, "BAD_USER_INPUT"},
		"an unknown field":    {map[string]any{"storeId": "shop", "orders": []any{set("colour", "red")}}, "GRAPHQL_VALIDATION_FAILED"},
		"a list in a list":    {map[string]any{"storeId": "shop", "orders": []any{[]any{}}}, "code"},
		"null":                {map[string]any{"storeId": "shop", "orders": []any{nil}}, "code"},
		"over a megabyte":     {map[string]any{"storeId": "shop", "orders": []any{set("sku", strings.Repeat("x", 1<<20))}}, "BODY_LIMIT_EXCEEDED"},
	} {
		r := a.query(t, importQuery, map[string]any{"in": c.in})
		if !strings.Contains(r.Text, c.want) || strings.Contains(r.Text, "INTERNAL") {
			t.Errorf("%s: want %s, got %s", name, c.want, r.Text[:min(len(r.Text), 500)])
		}
	}
	var inline strings.Builder
	for i := range 500 {
		fmt.Fprintf(&inline, `{orderId: "%d", orderedAt: "2026-01-01T00:00:00Z", lines: [{quantity: 1}]} `, i)
	}
	if r := a.query(t, `mutation { importOrders(input: {storeId: "shop", orders: [`+inline.String()+`]}) { userErrors { code } } }`, nil); !strings.Contains(r.Text, "TOKEN_LIMIT_EXCEEDED") {
		t.Errorf("orders within the document: %s", r.Text)
	}
}

func make1001() []map[string]any {
	orders := make([]map[string]any, 1001)
	for i := range orders {
		orders[i] = map[string]any{"orderId": fmt.Sprint(i), "orderedAt": "2026-01-01T00:00:00Z", "lines": []any{}}
	}
	return orders
}

// TestImportOrdersAgain holds that a key gives the first answer again, run and all, and is refused with other orders.
func TestImportOrdersAgain(t *testing.T) {
	t.Parallel()
	a := newShop(t)
	orders := []map[string]any{orderInput("1", "new", 1), orderInput("2", "", 1)}
	first := a.importOrders(t, "shop", orders, "key")
	again := a.importOrders(t, "shop", orders, "key")
	if first.Run == nil || again.Run == nil || first.Run.ID != again.Run.ID || first.Outcomes[0].Status != "CREATED" || *first.Outcomes[1].Reason != "GUEST" {
		t.Fatalf("%+v, then %+v", first, again)
	}
	first.Run, again.Run = nil, nil // it has gone on
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	other := a.importOrders(t, "shop", orders[:1], "key")
	if other.Outcomes != nil || other.Counts != nil || len(other.UserErrors) != 1 || other.UserErrors[0].Code != "INVALID" || cmp.Diff(other.UserErrors[0].Field, []string{"input", "idempotencyKey"}) != "" {
		t.Errorf("other orders with the same key: %+v", other)
	}
	if r := a.send(t, http.MethodGet, "/graphql?query="+"mutation%7BimportOrders(input:%7BstoreId:%22shop%22,orders:[]%7D)%7BuserErrors%7Bcode%7D%7D%7D", "", nil); r.Status != http.StatusMethodNotAllowed {
		t.Errorf("a mutation by GET: %d %s", r.Status, r.Text)
	}
}

// TestCancelledInThePast holds that an order counted until its cancellation became known, and no longer.
func TestCancelledInThePast(t *testing.T) {
	t.Parallel()
	a := newShop(t)
	today := time.Now().UTC()
	o := orderInput("taken back", "fickle", 40)
	a.importOrders(t, "shop", []map[string]any{o, orderInput("kept", "fickle", 60)})
	o["cancelledAt"] = today.AddDate(0, 0, -10).Format(time.RFC3339)
	if got := a.importOrders(t, "shop", []map[string]any{o}); got.Outcomes[0].Status != "CHANGED" || *got.Outcomes[0].Reason != "CANCELLED" {
		t.Fatalf("%+v", got.Outcomes)
	}
	for daysAgo, want := range map[int]int{50: 1, 20: 2, 9: 1, 5: 1} {
		var got struct {
			Customer struct {
				OrderCount int
				Thumbprint []struct{ Status string }
			}
		}
		a.data(t, &got, `query ($day: Date) { customer(by: {key: {storeId: "shop", customerId: "fickle"}}, asOf: $day) { orderCount thumbprint { status } } }`,
			map[string]any{"day": today.AddDate(0, 0, -daysAgo).Format(time.DateOnly)})
		if got.Customer.OrderCount != want {
			t.Errorf("%d days ago the customer had %d orders, want %d", daysAgo, got.Customer.OrderCount, want)
		}
	}
}
