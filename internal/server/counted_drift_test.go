package server_test

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// fadingCustomers is how many customers a newFadingAPI has.
const fadingCustomers = 1200

// newFadingAPI has one store, "fading", in New York, whose customers buy at steady rates of their own. Some day half of them turn to small orders, and ten weeks
// later they stop: what they spend tells of it before a silence can. Some others stop without a sign. There is a model as of the store's now, and no snapshot.
func newFadingAPI(t testing.TB) (*api, *engine.Store) {
	t.Helper()
	a := newEmptyAPI(t)
	store, err := a.db.EnsureStore(t.Context(), "fading")
	check(t, err)
	zone := "America/New_York"
	store, err = a.queue.UpdateStore(t.Context(), jobs.SettingsRequest{Store: store, TimeZone: &zone})
	check(t, err)
	random := rand.New(rand.NewPCG(5, 6))
	first, days := date("1997-01-01"), 560
	_, err = a.db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for i := range fadingCustomers {
			turns, stops, gap := days, days, min(90, 15/(0.2+random.ExpFloat64()))
			if i%2 == 0 {
				turns = 90 + random.IntN(days)
				stops = min(days, turns+70)
			} else if i%3 == 0 {
				stops = 90 + random.IntN(days)
			}
			for n, at := 0, float64(random.IntN(100)); int(at) < min(days, stops); n, at = n+1, at+1+random.ExpFloat64()*gap {
				line := &postgres.ImportLine{Customer: fmt.Sprintf("f%04d", i), Line: engine.Line{
					OrderKey: fmt.Sprintf("f%04d-%d", i, n), Number: 1, OrderedAt: (first + engine.Date(at)).In(store.Zone).Add(time.Duration(random.IntN(24*60)) * time.Minute),
					Quantity: 3, NetCents: 6000 + random.Int64N(9000),
				}}
				if int(at) >= turns {
					line.Quantity, line.NetCents = 1, 300+random.Int64N(500)
				}
				if err := yield(line); err != nil {
					return 0, err
				}
			}
		}
		return engine.ColumnOrderID | engine.ColumnTimeOfDay, nil
	})
	check(t, err)
	store, err = a.db.StoreByKey(t.Context(), store.Key)
	check(t, err)
	params, seed := engine.DefaultParams(), uint64(1)
	params.ChooseK, params.Hierarchical, params.Starts, params.MaxIterations = false, false, 1, 20
	run, err := a.queue.Recluster(t.Context(), jobs.ReclusterRequest{Store: store, Params: params, Seed: &seed, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, a.queue.Work(t.Context(), run, nil))
	return a, store
}

// churnRisks reads what a table holds of each customer.
func (a *api) churnRisks(t *testing.T, from string, args ...any) map[string]float64 {
	t.Helper()
	rows, err := a.pool.Query(t.Context(), `SELECT customer_key, churn_risk FROM `+from, args...)
	check(t, err)
	defer rows.Close()
	found := map[string]float64{}
	for rows.Next() {
		var key string
		var risk float64
		check(t, rows.Scan(&key, &risk))
		found[key] = risk
	}
	check(t, rows.Err())
	return found
}

// fadingPrediction is what the API says of a customer on a day.
type fadingPrediction struct {
	ChurnRisk, DriftEffect, NoPurchaseProbability float64
	FromBaseline                                  *float64
	Explanation                                   string
}

// fadingOn asks for the predictions of 100 customers and for their series' last risks, as of a day; nil: now.
func (a *api) fadingOn(t *testing.T, day *engine.Date) (predictions map[string]fadingPrediction, series map[string]float64) {
	t.Helper()
	var got struct {
		Customers struct {
			Nodes []struct {
				CustomerID string
				Prediction fadingPrediction
				Timeline   struct{ ChurnRiskScores []*float64 }
			}
		}
	}
	a.data(t, &got, `query ($day: Date) { customers(filter: {storeId: "fading"}, orderBy: {field: CUSTOMER_ID}, first: 100, asOf: $day) { nodes { customerId
  prediction { churnRisk driftEffect noPurchaseProbability fromBaseline explanation } timeline(type: DAILY, axes: []) { churnRiskScores } } } }`, map[string]any{"day": day})
	predictions, series = map[string]fadingPrediction{}, map[string]float64{}
	for _, c := range got.Customers.Nodes {
		predictions[c.CustomerID] = c.Prediction
		if scores := c.Timeline.ChurnRiskScores; len(scores) > 0 {
			series[c.CustomerID] = *scores[len(scores)-1]
		}
	}
	if len(predictions) != 100 {
		t.Fatalf("%d customers", len(predictions))
	}
	return predictions, series
}

