package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/pgtest"
)

func TestExamplesNeedFewStatements(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	files, err := filepath.Glob("../../web/explorer/examples/*.graphql")
	if err != nil || len(files) < 7 {
		t.Fatalf("the explorer's examples are missing: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		check(t, err)
		query := string(text)
		if !strings.Contains(query, "\nquery ") {
			continue // mutation and subscription have tests of their own
		}
		counter := pgtest.Queries(t, a.pool)
		r := a.query(t, query, map[string]any{"store": "shop", "customer": name(20), "day": (lastSunday - 28).String()})
		if len(r.Errors) > 0 {
			t.Errorf("%s: %s", file, r.Text)
		}
		counter.AtMost(t, 5)
		if cost, _ := r.Extensions["cost"].(map[string]any); cost == nil || cost["requested"].(float64) <= 0 {
			t.Errorf("%s: extensions.cost is %v", file, r.Extensions["cost"])
		}
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var got struct {
		Customer struct {
			Timeline struct {
				Dates              []string
				OverallDriftScores []*float64
				TotalValues        []string
				Axes               []struct {
					Status        string
					DominantPaths []*string
					Series        []struct{ Scores []float64 }
				}
				DriftEvents []struct {
					Severity, ToDate string
					FromSegment      struct{ Path string }
				}
			}
			DriftAnalysis struct {
				Days    int
				Basis   string
				Overall struct{ Score, Coverage float64 }
				Motion  struct {
					Snapshots             int
					Net, Path, Efficiency float64
				}
				Axes []struct {
					Score   *float64
					Changes []struct{ Before, After float64 }
				}
			}
		}
	}
	const query = `query ($range: DateRange) { customer(by: {key: {storeId: "shop", customerId: "c020"}}) {
  timeline { dates overallDriftScores totalValues axes(%s) driftEvents { severity toDate fromSegment { path } } }
  driftAnalysis(range: $range, axes: ["purchase_frequency"]) { days basis overall { score coverage } motion { snapshots net path efficiency } axes { score changes { before after } } } } }`
	a.data(t, &got, strings.ReplaceAll(query, "axes(%s)", "axes { status dominantPaths series { scores } }"), map[string]any{"range": map[string]any{}})
	line := got.Customer.Timeline
	if len(line.Dates) != weeks || line.Dates[weeks-1] != lastSunday.String() || len(line.TotalValues) != weeks || len(line.Axes) != 14 {
		t.Fatalf("%d dates to %s, %d axes", len(line.Dates), line.Dates[len(line.Dates)-1], len(line.Axes))
	}
	if line.OverallDriftScores[0] != nil || line.OverallDriftScores[weeks/2] == nil || *line.OverallDriftScores[weeks/2] < 0.5 {
		t.Errorf("overall drift: %v", line.OverallDriftScores)
	}
	if axis := line.Axes[0]; axis.Status != "ON" || len(axis.Series) != 3 || *axis.DominantPaths[0] != "seg_0.0" || *axis.DominantPaths[weeks-1] != "seg_1" {
		t.Errorf("axis %+v", axis)
	}
	if line.Axes[2].Status != "OFF" {
		t.Errorf("an axis without data is %s", line.Axes[2].Status)
	}
	if len(line.DriftEvents) != 1 || line.DriftEvents[0].Severity != "MAJOR" || line.DriftEvents[0].FromSegment.Path != "seg_0" {
		t.Errorf("events %+v", line.DriftEvents)
	}
	d := got.Customer.DriftAnalysis
	if d.Basis != "SAME_MODEL" || d.Days != 7*(weeks-1) || d.Motion.Snapshots != weeks || d.Motion.Efficiency != 1 || d.Overall.Score < 0.5 {
		t.Errorf("analysis %+v", d)
	}
	if len(d.Axes) != 1 || d.Axes[0].Score == nil || *d.Axes[0].Score != 0.8 || d.Axes[0].Changes[0].Before+d.Axes[0].Changes[1].Before != 1 {
		t.Errorf("axes %+v", d.Axes)
	}
}

func TestPagesMeetEveryCustomerOnce(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, order := range []string{"CUSTOMER_ID", "TOTAL_VALUE", "ORDER_COUNT", "LAST_ORDER_AT", "DRIFT"} {
		for _, direction := range []string{"ASC", "DESC"} {
			forward := a.walk(t, order, direction, false)
			backward := a.walk(t, order, direction, true)
			slices.Reverse(backward)
			if len(forward) != customers || !slices.Equal(forward, backward) {
				t.Errorf("%s %s: %d forward, %d backward, the same: %v", order, direction, len(forward), len(backward), slices.Equal(forward, backward))
			}
		}
	}
}

// walk pages through all customers and gives their names; backward: from the end.
func (a *api) walk(t *testing.T, order, direction string, backward bool) []string {
	t.Helper()
	size, cursor := "first", "after"
	if backward {
		size, cursor = "last", "before"
	}
	query := fmt.Sprintf(`query ($cursor: String) { customers(filter: {storeId: "shop"}, orderBy: {field: %s, direction: %s}, %s: 37, %s: $cursor) {
  nodes { customerId } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`, order, direction, size, cursor)
	var names []string
	var at *string
	for {
		var got struct {
			Customers struct {
				Nodes      []struct{ CustomerID string }
				TotalCount int
				PageInfo   struct {
					HasNextPage, HasPreviousPage bool
					StartCursor, EndCursor       *string
				}
			}
		}
		a.data(t, &got, query, map[string]any{"cursor": at})
		page := got.Customers
		if page.TotalCount != customers {
			t.Fatalf("totalCount is %d", page.TotalCount)
		}
		for i := range page.Nodes {
			if backward {
				i = len(page.Nodes) - 1 - i
			}
			names = append(names, page.Nodes[i].CustomerID)
		}
		more := page.PageInfo.HasNextPage
		at = page.PageInfo.EndCursor
		if backward {
			more, at = page.PageInfo.HasPreviousPage, page.PageInfo.StartCursor
		}
		if !more {
			return names
		}
	}
}

func TestFiltersNodesAndMembers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var tree struct {
		Store struct {
			ID, Now string
			Live    bool
			Axis    struct {
				ID           string
				RootSegments []struct {
					ID, Path string
					Children []struct{ Path string }
					Center   []float64
				}
			}
			Model struct {
				ID  string
				Run struct{ ID, Seed string }
			}
		}
	}
	a.data(t, &tree, `{ store(key: "shop") { id now live model { id run { id seed } } axis(key: "purchase_frequency") { id rootSegments { id path center children { path } } } } }`, nil)
	roots := tree.Store.Axis.RootSegments
	if len(roots) != 2 || len(roots[0].Children) != 2 || tree.Store.Model.Run.Seed != "42" || tree.Store.Now != "1998-06-30" {
		t.Fatalf("%+v", tree)
	}
	var got struct {
		Filtered, Prefixed, Drifted struct{ TotalCount int }
		Segment                     struct {
			Members struct {
				TotalCount int
				Edges      []struct{ Membership float64 }
			}
		}
		Nodes []struct {
			Typename string `json:"__typename"`
		}
		DriftEvents struct {
			TotalCount int
			Nodes      []struct {
				ID           string
				FromSnapshot struct{ ID, Date string }
				Customer     struct{ ID string }
			}
		}
	}
	a.data(t, &got, `query ($segment: ID!, $ids: [ID!]!) {
  filtered: customers(filter: {segmentIds: [$segment]}, first: 1) { totalCount }
  prefixed: customers(filter: {storeId: "shop", customerIdPrefix: "c01", totalValue: {min: "20.00"}}, first: 1) { totalCount }
  drifted: customers(filter: {severities: [MAJOR], firstOrder: {from: "1990-01-01", to: "2000-01-01"}}, first: 1) { totalCount }
  segment: node(id: $segment) { ... on Segment { members(first: 5) { totalCount edges { membership node { customerId } } } } }
  nodes(ids: $ids) { __typename }
  driftEvents(filter: {toSegmentIds: [$segment], segmentChanged: true}, first: 3) { totalCount nodes { id fromSnapshot { id date } customer { id } } }
}`, map[string]any{"segment": roots[1].ID, "ids": []string{tree.Store.ID, tree.Store.Axis.ID, tree.Store.Model.ID, tree.Store.Model.Run.ID, roots[0].ID}})
	if got.Filtered.TotalCount != 12 || got.Prefixed.TotalCount != 10 || got.Drifted.TotalCount != 0 {
		t.Errorf("filters: %+v %+v %+v", got.Filtered, got.Prefixed, got.Drifted)
	}
	if got.Segment.Members.TotalCount != 12 || len(got.Segment.Members.Edges) != 5 || got.Segment.Members.Edges[0].Membership != 0.9 {
		t.Errorf("members: %+v", got.Segment.Members)
	}
	kinds := fmt.Sprint(got.Nodes)
	if kinds != "[{Store} {Axis} {Model} {ReclusterRun} {Segment}]" {
		t.Errorf("nodes: %s", kinds)
	}
	if got.DriftEvents.TotalCount != 12 || got.DriftEvents.Nodes[0].FromSnapshot.Date == "" {
		t.Fatalf("drift events: %+v", got.DriftEvents)
	}
	event := got.DriftEvents.Nodes[0]
	for id, kind := range map[string]string{event.ID: "DriftEvent", event.FromSnapshot.ID: "Snapshot", event.Customer.ID: "Customer"} {
		if r := a.query(t, `query ($id: ID!) { node(id: $id) { __typename id } }`, map[string]any{"id": id}); !strings.Contains(r.Text, kind) || !strings.Contains(r.Text, id) {
			t.Errorf("%s: %s", kind, r.Text)
		}
	}
}

func TestSnapshotsHealthAndRuns(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var got struct {
		Customer struct {
			Snapshots struct {
				TotalCount int
				Nodes      []struct {
					Date       string
					Thumbprint []struct {
						Status      string
						Memberships []struct{ Score float64 }
						Path        []struct{ Path string }
						Shape       *string
						Reason      *string
					}
				}
			}
		}
		Health struct {
			Status         string
			TotalSnapshots string
			NewestSnapshot string
			LastRun        struct{ State string }
		}
		Store struct {
			Runs              struct{ TotalCount int }
			RetentionPolicies []struct {
				Type     string
				KeepDays int
			}
		}
	}
	a.data(t, &got, `{ customer(by: {key: {storeId: "shop", customerId: "c000"}}) {
  snapshots(type: WEEKLY, range: {from: "1998-06-01"}, first: 2) { totalCount nodes { date expiresAt thumbprint(level: ROOTS) { status reason shape memberships { score } path { path } } } } }
  health { status totalSnapshots newestSnapshot lastRun { state } checks { name status latencyMs } }
  store(key: "shop") { runs(first: 5, filter: {kinds: [RECLUSTER], states: [SUCCEEDED]}) { totalCount } retentionPolicies { type keepDays } } }`, nil)
	page := got.Customer.Snapshots
	if page.TotalCount != 4 || len(page.Nodes) != 2 || page.Nodes[0].Date != lastSunday.String() {
		t.Fatalf("%+v", page)
	}
	first := page.Nodes[0].Thumbprint
	if len(first) != 14 || first[0].Memberships[0].Score != 0.9 || first[0].Path[0].Path != "seg_1" || *first[0].Shape != "CLEAR" || *first[1].Shape != "HYBRID" || *first[2].Reason != "NO_SKU_DATA" {
		t.Errorf("%+v", first[:3])
	}
	if got.Health.Status != "OK" || got.Health.TotalSnapshots != fmt.Sprint(customers*weeks) || got.Health.LastRun.State != "SUCCEEDED" {
		t.Errorf("%+v", got.Health)
	}
	if got.Store.Runs.TotalCount != 1 || len(got.Store.RetentionPolicies) != 5 {
		t.Errorf("%+v", got.Store)
	}
}

func TestBadInputIsACodedError(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	post := func(query string) string {
		body, _ := json.Marshal(map[string]string{"query": query}) // strings always marshal
		return string(body)
	}
	foreign := model.ID{Kind: model.KindCustomer, Store: 999, Customer: 1}.String()
	newer := http.Header{"Accept": {"application/graphql-response+json"}}
	stream := http.Header{"Accept": {"text/event-stream"}}
	cases := []struct {
		name, method, path, body string
		header                   http.Header
		status                   int
		code                     string
	}{
		{"unknown store", "POST", "/graphql", post(`{ store(key: "nowhere") { key } }`), nil, 200, "NOT_FOUND"},
		{"filter by an unknown store", "POST", "/graphql", post(`{ customers(filter: {storeId: "nowhere"}, first: 1) { totalCount } }`), nil, 200, "NOT_FOUND"},
		{"malformed id", "POST", "/graphql", post(`{ node(id: "abc") { id } }`), nil, 200, "BAD_USER_INPUT"},
		{"foreign id", "POST", "/graphql", post(`{ node(id: "` + foreign + `") { id } }`), nil, 200, "NOT_FOUND"},
		{"id of another kind", "POST", "/graphql", post(`{ run(id: "` + foreign + `") { id } }`), nil, 200, "NOT_FOUND"},
		{"giant page", "POST", "/graphql", post(`{ customers(first: 1000000) { totalCount } }`), nil, 200, "BAD_USER_INPUT"},
		{"page beyond 32 bits", "POST", "/graphql", post(`{ customers(first: 99999999999) { totalCount } }`), nil, 200, "BAD_USER_INPUT"},
		{"no page size", "POST", "/graphql", post(`{ customers { totalCount } }`), nil, 200, "BAD_USER_INPUT"},
		{"two page sizes", "POST", "/graphql", post(`{ customers(first: 1, last: 1) { totalCount } }`), nil, 200, "BAD_USER_INPUT"},
		{"malformed cursor", "POST", "/graphql", post(`{ customers(first: 1, after: "abc") { totalCount } }`), nil, 200, "BAD_USER_INPUT"},
		{"unknown axis", "POST", "/graphql", post(`{ store(key: "shop") { axes(keys: ["x"]) { key } } }`), nil, 200, "BAD_USER_INPUT"},
		{"bad date", "POST", "/graphql", post(`{ customer(by: {key: {storeId: "shop", customerId: "c000"}}) { timeline(range: {from: "31.1.1998"}) { dates } } }`), nil, 200, "BAD_USER_INPUT"},
		{"customer named twice", "POST", "/graphql", `{"query":"query ($by: CustomerBy!) { customer(by: $by) { id } }","variables":{"by":{"id":"x","key":{"storeId":"shop","customerId":"c000"}}}}`, nil, 200, ""},
		{"zero byte", "POST", "/graphql", post("{ customer(by: {key: {storeId: \"shop\", customerId: \"a\\u0000b\"}}) { id } }"), nil, 200, "BAD_USER_INPUT"},
		{"missing variable", "POST", "/graphql", post(`query ($key: String!) { store(key: $key) { key } }`), nil, 200, "GRAPHQL_VALIDATION_FAILED"},
		{"variable of another type", "POST", "/graphql", `{"query":"query ($n: Int) { customers(first: $n) { totalCount } }","variables":{"n":"many"}}`, newer, 400, "GRAPHQL_VALIDATION_FAILED"},
		{"unknown field", "POST", "/graphql", post(`{ nothing }`), nil, 200, "GRAPHQL_VALIDATION_FAILED"},
		{"unknown field, newer media type", "POST", "/graphql", post(`{ nothing }`), newer, 400, "GRAPHQL_VALIDATION_FAILED"},
		{"broken document", "POST", "/graphql", post(`{ store(`), newer, 400, "GRAPHQL_PARSE_FAILED"},
		{"broken JSON", "POST", "/graphql", `{"query": `, nil, 400, "GRAPHQL_PARSE_FAILED"},
		{"broken JSON to a stream", "POST", "/graphql", `{"query": `, stream, 400, "GRAPHQL_PARSE_FAILED"},
		{"JSON of another shape", "POST", "/graphql", `[1]`, nil, 400, "BAD_USER_INPUT"},
		{"no query", "POST", "/graphql", `{}`, nil, 400, "BAD_USER_INPUT"},
		{"form", "POST", "/graphql", "query={health{status}}", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, 415, "BAD_USER_INPUT"},
		{"mutation by GET", "GET", "/graphql?query=" + url.QueryEscape(`mutation { recluster(input: {storeId: "shop"}) { run { id } } }`), "", nil, 405, "BAD_USER_INPUT"},
		{"other method", "PUT", "/graphql", post(`{ health { status } }`), nil, 405, "BAD_USER_INPUT"},
		{"subscription by POST", "POST", "/graphql", post(`subscription { runProgress(runId: "x") { state } }`), nil, 400, "BAD_USER_INPUT"},
		{"huge body", "POST", "/graphql", strings.Repeat(" ", 1<<20+1), nil, 413, "BODY_LIMIT_EXCEEDED"},
		{"many tokens", "POST", "/graphql", post("{" + strings.Repeat(" health { status }", 3000) + "}"), nil, 200, "TOKEN_LIMIT_EXCEEDED"},
		{"deferred", "POST", "/graphql", post(`{ stores(first: 1) { ... @defer { totalCount } } }`), nil, 200, "BAD_USER_INPUT"},
		{"deferred fragment", "POST", "/graphql", post(`{ stores(first: 1) { ...f @defer(label: "x") } } fragment f on StoreConnection { totalCount }`), nil, 200, "BAD_USER_INPUT"},
		{"deep", "POST", "/graphql", post(`{ store(key: "shop") { axis(key: "x") { rootSegments { ` + strings.Repeat("children { ", 25) + "path" + strings.Repeat(" }", 25) + " } } } }"), nil, 200, "DEPTH_LIMIT_EXCEEDED"},
		{"aliases", "POST", "/graphql", post("{" + aliases(150) + "}"), nil, 200, "ALIAS_LIMIT_EXCEEDED"},
		{"cost", "POST", "/graphql", post(`{ customers(first: 100) { nodes { snapshots(first: 100) { nodes { customer { driftEvents(first: 100) { nodes { id } } } } } } } }`), nil, 200, "COST_LIMIT_EXCEEDED"},
		{"fragments that spread each other", "POST", "/graphql", post(fragments(40)), nil, 200, "COST_LIMIT_EXCEEDED"},
		{"foreign host", "POST", "/graphql", post(`{ health { status } }`), http.Header{"Host": {"evil.example"}}, 421, "FORBIDDEN"},
	}
	for _, c := range cases {
		r := a.send(t, c.method, c.path, c.body, c.header)
		if len(r.Errors) == 0 || r.Status != c.status || c.code != "" && !slices.Contains(r.codes(), c.code) {
			t.Errorf("%s: status %d, want %d with %s: %.400s", c.name, r.Status, c.status, c.code, r.Text)
		}
		for _, e := range r.Errors {
			if e.Extensions["code"] == nil || e.Extensions["code"] == "INTERNAL" {
				t.Errorf("%s: an error without a code for the caller: %.400s", c.name, r.Text)
			}
		}
		for _, internal := range []string{"SELECT", "pgx", ".go:", "SQLSTATE", "panic"} {
			if strings.Contains(r.Text, internal) {
				t.Errorf("%s: the answer tells internals: %.400s", c.name, r.Text)
			}
		}
	}
}

func aliases(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d: health { status }", i)
	}
	return b.String()
}

