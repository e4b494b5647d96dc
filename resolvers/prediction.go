package resolvers

import (
	"context"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

// purchasesShape is the one way in which purchases are read.
type purchasesShape struct{}

// purchasesOf reads all purchases of a customer together with those of others; whatever day a prediction is for, they are
// read once.
func (r *Resolver) purchasesOf(ctx context.Context, c *model.Customer) ([]engine.Purchase, error) {
	l := r.loaders(ctx)
	return ofPage(ctx, l, c, purchasesShape{}, l.purchases, r.purchases)
}

func (r *Resolver) purchases(ctx context.Context, refs []postgres.CustomerRef, _ purchasesShape) (map[postgres.CustomerRef][]engine.Purchase, error) {
	purchases := make(map[postgres.CustomerRef][]engine.Purchase, len(refs))
	for id, customers := range byStore(refs) {
		store, err := r.storeByID(ctx, id)
		if err != nil {
			return nil, err
		}
		builder := engine.NewBuilder(store.Zone, store.Columns)
		for customer, err := range r.DB.LinesOf(ctx, id, customers, store.LastAt.Add(time.Second)) {
			if err != nil {
				return nil, err
			}
			purchases[postgres.CustomerRef{StoreID: id, CustomerID: customer.CustomerID}] = builder.Purchases(customer.Lines)
		}
	}
	return purchases, nil
}

// customerPrediction is that as of the customer's day, by the model that its place is of, else as of the store's now; a
// reason is given in its place where there is none.
func (r *Resolver) customerPrediction(ctx context.Context, c *model.Customer) (*model.Prediction, engine.PredictionReason, error) {
	var m *engine.Model
	var err error
	now := c.AsOf
	if now != nil {
		_, m, err = r.pastPlace(ctx, c)
	} else {
		now = c.Store.Now()
		m, err = r.inForce(ctx, c.Store)
	}
	switch {
	case err != nil:
		return nil, engine.PredictionGiven, err
	case m == nil:
		return nil, engine.PredictionNoModel, nil
	case now == nil:
		return nil, engine.PredictionBeforePurchase, nil
	}
	return r.predict(ctx, c, m, *now)
}

func (r *Resolver) predict(ctx context.Context, c *model.Customer, m *engine.Model, asOf engine.Date) (*model.Prediction, engine.PredictionReason, error) {
	if reason := m.Predictor.Fault(); reason != engine.PredictionGiven {
		return nil, reason, nil
	}
	purchases, err := r.purchasesOf(ctx, c)
	if err != nil {
		return nil, engine.PredictionGiven, err
	}
	p, reason := m.Predictor.Predict(purchases, asOf)
	if p == nil {
		return nil, reason, nil
	}
	return &model.Prediction{Prediction: p, ModelVersion: m.Version}, reason, nil
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
	p, reason, err := r.predict(ctx, s.Customer, m, s.Date)
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
