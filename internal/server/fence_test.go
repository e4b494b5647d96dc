package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket/wsjson"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Everything that is given by name or identifier is tried with what belongs to another store. The places are read from the schema:
// whoever adds one has to say here how it is tried.

// foreign is what a store has that the caller must not see; its variables stand in the probes.
type foreign struct {
	Store, Key, Customer, CustomerKey, Axis, Model, Segment, Snapshot, Event, Run, OfAll string
	// Mixed has the caller's store and the other store's customer, Swapped the caller's store and the other's run.
	Mixed, Swapped string
}

// probe is a document that asks for something foreign, and the code that it must be refused with.
type probe struct {
	document string
	value    func(*foreign) any // of $x
	code     string             // NOT_FOUND unless told
}

func of(pick func(*foreign) string) func(*foreign) any {
	return func(f *foreign) any { return pick(f) }
}

var (
	foreignKey      = of(func(f *foreign) string { return f.Key })
	foreignCustomer = of(func(f *foreign) string { return f.Customer })
	foreignSegment  = of(func(f *foreign) string { return f.Segment })
	foreignRun      = of(func(f *foreign) string { return f.Run })
	foreignSegments = func(f *foreign) any { return []string{f.Segment} }
)

const ownCustomer = `customer(by: {key: {storeId: "shop", customerId: "c000"}})`