// fragments is a document that doubles with every fragment when they are put in place.
func fragments(n int) string {
	var b strings.Builder
	b.WriteString(`{ store(key: "shop") { ...f0 } }`)
	for i := range n {
		fmt.Fprintf(&b, " fragment f%d on Store { ...f%d ...f%d }", i, i+1, i+1)
	}
	fmt.Fprintf(&b, " fragment f%d on Store { key }", n)
	return b.String()
}

func TestUserErrorsAreTyped(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	r := a.query(t, `mutation ($run: ID!) {
  a: recluster(input: {storeId: "nowhere"}) { run { id } userErrors { __typename code field message } }
  b: recluster(input: {storeId: "shop", options: {kMin: 9, kMax: 3}}) { run { id } userErrors { __typename code field } }
  c: cancelRun(input: {runId: $run}) { run { id } userErrors { __typename code ... on RunFinishedError { run { state } } } }
  d: createSnapshots(input: {storeId: "shop", type: DAILY, customerIds: []}) { userErrors { __typename code field } }
}`, map[string]any{"run": a.finishedRun(t)})
	for _, want := range []string{`"NotFoundError"`, `"InvalidInputError"`, `"RunFinishedError"`, `["input","storeId"]`, `["input","options"]`, `"SUCCEEDED"`, `["input","customerIds"]`} {
		if !strings.Contains(r.Text, want) {
			t.Errorf("no %s in %s", want, r.Text)
		}
	}
	if len(r.Errors) > 0 {
		t.Errorf("top-level errors: %s", r.Text)
	}
}

