package server_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// testExplains asks why, what changed and what would move a customer, of real customers, and works the answers out again.
func (a *api) testExplains(t *testing.T, store *engine.Store) {
	stored, err := a.db.NewestModel(t.Context(), store.ID)
	check(t, err)
	t.Run("reasons", func(t *testing.T) { a.testReasons(t, stored.Model) })
	t.Run("causes", func(t *testing.T) { a.testCauses(t) })
	t.Run("pathTo", func(t *testing.T) { a.testPathTo(t, store, stored.Model) })
	t.Run("the past", func(t *testing.T) { a.testExplainPast(t) })
	t.Run("rules", func(t *testing.T) { a.testSegmentRules(t) })
	t.Run("refused", func(t *testing.T) { a.testExplainRefused(t) })
}

// placed is a part of a thumbprint with what explains it.
type placed struct {
	Status   string
	Outlier  *bool
	Shape    *string
	Dominant *struct {
		Path      string
		IsStratum bool
	}
	Memberships []struct{ Score float64 }
	Reasons     *struct {
		Segment struct{ Path string }
		Over    *struct{ Path string }
		Missing *string
		Total   *float64
		Text    string

		Contributions []struct {
			Feature      string
			Value        *float64
			Contribution float64
		}
	}
}

// A page of customers with all their reasons is a handful of statements, whatever its size. The features are read although
// only fragments ask for what needs them.
func (a *api) testReasons(t *testing.T, m *engine.Model) {
	const query = `query ($first: Int!) { customers(filter: {storeId: "cdnow"}, first: $first) { nodes {
  customerId persona(level: ROOTS) { strength segments { score } } thumbprint(level: ROOTS) { ...place } latestSnapshot { thumbprint(level: ROOTS) { ...place } } } } }
fragment place on AxisMembership { status shape dominant { path isStratum } memberships { score } ...why }
fragment why on AxisMembership { outlier reasons { segment { path } over { path } missing total text contributions { feature value contribution } } }`
	var got struct {
		Customers struct {
			Nodes []struct {
				CustomerID     string
				Persona        *struct{ Strength float64 }
				Thumbprint     []placed
				LatestSnapshot struct{ Thumbprint []placed }
			}
		}
	}
	for _, size := range []int{10, 50} {
		counter := pgtest.Queries(t, a.pool)
		a.data(t, &got, query, map[string]any{"first": size})
		counter.AtMost(t, 5)
		t.Logf("%d statements for %d customers", len(counter.Reads()), size)
	}
	personas, outliers := 0, 0
	missing := map[string]int{}
	for _, c := range got.Customers.Nodes {
		if c.Persona != nil {
			personas++
			if !(c.Persona.Strength > 0 && c.Persona.Strength <= 1) {
				t.Errorf("customer %s: a persona of strength %g", c.CustomerID, c.Persona.Strength)
			}
		}
		for _, print := range [][]placed{c.Thumbprint, c.LatestSnapshot.Thumbprint} {
			for i, p := range print {
				if p.Status != "ON" {
					if p.Outlier != nil || p.Reasons != nil || p.Shape != nil {
						t.Errorf("customer %s, axis %d: %s, and still explained: %+v", c.CustomerID, i, p.Status, p)
					}
					continue
				}
				checkReasons(t, &m.Axes[i], c.CustomerID, &p)
				if p.Outlier != nil && *p.Outlier {
					outliers++
				}
				if p.Reasons != nil && p.Reasons.Missing != nil {
					missing[*p.Reasons.Missing]++
				}
			}
		}
	}
	if personas == 0 || missing["STRATUM"] == 0 || len(missing) != 1 {
		t.Errorf("%d personas, reasons missing: %v", personas, missing)
	}
	t.Logf("%d personas, %d outliers, %d strata", personas, outliers, missing["STRATUM"])
}

