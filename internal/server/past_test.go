package server_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// pastCustomers is how many customers a newPastAPI has beside "refunded".
const pastCustomers = 160

// newPastAPI has one store, "past", in New York: customers p000 to p159 who bought in 1998, and "refunded", whose order of 100.00 on
// 1 March was refunded by 60.00 on 10 April. There is a model, and no snapshot.
func newPastAPI(t *testing.T) (*api, *engine.Store) {
	t.Helper()
	a := newEmptyAPI(t)
	return a, a.fillPast(t)
}

// fillPast makes the store "past" and its first model.
func (a *api) fillPast(t *testing.T) *engine.Store {
	t.Helper()
	ctx := t.Context()
	store, err := a.db.EnsureStore(ctx, "past")
	check(t, err)
	zone := "America/New_York"
	store, err = a.queue.UpdateStore(ctx, jobs.SettingsRequest{Store: store, TimeZone: &zone})
	check(t, err)
	random := rand.New(rand.NewPCG(3, 4))
	first := engine.NewDate(1998, time.January, 1)
	_, err = a.db.ImportLines(ctx, store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for i := range pastCustomers {
			for j := range 1 + random.IntN(9) {
				at := (first + engine.Date(random.IntN(170))).In(store.Zone).Add(time.Duration(random.IntN(24*60)) * time.Minute)
				line := &postgres.ImportLine{Customer: fmt.Sprintf("p%03d", i), Line: engine.Line{
					OrderKey: fmt.Sprintf("p%03d-%d", i, j), Number: 1, OrderedAt: at, Quantity: 1 + random.Int32N(3), NetCents: 500 + random.Int64N(6000),
				}}
				if random.IntN(4) == 0 {
					line.RefundCents, line.RefundedAt = line.NetCents/2, at.AddDate(0, 0, random.IntN(40))
				}
				if err := yield(line); err != nil {
					return 0, err
				}
			}
		}
		refunded := &postgres.ImportLine{Customer: "refunded", Line: engine.Line{
			OrderKey: "r", Number: 1, OrderedAt: date("1998-03-01").In(store.Zone), Quantity: 1, NetCents: 10_000,
			RefundCents: 6000, RefundedAt: date("1998-04-10").In(store.Zone).Add(time.Hour),
		}}
		return engine.ColumnOrderID | engine.ColumnReturns | engine.ColumnTimeOfDay, yield(refunded)
	})
	check(t, err)
	a.fitPast(t, 1)
	store, err = a.db.StoreByKey(ctx, store.Key)
	check(t, err)
	return store
}

func (a *api) fitPast(t *testing.T, seed uint64) {
	t.Helper()
	store, err := a.db.StoreByKey(t.Context(), "past")
	check(t, err)
	params := engine.DefaultParams()
	params.ChooseK, params.Hierarchical, params.Starts, params.MaxIterations = false, false, 1, 20
	a.fitPastWith(t, store, seed, params)
}

