package server_test

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quimbi/quimbi/internal/pgtest"
)

// prediction is what the API says of a customer's future.
type prediction struct {
	AsOf                             string
	ModelVersion, HorizonDays        int
	ChurnRisk, NoPurchaseProbability float64
	Identifiable                     bool
	PAlive                           *float64
	ExpectedPurchases                float64
	DaysSilent                       int
	UsualGapDays, GapProbability     *float64
	NextOrder                        *struct{ Date, From string }
	ExpectedOrderValue, PredictedLtv *string
	ValueReason                      *string
	Explanation                      string
}

const predictionFields = `asOf modelVersion horizonDays churnRisk noPurchaseProbability identifiable identifiableReason warnings pAlive expectedPurchases daysSilent
  usualGapDays gapProbability nextOrder { date from to probability } expectedOrderValue predictedLtv valueReason explanation`

// testPredictions holds the predictions of a real shop to each other: those of snapshots to what was stored with them, and
// those of customers to the snapshots.
func (a *api) testPredictions(t *testing.T) {
	calibrated := a.testCalibration(t)
	var got struct {
		Store struct {
			PurchaseModels []struct {
				Name         string
				Customers    int
				Identifiable bool
				Correlation  *float64
				Reason       *string
				Parameters   []struct {
					Name                 string
					Value, StandardError float64
				}
			}
		}
		Customers struct {
			Nodes []struct {
				OrderCount       int
				Prediction       *prediction
				PredictionReason *string
				LatestSnapshot   struct {
					Date             string
					ChurnRiskScore   float64
					PredictedLtv     *string
					Prediction       *prediction
					PredictionReason *string
				}
			}
		}
	}
	const query = `query ($first: Int!) {
  store(key: "cdnow") { purchaseModels { name customers identifiable identifiableReason correlation reason logLikelihood asOf parameters { name value standardError } } }
  customers(filter: {storeId: "cdnow"}, orderBy: {field: CUSTOMER_ID}, first: $first) { nodes { orderCount prediction { ` + predictionFields + ` } predictionReason
    latestSnapshot { date churnRiskScore predictedLtv predictionReason prediction { ` + predictionFields + ` } } } } }`
	for _, first := range []int{10, 100} {
		counter := pgtest.Queries(t, a.pool)
		a.data(t, &got, query, map[string]any{"first": first})
		counter.AtMost(t, 5)
	}
	models := got.Store.PurchaseModels
	if len(models) != 2 || models[0].Name != "MBG_NBD" || models[1].Name != "GAMMA_GAMMA" || models[0].Customers != sampleCustomers || models[1].Correlation == nil {
		t.Fatalf("%+v", models)
	}
	// As of 1 July 1998; a second implementation gave these values.
	for i, want := range []float64{0.61813, 8.65557, 0.55572, 1.01561} {
		if p := models[0].Parameters[i]; math.Abs(p.Value-want) > 1e-4*want || !(p.StandardError > 0) {
			t.Errorf("%+v, want %g", p, want)
		}
	}
	once := 0
	for _, c := range got.Customers.Nodes {
		s := c.LatestSnapshot
		if c.Prediction == nil || s.Prediction == nil || c.PredictionReason != nil || s.PredictionReason != nil {
			t.Fatalf("%+v", c)
		}
		if p := s.Prediction; p.ChurnRisk != s.ChurnRiskScore || *p.PredictedLtv != *s.PredictedLtv || p.AsOf != s.Date || math.Abs(calibrated(p.NoPurchaseProbability)-p.ChurnRisk) > 1e-6 {
			t.Errorf("the snapshot's scores are %g and %s, its prediction is %+v", s.ChurnRiskScore, *s.PredictedLtv, p)
		}
		for _, p := range []*prediction{c.Prediction, s.Prediction} {
			if !(p.ChurnRisk > 0 && p.ChurnRisk < 1) || p.PAlive == nil || !(*p.PAlive > 0 && *p.PAlive < 1) || p.HorizonDays != 90 || p.ModelVersion != 1 || p.ExpectedOrderValue == nil {
				t.Errorf("%+v", p)
			}
			if (p.UsualGapDays == nil) != strings.HasPrefix(p.Explanation, "Ordered once") {
				t.Errorf("%+v", p)
			}
		}
		if c.OrderCount == 1 {
			once++
			if c.Prediction.GapProbability != nil {
				t.Errorf("a one-time buyer has a gap: %+v", c.Prediction)
			}
		}
		if c.Prediction.AsOf != "1998-07-01" || c.Prediction.DaysSilent < s.Prediction.DaysSilent-3 {
			t.Errorf("as of %s, silent for %d days; in the snapshot %d", c.Prediction.AsOf, c.Prediction.DaysSilent, s.Prediction.DaysSilent)
		}
	}
	if once == 0 {
		t.Error("there is no one-time buyer among the customers")
	}
	a.testRisks(t)
	a.testPastPredictions(t)
	var line struct {
		Customer struct {
			Timeline struct {
				Dates           []string
				ChurnRiskScores []*float64
				PredictedLtvs   []*string
			}
		}
	}
	a.data(t, &line, `query ($c: String!) { customer(by: {key: {storeId: "cdnow", customerId: $c}}) { timeline { dates churnRiskScores predictedLtvs } } }`, map[string]any{"c": a.greatest(t, 1)[0]})
	for i := range line.Customer.Timeline.Dates {
		if line.Customer.Timeline.ChurnRiskScores[i] == nil || line.Customer.Timeline.PredictedLtvs[i] == nil {
			t.Errorf("%s has no scores", line.Customer.Timeline.Dates[i])
		}
	}
}

