package server_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// journeyView is what the tests ask of a journey.
type journeyView struct {
	Status, Reason                   string
	Dates                            []string
	ModelVersion                     int
	EveryNth, Customers, HorizonDays int
	States                           []journeyState
	Transitions                      transitions
	Markov                           struct{ Difference *float64 }
	Forecast                         struct{ Refusal, LapsedRefusal *string }
	Outlook                          struct {
		DaysToLapsed                           []*float64
		DaysToLapsedRefusal, StationaryRefusal *string
	}
	Paths struct {
		TotalCount int
		Nodes      []journeyPath
	}
	Sankey    sankey
	Freshness freshness
}

type freshness struct {
	ComputedAt, SnapshotDate *string
	ModelVersion             *int
}

type journeyState struct {
	Kind                          string
	Segment                       *struct{ Path string }
	CustomersFirst, CustomersLast int
	MeanDays                      *float64
}

type transitions struct {
	StepDays                             *float64
	Flows, Probabilities, StandardErrors [][]float64
}

type journeyPath struct {
	Names         []string
	MeanDays      []float64
	Customers     int
	Share         float64
	MeanChurnRisk *float64
}

type sankey struct {
	Nodes []struct {
		Date, Name string
		State      *int
		Value      float64
	}
	Links []struct {
		Source, Target int
		Value          float64
	}
}

const journeyFields = `{ status reason dates modelVersion everyNth customers horizonDays
  states { kind segment { path } customersFirst customersLast meanDays }
  transitions { stepDays flows probabilities standardErrors }
  markov { difference holds g degreesOfFreedom pValue } forecast(steps: 4) { probabilities refusal lapsedWithin lapsedRefusal }
  outlook { daysToLapsed daysToLapsedRefusal stationary stationaryRefusal }
  paths(first: 10) { totalCount nodes { names meanDays customers share meanChurnRisk } } freshness { computedAt snapshotDate modelVersion }
  sankey { nodes { date state name value } links { source target value } } }`

func (a *api) journey(t *testing.T, store, arguments string) journeyView {
	t.Helper()
	var got struct{ Store struct{ Journey journeyView } }
	counter := pgtest.Queries(t, a.pool)
	a.data(t, &got, fmt.Sprintf(`{ store(key: %q) { journey(%s) %s } }`, store, arguments, journeyFields), nil)
	counter.AtMost(t, 5)
	return got.Store.Journey
}

// balances checks that every node between the first and the last date takes in what it gives.
func (s *sankey) balances(t *testing.T, first, last string) {
	t.Helper()
	in, out := make([]float64, len(s.Nodes)), make([]float64, len(s.Nodes))
	for _, l := range s.Links {
		out[l.Source] += l.Value
		in[l.Target] += l.Value
	}
	for i, n := range s.Nodes {
		inner := n.Name != "NEW" && (n.State == nil || n.Date != first && n.Date != last)
		if inner && math.Abs(in[i]-out[i]) > 1e-6 || math.Abs(max(in[i], out[i])-n.Value) > 1e-6 {
			t.Errorf("node %+v takes %g and gives %g", n, in[i], out[i])
		}
	}
	if len(s.Links) == 0 {
		t.Error("no flows")
	}
}