func (a *api) fitPastWith(t *testing.T, store *engine.Store, seed uint64, params engine.Params) {
	t.Helper()
	run, err := a.queue.Recluster(t.Context(), jobs.ReclusterRequest{Store: store, Params: params, Seed: &seed, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, a.queue.Work(t.Context(), run, nil))
}

func (a *api) replayPast(t *testing.T, store *engine.Store, from, to string) {
	t.Helper()
	run, err := a.queue.Replay(t.Context(), jobs.ReplayRequest{Store: store, Type: engine.Weekly, From: date(from), To: date(to), Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, a.queue.Work(t.Context(), run, nil))
}

func date(text string) engine.Date {
	d, err := engine.ParseDate(text)
	if err != nil {
		panic(err) // the test's own text
	}
	return d
}

// pastCustomer is what is asked of a customer on a day.
type pastCustomer struct {
	CustomerID, TotalValue    string
	OrderCount                int
	FirstOrderAt, LastOrderAt *string
	AsOf                      *string
	Computed                  bool
	DominantPaths             []*string
	Thumbprint                []struct {
		Status      string
		Memberships []struct{ Score float64 }
	}
	Freshness      struct{ ModelVersion *int }
	LatestSnapshot *struct{ Date string }
}

const askPast = `customerId totalValue orderCount firstOrderAt lastOrderAt asOf computed dominantPaths thumbprint { status memberships { score } } freshness { modelVersion } latestSnapshot { date }`

// customerAt asks for a customer of the store "past" on a day; an empty day means now.
func (a *api) customerAt(t *testing.T, name, day string) pastCustomer {
	t.Helper()
	variables := map[string]any{"name": name}
	if day != "" {
		variables["day"] = day
	}
	var got struct{ Customer pastCustomer }
	a.data(t, &got, `query ($name: String!, $day: Date) { customer(by: {key: {storeId: "past", customerId: $name}}, asOf: $day) { `+askPast+` } }`, variables)
	return got.Customer
}

// TestARefundCountsFromWhenItIsKnown asks before and after a refund, with snapshots and without.
func TestARefundCountsFromWhenItIsKnown(t *testing.T) {
	t.Parallel()
	a, store := newPastAPI(t)
	values := map[string]string{"1998-03-02": "100.00", "1998-04-10": "100.00", "1998-04-11": "40.00", "": "40.00"}
	hold := func(computed bool) {
		t.Helper()
		for day, want := range values {
			c := a.customerAt(t, "refunded", day)
			if c.TotalValue != want || c.OrderCount != 1 || c.Computed != (computed && day != "") || (c.AsOf == nil) != (day == "") {
				t.Errorf("on %q: %+v, want the value %s", day, c, want)
			}
		}
	}
	hold(true)
	for _, c := range []struct{ day, to string }{{"1998-03-02", "1998-03-03"}, {"1998-04-10", "1998-04-12"}} {
		run, err := a.queue.Replay(t.Context(), jobs.ReplayRequest{Store: store, Type: engine.Daily, From: date(c.day), To: date(c.to), Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, a.queue.Work(t.Context(), run, nil))
	}
	hold(false)

	// The list and the timeline tell the same.
	var got struct {
		Before, After struct {
			TotalCount int
			Nodes      []struct {
				CustomerID, TotalValue string
				Timeline               struct {
					TotalValues []string
					Computed    []bool
				}
			}
		}
	}
	const list = `%s: customers(asOf: "%s", filter: {storeId: "past", customerIdPrefix: "refunded", totalValue: {min: "%s"}}, first: 10) {
  totalCount nodes { customerId totalValue timeline(range: {from: "1998-04-01", to: "1998-05-01"}) { totalValues computed } } } `
	a.data(t, &got, "{ "+fmt.Sprintf(list, "before", "1998-04-10", "99.00")+fmt.Sprintf(list, "after", "1998-04-11", "99.00")+"}", nil)
	if n := got.Before.Nodes; got.Before.TotalCount != 1 || len(n) != 1 || n[0].TotalValue != "100.00" || fmt.Sprint(n[0].Timeline.TotalValues, n[0].Timeline.Computed) != "[100.00] [true]" {
		t.Errorf("before the refund: %+v", got.Before)
	}
	if got.After.TotalCount != 0 || len(got.After.Nodes) != 0 {
		t.Errorf("after the refund: %+v", got.After)
	}
}

// timelineAt asks for a customer's whole timeline; asOf is part of the arguments.
func (a *api) timelineAt(t *testing.T, name, arguments string) (line pastLine) {
	t.Helper()
	var got struct{ Customer struct{ Timeline pastLine } }
	a.data(t, &got, `query ($name: String!) { customer(by: {key: {storeId: "past", customerId: $name}}) { timeline(`+arguments+`) {
  dates totalValues orders computed overallDriftScores axes { status dominantPaths driftScores series { scores } } } } }`, map[string]any{"name": name})
	return got.Customer.Timeline
}

type pastLine struct {
	Dates, TotalValues []string
	Orders             []int
	Computed           []bool
	OverallDriftScores []*float64
	Axes               []struct {
		Status        string
		DominantPaths []*string
		DriftScores   []*float64
		Series        []struct{ Scores []*float64 }
	}
}

// TestWorkedOutEqualsReplayed holds what is worked out from orders to what a replay writes.
func TestWorkedOutEqualsReplayed(t *testing.T) {
	t.Parallel()
	a, store := newPastAPI(t)
	const arguments = `range: {from: "1998-02-01", to: "1998-06-01"}, asOf: "1998-05-24"`
	names := []string{"p000", "p017", "p042", "p159", "refunded"}
	lines, customers := map[string]pastLine{}, map[string]pastCustomer{}
	for _, name := range names {
		lines[name], customers[name] = a.timelineAt(t, name, arguments), a.customerAt(t, name, "1998-05-24")
		if n := len(lines[name].Dates); n == 0 || lines[name].Dates[n-1] != "1998-05-24" || slices.Contains(lines[name].Computed, false) || !customers[name].Computed {
			t.Errorf("%s: dates %v, computed %v", name, lines[name].Dates, lines[name].Computed)
		}
	}
	a.replayPast(t, store, "1998-02-01", "1998-06-15")
	for _, name := range names {
		line, customer := a.timelineAt(t, name, arguments), a.customerAt(t, name, "1998-05-24")
		if slices.Contains(line.Computed, true) || customer.Computed || customer.LatestSnapshot == nil || customer.LatestSnapshot.Date != "1998-05-24" {
			t.Errorf("%s is worked out though there are snapshots: %v, %+v", name, line.Computed, customer.LatestSnapshot)
		}
		line.Computed, customer.Computed, customer.LatestSnapshot = lines[name].Computed, true, nil
		if diff := cmp.Diff(lines[name], line); diff != "" {
			t.Errorf("%s, timeline (-worked out +replayed):\n%s", name, diff)
		}
		if diff := cmp.Diff(customers[name], customer); diff != "" {
			t.Errorf("%s (-worked out +replayed):\n%s", name, diff)
		}
		// Days that have no snapshot fill the gaps of those that have.
		mixed := a.timelineAt(t, name, `range: {from: "1998-05-20", to: "1998-07-01"}, asOf: "1998-06-18"`)
		if fmt.Sprint(mixed.Dates) != "[1998-05-24 1998-05-31 1998-06-07 1998-06-14]" || slices.Contains(mixed.Computed, true) {
			t.Errorf("%s: %v, computed %v", name, mixed.Dates, mixed.Computed)
		}
		mixed = a.timelineAt(t, name, `range: {from: "1998-01-18", to: "1998-02-10"}, asOf: "1998-02-09"`)
		for i, day := range mixed.Dates {
			if mixed.Computed[i] != (day < "1998-02-01") {
				t.Errorf("%s: %v, computed %v", name, mixed.Dates, mixed.Computed)
			}
		}
	}
	// The analysis looks at no later day.
	var got struct {
		Customer struct {
			Then, Now struct {
				From, To struct {
					Date     string
					Computed bool
				}
				Motion struct{ Snapshots int }
			}
		}
	}
	a.data(t, &got, `{ customer(by: {key: {storeId: "past", customerId: "p042"}}) {
  then: driftAnalysis(range: {}, asOf: "1998-03-15") { from { date computed } to { date computed } motion { snapshots } }
  now: driftAnalysis(range: {}) { from { date computed } to { date computed } motion { snapshots } } } }`, nil)
	if c := got.Customer; c.Then.To.Date != "1998-03-15" || c.Then.To.Computed || !c.Then.From.Computed || c.Now.To.Date != "1998-06-14" || c.Now.From.Computed {
		t.Errorf("%+v", c)
	}
}

// TestWhatWasKnownThen changes an order after snapshots were taken: their days tell what was known, others what is known now.
func TestWhatWasKnownThen(t *testing.T) {
	t.Parallel()
	a, store := newPastAPI(t)
	a.replayPast(t, store, "1998-03-08", "1998-03-09")
	_, err := a.db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		return 0, yield(&postgres.ImportLine{Customer: "refunded", Line: engine.Line{OrderKey: "r", Number: 1, OrderedAt: date("1998-03-01").In(store.Zone), Quantity: 1, NetCents: 7000}})
	})
	check(t, err)
	for day, want := range map[string]string{"1998-03-08": "100.00", "1998-03-09": "70.00", "": "70.00"} {
		if c := a.customerAt(t, "refunded", day); c.TotalValue != want {
			t.Errorf("on %q the value is %s, want %s", day, c.TotalValue, want)
		}
	}

	// An order that turns out to be somebody else's was this customer's as far as was known.
	_, err = a.db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		return 0, yield(&postgres.ImportLine{Customer: "other", Line: engine.Line{OrderKey: "r", Number: 1, OrderedAt: date("1998-03-01").In(store.Zone), Quantity: 1, NetCents: 7000}})
	})
	check(t, err)
	if c := a.customerAt(t, "refunded", "1998-03-08"); c.TotalValue != "100.00" || c.OrderCount != 1 || c.Computed {
		t.Errorf("with a snapshot and without orders: %+v", c)
	}
	if r := a.query(t, `{ customer(by: {key: {storeId: "past", customerId: "refunded"}}, asOf: "1998-03-09") { id } }`, nil); !slices.Equal(r.codes(), []string{"NOT_FOUND"}) {
		t.Errorf("without either: %s", r.Text)
	}
	_, err = a.db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		return 0, yield(&postgres.ImportLine{Customer: "refunded", Line: engine.Line{OrderKey: "r", Number: 1, OrderedAt: date("1998-03-01").In(store.Zone), Quantity: 1, NetCents: 7000}})
	})
	check(t, err)

	// The model is the one that was in force.
	a.fitPast(t, 2)
	_, err = a.pool.Exec(t.Context(), "UPDATE segment_model SET fitted_at = timestamptz '1998-04-01 00:00Z' + (model_id - 1) * interval '30 days'")
	check(t, err)
	for day, want := range map[string]int{"1998-03-08": 1, "1998-03-20": 2, "1998-04-20": 1, "1998-05-20": 2, "": 2} {
		// The snapshot is of model 1; before the first model the one in force now must do.
		if c := a.customerAt(t, "refunded", day); c.Freshness.ModelVersion == nil || *c.Freshness.ModelVersion != want {
			t.Errorf("on %q the model is %v, want %d", day, c.Freshness.ModelVersion, want)
		}
	}
}

