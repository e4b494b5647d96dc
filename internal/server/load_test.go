package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/internal/server"
)

// unlimited is for tests that are about something else than quotas.
var unlimited = server.Quota{Rate: -1, Operations: 10_000, Subscriptions: 10_000}

// load is how much a test asks for: little, or as QUIMBI_LOAD says: subscribers, requests a second and seconds, "200,50,60".
func load(t *testing.T) (subscribers, rate, seconds int) {
	t.Helper()
	text := os.Getenv("QUIMBI_LOAD")
	if text == "" {
		return 20, 50, 1
	}
	var n [3]int
	for i, part := range strings.SplitN(text, ",", 3) {
		var err error
		n[i], err = strconv.Atoi(part)
		check(t, err)
	}
	return n[0], n[1], n[2]
}

// TestSubscribersAndRequests has many watch a run, half over WebSocket and half over server-sent events, while others ask.
// Everybody is answered, every subscriber sees the run's end, and nothing is left afterwards. It is not parallel, since it
// counts goroutines.
func TestSubscribersAndRequests(t *testing.T) {
	a := newAPIWith(t, func(c *server.Config) { c.Quota = unlimited }, func(l net.Listener) net.Listener { return l })
	fill(t, a.db)
	subscribers, rate, seconds := load(t)
	store, err := a.db.StoreByKey(t.Context(), "shop")
	check(t, err)
	run := uuid.NewString()
	check(t, a.db.InTx(t.Context(), func(tx *postgres.Tx) error {
		_, err := tx.InsertRun(t.Context(), postgres.NewRun{ID: run, StoreID: store.ID, Kind: engine.RunRecluster, Trigger: engine.TriggerCLI, Request: map[string]any{"params": engine.DefaultParams()}})
		return err
	}))
	check(t, a.db.StartRun(t.Context(), run))
	transport := &http.Transport{DialContext: (&net.Dialer{}).DialContext, MaxIdleConnsPerHost: 100}
	l := &loader{api: a, client: &http.Client{Transport: transport}, run: model.ID{Kind: model.KindRun, Store: store.ID, Run: run}.String(), begun: make(chan struct{}, subscribers)}
	l.ask(t)
	before := runtime.NumGoroutine()
	var watching sync.WaitGroup
	for i := range subscribers {
		watch := l.socket
		if i%2 == 1 {
			watch = l.events
		}
		watching.Go(func() { watch(t) })
	}
	for range subscribers {
		<-l.begun
	}
	var asking sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := range rate * seconds {
		<-tick.C
		asking.Go(func() { l.ask(t) })
		if i%(rate/2) == 0 { // twice a second everybody is told
			check(t, a.db.ProgressRun(t.Context(), run, engine.StageFeatures, "", i+1, rate*seconds+1))
		}
	}
	asking.Wait()
	during := runtime.NumGoroutine()
	check(t, a.db.InTx(t.Context(), func(tx *postgres.Tx) error {
		return tx.FinishRun(t.Context(), run, engine.RunSucceeded, "", map[string]any{}, 0)
	}))
	watching.Wait()
	transport.CloseIdleConnections()
	after := goroutinesBack(t, before)
	t.Logf("%d subscribers with %d messages, %d requests in %d s: p50 %s, p99 %s, longest %s; goroutines %d before, %d meanwhile, %d after",
		subscribers, l.messages.Load(), len(l.took), seconds, quantile(l.took, 0.5).Round(time.Microsecond), quantile(l.took, 0.99).Round(time.Microsecond), quantile(l.took, 1).Round(time.Microsecond), before, during, after)
	if after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
	if want := int64(subscribers * 2); l.messages.Load() < want {
		t.Errorf("%d messages, want at least %d", l.messages.Load(), want)
	}
}

type loader struct {
	api      *api
	client   *http.Client
	run      string
	begun    chan struct{} // receives with the first message of every subscriber
	messages atomic.Int64

	mu   sync.Mutex
	took []time.Duration
}

const watchRun = `subscription ($id: ID!) { runProgress(runId: $id) { state fraction } }`

// ask measures one query as a dashboard has it.
func (l *loader) ask(t *testing.T) {
	begin := time.Now()
	body, err := json.Marshal(map[string]any{"query": `query Page { customers(filter: {storeId: "shop"}, first: 20) { nodes { customerId totalValue dominantPaths latestSnapshot { date } } pageInfo { endCursor } } }`})
	if err != nil {
		t.Error(err)
		return
	}
	response, err := l.post(t.Context(), string(body), "application/json")
	if err != nil {
		t.Errorf("a request: %v", err)
		return
	}
	defer response.Body.Close()
	var got struct {
		Data struct {
			Customers struct{ Nodes []struct{ CustomerID string } }
		}
		Errors []any
	}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || response.StatusCode != http.StatusOK || len(got.Errors) > 0 || len(got.Data.Customers.Nodes) != 20 {
		t.Errorf("a request: status %d, %v, %+v", response.StatusCode, err, got)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, time.Since(begin))
}

func (l *loader) post(ctx context.Context, body, accept string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.api.url+"/graphql", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", accept)
	return l.client.Do(request)
}

// told counts a message, and says whether it is the last.
func (l *loader) told(t *testing.T, text string, first *bool) bool {
	if strings.Contains(text, `"errors"`) {
		t.Errorf("a subscriber was told %.300s", text)
	}
	l.messages.Add(1)
	if *first {
		*first = false
		l.begun <- struct{}{}
	}
	return strings.Contains(text, `"SUCCEEDED"`)
}

func (l *loader) socket(t *testing.T) {
	socket, response, err := websocket.Dial(t.Context(), strings.Replace(l.api.url, "http", "ws", 1)+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		t.Errorf("a socket: %v", err)
		l.begun <- struct{}{}
		return
	}
	if response.Body != nil {
		defer response.Body.Close()
	}
	defer func() { _ = socket.CloseNow() }()
	_ = wsjson.Write(t.Context(), socket, map[string]any{"type": "connection_init"})
	_ = wsjson.Write(t.Context(), socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": watchRun, "variables": map[string]any{"id": l.run}}})
	first := true
	for {
		_, text, err := socket.Read(t.Context())
		if err != nil {
			t.Errorf("a socket ended: %v", err)
			return
		}
		if strings.Contains(string(text), `"next"`) && l.told(t, string(text), &first) {
			return
		}
	}
}

func (l *loader) events(t *testing.T) {
	body, err := json.Marshal(map[string]any{"query": watchRun, "variables": map[string]any{"id": l.run}})
	if err != nil {
		t.Error(err)
		return
	}
	response, err := l.post(t.Context(), string(body), "text/event-stream")
	if err != nil {
		t.Errorf("events: %v", err)
		l.begun <- struct{}{}
		return
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	first, last := true, false
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok && l.told(t, text, &first) {
			last = true
		}
	}
	if !last {
		t.Errorf("events ended before the run: %v", lines.Err())
	}
}
