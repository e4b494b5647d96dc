package server_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/server"
)

// hostileRequests is how many are sent: some hundreds, or as QUIMBI_HOSTILE says.
func hostileRequests(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("QUIMBI_HOSTILE"))
	if err != nil {
		return 400
	}
	return n
}

// TestHostileRequests sends whatever a stranger, or a reader of one store, could think of: nothing breaks, nothing of another
// store comes back, and legal queries are answered meanwhile. It is not parallel, since it weighs the heap.
func TestHostileRequests(t *testing.T) {
	a := newAPIWith(t, func(c *server.Config) { c.Quota = unlimited }, func(l net.Listener) net.Listener { return l })
	fill(t, a.db)
	fillStore(t, a.db, "rival", func(i int) string { return fmt.Sprintf("rival-%03d", i) })
	h := &hostile{api: a.as(t, "shop", auth.Reader), foreign: a.as(t, "", auth.Admin).foreignIDs(t)}
	n := hostileRequests(t)
	h.send(t, 1, 100) // what is kept once is there
	before := heap()
	ctx, stop := context.WithCancel(t.Context())
	var legal sync.WaitGroup
	answered, longest := 0, time.Duration(0)
	legal.Go(func() {
		for ctx.Err() == nil {
			begin := time.Now()
			if r := h.api.query(t, `{ store(key: "shop") { customerCount axes { key } } }`, nil); r.Status != http.StatusOK || len(r.Errors) > 0 {
				t.Errorf("a legal query: status %d: %.300s", r.Status, r.Text)
			}
			answered, longest = answered+1, max(longest, time.Since(begin))
		}
	})
	const senders = 8
	var group sync.WaitGroup
	begin := time.Now()
	for s := range senders {
		group.Go(func() { h.send(t, uint64(s+2), n/senders) })
	}
	group.Wait()
	took := time.Since(begin)
	stop()
	legal.Wait()
	after := heap()
	t.Logf("%d hostile requests in %s; statuses %v; %d legal queries answered, the longest in %s; heap %.1f MB before, %.1f MB after",
		n, took.Round(time.Millisecond), h.statuses, answered, longest.Round(time.Millisecond), before, after)
	if after > before+50 {
		t.Errorf("the heap grew from %.1f MB to %.1f MB", before, after)
	}
	if answered == 0 || longest > 10*time.Second {
		t.Errorf("%d legal queries were answered, the longest in %s", answered, longest)
	}
	if text := a.log.String(); strings.Contains(text, "panic") {
		t.Errorf("the log tells of a panic: %.2000s", text)
	}
}

// heap is what is in use, in MB, after what is not has gone.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// foreignIDs are identifiers and a cursor of store rival.
func (a *api) foreignIDs(t *testing.T) []string {
	t.Helper()
	var got struct {
		Store struct {
			ID        string
			LatestRun struct{ ID string }
			Model     struct{ ID string }
			Axis      struct {
				ID           string
				RootSegments []struct{ ID string }
			}
		}
		Customers struct {
			Nodes []struct {
				ID             string
				LatestSnapshot struct{ ID string }
			}
			PageInfo struct{ EndCursor string }
		}
		DriftEvents struct{ Nodes []struct{ ID string } }
	}
	a.data(t, &got, `{ store(key: "rival") { id latestRun { id } model { id } axis(key: "purchase_frequency") { id rootSegments { id } } }
  customers(filter: {storeId: "rival"}, first: 3) { nodes { id latestSnapshot { id } } pageInfo { endCursor } } driftEvents(filter: {storeId: "rival"}, first: 2) { nodes { id } } }`, nil)
	c := got.Customers.Nodes[0]
	return []string{
		got.Store.ID, got.Store.LatestRun.ID, got.Store.Model.ID, got.Store.Axis.ID, got.Store.Axis.RootSegments[0].ID, c.ID, c.LatestSnapshot.ID,
		got.DriftEvents.Nodes[0].ID, got.Customers.PageInfo.EndCursor,
	}
}

// hostile sends requests and looks at every answer.
type hostile struct {
	api     *api
	foreign []string

	mu       sync.Mutex
	statuses map[int]int
}

// attack is a request: a body for POST /graphql unless told.
type attack struct {
	method, path, body string
	header             http.Header
}

// attacks make one request each.
var attacks = []func(*rand.Rand, *hostile) attack{
	brokenJSON, binary, deepNesting, aliasFlood, giantPage, wrongType, foreignID, badCursor, badToken, hugeBody, fragmentBomb,
	oddDocument, oddRequest, dearDocument, longText, foreignWrite,
}

func (h *hostile) send(t *testing.T, seed uint64, n int) {
	random := rand.New(rand.NewPCG(seed, 7))
	for i := range n {
		kind := (i + int(seed)) % (len(attacks) + 1)
		if kind == len(attacks) {
			h.socket(t, random)
			continue
		}
		h.try(t, kind, attacks[kind](random, h))
	}
}

