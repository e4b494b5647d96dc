package server_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket/wsjson"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/server"
)

const ask = `{"query":"{ stores(first: 1) { totalCount } }"}`

func TestQuotas(t *testing.T) {
	t.Parallel()
	a := newAPIWith(t, func(c *server.Config) { c.Quota = server.Quota{Rate: 0.001, Operations: 2, Subscriptions: 1} }, asItIs)
	if r := a.send(t, http.MethodPost, "/graphql", ask, nil); r.Status != 200 {
		t.Fatalf("who uses this machine: %d %s", r.Status, r.Text)
	}
	one, other := a.as(t, "", auth.Reader), a.as(t, "", auth.Reader)
	if r := one.send(t, http.MethodPost, "/graphql", ask, nil); r.Status != 200 {
		t.Errorf("the first: %d %s", r.Status, r.Text)
	}
	for name, header := range map[string]http.Header{"POST": nil, "another media type": {"Accept": {"application/graphql-response+json"}}} {
		r := one.send(t, http.MethodPost, "/graphql", ask, header)
		if r.Status != 429 || !slices.Equal(r.codes(), []string{"RATE_LIMITED"}) || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v %s", name, r.Status, r.Header, r.Text)
		}
	}
	if r := one.send(t, http.MethodPost, "/graphql", `{"query":"subscription { driftEvents { id } }"}`, http.Header{"Accept": {"text/event-stream"}}); !strings.Contains(r.Text, "RATE_LIMITED") {
		t.Errorf("events: %s", r.Text)
	}
	socket := one.dial(t)
	subscribeDrift(t, socket)
	if _, text, err := socket.Read(t.Context()); err != nil || !strings.Contains(string(text), "RATE_LIMITED") {
		t.Errorf("a socket: %s, %v", text, err)
	}
	if r := other.send(t, http.MethodPost, "/graphql", ask, nil); r.Status != 200 {
		t.Errorf("another token: %d %s", r.Status, r.Text)
	}
}

func TestSubscriptionsAtOnce(t *testing.T) {
	t.Parallel()
	a := newAPIWith(t, func(c *server.Config) { c.Quota = server.Quota{Rate: -1, Operations: 2, Subscriptions: 2} }, asItIs)
	one, other := a.as(t, "", auth.Reader), a.as(t, "", auth.Reader)
	socket := one.dial(t)
	for i := range 3 {
		check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": fmt.Sprint(i), "type": "subscribe", "payload": map[string]any{"query": `subscription { driftEvents { id } }`}}))
	}
	_, text, err := socket.Read(t.Context())
	if err != nil || !strings.Contains(string(text), "TOO_MANY_OPERATIONS") {
		t.Errorf("a third subscription: %s, %v", text, err)
	}
	// What one has given back it may take again; the server hears of it at its own time.
	check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": "0", "type": "complete"}))
	for i := 3; ; i++ {
		id := fmt.Sprint(i)
		check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": id, "type": "subscribe", "payload": map[string]any{"query": `subscription { driftEvents { id } }`}}))
		check(t, wsjson.Write(t.Context(), socket, map[string]any{"type": "ping"}))
		refused := false
		for {
			var m message
			check(t, wsjson.Read(t.Context(), socket, &m))
			if m.Type == "pong" {
				break
			}
			refused = refused || m.ID == id
		}
		if !refused || i > 1000 {
			break
		}
	}
	second := other.dial(t)
	subscribeDrift(t, second)
	check(t, wsjson.Write(t.Context(), second, map[string]any{"type": "ping"}))
	var m message
	if check(t, wsjson.Read(t.Context(), second, &m)); m.Type != "pong" {
		t.Errorf("another token's subscription was answered with %q", m.Type)
	}
}

