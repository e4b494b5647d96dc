package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/quimbi/quimbi/graph"
	"github.com/quimbi/quimbi/internal/auth"
)

func TestTokensAreNeededOnceThereIsOne(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	post := func(query string) string {
		body, _ := json.Marshal(map[string]string{"query": query}) // strings always marshal
		return string(body)
	}
	var got struct{ Stores struct{ TotalCount int } }
	a.data(t, &got, `{ stores(first: 1) { totalCount } }`, nil) // nobody has a token yet
	reader := a.as(t, "shop", auth.Reader)
	reader.data(t, &got, `{ stores(first: 1) { totalCount } }`, nil)
	bearer := func(value string) http.Header { return http.Header{"Authorization": {value}} }
	stream := http.Header{"Accept": {"text/event-stream"}}
	const stores = `{ stores(first: 1) { totalCount } }`
	for _, c := range []struct {
		name, method, path, body string
		header                   http.Header
		status                   int
		code                     string
	}{
		{"no token", "POST", "/graphql", post(stores), nil, 401, "UNAUTHENTICATED"},
		{"no token, GET", "GET", "/graphql?query=" + url.QueryEscape(stores), "", nil, 401, "UNAUTHENTICATED"},
		{"no token, events", "POST", "/graphql", post(`subscription { driftEvents { id } }`), stream, 401, "UNAUTHENTICATED"},
		{"no token, mutation", "POST", "/graphql", post(`mutation { recluster(input: {storeId: "shop"}) { run { id } } }`), nil, 401, "UNAUTHENTICATED"},
		{"health and more", "POST", "/graphql", post(`{ health { status } stores(first: 1) { totalCount } }`), nil, 401, "UNAUTHENTICATED"},
		{"more in a fragment", "POST", "/graphql", post(`{ health { status } ...f } fragment f on Query { stores(first: 1) { totalCount } }`), nil, 401, "UNAUTHENTICATED"},
		{"more deep in fragments", "POST", "/graphql", post(`{ ...f } fragment f on Query { ...g } fragment g on Query { stores(first: 1) { totalCount } }`), nil, 401, "UNAUTHENTICATED"},
		{"under another name", "POST", "/graphql", post(`{ health: stores(first: 1) { totalCount } }`), nil, 401, "UNAUTHENTICATED"},
		{"the schema", "POST", "/graphql", post(`{ __schema { types { name } } }`), nil, 401, "UNAUTHENTICATED"},
		{"a faulty document", "POST", "/graphql", post(`{ stres }`), nil, 401, "UNAUTHENTICATED"},
		{"another scheme", "POST", "/graphql", post(stores), bearer("Basic " + reader.token), 401, "UNAUTHENTICATED"},
		{"no scheme", "POST", "/graphql", post(stores), bearer(reader.token), 401, "UNAUTHENTICATED"},
		{"an empty token", "POST", "/graphql", post(stores), bearer("Bearer "), 401, "UNAUTHENTICATED"},
		{"two tokens", "POST", "/graphql", post(stores), http.Header{"Authorization": {"Bearer " + reader.token, "Bearer " + reader.token}}, 401, "UNAUTHENTICATED"},
		{"a wrong token", "POST", "/graphql", post(stores), bearer("Bearer " + strings.ToUpper(reader.token)), 401, "UNAUTHENTICATED"},
		{"a wrong token, health", "POST", "/graphql", post(`{ health { status } }`), bearer("Bearer quimbi_x"), 401, "UNAUTHENTICATED"},
		{"a wrong token, newer media type", "POST", "/graphql", post(stores), http.Header{"Authorization": {"Bearer quimbi_x"}, "Accept": {"application/graphql-response+json"}}, 401, "UNAUTHENTICATED"},
		{"a token in the URL", "POST", "/graphql?access_token=" + reader.token, post(stores), nil, 400, "BAD_USER_INPUT"},
		{"a token in the URL, GET", "GET", "/graphql?Token=" + reader.token + "&query=" + url.QueryEscape(stores), "", bearer("Bearer " + reader.token), 400, "BAD_USER_INPUT"},
		{"metrics without a token", "GET", "/metrics", "", nil, 401, "UNAUTHENTICATED"},
		{"metrics with a store's token", "GET", "/metrics", "", bearer("Bearer " + reader.token), 403, "FORBIDDEN"},
		{"a page of another origin", "POST", "/graphql", post(stores), http.Header{"Authorization": {"Bearer " + reader.token}, "Origin": {"https://evil.example"}}, 403, "FORBIDDEN"},
		{"a page without an origin", "POST", "/graphql", post(stores), http.Header{"Authorization": {"Bearer " + reader.token}, "Origin": {"null"}}, 403, "FORBIDDEN"},
	} {
		r := a.send(t, c.method, c.path, c.body, c.header)
		if r.Status != c.status || !slices.Contains(r.codes(), c.code) || strings.Contains(r.Text, "totalCount") || strings.Contains(r.Text, `"data"`) {
			t.Errorf("%s: status %d, want %d with %s: %.400s", c.name, r.Status, c.status, c.code, r.Text)
		}
		if (r.Header.Get("WWW-Authenticate") != "") != (c.status == 401) {
			t.Errorf("%s: WWW-Authenticate is %q", c.name, r.Header.Get("WWW-Authenticate"))
		}
	}

	// What nobody may know is not told with health either.
	r := a.query(t, `{ health { status version snapshotsEnabled totalSnapshots snapshotsByType { count } oldestSnapshot newestSnapshot lastRun { id } checks { name } } }`, nil)
	if want := `{"health":{"status":"OK","version":"test","snapshotsEnabled":true,"totalSnapshots":null,"snapshotsByType":null,"oldestSnapshot":null,"newestSnapshot":null,"lastRun":null,"checks":null}}`; r.Status != 200 || string(r.Data) != want {
		t.Errorf("health without a token: %s", r.Text)
	}
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 200, "/explorer/": 200} {
		if r := a.send(t, http.MethodGet, path, "", nil); r.Status != status {
			t.Errorf("%s without a token: status %d", path, r.Status)
		}
	}
	if r := a.as(t, "", auth.Reader).send(t, http.MethodGet, "/metrics", "", nil); r.Status != 200 {
		t.Errorf("metrics with a token for all stores: %d %s", r.Status, r.Text)
	}
	// A host of another name is no danger where every request needs a token.
	if r := reader.send(t, http.MethodPost, "/graphql", post(stores), http.Header{"Host": {"quimbi.example"}}); r.Status != 200 {
		t.Errorf("by the name of a proxy: %d %s", r.Status, r.Text)
	}
	for name, secret := range map[string]string{"reader's": reader.token, "upper case": strings.ToUpper(reader.token)} {
		if strings.Contains(a.log.String(), secret) {
			t.Errorf("the log holds the %s token: %s", name, a.log)
		}
	}
}