// testCalibration looks at what the model's calibration rests on, and gives it.
func (a *api) testCalibration(t *testing.T) func(p float64) float64 {
	t.Helper()
	type scores struct{ Brier, Error float64 }
	var got struct {
		Store struct {
			Calibration struct {
				Intercept, Slope          float64
				Applied                   bool
				Reason                    *string
				From, To                  string
				Customers, Outcomes, Lost int
				Before, After             scores
			}
		}
	}
	a.data(t, &got, `{ store(key: "cdnow") { calibration { intercept slope applied reason from to customers outcomes lost before { brier error } after { brier error } } } }`, nil)
	c := got.Store.Calibration
	t.Logf("%+v", c)
	if c.From != "1998-01-08" || c.To != "1998-04-02" || c.Customers != sampleCustomers || c.Outcomes != 4*sampleCustomers || !(c.Lost > 0 && c.Lost < c.Outcomes) {
		t.Errorf("%+v", c)
	}
	if c.Applied != (c.Reason == nil) || c.Applied != (c.After.Brier < c.Before.Brier && c.After.Error <= c.Before.Error) || c.Applied == (c.Intercept == 0 && c.Slope == 1) {
		t.Errorf("%+v", c)
	}
	if c.After.Error > 0.03 || !(c.Before.Brier > 0 && c.Before.Brier < 0.25) {
		t.Errorf("%+v", c)
	}
	return func(p float64) float64 { return 1 / (1 + math.Exp(-c.Intercept-c.Slope*math.Log(p/(1-p)))) }
}

// testRisks pages through the customers at risk in the order of their value, and through all in the order of risk.
func (a *api) testRisks(t *testing.T) {
	t.Helper()
	type page struct {
		Customers struct {
			TotalCount int
			Nodes      []struct {
				CustomerID string
				Prediction struct {
					ChurnRisk    float64
					PredictedLtv string
				}
			}
			PageInfo struct{ EndCursor string }
		}
	}
	walk := func(filter, field string, less func(risk, ltv, nextRisk, nextLTV float64) bool) int {
		seen, after, total := map[string]bool{}, (*string)(nil), 0
		risk, ltv := math.NaN(), math.NaN()
		for {
			var got page
			a.data(t, &got, `query ($after: String) { customers(filter: {storeId: "cdnow"`+filter+`}, orderBy: {field: `+field+`, direction: DESC}, first: 100, after: $after) {
  totalCount nodes { customerId prediction { churnRisk predictedLtv } } pageInfo { endCursor } } }`, map[string]any{"after": after})
			total = got.Customers.TotalCount
			for _, c := range got.Customers.Nodes {
				next, err := strconv.ParseFloat(c.Prediction.PredictedLtv, 64)
				check(t, err)
				if seen[c.CustomerID] || less(risk, ltv, c.Prediction.ChurnRisk, next) {
					t.Fatalf("%s by %s: %s follows out of order, or twice", filter, field, c.CustomerID)
				}
				seen[c.CustomerID], risk, ltv = true, c.Prediction.ChurnRisk, next
			}
			if len(got.Customers.Nodes) < 100 {
				break
			}
			after = &got.Customers.PageInfo.EndCursor
		}
		if len(seen) != total {
			t.Errorf("%s by %s: %d of %d customers were met", filter, field, len(seen), total)
		}
		return total
	}
	all := walk("", "CHURN_RISK", func(risk, _, next, _ float64) bool { return next > risk+1e-6 })
	some := walk(", churnRisk: {min: 0.5, max: 0.9}", "PREDICTED_LTV", func(_, ltv, next, nextLTV float64) bool { return nextLTV > ltv || next < 0.5-1e-6 || next > 0.9+1e-6 })
	if all != sampleCustomers || some == 0 || some >= all {
		t.Errorf("%d customers, %d at risk", all, some)
	}
}