func (a *api) finishedRun(t *testing.T) string {
	t.Helper()
	var got struct {
		Store struct{ LatestRun struct{ ID string } }
	}
	a.data(t, &got, `{ store(key: "shop") { latestRun { id } } }`, nil)
	return got.Store.LatestRun.ID
}

func TestReclusterIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var started struct {
		Recluster struct {
			Run        struct{ ID, State string }
			UserErrors []any
		}
	}
	const recluster = `mutation { recluster(input: {storeId: "shop"}) { run { id state } userErrors { code ... on RunInProgressError { run { id } } } } }`
	a.data(t, &started, recluster, nil)
	run := started.Recluster.Run
	if run.State != "QUEUED" || len(started.Recluster.UserErrors) > 0 {
		t.Fatalf("%+v", started)
	}
	if r := a.query(t, recluster, nil); !strings.Contains(r.Text, "RUN_IN_PROGRESS") || !strings.Contains(r.Text, run.ID) {
		t.Errorf("a second recluster: %s", r.Text)
	}
	socket := a.dial(t)
	subscribe(t, socket, run.ID)
	a.work(t)
	if last := follow(t, socket); last.State != "SUCCEEDED" {
		t.Errorf("the run ended as %s", last.State)
	}
}

// follow reads a subscription to a run until it is complete, and gives the last progress. It must
// never go back.
func follow(t *testing.T, socket *websocket.Conn) progress {
	t.Helper()
	var last progress
	for {
		var m message
		check(t, wsjson.Read(t.Context(), socket, &m))
		if m.Type == "complete" {
			if last.State == "SUCCEEDED" && last.Fraction != 1 {
				t.Errorf("a run that succeeded is done to %g", last.Fraction)
			}
			return last
		}
		if m.Type != "next" {
			continue
		}
		p := m.Payload.Data.RunProgress
		if p.Fraction < last.Fraction || order[p.State] < order[last.State] {
			t.Errorf("progress went back from %+v to %+v", last, p)
		}
		last = p
	}
}

