package resolvers

import (
	"context"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/alarm"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// linesShape is the one way in which lines are read.
type linesShape struct{}

// linesOf reads all lines of a customer together with those of others; whatever days are asked for, they are read once.
func (r *Resolver) linesOf(ctx context.Context, c *model.Customer) ([]engine.Line, error) {
	l := r.loaders(ctx)
	return ofPage(ctx, l, c, linesShape{}, l.lines, r.lines)
}

func (r *Resolver) lines(ctx context.Context, refs []postgres.CustomerRef, _ linesShape) (map[postgres.CustomerRef][]engine.Line, error) {
	found := make(map[postgres.CustomerRef][]engine.Line, len(refs))
	for id, customers := range byStore(refs) {
		for customer, err := range r.DB.LinesOf(ctx, id, customers, postgres.EndOfDates.UTC()) {
			if err != nil {
				return nil, err
			}
			found[postgres.CustomerRef{StoreID: id, CustomerID: customer.CustomerID}] = slices.Clone(customer.Lines)
		}
	}
	return found, nil
}

// customerPrediction is that as of the customer's day, by the model that its place is of, else as of the store's now; a
// reason is given in its place where there is none.
func (r *Resolver) customerPrediction(ctx context.Context, c *model.Customer) (*model.Prediction, engine.PredictionReason, error) {
	var m *engine.Model
	var err error
	var place *postgres.CustomerState
	at, ok := c.Store.Instant(c.Store.Clock)
	if c.AsOf != nil {
		at, ok = c.AsOf.In(c.Store.Zone), true
		place, m, err = r.pastPlace(ctx, c)
	} else {
		m, err = r.inForce(ctx, c.Store)
	}
	switch {
	case err != nil:
		return nil, engine.PredictionGiven, err
	case m == nil:
		return nil, engine.PredictionNoModel, nil
	case !ok:
		return nil, engine.PredictionBeforePurchase, nil
	}
	p, reason, known, err := r.predict(ctx, c, m, at)
	if err != nil || p == nil || known {
		return p, reason, err
	}
	if c.AsOf == nil {
		if place, err = r.stateOf(ctx, c, false); err != nil {
			return nil, engine.PredictionGiven, err
		}
	}
	if place != nil && place.ModelVersion == m.Version && place.ChurnRisk != nil {
		p.ChurnRisk = *place.ChurnRisk // drift is in it
	}
	return p, reason, nil
}

// predict says what was to be expected of a customer at an instant: only what was known by then counts. Where its drift counts and is not
// known, it is left out.
func (r *Resolver) predict(ctx context.Context, c *model.Customer, m *engine.Model, at time.Time) (p *model.Prediction, reason engine.PredictionReason, driftKnown bool, err error) {
	if reason := m.Predictor.Fault(); reason != engine.PredictionGiven {
		return nil, reason, false, nil
	}
	lines, err := r.linesOf(ctx, c)
	if err != nil {
		return nil, engine.PredictionGiven, false, err
	}
	counted, err := r.countedDrift(ctx, c, m, at)
	if err != nil {
		return nil, engine.PredictionGiven, false, err
	}
	purchases := feature.NewBuilder(c.Store.Zone, c.Store.Columns).Purchases(lines, at)
	date := engine.DateOf(at, c.Store.Zone)
	prediction, reason := m.Predictor.Predict(purchases, date, counted.drift)
	if prediction == nil {
		return nil, reason, false, nil
	}
	watched, off := alarm.NewWatcher(m.Predictor, c.Store.FalseAlarmRate).Watches(purchases, date)
	return &model.Prediction{Prediction: prediction, ModelVersion: m.Version, Watched: watched, Off: off}, reason, counted.known, nil
}

// baselineShape asks how far customers of a store are from their own baselines under a version of its model.
type baselineShape struct {
	store   int32
	version int
	at      time.Time
}

// countedDrift is a customer's drift as churn risk counts it, nil where it has none. It is not known while what it rests on is still to be worked
// out by whoever scores customers next.
type countedDrift struct {
	drift *float64
	known bool
}

// countedDrift gives what the churn risk of a model counts of a customer's drift, together with others; nothing where it counts none.
func (r *Resolver) countedDrift(ctx context.Context, c *model.Customer, m *engine.Model, at time.Time) (countedDrift, error) {
	if !m.Predictor.CountsDrift() {
		return countedDrift{known: true}, nil
	}
	l := r.loaders(ctx)
	return ofPage(ctx, l, c, baselineShape{c.Store.Store.ID, m.Version, at.Round(0).UTC()}, l.baselines, r.baselines)
}

// baselines leaves customers of other stores out.
func (r *Resolver) baselines(ctx context.Context, refs []postgres.CustomerRef, q baselineShape) (map[postgres.CustomerRef]countedDrift, error) {
	store, err := r.storeByID(ctx, q.store)
	if err != nil {
		return nil, err
	}
	m, err := r.version(ctx, store, &q.version)
	if err != nil {
		return nil, err
	}
	customers := byStore(refs)[q.store]
	found, known, err := r.Jobs.Drifts(ctx, jobs.DriftRequest{Store: &store.Store, Customers: customers, Model: m, At: q.at})
	all := make(map[postgres.CustomerRef]countedDrift, len(customers))
	for _, id := range customers {
		all[postgres.CustomerRef{StoreID: q.store, CustomerID: id}] = countedDrift{found[id], known}
	}
	return all, err
}

// snapshotPrediction gives the scores that the snapshot was stored with, and the parts that lead to them.
func (r *Resolver) snapshotPrediction(ctx context.Context, s *model.Snapshot) (*model.Prediction, engine.PredictionReason, error) {
	m, err := r.version(ctx, s.Customer.Store, &s.ModelVersion)
	if err != nil {
		return nil, engine.PredictionGiven, err
	}
	if s.ChurnRisk == nil && m.Predictor.Fault() == engine.PredictionGiven {
		return nil, engine.PredictionNotStored, nil
	}
	p, reason, _, err := r.predict(ctx, s.Customer, m, s.Date.In(s.Customer.Store.Zone))
	if p != nil {
		p.ChurnRisk, p.LTVCents = *s.ChurnRisk, s.LTVCents
	}
	return p, reason, err
}

// purchaseModels shows the fits of the model in force.
func (r *Resolver) purchaseModels(ctx context.Context, store *model.Store) ([]*model.PurchaseModel, error) {
	m, err := r.inForce(ctx, store)
	return model.NewPurchaseModels(m), err
}

// calibration shows how churn risk comes from the model in force.
func (r *Resolver) calibration(ctx context.Context, store *model.Store) (*model.Calibration, error) {
	m, err := r.inForce(ctx, store)
	return model.NewCalibration(m), err
}