// A body that does not come is not waited for longer than a request may take.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	a := newAPIWith(t, func(c *server.Config) { c.Timeout = 200 * time.Millisecond }, asItIs)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(a.url, "http://"))
	check(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	check(t, err)
	check(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	check(t, err)
	answer.Body.Close()
	if answer.StatusCode != 400 && answer.StatusCode != 408 {
		t.Errorf("status %d", answer.StatusCode)
	}
}

func sha(text string) string {
	hash := sha256.Sum256([]byte(text))
	return hex.EncodeToString(hash[:])
}

func TestPersistedQueries(t *testing.T) {
	t.Parallel()
	a := newEmptyAPI(t)
	const query = `{ stores(first: 1) { totalCount } }`
	body := func(query, hash string, version int) string {
		b, _ := json.Marshal(map[string]any{"query": query, "extensions": map[string]any{"persistedQuery": map[string]any{"version": version, "sha256Hash": hash}}}) // plain values always marshal
		return string(b)
	}
	for _, c := range []struct{ name, body, code string }{
		{"not known yet", body("", sha(query), 1), "PERSISTED_QUERY_NOT_FOUND"},
		{"another's hash", body(query, sha("x"), 1), "BAD_USER_INPUT"},
		{"another version", body(query, sha(query), 2), "BAD_USER_INPUT"},
		{"no object", `{"extensions":{"persistedQuery":7}}`, "BAD_USER_INPUT"},
		{"kept", body(query, sha(query), 1), ""},
		{"known", body("", sha(query), 1), ""},
		{"too long to keep", body(query+strings.Repeat(" ", 40_000), sha(query+strings.Repeat(" ", 40_000)), 1), ""},
		{"not kept", body("", sha(query+strings.Repeat(" ", 40_000)), 1), "PERSISTED_QUERY_NOT_FOUND"},
	} {
		r := a.send(t, http.MethodPost, "/graphql", c.body, nil)
		if codes := strings.Join(r.codes(), ","); codes != c.code || c.code == "" && !strings.Contains(r.Text, `"totalCount":0`) {
			t.Errorf("%s: %q, want %q: %.300s", c.name, codes, c.code, r.Text)
		}
	}
	extensions := url.QueryEscape(`{"persistedQuery":{"version":1,"sha256Hash":"` + sha(query) + `"}}`)
	if r := a.send(t, http.MethodGet, "/graphql?extensions="+extensions, "", nil); !strings.Contains(r.Text, `"totalCount":0`) {
		t.Errorf("by GET: %s", r.Text)
	}
	if r := a.send(t, http.MethodGet, "/graphql?extensions=x", "", nil); r.Status != 400 {
		t.Errorf("extensions that are no JSON: %d %s", r.Status, r.Text)
	}
}

func TestTrustedDocuments(t *testing.T) {
	t.Parallel()
	const query, event = `{ stores(first: 1) { totalCount } }`, `subscription { driftEvents { id } }`
	file, _ := json.Marshal(map[string]string{"sha256:" + sha(query): query, sha(event): event}) // texts always marshal
	trusted, err := server.ReadTrustedDocuments(file)
	check(t, err)
	a := newAPIWith(t, func(c *server.Config) { c.Trusted = trusted }, asItIs)
	post := func(body map[string]any) *reply {
		b, _ := json.Marshal(body) // plain values always marshal
		return a.send(t, http.MethodPost, "/graphql", string(b), nil)
	}
	byHash := func(hash string) map[string]any {
		return map[string]any{"extensions": map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hash}}}
	}
	for name, body := range map[string]map[string]any{"by text": {"query": query}, "by hash": byHash(sha(query))} {
		if r := post(body); !strings.Contains(r.Text, `"totalCount":0`) {
			t.Errorf("%s: %s", name, r.Text)
		}
	}
	for name, body := range map[string]map[string]any{"another text": {"query": query + " "}, "another hash": byHash(sha("x")), "the schema": {"query": "{ __schema { types { name } } }"}} {
		if r := post(body); !slices.Equal(r.codes(), []string{"DOCUMENT_NOT_TRUSTED"}) {
			t.Errorf("%s: %s", name, r.Text)
		}
	}
	socket := a.dial(t)
	check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": `subscription { driftEvents { id score } }`}}))
	if _, text, err := socket.Read(t.Context()); err != nil || !strings.Contains(string(text), "DOCUMENT_NOT_TRUSTED") {
		t.Errorf("over a socket: %s, %v", text, err)
	}
	for name, text := range map[string]string{
		"no JSON": "x", "nothing": "{}", "under another hash": `{"` + sha("x") + `":"{ health { status } }"}`, "unknown field": `{"` + sha("{ x }") + `":"{ x }"}`,
	} {
		if _, err := server.ReadTrustedDocuments([]byte(text)); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaAndExplorerBySetting(t *testing.T) {
	t.Parallel()
	a := newAPIWith(t, func(c *server.Config) { c.NoIntrospection, c.NoExplorer = true, true }, asItIs)
	for _, query := range []string{`{ __schema { types { name } } }`, `{ ...f } fragment f on Query { __type(name: "Store") { name } }`} {
		if r := a.query(t, query, nil); !slices.Equal(r.codes(), []string{"FORBIDDEN"}) {
			t.Errorf("%s: %s", query, r.Text)
		}
	}
	if r := a.query(t, `{ stors(first: 1) { totalCount } }`, nil); !slices.Equal(r.codes(), []string{"GRAPHQL_VALIDATION_FAILED"}) || strings.Contains(r.Text, "stores") {
		t.Errorf("a slip of the pen is told names: %s", r.Text)
	}
	if r := a.query(t, `{ __typename stores(first: 1) { totalCount } }`, nil); len(r.Errors) > 0 {
		t.Errorf("a query without introspection: %s", r.Text)
	}
	if r := a.send(t, http.MethodGet, "/explorer/", "", nil); r.Status != 404 {
		t.Errorf("the explorer: %d", r.Status)
	}
}

// @oneOf holds for variables too, wherever they are used.
func TestOneOfHoldsForVariables(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	key := map[string]any{"storeId": "shop", "customerId": "c000"}
	const query = `query ($by: CustomerBy!) { customer(by: $by) { customerId } }`
	const mutation = `mutation ($in: ExportCustomerInput!) { exportCustomer(input: $in) { document } }`
	for _, c := range []struct {
		query string
		value map[string]any
		ok    bool
	}{
		{query, map[string]any{"by": map[string]any{"key": key}}, true},
		{query, map[string]any{"by": map[string]any{"key": key, "id": "x"}}, false},
		{query, map[string]any{"by": map[string]any{"key": key, "id": nil}}, false},
		{query, map[string]any{"by": map[string]any{"id": nil}}, false},
		{query, map[string]any{"by": map[string]any{}}, false},
		{mutation, map[string]any{"in": map[string]any{"customer": map[string]any{"key": key}}}, true},
		{mutation, map[string]any{"in": map[string]any{"customer": map[string]any{"key": key, "id": "x"}}}, false},
	} {
		r := a.query(t, c.query, c.value)
		if refused := slices.Equal(r.codes(), []string{"BAD_USER_INPUT"}); refused == c.ok || !c.ok && strings.Contains(r.Text, `"data"`) {
			t.Errorf("%v: %.300s", c.value, r.Text)
		}
	}
}