// order is how states follow each other.
var order = map[string]int{"QUEUED": 1, "RUNNING": 2, "SUCCEEDED": 3, "FAILED": 3, "CANCELLED": 3}

// message is one of graphql-transport-ws.
type message struct {
	ID      string `json:"id,omitempty"`
	Type    string `json:"type"`
	Payload struct {
		Data struct {
			RunProgress progress
		}
	} `json:"payload"`
}

type progress struct {
	State, Stage string
	Fraction     float64
}

func (a *api) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	return a.dialBy(t, http.DefaultClient)
}

func (a *api) dialBy(t *testing.T, client *http.Client) *websocket.Conn {
	t.Helper()
	options := &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}, HTTPClient: client}
	socket, response, err := websocket.Dial(t.Context(), strings.Replace(a.url, "http", "ws", 1)+"/graphql", options)
	check(t, err)
	if response.Body != nil {
		defer response.Body.Close()
	}
	t.Cleanup(func() { _ = socket.CloseNow() })
	check(t, wsjson.Write(t.Context(), socket, a.initMessage()))
	var m message
	check(t, wsjson.Read(t.Context(), socket, &m))
	if m.Type != "connection_ack" {
		t.Fatalf("the server answered connection_init with %q", m.Type)
	}
	return socket
}

// rawSocket has said nothing yet.
func (a *api) rawSocket(t *testing.T) *websocket.Conn {
	t.Helper()
	socket, response, err := websocket.Dial(t.Context(), strings.Replace(a.url, "http", "ws", 1)+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	check(t, err)
	if response.Body != nil {
		defer response.Body.Close()
	}
	t.Cleanup(func() { _ = socket.CloseNow() })
	return socket
}

// initMessage opens a socket, with the token where there is one.
func (a *api) initMessage() map[string]any {
	m := map[string]any{"type": "connection_init"}
	if a.token != "" {
		m["payload"] = map[string]any{"Authorization": "Bearer " + a.token}
	}
	return m
}

func subscribe(t *testing.T, socket *websocket.Conn, run string) {
	t.Helper()
	check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{
		"query": `subscription ($id: ID!) { runProgress(runId: $id) { state stage fraction at } }`, "variables": map[string]any{"id": run},
	}}))
}

