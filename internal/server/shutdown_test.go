package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/quimbi/quimbi/internal/server"
)

func TestShutdownEndsSubscriptions(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var started struct {
		Recluster struct{ Run struct{ ID string } }
	}
	a.data(t, &started, `mutation { recluster(input: {storeId: "shop"}) { run { id } } }`, nil)
	socket := a.dial(t)
	subscribe(t, socket, started.Recluster.Run.ID)
	var m message
	check(t, wsjson.Read(t.Context(), socket, &m))
	idle, events := a.dial(t), a.events(t)
	a.rawSocket(t)
	var closing sync.WaitGroup
	for _, open := range []*websocket.Conn{socket, idle} {
		closing.Go(func() { ended(t, open, websocket.StatusGoingAway, "a socket when the server ends") })
	}
	begin := time.Now()
	check(t, a.stop())
	if took := time.Since(begin); took > 7*time.Second {
		t.Errorf("the server ended after %s", took)
	}
	closing.Wait()
	if text := <-events; !strings.Contains(text, "UNAVAILABLE") || !strings.Contains(text, "event: complete") {
		t.Errorf("events ended with %q", text)
	}
}

func TestShutdownDoesNotWaitForWhoeverReadsNothing(t *testing.T) {
	t.Parallel()
	listener := newTight()
	a := newAPIWith(t, func(*server.Config) {}, listener.over)
	fill(t, a.db)
	a.heavyEvents(t)
	<-listener.wrote
	begin := time.Now()
	check(t, a.stop())
	if took := time.Since(begin); took > 7*time.Second {
		t.Errorf("the server ended after %s", took)
	}
}

// connected sends the beginning of something and no more.
func (a *api) connected(t *testing.T, text string) net.Conn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(a.url, "http://"))
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = conn.Write([]byte(text))
	check(t, err)
	return conn
}

// halfBody is a request of which the end does not come.
const halfBody = "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n%s\r\n{\"query\": "

// Browsers and clients connect ahead of need. Go's HTTP server takes those who have sent nothing yet for busy for five seconds.
func TestShutdownDoesNotWaitForWhoeverSaidNothing(t *testing.T) {
	t.Parallel()
	a := newEmptyAPI(t)
	conns := []net.Conn{a.connected(t, ""), a.connected(t, "POST /graphql HTTP/1.1\r\nHost: local")}
	a.data(t, &struct{}{}, `{ health { status } }`, nil) // those before have been accepted
	check(t, a.stop())
	for i, conn := range conns {
		if rest, err := io.ReadAll(conn); len(rest) > 0 {
			t.Errorf("connection %d: %q, %v", i, rest, err)
		}
	}
	if text := a.log.String(); strings.Contains(text, "cut off") {
		t.Errorf("who said nothing was waited for: %s", text)
	}
}

// Whoever sends the half of a request is told so, and the server's end is no failure of it.
func TestShutdownEndsHalfRequests(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	conns := map[string]net.Conn{}
	for name, text := range map[string]string{
		"query": fmt.Sprintf(halfBody, "/graphql", ""), "events": fmt.Sprintf(halfBody, "/graphql", "Accept: text/event-stream\r\n"),
		"webhook": fmt.Sprintf(halfBody, "/webhooks/shopify/shop", ""),
	} {
		conns[name] = a.connected(t, text)
	}
	a.data(t, &struct{}{}, `{ health { status } }`, nil)
	check(t, a.stop())
	for name, conn := range conns {
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(answer), "BAD_USER_INPUT") {
			t.Errorf("half a %s was answered %q, %v", name, answer, err)
		}
	}
	if text := a.log.String(); strings.Contains(text, "cut off") {
		t.Errorf("half a request held the server up: %s", text)
	}
}

// A query that waits for somebody is given up, with a code.
func TestShutdownEndsQueries(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	tx, err := a.pool.Begin(t.Context())
	check(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), "LOCK TABLE customer IN ACCESS EXCLUSIVE MODE")
	check(t, err)
	answered := make(chan *reply, 1)
	go func() { answered <- a.query(t, `{ customers(first: 1) { nodes { customerId } } }`, nil) }()
	for waiting := false; !waiting; {
		check(t, tx.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'customer'::regclass AND NOT granted)").Scan(&waiting))
	}
	check(t, a.stop())
	if r := <-answered; len(r.codes()) != 1 || r.codes()[0] != "UNAVAILABLE" {
		t.Errorf("a query at the end was answered with status %d: %s", r.Status, r.Text)
	}
	if text := a.log.String(); strings.Contains(text, "cut off") {
		t.Errorf("a query held the server up: %s", text)
	}
}
