package engine

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine/btyd"
)

// The fits of the 1/10 sample of CDNOW; see the tests of btyd for their sources.
func cdnowPredictor() *Predictor {
	return &Predictor{
		Settings:    DefaultPredictionSettings(),
		Purchases:   &btyd.Fit[btyd.MBGNBD]{Name: "mbg_nbd", Model: btyd.MBGNBD{R: 0.525, Alpha: 6.183, A: 0.891, B: 1.614}, Identifiable: true, Customers: 2357},
		Spend:       &btyd.SpendFit{Name: "gamma_gamma", Model: btyd.GammaGamma{P: 6.25, Q: 3.74, Gamma: 15.44}, Median: 30, Identifiable: true},
		Calibration: Uncalibrated(),
	}
}

var predictionDay = NewDate(1997, time.September, 30)

// bought makes purchases so many days before the day, each worth 20.00 but the first.
func bought(days ...int) []Purchase {
	var purchases []Purchase
	for i, d := range days {
		p := Purchase{Day: predictionDay - Date(d), ValueCents: 2000}
		if i == 0 {
			p.ValueCents = 990_000
		}
		purchases = append(purchases, p)
	}
	return purchases
}

// The parts of a prediction, from the formulas of the papers.
func TestPredict(t *testing.T) {
	t.Parallel()
	p := cdnowPredictor()
	d, reason := p.Predict(bought(272, 242, 221, 58), predictionDay, nil)
	if d == nil {
		t.Fatal(reason)
	}
	const r, alpha, a, b = 0.525, 6.183, 0.891, 1.614
	x, tx, T, h := 3.0, 214.0/7, 272.0/7, 90.0/7
	alive := 1 / (1 + a/(b+x)*math.Pow((alpha+T)/(alpha+tx), r+x))
	none := 1 - alive*(1-math.Pow((alpha+T)/(alpha+T+h), r+x))
	near(t, "P(alive)", *d.PAlive, alive, 1e-12)
	near(t, "P(no purchase)", d.NoPurchase, none, 1e-12)
	near(t, "churn risk", d.ChurnRisk, none, 1e-12)
	near(t, "gap", *d.UsualGapDays, 30, 0)
	near(t, "P(gap)", *d.GapProbability, math.Pow((alpha+tx)/(alpha+T), r+x), 1e-12)
	near(t, "order value", float64(*d.OrderValueCents), math.Round(100*6.25*(15.44+3*20)/(6.25*3+3.74-1)), 0)
	if d.DaysSilent != 58 || d.HorizonDays != 90 || d.AsOf != predictionDay || d.Next == nil {
		t.Errorf("%+v", d)
	}
	median := 7 * (alpha + T) * (math.Pow(2, 1/(r+x)) - 1)
	if d.Next.Date != predictionDay+Date(math.Round(median)) || d.Next.From >= d.Next.Date || *d.Next.To <= d.Next.Date {
		t.Errorf("the next order is due on %s, from %s to %s; the median is %g days", d.Next.Date, d.Next.From, *d.Next.To, median)
	}
	want := "Usually 30 days between orders, silent for 58: such a gap happens to 49 % of active customers like this." +
		" The chance of no order in the next 90 days is 58 %, and that of being a customer still is 72 %."
	if diff := cmp.Diff(want, d.Explanation()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Snapshots and the API show the same numbers, and none is certain.
func TestScoresAreThoseOfThePrediction(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := cdnowPredictor()
		value := func(name string) float64 { return math.Exp(rapid.Float64Range(-6, 6).Draw(t, name)) }
		p.Purchases.Model = btyd.MBGNBD{R: value("r"), Alpha: value("alpha"), A: value("a"), B: value("b")}
		p.Purchases.Identifiable = rapid.Bool().Draw(t, "identifiable")
		p.Calibration = Calibration{rapid.Float64Range(-3, 3).Draw(t, "c0"), rapid.Float64Range(0, 3).Draw(t, "c1"), rapid.SampledFrom([]float64{0, 8, -3}).Draw(t, "beta")}
		drift := rapid.Ptr(rapid.Float64Range(-1, 1), true).Draw(t, "drift")
		var days []int
		for at := rapid.IntRange(1, 3000).Draw(t, "first"); at > 0 && len(days) < 40; at -= rapid.IntRange(1, 1500).Draw(t, "gap") {
			days = append(days, at)
		}
		purchases := bought(days...)
		d, reason := p.Predict(purchases, predictionDay, drift)
		if d == nil {
			t.Fatal(reason)
		}
		risk, ltv := p.Scores(HistoryOf(purchases), predictionDay, drift)
		if without, _ := p.Scores(HistoryOf(purchases), predictionDay, nil); math.Abs(*risk-d.DriftEffect-*without) > 1e-15 || (d.Drift != nil) != (drift != nil && p.CountsDrift()) {
			t.Errorf("drift %v adds %g to %g, which makes %g", d.Drift, d.DriftEffect, *without, *risk)
		}
		if *risk != d.ChurnRisk || *ltv != *d.LTVCents {
			t.Errorf("scores %g and %d, prediction %g and %d", *risk, *ltv, d.ChurnRisk, *d.LTVCents)
		}
		if !(d.ChurnRisk > 0 && d.ChurnRisk < 1) || float32(d.ChurnRisk) >= 1 || *ltv < 0 {
			t.Errorf("churn risk %g, value %d", d.ChurnRisk, *ltv)
		}
		if (d.PAlive == nil) == d.Identifiable || d.PAlive != nil && !(*d.PAlive > 0 && *d.PAlive <= 1) {
			t.Errorf("P(alive) is %v, identifiable %v", d.PAlive, d.Identifiable)
		}
		if len(days) == 1 && (d.UsualGapDays != nil || d.GapProbability != nil) {
			t.Errorf("a one-time buyer has no gap: %+v", d)
		}
		if text := d.Explanation(); strings.Contains(text, " 0 %") || strings.Contains(text, "100 %") {
			t.Error(text)
		}
	})
}