// probes are by place: type, field, and the way to the argument.
var probes = map[string]probe{
	"Mutation.renameSegment.input.segmentId":  {`mutation ($x: ID!) { renameSegment(input: {segmentId: $x, name: "mine"}) { segment { id } userErrors { code } } }`, func(f *foreign) any { return f.Segment }, ""},
	"Query.node.id":                           {`query ($x: ID!) { node(id: $x) { id } }`, foreignCustomer, ""},
	"Query.nodes.ids":                         {`query ($x: [ID!]!) { nodes(ids: $x) { id } }`, func(f *foreign) any { return []string{f.Customer, f.Segment} }, ""},
	"Query.run.id":                            {`query ($x: ID!) { run(id: $x) { id } }`, foreignRun, ""},
	"Query.store.key":                         {`query ($x: String!) { store(key: $x) { id } }`, foreignKey, ""},
	"Query.customer.by.id":                    {`query ($x: ID!) { customer(by: {id: $x}) { id } }`, foreignCustomer, ""},
	"Query.customer.by.key.storeId":           {`query ($x: String!) { customer(by: {key: {storeId: $x, customerId: "foreign-000"}}) { id } }`, foreignKey, ""},
	"Query.customers.filter.storeId":          {`query ($x: String!) { customers(filter: {storeId: $x}, first: 9) { nodes { id customerId } } }`, foreignKey, ""},
	"Query.customers.filter.segmentIds":       {`query ($x: [ID!]!) { customers(filter: {segmentIds: $x}, first: 9) { nodes { id } } }`, foreignSegments, ""},
	"Query.driftEvents.filter.storeId":        {`query ($x: String!) { driftEvents(filter: {storeId: $x}, first: 9) { nodes { id } } }`, foreignKey, ""},
	"Query.driftEvents.filter.fromSegmentIds": {`query ($x: [ID!]!) { driftEvents(filter: {fromSegmentIds: $x}, first: 9) { nodes { id } } }`, foreignSegments, ""},
	"Query.driftEvents.filter.toSegmentIds":   {`query ($x: [ID!]!) { driftEvents(filter: {toSegmentIds: $x}, first: 9) { nodes { id } } }`, foreignSegments, ""},

	"Store.segmentTransitions.filter.fromSegmentIds":    {`query ($x: [ID!]!) { store(key: "shop") { segmentTransitions(filter: {fromSegmentIds: $x}, first: 9) { nodes { __typename } } } }`, foreignSegments, ""},
	"Customer.segmentTransitions.filter.fromSegmentIds": {`query ($x: [ID!]!) { ` + ownCustomer + ` { segmentTransitions(filter: {fromSegmentIds: $x}, first: 9) { nodes { __typename } } } }`, foreignSegments, ""},
	"Store.segmentTransitions.filter.toSegmentIds":      {`query ($x: [ID!]!) { store(key: "shop") { segmentTransitions(filter: {toSegmentIds: $x}, first: 9) { nodes { __typename } } } }`, foreignSegments, ""},
	"Customer.segmentTransitions.filter.toSegmentIds":   {`query ($x: [ID!]!) { ` + ownCustomer + ` { segmentTransitions(filter: {toSegmentIds: $x}, first: 9) { nodes { __typename } } } }`, foreignSegments, ""},
	"Store.cohortHeatmap.segmentId":                     {`query ($x: ID!) { store(key: "shop") { cohortHeatmap(metric: SEGMENT_SHARE, segmentId: $x) { __typename } } }`, foreignSegment, ""},

	"Journey.paths.startsAt.segmentId": {`query ($x: ID!) { store(key: "shop") { journey(axis: "purchase_frequency") { paths(startsAt: {segmentId: $x}) { totalCount } } } }`, foreignSegment, ""},
	"Journey.paths.endsIn.segmentId":   {`query ($x: ID!) { store(key: "shop") { journey(axis: "purchase_frequency") { paths(endsIn: {segmentId: $x}) { totalCount } } } }`, foreignSegment, ""},

	"Query.auditLog.filter.storeId": {`query ($x: String!) { auditLog(filter: {storeId: $x}, first: 9) { nodes { actor } } }`, foreignKey, ""},

	// The customer's own store is the only one that its events can be filtered by, whether the other exists or not.
	"Customer.driftEvents.filter.storeId":        {`query ($x: String!) { ` + ownCustomer + ` { driftEvents(filter: {storeId: $x}, first: 9) { nodes { id } } } }`, foreignKey, "BAD_USER_INPUT"},
	"Customer.driftEvents.filter.fromSegmentIds": {`query ($x: [ID!]!) { ` + ownCustomer + ` { driftEvents(filter: {fromSegmentIds: $x}, first: 9) { nodes { id } } } }`, foreignSegments, ""},
	"Customer.driftEvents.filter.toSegmentIds":   {`query ($x: [ID!]!) { ` + ownCustomer + ` { driftEvents(filter: {toSegmentIds: $x}, first: 9) { nodes { id } } } }`, foreignSegments, ""},
	"Customer.pathTo.segmentId":                  {`query ($x: ID!) { ` + ownCustomer + ` { pathTo(segmentId: $x) { reachable } } }`, foreignSegment, ""},
	"AxisMembership.reasons.segmentId":           {`query ($x: ID!) { ` + ownCustomer + ` { thumbprint(axes: ["purchase_frequency"]) { reasons(segmentId: $x) { __typename } } } }`, foreignSegment, ""},
	"AxisMembership.reasons.overSegmentId":       {`query ($x: ID!) { ` + ownCustomer + ` { thumbprint(axes: ["purchase_frequency"]) { reasons(overSegmentId: $x) { __typename } } } }`, foreignSegment, ""},
	"AxisDrift.causes.segmentId":                 {`query ($x: ID!) { ` + ownCustomer + ` { driftAnalysis(range: {}, axes: ["purchase_frequency"]) { axes { causes(segmentId: $x) { __typename } } } } }`, foreignSegment, ""},

	"Mutation.recluster.input.storeId":                   {`mutation ($x: String!) { recluster(input: {storeId: $x}) { run { id } userErrors { code } } }`, foreignKey, ""},
	"Mutation.cancelRun.input.runId":                     {`mutation ($x: ID!) { cancelRun(input: {runId: $x}) { run { id } userErrors { code } } }`, foreignRun, ""},
	"Mutation.createSnapshot.input.customer.id":          {`mutation ($x: ID!) { createSnapshot(input: {customer: {id: $x}, type: DAILY}) { snapshot { id } userErrors { code } } }`, foreignCustomer, ""},
	"Mutation.createSnapshot.input.customer.key.storeId": {`mutation ($x: String!) { createSnapshot(input: {customer: {key: {storeId: $x, customerId: "foreign-000"}}, type: DAILY}) { snapshot { id } userErrors { code } } }`, foreignKey, ""},
	"Mutation.createSnapshots.input.storeId":             {`mutation ($x: String!) { createSnapshots(input: {storeId: $x, type: DAILY}) { run { id } userErrors { code } } }`, foreignKey, ""},
	"Mutation.replaySnapshots.input.storeId":             {`mutation ($x: String!) { replaySnapshots(input: {storeId: $x, type: WEEKLY, from: "1998-01-01", to: "1998-02-01"}) { run { id } userErrors { code } } }`, foreignKey, ""},
	"Mutation.backtest.input.storeId":                    {`mutation ($x: String!) { backtest(input: {storeId: $x}) { run { id } userErrors { code } } }`, foreignKey, ""},
	"Mutation.cleanupSnapshots.input.storeId":            {`mutation ($x: String!) { cleanupSnapshots(input: {storeId: $x, dryRun: true}) { report { deletedCount } userErrors { code } } }`, foreignKey, ""},
	"Mutation.updateStore.input.storeId":                 {`mutation ($x: String!) { updateStore(input: {storeId: $x, name: "mine"}) { store { id } userErrors { code } } }`, foreignKey, ""},
	"Mutation.exportCustomer.input.customer.id":          {`mutation ($x: ID!) { exportCustomer(input: {customer: {id: $x}}) { document userErrors { code } } }`, foreignCustomer, ""},
	"Mutation.exportCustomer.input.customer.key.storeId": {`mutation ($x: String!) { exportCustomer(input: {customer: {key: {storeId: $x, customerId: "foreign-000"}}}) { document userErrors { code } } }`, foreignKey, ""},
	"Mutation.eraseCustomer.input.customer.id":           {`mutation ($x: ID!) { eraseCustomer(input: {customer: {id: $x}}) { receipt { receiptId } userErrors { code } } }`, foreignCustomer, ""},
	"Mutation.eraseCustomer.input.customer.key.storeId":  {`mutation ($x: String!) { eraseCustomer(input: {customer: {key: {storeId: $x, customerId: "foreign-000"}}}) { receipt { receiptId } userErrors { code } } }`, foreignKey, ""},
	"Mutation.importOrders.input.storeId":                {`mutation ($x: String!) { importOrders(input: {storeId: $x, orders: [{orderId: "1", customerId: "foreign-000", orderedAt: "1998-06-01T10:00:00Z", lines: [{quantity: 1, unitPrice: "1"}]}]}) { run { id } userErrors { code } } }`, foreignKey, ""},

	"Subscription.runProgress.runId":                 {`subscription ($x: ID!) { runProgress(runId: $x) { state } }`, foreignRun, ""},
	"Subscription.snapshotsTaken.storeId":            {`subscription ($x: String!) { snapshotsTaken(storeId: $x) { count } }`, foreignKey, ""},
	"Subscription.driftEvents.after":                 {`subscription ($x: ID!) { driftEvents(after: $x) { id } }`, of(func(f *foreign) string { return f.Event }), ""},
	"Subscription.driftEvents.filter.storeId":        {`subscription ($x: String!) { driftEvents(filter: {storeId: $x}) { id } }`, foreignKey, ""},
	"Subscription.driftEvents.filter.fromSegmentIds": {`subscription ($x: [ID!]!) { driftEvents(filter: {fromSegmentIds: $x}) { id } }`, foreignSegments, ""},
	"Subscription.driftEvents.filter.toSegmentIds":   {`subscription ($x: [ID!]!) { driftEvents(filter: {toSegmentIds: $x}) { id } }`, foreignSegments, ""},
}