// TestJourney follows the fixture's customers, whose snapshots have no features: the orders tell how long they are silent. They
// bought between day 0 and 6 of a week, so 90 days later, in week 10 or 11, all have lapsed.
func TestJourney(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.journey(t, "shop", `axis: "purchase_frequency"`)
	if len(got.Dates) != weeks || got.Dates[weeks-1] != lastSunday.String() || got.Customers != customers || got.EveryNth != 1 || got.HorizonDays != 90 || got.ModelVersion != 1 {
		t.Errorf("%d dates up to %s of %d customers, one of %d, horizon %d, model %d", len(got.Dates), got.Dates[len(got.Dates)-1], got.Customers, got.EveryNth, got.HorizonDays, got.ModelVersion)
	}
	late := 0 // those who bought on day 6 lapse a week later
	for i := range customers {
		if i%7 == 6 {
			late++
		}
	}
	stayed := float64(9*customers + late)
	lapsed := float64((weeks-1-10)*customers - late)
	want := [][]float64{{stayed, 0, customers}, {0, 0, 0}, {0, 0, lapsed}}
	if !equalRows(got.Transitions.Flows, want, 0) || *got.Transitions.StepDays != 7 {
		t.Errorf("flows %v of %g days, want %v", got.Transitions.Flows, *got.Transitions.StepDays, want)
	}
	if p := got.Transitions.Probabilities[0]; !equalRows([][]float64{p}, [][]float64{{(stayed + 0.5) / (stayed + customers + 1), 0, (customers + 0.5) / (stayed + customers + 1)}}, 1e-12) {
		t.Errorf("probabilities of the first segment: %v", p)
	}
	states := got.States
	if len(states) != 3 || states[0].Kind != "SEGMENT" || states[0].Segment.Path != "seg_0" || states[0].CustomersFirst != customers || states[2].Kind != "LAPSED" || states[2].CustomersLast != customers || states[2].MeanDays != nil {
		t.Errorf("states %+v", states)
	}
	if mean := 7 * (stayed + customers) / customers; math.Abs(*states[0].MeanDays-mean) > 1e-9 {
		t.Errorf("customers stay %g days in the first segment, want %g", *states[0].MeanDays, mean)
	}
	if paths := got.Paths; paths.TotalCount != 1 || paths.Nodes[0].Customers != customers || !slices.Equal(paths.Nodes[0].Names, []string{"segment seg_0", "LAPSED"}) {
		t.Errorf("paths %+v", paths)
	}
	if f := got.Freshness; f.SnapshotDate == nil || *f.SnapshotDate != lastSunday.String() || f.ComputedAt == nil || *f.ModelVersion != 1 || got.Paths.Nodes[0].MeanChurnRisk != nil {
		t.Errorf("freshness %+v, and a churn risk of %v in snapshots without one", got.Freshness, got.Paths.Nodes[0].MeanChurnRisk)
	}
	// All go from one state to the other and stay: one step twice. Nobody is in the second segment, of which nothing is told.
	if days := got.Outlook.DaysToLapsed; len(days) != 3 || days[1] != nil || math.Abs(*days[0]-7*(stayed+customers+1)/(customers+0.5)) > 1e-6 || *days[2] != 0 {
		t.Errorf("days to lapsed: %v, refused for %v", days, got.Outlook.DaysToLapsedRefusal)
	}
	got.Sankey.balances(t, got.Dates[0], got.Dates[weeks-1])

	soft := a.journey(t, "shop", `axis: "purchase_frequency", weighting: SOFT, level: LEAVES, range: {to: "1998-03-15"}`)
	if soft.Transitions.StandardErrors != nil || math.Abs(soft.Transitions.Flows[1][1]-0.2*customers*float64(len(soft.Dates)-1)) > 1e-6 {
		t.Errorf("soft flows %v over %d dates: nobody moved before", soft.Transitions.Flows, len(soft.Dates))
	}

	off := a.journey(t, "shop", `axis: "price_sensitivity"`)
	if off.Status != "OFF" || off.Reason != "NO_SKU_DATA" || len(off.Dates) != 0 || len(off.States) != 0 || len(off.Transitions.Flows) != 0 {
		t.Errorf("an axis that is off: %+v", off)
	}
	if monthly := a.journey(t, "shop", `axis: "purchase_value", type: MONTHLY`); len(monthly.Dates) != 0 || monthly.Customers != 0 {
		t.Errorf("without snapshots: %+v", monthly)
	}
}

