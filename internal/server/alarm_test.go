package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/jobs"
)

type shownAlarm struct {
	ID, Kind, Date                       string
	Customer                             struct{ CustomerID string }
	ModelVersion, OrderCount, DaysSilent int
	PValue                               float64
	Rank                                 *int
	WithinBudget                         *bool
	EndedOn                              *string
	Value, Threshold, RatePerWeek        float64
	Explanation                          string
}

const alarmFields = `id kind date customer { customerId } modelVersion orderCount daysSilent pValue rank withinBudget endedOn value threshold ratePerWeek explanation`

type alarmPage struct {
	TotalCount         int
	FalseDiscoveryRate *float64
	Nodes              []shownAlarm
	PageInfo           struct {
		HasNextPage bool
		EndCursor   string
	}
}

// allAlarms pages through the alarms of the store.
func (a *api) allAlarms(t *testing.T, filter string) (all []shownAlarm, first alarmPage) {
	t.Helper()
	var after *string
	for {
		var got struct{ Store struct{ Alarms alarmPage } }
		a.data(t, &got, `query ($after: String) { store(key: "cdnow") { alarms(filter: {`+filter+`}, first: 30, after: $after) {
  totalCount falseDiscoveryRate nodes { `+alarmFields+` } pageInfo { hasNextPage endCursor } } } }`, map[string]any{"after": after})
		page := got.Store.Alarms
		if after == nil {
			first = page
		}
		all = append(all, page.Nodes...)
		if !page.PageInfo.HasNextPage {
			break
		}
		after = &page.PageInfo.EndCursor
	}
	if len(all) != first.TotalCount {
		t.Fatalf("%d alarms were met with filter %q, %d counted", len(all), filter, first.TotalCount)
	}
	return all, first
}

