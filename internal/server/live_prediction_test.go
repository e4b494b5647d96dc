package server_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// newSteadyShop is a live store in which everybody buys at an even pace and nobody has left, up to yesterday, with a model.
func newSteadyShop(t *testing.T) *api {
	t.Helper()
	a := newEmptyAPI(t)
	store, err := a.db.EnsureStore(t.Context(), "shop")
	check(t, err)
	now := time.Now().UTC().Truncate(time.Hour)
	_, err = a.db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for i := range 260 {
			pace := 4 + i%13
			for ago := 120 - i%20; ago > 0; ago -= pace {
				err := yield(&postgres.ImportLine{Customer: name(i), Line: engine.Line{
					OrderKey: fmt.Sprintf("%d-%d", i, ago), Number: 1, OrderedAt: now.AddDate(0, 0, -ago), Quantity: 1, NetCents: int64(1000 + 7*(i*ago%31)),
				}})
				if err != nil {
					return 0, err
				}
			}
		}
		return engine.ColumnOrderID, nil
	})
	check(t, err)
	a.work(t)
	var started struct {
		Recluster struct{ Run struct{ ID string } }
	}
	a.data(t, &started, `mutation { recluster(input: {storeId: "shop", seed: 1}) { run { id } userErrors { code } } }`, nil)
	a.followed(t, started.Recluster.Run.ID)
	return a
}

// A store that does not show who leaves says so, and shows no probability of being a customer still. Today's orders count at once.
func TestSteadyLiveShop(t *testing.T) {
	t.Parallel()
	a := newSteadyShop(t)
	type asked struct {
		Prediction         *prediction
		IdentifiableReason *string
	}
	ask := func(customer string) *prediction {
		var got struct{ Customer asked }
		a.data(t, &got, `query ($c: String!) { customer(by: {key: {storeId: "shop", customerId: $c}}) { prediction { `+predictionFields+` } } }`, map[string]any{"c": customer})
		if got.Customer.Prediction == nil {
			t.Fatalf("%s has no prediction", customer)
		}
		return got.Customer.Prediction
	}
	var got struct {
		Store struct {
			Now            string
			PurchaseModels []struct {
				Name               string
				Identifiable       bool
				IdentifiableReason *string
				Warning            *string
			}
			Calibration struct {
				Applied          bool
				Reason           string
				Intercept, Slope float64
			}
		}
	}
	a.data(t, &got, `{ store(key: "shop") { now purchaseModels { name identifiable identifiableReason warning } calibration { applied reason intercept slope } } }`, nil)
	m := got.Store.PurchaseModels[0]
	if m.Name != "MBG_NBD" || m.Identifiable || m.IdentifiableReason == nil || !strings.Contains(*m.IdentifiableReason, "does not show dropout") || m.Warning != nil {
		t.Fatalf("%+v", m)
	}
	if c := got.Store.Calibration; c.Applied || c.Reason != "TOO_FEW_OUTCOMES" || c.Intercept != 0 || c.Slope != 1 {
		t.Errorf("%+v", c)
	}
	p := ask(name(3))
	if p.Identifiable || p.PAlive != nil || !(p.ChurnRisk > 0 && p.ChurnRisk < 1) || !strings.Contains(p.Explanation, "the store's history does not show when customers leave") {
		t.Errorf("%+v", p)
	}
	if p.UsualGapDays == nil || *p.UsualGapDays != 7 || p.GapProbability == nil || p.NextOrder == nil {
		t.Errorf("%+v", p)
	}

	order := func(customer string) {
		t.Helper()
		in := orderInput("today-"+customer, customer, 0)
		if r := a.importOrders(t, "shop", []map[string]any{in}); len(r.UserErrors) > 0 || r.Outcomes[0].Status != "CREATED" {
			t.Fatalf("%+v", r)
		}
	}
	silent := p.DaysSilent
	order(name(3))
	order("a newcomer")
	again := ask(name(3))
	if today := sinceToday(t, again); again.DaysSilent != today || silent <= today || *again.GapProbability < *p.GapProbability {
		t.Errorf("%d days silent, then %d: %+v", silent, again.DaysSilent, again)
	}
	if want := fmt.Sprintf("Usually 7 days between orders, silent for %d: such a gap happens to ", again.DaysSilent); !strings.HasPrefix(again.Explanation, want) {
		t.Errorf("%q does not begin with %q", again.Explanation, want)
	}
	if n := again.NextOrder; n.From > n.Date || n.Date < again.AsOf || p.NextOrder.Date > n.Date {
		t.Errorf("the next order is due %+v, before %+v", n, p.NextOrder)
	}
	fresh := ask("a newcomer")
	if fresh.UsualGapDays != nil || fresh.GapProbability != nil || !(fresh.ChurnRisk > 0.001 && fresh.ChurnRisk < 0.999) || fresh.DaysSilent != sinceToday(t, fresh) {
		t.Errorf("%+v", fresh)
	}
	if fresh.DaysSilent == 0 && !strings.HasPrefix(fresh.Explanation, "Ordered once, today. ") {
		t.Error(fresh.Explanation)
	}
}

// sinceToday is 0, or 1 where midnight has passed since the order.
func sinceToday(t *testing.T, p *prediction) int {
	t.Helper()
	asOf, err := engine.ParseDate(p.AsOf)
	check(t, err)
	return int(math.Min(1, math.Max(0, float64(asOf-engine.DateOf(time.Now(), time.UTC)))))
}
