package risk

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/engine/feature"
)

// fitted is a predictor with the fit of the 1/10 sample of CDNOW; see the tests of btyd for its source.
func fitted() *engine.Predictor {
	return &engine.Predictor{
		Settings:    engine.DefaultPredictionSettings(),
		Purchases:   &btyd.Fit[btyd.MBGNBD]{Model: btyd.MBGNBD{R: 0.525, Alpha: 6.183, A: 0.891, B: 1.614}, Identifiable: true},
		Calibration: engine.Uncalibrated(),
	}
}

var observedAsOf = engine.NewDate(2026, time.June, 1)

// drawn is an observer of customers who are lost with the probability sigma(c0 + c1 logit p).
func drawn(seed uint64, customers int, c0, c1 float64) *Observer {
	o := NewObserver(fitted(), observedAsOf, customers)
	random := rand.New(rand.NewPCG(seed, 7))
	for i := range customers {
		for range observedDays {
			l := random.NormFloat64()*1.5 + 0.5
			o.seen = append(o.seen, observation{customer: int64(i), logit: l, lost: random.Float64() < sigmoid(c0+c1*l)})
		}
	}
	return o
}

// What was put in is found again, within what so many outcomes allow, and is better for customers who were left out.
func TestCalibrationFindsTheTruth(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	for seed := range uint64(8) { // many outcomes each
		c0, c1 := 0.6+0.9*random.Float64(), 0.4+0.4*random.Float64()
		if seed%2 == 0 {
			c0 = -c0
		}
		o := drawn(seed, 1000, c0, c1)
		o.Calibrate()
		c, r := o.predictor.Calibration, o.predictor.Calibrated
		if r.Reason != engine.CalibrationApplied || math.Abs(c.Intercept-c0) > 0.25 || math.Abs(c.Slope-c1) > 0.15 || c != r.Fitted {
			t.Fatalf("found %+v, want %g and %g: %+v", c, c0, c1, r)
		}
		if r.After.Brier >= r.Before.Brier || r.After.Error > 0.03 || r.Customers != 1000 || r.Outcomes != 4000 {
			t.Fatalf("before %+v, after %+v: %+v", r.Before, r.After, r)
		}
		if r.From != observedAsOf-90-84 || r.To != observedAsOf-90 {
			t.Fatalf("looked at from %s to %s", r.From, r.To)
		}
	}
}

// The likelihood's gradient is zero at the fit: the mean of the calibrated probabilities is the share of the lost, by itself and
// weighted by the logit.
func TestCalibrationIsAMaximum(t *testing.T) {
	t.Parallel()
	o := drawn(3, 800, -0.7, 0.6)
	c, ok := fitLogistic(o.seen, nobody, false)
	g0, g1 := 0.0, 0.0
	for _, s := range o.seen {
		e := -sigmoid(c.Intercept + c.Slope*s.logit)
		if s.lost {
			e++
		}
		g0, g1 = g0+e, g1+e*s.logit
	}
	if !ok || math.Abs(g0) > 1e-6 || math.Abs(g1) > 1e-6 {
		t.Errorf("the gradient is %g, %g", g0, g1)
	}
}

// Nobody is judged by a calibration that saw the customer: what happened to one fold moves the fit of all others, not its own.
func TestCalibrationLeavesTheJudgedOut(t *testing.T) {
	t.Parallel()
	o := drawn(5, 800, -0.7, 0.6)
	turned := slices.Clone(o.seen)
	for i := range turned {
		if fold(turned[i].customer) == 2 {
			turned[i].lost = !turned[i].lost
		}
	}
	for f := range folds {
		before, _ := fitLogistic(o.seen, f, false)
		after, _ := fitLogistic(turned, f, false)
		if (before == after) != (f == 2) {
			t.Errorf("fold %d: %+v, then %+v", f, before, after)
		}
	}
}

