package server_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// testRiskWeights works the weights of one axis's roots out again, from where the API says that customers stood one horizon before the
// model's day and whether they bought since.
func (a *api) testRiskWeights(t *testing.T) {
	t.Helper()
	var got struct {
		Store struct {
			Model struct {
				RiskBasis struct {
					AsOf                   string
					HorizonDays, Customers int
					LostShare              float64
				}
			}
			Axis struct {
				RootSegments []struct {
					Path       string
					RiskWeight float64
				}
			}
		}
	}
	a.data(t, &got, `{ store(key: "cdnow") { model { riskBasis { asOf horizonDays customers lostShare } } axis(key: "purchase_frequency") { rootSegments { path riskWeight } } } }`, nil)
	basis := got.Store.Model.RiskBasis
	if basis.AsOf != "1998-04-02" || basis.HorizonDays != 90 || basis.Customers != sampleCustomers {
		t.Fatalf("%+v", basis)
	}
	from := time.Date(1998, time.April, 2, 0, 0, 0, 0, time.UTC)
	all, lost := map[string]float64{}, map[string]float64{}
	gone := 0
	var after, afterThen *string
	for {
		var page struct {
			Now, Then struct {
				Nodes []struct {
					CustomerID  string
					LastOrderAt time.Time
					Thumbprint  []struct {
						Memberships []struct {
							Segment struct{ Path string }
							Score   float64
						}
					}
				}
				PageInfo struct{ EndCursor string }
			}
		}
		a.data(t, &page, `query ($after: String, $afterThen: String) {
  now: customers(filter: {storeId: "cdnow"}, orderBy: {field: CUSTOMER_ID}, first: 100, after: $after) { nodes { customerId lastOrderAt } pageInfo { endCursor } }
  then: customers(filter: {storeId: "cdnow"}, orderBy: {field: CUSTOMER_ID}, first: 100, after: $afterThen, asOf: "1998-04-02") {
    nodes { customerId thumbprint(axes: ["purchase_frequency"], level: ROOTS) { memberships { segment { path } score } } } pageInfo { endCursor } } }`,
			map[string]any{"after": after, "afterThen": afterThen})
		for i, c := range page.Then.Nodes {
			if page.Now.Nodes[i].CustomerID != c.CustomerID {
				t.Fatalf("%s stands beside %s", c.CustomerID, page.Now.Nodes[i].CustomerID)
			}
			left := page.Now.Nodes[i].LastOrderAt.Before(from)
			if left {
				gone++
			}
			for _, m := range c.Thumbprint[0].Memberships {
				all[m.Segment.Path] += m.Score * m.Score
				if left {
					lost[m.Segment.Path] += m.Score * m.Score
				}
			}
		}
		if len(page.Now.Nodes) < 100 {
			break
		}
		after, afterThen = &page.Now.PageInfo.EndCursor, &page.Then.PageInfo.EndCursor
	}
	share := float64(gone) / sampleCustomers
	if math.Abs(basis.LostShare-share) > 1e-12 || gone == 0 {
		t.Errorf("%d customers did not come back, which is %g; the model has %g", gone, share, basis.LostShare)
	}
	low, high := 1.0, 0.0
	for _, s := range got.Store.Axis.RootSegments {
		if want := (lost[s.Path] + 10*share) / (all[s.Path] + 10); math.Abs(s.RiskWeight-want) > 1e-9 {
			t.Errorf("%s has the weight %g, want %g", s.Path, s.RiskWeight, want)
		}
		low, high = min(low, s.RiskWeight), max(high, s.RiskWeight)
	}
	if high-low < 0.2 {
		t.Errorf("the weights lie from %g to %g", low, high)
	}
	a.testRiskLevels(t)
}

