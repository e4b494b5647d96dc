package backtest

import (
	"math"

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
	RFM            = "rfm"
	NoPurchaseRFM  = "no_purchase_rfm"
	NoPurchaseGap  = "no_purchase_gap"
	NoPurchaseFull = "no_purchase_rfm_gap"
)

// detector gives every observation a score: the higher, the more likely churn.
type detector struct {
	name        string
	about       string
	probability bool // the score is one of churn
	score       func(o *observations, i int) float64
}

// one is a detector that is a signal itself.
func one(name, about string, signal int, probability bool) detector {
	return detector{name, about, probability, func(o *observations, i int) float64 { return o.signal(i, signal) }}
}

// detectors makes the competitors; what has to be learned is learned on the fitting third. A detector that cannot be had is
// left out.
func detectors(o *observations, p *engine.Predictor) []detector {
	fit := o.rows(fitting)
	list := []detector{
		one(DaysSilent, "days since the last purchase", signalSilent, false),
		one(SilentOverGap, "days silent over the customer's own median gap", signalGapRatio, false),
	}
	learned := func(name, about string, columns ...int) {
		if l, ok := fitLogistic(o, fit, columns); ok {
			list = append(list, detector{name, about, true, l.probability})
		}
	}
	if p.Purchases != nil {
		list = append(list, one(Silence, "1 - the share of active customers with such a history who are silent for so long", signalSilence, false))
		if p.Purchases.Identifiable {
			list = append(list, one(Dead, "1 - P(alive)", signalDead, false))
		}
		list = append(list, one(NoPurchase, "the probability of no purchase within the horizon, P0", signalNoPurchase, true))
		learned(ChurnRisk, "the same, recalibrated on the fitting third", signalLogOdds)
	}
	learned(RFM, "logistic regression on silence, repeat purchases and their mean value", signalLnSilent, signalLnRepeats, signalLnValue)
	if p.Purchases != nil {
		learned(NoPurchaseGap, "logistic regression on P0 and silence in own gaps", signalLogOdds, signalLnGapRatio)
		learned(NoPurchaseRFM, "logistic regression on P0, silence, repeat purchases and their mean value",
			signalLogOdds, signalLnSilent, signalLnRepeats, signalLnValue)
		learned(NoPurchaseFull, "the same with silence in own gaps",
			signalLogOdds, signalLnSilent, signalLnRepeats, signalLnValue, signalLnGapRatio)
	}
	return list
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