func checkReasons(t *testing.T, axis *engine.AxisModel, customer string, p *placed) {
	t.Helper()
	if p.Outlier == nil || p.Shape == nil || p.Reasons == nil || p.Dominant == nil || p.Reasons.Text == "" || p.Reasons.Segment.Path != p.Dominant.Path {
		t.Errorf("customer %s: %+v", customer, p)
		return
	}
	r := p.Reasons
	if p.Dominant.IsStratum != (r.Missing != nil) {
		t.Errorf("customer %s in %s: missing is %v", customer, p.Dominant.Path, r.Missing)
		return
	}
	if r.Missing != nil {
		if r.Over != nil || r.Total != nil || len(r.Contributions) > 0 {
			t.Errorf("customer %s: %+v", customer, r)
		}
		return
	}
	sum, used := 0.0, 0
	for _, c := range r.Contributions {
		sum += c.Contribution
	}
	for i := range axis.Features {
		if axis.Features[i].Status == engine.FeatureOn {
			used++
		}
	}
	// The dominant segment is the nearer one; memberships of equal distance are equal.
	if r.Over == nil || r.Total == nil || len(r.Contributions) != used || math.Abs(sum-*r.Total) > 1e-9 || *r.Total < -1e-9 {
		t.Errorf("customer %s: the contributions sum to %g: %+v", customer, sum, r)
	}
}

// cause is a feature's effect on a membership.
type cause struct {
	Feature string
	Effect  float64
}

// The effects on a membership sum to its change, and over the segments of a level each feature's effects cancel.
func (a *api) testCauses(t *testing.T) {
	var tree struct {
		Store struct {
			Axis struct{ RootSegments []struct{ ID, Path string } }
		}
	}
	a.data(t, &tree, `{ store(key: "cdnow") { axis(key: "purchase_frequency") { rootSegments { id path } } } }`, nil)
	const query = `query ($c: String!, $s: ID!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}) {
  driftAnalysis(range: {from: "1998-01-01", to: "1998-07-01"}, axes: ["purchase_frequency", "price_sensitivity"]) {
    axes { status score causesMissing causes(segmentId: $s) { feature effect before after } toSegment { path } own: causes { feature effect } changes(first: 100) { segment { path } before after } } } } }`
	moved := 0
	for _, name := range a.greatest(t, 10) {
		sums := map[string]float64{} // of a feature over the segments
		for _, root := range tree.Store.Axis.RootSegments {
			var got struct {
				Customer struct {
					DriftAnalysis struct {
						Axes []struct {
							Status        string
							Score         *float64
							CausesMissing *string
							Causes, Own   []cause
							ToSegment     *struct{ Path string }
							Changes       []struct {
								Segment       struct{ Path string }
								Before, After float64
							}
						}
					}
				}
			}
			// The segment is of the first axis; on the second, which is off, nothing is looked up.
			a.data(t, &got, query, map[string]any{"c": name, "s": root.ID})
			on, off := got.Customer.DriftAnalysis.Axes[0], got.Customer.DriftAnalysis.Axes[1]
			if off.Status == "ON" || off.Causes != nil || off.CausesMissing != nil {
				t.Fatalf("an axis that is off: %+v", off)
			}
			if on.CausesMissing != nil || len(on.Causes) == 0 {
				t.Fatalf("customer %s: %+v", name, on)
			}
			sum, change := 0.0, math.NaN()
			for _, c := range on.Causes {
				sum += c.Effect
				sums[c.Feature] += c.Effect
			}
			for _, c := range on.Changes {
				if c.Segment.Path == root.Path {
					change = c.After - c.Before
				}
			}
			if !(math.Abs(sum-change) <= 2e-4*4) { // both sides are rounded, and a root's leaves each
				t.Errorf("customer %s, %s: the effects sum to %g, the membership changes by %g", name, root.Path, sum, change)
			}
			if root.Path == on.ToSegment.Path && !slices.Equal(on.Own, on.Causes) {
				t.Errorf("customer %s: unless told the causes are %v, not those of the dominant segment, %v", name, on.Own, on.Causes)
			}
			if *on.Score > 0.1 {
				moved++
			}
		}
		for feature, sum := range sums {
			if math.Abs(sum) > 1e-9 {
				t.Errorf("customer %s: over all segments %s has an effect of %g", name, feature, sum)
			}
		}
	}
	if moved == 0 {
		t.Error("none of the customers moved")
	}
	names := a.greatest(t, 50)
	counter := pgtest.Queries(t, a.pool)
	r := a.query(t, `{ customers(filter: {storeId: "cdnow"}, orderBy: {field: TOTAL_VALUE, direction: DESC}, first: 50) { nodes { driftAnalysis { axes { causes { feature effect } } } } } }`, nil)
	if len(r.Errors) > 0 {
		t.Fatalf("%.600s", r.Text)
	}
	counter.AtMost(t, 5)
	t.Logf("%d statements for the causes of %d customers", len(counter.Reads()), len(names))
}