// Probabilities stay as they are where too little is known, where nothing is gained, and where a fit would turn customers' order round.
func TestCalibrationStaysAway(t *testing.T) {
	t.Parallel()
	separable := drawn(1, 1000, 0, 1)
	for i := range separable.seen {
		separable.seen[i].lost = separable.seen[i].logit > 0
	}
	allLost := drawn(1, 1000, 0, 1)
	for i := range allLost.seen {
		allLost.seen[i].lost = true
	}
	right := NewObserver(fitted(), observedAsOf, 1200)
	for i := range 1200 { // a quarter, a half and three quarters are lost, as predicted
		right.seen = append(right.seen, observation{customer: int64(i), logit: float64(i%3-1) * math.Log(3), lost: i/3%4 <= i%3})
	}
	for name, c := range map[string]struct {
		observer *Observer
		reason   engine.CalibrationReason
	}{
		"nobody":                 {NewObserver(fitted(), observedAsOf, 0), engine.CalibrationTooFew},
		"few customers":          {drawn(1, minObserved-1, -1, 0.5), engine.CalibrationTooFew},
		"none came back":         {allLost, engine.CalibrationTooFew},
		"right as they are":      {right, engine.CalibrationNoGain},
		"the other way round":    {drawn(1, 3000, 0, -1), engine.CalibrationNoFit},
		"outcomes are separable": {separable, engine.CalibrationNoFit},
	} {
		c.observer.Calibrate()
		p := c.observer.predictor
		if p.Calibrated.Reason != c.reason || p.Calibration != engine.Uncalibrated() {
			t.Errorf("%s: %+v, %+v", name, p.Calibrated, p.Calibration)
		}
	}
	unfitted := &engine.Predictor{Settings: engine.DefaultPredictionSettings(), Reason: engine.PredictionTooFew}
	NewObserver(unfitted, observedAsOf, 10).Calibrate()
	if unfitted.Calibrated != nil {
		t.Errorf("a predictor that predicts nothing is calibrated: %+v", unfitted.Calibrated)
	}
}

// On each day what was known then counts, and the outcome is a purchase from the day to one before the horizon's end.
func TestObserved(t *testing.T) {
	t.Parallel()
	o, b := NewObserver(fitted(), observedAsOf, 3), feature.NewBuilder(time.UTC, 0)
	days := o.days
	if want := []engine.Date{observedAsOf - 174, observedAsOf - 146, observedAsOf - 118, observedAsOf - 90}; !slices.Equal(days, want) {
		t.Fatalf("%v, want %v", days, want)
	}
	line := func(day engine.Date, hours int) engine.Line {
		return engine.Line{OrderKey: day.String(), Number: 1, OrderedAt: day.UTC().Add(time.Duration(hours) * time.Hour), Quantity: 1}
	}
	cancelled := line(days[1]+1, 0)
	cancelled.CancelledAt = (days[2] + 1).UTC()
	// One line on the day before the second day looked at, one that was cancelled after the third, one on the last day of the second's horizon.
	o.Add(b, time.UTC, 1, []engine.Line{line(days[1]-1, 23), cancelled, line(days[1]+89, 23)})
	o.Add(b, time.UTC, 2, []engine.Line{line(days[0]-1, 0), line(days[0]+90, 0)})
	o.Add(b, time.UTC, 3, []engine.Line{line(observedAsOf-90, 0)}) // came too late to be looked at
	p := o.predictor
	at := func(purchases int, first, last, day engine.Date) float64 {
		return logit(p.NoPurchase(engine.PurchaseHistory{Purchases: purchases, FirstAt: first, LastAt: last}, day))
	}
	want := []observation{
		{customer: 1, day: 1, logit: at(1, days[1]-1, days[1]-1, days[1]), lost: false},
		{customer: 1, day: 2, logit: at(2, days[1]-1, days[1]+1, days[2]), lost: false}, // the order stood then, and is no purchase now
		{customer: 1, day: 3, logit: at(1, days[1]-1, days[1]-1, days[3]), lost: false},
		{customer: 2, day: 0, logit: at(1, days[0]-1, days[0]-1, days[0]), lost: true},
		{customer: 2, day: 1, logit: at(1, days[0]-1, days[0]-1, days[1]), lost: false},
		{customer: 2, day: 2, logit: at(1, days[0]-1, days[0]-1, days[2]), lost: false},
		{customer: 2, day: 3, logit: at(1, days[0]-1, days[0]-1, days[3]), lost: false},
	}
	if !slices.Equal(o.seen, want) {
		t.Errorf("%+v\nwant %+v", o.seen, want)
	}
}

// Of many customers a part is looked at, whose size keeps to the limit, and the same one whoever asks.
func TestObservedPart(t *testing.T) {
	t.Parallel()
	const customers = 200_000
	o, again := NewObserver(fitted(), observedAsOf, customers), NewObserver(fitted(), observedAsOf, customers)
	n, folded := 0, [folds]int{}
	for i := range int64(customers) {
		in := mixed(i) <= o.share
		if in != (mixed(i) <= again.share) {
			t.Fatal("the part is another one")
		}
		if in {
			n++
			folded[fold(i)]++
		}
	}
	if math.Abs(float64(n)-maxObserved) > 0.02*maxObserved || float64(slices.Min(folded[:])) < 0.95*maxObserved/folds {
		t.Errorf("%d customers, in folds of %v", n, folded)
	}
}
