package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket/wsjson"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/quimbi/quimbi/internal/obs"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/internal/server"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.query(t, `query Named { stores(first: 1) { nodes { key } } }`, nil)
	a.query(t, `{ store(key: "nowhere") { key } }`, nil)
	a.query(t, `{ nothing }`, nil)
	socket := a.dial(t)
	check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{
		"query": `subscription Live { driftEvents(after: "` + a.oldestEvent(t) + `", filter: {minSeverity: MINOR}) { id } }`,
	}}))
	for m := (message{}); m.Type != "next"; {
		check(t, wsjson.Read(t.Context(), socket, &m))
	}
	for i := range 150 {
		a.query(t, fmt.Sprintf(`query N%d { __typename }`, i), nil)
	}
	text := a.send(t, http.MethodGet, "/metrics", "", nil).Text
	for _, want := range []string{
		`quimbi_graphql_operation_seconds_count{name="Named",type="query"} 1`,
		`quimbi_graphql_operation_seconds_count{name="other",type="query"} `,
		`quimbi_graphql_operation_seconds_count{name="anonymous",type="query"} `,
		`quimbi_graphql_subscriptions{name="Live"} 1`,
		`quimbi_graphql_errors_total{code="NOT_FOUND"} 1`,
		`quimbi_graphql_errors_total{code="GRAPHQL_VALIDATION_FAILED"} 1`,
		`quimbi_database_connections_used `,
		`quimbi_runs{kind="RECLUSTER",state="SUCCEEDED"} 1`,
		`quimbi_drift_events{severity="MAJOR"} 12`,
		"go_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if names := strings.Count(text, "quimbi_graphql_operation_seconds_count"); names > 103 {
		t.Errorf("%d names of operations are told apart", names)
	}
}

// oldestEvent is the identifier of the fixture's oldest drift event.
func (a *api) oldestEvent(t *testing.T) string {
	t.Helper()
	var got struct {
		DriftEvents struct{ Nodes []struct{ ID string } }
	}
	a.data(t, &got, `{ driftEvents(last: 1) { nodes { id } } }`, nil)
	return got.DriftEvents.Nodes[0].ID
}

func TestLogNamesRequestAndOperation(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var lines bytes.Buffer
	a := newAPIWith(t, func(c *server.Config) {
		c.Resolver.Log = slog.New(slog.NewJSONHandler(lineWriter(func(line string) {
			mu.Lock()
			defer mu.Unlock()
			lines.WriteString(line)
		}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}, func(l net.Listener) net.Listener { return l })
	r := a.send(t, http.MethodPost, "/graphql", `{"query":"query Mine { stores(first: 1) { totalCount } }"}`, http.Header{"X-Request-Id": {"abc-1"}})
	other := a.send(t, http.MethodPost, "/graphql", `{"query":"{ stores(first: 1) { totalCount } }"}`, http.Header{"X-Request-Id": {"not a proper id"}})
	if id := other.Header.Get("X-Request-Id"); r.Header.Get("X-Request-Id") != "abc-1" || len(id) < 20 || strings.Contains(id, " ") {
		t.Errorf("the answers have the ids %q and %q", r.Header.Get("X-Request-Id"), id)
	}
	mu.Lock()
	defer mu.Unlock()
	var line struct{ Msg, Request, Operation, Name string }
	first, _, _ := strings.Cut(lines.String(), "\n")
	check(t, json.Unmarshal([]byte(first), &line))
	if line.Request != "abc-1" || line.Operation != "query" || line.Name != "Mine" {
		t.Errorf("%+v in %s", line, first)
	}
}

// TestTraces has a collector in this process.
func TestTraces(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var names []string
	traces := map[string]bool{}
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range sent.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, span := range scope.Spans {
					names = append(names, span.Name)
					traces[string(span.TraceId)] = true
				}
			}
		}
	}))
	defer to.Close()
	kept, err := obs.NewTraces(t.Context(), to.URL, "test")
	check(t, err)
	url := pgtest.URL(t)
	a := newAPIWith(t, func(c *server.Config) {
		db, err := postgres.Open(t.Context(), url, 2, kept.Provider())
		check(t, err)
		t.Cleanup(db.Close)
		c.Traces, c.Resolver.DB = kept, db
	}, func(l net.Listener) net.Listener { return l })
	const parent = "4bf92f3577b34da6a3ce929d0e0e4736"
	a.send(t, http.MethodPost, "/graphql", `{"query":"query Mine { stores(first: 1) { totalCount } }"}`, http.Header{"Traceparent": {"00-" + parent + "-00f067aa0ba902b7-01"}})
	check(t, kept.Close(t.Context()))
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"query Mine", "POST /graphql", "StoreViews"} {
		if !slices.Contains(names, want) {
			t.Errorf("no span %q in %v", want, names)
		}
	}
	if _, ok := traces[unhex(parent)]; !ok {
		t.Errorf("the caller's trace is not gone on with: %q", slices.Collect(maps.Keys(traces)))
	}
}

func unhex(text string) string {
	var raw []byte
	_, _ = fmt.Sscanf(text, "%x", &raw)
	return string(raw)
}

func TestTracesNeedAnAddress(t *testing.T) {
	t.Parallel()
	if _, err := obs.NewTraces(t.Context(), "collector:4318", "test"); err == nil {
		t.Error("an address without a scheme was taken")
	}
	if kept, err := obs.NewTraces(t.Context(), "", "test"); kept != nil || err != nil {
		t.Errorf("without an address: %v, %v", kept, err)
	}
}