// TestPagesOfThePast meets every customer who had ordered by a day once, in every order, with few statements.
func TestPagesOfThePast(t *testing.T) {
	t.Parallel()
	a, store := newPastAPI(t)
	var known int
	check(t, a.pool.QueryRow(t.Context(), "SELECT count(DISTINCT customer_id) FROM customer_order WHERE ordered_at < $1", date("1998-02-01").In(store.Zone)).Scan(&known))
	if known == 0 || known == pastCustomers+1 {
		t.Fatalf("%d customers had ordered by then: the test tells nothing", known)
	}
	walk := func(order, direction, fields string) []pastCustomer {
		t.Helper()
		var all []pastCustomer
		var cursor *string
		for {
			var got struct {
				Customers struct {
					TotalCount int
					Nodes      []pastCustomer
					PageInfo   struct {
						HasNextPage bool
						EndCursor   *string
					}
				}
			}
			a.data(t, &got, `query ($cursor: String) { customers(asOf: "1998-02-01", filter: {storeId: "past"}, orderBy: {field: `+order+`, direction: `+direction+`}, first: 47, after: $cursor) {
  totalCount nodes { `+fields+` } pageInfo { hasNextPage endCursor } } }`, map[string]any{"cursor": cursor})
			if got.Customers.TotalCount != known {
				t.Fatalf("totalCount is %d, want %d", got.Customers.TotalCount, known)
			}
			all = append(all, got.Customers.Nodes...)
			if cursor = got.Customers.PageInfo.EndCursor; !got.Customers.PageInfo.HasNextPage {
				return all
			}
		}
	}
	const few = `customerId totalValue orderCount firstOrderAt lastOrderAt computed`
	orders := []string{"CUSTOMER_ID", "TOTAL_VALUE", "ORDER_COUNT", "LAST_ORDER_AT"}
	hold := func(computed bool) {
		t.Helper()
		for _, order := range orders {
			all, back := walk(order, "ASC", few), walk(order, "DESC", few)
			slices.Reverse(back)
			if diff := cmp.Diff(all, back); diff != "" || len(all) != known {
				t.Errorf("%s: %d customers of %d (-ASC +DESC):\n%s", order, len(all), known, diff)
			}
			for i, c := range all {
				if c.Computed != computed || c.FirstOrderAt == nil || *c.LastOrderAt >= "1998-02-01T05:00:00Z" {
					t.Errorf("%s: %+v", order, c)
				}
				if i > 0 && order == "ORDER_COUNT" && c.OrderCount < all[i-1].OrderCount {
					t.Errorf("%d purchases follow %d", c.OrderCount, all[i-1].OrderCount)
				}
			}
		}
		// One customer at a time tells the same.
		for _, c := range walk("CUSTOMER_ID", "ASC", askPast)[:5] {
			if diff := cmp.Diff(c, a.customerAt(t, c.CustomerID, "1998-02-01")); diff != "" {
				t.Errorf("in the list and by itself:\n%s", diff)
			}
		}
	}
	hold(true)
	for _, size := range []int{10, 50} {
		counter := pgtest.Queries(t, a.pool)
		var got any
		a.data(t, &got, `query ($n: Int!) { customers(asOf: "1998-02-01", filter: {storeId: "past"}, first: $n) { nodes { `+askPast+` timeline { dates computed } } } }`, map[string]any{"n": size})
		counter.AtMost(t, 14)
		t.Logf("%d customers: %d statements that read data", size, len(counter.Reads()))
	}

	// Conditions on segments and drift need snapshots of the day.
	const bySegment = `query ($segments: [ID!]) { customers(asOf: "1998-02-01", filter: {storeId: "past", segmentIds: $segments}, first: 100) { totalCount nodes { customerId dominantPaths(axes: ["purchase_frequency"]) } } }`
	var tree struct {
		Store struct {
			Axis struct{ RootSegments []struct{ ID, Path string } }
		}
	}
	a.data(t, &tree, `{ store(key: "past") { axis(key: "purchase_frequency") { rootSegments { id path } } } }`, nil)
	root := tree.Store.Axis.RootSegments[0]
	variables := map[string]any{"segments": []string{root.ID}}
	if r := a.query(t, bySegment, variables); !slices.Equal(r.codes(), []string{"BAD_USER_INPUT"}) || !strings.Contains(r.Text, "replaySnapshots") {
		t.Errorf("without snapshots: %s", r.Text)
	}
	a.replayPast(t, store, "1998-02-01", "1998-02-02")
	hold(false)
	orders = []string{"DRIFT"} // one snapshot has none before it: all are equal
	hold(false)
	var got struct {
		Customers struct {
			TotalCount int
			Nodes      []struct{ DominantPaths []string }
		}
	}
	a.data(t, &got, bySegment, variables)
	if n := got.Customers; n.TotalCount == 0 || n.TotalCount == known || len(n.Nodes) != n.TotalCount {
		t.Errorf("%+v", n)
	}
	for _, c := range got.Customers.Nodes {
		if c.DominantPaths[0] != root.Path {
			t.Errorf("a customer of %s stands at %s", root.Path, c.DominantPaths[0])
		}
	}
}

