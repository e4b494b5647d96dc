package engine

import (
	"fmt"
	"math"

	"github.com/quimbi/quimbi/engine/btyd"
)

// Prediction is whether and how much a customer will buy, with the parts that lead to it.
type Prediction struct {
	AsOf        Date
	HorizonDays int
	// Identifiable is false where the store's history does not tell every parameter of the purchase model: then PAlive is nil.
	// TakenAsActive is true where it does not show at all when customers leave: then the rest takes every customer as active.
	// IdentifiableReason says why, as a sentence.
	Identifiable, TakenAsActive bool
	IdentifiableReason          string
	// Warnings are sentences about numbers that are there and doubtful.
	Warnings []string
	// ChurnRisk is NoPurchase after calibration, never 0 or 1.
	ChurnRisk float64
	// Drift is how far the customer's risk level lies from the customer's own baseline; nil where there is none, and where it does not count.
	// DriftEffect is what it adds to ChurnRisk.
	Drift       *float64
	DriftEffect float64
	// NoPurchase is the probability of no purchase within the horizon.
	NoPurchase float64
	PAlive     *float64
	// Expected is the number of purchases within the horizon.
	Expected   float64
	DaysSilent int
	// UsualGapDays is the median time between purchases; nil with fewer than two.
	UsualGapDays *float64
	// GapProbability is the share of active customers like this one who are silent for so long; nil for a one-time buyer.
	GapProbability *float64
	Next           *NextOrder
	// OrderValueCents is the expected value of one purchase, LTVCents that of the purchases of the next 12 months; nil
	// where ValueReason says why.
	OrderValueCents *int64
	LTVCents        *int64
	ValueReason     PredictionReason
}

// NextOrder is when the next purchase is due, if the customer is still active.
type NextOrder struct {
	Date, From Date  // the median, and the lower end of the interval
	To         *Date // nil where it lies too far ahead
}

const (
	nextOrderShare     = 0.8 // of the interval
	maxNextOrderDays   = 730
	maxNextOrderToDays = 3650
)

// NextOrderProbability is the share of active customers whose next purchase falls in the interval of NextOrder.
func NextOrderProbability() float64 { return nextOrderShare }

// CountsDrift tells whether churn risk depends on drift, which then has to be given. A nil predictor's does not.
func (p *Predictor) CountsDrift() bool {
	return p.Fault() == PredictionGiven && p.Calibration.Drift != 0
}

// Scores are the two numbers of a snapshot; nil where no model could be fitted. The history is that of the
// purchases by then, and not empty. drift is the deviation from the customer's own baseline (risk.Lookback), nil where there is
// none; it is not looked at unless it counts.
func (p *Predictor) Scores(h PurchaseHistory, asOf Date, drift *float64) (churnRisk *float64, ltvCents *int64) {
	if p.Fault() != PredictionGiven || h.Purchases == 0 {
		return nil, nil
	}
	repeats, m := h.Repeats(asOf), p.Purchases.Predictor()
	risk := p.Calibration.Apply(m.NoPurchase(repeats, p.horizonWeeks()), drift)
	_, ltvCents, _ = p.value(m, h, repeats)
	return &risk, ltvCents
}

// NoPurchase is the probability of no purchase within the horizon, not calibrated. The predictor must be without fault.
func (p *Predictor) NoPurchase(h PurchaseHistory, asOf Date) float64 {
	return p.Purchases.Predictor().NoPurchase(h.Repeats(asOf), p.horizonWeeks())
}

func (p *Predictor) horizonWeeks() float64 {
	return float64(p.Settings.HorizonDays) / btyd.DaysPerWeek
}

// value is nil without a model of spend; modelled is false where the store's median stands in for what the model says.
func (p *Predictor) value(m btyd.Model, h PurchaseHistory, repeats btyd.History) (orderCents, ltvCents *int64, modelled bool) {
	if p.Spend == nil {
		return nil, nil, false
	}
	value, modelled := p.Spend.ExpectedValue(h.Spend())
	order, ltv := toCents(value), toCents(btyd.LTV(m, repeats, value, p.Settings.LTVOptions()))
	return &order, &ltv, modelled
}

// warnings are those of a customer's prediction.
func (p *Predictor) warnings(modelled bool) []string {
	list := []string{}
	if text := p.Purchases.Warning(); text != "" {
		list = append(list, text)
	}
	if p.Spend == nil {
		return list
	}
	if !modelled {
		list = append(list, "the model of spend has no mean for this customer, so the store's median stands in for the expected order value")
	}
	if text := p.Spend.Warning(); text != "" {
		list = append(list, text)
	}
	return list
}

func toCents(value float64) int64 { return int64(math.Round(math.Min(value*centsPerUnit, 1<<53))) }