// Whoever comes by way of a proxy is not on this machine.
func TestAProxyIsNotThisMachine(t *testing.T) {
	t.Parallel()
	a := newEmptyAPI(t)
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"} {
		r := a.send(t, http.MethodPost, "/graphql", `{"query":"{ stores(first: 1) { totalCount } }"}`, http.Header{http.CanonicalHeaderKey(name): {"203.0.113.9"}})
		if r.Status != 401 {
			t.Errorf("%s: status %d: %s", name, r.Status, r.Text)
		}
	}
	if r := a.send(t, http.MethodPost, "/graphql", `{"query":"{ health { status } }"}`, http.Header{"Origin": {"https://evil.example"}}); r.Status != 403 {
		t.Errorf("another origin's page on an open server: status %d: %s", r.Status, r.Text)
	}
	if r := a.send(t, http.MethodPost, "/graphql", `{"query":"{ health { status } }"}`, http.Header{"Origin": {a.url}}); r.Status != 200 {
		t.Errorf("the server's own page: status %d: %s", r.Status, r.Text)
	}
	if r := a.send(t, http.MethodGet, "/graphql?query="+url.QueryEscape(`{ health { status } }`), "", http.Header{"Sec-Fetch-Site": {"cross-site"}}); r.Status != 403 {
		t.Errorf("an image of another site: status %d: %s", r.Status, r.Text)
	}
	r := a.send(t, http.MethodOptions, "/graphql", "", http.Header{"Origin": {"https://dash.example"}, "Access-Control-Request-Method": {"POST"}})
	if r.Status != 204 || r.Header.Get("Access-Control-Allow-Origin") != "https://dash.example" || !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("asking beforehand for a listed origin: %d %v", r.Status, r.Header)
	}
	r = a.send(t, http.MethodOptions, "/graphql", "", http.Header{"Origin": {"https://dash.example.evil"}, "Access-Control-Request-Method": {"POST"}})
	if r.Status != 403 || r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("asking beforehand for another: %d %v", r.Status, r.Header)
	}
}

