package postgres

import (
	"context"
	"iter"
	"time"
)

// Lines of an order come together and in their order, which is how a file tells their numbers again.
const exportLines = `-- name: ExportLines
SELECT c.customer_key, o.order_key, o.line_no, o.ordered_at, coalesce(o.sku, ''), coalesce(o.category, ''), o.quantity, o.net_cents,
  coalesce(o.discount_cents, 0), o.discount_cents IS NOT NULL, o.refund_cents, o.refunded_at, o.cancelled_at
FROM customer_order o JOIN customer c ON c.store_id = o.store_id AND c.customer_id = o.customer_id
WHERE o.store_id = $1 AND c.store_id = $1 ORDER BY o.order_key, o.line_no`

// ExportLines gives all lines of a store, one after another, those of cancelled orders too. The line holds until the next one.
func (tx *Tx) ExportLines(ctx context.Context, storeID int32) iter.Seq2[*ImportLine, error] {
	return func(yield func(*ImportLine, error) bool) {
		rows, err := tx.Query(ctx, exportLines, storeID)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var l ImportLine
			var refunded, cancelled *time.Time
			err := rows.Scan(&l.Customer, &l.OrderKey, &l.Number, &l.OrderedAt, &l.SKU, &l.Category, &l.Quantity, &l.NetCents, &l.DiscountCents, &l.HasDiscount,
				&l.RefundCents, &refunded, &cancelled)
			l.RefundedAt, l.CancelledAt = timeOf(refunded), timeOf(cancelled)
			if !yield(&l, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	}
}

const exportProducts = `-- name: ExportProducts
SELECT sku, category FROM product WHERE store_id = $1 ORDER BY sku`

// ExportProducts gives what is known of a store's articles: SKU and category.
func (tx *Tx) ExportProducts(ctx context.Context, storeID int32) iter.Seq2[[2]string, error] {
	return func(yield func([2]string, error) bool) {
		rows, err := tx.Query(ctx, exportProducts, storeID)
		if err != nil {
			yield([2]string{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var p [2]string
			if err := rows.Scan(&p[0], &p[1]); !yield(p, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield([2]string{}, err)
		}
	}
}
