package backtest

import (
	"context"
	"math"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/alarm"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/engine/feature"
)

// The alarms of the product by name, each with the false-alarm rate that is set unless told otherwise, and the first of the three.
const (
	AlarmSilence         = "alarm_silence"
	AlarmCUSUM           = "alarm_cusum"
	AlarmShiryaevRoberts = "alarm_shiryaev_roberts"
	AlarmAny             = "alarm_any"
)

// productAlarms are the signals of the product's alarms: 1 on a day on which one is raised, 0 on others, undefined where nobody looks.
var productAlarms = []struct {
	name   string
	kind   engine.AlarmKind
	signal int
	about  string
}{
	{AlarmSilence, engine.AlarmSilence, signalAlarmSilence, "a gap that an active customer would hardly leave"},
	{AlarmCUSUM, engine.AlarmCUSUM, signalAlarmCUSUM, "a cumulative sum of too few purchases in 26 weeks"},
	{AlarmShiryaevRoberts, engine.AlarmShiryaevRoberts, signalAlarmShiryaevRoberts, "the Shiryaev-Roberts statistic of too few purchases in 26 weeks"},
}

// ofProduct are the product's alarms as detectors.
func ofProduct(p *engine.Predictor) []detector {
	if p.Alarms == nil {
		return nil
	}
	var list []detector
	for _, a := range productAlarms {
		d := one(a.name, "the product's alarm, by its own threshold: "+a.about, a.signal, false)
		d.raises = true
		list = append(list, d)
	}
	return append(list, detector{name: AlarmAny, about: "the first of the product's alarms", raises: true, score: func(o *observations, i int) float64 {
		any := math.NaN()
		for _, a := range productAlarms {
			if s := o.signal(i, a.signal); math.IsNaN(any) || s > any {
				any = s
			}
		}
		return any
	}})
}

// watch fills in which alarms the product raises about a customer with these lines.
func (o *observer) watch(v *view, lines []engine.Line) {
	if o.watcher == nil || v.history.Purchases < 2 {
		return
	}
	seen := o.watcher.Look(o.truth.Purchases(lines, v.date.In(o.zone)), v.date)
	for _, a := range productAlarms {
		for _, kind := range seen.Watched {
			if kind == a.kind {
				v.signals[a.signal] = 0
			}
		}
		for i := range seen.Alarms {
			if seen.Alarms[i].Kind == a.kind {
				v.signals[a.signal] = 1
			}
		}
	}
}

// setAlarms gives a predictor what alarms of a model of the last day come from, by the fitting third.
func (f *fittingThird) setAlarms(ctx context.Context, p *Plan, predictor *engine.Predictor) (err error) {
	day := alarm.ReferenceDay(p.to())
	var references []btyd.Reference
	for _, h := range f.before {
		if ref, watched := alarm.Reference(predictor, h, day); watched {
			references = append(references, ref)
		}
	}
	predictor.Alarms, err = alarm.Simulate(ctx, predictor, references)
	return err
}

// historyBefore is what was known of a customer on the day on which alarms of a model of the last day take it up.
func historyBefore(b *feature.Builder, p *Plan, orders *Orders, lines []engine.Line) engine.PurchaseHistory {
	return engine.HistoryOf(b.Purchases(lines, alarm.ReferenceDay(p.to()).In(orders.Zone)))
}