// needed says what each mutation is for; one that is not here fails the test below.
var needed = map[string]auth.Role{
	"renameSegment": auth.Operator,
	"importOrders":  auth.Operator, "recluster": auth.Operator, "cancelRun": auth.Operator, "createSnapshot": auth.Operator, "createSnapshots": auth.Operator,
	"replaySnapshots": auth.Operator, "backtest": auth.Operator, "cleanupSnapshots": auth.Admin, "updateStore": auth.Admin, "exportCustomer": auth.Admin, "eraseCustomer": auth.Admin,
}

func TestRoles(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	callers := map[auth.Role]*api{}
	for _, role := range []auth.Role{auth.Reader, auth.Operator, auth.Admin} {
		callers[role] = a.as(t, "shop", role)
	}
	for _, mutation := range graph.NewExecutableSchema(graph.Config{}).Schema().Mutation.Fields {
		least, known := needed[mutation.Name]
		if !known {
			t.Errorf("%s: say in needed, and by @requiresRole, who may", mutation.Name)
			continue
		}
		// The probes name another store, so that nothing happens where the role is enough.
		var p probe
		for place, found := range probes {
			if strings.HasPrefix(place, "Mutation."+mutation.Name+".") {
				p = found
			}
		}
		for role, caller := range callers {
			value := p.value(&foreign{Key: "nowhere", Customer: "x", Run: "x"})
			r := caller.query(t, p.document, map[string]any{"x": value})
			if forbidden := slices.Contains(r.codes(), "FORBIDDEN"); forbidden != (role < least) {
				t.Errorf("%s as %s: %s", mutation.Name, role, r.Text)
			}
		}
	}
}

// A socket ends within seconds of the revocation of its token, and one of this machine once access is set up.
func TestSocketsEndWithTheirTokens(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	local := a.dial(t)
	subscribeDrift(t, local)
	reader := a.as(t, "shop", auth.Reader)
	ended(t, local, 4401, "a socket of this machine once there is a token")

	socket := reader.dial(t)
	subscribeDrift(t, socket)
	events := reader.events(t)
	tokens, err := a.db.Tokens(t.Context())
	check(t, err)
	other := a.as(t, "shop", auth.Reader)
	stays := other.dial(t)
	check(t, a.db.RevokeToken(t.Context(), tokens[0].ID))
	ended(t, socket, 4401, "a socket of a revoked token")
	if text := <-events; !strings.Contains(text, "UNAUTHENTICATED") || !strings.Contains(text, "event: complete") {
		t.Errorf("events of a revoked token ended with %q", text)
	}
	if r := reader.query(t, `{ stores(first: 1) { totalCount } }`, nil); r.Status != 401 {
		t.Errorf("a revoked token: status %d", r.Status)
	}
	check(t, wsjson.Write(t.Context(), stays, map[string]any{"type": "ping"}))
	var m message
	if check(t, wsjson.Read(t.Context(), stays, &m)); m.Type != "pong" {
		t.Errorf("a socket of another token was told %q", m.Type)
	}
}