// TestJourneyOfAnotherModel begins where all customers can be placed: those who lapsed need no model, the others features.
func TestJourneyOfAnotherModel(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	store, err := a.db.StoreByKey(t.Context(), "shop")
	check(t, err)
	m := fixtureModel()
	m.Version = 2
	check(t, a.db.InTx(t.Context(), func(tx *postgres.Tx) error { return tx.InsertModel(t.Context(), store.ID, uuid.NewString(), m) }))
	got := a.journey(t, "shop", `axis: "purchase_frequency"`)
	if want := (lastSunday - 14*7).String(); len(got.Dates) != 15 || got.Dates[0] != want || got.ModelVersion != 2 {
		t.Errorf("%d dates from %v under model %d, want 15 from %s under 2", len(got.Dates), got.Dates[:1], got.ModelVersion, want)
	}
	if drift := a.populationDrift(t, "shop", "type: WEEKLY"); len(drift.Dates) != 0 {
		t.Errorf("memberships of another model without features: %+v", drift)
	}
}

type populationView struct {
	Dates     []string
	EveryNth  int
	Customers []int
	Axes      []struct {
		Axis               struct{ Key string }
		Status, Level      string
		Psi, PsiSinceFirst []*float64
		Series             []struct{ Scores []float64 }
	}
}

func (a *api) populationDrift(t *testing.T, store, arguments string) populationView {
	t.Helper()
	var got struct {
		Store struct{ PopulationDrift populationView }
	}
	counter := pgtest.Queries(t, a.pool)
	a.data(t, &got, fmt.Sprintf(`{ store(key: %q) { populationDrift(%s) { dates modelVersion everyNth customers axes { axis { key } status level psi psiSinceFirst series { segment { name } scores } } } } }`, store, arguments), nil)
	counter.AtMost(t, 5)
	return got.Store.PopulationDrift
}

// TestPopulationDrift: in week 13 every tenth customer moves from 0.9 and 0.1 to 0.1 and 0.9.
func TestPopulationDrift(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.populationDrift(t, "shop", "type: WEEKLY")
	axis := got.Axes[0]
	if len(got.Dates) != weeks || got.Customers[0] != customers || axis.Status != "ON" || len(axis.Psi) != weeks || axis.Psi[0] != nil {
		t.Fatalf("%+v", got)
	}
	moved := (0.9-0.82)*math.Log(0.9/0.82) + (0.1-0.18)*math.Log(0.1/0.18)
	for w, psi := range axis.Psi[1:] {
		want := 0.0
		if w+1 == weeks/2 {
			want = moved
		}
		if math.Abs(*psi-want) > 1e-9 {
			t.Errorf("index of week %d is %g, want %g", w+1, *psi, want)
		}
	}
	if last := *axis.PsiSinceFirst[weeks-1]; math.Abs(last-moved) > 1e-9 || axis.Level != "STABLE" {
		t.Errorf("since the first week %g, level %s", last, axis.Level)
	}
	if math.Abs(axis.Series[0].Scores[0]-0.9) > 1e-9 || math.Abs(axis.Series[1].Scores[weeks-1]-0.18) > 1e-9 {
		t.Errorf("mean memberships %v", axis.Series)
	}
	if off := got.Axes[2]; off.Status != "OFF" || len(off.Psi) != 0 || off.Level != "STABLE" {
		t.Errorf("an axis that is off: %+v", off)
	}
}

