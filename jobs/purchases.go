package jobs

import (
	"context"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
)

// CustomerHistory is a customer with what it bought.
type CustomerHistory struct {
	CustomerID int64
	engine.PurchaseHistory
}

// Histories sums up the purchases of a store's customers up to and including a day, in one pass over the orders, in the
// order of the customers' numbers. Those who had not bought by then are left out.
func (r *Runner) Histories(ctx context.Context, store *engine.Store, until engine.Date) ([]CustomerHistory, error) {
	builder := feature.NewBuilder(store.Zone, store.Columns)
	var histories []CustomerHistory
	before := (until + 1).In(store.Zone)
	for customer, err := range r.db.Lines(ctx, store.ID, everyone, before) {
		if err != nil {
			return nil, err
		}
		h := engine.HistoryOf(builder.Purchases(customer.Lines, before))
		if h.Purchases > 0 {
			histories = append(histories, CustomerHistory{customer.CustomerID, h})
		}
	}
	return histories, nil
}
