package server_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/server"
	"github.com/quimbi/quimbi/jobs"
	"github.com/quimbi/quimbi/migrations"
)

// overall is what the API says of a drift over all axes.
type overall struct {
	Score, RobustZ, Percentile, Excess *float64
	IsAnomaly                          *bool
}

const overallFields = `overall { score isAnomaly robustZ percentile excess }`

// TestAmongAll holds a move of every tenth customer against those who stayed.
func TestAmongAll(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	store, err := a.db.StoreByKey(t.Context(), "shop")
	check(t, err)
	crossing := lastSunday - engine.Date(7*(weeks-1-weeks/2))
	check(t, a.db.WriteSpread(t.Context(), store.ID, engine.Weekly, crossing))
	var data struct {
		DriftEvents struct{ Nodes []struct{ Overall overall } }
		Mover       struct{ Step, Long *struct{ Overall overall } }
		Stayer      struct{ Step *struct{ Overall overall } }
	}
	a.data(t, &data, `query($from: Date!, $to: Date!, $all: Date!) {
  driftEvents(first: 5) { nodes { `+overallFields+` } }
  mover: customer(by: { key: { storeId: "shop", customerId: "c010" } }) {
    step: driftAnalysis(range: { from: $from, to: $to }) { `+overallFields+` }
    long: driftAnalysis(range: { from: $all, to: $to }) { `+overallFields+` }
  }
  stayer: customer(by: { key: { storeId: "shop", customerId: "c011" } }) { step: driftAnalysis(range: { from: $from, to: $to }) { `+overallFields+` } }
}`, map[string]any{"from": crossing - 7, "to": crossing + 1, "all": crossing - 70})
	moved := func(what string, o overall) {
		t.Helper()
		if o.Percentile == nil || math.Abs(*o.Percentile-0.9) > 0.011 || o.Excess == nil || math.Abs(*o.Excess-*o.Score) > 1e-6 {
			t.Errorf("%s: %+v, want 90 %% who moved less and an excess as large as the score: most did not move", what, o)
		}
		if o.IsAnomaly == nil || *o.IsAnomaly != (*o.Score >= 0.5) || o.RobustZ != nil {
			t.Errorf("%s: anomaly %v at %v, z %v", what, *o.IsAnomaly, *o.Score, o.RobustZ)
		}
	}
	for _, e := range data.DriftEvents.Nodes {
		// The fixture's events are marked by no run.
		*e.Overall.IsAnomaly = *e.Overall.Score >= 0.5
		moved("event", e.Overall)
	}
	moved("analysis of a step", data.Mover.Step.Overall)
	if o := data.Stayer.Step.Overall; *o.Percentile != 0 || *o.Excess != 0 || *o.IsAnomaly {
		t.Errorf("who stayed: %+v", o)
	}
	if o := data.Mover.Long.Overall; o.Percentile != nil || o.Excess != nil || o.RobustZ != nil || o.IsAnomaly == nil {
		t.Errorf("analysis of eleven weeks: %+v, want no comparison with one", o)
	}
}

// parts are a change's.
type parts struct{ Total, Behaviour, Time, Model float64 }

func (p *parts) sums() bool {
	return p.Behaviour+p.Time+p.Model == p.Total && p.Total >= 0 && p.Total <= 1
}

// partedAnalysis is an analysis with what lies behind it.
type partedAnalysis struct {
	Basis       string
	Approximate bool
	Overall     struct {
		Score *float64
		Parts *parts
	}
	Axes []struct {
		Status, Reason *string
		Score          *float64
		Parts          *parts
		Changes        []struct {
			Before, After          float64
			Behaviour, Time, Model *float64
		}
	}
}