// TestEveryNthBlock reads of two blocks of neighbours the first one, a customer's snapshots one after the other.
func TestEveryNthBlock(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	store, err := a.db.StoreByKey(t.Context(), "shop")
	check(t, err)
	dates := engine.Weekly.Dates(lastSunday-21, lastSunday+1)
	q := postgres.AxisQuery{
		SeriesQuery: postgres.SeriesQuery{StoreID: store.ID, Type: engine.Weekly, Dates: dates, Model: 1, Every: 2},
		Axis:        1, First: 3, Leaves: 2, Memberships: true,
	}
	var ids []int64
	rows := 0
	check(t, a.db.EachOnAxis(t.Context(), q, func(r *postgres.AxisRow) {
		if rows%len(dates) == 0 {
			ids = append(ids, r.CustomerID)
		}
		if r.CustomerID != ids[len(ids)-1] || r.Date != dates[rows%len(dates)] || !slices.Equal(r.Membership, []int16{6000, 4000}) || r.Dominant != 3 {
			t.Errorf("row %d is %+v", rows, r)
		}
		rows++
	}))
	counted := 0
	check(t, a.db.EachSnapshot(t.Context(), q.SeriesQuery, func(*engine.Snapshot) { counted++ }))
	for fence, want := range map[int32]int{store.ID: rows, store.ID + 1: 0} {
		fenced := postgres.WithStores(t.Context(), []int32{fence})
		seen, placed := 0, 0
		check(t, a.db.EachSnapshot(fenced, q.SeriesQuery, func(*engine.Snapshot) { seen++ }))
		check(t, a.db.EachOnAxis(fenced, q, func(*postgres.AxisRow) { placed++ }))
		cohorts, err := a.db.Cohorts(fenced, postgres.CohortQuery{StoreID: store.ID, Zone: "UTC", To: time.Now(), Interval: postgres.CohortMonth, Until: lastSunday, Every: 1})
		check(t, err)
		if seen != want || placed != want || (len(cohorts) == 0) != (want == 0) {
			t.Errorf("who may see store %d alone sees %d and %d snapshots of store %d, want %d, and %d cohorts", fence, seen, placed, store.ID, want, len(cohorts))
		}
	}
	if len(ids) != 64 || !slices.IsSorted(ids) || counted != rows || rows != 64*len(dates) {
		t.Errorf("%d customers, %d rows, %d snapshots, want 64 and %d", len(ids), rows, counted, 64*len(dates))
	}
}

func TestJourneyRefuses(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	_, err := a.db.EnsureStore(t.Context(), "empty")
	check(t, err)
	for query, code := range map[string]string{
		`journey(axis: "none") { status }`: "NOT_FOUND",
		`journey(axis: "purchase_value", range: {from: "1998-02-01", to: "1998-01-01"}) { status }`:               "BAD_USER_INPUT",
		`journey(axis: "purchase_value", range: {from: "1990-01-01"}) { status }`:                                 "BAD_USER_INPUT",
		`journey(axis: "purchase_value", type: DAILY, range: {from: "1998-01-01", to: "1998-03-03"}) { status }`:  "BAD_USER_INPUT",
		`journey(axis: "purchase_value") { forecast(steps: 0) { refusal } }`:                                      "BAD_USER_INPUT",
		`journey(axis: "purchase_value") { forecast(steps: 53) { refusal } }`:                                     "BAD_USER_INPUT",
		`journey(axis: "purchase_value") { paths(first: 101) { totalCount } }`:                                    "BAD_USER_INPUT",
		`journey(axis: "purchase_value") { paths(minStages: 4, maxStages: 3) { totalCount } }`:                    "BAD_USER_INPUT",
		`journey(axis: "purchase_value") { sankey(minShare: 0.6) { links { value } } }`:                           "BAD_USER_INPUT",
		`journey(axis: "purchase_value") { paths(startsAt: {}) { totalCount } }`:                                  "GRAPHQL_VALIDATION_FAILED",
		`journey(axis: "purchase_value") { paths(endsIn: {segmentId: "none"}) { totalCount } }`:                   "BAD_USER_INPUT",
		`populationDrift(range: {from: "0001-01-01", to: "9999-01-01"}) { dates }`:                                "BAD_USER_INPUT",
		`a: journey(axis: "purchase_value") { status } ` + tenTimes(`journey(axis: "purchase_value") { status }`): "COST_LIMIT_EXCEEDED",
	} {
		if r := a.query(t, `{ store(key: "shop") { `+query+` } }`, nil); !slices.Equal(r.codes(), []string{code}) {
			t.Errorf("%s\nhas the codes %v, want %s: %.300s", query, r.codes(), code, r.Text)
		}
	}
	if got := a.journey(t, "empty", `axis: "purchase_value"`); got.Status != "NOT_FITTED" || len(got.Dates) != 0 {
		t.Errorf("a store without orders: %+v", got)
	}
	if got := a.populationDrift(t, "empty", "type: WEEKLY"); len(got.Dates) != 0 || len(got.Axes) != engine.AxisCount {
		t.Errorf("a store without orders: %+v", got)
	}
}

