package server_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/quimbi/quimbi/internal/pgtest"
)

type heatmap struct {
	Cohorts   []string
	Sizes     []int
	EveryNth  int
	Values    [][]*float64
	Freshness freshness
}

func (a *api) heatmap(t *testing.T, store, arguments string) heatmap {
	t.Helper()
	var got struct {
		Store struct{ CohortHeatmap heatmap }
	}
	counter := pgtest.Queries(t, a.pool)
	a.data(t, &got, fmt.Sprintf(`{ store(key: %q) { cohortHeatmap(%s) { metric interval cohorts sizes everyNth values freshness { computedAt snapshotDate modelVersion } } } }`, store, arguments), nil)
	counter.AtMost(t, 5)
	return got.Store.CohortHeatmap
}

// row gives values as text, null as -.
func row(values []*float64) string {
	var words []string
	for _, v := range values {
		if v == nil {
			words = append(words, "-")
		} else {
			words = append(words, fmt.Sprintf("%.4g", *v))
		}
	}
	return strings.Join(words, " ")
}

// TestCohorts: the fixture's customers bought first on 10 to 16 December 1997, a Wednesday to a Tuesday, and again on 29 June 1998, the
// day before the store's now; they have weekly snapshots from 4 January on.
func TestCohorts(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var segment struct {
		Store struct {
			Axis struct{ Segment struct{ ID string } }
		}
	}
	a.data(t, &segment, `{ store(key: "shop") { axis(key: "purchase_frequency") { segment(key: "seg_1") { id } } } }`, nil)
	share := fmt.Sprintf("metric: SEGMENT_SHARE, segmentId: %q, periods: 7", segment.Store.Axis.Segment.ID)
	m := fixtureModel()
	moved := m.Drift(fixturePrint(0, 0), fixturePrint(0, weeks-1))
	for arguments, want := range map[string]string{
		"metric: RETENTION":                                            "1 0 0 0 0 0 - - - - - -", // June is not over
		"metric: ORDERS, periods: 2":                                   "1 0",
		"metric: REVENUE, periods: 2":                                  "15.95 0",
		share:                                                          "- 0 0 0 0.1 0.1 -", // every tenth crosses on 5 April
		"metric: MEAN_DRIFT, periods: 6":                               fmt.Sprintf("- 0 0 0 %.4g 0", *moved.Overall*0.1/4),
		"metric: CHURN_RISK, periods: 3":                               "- - -", // none was stored
		"metric: MEAN_DRIFT, periods: 3, type: DAILY":                  "- - -",
		"metric: RETENTION, interval: QUARTER, periods: 4":             "1 0 - -",
		`metric: RETENTION, periods: 1, cohorts: {from: "1997-12-16"}`: "1",
	} {
		got := a.heatmap(t, "shop", arguments)
		if len(got.Values) != 1 || row(got.Values[0]) != want || got.EveryNth != 1 {
			t.Errorf("%s: %+v of %v, want %s", arguments, got.Cohorts, got.Sizes, want)
			for _, v := range got.Values {
				t.Log(row(v))
			}
		}
		bySnapshots := strings.Contains(arguments, "SEGMENT_SHARE") || arguments == "metric: MEAN_DRIFT, periods: 6"
		byOrders := strings.Contains(arguments, "RETENTION") || strings.Contains(arguments, "ORDERS") || strings.Contains(arguments, "REVENUE")
		f := got.Freshness
		if (f.SnapshotDate != nil) != bySnapshots || (f.ComputedAt != nil) != (bySnapshots || byOrders) || (f.ModelVersion != nil) != (arguments == share) ||
			bySnapshots && *f.SnapshotDate != lastSunday.String() {
			t.Errorf("%s: freshness %+v", arguments, f)
		}
	}

	weekly := a.heatmap(t, "shop", "metric: RETENTION, interval: WEEK, periods: 2")
	if !slices.Equal(weekly.Cohorts, []string{"1997-12-07", "1997-12-14"}) || !slices.Equal(weekly.Sizes, []int{18 + 3*17, 3 * 17}) {
		t.Errorf("weeks from Sunday on: %v of %v", weekly.Cohorts, weekly.Sizes)
	}
	a.data(t, &struct{}{}, `mutation { updateStore(input: {storeId: "shop", weekStart: MONDAY}) { userErrors { message } } }`, nil)
	weekly = a.heatmap(t, "shop", "metric: RETENTION, interval: WEEK, periods: 29")
	if !slices.Equal(weekly.Cohorts, []string{"1997-12-08", "1997-12-15"}) || !slices.Equal(weekly.Sizes, []int{18 + 4*17, 2 * 17}) || row(weekly.Values[0][:2]) != "1 0" {
		t.Errorf("weeks from Monday on: %v of %v", weekly.Cohorts, weekly.Sizes)
	}
	if none := a.heatmap(t, "shop", `metric: RETENTION, cohorts: {to: "1997-12-01"}`); len(none.Cohorts) != 0 || len(none.Values) != 0 {
		t.Errorf("before the first purchase: %+v", none)
	}

	for arguments, code := range map[string]string{
		"metric: SEGMENT_SHARE":           "BAD_USER_INPUT",
		"metric: RETENTION, periods: 0":   "BAD_USER_INPUT",
		"metric: RETENTION, periods: 121": "BAD_USER_INPUT",
		fmt.Sprintf("metric: RETENTION, segmentId: %q", segment.Store.Axis.Segment.ID): "BAD_USER_INPUT",
		`metric: SEGMENT_SHARE, segmentId: "none"`:                                     "BAD_USER_INPUT",
		`metric: RETENTION, cohorts: {from: "1998-02-01", to: "1998-01-01"}`:           "BAD_USER_INPUT",
	} {
		r := a.query(t, `{ store(key: "shop") { cohortHeatmap(`+arguments+`) { cohorts } } }`, nil)
		if !slices.Equal(r.codes(), []string{code}) {
			t.Errorf("%s has the codes %v, want %s: %.300s", arguments, r.codes(), code, r.Text)
		}
	}
	_, err := a.db.EnsureStore(t.Context(), "other")
	check(t, err)
	r := a.query(t, `{ store(key: "other") { cohortHeatmap(`+share+`) { cohorts } } }`, nil)
	if !slices.Equal(r.codes(), []string{"BAD_USER_INPUT"}) {
		t.Errorf("another store's segment: %.300s", r.Text)
	}
	if empty := a.heatmap(t, "other", "metric: REVENUE"); len(empty.Cohorts) != 0 {
		t.Errorf("a store without orders: %+v", empty)
	}
}