// lists are root fields that name nothing, or need not: their answers must hold nothing foreign.
var lists = map[string]string{
	"Query.stores":              `{ stores(first: 100) { totalCount nodes { key id } } }`,
	"Query.customers":           `{ customers(first: 100, orderBy: {field: CUSTOMER_ID, direction: DESC}) { totalCount nodes { customerId id } } }`,
	"Query.driftEvents":         `{ driftEvents(filter: {causes: [ORDER, TIME], minSeverity: STABLE}, first: 100) { totalCount nodes { customer { customerId } } } }`,
	"Query.auditLog":            `{ auditLog(first: 100) { nodes { actor storeId mutation } } }`,
	"Query.health":              `{ health { totalSnapshots snapshotsByType { count } lastRun { id store { key } } } }`,
	"Mutation.cleanupSnapshots": `mutation { cleanupSnapshots(input: {dryRun: true}) { report { deletedCount policies { storeId } } userErrors { code } } }`,
}

// places lists where the schema takes an identifier or the key of a store, and its root fields.
func places(schema *ast.Schema) (named []string, roots map[string]bool) {
	roots = map[string]bool{}
	var walk func(path string, of *ast.Type, name string, within []string)
	walk = func(path string, of *ast.Type, name string, within []string) {
		def := schema.Types[of.Name()]
		if def.Kind == ast.InputObject {
			if slices.Contains(within, def.Name) {
				return
			}
			for _, field := range def.Fields {
				walk(path+"."+field.Name, field.Type, field.Name, append(within, def.Name))
			}
			return
		}
		if def.Name == "ID" || name == "storeId" || path == "Query.store.key" {
			named = append(named, path)
		}
	}
	for _, def := range schema.Types {
		if def.Kind != ast.Object || def.BuiltIn {
			continue
		}
		for _, field := range def.Fields {
			if strings.HasPrefix(field.Name, "__") {
				continue
			}
			if def == schema.Query || def == schema.Mutation || def == schema.Subscription {
				roots[def.Name+"."+field.Name] = true
			}
			for _, argument := range field.Arguments {
				walk(def.Name+"."+field.Name+"."+argument.Name, argument.Type, argument.Name, nil)
			}
		}
	}
	return named, roots
}