func tenTimes(field string) string {
	text := ""
	for i := range 10 {
		text += fmt.Sprintf("b%d: %s ", i, field)
	}
	return text
}

func equalRows(a, b [][]float64, tolerance float64) bool {
	return slices.EqualFunc(a, b, func(r, s []float64) bool {
		return slices.EqualFunc(r, s, func(x, y float64) bool { return math.Abs(x-y) <= tolerance })
	})
}

// weeklySteps counts the steps of CDNOW's customers apart from all of ours: dominant roots from snapshots, silence from orders.
const weeklySteps = `WITH place AS (
  SELECT s.customer_id, s.snapshot_date, CASE WHEN s.snapshot_date - l.last >= 90 THEN -1 ELSE dominant_at(s.dominant, 0) END AS leaf
  FROM snapshot s CROSS JOIN LATERAL (
    SELECT max(o.ordered_at AT TIME ZONE 'UTC')::date AS last FROM customer_order o
    WHERE o.store_id = s.store_id AND o.customer_id = s.customer_id AND o.quantity > 0 AND o.ordered_at < s.snapshot_date) l
  WHERE s.snapshot_type = 2)
SELECT a.leaf, b.leaf, count(*) FROM place a JOIN place b ON b.customer_id = a.customer_id AND b.snapshot_date = a.snapshot_date + 7 GROUP BY 1, 2`

// ownJourney is a customer's way.
type ownJourney struct {
	Status      string
	HorizonDays int
	Stages      []ownStage
	Freshness   freshness
}

type ownStage struct {
	Kind      string
	Segment   *struct{ Path string }
	From, To  *string
	Days      *int
	Snapshots int
}

const ownJourneyFields = `{ status horizonDays stages { kind segment { path } from to days snapshots } freshness { computedAt snapshotDate modelVersion } }`

// TestOwnJourney follows two of the fixture's customers: both lapse 90 days after they bought, before the one crosses in week 13.
func TestOwnJourney(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var got struct{ Early, Late, Long, Off, Past struct{ Journey ownJourney } }
	counter := pgtest.Queries(t, a.pool)
	a.data(t, &got, `query ($asOf: Date) {
  early: customer(by: { key: { storeId: "shop", customerId: "c000" } }) { journey(axis: "purchase_frequency") `+ownJourneyFields+` }
  late: customer(by: { key: { storeId: "shop", customerId: "c006" } }) { journey(axis: "purchase_frequency", range: { to: "1998-03-02" }) `+ownJourneyFields+` }
  off: customer(by: { key: { storeId: "shop", customerId: "c000" } }) { journey(axis: "price_sensitivity") `+ownJourneyFields+` }
  past: customer(by: { key: { storeId: "shop", customerId: "c000" } }, asOf: $asOf) { journey(axis: "purchase_frequency", level: LEAVES) `+ownJourneyFields+` }
}`, map[string]any{"asOf": "1998-02-01"})
	counter.AtMost(t, 12)
	first := lastSunday - 7*(weeks-1)
	early := got.Early.Journey.Stages
	if len(early) != 2 || early[0].Kind != "SEGMENT" || early[0].Segment.Path != "seg_0" || *early[0].From != first.String() || *early[0].Days != 70 || early[0].Snapshots != 10 ||
		*early[0].To != *early[1].From || early[1].Kind != "LAPSED" || early[1].To != nil || early[1].Snapshots != weeks-10 {
		t.Errorf("stages %+v", early)
	}
	if f := got.Early.Journey.Freshness; *f.SnapshotDate != lastSunday.String() || f.ComputedAt == nil || *f.ModelVersion != 1 || got.Early.Journey.HorizonDays != 90 {
		t.Errorf("freshness %+v", f)
	}
	if late := got.Late.Journey.Stages; len(late) != 2 || late[0].Kind != "NEW" || late[0].From != nil || late[0].Days != nil || *late[0].To != *late[1].From || late[1].To != nil || *late[1].Days != 7*(late[1].Snapshots-1) {
		t.Errorf("up to March: %+v", late)
	}
	if past := got.Past.Journey.Stages; len(past) != 2 || past[1].Segment.Path != "seg_0.0" || *past[1].From != first.String() || past[1].Snapshots != 5 {
		t.Errorf("as of February: %+v", past)
	}
	if off := got.Off.Journey; off.Status != "OFF" || len(off.Stages) != 0 {
		t.Errorf("an axis that is off: %+v", off)
	}
	for query, code := range map[string]string{`axis: "none"`: "NOT_FOUND", `axis: "purchase_value", range: {from: "1900-01-01"}`: "BAD_USER_INPUT"} {
		r := a.query(t, `{ customer(by: { key: { storeId: "shop", customerId: "c000" } }) { journey(`+query+`) { status } } }`, nil)
		if !slices.Equal(r.codes(), []string{code}) {
			t.Errorf("%s gave %s", query, r.Text)
		}
	}
}