// TestParts asks what the customers, time and a new model did, in a real store that is clustered anew between two snapshots.
func TestParts(t *testing.T) {
	t.Parallel()
	a, store := newPastAPI(t)
	a.replayPast(t, store, "1998-05-01", "1998-06-01")
	const ask = `query($from: Date!, $to: Date!) {
  customers(filter: { storeId: "past" }, first: 70) { nodes { driftAnalysis(range: { from: $from, to: $to }) {
    basis approximate overall { score parts { total behaviour time model } }
    axes { status reason score parts { total behaviour time model } changes(first: 8) { before after behaviour time model } }
  } } }
}`
	analyses := func(from, to string) []*partedAnalysis {
		t.Helper()
		var data struct {
			Customers struct {
				Nodes []struct{ DriftAnalysis *partedAnalysis }
			}
		}
		a.data(t, &data, ask, map[string]any{"from": from, "to": to})
		var list []*partedAnalysis
		for _, n := range data.Customers.Nodes {
			if n.DriftAnalysis != nil {
				list = append(list, n.DriftAnalysis)
			}
		}
		if len(list) < 50 {
			t.Fatalf("%d analyses", len(list))
		}
		return list
	}
	behaving, passing, remodelled := 0, 0, 0
	look := func(list []*partedAnalysis, basis string) {
		t.Helper()
		for _, d := range list {
			if d.Basis != basis || d.Approximate {
				t.Fatalf("basis %s, approximate %v, want %s", d.Basis, d.Approximate, basis)
			}
			for _, axis := range d.Axes {
				if axis.Parts == nil {
					if axis.Score != nil && basis == "SAME_MODEL" {
						t.Fatalf("an axis without parts: %+v", axis)
					}
					continue
				}
				if !axis.Parts.sums() {
					t.Fatalf("parts %+v", axis.Parts)
				}
				squares := 0.0
				for _, c := range axis.Changes {
					if math.Abs(c.Before+*c.Behaviour+*c.Time-c.After) > 1e-9 {
						t.Fatalf("%v + %v + %v is not %v", c.Before, *c.Behaviour, *c.Time, c.After)
					}
					squares += (*c.Behaviour + *c.Time) * (*c.Behaviour + *c.Time)
				}
				if math.Abs(math.Sqrt(squares/2)-*axis.Score) > 1e-9 {
					t.Fatalf("behaviour and time make %v, the score is %v", math.Sqrt(squares/2), *axis.Score)
				}
				if axis.Parts.Model != 0 && basis == "SAME_MODEL" {
					t.Fatalf("within one model a new one did %v", axis.Parts.Model)
				}
			}
			if p := d.Overall.Parts; p != nil {
				if !p.sums() || basis == "SAME_MODEL" && math.Abs(p.Total-*d.Overall.Score) > 1e-12 {
					t.Fatalf("overall %+v of %v", p, *d.Overall.Score)
				}
				if p.Behaviour != 0 {
					behaving++
				} else if p.Time != 0 {
					passing++
				}
				if p.Model != 0 {
					remodelled++
				}
			}
		}
	}
	look(analyses("1998-05-01", "1998-06-01"), "SAME_MODEL")
	if behaving == 0 || passing == 0 || remodelled != 0 {
		t.Errorf("%d customers did something, %d were silent, a new model moved %d", behaving, passing, remodelled)
	}
	a.fitPast(t, 2)
	a.replayPast(t, store, "1998-06-01", "1998-06-10")
	look(analyses("1998-05-20", "1998-06-10"), "RESCORED")

	var data struct {
		Store struct {
			Model struct {
				ModelDrift *struct {
					ModelVersionBefore int
					Overall            *float64
					Axes               []struct {
						Axis  struct{ Key string }
						Score *float64
					}
				}
			}
			First struct{ ModelDrift *struct{ Overall *float64 } }
		}
	}
	a.data(t, &data, `{ store(key: "past") { model { modelDrift { modelVersionBefore overall axes { axis { key } score } } } first: model(version: 1) { modelDrift { overall } } } }`, nil)
	if d := data.Store.Model.ModelDrift; d == nil || d.ModelVersionBefore != 1 || len(d.Axes) != engine.AxisCount || data.Store.First.ModelDrift != nil {
		t.Errorf("model drift %+v, of the first model %+v", d, data.Store.First.ModelDrift)
	}

	_, err := a.pool.Exec(t.Context(), "UPDATE snapshot SET feature = NULL WHERE model_id = 1")
	check(t, err)
	aligned := 0
	for _, d := range analyses("1998-05-20", "1998-06-10") {
		if d.Basis != "ALIGNED" || !d.Approximate || d.Overall.Parts != nil {
			t.Fatalf("without features: %+v", d)
		}
		for _, axis := range d.Axes {
			if axis.Score != nil {
				aligned++
			} else if *axis.Status == "NOT_COMPARABLE" && *axis.Reason != "MODELS_TOO_DIFFERENT" {
				t.Errorf("axis %+v", axis)
			}
		}
	}
	if aligned == 0 {
		t.Error("no axis was paired")
	}
}

