package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/events"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/internal/server"
	"github.com/quimbi/quimbi/jobs"
	"github.com/quimbi/quimbi/resolvers"
)

// TestMain also looks for goroutines that the tests left behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := pgtest.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = 1
	}
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const (
	customers = 120
	weeks     = 26
)

// lastSunday is the newest snapshot's date: the store's last order is on the day after.
var lastSunday = engine.NewDate(1998, time.June, 28)

// api is a server on a database of its own.
type api struct {
	url   string
	pool  *pgxpool.Pool // the server's alone: its statements can be counted
	db    *postgres.DB
	queue *jobs.Queue
	stop  func() error // ends the server and waits for it
	token string       // shown by every request; empty: none
	log   *text        // what the server logged
}

// newAPI has one store, "shop": 120 customers, a model with two axes, 26 weekly snapshots a customer. Every tenth customer
// crosses to another root in week 13.
func newAPI(t testing.TB) *api {
	t.Helper()
	a := newEmptyAPI(t)
	fill(t, a.db)
	return a
}

// text gathers what is written at the same time.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// as gives the same server as somebody with a new token uses it: for a store, or for all of them where key is empty.
func (a *api) as(t testing.TB, key string, role auth.Role) *api {
	t.Helper()
	kept := &postgres.Token{ID: uuid.NewString(), Name: "of a test", Role: role.String()}
	if key != "" {
		store, err := a.db.StoreByKey(t.Context(), key)
		check(t, err)
		kept.StoreID = store.ID
	}
	other := *a
	other.token, kept.Hash = auth.NewToken()
	check(t, a.db.InsertToken(t.Context(), kept))
	return &other
}

func logOf(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func newEmptyAPI(t testing.TB) *api {
	t.Helper()
	return newAPIWith(t, func(*server.Config) {}, asItIs)
}

func asItIs(l net.Listener) net.Listener { return l }

// newAPIWith has no store, and what the two change.
func newAPIWith(t testing.TB, change func(*server.Config), listening func(net.Listener) net.Listener) *api {
	t.Helper()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	said := new(text)
	log := slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), said), &slog.HandlerOptions{Level: slog.LevelWarn}))
	hub := events.NewHub(db, log)
	q, err := jobs.NewQueue(db, settings(), log, time.Now)
	check(t, err)
	config := server.Config{
		Log: log, Resolver: &resolvers.Resolver{
			DB: db, Jobs: q, Events: hub, Models: resolvers.NewModels(db), Params: engine.DefaultParams(), Log: log,
			Now: time.Now, Version: "test", SnapshotsEnabled: true, Retention: jobs.DefaultRetention(), Predicts: engine.DefaultPredictionSettings(), AnomalyThreshold: settings().AnomalyThreshold,
			DriftLevel: settings().DriftLevel,
		}, Webhooks: server.Webhooks{Secrets: secrets, Receive: q.ReceiveShopify},
		Access: auth.New(postgres.New(uncounted(t, pool)), nil, time.Now), Origins: []string{"https://dash.example"},
	}
	change(&config)
	s := server.New(config)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served, listened := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(ctx, listening(listener)) }()
	go func() { listened <- hub.Run(ctx) }()
	a := &api{url: "http://" + listener.Addr().String(), pool: pool, db: db, queue: q, log: said}
	a.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-served, <-listened)
	})
	t.Cleanup(func() {
		if err := a.stop(); err != nil {
			t.Errorf("stopping the server: %v", err)
		}
	})
	return a
}

// secrets are those of stores that send events; one of them changes its own.
var secrets = map[string][]server.Secret{"shop": {"an older secret", "the shop's secret"}, "other": {"the other's secret"}}

func settings() jobs.Settings {
	s := jobs.DefaultSettings()
	s.Workers = 2
	return s
}

// work lets workers do what the API starts, until the test ends. They have connections of their own, as in a process of
// their own.
func (a *api) work(t *testing.T) {
	t.Helper()
	q, err := jobs.NewQueue(postgres.New(uncounted(t, a.pool)), settings(), logOf(t), time.Now)
	check(t, err)
	service, err := jobs.NewService(q)
	check(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- service.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("the workers ended with: %v", err)
		}
	})
}