// testOwnJourneys holds customers' own ways, and the paths that begin and end in a state, to the store's journey and to the database.
func (a *api) testOwnJourneys(t *testing.T, all journeyView) {
	t.Helper()
	var got struct {
		Store struct {
			Journey struct{ From, To, Every struct{ Nodes []journeyPath } }
		}
		Customers struct {
			Nodes []struct {
				CustomerID string
				Journey    ownJourney
			}
		}
	}
	counter := pgtest.Queries(t, a.pool)
	a.data(t, &got, `{ store(key: "cdnow") { journey(axis: "purchase_frequency", level: LEAVES) {
    every: paths(first: 100, maxStages: 1) { nodes { customers meanChurnRisk } }
    from: paths(first: 100, maxStages: 12, startsAt: { kind: LAPSED }) { nodes { names customers } }
    to: paths(first: 100, maxStages: 12, endsIn: { kind: LAPSED }) { nodes { names customers } } } }
  customers(filter: { storeId: "cdnow" }, first: 50) { nodes { customerId journey(axis: "purchase_frequency", level: LEAVES) `+ownJourneyFields+` } } }`, nil)
	counter.AtMost(t, 8)
	var risk float64
	check(t, a.pool.QueryRow(t.Context(), "SELECT avg(churn_risk) FROM snapshot WHERE snapshot_type = 2 AND snapshot_date = $1::date", lastSunday.String()).Scan(&risk))
	lapsed := all.States[len(all.States)-1]
	count := func(paths []journeyPath, at func(names []string) string) (customers int) {
		for _, p := range paths {
			if customers += p.Customers; at(p.Names) != "LAPSED" {
				t.Errorf("a path of %v", p.Names)
			}
		}
		return customers
	}
	begun := count(got.Store.Journey.From.Nodes, func(names []string) string { return names[0] })
	ended := count(got.Store.Journey.To.Nodes, func(names []string) string { return names[len(names)-1] })
	if begun != lapsed.CustomersFirst || ended != lapsed.CustomersLast || begun == 0 {
		t.Errorf("%d paths begin in LAPSED and %d end there, want %d and %d", begun, ended, lapsed.CustomersFirst, lapsed.CustomersLast)
	}
	sum, customers := 0.0, 0
	for _, p := range got.Store.Journey.Every.Nodes {
		sum += *p.MeanChurnRisk * float64(p.Customers)
		customers += p.Customers
	}
	if customers != sampleCustomers || math.Abs(sum/float64(customers)-risk) > 1e-6 {
		t.Errorf("%d customers have a mean risk of %g, by the database %g", customers, sum/float64(customers), risk)
	}
	moved := 0
	for _, c := range got.Customers.Nodes {
		snapshots, days := 0, 0
		for i, s := range c.Journey.Stages {
			if i > 0 && (*s.From != *c.Journey.Stages[i-1].To) {
				t.Errorf("%s: %+v follows %+v", c.CustomerID, s, c.Journey.Stages[i-1])
			}
			snapshots, days = snapshots+s.Snapshots, days+*s.Days
		}
		if snapshots != weeks || days != 7*(weeks-1) {
			t.Errorf("%s: %d snapshots over %d days", c.CustomerID, snapshots, days)
		}
		if len(c.Journey.Stages) > 1 {
			moved++
		}
	}
	if moved == 0 {
		t.Error("nobody moved")
	}
}