// levelEvent is a drift event as far as an analysis says the same.
type levelEvent struct {
	FromDate, ToDate       string
	Score                  float64
	Acceleration           *float64
	Axis                   struct{ Key string }
	Customer               struct{ CustomerID string }
	FromSegment, ToSegment struct{ Path string }
	Overall                struct{ Score *float64 }
}

// TestDriftOnEitherLevel holds events, as runs store them, to the analyses and timelines of the same days, with drift measured on the
// roots of the axes and on their leaves.
func TestDriftOnEitherLevel(t *testing.T) {
	t.Parallel()
	for _, level := range []engine.Level{engine.LevelRoots, engine.LevelLeaves} {
		t.Run(strings.ToLower(string(level)), func(t *testing.T) {
			t.Parallel()
			a := newAPIWith(t, func(c *server.Config) { c.Resolver.DriftLevel = level }, asItIs)
			of := settings()
			of.DriftLevel = level
			var err error
			a.queue, err = jobs.NewQueue(a.db, of, logOf(t), time.Now)
			check(t, err)
			store := a.fillPast(t)
			params := engine.DefaultParams()
			params.ChooseK, params.Starts, params.MaxIterations, params.MinSize, params.MaxVariance = false, 1, 20, 10, 0.1
			a.fitPastWith(t, store, 2, params)
			a.replayPast(t, store, "1998-05-20", "1998-06-20")
			var data struct {
				DriftEvents struct{ Nodes []levelEvent }
			}
			a.data(t, &data, `{ driftEvents(first: 60, filter: { storeId: "past", minSeverity: MINOR, causes: [ORDER, TIME], range: { from: "1998-06-07" } }) {
  nodes { fromDate toDate score acceleration axis { key } customer { customerId } fromSegment { path } toSegment { path } overall { score } } } }`, nil)
			below := 0
			for _, e := range data.DriftEvents.Nodes {
				if a.holdsEvent(t, e); strings.Contains(e.FromSegment.Path, ".") || strings.Contains(e.ToSegment.Path, ".") {
					below++
				}
			}
			if len(data.DriftEvents.Nodes) != 60 || (below > 0) != (level == engine.LevelLeaves) {
				t.Errorf("%d events, %d of segments below a root", len(data.DriftEvents.Nodes), below)
			}
		})
	}
}

// holdsEvent asks for an analysis and a timeline of an event's days.
func (a *api) holdsEvent(t *testing.T, e levelEvent) {
	t.Helper()
	type axis struct {
		Score, Acceleration    *float64
		FromSegment, ToSegment struct{ Path string }
		Parts                  *parts
		Changes                []struct{ Before, After float64 }
	}
	var got struct {
		Customer struct {
			Step, Three struct {
				Overall struct{ Score *float64 }
				Axes    []axis
			}
			Timeline struct {
				OverallDriftScores []*float64
				Axes               []struct{ DriftScores []*float64 }
			}
		}
	}
	a.data(t, &got, `query ($c: String!, $axis: [String!], $before: Date!, $from: Date!, $to: Date!) { customer(by: { key: { storeId: "past", customerId: $c } }) {
  step: driftAnalysis(range: { from: $from, to: $to }) { overall { score } axes { score fromSegment { path } toSegment { path } parts { total behaviour time model } changes(first: 100) { before after } } }
  three: driftAnalysis(range: { from: $before, to: $to }, axes: $axis) { axes { acceleration } }
  timeline(range: { from: $from, to: $to }, axes: $axis) { overallDriftScores axes { driftScores } }
} }`, map[string]any{"c": e.Customer.CustomerID, "axis": []string{e.Axis.Key}, "before": date(e.FromDate) - 7, "from": e.FromDate, "to": date(e.ToDate) + 1})
	c := got.Customer
	index := slices.IndexFunc(engine.Axes[:], func(a engine.Axis) bool { return a.Key == e.Axis.Key })
	same := func(what string, said, stored *float64) {
		t.Helper()
		if (said == nil) != (stored == nil) || said != nil && math.Abs(*said-*stored) > 1e-6 {
			t.Errorf("%s of %s on %s from %s: %v, the event says %v", what, e.Customer.CustomerID, e.Axis.Key, e.FromDate, said, stored)
		}
	}
	step := c.Step.Axes[index]
	same("score", step.Score, &e.Score)
	same("overall score", c.Step.Overall.Score, e.Overall.Score)
	same("score on the timeline", c.Timeline.Axes[0].DriftScores[1], &e.Score)
	same("overall score on the timeline", c.Timeline.OverallDriftScores[1], e.Overall.Score)
	same("acceleration", c.Three.Axes[0].Acceleration, e.Acceleration)
	if step.FromSegment != e.FromSegment || step.ToSegment != e.ToSegment {
		t.Errorf("from %s to %s, the event leads from %s to %s", step.FromSegment, step.ToSegment, e.FromSegment, e.ToSegment)
	}
	squares := 0.0
	for _, change := range step.Changes {
		squares += (change.After - change.Before) * (change.After - change.Before)
	}
	changed := math.Sqrt(squares / 2)
	same("distance of the memberships", &changed, &e.Score)
	same("parts", &step.Parts.Total, &e.Score)
}