func (h *hostile) try(t *testing.T, kind int, x attack) {
	if x.method == "" {
		x.method, x.path = http.MethodPost, "/graphql"
	}
	request, err := http.NewRequestWithContext(t.Context(), x.method, h.api.url+x.path, bytes.NewReader([]byte(x.body)))
	if err != nil {
		t.Errorf("attack %d cannot be sent: %v", kind, err)
		return
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+h.api.token)
	for key, values := range x.header {
		request.Header[key] = values
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		if len(x.body) < 1<<20 { // the server closes early on whoever sends more
			t.Errorf("attack %d: %v: %.200q", kind, err, x.body)
		}
		return
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	h.mu.Lock()
	if h.statuses == nil {
		h.statuses = map[int]int{}
	}
	h.statuses[response.StatusCode]++
	h.mu.Unlock()
	if response.StatusCode >= 500 || bytes.Contains(text, []byte(`"INTERNAL"`)) {
		t.Errorf("attack %d: status %d: %.300s\nto %.300q", kind, response.StatusCode, text, x.body)
	}
	// What was sent may be named in a message, rows may not come back.
	if bytes.Contains(text, []byte("rival-")) {
		t.Errorf("attack %d got something of another store: %.300s\nto %.300q", kind, text, x.body)
	}
}

// socket sends noise over a WebSocket; the server may close it and nothing else.
func (h *hostile) socket(t *testing.T, random *rand.Rand) {
	options := &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}}
	socket, response, err := websocket.Dial(t.Context(), strings.Replace(h.api.url, "http", "ws", 1)+"/graphql", options)
	if err != nil {
		t.Errorf("no socket: %v", err)
		return
	}
	if response.Body != nil {
		defer response.Body.Close()
	}
	defer func() { _ = socket.CloseNow() }()
	messages := []string{
		`{"type":"connection_init"}`, `{"type":"connection_init","payload":{"Authorization":"Bearer x"}}`, `{"type":"connection_init","payload":[1]}`,
		`{"type":"subscribe"}`, `{"id":"1","type":"subscribe","payload":"x"}`, `{"type":"nothing"}`, `{`, string(noise(random, 300)),
		`{"id":"1","type":"subscribe","payload":{"query":"subscription { driftEvents(after: \"` + h.any(random) + `\") { id customer { customerId } } }"}}`,
		`{"id":"1","type":"subscribe","payload":{"query":"` + strings.Repeat("{a", 500) + `"}}`,
	}
	for range 3 {
		if socket.Write(t.Context(), websocket.MessageText, []byte(messages[random.IntN(len(messages))])) != nil {
			return
		}
	}
}

// any is some identifier of another store.
func (h *hostile) any(random *rand.Rand) string { return h.foreign[random.IntN(len(h.foreign))] }

func document(query string, variables any) attack {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err) // the variables are made here
	}
	return attack{body: string(body)}
}

func noise(random *rand.Rand, most int) []byte {
	raw := make([]byte, 1+random.IntN(most))
	for i := range raw {
		raw[i] = byte(random.Uint32())
	}
	return raw
}

func brokenJSON(random *rand.Rand, _ *hostile) attack {
	whole := document(`query ($k: String!) { store(key: $k) { key axes { key rootSegments { name } } } }`, map[string]any{"k": "shop"}).body
	cut := []byte(whole[:random.IntN(len(whole))])
	if len(cut) > 0 && random.IntN(2) == 0 {
		cut[random.IntN(len(cut))] = byte(random.Uint32())
	}
	return attack{body: string(cut)}
}

func binary(random *rand.Rand, _ *hostile) attack {
	if random.IntN(2) == 0 {
		return attack{body: string(noise(random, 5000))}
	}
	return document(`{ store(key: "`+string(noise(random, 200))+`") { key } }`, nil)
}

func deepNesting(random *rand.Rand, _ *hostile) attack {
	n := 10 + random.IntN(3000)
	switch random.IntN(4) {
	case 0:
		return attack{body: strings.Repeat("[", n)}
	case 1:
		return attack{body: `{"query":"{ __typename }","variables":{"a":` + strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) + "}}"}
	case 2:
		return document(`{ store(key: "shop") { axis(key: "purchase_frequency") { rootSegments { `+strings.Repeat("children { ", n)+"path"+strings.Repeat(" }", n)+" } } } }", nil)
	default:
		return document("{ nodes(ids: "+strings.Repeat("[", n)+strings.Repeat("]", n)+") { id } }", nil)
	}
}

func aliasFlood(random *rand.Rand, _ *hostile) attack {
	return document("{"+aliases(20+random.IntN(400))+"}", nil)
}

