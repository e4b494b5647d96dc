package backtest

import (
	"fmt"
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
)

// Cadence is a class of customers by their own median gap between purchases.
type Cadence string

// The classes.
const (
	CadenceAll    Cadence = "ALL"
	CadenceFast   Cadence = "FAST"   // under 14 days
	CadenceMedium Cadence = "MEDIUM" // from 14 to 45 days
	CadenceSlow   Cadence = "SLOW"   // over 45 days
)

// Cadences lists all and then the classes.
var Cadences = []Cadence{CadenceAll, CadenceFast, CadenceMedium, CadenceSlow}

func cadenceOf(medianGap float64) Cadence {
	switch {
	case medianGap < 14:
		return CadenceFast
	case medianGap <= 45:
		return CadenceMedium
	default:
		return CadenceSlow
	}
}

// Detectors by name.
const (
	DaysSilent     = "days_silent"
	SilentOverGap  = "silent_over_gap"
	Silence        = "silence"
	Dead           = "p_alive"
	NoPurchase     = "no_purchase"
	ChurnRisk      = "churn_risk"
	ChurnRiskPast  = "churn_risk_past"
	RFM            = "rfm"
	NoPurchaseRFM  = "no_purchase_rfm"
	NoPurchaseGap  = "no_purchase_gap"
	NoPurchaseFull = "no_purchase_rfm_gap"
	OrRule         = "no_purchase_rfm_or_rule"
	Level          = "level"
	Drift          = "drift"
	Directed       = "directed_drift"
	Baseline       = "baseline_drift"
	NoPurchaseRisk = "no_purchase_level"
	Combined       = "combined"
)

// detector gives every observation a score: the higher, the more likely churn.
type detector struct {
	name        string
	about       string
	probability bool  // the score is one of churn
	columns     []int // of a regression
	raises      bool  // the score is 1 where there is an alarm by a threshold of its own
	score       func(o *observations, i int) float64
}

// one is a detector that is a signal itself.
func one(name, about string, signal int, probability bool) detector {
	return detector{name: name, about: about, probability: probability, score: func(o *observations, i int) float64 { return o.signal(i, signal) }}
}

// orRule is a detector that alarms on the rule's day at the latest: what is gained by those who keep the rule too.
func orRule(d detector, ruleDays int) detector {
	score := d.score
	d.name, d.about, d.probability = OrRule, "the same, and an alarm on the rule's day at the latest", false
	d.score = func(o *observations, i int) float64 {
		if o.signal(i, signalSilent) >= float64(ruleDays) {
			return math.MaxFloat64
		}
		return score(o, i)
	}
	return d
}

