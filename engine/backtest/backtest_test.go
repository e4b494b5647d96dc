package backtest

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/alarm"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/engine/synth"
)

func quiet(Progress) {}

func utc(days []engine.Date) (at []engine.Instant, err error) {
	for _, d := range days {
		at = append(at, engine.Instant{At: d.UTC()})
	}
	return at, nil
}

func TestPlan(t *testing.T) {
	t.Parallel()
	first := engine.NewDate(2025, 1, 1)
	p, err := NewPlan(Options{HorizonDays: 90, RuleDays: 90}, first, first+545)
	if err != nil {
		t.Fatal(err)
	}
	if p.from().Weekday() != time.Sunday || p.from() < first+90 || p.from() > first+96 || p.to() > first+455 || p.to() < first+449 {
		t.Errorf("from %v to %v", p.from(), p.to())
	}
	if _, err := NewPlan(Options{HorizonDays: 180, RuleDays: 90}, first, first+320); engine.CodeOf(err) != engine.CodeInsufficientData {
		t.Errorf("too short a history: %v", err)
	}
	// A year is enough for half a year's horizon, with a shorter warm-up.
	if p, err = NewPlan(Options{HorizonDays: 180, RuleDays: 90}, first, first+374); err != nil || p.from() < first+76 || p.from() > first+82 {
		t.Errorf("a year: %v, %v", p, err)
	}
	none := 0
	if p, err = NewPlan(Options{HorizonDays: 180, RuleDays: 90, WarmupDays: &none}, first, first+374); err != nil || p.from() > first+6 {
		t.Errorf("without warm-up: %v, %v", p, err)
	}
	for _, wrong := range []Options{{HorizonDays: 0, RuleDays: 90}, {HorizonDays: 90, RuleDays: 731}, {HorizonDays: 731, RuleDays: 90}} {
		if _, err := NewPlan(wrong, first, first+5000); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

func TestThirds(t *testing.T) {
	t.Parallel()
	p := &Plan{Options: Options{Seed: 7}}
	counts := map[third]int{}
	for id := range int64(30_000) {
		counts[p.third(id, 30_000)]++
	}
	for _, third := range []third{fitting, choosing, judging} {
		near(t, "a third", float64(counts[third]), 10_000, 300)
	}
	drawn := 0
	for id := range int64(300_000) {
		drawn += btoi(p.third(id, 300_000) != unused)
	}
	near(t, "those drawn of a large store", float64(drawn), maxCustomers, 1000)
}

// lines makes a customer who bought on these days after a begin.
func lines(begin engine.Date, days ...int) []engine.Line {
	var list []engine.Line
	for i, d := range days {
		list = append(list, engine.Line{
			OrderKey: string(rune('a' + i)), Number: 1, OrderedAt: (begin + engine.Date(d)).UTC().Add(10 * time.Hour), Quantity: 1, NetCents: 1000,
		})
	}
	return list
}

// One customer by hand: who is looked at when, in which gap, and what came of it.
func TestObservationsByHand(t *testing.T) {
	t.Parallel()
	begin := engine.NewDate(2025, 1, 5) // a Sunday
	none := 0
	p, err := NewPlan(Options{HorizonDays: 30, RuleDays: 20, WarmupDays: &none, Seed: 1}, begin, begin+200)
	if err != nil {
		t.Fatal(err)
	}
	all := &observations{}
	observer, err := newObserver(p, &Orders{Zone: time.UTC, At: utc}, fitted{segments: &engine.Model{}})
	if err != nil {
		t.Fatal(err)
	}
	// The third purchase is on day 10, so customers are judged from day 14 on; the purchase of day 70 ends a gap of 60 days.
	bought := lines(begin, 1, 5, 10, 70)
	observer.add(all, judging, observer.observe(bought), observer.truth.Purchases(bought, p.End.UTC()))
	at := func(day int) int { return slices.Index(all.date, begin+engine.Date(day)) }
	if all.date[0] != begin+14 || all.date[len(all.date)-1] != begin+168 || len(all.date) != 23 {
		t.Errorf("looked at from %v to %v, %d times", all.date[0], all.date[len(all.date)-1], len(all.date))
	}
	for day, lost := range map[int]int8{14: 1, 35: 1, 42: 0, 70: 0, 77: 1, 168: 1} {
		if all.lost[at(day)] != lost {
			t.Errorf("on day %d the customer counts as lost: %v", day, all.lost[at(day)])
		}
	}
	// On day 70 the day's own purchase is not known yet: 60 days silent.
	near(t, "the silence of day 70", all.signal(at(70), signalSilent), 60, 0)
	near(t, "the median gap of day 70", all.signal(at(70), signalMedianGap), 4.5, 0)
	near(t, "the silence of day 77", all.signal(at(77), signalSilent), 7, 0)
	want := []gap{{0, CadenceFast, true, judging}, {0, CadenceFast, true, judging}}
	if diff := cmp.Diff(want, all.gaps, cmp.AllowUnexported(gap{})); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	if all.gap[at(70)] != 0 || all.gap[at(77)] != 1 {
		t.Errorf("gaps of day 70 and 77: %v, %v", all.gap[at(70)], all.gap[at(77)])
	}
	if len(all.all.lost) != 24 { // from day 7 on, with the second purchase
		t.Errorf("%d predictions of everybody", len(all.all.lost))
	}
}

// A gap that began before the first day belongs to no gap, and one that ends within rule and horizon is no churn.
func TestGapsByHand(t *testing.T) {
	t.Parallel()
	begin := engine.NewDate(2025, 1, 5)
	warmup := 28
	p, err := NewPlan(Options{HorizonDays: 30, RuleDays: 20, WarmupDays: &warmup, Seed: 1}, begin, begin+200)
	if err != nil {
		t.Fatal(err)
	}
	all := &observations{}
	observer, err := newObserver(p, &Orders{Zone: time.UTC, At: utc}, fitted{segments: &engine.Model{}})
	if err != nil {
		t.Fatal(err)
	}
	bought := lines(begin, 1, 5, 27, 60, 110)
	observer.add(all, judging, observer.observe(bought), observer.truth.Purchases(bought, p.End.UTC()))
	if all.gap[0] != -1 || all.date[0] != begin+28 {
		t.Errorf("the gap from day 27 is number %d, first seen on %v", all.gap[0], all.date[0])
	}
	want := []gap{{0, CadenceMedium, false, judging}, {0, CadenceMedium, true, judging}}
	if diff := cmp.Diff(want, all.gaps, cmp.AllowUnexported(gap{})); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

// A signal that sees the next purchase is found out, whether it hides in a feature, in the purchases or in a refund.
func TestLeakIsCaught(t *testing.T) {
	t.Parallel()
	shop := synth.Shop(synth.Options{Seed: 3, Customers: 900, End: engine.NewDate(2026, 6, 30), Weeks: 60})
	s := &store{columns: engine.ColumnOrderID | engine.ColumnReturns, first: math.MaxInt32}
	for i, c := range shop.Customers {
		s.customers = append(s.customers, Customer{ID: int64(i), Lines: c.Lines})
		s.first, s.last = min(s.first, engine.DateOf(c.Lines[0].OrderedAt, time.UTC)), engine.NewDate(2026, 6, 30)
	}
	p := s.plan(t, DefaultOptions())
	leaks := map[string]func(lines []engine.Line, at time.Time, f *engine.Features){
		"none": func([]engine.Line, time.Time, *engine.Features) {},
		"a feature knows the number of all orders": func(lines []engine.Line, _ time.Time, f *engine.Features) {
			f.Values[medianGapFeature] += float32(len(lines)) / 100
		},
		"the purchases know whether there will be another": func(lines []engine.Line, at time.Time, f *engine.Features) {
			if last := lines[len(lines)-1].OrderedAt; !last.Before(at) {
				f.Purchases++
			}
		},
		"the value knows later refunds": func(lines []engine.Line, _ time.Time, f *engine.Features) {
			for i := range lines {
				f.RepeatCents -= lines[i].RefundCents
			}
		},
	}
	for name, leak := range leaks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := run(t.Context(), p, s.orders(p), quiet, func(p *Plan, orders *Orders, f fitted) (*observer, error) {
				o, err := newObserver(p, orders, f)
				if err != nil {
					return nil, err
				}
				honest := o.build
				o.build = func(lines []engine.Line, at []engine.Instant, yield func(int, *engine.Features)) {
					honest(lines, at, func(i int, f *engine.Features) {
						if f.Purchases > minRepeats {
							leak(lines, at[i].At, f)
						}
						yield(i, f)
					})
				}
				return o, nil
			})
			switch {
			case name != "none" && (err == nil || !strings.Contains(err.Error(), "looks into the future")):
				t.Errorf("the leak was not caught: %v", err)
			case name == "none" && err != nil:
				t.Errorf("honest signals were not believed: %v", err)
			case name == "none" && r.Checks < 100:
				t.Errorf("only %d observations were checked", r.Checks)
			}
		})
	}
}