// What is said to make a segment dominant does, when the features are changed and scored again.
func (a *api) testPathTo(t *testing.T, store *engine.Store, m *engine.Model) {
	var some struct {
		Customers struct{ Nodes []struct{ CustomerID string } }
	}
	a.data(t, &some, `{ customers(filter: {storeId: "cdnow"}, first: 4) { nodes { customerId } } }`, nil)
	names := a.greatest(t, 1)
	for _, c := range some.Customers.Nodes {
		names = append(names, c.CustomerID)
	}
	statuses := map[string]int{}
	for _, axis := range []string{"purchase_frequency", "purchase_value", "purchase_regularity"} {
		var tree struct {
			Store struct {
				Axis struct {
					RootSegments []struct{ ID, Path, Name string }
				}
			}
		}
		a.data(t, &tree, `query ($a: String!) { store(key: "cdnow") { axis(key: $a) { rootSegments { id path name } } } }`, map[string]any{"a": axis})
		index, _ := engine.AxisIndex(axis)
		for _, name := range names {
			features := a.features(t, store, name)
			for _, root := range tree.Store.Axis.RootSegments {
				var got struct {
					Customer struct {
						PathTo struct {
							Segment   struct{ Path string }
							Status    string
							Reachable *bool
							Text      string
							Changes   []struct {
								Feature, Text string
								From, To      float64
							}
						}
					}
				}
				a.data(t, &got, `query ($c: String!, $s: ID!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}) {
  pathTo(segmentId: $s) { segment { path } status reachable text changes { feature from to text } } } }`, map[string]any{"c": name, "s": root.ID})
				p := got.Customer.PathTo
				statuses[p.Status]++
				if p.Segment.Path != root.Path || (p.Reachable == nil) != (p.Status == "NOT_ELIGIBLE") || p.Reachable != nil && (*p.Reachable != (p.Status != "NOT_REACHABLE") || !strings.Contains(p.Text, root.Name)) {
					t.Errorf("customer %s to %s: %+v", name, root.Path, p)
				}
				if p.Status != "REACHABLE" {
					continue
				}
				if !strings.Contains(p.Text, "promises no effect") || !strings.Contains(p.Text, p.Changes[0].Text) {
					t.Errorf("customer %s to %s: %q", name, root.Path, p.Text)
				}
				t.Logf("%s", p.Text)
				moved := slices.Clone(features)
				for _, c := range p.Changes {
					f := slices.IndexFunc(engine.Axes[index].Features, func(f engine.Feature) bool { return f.Key == c.Feature })
					moved[engine.Axes[index].First+f] = float32(engine.Axes[index].Features[f].Stored(c.To))
				}
				var print engine.Thumbprint
				m.NewScorer().Score(engine.PurchasesOf(moved), moved, &print)
				roots := m.RootMemberships(index, print, nil)
				first, second := 0, 0
				for _, u := range roots {
					if u > first {
						first, second = u, first
					} else {
						second = max(second, u)
					}
				}
				if path := m.Axes[index].Segments[m.Path(index, print)[0]].Path; path != root.Path || first-second < 500 {
					t.Errorf("customer %s after %q: in %s with a lead of %d", name, p.Text, path, first-second)
				}
			}
		}
	}
	if statuses["DOMINANT"] == 0 || statuses["REACHABLE"] == 0 || statuses["NOT_REACHABLE"] == 0 {
		t.Errorf("the answers are %v", statuses)
	}
	var segment struct {
		Store struct {
			Axis struct{ RootSegments []struct{ ID string } }
		}
	}
	a.data(t, &segment, `{ store(key: "cdnow") { axis(key: "purchase_frequency") { rootSegments { id } } } }`, nil)
	counter := pgtest.Queries(t, a.pool)
	r := a.query(t, `query ($s: ID!) { customers(filter: {storeId: "cdnow"}, first: 50) { nodes { pathTo(segmentId: $s) { status text } } } }`, map[string]any{"s": segment.Store.Axis.RootSegments[1].ID})
	if len(r.Errors) > 0 {
		t.Fatalf("%.600s", r.Text)
	}
	counter.AtMost(t, 5)
	t.Logf("%d statements for the ways of 50 customers", len(counter.Reads()))
}