// TestDriftThatCounts has a store where drift predicts: whoever works the churn risk of a customer out as of a day comes to the same, be it the new model, a
// snapshot, the scoring of touched customers, a look into the past or the API.
func TestDriftThatCounts(t *testing.T) {
	t.Parallel()
	a, store := newFadingAPI(t)
	ctx := t.Context()
	var shown struct {
		Store struct {
			Calibration struct {
				Intercept, Slope, DriftCoefficient float64
				After                              struct{ Brier float64 }
				Drift                              struct {
					Applied                          bool
					Reason                           *string
					Customers, Outcomes              int
					Coefficient, Gain, StandardError float64
					After                            struct{ Brier float64 }
				}
			}
		}
	}
	a.data(t, &shown, `{ store(key: "fading") { calibration { intercept slope driftCoefficient after { brier } drift { applied reason customers outcomes coefficient gain standardError after { brier } } } } }`, nil)
	c := shown.Store.Calibration
	if d := c.Drift; !d.Applied || d.Reason != nil || c.DriftCoefficient <= 0 || d.Coefficient != c.DriftCoefficient || d.Gain <= d.StandardError ||
		math.Abs(c.After.Brier-d.After.Brier-d.Gain) > 1e-9 || d.Customers < 500 || d.Outcomes < d.Customers {
		t.Fatalf("drift does not count: %+v", c)
	}
	now := engine.DateOf(store.LastAt, store.Zone) + 1
	agree := func(what string, got map[string]float64, want map[string]fadingPrediction) {
		t.Helper()
		for key, p := range want {
			if risk, ok := got[key]; !ok || math.Abs(risk-p.ChurnRisk) > 1e-6 { // stored in single precision
				t.Errorf("%s: %s has %v, the prediction is %+v", what, key, risk, p)
			}
		}
	}

	predictions, _ := a.fadingOn(t, nil)
	moved := 0
	for key, p := range predictions {
		chance := math.Min(1-1e-6, p.NoPurchaseProbability)
		logit := math.Log(chance / (1 - chance))
		if p.FromBaseline == nil {
			t.Fatalf("%s has no baseline", key)
		}
		odds := c.Intercept + c.Slope*logit
		if math.Abs(p.ChurnRisk-1/(1+math.Exp(-odds-c.DriftCoefficient**p.FromBaseline))) > 1e-9 || math.Abs(p.ChurnRisk-p.DriftEffect-1/(1+math.Exp(-odds))) > 1e-9 {
			t.Errorf("%s: %+v under %+v", key, p, c)
		}
		if told := strings.Contains(p.Explanation, "by purchases alone"); told != (math.Abs(p.DriftEffect) >= 0.02) {
			t.Errorf("%s: %+v", key, p)
		} else if told {
			moved++
		}
	}
	if moved < 20 {
		t.Errorf("drift moves the churn risk of %d customers", moved)
	}
	const states = `customer_state JOIN customer USING (store_id, customer_id) WHERE store_id = $1`
	agree("states of the new model", a.churnRisks(t, states, store.ID), predictions)

	_, err := a.pool.Exec(ctx, `UPDATE customer_state SET churn_risk = 0`)
	check(t, err)
	_, err = a.pool.Exec(ctx, `INSERT INTO touched_customer (store_id, customer_id) SELECT store_id, customer_id FROM customer_state`)
	check(t, err)
	_, err = a.queue.ImportOrders(ctx, jobs.OrdersRequest{Store: store, Trigger: engine.TriggerMutation, Orders: []jobs.Order{{
		ID: "new", Customer: "newcomer", OrderedAt: store.LastAt.Add(-time.Minute), Lines: []jobs.OrderLine{{Quantity: 1, UnitPrice: "5"}},
	}}})
	check(t, err)
	var open []*engine.Run
	check(t, a.db.InTx(ctx, func(tx *postgres.Tx) (err error) {
		open, err = tx.OpenRuns(ctx, store.ID, engine.RunRescore)
		return err
	}))
	// A connection holds the run, another has the transactions, and they need no third.
	config := a.pool.Config()
	config.MaxConns = 2
	narrow, err := pgxpool.NewWithConfig(ctx, config)
	check(t, err)
	t.Cleanup(narrow.Close)
	runner := jobs.NewRunner(postgres.New(narrow), jobs.DefaultSettings(), slog.New(slog.DiscardHandler), time.Now)
	check(t, runner.Work(ctx, open[0], nil))
	agree("touched customers", a.churnRisks(t, states, store.ID), predictions)

	for _, day := range []engine.Date{now, now - 40} {
		past, series := a.fadingOn(t, &day)
		if day == now {
			for key, p := range past {
				if p != predictions[key] && *p.FromBaseline != *predictions[key].FromBaseline {
					t.Errorf("%s: as of %s %+v, now %+v", key, day, p, predictions[key])
				}
			}
		}
		agree(fmt.Sprint("worked out as of ", day), series, past)
		run, err := a.queue.SnapshotStore(ctx, jobs.SnapshotRequest{Store: store, Type: engine.Daily, Date: &day, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, a.queue.Work(ctx, run, nil))
		agree(fmt.Sprint("snapshots of ", day), a.churnRisks(t, `snapshot JOIN customer USING (store_id, customer_id) WHERE store_id = $1 AND snapshot_date = $2::date`, store.ID, day.String()), past)
	}

	// A late order of an old month lets what features know of the store go. A reader does not work it out: what is stored stands until customers are scored.
	references := func() (n int) {
		t.Helper()
		check(t, a.pool.QueryRow(ctx, `SELECT count(*) FROM feature_reference WHERE store_id = $1`, store.ID).Scan(&n))
		return n
	}
	_, err = a.queue.ImportOrders(ctx, jobs.OrdersRequest{Store: store, Trigger: engine.TriggerMutation, Orders: []jobs.Order{{
		ID: "late", Customer: "latecomer", OrderedAt: store.LastAt.AddDate(0, -10, 0), Lines: []jobs.OrderLine{{Quantity: 1, UnitPrice: "5"}},
	}}})
	check(t, err)
	left, stored := references(), a.churnRisks(t, states, store.ID)
	predictions, _ = a.fadingOn(t, nil)
	agree("states, while drift is not known", stored, predictions)
	for key, p := range predictions {
		if p.FromBaseline != nil || p.DriftEffect != 0 {
			t.Errorf("%s: drift is known: %+v", key, p)
		}
	}
	if now := references(); now != left {
		t.Errorf("a reader made %d references of %d", now, left)
	}
	check(t, a.db.InTx(ctx, func(tx *postgres.Tx) (err error) {
		open, err = tx.OpenRuns(ctx, store.ID, engine.RunRescore)
		return err
	}))
	check(t, runner.Work(ctx, open[0], nil))
	predictions, _ = a.fadingOn(t, nil)
	for key, p := range predictions {
		if p.FromBaseline == nil {
			t.Errorf("%s: drift is not known after scoring: %+v", key, p)
		}
	}
}

// BenchmarkPredictions asks for the churn risks of 100 customers of about a dozen orders, where it counts drift and where it does not.
func BenchmarkPredictions(b *testing.B) {
	for _, drift := range []bool{true, false} {
		b.Run(fmt.Sprint("drift=", drift), func(b *testing.B) {
			a, store := newFadingAPI(b)
			if !drift {
				_, err := a.pool.Exec(b.Context(), `UPDATE segment_model SET body = jsonb_set(body, '{predictor,calibration,drift}', '0') WHERE store_id = $1`, store.ID)
				check(b, err)
			}
			for b.Loop() {
				var got struct {
					Customers struct {
						Nodes []struct{ Prediction *struct{ ChurnRisk float64 } }
					}
				}
				a.data(b, &got, `{ customers(filter: {storeId: "fading"}, first: 100) { nodes { prediction { churnRisk } } } }`, nil)
				if n := got.Customers.Nodes; len(n) != 100 || n[0].Prediction == nil {
					b.Fatalf("%+v", got)
				}
			}
		})
	}
}