// detectors makes the competitors, without OrRule and the product's alarms where ruleDays is 0; what has to be learned is learned on the fitting third. A detector that cannot be had is
// left out. The last one adds what of segments and drift improved the model without it.
func detectors(o *observations, p *engine.Predictor, ruleDays int, seed uint64) ([]detector, []Addition) {
	fit := o.rows(fitting)
	list := []detector{
		one(DaysSilent, "days since the last purchase", signalSilent, false),
		one(SilentOverGap, "days silent over the customer's own median gap", signalGapRatio, false),
	}
	learned := func(name, about string, columns ...int) {
		if l, ok := fitLogistic(o, fit, columns); ok {
			list = append(list, detector{name: name, about: about, probability: true, columns: columns, score: l.probability})
		}
	}
	if p.Purchases != nil {
		list = append(list, one(Silence, "1 - the share of active customers with such a history who are silent for so long", signalSilence, false))
		if p.Purchases.Identifiable {
			list = append(list, one(Dead, "1 - P(alive)", signalDead, false))
		}
		list = append(list, one(NoPurchase, "the probability of no purchase within the horizon, P0", signalNoPurchase, true))
		about, columns := "the same, recalibrated on the fitting third", []int{signalLogOdds}
		if added, ok := add(o, columns, signalBaselineOr0, seed); ok && added.Kept {
			about, columns = about+" together with G*, which lowered the Brier score on the threshold third", append(columns, signalBaselineOr0)
		}
		learned(ChurnRisk, about, columns...)
	}
	if p.Calibrated != nil {
		about := "P0 as the product calibrates it, by the fitting third's outcomes known on the last Sunday"
		if p.Calibrated.Reason != engine.CalibrationApplied {
			about += "; they gave no reason to change it"
		}
		if p.CountsDrift() {
			about += fmt.Sprintf(", with %.1f times G*", p.Calibration.Drift)
		}
		list = append(list, detector{name: ChurnRiskPast, about: about, probability: true, score: func(o *observations, i int) float64 {
			counted := o.signal(i, signalCounted)
			return p.Calibration.Apply(o.signal(i, signalNoPurchase), &counted)
		}})
	}
	learned(RFM, "logistic regression on silence, repeat purchases and their mean value", signalLnSilent, signalLnRepeats, signalLnValue)
	if p.Purchases != nil {
		learned(NoPurchaseGap, "logistic regression on P0 and silence in own gaps", signalLogOdds, signalLnGapRatio)
		learned(NoPurchaseRFM, "logistic regression on P0, silence, repeat purchases and their mean value",
			signalLogOdds, signalLnSilent, signalLnRepeats, signalLnValue)
		if last := list[len(list)-1]; last.name == NoPurchaseRFM && ruleDays > 0 {
			list = append(list, orRule(last, ruleDays))
		}
		learned(NoPurchaseFull, "logistic regression on these and silence in own gaps",
			signalLogOdds, signalLnSilent, signalLnRepeats, signalLnValue, signalLnGapRatio)
	}
	list = append(list,
		one(Level, "R, the mean share of those who did not buy again in the segments where the customer stands", signalLevel, true),
		one(Drift, "D, the overall drift since the Sunday before", signalDrift, false),
		one(Directed, "G, the change of R since the Sunday before", signalDirected, false),
		one(Baseline, "G*, R less the customer's own R every 28 days from 364 to 56 days before", signalBaseline, false),
	)
	if p.Purchases == nil {
		return list, []Addition{}
	}
	if ruleDays > 0 {
		list = append(list, ofProduct(p)...)
	}
	learned(NoPurchaseRisk, "logistic regression on P0 and R", signalLogOdds, signalLevel)
	base := []int{signalLogOdds, signalLnSilent, signalLnRepeats, signalLnValue}
	additions, columns := tried(o, base, seed)
	if len(columns) > len(base) {
		learned(Combined, "logistic regression on P0, silence, repeat purchases, their mean value and what of segments and drift was kept", columns...)
	}
	return list, additions
}

// Addition is a feature that was put into the model of NoPurchaseRFM. It is kept only where the threshold third says that it
// lowers the Brier score, and not by chance.
type Addition struct {
	Feature string `json:"feature"`
	// Without and With are the Brier scores on the threshold third.
	Without float64 `json:"brier_without"`
	With    float64 `json:"brier_with"`
	// Gain is what the feature lowers it by, from a bootstrap of customers.
	Gain Interval `json:"gain"`
	Kept bool     `json:"kept"`
}

// tried adds each feature of segments and drift alone, and gives the columns with those that are kept.
func tried(o *observations, base []int, seed uint64) (additions []Addition, columns []int) {
	additions, columns = []Addition{}, slices.Clone(base)
	for _, added := range []int{signalLevel, signalDriftOr0, signalDirectedOr0, signalBaselineOr0} {
		a, ok := add(o, base, added, seed)
		if !ok {
			continue
		}
		if a.Kept {
			columns = append(columns, added)
		}
		additions = append(additions, a)
	}
	return additions, columns
}

// add puts a feature into the model of other columns. ok is false where there is no fit, or nothing to judge by.
func add(o *observations, base []int, added int, seed uint64) (a Addition, ok bool) {
	fit, choose := o.rows(fitting), o.rows(choosing)
	without, ok := fitLogistic(o, fit, base)
	if !ok {
		return a, false
	}
	with, ok := fitLogistic(o, fit, append(slices.Clone(base), added))
	if !ok {
		return a, false
	}
	a = Addition{Feature: signalNames[added]}
	gains, count := map[int32]*cluster{}, 0.0
	for _, i := range choose {
		y := float64(o.lost[i])
		before, after := without.probability(o, i)-y, with.probability(o, i)-y
		if math.IsNaN(before) || math.IsNaN(after) {
			continue
		}
		a.Without += before * before
		a.With += after * after
		count++
		part := clusterOf(gains, o.customer[i])
		part.sum += before*before - after*after
		part.count++
	}
	if count == 0 {
		return a, false
	}
	a.Without /= count
	a.With /= count
	a.Gain = ratio(ordered(gains), seed)
	a.Kept = a.Gain.Low > 0
	return a, true
}

// scores works a detector out on all observations.
func (d *detector) scores(o *observations) []float64 {
	scores := make([]float64, len(o.lost))
	for i := range scores {
		scores[i] = d.score(o, i)
		if math.IsInf(scores[i], 0) {
			scores[i] = math.NaN()
		}
	}
	return scores
}
