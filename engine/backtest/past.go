package backtest

import (
	"context"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/risk"
)

// past calibrates a predictor as a re-clustering of the last Sunday does: by the outcomes of the fitting third that were known then.
type past struct {
	plan      *Plan
	orders    *Orders
	model     *engine.Model
	predictor *engine.Predictor
	customers int // of the fitting third
	progress  func(pass, done int)
}

// learn gives the weights of the drift that the calibrated churn risk counts; nil where it counts none.
func (l *past) learn(ctx context.Context) (*risk.Weights, error) {
	tally := risk.NewTally(l.model, l.plan.HorizonDays)
	observer := risk.NewObserver(l.predictor, l.plan.to(), l.customers)
	at, err := l.orders.At([]engine.Date{tally.AsOf(), l.plan.to()})
	if err != nil {
		return nil, err
	}
	builder := feature.NewBuilder(l.orders.Zone, l.orders.Columns)
	err = l.each(ctx, 1, func(c *Customer) {
		tally.Watch(builder, at, c.ID, c.Lines)
		observer.Add(builder, l.orders.Zone, c.ID, c.Lines)
	})
	if err != nil {
		return nil, err
	}
	observer.Calibrate()
	trial := observer.TryDrift(tally)
	if trial == nil {
		return nil, nil
	}
	if at, err = l.orders.At(trial.Days()); err != nil {
		return nil, err
	}
	baseline, err := l.orders.At(risk.BaselineDays(trial.Days(), l.plan.First))
	if err != nil {
		return nil, err
	}
	looker := trial.Looker(l.orders.Zone, at, baseline)
	if err := l.each(ctx, 2, func(c *Customer) { looker.Add(builder.Build, c.ID, c.Lines) }); err != nil {
		return nil, err
	}
	trial.Judge()
	if !l.predictor.CountsDrift() {
		return nil, nil
	}
	return tally.Weights(), nil
}

// each reads the fitting third.
func (l *past) each(ctx context.Context, pass int, look func(*Customer)) error {
	done := 0
	for c, err := range l.orders.Each() {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if done++; done%1000 == 0 {
			l.progress(pass, done)
		}
		if l.plan.third(c.ID, l.orders.Customers) == fitting {
			look(&c)
		}
	}
	return nil
}

// progress tells how far a pass over the customers is.
func (o *Orders) progress(tell func(Progress), stage engine.RunStage) func(pass, done int) {
	return func(pass, done int) { tell(Progress{stage, pass*o.Customers + done, Passes * o.Customers}) }
}