func TestASubscriptionToNothingIsACodedError(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for run, code := range map[string]string{"abc": "BAD_USER_INPUT", model.ID{Kind: model.KindRun, Run: "00000000-0000-0000-0000-000000000000"}.String(): "NOT_FOUND"} {
		socket := a.dial(t)
		subscribe(t, socket, run)
		for {
			_, text, err := socket.Read(t.Context())
			check(t, err)
			if strings.Contains(string(text), `"complete"`) {
				t.Errorf("%s: ended without %s", run, code)
				break
			}
			if strings.Contains(string(text), code) {
				break
			}
		}
	}
}

func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	body, err := json.Marshal(map[string]any{"query": `subscription ($id: ID!) { runProgress(runId: $id) { state fraction } }`, "variables": map[string]any{"id": a.finishedRun(t)}})
	check(t, err)
	r := a.send(t, http.MethodPost, "/graphql", string(body), http.Header{"Accept": {"text/event-stream"}})
	if r.Header.Get("Content-Type") != "text/event-stream" || !strings.Contains(r.Text, `"SUCCEEDED"`) || !strings.Contains(r.Text, "event: complete") {
		t.Errorf("%v %s", r.Header, r.Text)
	}
}

func TestOtherEndpoints(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ready", "/metrics": "quimbi_database_connections", "/explorer/": "<html",
		"/graphql?query=" + url.QueryEscape("{ health { status } }"): `"OK"`,
	} {
		r := a.send(t, http.MethodGet, path, "", nil)
		if r.Status != http.StatusOK || !strings.Contains(strings.ToLower(r.Text), strings.ToLower(want)) {
			t.Errorf("%s: status %d: %.200s", path, r.Status, r.Text)
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s has no strict headers: %v", path, r.Header)
		}
	}
}