// testJourneys follows a real shop.
func (a *api) testJourneys(t *testing.T) {
	got := a.journey(t, "cdnow", `axis: "purchase_frequency", level: LEAVES`)
	if len(got.Dates) != weeks || got.Customers != sampleCustomers || *got.Transitions.StepDays != 7 {
		t.Fatalf("%d dates of %d customers", len(got.Dates), got.Customers)
	}
	lapsed := slices.IndexFunc(got.States, func(s journeyState) bool { return s.Kind == "LAPSED" })
	if lapsed != len(got.States)-1 {
		t.Fatalf("states %+v", got.States)
	}
	want := make([][]float64, len(got.States))
	for i := range want {
		want[i] = make([]float64, len(want))
	}
	rows, err := a.pool.Query(t.Context(), weeklySteps)
	check(t, err)
	place := func(leaf int) int {
		if leaf < 0 {
			return lapsed
		}
		return leaf // purchase_frequency is the first axis
	}
	for rows.Next() {
		var from, to, n int
		check(t, rows.Scan(&from, &to, &n))
		want[place(from)][place(to)] += float64(n)
	}
	check(t, rows.Err())
	if !equalRows(got.Transitions.Flows, want, 0) {
		t.Errorf("flows\n%v, by the database\n%v", got.Transitions.Flows, want)
	}
	for i, row := range got.Transitions.Probabilities {
		sum := 0.0
		for k, p := range row {
			sum += p
			if e := got.Transitions.StandardErrors[i][k]; !(e >= 0 && e < 0.5) {
				t.Errorf("standard error of %d to %d is %g", i, k, e)
			}
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("row %d sums to %g", i, sum)
		}
	}
	got.Sankey.balances(t, got.Dates[0], got.Dates[weeks-1])
	a.testOwnJourneys(t, got)
	t.Logf("Markov difference %.4f, %d paths, %d flows", *got.Markov.Difference, got.Paths.TotalCount, len(got.Sankey.Links))

	soft := a.journey(t, "cdnow", `axis: "purchase_frequency", level: LEAVES, weighting: SOFT`)
	soft.Sankey.balances(t, soft.Dates[0], soft.Dates[weeks-1])
	hardSum, softSum := 0.0, 0.0
	for i := range want {
		for k := range want {
			hardSum += got.Transitions.Flows[i][k]
			softSum += soft.Transitions.Flows[i][k]
		}
	}
	if math.Abs(hardSum-softSum) > 1e-6 || hardSum != (weeks-1)*sampleCustomers {
		t.Errorf("%g customers and %g memberships went, want %d", hardSum, softSum, (weeks-1)*sampleCustomers)
	}

	drift := a.populationDrift(t, "cdnow", "type: WEEKLY")
	if len(drift.Dates) != weeks || drift.Customers[0] != sampleCustomers {
		t.Fatalf("the population of %v", drift.Dates)
	}
	for _, axis := range drift.Axes {
		for w := 1; w < len(axis.Psi); w++ {
			psi := 0.0
			for _, s := range axis.Series {
				p, q := max(1e-4, s.Scores[w-1]), max(1e-4, s.Scores[w])
				psi += (p - q) * math.Log(p/q)
			}
			if axis.Psi[w] == nil || math.Abs(*axis.Psi[w]-psi) > 1e-9 {
				t.Errorf("%s, week %d: index %v, by its series %g", axis.Axis.Key, w, axis.Psi[w], psi)
			}
		}
	}
}