func giantPage(random *rand.Rand, _ *hostile) attack {
	sizes := []string{"1000000", "2147483647", "2147483648", "99999999999999999999", "-1", "0", "1e3", "null"}
	return document(`{ customers(first: `+sizes[random.IntN(len(sizes))]+`) { nodes { snapshots(last: `+sizes[random.IntN(len(sizes))]+`) { totalCount } } } }`, nil)
}

func wrongType(random *rand.Rand, _ *hostile) attack {
	values := []any{1, 1.5, true, nil, "", "x", []any{}, []any{nil}, map[string]any{}, map[string]any{"key": 1}, map[string]any{"id": "a", "key": nil}, "1998-13-45", 1e300, -1, "9223372036854775808"}
	documents := []string{
		`query ($v: CustomerBy!) { customer(by: $v) { id } }`, `query ($v: ID!) { node(id: $v) { id } }`, `query ($v: [ID!]!) { nodes(ids: $v) { id } }`,
		`query ($v: Date) { customers(asOf: $v, first: 1) { totalCount } }`, `query ($v: DateRange) { customer(by: {key: {storeId: "shop", customerId: "c000"}}) { timeline(range: $v) { dates } } }`,
		`query ($v: CustomerFilter) { customers(filter: $v, first: 1) { totalCount } }`, `query ($v: Int) { customers(first: $v) { totalCount } }`,
		`query ($v: DecimalRange) { customers(filter: {totalValue: $v}, first: 1) { totalCount } }`, `query ($v: [String!]) { store(key: "shop") { axes(keys: $v) { key } } }`,
		`mutation ($v: ReclusterInput!) { recluster(input: $v) { userErrors { code } } }`, `mutation ($v: ImportOrdersInput!) { importOrders(input: $v) { userErrors { code } } }`,
	}
	return document(documents[random.IntN(len(documents))], map[string]any{"v": values[random.IntN(len(values))]})
}

func foreignID(random *rand.Rand, h *hostile) attack {
	id := h.any(random)
	switch random.IntN(6) {
	case 0:
		return document(`query ($id: ID!) { node(id: $id) { id ... on Customer { customerId } ... on Segment { members(first: 5) { nodes { customerId } } } ... on Snapshot { customer { customerId } } } }`, map[string]any{"id": id})
	case 1:
		return document(`query ($id: ID!) { customer(by: {id: $id}) { customerId } run(id: $id) { id } }`, map[string]any{"id": id})
	case 2:
		return document(`query ($id: ID!) { customers(filter: {segmentIds: [$id]}, first: 5) { nodes { customerId } } driftEvents(filter: {toSegmentIds: [$id]}, first: 5) { nodes { customer { customerId } } } }`, map[string]any{"id": id})
	case 3:
		return document(`{ store(key: "rival") { key customerCount } customers(filter: {storeId: "rival"}, first: 5) { nodes { customerId } } }`, nil)
	case 4:
		return document(`{ customer(by: {key: {storeId: "rival", customerId: "rival-001"}}) { totalValue } }`, nil)
	default: // every kind with every number of a store, customer and event
		made := model.ID{Kind: []model.Kind{model.KindStore, model.KindCustomer, model.KindEvent, model.KindModel}[random.IntN(4)], Store: int32(random.IntN(6)), Customer: int64(random.IntN(400)), Event: int64(random.IntN(60)), Version: 1}
		return document(`query ($id: ID!) { node(id: $id) { id ... on Customer { customerId store { key } } ... on DriftEvent { customer { customerId } } } }`, map[string]any{"id": made.String()})
	}
}

// foreignWrite tries to change another store, and its own as a mere reader.
func foreignWrite(random *rand.Rand, h *hostile) attack {
	store := []string{"rival", "shop", "nowhere"}[random.IntN(3)]
	return document([]string{
		`mutation ($s: String!) { recluster(input: {storeId: $s}) { run { id } userErrors { code } } }`,
		`mutation ($s: String!) { exportCustomer(input: {customer: {key: {storeId: $s, customerId: "rival-001"}}}) { document } }`,
		`mutation ($s: String!) { eraseCustomer(input: {customer: {key: {storeId: $s, customerId: "rival-001"}}}) { receipt { hash } } }`,
		`mutation ($s: String!) { updateStore(input: {storeId: $s, name: "mine"}) { store { name } userErrors { code } } }`,
		`mutation ($s: String!) { importOrders(input: {storeId: $s, orders: []}) { userErrors { code } } }`,
		`mutation ($s: String!) { createSnapshots(input: {storeId: $s, type: DAILY}) { run { id } userErrors { code } } }`,
	}[random.IntN(6)], map[string]any{"s": store})
}