// testRiskLevels holds the levels of one customer to each other and to the weights.
func (a *api) testRiskLevels(t *testing.T) {
	t.Helper()
	var got struct {
		Customer struct {
			RiskLevel  float64
			Thumbprint []struct {
				RiskLevel   *float64
				Memberships []struct {
					Segment struct{ RiskWeight float64 }
					Score   float64
				}
			}
			LatestSnapshot struct {
				Date      string
				RiskLevel float64
			}
			Timeline struct {
				Dates      []string
				RiskLevels []float64
			}
			DriftAnalysis struct {
				From, To struct{ RiskLevel float64 }
				Days     int
				Risk     struct {
					Before, After, Change float64
					FromBaseline          *float64
					Direction             string
				}
				Motion struct{ RiskVelocity float64 }
			}
		}
	}
	a.data(t, &got, `query ($c: String!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}) { riskLevel
  thumbprint { riskLevel memberships { segment { riskWeight } score } } latestSnapshot { date riskLevel } timeline { dates riskLevels }
  driftAnalysis(range: {from: "1998-05-01"}) { from { riskLevel } to { riskLevel } days risk { before after change fromBaseline direction } motion { riskVelocity } } } }`,
		map[string]any{"c": a.greatest(t, 1)[0]})
	c := got.Customer
	sum, axes := 0.0, 0
	for _, axis := range c.Thumbprint {
		if len(axis.Memberships) == 0 {
			continue
		}
		level := 0.0
		for _, m := range axis.Memberships {
			level += m.Score * m.Segment.RiskWeight
		}
		if axis.RiskLevel == nil || math.Abs(*axis.RiskLevel-level) > 1e-12 {
			t.Errorf("an axis has the level %v, want %g", axis.RiskLevel, level)
		}
		sum += level
		axes++
	}
	if math.Abs(c.RiskLevel-sum/float64(axes)) > 1e-12 || axes == 0 {
		t.Errorf("the level is %g, and the mean of those of %d axes %g", c.RiskLevel, axes, sum/float64(axes))
	}
	last := len(c.Timeline.Dates) - 1
	if c.Timeline.Dates[last] != c.LatestSnapshot.Date || c.Timeline.RiskLevels[last] != c.LatestSnapshot.RiskLevel {
		t.Errorf("the timeline ends on %s with %g, the snapshot is %+v", c.Timeline.Dates[last], c.Timeline.RiskLevels[last], c.LatestSnapshot)
	}
	d := c.DriftAnalysis
	if d.Risk.Before != d.From.RiskLevel || d.Risk.After != d.To.RiskLevel || d.Risk.Change != d.Risk.After-d.Risk.Before || d.Motion.RiskVelocity != d.Risk.Change/float64(d.Days) {
		t.Errorf("%+v", d)
	}
	if want := map[bool]string{true: "WORSENING", false: "IMPROVING"}[d.Risk.Change > 0]; d.Risk.Change != 0 && d.Risk.Direction != want {
		t.Errorf("%+v", d.Risk)
	}
	mean, n := 0.0, 0
	to, err := engine.ParseDate(c.LatestSnapshot.Date)
	check(t, err)
	for i, text := range c.Timeline.Dates {
		day, err := engine.ParseDate(text)
		check(t, err)
		if day <= to-56 {
			mean += c.Timeline.RiskLevels[i]
			n++
		}
	}
	if want := d.Risk.After - mean/float64(n); d.Risk.FromBaseline == nil || math.Abs(*d.Risk.FromBaseline-want) > 1e-12 {
		t.Errorf("the deviation from %d earlier levels is %v, want %g", n, d.Risk.FromBaseline, want)
	}
}

// A model from before there were risk weights has none, and no levels.
func TestRiskThatIsNotThere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	r := a.query(t, `{ store(key: "shop") { model { riskBasis { customers } } axis(key: "purchase_frequency") { rootSegments { riskWeight } } }
  customer(by: {key: {storeId: "shop", customerId: "c020"}}) { riskLevel thumbprint { riskLevel } latestSnapshot { riskLevel } timeline { riskLevels }
    driftAnalysis { risk { before after change fromBaseline direction } motion { riskVelocity } } } }`, nil)
	for _, want := range []string{
		`"riskBasis":null`, `"rootSegments":[{"riskWeight":null},`, `"customer":{"riskLevel":null,"thumbprint":[{"riskLevel":null},`, `"latestSnapshot":{"riskLevel":null}`,
		`"riskLevels":[null,`, `"risk":{"before":null,"after":null,"change":null,"fromBaseline":null,"direction":null},"motion":{"riskVelocity":null}`,
	} {
		if !strings.Contains(r.Text, want) {
			t.Errorf("%s is missing in %s", want, r.Text)
		}
	}
}