// testPastPredictions holds customers seen on an earlier day to what was known then: of a day with snapshots the same as
// they have, of any other worked out.
func (a *api) testPastPredictions(t *testing.T) {
	t.Helper()
	var got struct {
		OnSunday, OnMonday struct {
			Nodes []struct {
				CustomerID     string
				Prediction     *prediction
				LatestSnapshot struct {
					Date           string
					ChurnRiskScore float64
				}
			}
		}
	}
	const fields = `, first: 50) { nodes { customerId prediction { ` + predictionFields + ` } latestSnapshot { date churnRiskScore } } } `
	a.data(t, &got, `{ onSunday: customers(filter: {storeId: "cdnow", churnRisk: {min: 0.2}}, orderBy: {field: CHURN_RISK}, asOf: "1998-03-01"`+fields+`
  onMonday: customers(filter: {storeId: "cdnow"}, orderBy: {field: CUSTOMER_ID}, asOf: "1998-03-02"`+fields+`}`, nil)
	if len(got.OnSunday.Nodes) != 50 || len(got.OnMonday.Nodes) != 50 {
		t.Fatalf("%d and %d customers", len(got.OnSunday.Nodes), len(got.OnMonday.Nodes))
	}
	risk := 0.2
	for _, c := range got.OnSunday.Nodes {
		p := c.Prediction
		if p == nil || p.AsOf != "1998-03-01" || p.ChurnRisk < risk-1e-6 {
			t.Fatalf("%s on Sunday: %+v, after %g", c.CustomerID, p, risk)
		}
		risk = p.ChurnRisk
	}
	for _, c := range got.OnMonday.Nodes {
		if p := c.Prediction; p == nil || p.AsOf != "1998-03-02" || c.LatestSnapshot.Date != "1998-03-01" || p.DaysSilent < 1 ||
			p.DaysSilent > 1 && math.Abs(p.ChurnRisk-c.LatestSnapshot.ChurnRiskScore) > 0.02 {
			t.Errorf("%s on Monday: %+v, in the snapshot of %s %g", c.CustomerID, p, c.LatestSnapshot.Date, c.LatestSnapshot.ChurnRiskScore)
		}
	}
	r := a.query(t, `{ customers(filter: {storeId: "cdnow"}, orderBy: {field: PREDICTED_LTV}, asOf: "1998-03-02", first: 5) { nodes { customerId } } }`, nil)
	if !slices.Equal(r.codes(), []string{"BAD_USER_INPUT"}) || !strings.Contains(r.Text, "lifetime value cannot be answered") {
		t.Errorf("an order that needs snapshots where there are none: %s", r.Text)
	}
}

// A model from before there were predictions has none, and says so.
func TestPredictionsThatAreNotThere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	_, err := a.db.EnsureStore(t.Context(), "empty")
	check(t, err)
	r := a.query(t, `{ store(key: "shop") { purchaseModels { name } calibration { applied } }
  empty: store(key: "empty") { purchaseModels { name } }
  customer(by: {key: {storeId: "shop", customerId: "c020"}}) { prediction { churnRisk } predictionReason
    latestSnapshot { churnRiskScore predictedLtv prediction { churnRisk } predictionReason } timeline { churnRiskScores predictedLtvs } } }`, nil)
	for _, want := range []string{
		`"store":{"purchaseModels":[],"calibration":null},"empty":{"purchaseModels":[]}`, `"prediction":null,"predictionReason":"MODEL_WITHOUT","latestSnapshot"`,
		`"latestSnapshot":{"churnRiskScore":null,"predictedLtv":null,"prediction":null,"predictionReason":"MODEL_WITHOUT"}`, `"churnRiskScores":[null,`, `"predictedLtvs":[null,`,
	} {
		if !strings.Contains(r.Text, want) {
			t.Errorf("%s is missing in %s", want, r.Text)
		}
	}
}