// testCohorts compares CDNOW's first cohort with plain counts.
func (a *api) testCohorts(t *testing.T) {
	metrics := map[string]string{
		"RETENTION": `count(DISTINCT o.customer_id) FILTER (WHERE o.quantity > 0)`,
		"ORDERS":    `count(DISTINCT (o.customer_id, o.ordered_at::date)) FILTER (WHERE o.quantity > 0)`,
		"REVENUE":   `sum(o.net_cents - o.refund_cents) / 100.0`,
	}
	for metric, sum := range metrics {
		got := a.heatmap(t, "cdnow", "periods: 18, metric: "+metric)
		if !slices.Equal(got.Cohorts, []string{"1997-01-01", "1997-02-01", "1997-03-01"}) || got.Sizes[0]+got.Sizes[1]+got.Sizes[2] != sampleCustomers {
			t.Fatalf("cohorts %v of %v", got.Cohorts, got.Sizes)
		}
		rows, err := a.pool.Query(t.Context(), `SELECT 12 * extract(year FROM o.ordered_at)::int + extract(month FROM o.ordered_at)::int - 12 * 1997 - 1 AS age, (`+sum+`)::float8
FROM customer_order o JOIN customer c USING (store_id, customer_id) WHERE c.first_order_at < '1997-02-01' GROUP BY 1 ORDER BY 1`)
		check(t, err)
		for rows.Next() {
			var age int
			var want float64
			check(t, rows.Scan(&age, &want))
			want /= float64(got.Sizes[0])
			if v := got.Values[0][age]; v == nil || math.Abs(*v-want) > 1e-9 {
				t.Errorf("%s of January 1997 after %d months: %v, want %g", metric, age, v, want)
			}
		}
		check(t, rows.Err())
	}
	risk := a.heatmap(t, "cdnow", "periods: 18, metric: CHURN_RISK")
	if row(risk.Values[0][:12]) != strings.TrimSpace(strings.Repeat("- ", 12)) || risk.Values[0][12] == nil || *risk.Values[0][12] <= 0 || *risk.Values[0][12] >= 1 {
		t.Errorf("churn risk of January 1997: %s", row(risk.Values[0]))
	}
}
