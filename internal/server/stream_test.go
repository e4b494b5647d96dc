package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/server"
)

// tight is a listener whose connections hold little that was not read, so that a client who reads nothing is noticed soon.
// It tells of every connection that was closed, and of all that wrote much.
type tight struct {
	net.Listener
	closed, wrote chan struct{}
}

func newTight() *tight {
	return &tight{closed: make(chan struct{}, 100), wrote: make(chan struct{}, 100)}
}

func (l *tight) over(inner net.Listener) net.Listener {
	l.Listener = inner
	return l
}

func (l *tight) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tightConn{Conn: conn, of: l}, conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
}

type tightConn struct {
	net.Conn
	of    *tight
	total int
	once  sync.Once
}

func (c *tightConn) Write(body []byte) (int, error) {
	if c.total += len(body); c.total > 16<<10 {
		c.once.Do(func() { c.of.wrote <- struct{}{} })
	}
	return c.Conn.Write(body)
}

func (c *tightConn) Close() error {
	err := c.Conn.Close()
	if err == nil {
		c.of.closed <- struct{}{}
	}
	return err
}

// heavyEvents subscribes to the fixture's drift events, of which each has some 100 kB, all but the oldest; it reads nothing.
func (a *api) heavyEvents(t *testing.T) *websocket.Conn {
	t.Helper()
	var got struct {
		DriftEvents struct{ Nodes []struct{ ID string } }
	}
	a.data(t, &got, `{ driftEvents(last: 100) { nodes { id } } }`, nil)
	dialer := &net.Dialer{}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return conn, conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	}}}
	socket := a.dialBy(t, client)
	socket.SetReadLimit(1 << 20)
	check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{
		"query": `subscription ($after: ID) { driftEvents(after: $after, filter: { minSeverity: MINOR }) { id customer { snapshots(first: 100) { nodes {
  id date a: thumbprint { axis { name description } memberships { segment { name path } score } } } } } } }`,
		"variables": map[string]any{"after": got.DriftEvents.Nodes[len(got.DriftEvents.Nodes)-1].ID},
	}}))
	return socket
}

// told gives the channel on which a log line with a text is told.
func told(text string) (*slog.Logger, <-chan struct{}) {
	lines := make(chan struct{}, 100)
	return slog.New(slog.NewTextHandler(lineWriter(func(line string) {
		if strings.Contains(line, text) {
			lines <- struct{}{}
		}
	}), nil)), lines
}

type lineWriter func(string)

func (w lineWriter) Write(line []byte) (int, error) {
	w(string(line))
	return len(line), nil
}

func TestASlowReaderIsDroppedAndTold(t *testing.T) {
	t.Parallel()
	log, dropped := told("a subscription ended early")
	a := newAPIWith(t, func(c *server.Config) {
		c.Resolver.Log = log
		c.Resolver.Patience = 500 * time.Millisecond // over what an event takes to be worked out
	}, newTight().over)
	fill(t, a.db)
	socket := a.heavyEvents(t)
	<-dropped // nothing was read
	events := 0
	for {
		_, text, err := socket.Read(t.Context())
		check(t, err)
		var m struct {
			Type    string
			Payload json.RawMessage
		}
		check(t, json.Unmarshal(text, &m))
		if m.Type == "complete" {
			t.Fatalf("ended after %d events without a word", events)
		}
		if m.Type == "next" && strings.Contains(string(m.Payload), "SLOW_READER") {
			break
		}
		if m.Type == "next" {
			events++
		}
	}
	if events == 0 || events > 10 {
		t.Errorf("%d of 11 events were sent before the end", events)
	}
}

func TestWhoeverReadsNothingIsCutOff(t *testing.T) {
	t.Parallel()
	listener := newTight()
	a := newAPIWith(t, func(c *server.Config) { c.WriteTime = 100 * time.Millisecond }, listener.over)
	fill(t, a.db)
	socket := a.heavyEvents(t)
	<-listener.closed
	for events := 0; ; events++ {
		if _, text, err := socket.Read(t.Context()); err != nil {
			break
		} else if events > 10 || strings.Contains(string(text), `"complete"`) {
			t.Fatalf("everything was sent: %.200s", text)
		}
	}
}

