package jobs

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Source is a file of orders.
type Source struct {
	Name string // without folders; "-" for standard input
	Open func() (io.ReadCloser, error)
}

// progressRows is after how many rows an import tells how far it is.
const progressRows = 10_000

// Import merges files into a store's orders, each in a transaction and a run of its own, and adds up the counts. The
// first file that is refused ends it; the files before it stay imported. Touched customers are scored soon, as after
// ImportOrders, by whichever process has workers.
func (q *Queue) Import(ctx context.Context, store *engine.Store, sources []Source, o ingest.Options, reject func(source string, row ingest.Reject) error, progress func(rows int64)) (ImportReport, error) {
	var total ImportReport
	for _, source := range sources {
		report, err := q.importOne(ctx, store, source, o, reject, progress)
		if err != nil {
			return total, err
		}
		total.add(report)
	}
	return total, nil
}

func (t *ImportReport) add(r ImportReport) {
	t.Format = r.Format
	t.Currency = cmp.Or(r.Currency, t.Currency)
	t.Rows += r.Rows
	t.Imported += r.Imported
	t.Changed += r.Changed
	t.Guests += r.Guests
	t.Rejected += r.Rejected
	t.Orders += r.Orders
	t.Customers += r.Customers
	t.Touched += r.Touched
	t.RescoreRun = cmp.Or(r.RescoreRun, t.RescoreRun)
	if t.Problems == nil {
		t.Problems = map[string]int64{}
	}
	for reason, rows := range r.Problems {
		t.Problems[reason] += rows
	}
}

func (q *Queue) importOne(ctx context.Context, store *engine.Store, source Source, o ingest.Options, reject func(string, ingest.Reject) error, progress func(int64)) (ImportReport, error) {
	run := &engine.Run{ID: uuid.NewString(), StoreID: store.ID, Kind: engine.RunImport}
	err := q.db.InTx(ctx, func(tx *postgres.Tx) error {
		_, err := tx.InsertRun(ctx, postgres.NewRun{
			ID: run.ID, StoreID: store.ID, Kind: engine.RunImport, Trigger: engine.TriggerCLI, Request: Import{Store: store.Key, Source: source.Name},
		})
		return err
	})
	if err != nil {
		return ImportReport{}, err
	}
	hold, err := q.begin(ctx, run)
	if err != nil {
		return ImportReport{}, err
	}
	defer hold.Release()
	report, err := q.merge(ctx, store, source, o, reject, progress)
	if err != nil {
		return report, q.finish(ctx, run, err)
	}
	return report, q.db.InTx(ctx, func(tx *postgres.Tx) error {
		return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", report, report.Changed)
	})
}

func (q *Queue) merge(ctx context.Context, store *engine.Store, source Source, o ingest.Options, reject func(string, ingest.Reject) error, progress func(int64)) (ImportReport, error) {
	in, err := source.Open()
	if err != nil {
		return ImportReport{}, engine.Errorf(engine.CodeNotFound, "%q cannot be opened: %s", source.Name, plain(err))
	}
	defer in.Close()
	o.Zone, o.KeyZone, o.Now, o.Statuses = store.Zone, store.KeyZone, q.now(), store.PurchaseStatuses
	var summary ingest.Summary
	var seen int64
	var report ImportReport
	fill := func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		var err error
		summary, err = ingest.Read(ctx, in, o, func(record ingest.Record) error {
			if seen++; progress != nil && seen%progressRows == 0 {
				progress(seen)
			}
			return yield(lineOf(&record))
		}, func(row ingest.Reject) error {
			if row.Reason.Withdraws() && row.OrderID != "" {
				if err := yield(withdrawal(row.OrderID, row.Reason, row.CancelledAt, store.KnownNow(o.Now))); err != nil {
					return err
				}
			}
			if reject == nil {
				return nil
			}
			return reject(source.Name, row)
		})
		return summary.Columns, err
	}
	err = q.db.InTx(ctx, func(tx *postgres.Tx) error {
		store, err := tx.LockOrders(ctx, store)
		if err != nil {
			return err
		}
		if o.Currency, err = currencyOf(store, o.Currency); err != nil {
			return err
		}
		imported, err := tx.ImportLines(ctx, store, o.Now, fill)
		report.Changed = imported.Changed
		if err != nil {
			return err
		}
		if err := tx.WriteProducts(ctx, store.ID, o.Products); err != nil {
			return err
		}
		if err := takeCurrency(ctx, tx, store, cmp.Or(o.Currency, summary.Currency)); err != nil {
			return err
		}
		return q.touchImported(ctx, tx, store, imported, &report)
	})
	report.Format, report.Rows, report.Imported, report.Guests, report.Rejected = summary.Format, summary.Rows, summary.Imported, summary.Guests, summary.Rejected
	report.Currency = summary.Currency
	report.Orders, report.Customers, report.Problems = summary.Orders, summary.Customers, map[string]int64{}
	for reason, rows := range summary.Problems {
		report.Problems[string(reason)] = rows
	}
	if err != nil && engine.CodeOf(err) == engine.CodeInternal {
		err = fmt.Errorf("importing %s: %w", source.Name, err)
	}
	return report, err
}

// touchImported has the customers scored that an import touched, if there is a model to score them under.
func (q *Queue) touchImported(ctx context.Context, tx *postgres.Tx, store *engine.Store, in postgres.Imported, report *ImportReport) error {
	version, err := tx.NewestModelVersion(ctx, store.ID)
	if err != nil || version == 0 {
		return err
	}
	if report.Touched, err = tx.TouchImported(ctx, store, in, q.today(store)); err != nil || report.Touched == 0 {
		return err
	}
	report.RescoreRun, err = q.rescoreSoon(ctx, tx, store, engine.TriggerCLI)
	return err
}

// today is the day of the store's present.
func (r *Runner) today(store *engine.Store) engine.Date {
	now, ok := store.Instant(r.now())
	if !ok {
		now = r.now()
	}
	return engine.DateOf(now, store.Zone)
}

func lineOf(r *ingest.Record) *postgres.ImportLine {
	return &postgres.ImportLine{Customer: r.Customer, HasDiscount: r.HasDiscount, Line: engine.Line{
		OrderKey: r.OrderKey, Number: r.LineNo, OrderedAt: r.OrderedAt, SKU: r.SKU, Category: r.Category, Quantity: r.Quantity,
		NetCents: r.NetCents, DiscountCents: r.DiscountCents, RefundCents: r.RefundCents, RefundedAt: r.RefundedAt,
	}}
}

// withdrawal takes an order back that was stored before: from the time of its cancellation on, where that is not told from
// when it became known. A test never was an order.
func withdrawal(orderID string, reason ingest.Reason, cancelled, known time.Time) *postgres.ImportLine {
	if cancelled.IsZero() {
		cancelled = known
	}
	if reason == ingest.ReasonTest {
		cancelled = time.Time{}
	}
	return &postgres.ImportLine{Withdrawn: true, Line: engine.Line{OrderKey: ingest.OrderKey(orderID), CancelledAt: cancelled.Truncate(time.Microsecond)}}
}

// plain gives a system fault without the path that the caller knows already.
func plain(err error) string {
	type unwrapper interface{ Unwrap() error }
	if u, ok := err.(unwrapper); ok {
		if inner := u.Unwrap(); inner != nil {
			return inner.Error()
		}
	}
	return err.Error()
}