// The whole protocol on real orders.
func TestCDNOWSample(t *testing.T) {
	t.Parallel()
	s := sample(t)
	p := s.plan(t, Options{HorizonDays: 180, RuleDays: 90, Seed: 1})
	stages := map[engine.RunStage]bool{}
	r, err := Run(t.Context(), p, s.orders(p), func(p Progress) { stages[p.Stage] = p.Done <= p.Total })
	if err != nil {
		t.Fatal(err)
	}
	if !stages[engine.StageFeatures] || !stages[engine.StageScoring] || !stages[engine.StageEvaluating] {
		t.Errorf("progress was told of %v", stages)
	}
	if n := r.Fitted + r.Threshold + r.Customers; n != 2357 {
		t.Errorf("%d customers", n)
	}
	byName := map[string]*Detector{}
	for i := range r.Detectors {
		d := &r.Detectors[i]
		byName[d.Name] = d
		all := d.Class(CadenceAll)
		gaps, churned, alarms := 0, 0, 0
		for _, c := range Cadences[1:] {
			class := d.Class(c)
			gaps, churned, alarms = gaps+class.Gaps, churned+class.Churned, alarms+class.Alarms
		}
		if gaps != all.Gaps || churned != all.Churned || alarms != all.Alarms || all.Gaps != r.Gaps || all.Churned != r.Churned {
			t.Errorf("%s: the classes do not add up: %d gaps of %d, %d churned of %d, %d alarms of %d", d.Name, gaps, all.Gaps, churned, all.Churned, alarms, all.Alarms)
		}
		if all.Lead != nil && !(all.Lead.Low <= all.Lead.Value && all.Lead.Value <= all.Lead.High && all.Lead.Value <= 90) {
			t.Errorf("%s: lead %+v", d.Name, *all.Lead)
		}
	}
	rule := byName[DaysSilent].Class(CadenceAll)
	if rule.Lead.Value != 0 || rule.Early != 0 || *rule.Delay < 90 || *rule.Delay > 96 {
		t.Errorf("the rule against itself: %+v", rule)
	}
	risk := byName[ChurnRisk]
	if risk.Reliability.Brier >= byName[NoPurchase].Reliability.Brier+0.01 || r.Everybody.ECE > 0.06 || r.Everybody.Brier > r.Everybody.Base {
		t.Errorf("the churn risk is not calibrated: %+v, everybody %+v", risk.Reliability, r.Everybody)
	}
	// Whoever keeps the rule beside the model is never later than the rule, for all churn.
	if both := byName[OrRule].Class(CadenceAll); both.Alarms < rule.Alarms || *both.Delay > 96 || both.Lead.Value < 0 {
		t.Errorf("the rule and a model together: %+v, the rule alone %+v", both, rule)
	}
	if past := byName[ChurnRiskPast]; past == nil || r.Past == nil || r.Past.Count != r.Everybody.Count || r.Past.Brier > r.Past.Base {
		t.Errorf("the churn risk as the product calibrates it: %+v", r.Past)
	}
	// The product's alarms have a precision of their own, and the first of three is as many as the most of one.
	any := byName[AlarmAny].Class(CadenceAll)
	for _, name := range []string{AlarmSilence, AlarmCUSUM, AlarmShiryaevRoberts} {
		d := byName[name]
		if c := d.Class(CadenceAll); !d.OwnThreshold || d.Threshold != nil || c.PRAUC != nil || len(d.Curve) > 0 || c.Alarms == 0 || c.Alarms > any.Alarms || c.Precision == nil {
			t.Errorf("%s: %+v of %+v", name, c, any)
		}
	}
	twice := *p
	twice.Splits = 2
	again, err := Run(t.Context(), &twice, s.orders(p), quiet)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Splits) != 2 || again.Splits[0].Seed != 1 || again.Splits[1].Seed != 2 {
		t.Fatalf("two divisions gave %+v", again.Splits)
	}
	lead := again.DetectorSpread(NoPurchaseRFM, func(d *SplitDetector) *float64 { return d.Lead })
	if one := byName[NoPurchaseRFM].Class(CadenceAll).Lead.Value; lead.Count != 2 || lead.Least == lead.Most || lead.Least > one || lead.Most < one || !(lead.Least <= lead.Mean && lead.Mean <= lead.Most) {
		t.Errorf("the spread of the lead is %+v, that of the first division %v", lead, one)
	}
	again.Splits = nil
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("the same seed gives another result (-first +second):\n%s", diff)
	}
}

