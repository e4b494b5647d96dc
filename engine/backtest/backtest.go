package backtest

import (
	"context"
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/alarm"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/fit"
	"github.com/quimbi/quimbi/engine/risk"
)

// Result is what a backtest found. Shares and probabilities are from 0 to 1, times in days.
type Result struct {
	HorizonDays int         `json:"horizon_days"`
	RuleDays    int         `json:"rule_days"`
	Seed        uint64      `json:"seed"`
	OrdersFrom  engine.Date `json:"orders_from"`
	OrdersTo    engine.Date `json:"orders_to"` // not included
	From        engine.Date `json:"from"`      // the first and
	To          engine.Date `json:"to"`        // the last day on which customers were looked at
	Weeks       int         `json:"weeks"`     // so many days in all
	// Customers with at least one purchase, by third.
	Fitted    int `json:"customers_fitted"`
	Threshold int `json:"customers_threshold"`
	Customers int `json:"customers_judged"`
	// Of the judged third: customers on days, gaps between purchases, and gaps that were churn: silent for longer than rule and
	// horizon together.
	Observations int     `json:"observations"`
	Gaps         int     `json:"gaps"`
	Churned      int     `json:"churned"`
	BaseRate     float64 `json:"base_rate"` // the share of observations that were churn
	// Rule is the rule's precision on the threshold third, which detectors have to reach there.
	Rule float64 `json:"rule_precision"`
	// Identifiable is false where the fitting third does not show when customers leave; PredictionReason says why there is no
	// purchase model at all.
	Identifiable       bool                    `json:"identifiable"`
	IdentifiableReason string                  `json:"identifiable_reason,omitempty"`
	PredictionReason   engine.PredictionReason `json:"prediction_reason,omitempty"`
	Detectors          []Detector              `json:"detectors"`
	// Additions are the features of segments and drift, each put into the model without it.
	Additions []Addition `json:"additions"`
	// Best is the detector with the largest lead; empty where none had a lead.
	Best string `json:"best"`
	// Calibration is of the churn risk on those who bought at least three times, Everybody on all who had bought.
	Calibration *Reliability `json:"calibration"`
	Everybody   *Reliability `json:"calibration_everybody"`
	// Past is that of the churn risk as a re-clustering on the last day would have calibrated it, by outcomes known by then, on
	// everybody; nil where there is no purchase model.
	Past *Reliability `json:"calibration_past_everybody"`
	// Splits is what each of several divisions gave, of which the rest is the first; empty where there was one.
	Splits []Split `json:"splits,omitempty"`
	// Checks counts the observations that were worked out again with all later orders hidden, and did not change.
	Checks int `json:"checks"`
}

// Detector is how one detector did.
type Detector struct {
	Name        string `json:"name"`
	About       string `json:"about"`
	Probability bool   `json:"probability"`
	// Threshold is the score from which it alarms; nil where the rule's precision was never reached on the threshold third, and where
	// OwnThreshold says that the detector, one of the product's alarms, does not go by that precision.
	Threshold    *float64 `json:"threshold"`
	OwnThreshold bool     `json:"own_threshold,omitempty"`
	// Classes are the results for all customers and for each class with churn, in the order of Cadences.
	Classes []Class `json:"classes"`
	// Curve is precision over recall, of all.
	Curve []Point `json:"curve"`
	// Reliability is nil for a detector that is no probability.
	Reliability *Reliability `json:"reliability"`
}

// Class is how a detector did among some customers, at the threshold for all.
type Class struct {
	Cadence Cadence `json:"cadence"`
	Gaps    int     `json:"gaps"`
	Churned int     `json:"churned"`
	Alarms  int     `json:"alarms"`
	// Precision is the share of alarms that were churn; nil without alarms.
	Precision *Interval `json:"precision"`
	// Early is the share of churn that had its alarm before the rule's day.
	Early float64 `json:"early_share"`
	// Delay is the median of days from the last purchase to the alarm, among churn with an alarm; nil without.
	Delay *float64 `json:"median_delay_days"`
	// Lead is the restricted mean lead time: the mean over churn of max(0, rule - delay), without alarm 0. nil without churn.
	Lead *Interval `json:"lead_days"`
	// PRAUC is the area under precision and recall over all observations, PRAUCEarly over those silent no longer than the
	// rule; nil where nothing is churn, and for an alarm of the product, which is no score.
	PRAUC      *float64 `json:"pr_auc"`
	PRAUCEarly *float64 `json:"pr_auc_early"`
	Brier      *float64 `json:"brier"`
}

