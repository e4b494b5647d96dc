package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
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
	t.Format, t.Dates, t.Numbers = r.Format, r.Dates, r.Numbers
	t.Currency = cmp.Or(r.Currency, t.Currency)
	t.Rows += r.Rows
	t.Imported += r.Imported
	t.Changed += r.Changed
	t.Guests += r.Guests
	t.Rejected += r.Rejected
	t.Superseded += r.Superseded
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

// importOne is an import of a file. The run comes to its end in the transaction that merges the orders: if it ended otherwise before,
// nothing is merged, and whoever dies leaves neither.
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
	at, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	file := &importFile{store: store, source: source, reject: reject, progress: progress}
	watched := q.watch(at, run.ID, func() { stop(postgres.ErrRunOver) }, func(*engine.Run) { q.tell(at, run.ID, file) })
	report, err := q.merge(at, run, file, o)
	if err != nil && errors.Is(context.Cause(at), postgres.ErrRunOver) {
		err = postgres.ErrRunOver // whatever the work says of being stopped
	}
	stop(nil)
	<-watched
	return report, q.imported(ctx, run, err)
}

// imported brings a run to its end whose work gave an error. A connection can be lost while it commits: what the run says then is
// what became of the orders.
func (q *Queue) imported(ctx context.Context, run *engine.Run, err error) error {
	if err == nil {
		return nil
	}
	err = q.finish(ctx, run, err)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	found, readErr := q.db.Run(stop, run.ID)
	switch {
	case readErr != nil:
		return err
	case found.State == engine.RunSucceeded:
		return nil
	case errors.Is(err, postgres.ErrRunOver) && found.State == engine.RunFailed:
		return engine.Errorf(engine.CodeConflict, "the import was given up, and nothing of it is kept: %s", found.Failure)
	default:
		return err
	}
}

// importParts is of how many parts an import is made up: the first half is the file that is read, the second the merging.
const importParts = 1000

// importFile is a file on its way in.
type importFile struct {
	store    *engine.Store
	source   Source
	reject   func(source string, row ingest.Reject) error
	progress func(rows int64)

	summary ingest.Summary
	rows    int64
	size    atomic.Int64 // of the file in bytes, as it lies there; 0: not known
	read    atomic.Int64 // of these
	merging atomic.Bool
	told    importStep // of the watch alone
}

// importStep is how far an import is; a total of 0 is not known.
type importStep struct {
	stage       engine.RunStage
	done, total int
}

// step tells how far it is.
func (f *importFile) step() importStep {
	if f.merging.Load() {
		return importStep{engine.StageWriting, importParts / 2, importParts}
	}
	if size := f.size.Load(); size > 0 {
		return importStep{engine.StageReading, int(importParts / 2 * min(f.read.Load(), size) / size), importParts}
	}
	return importStep{stage: engine.StageReading}
}

// sized is met by a reader that knows how far it is in its file.
type sized interface {
	Progress() (read, size int64)
}

// tell writes how far an import is, where it moved.
func (q *Queue) tell(ctx context.Context, runID string, f *importFile) {
	step := f.step()
	if step == f.told {
		return
	}
	// What it cannot tell now it tells later, and of a run that is over it is not heard.
	if err := q.db.ProgressRun(ctx, runID, step.stage, "", step.done, step.total); err == nil {
		f.told = step
	}
}

// measured notes how far the file is read.
type measured struct {
	io.Reader
	file *importFile
	at   sized
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	read, size := m.at.Progress()
	m.file.read.Store(read)
	m.file.size.Store(size)
	return n, err
}

// FileOptions completes the options of a file by what is set for its store. Fault: CONFLICT where they say another currency.
func FileOptions(o ingest.Options, store *engine.Store, now time.Time) (_ ingest.Options, err error) {
	o.Zone, o.KeyZone, o.Now, o.Statuses = store.Zone, store.KeyZone, now, store.PurchaseStatuses
	o.Currency, err = currencyOf(store, o.Currency)
	return o, err
}

// merge reads a file into the store's orders, and ends the run in the same transaction. Fault: ErrRunOver, and nothing is merged.
func (q *Queue) merge(ctx context.Context, run *engine.Run, f *importFile, o ingest.Options) (ImportReport, error) {
	opened, err := f.source.Open()
	if err != nil {
		return ImportReport{}, engine.Errorf(engine.CodeNotFound, "%q cannot be opened: %s", f.source.Name, plain(err))
	}
	defer opened.Close()
	in := io.Reader(opened)
	if at, ok := opened.(sized); ok {
		in = &measured{Reader: opened, file: f, at: at}
	}
	if o, err = FileOptions(o, f.store, q.now()); err != nil {
		return ImportReport{}, err
	}
	var report ImportReport
	err = q.db.InTx(ctx, func(tx *postgres.Tx) error {
		store, err := tx.LockOrders(ctx, f.store)
		if err != nil {
			return err
		}
		if o.Currency, err = currencyOf(store, o.Currency); err != nil {
			return err
		}
		imported, err := tx.ImportLines(ctx, store, o.Now, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
			defer f.merging.Store(true)
			return f.fill(ctx, in, o, yield)
		})
		report.Changed = imported.Changed
		f.count(&report)
		if err != nil {
			return err
		}
		if err := tx.WriteProducts(ctx, store.ID, o.Products); err != nil {
			return err
		}
		if err := takeCurrency(ctx, tx, store, cmp.Or(o.Currency, f.summary.Currency)); err != nil {
			return err
		}
		if err := q.touchImported(ctx, tx, store, imported, &report); err != nil {
			return err
		}
		return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", report, report.Changed)
	})
	if err != nil && engine.CodeOf(err) == engine.CodeInternal && !errors.Is(err, postgres.ErrRunOver) {
		err = fmt.Errorf("importing %s: %w", f.source.Name, err)
	}
	return report, err
}

// fill hands the file's lines to an import.
func (f *importFile) fill(ctx context.Context, in io.Reader, o ingest.Options, yield func(*postgres.ImportLine) error) (engine.Columns, error) {
	var err error
	f.summary, err = ingest.Read(ctx, in, o, func(record ingest.Record) error {
		if f.rows++; f.progress != nil && f.rows%progressRows == 0 {
			f.progress(f.rows)
		}
		return yield(lineOf(&record))
	}, func(row ingest.Reject) error {
		if row.Reason.Withdraws() && row.OrderID != "" {
			if err := yield(withdrawal(row.OrderID, row.Reason, row.CancelledAt, f.store.KnownNow(o.Now))); err != nil {
				return err
			}
		}
		if f.reject == nil {
			return nil
		}
		return f.reject(f.source.Name, row)
	})
	return f.summary.Columns, err
}

// count puts into a report what the file held.
func (f *importFile) count(report *ImportReport) {
	s := &f.summary
	report.Format, report.Rows, report.Imported, report.Guests, report.Rejected = s.Format, s.Rows, s.Imported, s.Guests, s.Rejected
	report.Superseded, report.Dates, report.Numbers = s.Superseded, s.Dates, s.Numbers
	report.Currency, report.Orders, report.Customers, report.Problems = s.Currency, s.Orders, s.Customers, map[string]int64{}
	for reason, rows := range s.Problems {
		report.Problems[string(reason)] = rows
	}
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
		CancelledAt: r.CancelledAt,
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