// TestSegmentTransitions lists who moved and stayed.
func TestSegmentTransitions(t *testing.T) {
	t.Parallel()
	a, store := newPastAPI(t)
	a.replayPast(t, store, "1998-01-01", "1998-06-20")
	type transition struct {
		Customer             struct{ CustomerID string }
		Axis                 struct{ Key string }
		From, To             struct{ ID, Name string }
		Date, State, Cause   string
		SettledOn, Direction *string
		Score, Lead          float64
		DaysInPrevious       *int
		ModelVersion         int
	}
	type page struct {
		TotalCount int
		Nodes      []transition
		PageInfo   struct {
			HasNextPage bool
			EndCursor   *string
		}
	}
	const fields = `totalCount pageInfo { hasNextPage endCursor }
  nodes { customer { customerId } axis { key } from { id name } to { id name } date state settledOn score lead cause direction daysInPrevious modelVersion }`
	list := func(filter string) (all []transition) {
		t.Helper()
		after := "null"
		for {
			var data struct {
				Store struct{ SegmentTransitions page }
			}
			a.data(t, &data, `{ store(key: "past") { segmentTransitions(first: 100, filter: { `+filter+` }, after: `+after+`) { `+fields+` } } }`, nil)
			p := data.Store.SegmentTransitions
			all = append(all, p.Nodes...)
			if !p.PageInfo.HasNextPage {
				if p.TotalCount != len(all) {
					t.Errorf("%s: %d counted, %d listed", filter, p.TotalCount, len(all))
				}
				return all
			}
			after = `"` + *p.PageInfo.EndCursor + `"`
		}
	}
	all := list("states: [PENDING, CONFIRMED, REVERTED]")
	states, causes, stays := map[string]int{}, map[string]int{}, 0
	for i, tr := range all {
		states[tr.State]++
		causes[tr.Cause]++
		if tr.DaysInPrevious != nil {
			stays++
		}
		if i > 0 && tr.Date > all[i-1].Date {
			t.Fatalf("%s comes after %s", tr.Date, all[i-1].Date)
		}
		if tr.Lead < 0.1 || tr.From.ID == tr.To.ID || (tr.State == "PENDING") != (tr.SettledOn == nil) || tr.State == "CONFIRMED" && tr.Lead < 0.3 && *tr.SettledOn <= tr.Date {
			t.Errorf("%+v", tr)
		}
	}
	t.Log(states, causes, stays)
	if states["CONFIRMED"] == 0 || states["REVERTED"] == 0 || causes["TIME"] == 0 || causes["ORDER"] == 0 || stays == 0 {
		t.Errorf("states %v, causes %v, %d stays", states, causes, stays)
	}
	if usual := list(""); len(usual) != states["CONFIRMED"]+states["PENDING"] {
		t.Errorf("%d without a filter, want those that were not taken back", len(usual))
	}
	one := all[len(all)/2]
	for _, filter := range []string{
		`states: [` + one.State + `], axes: ["` + one.Axis.Key + `"], range: { from: "` + one.Date + `", to: "` + (date(one.Date) + 1).String() + `" }, type: WEEKLY`,
		`states: [` + one.State + `], fromSegmentIds: ["` + one.From.ID + `"], toSegmentIds: ["` + one.To.ID + `"]`,
	} {
		found := list(filter)
		has := false
		for _, tr := range found {
			has = has || tr.Customer == one.Customer && tr.Date == one.Date
			if tr.Axis != one.Axis || tr.State != one.State {
				t.Errorf("%s gave %+v", filter, tr)
			}
		}
		if !has || len(found) == len(all) {
			t.Errorf("%s gave %d of %d", filter, len(found), len(all))
		}
	}
	var data struct {
		Customer struct {
			SegmentTransitions page
			Timeline           struct{ Transitions []transition }
		}
	}
	a.data(t, &data, `{ customer(by: { key: { storeId: "past", customerId: "`+one.Customer.CustomerID+`" } }) {
  segmentTransitions(first: 100, filter: { states: [PENDING, CONFIRMED, REVERTED] }) { `+fields+` }
  timeline(range: { from: "1998-01-01", to: "1998-07-01" }) { transitions { customer { customerId } axis { key } date state from { id } } }
} }`, nil)
	own := 0
	for _, tr := range all {
		if tr.Customer == one.Customer {
			own++
		}
	}
	if n := len(data.Customer.SegmentTransitions.Nodes); n != own || len(data.Customer.Timeline.Transitions) != own || own == 0 {
		t.Errorf("of the customer: %d in its list, %d on its timeline, %d in the store's list", n, len(data.Customer.Timeline.Transitions), own)
	}
	if r := a.query(t, `{ store(key: "past") { segmentTransitions(first: 10, filter: { axes: ["nothing"] }) { totalCount } } }`, nil); len(r.codes()) != 1 || r.codes()[0] != "BAD_USER_INPUT" {
		t.Errorf("an unknown axis gave %s", r.Text)
	}
}