// The churn risk is true as a probability on customers and with the settings that it was not made for: the specification allows a
// calibration error of 0.03. Measured were 0.011 as the product calibrates and 0.010 recalibrated on the fitting third, with Brier scores of 0.1155 and 0.1154
// where the mere share has 0.1482; over seeds 1 to 5 the errors go up to 0.019 and 0.025.
func TestCDNOWSampleIsCalibrated(t *testing.T) {
	t.Parallel()
	s := sample(t)
	p := s.plan(t, DefaultOptions())
	r, err := Run(t.Context(), p, s.orders(p), quiet)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Reliability{"as the product calibrates": r.Past, "recalibrated on the fitting third": r.Everybody} {
		t.Logf("%s: ECE %.4f, Brier score %.4f, of the mere share %.4f", name, c.ECE, c.Brier, c.Base)
		if c.Count < 10_000 || c.ECE > 0.02 || c.Brier > 0.118 || c.Base < 0.14 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// On each Sunday a signal tells of the alarm that the product raises on it, by what was known then.
func TestProductAlarmsByHand(t *testing.T) {
	t.Parallel()
	begin := engine.NewDate(2025, 1, 5)
	none := 0
	p, err := NewPlan(Options{HorizonDays: 30, RuleDays: 20, WarmupDays: &none, Seed: 1}, begin, begin+400)
	if err != nil {
		t.Fatal(err)
	}
	predictor := &engine.Predictor{Purchases: &btyd.Fit[btyd.MBGNBD]{Model: btyd.MBGNBD{R: 0.8, Alpha: 2.5, A: 0.3, B: 2}, Identifiable: true}}
	predictor.Alarms = &engine.AlarmBasis{Silence: []float64{1}, CUSUM: []float64{2}, ShiryaevRoberts: []float64{3}}
	watcher := alarm.NewWatcher(predictor, 0.9)
	observer, err := newObserver(p, &Orders{Zone: time.UTC, At: utc}, fitted{segments: &engine.Model{}, watcher: watcher})
	if err != nil {
		t.Fatal(err)
	}
	// Once a week until day 280, then no more.
	var days []int
	for day := 0; day <= 280; day += 7 {
		days = append(days, day)
	}
	bought := lines(begin, days...)
	purchases := observer.truth.Purchases(bought, p.End.UTC())
	raised := map[int]int{}
	for _, v := range observer.observe(bought) {
		seen := watcher.Look(purchases, v.date)
		for _, a := range productAlarms {
			watched := slices.Contains(seen.Watched, a.kind)
			alarmed := slices.ContainsFunc(seen.Alarms, func(s engine.Alarm) bool { return s.Kind == a.kind })
			s := v.signals[a.signal]
			if math.IsNaN(s) == watched || watched && (s == 1) != alarmed {
				t.Errorf("%s on %v: %v, watched %v, alarm %v", a.name, v.date, s, watched, alarmed)
			}
			if alarmed {
				raised[a.signal]++
				if v.date <= begin+287 {
					t.Errorf("%s on %v, before anything changed", a.name, v.date)
				}
			}
		}
	}
	for _, a := range productAlarms {
		if raised[a.signal] != 1 {
			t.Errorf("%s was raised %d times", a.name, raised[a.signal])
		}
	}
}

// What a re-clustering of the last day learns of the churn risk may not know what came after that day.
func TestCalibrationOnThePastKnowsNoFuture(t *testing.T) {
	t.Parallel()
	s := sample(t)
	p := s.plan(t, Options{HorizonDays: 180, RuleDays: 90, Seed: 1})
	orders := s.orders(p)
	calibrate := func(lines func([]engine.Line) []engine.Line) *engine.Predictor {
		f, predictor, counts, err := fitThird(t.Context(), p, &orders, quiet)
		if err != nil {
			t.Fatal(err)
		}
		known := orders
		known.Each = func() iter.Seq2[Customer, error] {
			return func(yield func(Customer, error) bool) {
				for _, c := range s.customers {
					if !yield(Customer{c.ID, lines(c.Lines)}, nil) {
						return
					}
				}
			}
		}
		learned := past{plan: p, orders: &known, model: f.segments, predictor: predictor, customers: counts[fitting], progress: func(int, int) {}}
		if _, err := learned.learn(t.Context()); err != nil {
			t.Fatal(err)
		}
		return predictor
	}
	all := calibrate(func(lines []engine.Line) []engine.Line { return lines })
	known := calibrate(func(lines []engine.Line) (before []engine.Line) {
		for _, l := range lines {
			if l.OrderedAt.Before(p.to().UTC()) {
				before = append(before, l)
			}
		}
		return before
	})
	if all.Calibrated.Outcomes < 1000 || all.Calibrated.To != p.to()-180 {
		t.Errorf("calibrated on %+v", all.Calibrated)
	}
	if diff := cmp.Diff(known.Calibrated, all.Calibrated); diff != "" {
		t.Errorf("later orders changed the calibration (-without +with):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := sample(t)
	p := s.plan(t, Options{HorizonDays: 180, RuleDays: 90, Seed: 1})
	few := &store{customers: s.customers[:150], first: s.first, last: s.last}
	if _, err := Run(t.Context(), p, few.orders(p), quiet); engine.CodeOf(err) != engine.CodeInsufficientData {
		t.Errorf("few customers: %v", err)
	}
	broken := s.orders(p)
	fault := errors.New("the connection broke")
	broken.Each = func() iter.Seq2[Customer, error] {
		return func(yield func(Customer, error) bool) { yield(Customer{}, fault) }
	}
	if _, err := Run(t.Context(), p, broken, quiet); !errors.Is(err, fault) {
		t.Errorf("a fault of the orders: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(cancelled, p, s.orders(p), quiet); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