func TestBadQuestionsAboutThePast(t *testing.T) {
	t.Parallel()
	a, _ := newPastAPI(t)
	for question, code := range map[string]string{
		`customer(by: {key: {storeId: "past", customerId: "refunded"}}, asOf: "1998-03-01") { id }`:                                                                    "NOT_FOUND",
		`customer(by: {key: {storeId: "past", customerId: "refunded"}}, asOf: "2030-01-01") { id }`:                                                                    "BAD_USER_INPUT",
		`customers(filter: {storeId: "past"}, asOf: "2030-01-01", first: 1) { totalCount }`:                                                                            "BAD_USER_INPUT",
		`customers(asOf: "2030-01-01", first: 1) { totalCount }`:                                                                                                       "BAD_USER_INPUT",
		`customers(asOf: "1.2.1998", first: 1) { totalCount }`:                                                                                                         "BAD_USER_INPUT",
		`customers(filter: {storeId: "past", severities: [MAJOR]}, asOf: "1998-02-01", first: 1) { totalCount }`:                                                       "BAD_USER_INPUT",
		`customers(filter: {storeId: "past"}, orderBy: {field: DRIFT}, asOf: "1998-02-01", first: 1) { totalCount }`:                                                   "BAD_USER_INPUT",
		`customer(by: {key: {storeId: "past", customerId: "refunded"}}) { timeline(asOf: "2030-01-01") { dates } }`:                                                    "BAD_USER_INPUT",
		`customer(by: {key: {storeId: "past", customerId: "refunded"}}) { driftAnalysis(asOf: "1998-05-01", range: {from: "1999-01-01", to: "1998-01-01"}) { days } }`: "BAD_USER_INPUT",
	} {
		if r := a.query(t, "{ "+question+" }", nil); !slices.Equal(r.codes(), []string{code}) {
			t.Errorf("%s: want %s, got %s", question, code, r.Text)
		}
	}
	// A cursor of now is none of another day.
	var got struct {
		Customers struct{ PageInfo struct{ EndCursor string } }
	}
	a.data(t, &got, `{ customers(filter: {storeId: "past"}, first: 1) { pageInfo { endCursor } } }`, nil)
	r := a.query(t, `query ($c: String) { customers(filter: {storeId: "past"}, asOf: "1998-02-01", first: 1, after: $c) { totalCount } }`, map[string]any{"c": got.Customers.PageInfo.EndCursor})
	if !slices.Equal(r.codes(), []string{"BAD_USER_INPUT"}) {
		t.Errorf("a foreign cursor: %s", r.Text)
	}
	// Before the first order there is nothing, whatever the range.
	if line := a.timelineAt(t, "refunded", `range: {}, asOf: "1998-03-01"`); len(line.Dates) != 0 {
		t.Errorf("dates before the first order: %v", line.Dates)
	}
	// Nothing precedes the store's first order.
	var none struct{ Customers struct{ TotalCount int } }
	a.data(t, &none, `{ customers(asOf: "1990-01-01", first: 1) { totalCount } }`, nil)
	if none.Customers.TotalCount != 0 {
		t.Errorf("%d customers before the first order", none.Customers.TotalCount)
	}
}