// Where the history does not show when customers leave, none is said to have left.
func TestDropoutNotIdentifiable(t *testing.T) {
	t.Parallel()
	p := cdnowPredictor()
	p.Purchases.Identifiable, p.Purchases.Reason, p.Purchases.Fallback = false, "this history does not show dropout", &btyd.NBD{R: 0.5, Alpha: 6}
	d, _ := p.Predict(bought(100), predictionDay, nil)
	if d.PAlive != nil || d.Identifiable || d.IdentifiableReason != p.Purchases.Reason {
		t.Errorf("%+v", d)
	}
	T, h := 100.0/7, 90.0/7
	near(t, "P(no purchase)", d.NoPurchase, math.Pow((6+T)/(6+T+h), 0.5), 1e-12)
	want := "Ordered once, 100 days ago. The chance of no order in the next 90 days is 78 %; every customer counts as active here," +
		" since the store's history does not show when customers leave."
	if diff := cmp.Diff(want, d.Explanation()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Where all customers are alike the model predicts, and only P(alive) is kept back.
func TestParametersAtTheEdge(t *testing.T) {
	t.Parallel()
	p := cdnowPredictor()
	before, _ := p.Predict(bought(100), predictionDay, nil)
	p.Purchases.Identifiable, p.Purchases.Reason = false, "all customers buy at about the same rate"
	d, _ := p.Predict(bought(100), predictionDay, nil)
	if d.PAlive != nil || d.Identifiable || d.TakenAsActive || d.NoPurchase != before.NoPurchase {
		t.Errorf("%+v, before %+v", d, before)
	}
	if text := d.Explanation(); !strings.HasSuffix(text, "; whether it is a customer still is not told, since the purchase model does not quite fit the store's history.") {
		t.Error(text)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	p := cdnowPredictor()
	warned := func(want ...string) {
		t.Helper()
		d, _ := p.Predict(bought(100), predictionDay, nil)
		if len(d.Warnings) != len(want) {
			t.Fatalf("%q, want %q", d.Warnings, want)
		}
		for i, text := range d.Warnings {
			if !strings.Contains(text, want[i]) {
				t.Errorf("%q, want %q", text, want[i])
			}
		}
	}
	warned()
	p.Purchases.StandardErrors = []float64{0.1, 1, 0.8, 3}
	warned()
	p.Purchases.StandardErrors[2] = 2
	warned("ln a has a standard error of 2.2")
	p.Spend.Correlation = -0.41
	warned("ln a has", "correlation -0.41")
	p.Spend.Model.Q = 0.9
	warned("ln a has", "the store's median stands in", "correlation -0.41")
	models := p.Models()
	if !strings.Contains(models[0].Warning, "hardly shows dropout") || !strings.Contains(models[1].Warning, "correlation -0.41") {
		t.Errorf("%+v", models)
	}
	p.Spend = nil
	warned("ln a has")
}

func TestPredictionReasons(t *testing.T) {
	t.Parallel()
	var none *Predictor
	few := &Predictor{Reason: PredictionTooFew}
	noSpend := cdnowPredictor()
	noSpend.Spend, noSpend.SpendReason = nil, PredictionSpendDegenerate
	for _, c := range []struct {
		predictor *Predictor
		purchases []Purchase
		want      PredictionReason
	}{
		{none, bought(3), PredictionNotFitted},
		{few, bought(3), PredictionTooFew},
		{cdnowPredictor(), nil, PredictionBeforePurchase},
		{noSpend, bought(3), PredictionGiven},
	} {
		d, reason := c.predictor.Predict(c.purchases, predictionDay, nil)
		if reason != c.want || (d == nil) != (reason != PredictionGiven) {
			t.Errorf("got %v and %q, want %q", d, reason, c.want)
		}
		risk, ltv := c.predictor.Scores(HistoryOf(c.purchases), predictionDay, nil)
		if (risk == nil) != (d == nil) || ltv != nil {
			t.Errorf("%s: scores %v and %v", c.want, risk, ltv)
		}
	}
	d, _ := noSpend.Predict(bought(30, 3), predictionDay, nil)
	if d.ValueReason != PredictionSpendDegenerate || d.LTVCents != nil || d.OrderValueCents != nil {
		t.Errorf("%+v", d)
	}
}

// RealTable gives the table of a store of the sample data as of a day. Features come from engine/feature, which imports this
// package, so the external tests set it.
var RealTable func(tb testing.TB, name string, asOf Date) *Table

// The fit of a table: the sample of CDNOW up to and with 29 September is the calibration period of the papers but for its
// last day.
func TestFitPredictor(t *testing.T) {
	t.Parallel()
	table := RealTable(t, "cdnow", predictionDay)
	p, err := FitPredictor(t.Context(), table, DefaultPredictionSettings())
	if err != nil {
		t.Fatal(err)
	}
	m := p.Purchases.Model
	near(t, "r", m.R, 0.637, 0.01)
	near(t, "alpha", m.Alpha, 7.31, 0.1)
	near(t, "q", p.Spend.Model.Q, 3.62, 0.02)
	if !p.Purchases.Identifiable || p.Reason != PredictionGiven || p.Calibration != Uncalibrated() {
		t.Errorf("%+v", p)
	}
	models := p.Models()
	if len(models) != 2 || models[0].Name != "mbg_nbd" || len(models[0].StandardErrors) != 4 || models[1].Correlation == nil {
		t.Errorf("%+v", models)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back Predictor
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*p, back); diff != "" {
		t.Errorf("after JSON (-want +got):\n%s", diff)
	}

	small := &Table{AsOf: table.AsOf, Histories: table.Histories[:150]}
	if p, err = FitPredictor(t.Context(), small, DefaultPredictionSettings()); err != nil || p.Reason != PredictionTooFew || p.Purchases != nil {
		t.Errorf("150 customers: %+v, %v", p, err)
	}
}

func TestCalibration(t *testing.T) {
	t.Parallel()
	near(t, "as it is", Uncalibrated().Apply(0.3, nil), 0.3, 0)
	near(t, "certain", Uncalibrated().Apply(1, nil), 1-1e-6, 1e-12)
	near(t, "impossible", Uncalibrated().Apply(0, nil), 1e-6, 1e-12)
	near(t, "moved", Calibration{Intercept: 1, Slope: 2}.Apply(0.5, nil), 1/(1+math.Exp(-1)), 1e-12)
	drift := -0.1
	near(t, "moved by drift", Calibration{Intercept: 1, Slope: 2, Drift: 5}.Apply(0.5, &drift), 1/(1+math.Exp(-0.5)), 1e-12)
	var before Predictor
	if err := json.Unmarshal([]byte(`{"calibration": {"c0": 1, "c1": 2}}`), &before); err != nil || before.Calibration != (Calibration{1, 2, 0}) {
		t.Errorf("a calibration of before drift was tried: %+v, %v", before.Calibration, err)
	}
}

func TestPredictionSettings(t *testing.T) {
	t.Parallel()
	for _, s := range []PredictionSettings{
		{HorizonDays: 0, Margin: 1},
		{HorizonDays: 731, Margin: 1},
		{HorizonDays: 90, Margin: 0},
		{HorizonDays: 90, Margin: 1.1},
		{HorizonDays: 90, Margin: 1, Discount: -0.1},
		{HorizonDays: 90, Margin: 1, Discount: math.NaN()},
	} {
		if err := s.Validate(); CodeOf(err) != CodeInvalid {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// tester is a test of the standard library or of rapid.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
}

func near(tb tester, what string, got, want, tolerance float64) {
	tb.Helper()
	if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > tolerance {
		tb.Errorf("%s is %.9g, want %.9g", what, got, want)
	}
}