// testAlarms looks at what the weekly snapshots of a real shop raised.
func (a *api) testAlarms(t *testing.T, store *engine.Store) {
	t.Helper()
	all, page := a.allAlarms(t, "")
	kinds := map[string]int{}
	for i, alarm := range all {
		kinds[alarm.Kind]++
		if i > 0 {
			before := all[i-1]
			next := *before.Rank + 1
			if before.Customer == alarm.Customer {
				next--
			}
			if before.Date < alarm.Date || before.Date == alarm.Date && *alarm.Rank != next || before.Date > alarm.Date && *alarm.Rank != 1 {
				t.Errorf("%+v\nis followed by %+v", before, alarm)
			}
		}
		beyond := alarm.Value > alarm.Threshold
		words := fmt.Sprintf("%d order", alarm.OrderCount)
		if alarm.Kind == "SILENCE" {
			beyond, words = alarm.Value <= alarm.Threshold, fmt.Sprintf("silent for %d:", alarm.DaysSilent)
		}
		if !beyond || !(alarm.PValue > 0 && alarm.PValue <= 0.2+1e-9) || alarm.RatePerWeek < 0.1 || !strings.Contains(alarm.Explanation, words) || alarm.ModelVersion != 1 || alarm.WithinBudget == nil || !*alarm.WithinBudget {
			t.Errorf("%+v", alarm)
		}
	}
	t.Logf("%d alarms: %v, false discovery rate %.2f", len(all), kinds, *page.FalseDiscoveryRate)
	if len(kinds) != 3 || !(*page.FalseDiscoveryRate > 0 && *page.FalseDiscoveryRate <= 1) {
		t.Errorf("%v, %+v", kinds, page.FalseDiscoveryRate)
	}
	a.testAlarmEnds(t, all)
	a.testAlarmBudget(t, len(all))
	a.testCustomerAlarms(t, all)

	// Taken once more, they are the same.
	run, err := a.queue.Replay(t.Context(), jobs.ReplayRequest{Store: store, Type: engine.Weekly, From: lastSunday - 13, To: lastSunday + 1, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, a.queue.Work(t.Context(), run, nil))
	again, _ := a.allAlarms(t, "")
	for i := range again {
		if again[i].Date >= (lastSunday - 13).String() {
			again[i].ID = all[min(i, len(all)-1)].ID // they are new rows
		}
	}
	if diff := cmp.Diff(all, again); diff != "" {
		t.Errorf("raised again (-want +got):\n%s", diff)
	}
}

// testAlarmEnds holds the ends of alarms to the customers' orders.
func (a *api) testAlarmEnds(t *testing.T, all []shownAlarm) {
	t.Helper()
	standing, page := a.allAlarms(t, "standing: true")
	ended, _ := a.allAlarms(t, "standing: false")
	if page.FalseDiscoveryRate != nil {
		t.Errorf("of those that stand %v are said to be false", *page.FalseDiscoveryRate)
	}
	if len(standing) == 0 || len(ended) == 0 || len(standing)+len(ended) != len(all) {
		t.Fatalf("%d stand and %d ended of %d", len(standing), len(ended), len(all))
	}
	for _, alarm := range standing {
		var got struct {
			Customer struct{ LastOrderAt time.Time }
		}
		a.data(t, &got, `query ($c: String!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}) { lastOrderAt } }`, map[string]any{"c": alarm.Customer.CustomerID})
		if last := got.Customer.LastOrderAt.Format(time.DateOnly); alarm.EndedOn != nil || last >= alarm.Date {
			t.Errorf("%+v stands, the last order is of %s", alarm, last)
		}
	}
	for _, alarm := range ended {
		if alarm.EndedOn == nil || *alarm.EndedOn < alarm.Date {
			t.Errorf("%+v", alarm)
		}
	}
}

// testAlarmBudget lets two alarms a week through, and then all again; a rate out of range is refused.
func (a *api) testAlarmBudget(t *testing.T, all int) {
	t.Helper()
	set := func(setting string) string {
		r := a.query(t, `mutation { updateStore(input: {storeId: "cdnow", `+setting+`}) { store { settings { falseAlarmRate alarmsPerWeek } } userErrors { code field } } }`, nil)
		return r.Text
	}
	if text := set("alarmsPerWeek: 2, falseAlarmRate: 0.2"); !strings.Contains(text, `"settings":{"falseAlarmRate":0.2,"alarmsPerWeek":2}`) {
		t.Error(text)
	}
	within, best := a.allAlarms(t, "withinBudget: true")
	beyond, rest := a.allAlarms(t, "withinBudget: false")
	if best.FalseDiscoveryRate == nil || rest.FalseDiscoveryRate != nil {
		t.Errorf("false discovery rates within the budget %v, beyond it %v", best.FalseDiscoveryRate, rest.FalseDiscoveryRate)
	}
	if len(within)+len(beyond) != all || len(within) == 0 || len(beyond) == 0 {
		t.Errorf("%d within the budget, %d beyond, of %d", len(within), len(beyond), all)
	}
	if slices.ContainsFunc(within, func(s shownAlarm) bool { return *s.Rank > 2 || !*s.WithinBudget }) || slices.ContainsFunc(beyond, func(s shownAlarm) bool { return *s.Rank <= 2 || *s.WithinBudget }) {
		t.Error("the budget is another one")
	}
	for _, wrong := range []string{"falseAlarmRate: 0", "falseAlarmRate: 1.5", "alarmsPerWeek: -1"} {
		if text := set(wrong); !strings.Contains(text, `"field":["input","`+strings.Split(wrong, ":")[0]+`"]`) {
			t.Error(text)
		}
	}
	if text := set("alarmsPerWeek: null"); !strings.Contains(text, `"alarmsPerWeek":null`) {
		t.Error(text)
	}
}

// testCustomerAlarms reads alarms by customer, few statements for many, and one by its identifier.
func (a *api) testCustomerAlarms(t *testing.T, all []shownAlarm) {
	t.Helper()
	want := map[string]int{}
	for _, alarm := range all {
		want[alarm.Customer.CustomerID]++
	}
	var got struct {
		Customers struct {
			Nodes []struct {
				CustomerID string
				Alarms     alarmPage
				Prediction struct {
					AlarmsOn  []string
					AlarmsOff *string
				}
			}
		}
	}
	counter := pgtest.Queries(t, a.pool)
	a.data(t, &got, `{ customers(filter: {storeId: "cdnow"}, orderBy: {field: ORDER_COUNT, direction: DESC}, first: 100) { nodes { customerId prediction { alarmsOn alarmsOff } alarms(first: 50) { falseDiscoveryRate nodes { `+alarmFields+` } } } } }`, nil)
	counter.AtMost(t, 7)
	some := 0
	for _, c := range got.Customers.Nodes {
		if !slices.Contains(c.Prediction.AlarmsOn, "SILENCE") || c.Prediction.AlarmsOff != nil {
			t.Errorf("%s, one of the best customers, is watched by %v", c.CustomerID, c.Prediction.AlarmsOn)
		}
		if len(c.Alarms.Nodes) != want[c.CustomerID] {
			t.Errorf("%s has %d alarms, and %d in the store's list", c.CustomerID, len(c.Alarms.Nodes), want[c.CustomerID])
		}
		if c.Alarms.FalseDiscoveryRate != nil {
			t.Errorf("of one customer's alarms %v are said to be false", *c.Alarms.FalseDiscoveryRate)
		}
		for _, alarm := range c.Alarms.Nodes {
			some++
			if !slices.ContainsFunc(all, func(s shownAlarm) bool { return cmp.Equal(s, alarm) }) {
				t.Errorf("%+v is not in the store's list", alarm)
			}
		}
	}
	if some == 0 {
		t.Error("none of the best customers has an alarm")
	}
	if r := a.query(t, `{ customers(filter: {storeId: "cdnow"}, orderBy: {field: ORDER_COUNT, direction: ASC}, first: 1) { nodes { prediction { alarmsOn alarmsOff } } } }`, nil); !strings.Contains(r.Text, `"prediction":{"alarmsOn":[],"alarmsOff":"TOO_SLOW"}`) {
		t.Errorf("who bought once: %s", r.Text)
	}
	var one struct{ Node shownAlarm }
	a.data(t, &one, `query ($id: ID!) { node(id: $id) { ... on Alarm { `+alarmFields+` } } }`, map[string]any{"id": all[0].ID})
	if diff := cmp.Diff(all[0], one.Node); diff != "" {
		t.Errorf("by its identifier (-want +got):\n%s", diff)
	}
}