// TestDocumentedOperations runs every operation that docs/drift.md promises, on a store of 25 weeks.
func TestDocumentedOperations(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/drift.md")
	check(t, err)
	a, store := newPastAPI(t)
	a.replayPast(t, store, "1998-01-01", "1998-06-20")
	operations := regexp.MustCompile("(?s)```graphql\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(operations) != 8 {
		t.Fatalf("%d operations, want those of the seven endpoints and one more", len(operations))
	}
	values := map[string]any{"store": "past", "customer": "p001", "from": "1998-03-01", "to": "1998-06-20"}
	for _, found := range operations {
		operation := found[1]
		name, _, _ := strings.Cut(strings.Fields(operation)[1], "(")
		variables := map[string]any{}
		for key, value := range values {
			if strings.Contains(operation, "$"+key+":") {
				variables[key] = value
			}
		}
		r := a.query(t, operation, variables)
		var data map[string]map[string]any
		if err := json.Unmarshal(r.Data, &data); len(r.Errors) > 0 || err != nil {
			t.Errorf("%s: %s", name, r.Text)
			continue
		}
		for root, answer := range data {
			if answer == nil {
				t.Errorf("%s: %s is null", name, root)
			}
			if errors, told := answer["userErrors"].([]any); told && len(errors) > 0 {
				t.Errorf("%s: %v", name, errors)
			}
			for field, value := range answer {
				if value == nil && field != "run" {
					t.Errorf("%s: %s.%s is null", name, root, field)
				}
			}
		}
	}
}

// directedEvent is a drift event with what belongs to its direction.
type directedEvent struct {
	ID, FromDate, ToDate          string
	Direction                     *string
	Acceleration, ChurnRiskChange *float64
	Axis                          struct{ Key string }
	Customer                      struct{ CustomerID string }
	FromSegment, ToSegment        struct{ RiskWeight *float64 }
	FromSnapshot, ToSnapshot      *struct{ ChurnRiskScore *float64 }
}

// directed reads the whole feed by direction, page by page.
func (a *api) directed(t *testing.T, directions []string) (list []directedEvent) {
	t.Helper()
	for after, more := (*string)(nil), true; more; {
		var got struct {
			DriftEvents struct {
				TotalCount int
				Nodes      []directedEvent
				PageInfo   struct {
					HasNextPage bool
					EndCursor   *string
				}
			}
		}
		a.data(t, &got, `query ($after: String, $directions: [RiskDirection!]) {
  driftEvents(filter: {storeId: "cdnow", minSeverity: MINOR, causes: [ORDER, TIME], range: {from: "1998-06-07", to: "1998-06-22"}, directions: $directions}, first: 100, after: $after) {
    totalCount nodes { id fromDate toDate direction acceleration churnRiskChange axis { key } customer { customerId }
      fromSegment { riskWeight } toSegment { riskWeight } fromSnapshot { churnRiskScore } toSnapshot { churnRiskScore } }
    pageInfo { hasNextPage endCursor } } }`, map[string]any{"after": after, "directions": directions})
		list = append(list, got.DriftEvents.Nodes...)
		after, more = got.DriftEvents.PageInfo.EndCursor, got.DriftEvents.PageInfo.HasNextPage
		if !more && got.DriftEvents.TotalCount != len(list) {
			t.Errorf("%v: %d events are counted, %d listed", directions, got.DriftEvents.TotalCount, len(list))
		}
	}
	return list
}