func TestOneConnectionListensForAll(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	run := a.finishedRun(t)
	for range 10 {
		socket := a.dial(t)
		for i, query := range []string{`{ snapshotsTaken { count } }`, `{ driftEvents { id } }`, `{ runProgress(runId: "` + run + `") { state } }`} {
			check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": string(rune('a' + i)), "type": "subscribe", "payload": map[string]any{"query": "subscription " + query}}))
		}
		for ended := false; !ended; { // the run is over
			var m message
			check(t, wsjson.Read(t.Context(), socket, &m))
			ended = m.Type == "complete"
		}
	}
	var listening int
	check(t, a.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`).Scan(&listening))
	if listening != 1 {
		t.Errorf("%d connections listen", listening)
	}
}

// A client that breaks the protocol, or is late, is told by the protocol's codes.
func TestSocketsHoldToTheProtocol(t *testing.T) {
	t.Parallel()
	a := newAPIWith(t, func(c *server.Config) { c.Quota = server.Quota{Rate: -1, Operations: 10, Subscriptions: 10} }, asItIs)
	const begin, subscribe = `{"type":"connection_init"}`, `{"id":"1","type":"subscribe","payload":{"query":"{ health { status } }"}}`
	var group sync.WaitGroup
	for _, c := range []struct {
		name string
		code websocket.StatusCode
		send []string
	}{
		{"nothing", 4408, nil},
		{"subscribe first", 4401, []string{subscribe}},
		{"ping first", 4400, []string{`{"type":"ping"}`}},
		{"connection_init twice", 4429, []string{begin, begin}},
		{"no JSON", 4400, []string{begin, "{"}},
		{"no JSON first", 4400, []string{"{"}},
		{"another type", 4400, []string{begin, `{"type":"start","id":"1","payload":{"query":"{ health { status } }"}}`}},
		{"no id", 4400, []string{begin, `{"type":"subscribe","payload":{"query":"{ health { status } }"}}`}},
	} {
		socket := a.rawSocket(t)
		for _, text := range c.send {
			check(t, socket.Write(t.Context(), websocket.MessageText, []byte(text)))
		}
		group.Go(func() { ended(t, socket, c.code, c.name) })
	}
	group.Wait()
}

// One caller has so many sockets at once, and a new one when one of them is gone.
func TestSocketsOfACallerAreBounded(t *testing.T) {
	t.Parallel()
	a := newAPIWith(t, func(c *server.Config) { c.Quota = server.Quota{Rate: -1, Operations: 10, Subscriptions: 2} }, asItIs)
	reader, other := a.as(t, "", auth.Reader), a.as(t, "", auth.Reader)
	first := reader.dial(t)
	reader.dial(t)
	third := a.rawSocket(t)
	check(t, wsjson.Write(t.Context(), third, reader.initMessage()))
	_, _, err := third.Read(t.Context())
	if closed, ok := errors.AsType[websocket.CloseError](err); !ok || closed.Code != websocket.StatusTryAgainLater || closed.Reason != "TOO_MANY_OPERATIONS" {
		t.Errorf("one socket too many: %v", err)
	}
	other.dial(t)
	check(t, first.Close(websocket.StatusNormalClosure, ""))
	for { // the server notices soon
		again := a.rawSocket(t)
		check(t, wsjson.Write(t.Context(), again, reader.initMessage()))
		if _, _, err := again.Read(t.Context()); err == nil {
			return
		}
	}
}

// What offers something else than a WebSocket is answered as if it did not; what asks for one in a wrong way is told so.
func TestUpgrades(t *testing.T) {
	t.Parallel()
	a := newEmptyAPI(t)
	r := a.send(t, http.MethodPost, "/graphql", `{"query":"{ health { status } }"}`, http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"h2c"}, "Http2-Settings": {"AAMAAABkAAQAAP__"}})
	if r.Status != 200 || string(r.Data) != `{"health":{"status":"OK"}}` {
		t.Errorf("an offer of HTTP/2: status %d: %s", r.Status, r.Text)
	}
	good := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Protocol": {"graphql-transport-ws"}}
	for name, values := range map[string][]string{
		"Connection": {"close"}, "Sec-Websocket-Version": {"8"}, "Sec-Websocket-Key": nil, "Sec-Websocket-Protocol": {"graphql-ws, graphql-transport-ws-evil"},
	} {
		header := good.Clone()
		header[name] = values
		if r := a.send(t, http.MethodGet, "/graphql", "", header); r.Status != 400 || !slices.Equal(r.codes(), []string{"BAD_USER_INPUT"}) {
			t.Errorf("%s %q: status %d: %s", name, values, r.Status, r.Text)
		}
	}
}