// Fault says why nothing can be predicted of anybody; a nil predictor is that of a model made before there were any.
func (p *Predictor) Fault() PredictionReason {
	switch {
	case p == nil:
		return PredictionNotFitted
	case p.Purchases == nil:
		return p.Reason
	default:
		return PredictionGiven
	}
}

// Predict says what is to be expected as of a day of a customer who has made these purchases by then. A reason is given in
// place of a prediction where there is none. drift is as in Scores.
func (p *Predictor) Predict(purchases []Purchase, asOf Date, drift *float64) (*Prediction, PredictionReason) {
	if reason := p.Fault(); reason != PredictionGiven {
		return nil, reason
	}
	h := HistoryOf(purchases)
	if h.Purchases == 0 {
		return nil, PredictionBeforePurchase
	}
	repeats, m, weeks := h.Repeats(asOf), p.Purchases.Predictor(), p.horizonWeeks()
	d := &Prediction{
		AsOf: asOf, HorizonDays: p.Settings.HorizonDays,
		Identifiable: p.Purchases.Identifiable, TakenAsActive: p.Purchases.Fallback != nil, IdentifiableReason: p.Purchases.Reason,
		NoPurchase: m.NoPurchase(repeats, weeks), Expected: m.Expected(repeats, weeks),
		DaysSilent: int(asOf - h.LastAt), Next: nextOrder(m, repeats, asOf), ValueReason: p.SpendReason,
	}
	d.ChurnRisk = p.Calibration.Apply(d.NoPurchase, drift)
	if p.CountsDrift() && drift != nil {
		d.Drift, d.DriftEffect = drift, d.ChurnRisk-p.Calibration.Apply(d.NoPurchase, nil)
	}
	if d.Identifiable {
		alive := m.PAlive(repeats)
		d.PAlive = &alive
	}
	if gap, ok := usualGap(purchases); ok {
		d.UsualGapDays = &gap
		// Seen at the last purchase, the customer would be silent for so long with this probability.
		silent := m.Active().NoPurchase(btyd.History{X: repeats.X, Tx: repeats.Tx, T: repeats.Tx}, repeats.T-repeats.Tx)
		d.GapProbability = &silent
	}
	var modelled bool
	d.OrderValueCents, d.LTVCents, modelled = p.value(m, h, repeats)
	d.Warnings = p.warnings(modelled)
	return d, PredictionGiven
}

// nextOrder is nil where no order is expected within two years.
func nextOrder(m btyd.Model, h btyd.History, asOf Date) *NextOrder {
	after := func(probability float64) (days float64, ok bool) {
		weeks, ok := btyd.NextPurchase(m.Active(), h, probability)
		return math.Round(weeks * btyd.DaysPerWeek), ok
	}
	median, ok := after(0.5)
	if !ok || median > maxNextOrderDays {
		return nil
	}
	low, _ := after((1 - nextOrderShare) / 2)
	next := &NextOrder{Date: asOf + Date(median), From: asOf + Date(low)}
	if high, ok := after((1 + nextOrderShare) / 2); ok && high <= maxNextOrderToDays {
		to := asOf + Date(high)
		next.To = &to
	}
	return next
}

// Explanation says the prediction in words.
func (d *Prediction) Explanation() string {
	text := "Ordered once, today."
	if d.DaysSilent > 0 {
		text = fmt.Sprintf("Ordered once, %s ago.", days(float64(d.DaysSilent)))
	}
	if d.UsualGapDays != nil && d.GapProbability != nil {
		text = fmt.Sprintf("Usually %s between orders, silent for %d: such a gap happens to %s of active customers like this.",
			days(*d.UsualGapDays), d.DaysSilent, percent(*d.GapProbability))
	}
	text += fmt.Sprintf(" The chance of no order in the next %s is %s%s", days(float64(d.HorizonDays)), percent(d.ChurnRisk), d.driftInWords())
	if d.TakenAsActive {
		return text + "; every customer counts as active here, since the store's history does not show when customers leave."
	}
	if d.PAlive == nil {
		return text + "; whether it is a customer still is not told, since the purchase model does not quite fit the store's history."
	}
	return text + fmt.Sprintf(", and that of being a customer still is %s.", percent(*d.PAlive))
}

// noticeable is from which effect on the chance on drift is worth a word.
const noticeable = 0.02

func (d *Prediction) driftInWords() string {
	if math.Abs(d.DriftEffect) < noticeable {
		return ""
	}
	level := "higher"
	if d.DriftEffect < 0 {
		level = "lower"
	}
	return fmt.Sprintf(" (%s by purchases alone: the customer stands where risk is %s than in its own past year)", percent(d.ChurnRisk-d.DriftEffect), level)
}

func days(n float64) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%g days", n)
}

// percent never says 0 or 100: neither is certain.
func percent(p float64) string {
	switch {
	case p < 0.01:
		return "under 1 %"
	case p > 0.99:
		return "over 99 %"
	default:
		return fmt.Sprintf("%.0f %%", 100*p)
	}
}