// features reads a customer's features as they are stored.
func (a *api) features(t *testing.T, store *engine.Store, name string) []float32 {
	t.Helper()
	key := postgres.CustomerKey{StoreID: store.ID, Key: name}
	found, err := a.db.CustomersByKey(t.Context(), []postgres.CustomerKey{key})
	check(t, err)
	ref := postgres.CustomerRef{StoreID: store.ID, CustomerID: found[key].ID}
	states, err := a.db.CustomerStates(t.Context(), []postgres.CustomerRef{ref}, true)
	check(t, err)
	if states[ref].Features == nil {
		t.Fatalf("customer %s has no features", name)
	}
	return states[ref].Features
}

// A day of the past is explained too, whether it has snapshots or is worked out from the orders.
func (a *api) testExplainPast(t *testing.T) {
	var root struct {
		Store struct {
			Axis struct{ RootSegments []struct{ ID string } }
		}
	}
	a.data(t, &root, `{ store(key: "cdnow") { axis(key: "purchase_value") { rootSegments { id } } } }`, nil)
	for _, day := range []string{"1998-05-31", "1998-06-03"} { // a Sunday with snapshots, a Wednesday without
		var got struct {
			Customer struct {
				Thumbprint    []placed
				PathTo        struct{ Status string }
				DriftAnalysis struct {
					Axes []struct {
						CausesMissing *string
						Causes        []cause
					}
				}
			}
		}
		a.data(t, &got, `query ($c: String!, $d: Date!, $s: ID!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}, asOf: $d) {
  thumbprint(axes: ["purchase_value"]) { status outlier reasons { missing total } } pathTo(segmentId: $s) { status }
  driftAnalysis(axes: ["purchase_value"]) { axes { causesMissing causes { feature effect } } } } }`,
			map[string]any{"c": a.greatest(t, 1)[0], "d": day, "s": root.Store.Axis.RootSegments[0].ID})
		c := got.Customer
		if p := c.Thumbprint[0]; p.Outlier == nil || p.Reasons == nil || p.Reasons.Missing != nil || p.Reasons.Total == nil {
			t.Errorf("%s: %+v", day, p)
		}
		if c.PathTo.Status == "NO_FEATURES" || c.PathTo.Status == "" {
			t.Errorf("%s: %+v", day, c.PathTo)
		}
		if d := c.DriftAnalysis.Axes[0]; d.CausesMissing != nil || len(d.Causes) == 0 {
			t.Errorf("%s: %+v", day, d)
		}
	}
}

func (a *api) testSegmentRules(t *testing.T) {
	var got struct {
		Store struct {
			Axis struct {
				Features []struct {
					Key        string
					Actionable bool
				}
				SegmentTree []struct {
					Name    string
					Profile struct {
						Rule *struct {
							Text                string
							Precision, Coverage float64
							Conditions          []struct {
								Feature       string
								Above, AtMost *float64
							}
						}
					}
				}
			}
		}
	}
	a.data(t, &got, `{ store(key: "cdnow") { axis(key: "purchase_frequency") { features { key actionable }
  segmentTree { name profile { rule { text precision coverage conditions { feature above atMost } } } } } } }`, nil)
	if f := got.Store.Axis.Features; !f[0].Actionable || f[3].Actionable {
		t.Errorf("actionable are %+v", f)
	}
	for _, s := range got.Store.Axis.SegmentTree {
		rule := s.Profile.Rule
		if rule == nil {
			continue
		}
		if rule.Precision < 0.8 || rule.Coverage < 0.3 || len(rule.Conditions) == 0 || len(rule.Conditions) > 3 {
			t.Errorf("%s: %+v", s.Name, rule)
		}
		if s.Name == "one purchase" {
			c := rule.Conditions[0]
			if rule.Text != "purchases at most 1" || rule.Precision != 1 || rule.Coverage != 1 || c.Feature != "purchases" || c.Above != nil || c.AtMost == nil || *c.AtMost != 1 {
				t.Errorf("one purchase: %+v", rule)
			}
			return
		}
	}
	t.Error("one purchase has no rule")
}