func TestNothingOfAnotherStoreIsReached(t *testing.T) {
	t.Parallel()
	open := newAPI(t)
	fillStore(t, open.db, "other", func(i int) string { return fmt.Sprintf("foreign-%03d", i) })
	f := open.as(t, "other", auth.Admin).foreign(t)
	f.OfAll = open.as(t, "", auth.Admin).runOfAll(t)
	own := open.as(t, "shop", auth.Admin)
	mine := own.foreign(t)
	f.mix(t, mine)

	named, roots := places(graph.NewExecutableSchema(graph.Config{}).Schema())
	for _, place := range named {
		delete(roots, strings.Join(strings.Split(place, ".")[:2], "."))
		p, ok := probes[place]
		if !ok {
			t.Errorf("%s takes an identifier: say in probes how it is tried with another store's", place)
			continue
		}
		code := p.code
		if code == "" {
			code = "NOT_FOUND"
		}
		own.refused(t, place, p.document, p.value(f), code)
	}
	for place := range probes {
		if !slices.Contains(named, place) {
			t.Errorf("probes holds %s, which the schema does not", place)
		}
	}
	for _, root := range slices.Sorted(maps.Keys(roots)) {
		if lists[root] == "" {
			t.Errorf("%s names nothing: say in lists how it is tried", root)
		}
	}
	for root, document := range lists {
		r := own.query(t, document, nil)
		if len(r.Errors) > 0 || strings.Contains(r.Text, "foreign") || strings.Contains(r.Text, `"other"`) {
			t.Errorf("%s fails or tells of another store: %.600s", root, r.Text)
		}
	}
	for what, want := range map[string]string{
		`{ stores(first: 100) { totalCount } }`:                      `"totalCount":1`,
		`{ customers(first: 1) { totalCount } }`:                     fmt.Sprintf(`"totalCount":%d`, customers),
		`{ health { totalSnapshots } }`:                              fmt.Sprintf(`"totalSnapshots":"%d"`, customers*weeks),
		`{ store(key: "shop") { runs(first: 100) { totalCount } } }`: `"totalCount":1`, // without the run over all stores
	} {
		if r := own.query(t, what, nil); !strings.Contains(r.Text, want) {
			t.Errorf("%s: %s, want %s", what, r.Text, want)
		}
	}

	// Every kind of identifier, by node and by the field for its kind, also mixed from both stores.
	for _, id := range []string{f.Store, f.Customer, f.Axis, f.Model, f.Segment, f.Snapshot, f.Event, f.Run, f.OfAll, f.Mixed, f.Swapped} {
		own.refused(t, "node "+id, `query ($x: ID!) { node(id: $x) { __typename } }`, id, "NOT_FOUND")
	}
	for _, id := range []string{f.Run, f.OfAll, f.Swapped} {
		own.refused(t, "run "+id, `query ($x: ID!) { run(id: $x) { __typename } }`, id, "NOT_FOUND")
		own.refused(t, "cancelRun "+id, `mutation ($x: ID!) { cancelRun(input: {runId: $x}) { userErrors { code } } }`, id, "NOT_FOUND")
		own.refused(t, "runProgress "+id, `subscription ($x: ID!) { runProgress(runId: $x) { state } }`, id, "NOT_FOUND")
	}
	own.refused(t, "a customer of both", `query ($x: ID!) { customer(by: {id: $x}) { id } }`, f.Mixed, "NOT_FOUND")

	// A cursor of another store's list says where to go on, and nothing more.
	var page struct {
		Customers struct{ PageInfo struct{ EndCursor string } }
	}
	open.as(t, "other", auth.Reader).data(t, &page, `{ customers(first: 1) { pageInfo { endCursor } } }`, nil)
	r := own.query(t, `query ($x: String!) { customers(first: 100, after: $x) { nodes { customerId } } }`, map[string]any{"x": page.Customers.PageInfo.EndCursor})
	if strings.Contains(r.Text, "foreign") {
		t.Errorf("a cursor leads into another store: %.300s", r.Text)
	}
	// Nothing was changed over there.
	var kept struct {
		Store struct {
			Name string
			Runs struct{ TotalCount int }
		}
		Customers struct{ TotalCount int }
	}
	open.as(t, "other", auth.Reader).data(t, &kept, `{ store(key: "other") { name runs(first: 1) { totalCount } } customers(first: 1) { totalCount } }`, nil)
	if kept.Store.Name != "other" || kept.Store.Runs.TotalCount != 1 || kept.Customers.TotalCount != customers {
		t.Errorf("the other store was changed: %+v", kept)
	}
}