// uncounted gives another pool on a pool's database, whose statements do not count: what is read once a second for all
// queries together is not theirs.
func uncounted(t testing.TB, pool *pgxpool.Pool) *pgxpool.Pool {
	t.Helper()
	config := pool.Config()
	config.ConnConfig.Tracer = nil
	other, err := pgxpool.NewWithConfig(t.Context(), config)
	check(t, err)
	t.Cleanup(other.Close)
	return other
}

func fill(t testing.TB, db *postgres.DB) { fillStore(t, db, "shop", name) }

// fillStore makes a store whose customers have the names that called gives.
func fillStore(t testing.TB, db *postgres.DB, key string, called func(int) string) {
	t.Helper()
	ctx := t.Context()
	store, err := db.EnsureStore(ctx, key)
	check(t, err)
	_, err = db.ImportLines(ctx, store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for i := range customers {
			for j, day := range []engine.Date{lastSunday - 200 + engine.Date(i%7), lastSunday + 1} {
				line := &postgres.ImportLine{Customer: called(i), Line: engine.Line{
					OrderKey: fmt.Sprintf("o%d-%d", i, j), Number: 1, OrderedAt: day.In(time.UTC).Add(10 * time.Hour), Quantity: 1, NetCents: int64(1000 + 10*i),
				}}
				if err := yield(line); err != nil {
					return 0, err
				}
			}
		}
		return engine.ColumnOrderID, nil
	})
	check(t, err)
	m := fixtureModel()
	run := uuid.NewString()
	check(t, db.InTx(ctx, func(tx *postgres.Tx) error {
		if _, err := tx.InsertRun(ctx, postgres.NewRun{
			ID: run, StoreID: store.ID, Kind: engine.RunRecluster, Trigger: engine.TriggerCLI,
			Request: map[string]any{"params": engine.DefaultParams(), "seed": 42, "as_of": m.AsOf},
		}); err != nil {
			return err
		}
		if err := tx.InsertModel(ctx, store.ID, run, m); err != nil {
			return err
		}
		return tx.FinishRun(ctx, run, engine.RunSucceeded, "", map[string]any{"model_version": 1}, customers)
	}))
	writeSnapshots(t, db, store, m)
}

func writeSnapshots(t testing.TB, db *postgres.DB, store *engine.Store, m *engine.Model) {
	t.Helper()
	ctx := t.Context()
	var dates []engine.Date
	for w := range weeks {
		dates = append(dates, lastSunday-engine.Date(7*(weeks-1-w)))
	}
	check(t, db.EnsureLeaves(ctx, engine.Weekly, dates))
	found, err := db.Customers(ctx, postgres.CustomerQuery{StoreIDs: []int32{store.ID}, Window: postgres.Window{Limit: customers}})
	check(t, err)
	var snapshots []postgres.WrittenSnapshot
	var drifts []engine.DriftEvent
	var states []postgres.State
	for i, c := range found {
		for w, date := range dates {
			s := engine.Snapshot{StoreID: store.ID, CustomerID: c.ID, Type: engine.Weekly, Date: date, ModelVersion: 1, Thumbprint: fixturePrint(i, w), Purchases: 1, ValueCents: c.ValueCents / 2, FirstAt: lastSunday - 200}
			written := postgres.WrittenSnapshot{Snapshot: s}
			if w > 0 {
				d := m.Drift(fixturePrint(i, w-1), s.Thumbprint)
				written.Drift, written.LargestDrift = d.Overall, &d.LargestScore
				if a := d.Axes[0]; a.Score >= 0.1 {
					drifts = append(drifts, engine.DriftEvent{
						StoreID: store.ID, CustomerID: c.ID, Axis: 0, Type: engine.Weekly, From: dates[w-1], To: date, ModelVersion: 1, Score: a.Score,
						FromSegment: a.From, ToSegment: a.To, ByOrder: true, Overall: d.Overall, Mean: d.Mean, Coverage: d.Coverage,
						LargestAxis: d.Largest, LargestScore: d.LargestScore, ModerateAxes: d.ModerateAxes,
					})
				}
			}
			snapshots = append(snapshots, written)
		}
		states = append(states, postgres.State{CustomerID: c.ID, Thumbprint: fixturePrint(i, weeks-1)})
	}
	check(t, db.InTx(ctx, func(tx *postgres.Tx) error {
		next := 0
		err := tx.WriteStates(ctx, store.ID, 1, lastSunday, func() (postgres.State, bool) {
			if next == len(states) {
				return postgres.State{}, false
			}
			next++
			return states[next-1], true
		})
		return errors.Join(err, tx.CopySnapshots(ctx, snapshots), tx.CopyDriftEvents(ctx, drifts))
	}))
}