func (a *api) testExplainRefused(t *testing.T) {
	var trees struct {
		Store struct {
			Frequency, Value struct{ RootSegments []struct{ ID string } }
		}
	}
	a.data(t, &trees, `{ store(key: "cdnow") { frequency: axis(key: "purchase_frequency") { rootSegments { id } } value: axis(key: "purchase_value") { rootSegments { id } } } }`, nil)
	frequency, value := trees.Store.Frequency.RootSegments[0].ID, trees.Store.Value.RootSegments
	for _, test := range []struct{ name, field, want string }{
		{"reasons of another axis", `thumbprint(axes: ["purchase_value"]) { reasons(segmentId: "` + frequency + `") { text } }`, "BAD_USER_INPUT"},
		{"reasons over itself", `thumbprint(axes: ["purchase_value"]) { reasons(segmentId: "` + value[0].ID + `", overSegmentId: "` + value[0].ID + `") { text } }`, "BAD_USER_INPUT"},
		{"reasons of nothing", `thumbprint(axes: ["purchase_value"]) { reasons(segmentId: "x") { text } }`, "BAD_USER_INPUT"},
		{"causes of another axis", `driftAnalysis(range: {from: "1998-01-01"}, axes: ["purchase_value"]) { axes { causes(segmentId: "` + frequency + `") { effect } } }`, "BAD_USER_INPUT"},
		{"path to nothing", `pathTo(segmentId: "x") { text }`, "BAD_USER_INPUT"},
	} {
		r := a.query(t, `query ($c: String!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}) { `+test.field+` } }`, map[string]any{"c": a.greatest(t, 1)[0]})
		if codes := r.codes(); len(codes) != 1 || codes[0] != test.want {
			t.Errorf("%s: %s", test.name, r.Text)
		}
	}
	r := a.query(t, `query ($c: String!, $s: ID!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}) { id pathTo(segmentId: $s) { text } } }`, map[string]any{"c": a.greatest(t, 1)[0], "s": a.storeID(t)})
	if codes := r.codes(); len(codes) != 1 || codes[0] != "NOT_FOUND" {
		t.Errorf("path to a store: %s", r.Text)
	}
}

func (a *api) storeID(t *testing.T) string {
	t.Helper()
	var got struct{ Store struct{ ID string } }
	a.data(t, &got, `{ store(key: "cdnow") { id } }`, nil)
	return got.Store.ID
}

// Without stored features there is nothing to explain by, and each answer says so.
func TestNothingToExplainBy(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	var tree struct {
		Store struct {
			Frequency, Value struct{ RootSegments []struct{ ID string } }
		}
	}
	a.data(t, &tree, `{ store(key: "shop") { frequency: axis(key: "purchase_frequency") { rootSegments { id } } value: axis(key: "price_sensitivity") { rootSegments { id } } } }`, nil)
	r := a.query(t, `query ($s: ID!) { customer(by: {key: {storeId: "shop", customerId: "c000"}}) {
  persona { strength segments { score } } pathTo(segmentId: $s) { status reachable changes { feature } text }
  thumbprint(axes: ["purchase_frequency", "price_sensitivity"]) { outlier shape reasons { segment { path } over { path } missing total contributions { feature } text } }
  driftAnalysis(range: {from: "1998-01-01"}, axes: ["purchase_frequency", "price_sensitivity"]) { axes { causes { feature } causesMissing } } } }`, map[string]any{"s": tree.Store.Frequency.RootSegments[0].ID})
	const want = `{"data":{"customer":{` +
		`"persona":{"strength":0.54,"segments":[{"score":0.9},{"score":0.6}]},` +
		`"pathTo":{"status":"NO_FEATURES","reachable":null,"changes":[],"text":"The customer's features were not stored."},` +
		`"thumbprint":[{"outlier":null,"shape":"CLEAR","reasons":{"segment":{"path":"seg_1"},"over":null,"missing":"NO_FEATURES","total":null,"contributions":[],"text":"The features were not stored, so there is nothing to explain by."}},` +
		`{"outlier":null,"shape":null,"reasons":null}],` +
		`"driftAnalysis":{"axes":[{"causes":null,"causesMissing":"NO_FEATURES"},{"causes":null,"causesMissing":null}]}}}`
	if !strings.HasPrefix(r.Text, want) {
		t.Errorf("got  %s\nwant %s", r.Text, want)
	}
}