// Detector gives a detector by name; nil where there is none.
func (r *Result) Detector(name string) *Detector {
	for i := range r.Detectors {
		if r.Detectors[i].Name == name {
			return &r.Detectors[i]
		}
	}
	return nil
}

// Class gives the result for a class; nil where there is none.
func (d *Detector) Class(c Cadence) *Class {
	for i := range d.Classes {
		if d.Classes[i].Cadence == c {
			return &d.Classes[i]
		}
	}
	return nil
}

// Progress tells how far a backtest is, in customers read of all that have to be read.
type Progress struct {
	Stage       engine.RunStage
	Done, Total int
}

// Passes is how often at most the orders are read for one division: to fit, twice to learn how the product would calibrate, and to look at everybody.
const Passes = 4

// Run measures. It reads the orders up to Passes times for each division. progress is called from this goroutine.
// Faults: INSUFFICIENT_DATA, the context's, the orders' own, and INTERNAL where a signal looks into the future.
func Run(ctx context.Context, p *Plan, orders Orders, progress func(Progress)) (*Result, error) {
	one := func(p *Plan, progress func(Progress)) (*Result, error) {
		return run(ctx, p, orders, progress, newObserver)
	}
	if p.Splits > 1 {
		return runSplits(p, progress, one)
	}
	return one(p, progress)
}

func run(ctx context.Context, p *Plan, orders Orders, progress func(Progress), observe func(*Plan, *Orders, fitted) (*observer, error)) (*Result, error) {
	f, predictor, counts, err := fitThird(ctx, p, &orders, progress)
	if err != nil {
		return nil, err
	}
	scoring := orders.progress(progress, engine.StageScoring)
	if predictor.Purchases != nil {
		past := past{plan: p, orders: &orders, model: f.segments, predictor: predictor, customers: counts[fitting], progress: scoring}
		if f.counted, err = past.learn(ctx); err != nil {
			return nil, err
		}
	}
	observer, err := observe(p, &orders, f)
	if err != nil {
		return nil, err
	}
	o, err := observer.collect(ctx, &orders, func(done int) { scoring(Passes-1, done) })
	if err != nil {
		return nil, err
	}
	r := &Result{
		HorizonDays: p.HorizonDays, RuleDays: p.RuleDays, Seed: p.Seed, OrdersFrom: p.First, OrdersTo: p.End,
		From: p.from(), To: p.to(), Weeks: len(p.Dates), Fitted: counts[fitting], Threshold: counts[choosing], Customers: counts[judging],
		PredictionReason: predictor.Reason, Checks: o.checks,
	}
	if f := predictor.Purchases; f != nil {
		r.Identifiable, r.IdentifiableReason = f.Identifiable, f.Reason
	}
	orders.progress(progress, engine.StageEvaluating)(Passes, 0)
	if err := r.judge(ctx, p, o, predictor); err != nil {
		return nil, err
	}
	return r, nil
}

// fitThird reads the fitting third and fits on it. counts are of everybody who had bought by the last day, by thirds.
func fitThird(ctx context.Context, p *Plan, orders *Orders, progress func(Progress)) (f fitted, predictor *engine.Predictor, counts [3]int, err error) {
	reading := orders.progress(progress, engine.StageFeatures)
	third, err := readFitting(ctx, p, orders, func(done int) { reading(0, done) })
	if err != nil {
		return f, nil, counts, err
	}
	settings := engine.DefaultPredictionSettings()
	settings.HorizonDays = p.HorizonDays
	predictor, err = engine.FitPredictor(ctx, third.table, settings)
	if err != nil {
		return f, nil, counts, err
	}
	if predictor.Purchases != nil {
		f.purchases = predictor.Purchases.Predictor()
		if err := third.setAlarms(ctx, p, predictor); err != nil {
			return f, nil, counts, err
		}
		f.watcher = alarm.NewWatcher(predictor, engine.DefaultFalseAlarmRate)
	}
	clustering := orders.progress(progress, engine.StageClustering)
	segments := func(fit.Progress) { clustering(1, 0) }
	if f.segments, err = fit.Model(ctx, orders.Params, p.Seed, third.table, nil, segments); err != nil {
		return f, nil, counts, err
	}
	f.weights = third.weigh(f.segments, p.HorizonDays)
	return f, predictor, third.counts, nil
}

// fittingThird is what models are fitted on.
type fittingThird struct {
	counts [3]int                   // of everybody who had bought by the last day, by thirds
	table  *engine.Table            // as of the last day
	lost   []bool                   // of the table's customers: no purchase in the horizon after it
	before []engine.PurchaseHistory // of the same, as of the day on which alarms take them up
}