func name(i int) string { return fmt.Sprintf("c%03d", i) }

// fixtureModel has purchase_frequency with a divided root and a whole one, and purchase_value with two roots.
func fixtureModel() *engine.Model {
	m := &engine.Model{Version: 1, AsOf: lastSunday, Seed: 42, Params: engine.DefaultParams(), Customers: customers}
	for i := range m.Axes {
		m.Axes[i] = engine.AxisModel{Status: engine.AxisOff, Reason: engine.ReasonNoSKU}
	}
	segment := func(key string, parent, depth, leaf int, children ...int) engine.Segment {
		return engine.Segment{Key: key, Path: key, Name: "segment " + key, Parent: parent, Depth: depth, Leaf: leaf, Children: children, Members: 10, Share: 0.5}
	}
	on := func(first, leaves, features int, segments ...engine.Segment) engine.AxisModel {
		a := engine.AxisModel{Status: engine.AxisOn, Eligible: customers, First: first, Leaves: leaves, Segments: segments}
		for range features {
			a.Features = append(a.Features, engine.FeatureModel{Status: engine.FeatureOn, SD: 1})
		}
		for i := range segments {
			a.Segments[i].Center = make([]float64, features)
		}
		return a
	}
	m.Axes[0] = on(0, 3, 4, segment("seg_0", -1, 0, -1, 1, 2), segment("seg_0.0", 0, 1, 0), segment("seg_0.1", 0, 1, 1), segment("seg_1", -1, 0, 2))
	m.Axes[1] = on(3, 2, 3, segment("seg_0", -1, 0, 0), segment("seg_1", -1, 0, 1))
	return m
}

// fixturePrint is customer i's thumbprint in week w.
func fixturePrint(i, w int) engine.Thumbprint {
	p := engine.Thumbprint{Membership: []int16{7000, 2000, 1000, 6000, 4000}, Dominant: make([]int16, engine.AxisCount)}
	for a := range p.Dominant {
		p.Dominant[a] = -1
	}
	p.Dominant[0], p.Dominant[1] = 0, 3
	if i%10 == 0 && w >= weeks/2 {
		copy(p.Membership, []int16{500, 500, 9000})
		p.Dominant[0] = 2
	}
	return p
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reply is an answer of the API.
type reply struct {
	Status int
	Header http.Header
	Text   string
	Data   json.RawMessage `json:"data"`
	Errors []struct {
		Message    string         `json:"message"`
		Path       []any          `json:"path"`
		Extensions map[string]any `json:"extensions"`
	} `json:"errors"`
	Extensions map[string]any `json:"extensions"`
}

// codes lists the codes of a reply's errors.
func (r *reply) codes() []string {
	list := []string{}
	for _, e := range r.Errors {
		code, _ := e.Extensions["code"].(string)
		list = append(list, code)
	}
	return list
}

func (a *api) send(t testing.TB, method, path, body string, header http.Header) *reply {
	t.Helper()
	return a.sendFor(t, time.Minute, method, path, body, header)
}

// sendFor does it within a time: a stream that should have ended is then a failure, and what it said so far is the answer.
func (a *api) sendFor(t testing.TB, limit time.Duration, method, path, body string, header http.Header) *reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader([]byte(body)))
	check(t, err)
	request.Header.Set("Content-Type", "application/json")
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	for key, values := range header {
		request.Header[key] = values
	}
	if host := header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := http.DefaultClient.Do(request)
	check(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("the answer to %s does not end: %v", body, err)
	}
	r := &reply{Status: response.StatusCode, Header: response.Header, Text: string(text)}
	_ = json.Unmarshal(text, r) // not every answer is JSON
	return r
}

func (a *api) query(t testing.TB, query string, variables map[string]any) *reply {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	check(t, err)
	return a.send(t, http.MethodPost, "/graphql", string(body), nil)
}

// data answers a query that must succeed, into a value.
func (a *api) data(t testing.TB, into any, query string, variables map[string]any) {
	t.Helper()
	r := a.query(t, query, variables)
	if len(r.Errors) > 0 || r.Status != http.StatusOK {
		t.Fatalf("%s\nstatus %d: %s", query, r.Status, r.Text)
	}
	check(t, json.Unmarshal(r.Data, into))
}
