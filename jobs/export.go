package jobs

import (
	"context"
	"io"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Exported counts what an export wrote.
type Exported struct {
	Lines    int64 `json:"lines"`
	Products int64 `json:"products"`
}

// ExportOrders writes the orders of a store as they are at one moment, as a file of the normalised format from which an import makes the
// same lines again. products, which may be nil, gets what is known of articles. One line is held at a time.
func (r *Runner) ExportOrders(ctx context.Context, store *engine.Store, orders, products io.Writer) (Exported, error) {
	var written Exported
	err := r.db.InSnapshot(ctx, func(tx *postgres.Tx) error {
		returns := store.Columns.Has(engine.ColumnReturns)
		err := ingest.WriteNormalised(orders, store.Currency, func(yield func(ingest.Record, error) bool) {
			for line, err := range tx.ExportLines(ctx, store.ID) {
				if err != nil {
					yield(ingest.Record{}, err)
					return
				}
				written.Lines++
				record := recordOf(line)
				record.Store, record.KnowsReturns = store.Key, returns || record.RefundCents > 0 || record.Quantity < 0
				if !yield(record, nil) {
					return
				}
			}
		})
		if err != nil || products == nil {
			return err
		}
		return ingest.WriteProducts(products, func(yield func([2]string, error) bool) {
			for product, err := range tx.ExportProducts(ctx, store.ID) {
				written.Products++
				if !yield(product, err) {
					return
				}
			}
		})
	})
	return written, err
}

// recordOf is the inverse of lineOf.
func recordOf(l *postgres.ImportLine) ingest.Record {
	return ingest.Record{
		Customer: l.Customer, OrderID: ingest.OrderIDOf(l.OrderKey), OrderKey: l.OrderKey, LineNo: l.Number, OrderedAt: l.OrderedAt, SKU: l.SKU, Category: l.Category,
		Quantity: l.Quantity, NetCents: l.NetCents, DiscountCents: l.DiscountCents, HasDiscount: l.HasDiscount, RefundCents: l.RefundCents, RefundedAt: l.RefundedAt,
		CancelledAt: l.CancelledAt,
	}
}