func readFitting(ctx context.Context, p *Plan, orders *Orders, progress func(int)) (*fittingThird, error) {
	at, err := orders.At([]engine.Date{p.to()})
	if err != nil {
		return nil, err
	}
	f := &fittingThird{table: &engine.Table{AsOf: p.to(), Columns: orders.Columns}}
	builder := feature.NewBuilder(orders.Zone, orders.Columns)
	done := 0
	for c, err := range orders.Each() {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if done++; done%1000 == 0 {
			progress(done)
		}
		t := p.third(c.ID, orders.Customers)
		if t == unused {
			continue
		}
		bought := false
		builder.Build(c.Lines, at, func(_ int, features *engine.Features) {
			bought = true
			if t == fitting {
				f.table.Append(c.ID, features)
			}
		})
		if bought {
			f.counts[t]++
		}
		if bought && t == fitting {
			f.before = append(f.before, historyBefore(builder, p, orders, c.Lines))
			next := nextPurchase(builder.Purchases(c.Lines, p.End.In(orders.Zone)), p.to()-1, p.End)
			f.lost = append(f.lost, next >= p.to()+engine.Date(p.HorizonDays))
		}
	}
	return f, nil
}

// weigh gives the segments their risk weights.
func (f *fittingThird) weigh(m *engine.Model, horizonDays int) *risk.Weights {
	tally, scorer := risk.NewTally(m, horizonDays), m.NewScorer()
	var print engine.Thumbprint
	for i := range f.table.Len() {
		scorer.Score(int(f.table.Purchases[i]), f.table.Row(i), &print)
		tally.Add(f.table.CustomerID[i], print, f.lost[i])
	}
	tally.Weigh()
	return risk.WeightsOf(m)
}

// minAlarms is how many alarms of the rule its precision has to rest on.
const minAlarms = 20

// judge fills in the detectors.
func (r *Result) judge(ctx context.Context, p *Plan, o *observations, predictor *engine.Predictor) error {
	choose, judged := o.rows(choosing), o.rows(judging)
	silent := (&detector{score: func(o *observations, i int) float64 { return o.signal(i, signalSilent) }}).scores(o)
	rule := o.alarm(choose, silent, float64(p.RuleDays))
	if len(rule.rows) < minAlarms {
		return engine.Errorf(engine.CodeInsufficientData,
			"the rule of %d days raised only %d alarms among a third of the customers, and at least %d are needed; the store is too small, or its history too short for this horizon",
			p.RuleDays, len(rule.rows), minAlarms)
	}
	r.Rule = rule.precision()
	r.Observations = len(judged)
	for _, i := range judged {
		r.BaseRate += float64(o.lost[i]) / float64(len(judged))
	}
	for _, g := range o.gaps {
		if g.third == judging {
			r.Gaps++
			if g.churn {
				r.Churned++
			}
		}
	}
	list, additions := detectors(o, predictor, p.RuleDays, p.Seed)
	r.Additions = additions
	for i := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		scores := list[i].scores(o)
		d := Detector{Name: list[i].name, About: list[i].about, Probability: list[i].probability, OwnThreshold: list[i].raises}
		threshold, reached := o.threshold(choose, scores, r.Rule)
		if d.Name == DaysSilent { // the rule itself
			threshold, reached = float64(p.RuleDays), true
		}
		var raised alarms
		switch {
		case d.OwnThreshold:
			raised = o.alarm(judged, scores, 1)
		case reached:
			d.Threshold = &threshold
			raised = o.alarm(judged, scores, threshold)
		}
		for _, c := range Cadences {
			d.Classes = append(d.Classes, o.class(c, judged, scores, raised, &list[i], p))
		}
		if !d.OwnThreshold {
			d.Curve, _ = precisionRecall(picked(scores, judged), picked(o.lost, judged), curvePoints)
		}
		if d.Probability {
			reliability := reliabilityOf(picked(scores, judged), picked(o.lost, judged))
			d.Reliability = &reliability
		}
		r.Detectors = append(r.Detectors, d)
	}
	r.best()
	r.calibrate(o, list)
	r.Past = pastReliability(o, predictor)
	return nil
}

// curvePoints is about how many points of a curve are kept.
const curvePoints = 50

// best is the detector whose lead is the largest, of those that have to be as precise as the rule.
func (r *Result) best() {
	most := 0.0
	for i := range r.Detectors {
		if c := r.Detectors[i].Class(CadenceAll); !r.Detectors[i].OwnThreshold && c.Lead != nil && c.Lead.Value > most {
			most, r.Best = c.Lead.Value, r.Detectors[i].Name
		}
	}
}