// Who may see one store subscribes without a filter, and is told of this store alone; others are told of theirs.
func TestSubscriptionsWithoutAFilterStayInTheStore(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	fillStore(t, a.db, "other", func(i int) string { return fmt.Sprintf("foreign-%03d", i) })
	own, all := a.as(t, "shop", auth.Reader), a.as(t, "", auth.Reader)
	const drifts = `{ driftEvents(filter: {causes: [ORDER, TIME], minSeverity: STABLE}) { customer { customerId } } }`
	const taken = `{ snapshotsTaken { storeId date } }`
	told, watches := make(chan watched, 4), 0
	watch := func(of *api, query string, sees ...string) {
		watches++
		socket := of.dial(t)
		check(t, wsjson.Write(t.Context(), socket, map[string]any{"id": "1", "type": "subscribe", "payload": map[string]any{"query": "subscription " + query}}))
		go func() {
			w := watched{query: query, sees: sees}
			missing := func(name string) bool { return !strings.Contains(w.text, name) }
			for n := 0; w.err == nil && (n < 4 || slices.ContainsFunc(sees, missing)); n++ {
				var text []byte
				_, text, w.err = socket.Read(t.Context())
				w.text += string(text)
			}
			told <- w
		}()
	}
	watch(own, drifts, "c0")
	watch(own, taken, `"shop"`)
	watch(all, drifts, "c0", "foreign-")
	watch(all, taken, `"shop"`, `"other"`)
	// When a subscription has begun is not told, so something happens until all have seen enough.
	for date := lastSunday + 7; watches > 0; date += 7 {
		a.happens(t, "other", date)
		a.happens(t, "shop", date)
		select {
		case w := <-told:
			watches--
			if w.err != nil || strings.Contains(w.text, "errors") || strings.Contains(w.text, `"error"`) {
				t.Errorf("%s: told %s, then %v", w.query, w.text, w.err)
			}
			for _, name := range []string{"c0", "foreign-", `"shop"`, `"other"`} {
				if strings.Contains(w.text, name) != slices.Contains(w.sees, name) {
					t.Errorf("%s: told %s, want %v alone", w.query, w.text, w.sees)
				}
			}
		default:
		}
	}
}

// watched is what a subscriber was told first, and what it may be told of.
type watched struct {
	query, text string
	sees        []string
	err         error
}