func subscribeDrift(t *testing.T, socket *websocket.Conn) {
	t.Helper()
	check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": `subscription { driftEvents { id } }`}}))
}

// events subscribes by server-sent events, and gives a channel with all that came when they end.
func (a *api) events(t *testing.T) <-chan string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+"/graphql", strings.NewReader(`{"query":"subscription { driftEvents { id } }"}`))
	check(t, err)
	request.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	response, err := http.DefaultClient.Do(request)
	check(t, err)
	if response.StatusCode != 200 {
		t.Fatalf("events: status %d", response.StatusCode)
	}
	all, finished := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(finished)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			text = append(text, err.Error()...)
		}
		all <- string(text)
	}()
	t.Cleanup(func() { <-finished })
	return all
}

// ended waits until the server closes a socket, with a code.
func ended(t *testing.T, socket *websocket.Conn, code websocket.StatusCode, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, _, err := socket.Read(ctx); err != nil {
			if websocket.CloseStatus(err) != code {
				t.Errorf("%s: want it closed with %d, got %v", what, code, err)
			}
			return
		}
	}
}

func TestSocketsNeedTokens(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	reader := a.as(t, "shop", auth.Reader)
	dial := func(header http.Header) *websocket.Conn {
		socket, response, err := websocket.Dial(t.Context(), strings.Replace(a.url, "http", "ws", 1)+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: header})
		if response != nil && response.Body != nil {
			defer response.Body.Close()
		}
		if err != nil {
			return nil
		}
		t.Cleanup(func() { _ = socket.CloseNow() })
		return socket
	}
	for name, payload := range map[string]any{
		"nothing": nil, "a wrong token": map[string]any{"Authorization": "Bearer quimbi_x"}, "no scheme": map[string]any{"Authorization": reader.token},
		"another thing": map[string]any{"Authorization": 7}, "another name": map[string]any{"token": reader.token},
	} {
		socket := dial(nil)
		check(t, wsjson.Write(t.Context(), socket, map[string]any{"type": "connection_init", "payload": payload}))
		var err error
		for err == nil {
			var text []byte
			if _, text, err = socket.Read(t.Context()); strings.Contains(string(text), "connection_ack") {
				t.Errorf("%s was let in", name)
			}
		}
		if code := websocket.CloseStatus(err); code != 4401 {
			t.Errorf("%s: closed with %d, %v", name, code, err)
		}
	}
	// In connection_init, or with the request; under Origins of one's own or of the list.
	reader.dial(t)
	for origin, in := range map[string]bool{a.url: true, "https://dash.example": true, "https://evil.example": false, "null": false, "http://127.0.0.1:1": false} {
		socket := dial(http.Header{"Authorization": {"Bearer " + reader.token}, "Origin": {origin}})
		if (socket != nil) != in {
			t.Errorf("origin %s: connected %v, want %v", origin, socket != nil, in)
		}
		if socket == nil {
			continue
		}
		check(t, wsjson.Write(t.Context(), socket, map[string]any{"type": "connection_init"}))
		var m message
		if check(t, wsjson.Read(t.Context(), socket, &m)); m.Type != "connection_ack" {
			t.Errorf("a token with the request was answered with %q", m.Type)
		}
	}
	// Over a socket a role is what it is elsewhere.
	socket := reader.dial(t)
	check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": `mutation { recluster(input: {storeId: "shop"}) { run { id } } }`}}))
	if _, text, err := socket.Read(t.Context()); err != nil || !strings.Contains(string(text), "FORBIDDEN") {
		t.Errorf("a reader's mutation over a socket: %s, %v", text, err)
	}
	if strings.Contains(a.log.String(), reader.token) {
		t.Errorf("the log holds the token: %s", a.log)
	}
}