// testDirections holds the feed by direction to the directions of its events, these to the segments' risk weights, and what an event
// says of its interval to the snapshots and to an analysis of the last three.
func (a *api) testDirections(t *testing.T) {
	t.Helper()
	all := a.directed(t, nil)
	by := map[string][]string{}
	for _, e := range all {
		if e.Direction == nil {
			t.Fatalf("an event without a direction, of a model with risk weights: %+v", e)
		}
		by[*e.Direction] = append(by[*e.Direction], e.ID)
		change := *e.ToSegment.RiskWeight - *e.FromSegment.RiskWeight
		if want := map[bool]string{true: "IMPROVING", false: "WORSENING"}[change < 0]; change != 0 && *e.Direction != want || change == 0 && *e.Direction != "UNCHANGED" {
			t.Errorf("from %g to %g is %s", *e.FromSegment.RiskWeight, *e.ToSegment.RiskWeight, *e.Direction)
		}
		from, to := e.FromSnapshot.ChurnRiskScore, e.ToSnapshot.ChurnRiskScore
		if from == nil || to == nil || e.ChurnRiskChange == nil || math.Abs(*to-*from-*e.ChurnRiskChange) > 1e-12 {
			t.Errorf("the churn risk went from %v to %v, by %v", from, to, e.ChurnRiskChange)
		}
	}
	t.Logf("%d events: %d improving, %d worsening, %d neither", len(all), len(by["IMPROVING"]), len(by["WORSENING"]), len(by["UNCHANGED"]))
	if len(by["IMPROVING"]) == 0 || len(by["WORSENING"]) == 0 {
		t.Fatal("want events of both directions")
	}
	for direction, want := range by {
		var got []string
		for _, e := range a.directed(t, []string{direction}) {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d events are listed, want %d", direction, len(got), len(want))
		}
	}
	for _, e := range all[:min(20, len(all))] {
		var got struct {
			Customer struct {
				DriftAnalysis struct {
					Motion struct{ Snapshots int }
					Axes   []struct {
						Axis         struct{ Key string }
						Acceleration *float64
					}
				}
			}
		}
		a.data(t, &got, `query ($c: String!, $from: Date!, $to: Date!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}) {
  driftAnalysis(range: {from: $from, to: $to}) { motion { snapshots } axes { axis { key } acceleration } } } }`,
			map[string]any{"c": e.Customer.CustomerID, "from": date(e.FromDate) - 7, "to": date(e.ToDate) + 1})
		if n := got.Customer.DriftAnalysis.Motion.Snapshots; n != 3 {
			t.Fatalf("the analysis is of %d snapshots", n)
		}
		for _, axis := range got.Customer.DriftAnalysis.Axes {
			if axis.Axis.Key == e.Axis.Key && (axis.Acceleration == nil || e.Acceleration == nil || math.Abs(*axis.Acceleration-*e.Acceleration) > 1e-12) {
				t.Errorf("%s on %s: the event says %v, the analysis %v", e.Customer.CustomerID, e.Axis.Key, e.Acceleration, axis.Acceleration)
			}
		}
	}
}

// testFilledIn holds what the migration works out for events of before to what runs write with them.
func (a *api) testFilledIn(t *testing.T) {
	t.Helper()
	text, err := migrations.FS.ReadFile("0029_drift_risk.sql")
	check(t, err)
	_, rest, _ := strings.Cut(string(text), "WITH weight")
	fill, _, _ := strings.Cut(rest, ";")
	tx, err := a.pool.Begin(t.Context())
	check(t, err)
	defer func() { check(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
	var sums [2]string
	for i := range sums {
		check(t, tx.QueryRow(t.Context(), "SELECT md5(string_agg(concat(event_id, '=', risk_change), ' ' ORDER BY event_id)) FROM drift_event").Scan(&sums[i]))
		_, err = tx.Exec(t.Context(), "UPDATE drift_event SET risk_change = NULL")
		check(t, err)
		_, err = tx.Exec(t.Context(), "WITH weight"+fill)
		check(t, err)
	}
	if sums[0] != sums[1] {
		t.Error("the migration fills in other changes of risk than runs write")
	}
}