// happens writes a snapshot and a drift event of a store's first customer.
func (a *api) happens(t *testing.T, key string, date engine.Date) {
	t.Helper()
	store, err := a.db.StoreByKey(t.Context(), key)
	check(t, err)
	found, err := a.db.Customers(t.Context(), postgres.CustomerQuery{StoreIDs: []int32{store.ID}, Window: postgres.Window{Limit: 1}})
	check(t, err)
	check(t, a.db.EnsureLeaves(t.Context(), engine.Weekly, []engine.Date{date}))
	check(t, a.db.InTx(t.Context(), func(tx *postgres.Tx) error {
		snapshot := engine.Snapshot{StoreID: store.ID, CustomerID: found[0].ID, Type: engine.Weekly, Date: date, ModelVersion: 1, Thumbprint: fixturePrint(0, 0), Purchases: 1, FirstAt: lastSunday - 200}
		event := engine.DriftEvent{StoreID: store.ID, CustomerID: found[0].ID, Type: engine.Weekly, From: date - 7, To: date, ModelVersion: 1, Score: 0.6, FromSegment: 2, ByOrder: true}
		return errors.Join(tx.CopySnapshots(t.Context(), []postgres.WrittenSnapshot{{Snapshot: snapshot}}), tx.CopyDriftEvents(t.Context(), []engine.DriftEvent{event}))
	}))
}

// refused asks for something foreign and looks at the answer.
func (a *api) refused(t *testing.T, what, document string, value any, code string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": document, "variables": map[string]any{"x": value}})
	check(t, err)
	var header http.Header
	if strings.HasPrefix(document, "subscription") {
		header = http.Header{"Accept": {"text/event-stream"}}
	}
	r := a.sendFor(t, 10*time.Second, http.MethodPost, "/graphql", string(body), header)
	if !strings.Contains(r.Text, code) || strings.Contains(r.Text, `"foreign-`) || r.Status != http.StatusOK {
		t.Errorf("%s: want %s, got status %d: %.500s", what, code, r.Status, r.Text)
	}
}

// foreign gathers what the caller's store has.
func (a *api) foreign(t *testing.T) *foreign {
	t.Helper()
	var got struct {
		Stores struct {
			Nodes []struct {
				ID, Key   string
				LatestRun struct{ ID string }
				Model     struct{ ID string }
				Axis      struct {
					ID           string
					RootSegments []struct{ ID string }
				}
			}
		}
		Customers struct {
			Nodes []struct {
				ID, CustomerID string
				LatestSnapshot struct{ ID string }
			}
		}
		DriftEvents struct{ Nodes []struct{ ID string } }
	}
	a.data(t, &got, `{ stores(first: 1) { nodes { id key latestRun { id } model { id } axis(key: "purchase_frequency") { id rootSegments { id } } } }
  customers(first: 1) { nodes { id customerId latestSnapshot(type: WEEKLY) { id } } } driftEvents(first: 1) { nodes { id } } }`, nil)
	store, customer := got.Stores.Nodes[0], got.Customers.Nodes[0]
	return &foreign{
		Store: store.ID, Key: store.Key, Run: store.LatestRun.ID, Model: store.Model.ID, Axis: store.Axis.ID, Segment: store.Axis.RootSegments[0].ID,
		Customer: customer.ID, CustomerKey: customer.CustomerID, Snapshot: customer.LatestSnapshot.ID, Event: got.DriftEvents.Nodes[0].ID,
	}
}

// runOfAll starts a run that goes over all stores.
func (a *api) runOfAll(t *testing.T) string {
	t.Helper()
	var got struct {
		CleanupSnapshots struct{ Run struct{ ID string } }
	}
	a.data(t, &got, `mutation { cleanupSnapshots { run { id } userErrors { code } } }`, nil)
	return got.CleanupSnapshots.Run.ID
}

// mix makes identifiers of both stores.
func (f *foreign) mix(t *testing.T, mine *foreign) {
	t.Helper()
	parse := func(text string) model.ID {
		id, err := model.ParseID(text)
		check(t, err)
		return id
	}
	customer, run, own := parse(f.Customer), parse(f.Run), parse(mine.Customer)
	customer.Store, run.Store = own.Store, own.Store
	f.Mixed, f.Swapped = customer.String(), run.String()
}