// calibrate judges the churn risk, and the same recalibrated on everybody of the fitting third.
func (r *Result) calibrate(o *observations, list []detector) {
	var columns []int
	for i := range r.Detectors {
		if r.Detectors[i].Name == ChurnRisk {
			r.Calibration = r.Detectors[i].Reliability
			columns = list[i].columns
		}
	}
	if r.Calibration == nil {
		return
	}
	everybody := &observations{}
	for i, p := range o.all.noPurchase {
		var signals [signalCount]float64
		signals[signalLogOdds], signals[signalBaselineOr0] = logOdds(p), o.all.baseline[i]
		everybody.signals = append(everybody.signals, signals[:]...)
		everybody.third = append(everybody.third, o.all.third[i])
	}
	everybody.lost = o.all.lost
	l, ok := fitLogistic(everybody, everybody.rows(fitting), columns)
	if !ok {
		return
	}
	judged := everybody.rows(judging)
	p := make([]float64, len(judged))
	for n, i := range judged {
		p[n] = l.probability(everybody, i)
	}
	reliability := reliabilityOf(p, picked(everybody.lost, judged))
	r.Everybody = &reliability
}

// pastReliability judges on everybody the churn risk that outcomes known on the last day calibrate.
func pastReliability(o *observations, predictor *engine.Predictor) *Reliability {
	if predictor.Calibrated == nil {
		return nil
	}
	var p []float64
	var lost []int8
	for i, t := range o.all.third {
		if t == judging {
			p, lost = append(p, predictor.Calibration.Apply(o.all.noPurchase[i], &o.all.counted[i])), append(lost, o.all.lost[i])
		}
	}
	reliability := reliabilityOf(p, lost)
	return &reliability
}

// class judges a detector among the customers of a class.
func (o *observations) class(c Cadence, judged []int, scores []float64, raised alarms, d *detector, p *Plan) Class {
	in := func(x Cadence) bool { return c == CadenceAll || c == x }
	result := Class{Cadence: c}
	delay := map[int32]float64{} // of the alarms, by gap
	precision, lead := map[int32]*cluster{}, map[int32]*cluster{}
	for _, i := range raised.rows {
		if in(o.cadence[i]) {
			result.Alarms++
			delay[o.gap[i]] = o.signal(i, signalSilent)
			part := clusterOf(precision, o.customer[i])
			part.sum += float64(o.lost[i])
			part.count++
		}
	}
	var delays []float64
	early := 0
	for n := range o.gaps {
		g := &o.gaps[n]
		if g.third != judging || !in(g.cadence) {
			continue
		}
		result.Gaps++
		if !g.churn {
			continue
		}
		result.Churned++
		part := clusterOf(lead, g.customer)
		part.count++
		if days, alarmed := delay[int32(n)]; alarmed {
			delays = append(delays, days)
			part.sum += math.Max(0, float64(p.RuleDays)-days)
			if days < float64(p.RuleDays) {
				early++
			}
		}
	}
	if result.Churned > 0 {
		result.Early = float64(early) / float64(result.Churned)
		interval := ratio(ordered(lead), p.Seed)
		result.Lead = &interval
	}
	if len(delays) > 0 {
		slices.Sort(delays)
		middle := quantile(delays, 0.5)
		result.Delay = &middle
	}
	if result.Alarms > 0 {
		interval := ratio(ordered(precision), p.Seed)
		result.Precision = &interval
	}
	var rows, soon []int
	for _, i := range judged {
		if in(o.cadence[i]) {
			rows = append(rows, i)
			if o.signal(i, signalSilent) <= float64(p.RuleDays) {
				soon = append(soon, i)
			}
		}
	}
	if !d.raises {
		result.PRAUC = defined(averagePrecision(picked(scores, rows), picked(o.lost, rows)))
		result.PRAUCEarly = defined(averagePrecision(picked(scores, soon), picked(o.lost, soon)))
	}
	if d.probability {
		if reliability := reliabilityOf(picked(scores, rows), picked(o.lost, rows)); reliability.Count > 0 {
			result.Brier = &reliability.Brier
		}
	}
	return result
}

func clusterOf(clusters map[int32]*cluster, customer int32) *cluster {
	if clusters[customer] == nil {
		clusters[customer] = &cluster{}
	}
	return clusters[customer]
}

// ordered gives the clusters in the order of customers, so that a seed always draws the same.
func ordered(clusters map[int32]*cluster) []cluster {
	keys := make([]int32, 0, len(clusters))
	for k := range clusters {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	list := make([]cluster, len(keys))
	for i, k := range keys {
		list[i] = *clusters[k]
	}
	return list
}

func picked[T any](values []T, rows []int) []T {
	list := make([]T, len(rows))
	for n, i := range rows {
		list[n] = values[i]
	}
	return list
}

func defined(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}