func badCursor(random *rand.Rand, h *hostile) attack {
	cursor := string(noise(random, 100))
	switch random.IntN(4) {
	case 0:
		cursor = h.foreign[len(h.foreign)-1]
	case 1:
		cursor = base64.RawURLEncoding.EncodeToString(noise(random, 100))
	case 2:
		cursor = base64.RawURLEncoding.EncodeToString([]byte(`customers CUSTOMER_ID ASC {"Key":"\u0000","ID":99999999999999999999}`))
	}
	return document(`query ($c: String) { customers(first: 5, after: $c) { nodes { customerId } } driftEvents(last: 5, before: $c) { nodes { customer { customerId } } } }`, map[string]any{"c": cursor})
}

func badToken(random *rand.Rand, _ *hostile) attack {
	x := document(`{ customers(filter: {storeId: "rival"}, first: 5) { nodes { customerId } } }`, nil)
	tokens := []string{"", "Bearer", "Bearer ", "Bearer x", "Basic YWRtaW46YWRtaW4=", "Bearer " + strings.Repeat("a", 8000), "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlIjoiQURNSU4ifQ.", "Bearer " + base64.StdEncoding.EncodeToString(noise(random, 100)), "bearer null"}
	x.header = http.Header{"Authorization": {tokens[random.IntN(len(tokens))]}}
	return x
}

func hugeBody(random *rand.Rand, _ *hostile) attack {
	n := 1<<20 - 50 + random.IntN(1<<20)
	return attack{body: `{"query":"{ __typename }","variables":{"a":"` + strings.Repeat("x", n) + `"}}`}
}

func fragmentBomb(random *rand.Rand, _ *hostile) attack {
	if random.IntN(2) == 0 {
		return document(fragments(5+random.IntN(60)), nil)
	}
	return document(`{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }`, nil)
}

func oddDocument(random *rand.Rand, _ *hostile) attack {
	n := 1 + random.IntN(300)
	return document([]string{
		"", " ", "#", "{", "}", "query", "{ a", strings.Repeat("query A { __typename } ", n), "{ __typename " + strings.Repeat("@skip(if: false) ", n) + "}",
		"query (" + strings.Repeat("$a: Int ", n) + ") { __typename }", `{ store(key: """` + strings.Repeat("\"", n) + `) { key } }`, "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } }",
		"subscription { driftEvents { id } }", "extend type Query { a: Int }", "type Query { a: Int }", "{ \\u0000 }", "\ufeff{ __typename }", "{ store(key: \"\\ud800\") { key } }",
	}[random.IntN(18)], nil)
}

func oddRequest(random *rand.Rand, _ *hostile) attack {
	methods := []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "POST"}
	paths := []string{"/graphql", "/graphql?query=%7B__typename%7D&variables=%7B", "/graphql?query=mutation%7Brecluster%7D", "/graphql/../metrics", "/explorer/../../etc/passwd", "/webhooks/shopify/rival", "/%00", "/graphql?" + strings.Repeat("a=b&", 2000)}
	headers := []http.Header{
		{"Content-Type": {"text/plain"}},
		{"Content-Type": {"application/json; charset=utf-16"}},
		{"Accept": {"text/event-stream"}},
		{"Accept": {"image/png"}},
		{"Upgrade": {"websocket"}},
		{"Content-Encoding": {"gzip"}},
		{"X-Request-Id": {strings.Repeat("x", 500)}},
		{"Traceparent": {"00-x"}},
		{"Origin": {"https://evil.example"}},
		{"Cookie": {strings.Repeat("a=b; ", 200)}},
	}
	return attack{method: methods[random.IntN(len(methods))], path: paths[random.IntN(len(paths))], body: `{"query":"{ __typename }"}`, header: headers[random.IntN(len(headers))]}
}

// dearDocument is legal but for its cost; each has another text, as if to fill the cache of parsed documents.
func dearDocument(random *rand.Rand, _ *hostile) attack {
	return document(fmt.Sprintf(`query q%d { customers(first: 100) { nodes { %s snapshots(first: 100) { nodes { customer { driftEvents(first: 100) { nodes { id } } } } } } } }`, random.Uint64(), strings.Repeat("customerId orderCount ", 400)), nil)
}

func longText(random *rand.Rand, _ *hostile) attack {
	long := strings.Repeat([]string{"a", "ü", "%", "'", "\\", "\x01"}[random.IntN(6)], 1000+random.IntN(100_000))
	return document(`query ($t: String!) { customer(by: {key: {storeId: "shop", customerId: $t}}) { id } customers(filter: {customerIdPrefix: $t}, first: 1) { totalCount } store(key: $t) { key } }`, map[string]any{"t": long})
}

// goroutinesBack waits until there are no more than before, for a while.
func goroutinesBack(t *testing.T, before int) int {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if runtime.NumGoroutine() <= before {
			break
		}
		<-tick.C
	}
	return runtime.NumGoroutine()
}

// quantile of durations, which it sorts.
func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(len(list)-1, int(q*float64(len(list))))]
}
