package jobs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Bounds on one call.
const (
	maxOrders     = 1000
	maxOrderLines = 20_000
	maxKeyLength  = 255
	// ordersPatience is how long a call waits while another import of the store goes on.
	ordersPatience = "5s"
	// ordersAtOnce is how many calls one process works on at a time: each holds a connection, be it only to wait.
	ordersAtOnce = 2
)

// ImportOrders merges orders at once and has the customers that they touch scored soon. The same idempotency key gives the
// first answer again within 24 hours. Faults: INVALID where the request breaks a bound or comes with a key that another one
// had, UNAVAILABLE where another import of the store goes on. What is wrong with an order is in its outcome.
func (q *Queue) ImportOrders(ctx context.Context, r OrdersRequest) (*OrdersAnswer, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	hash, err := r.hash()
	if err != nil {
		return nil, err
	}
	once := Once{IdempotencyKey: r.IdempotencyKey, Asked: hash}
	select {
	case q.orders <- struct{}{}:
		defer func() { <-q.orders }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answer := &OrdersAnswer{}
	err = q.db.InTx(ctx, func(tx *postgres.Tx) error {
		var err error
		if r.Store, err = tx.WaitForOrders(ctx, r.Store, ordersPatience); err != nil {
			return err
		}
		if before, err := once.answered(ctx, tx, r.Store.ID, postgres.MutationImportOrders, answer); err != nil || before {
			return err
		}
		if answer, err = q.mergeOrders(ctx, tx, &r); err != nil {
			return err
		}
		return once.keep(ctx, tx, r.Store.ID, postgres.MutationImportOrders, answer)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (r *OrdersRequest) check() error {
	if len(r.Orders) < 1 || len(r.Orders) > maxOrders {
		return engine.Errorf(engine.CodeInvalid, "send 1 to %d orders at a time, not %d", maxOrders, len(r.Orders)).At("input", "orders")
	}
	lines := 0
	for i := range r.Orders {
		lines += len(r.Orders[i].Lines)
	}
	if lines > maxOrderLines {
		return engine.Errorf(engine.CodeInvalid, "send at most %d lines at a time, not %d", maxOrderLines, lines).At("input", "orders")
	}
	return checkKey(r.IdempotencyKey)
}

// checkKey wants an idempotency key that can be stored; empty is none.
func checkKey(key string) error {
	if len(key) > maxKeyLength || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
		return engine.Errorf(engine.CodeInvalid, "an idempotency key has at most %d bytes and no zero byte", maxKeyLength).At("input", "idempotencyKey")
	}
	return nil
}

// hash tells requests apart. What an order does not say is not in it, so that it is the same when a later version of the program knows a further field.
func (r *OrdersRequest) hash() ([]byte, error) {
	text, err := json.Marshal(r.Orders)
	if err != nil {
		return nil, err
	}
	var orders []any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&orders); err != nil {
		return nil, err
	}
	for i := range orders {
		dropUnsaid(orders[i])
	}
	text, err = json.Marshal(orders)
	sum := sha256.Sum256(text)
	return sum[:], err
}

// dropUnsaid takes the fields with zero values out of JSON.
func dropUnsaid(value any) {
	switch value := value.(type) {
	case []any:
		for i := range value {
			dropUnsaid(value[i])
		}
	case map[string]any:
		for name, field := range value {
			switch field {
			case nil, "", false, json.Number("0"), "0001-01-01T00:00:00Z":
				delete(value, name)
			default:
				dropUnsaid(field)
			}
		}
	}
}

func (q *Queue) mergeOrders(ctx context.Context, tx *postgres.Tx, r *OrdersRequest) (*OrdersAnswer, error) {
	readings, currency := q.read(ctx, r.Store, r.Orders)
	counts, err := q.mergeReadings(ctx, tx, r.Store, readings)
	if err == nil {
		err = takeCurrency(ctx, tx, r.Store, currency)
	}
	if err != nil {
		return nil, err
	}
	answer := &OrdersAnswer{Outcomes: make([]OrderOutcome, len(readings)), Counts: readings.report(counts)}
	for i := range readings {
		answer.Outcomes[i] = readings.outcome(i, counts.Orders)
	}
	if counts.Touched > 0 {
		answer.RunID, err = q.rescoreSoon(ctx, tx, r.Store, r.Trigger)
	}
	return answer, err
}

// mergeReadings writes what was read and notes the touched customers, if there is a model to score them under.
func (r *Runner) mergeReadings(ctx context.Context, tx *postgres.Tx, store *engine.Store, readings readings) (postgres.StreamCounts, error) {
	version, err := tx.NewestModelVersion(ctx, store.ID)
	if err != nil {
		return postgres.StreamCounts{}, err
	}
	streamed := readings.lines()
	streamed.Touch, streamed.Day, streamed.Now = version > 0, r.today(store), r.now()
	return tx.MergeStreamed(ctx, store, streamed)
}

// reading is an order as it was read.
type reading struct {
	id        string
	key       string
	records   []ingest.Record
	rejects   []ingest.Reject
	withdrawn *postgres.ImportLine // nil unless an earlier copy of it must go
	superior  int                  // the place of the copy that counts; -1: none does
}

// reason is why it, or the first of its lines, was set aside; empty where nothing was.
func (r *reading) reason() ingest.Reason {
	if len(r.rejects) == 0 {
		return ""
	}
	return r.rejects[0].Reason
}

// readings are orders in the order of a request.
type readings []reading

// read applies the rules for orders. Of several copies of an order the last counts that can be read. It gives the currency that they
// are held to: the store's, or else that of the first good one that states any. Where a store has orders and no currency they are held
// to none, for nobody knows which of its orders' counts.
func (r *Runner) read(ctx context.Context, store *engine.Store, orders []Order) (list readings, currency string) {
	now := r.now()
	options := ingest.Options{Zone: store.Zone, Now: now, Currency: store.Currency, Statuses: store.PurchaseStatuses}
	list = make(readings, len(orders))
	last := map[string]int{}
	for i := range orders {
		o := &orders[i]
		l := &list[i]
		l.id, l.key = o.ID, ingest.OrderKey(strings.TrimSpace(o.ID))
		l.records, l.rejects = o.Records(options)
		if said := strings.ToUpper(strings.TrimSpace(o.Currency)); len(l.records) > 0 && options.Currency == "" && said != "" {
			if store.LastAt.IsZero() {
				options.Currency = said
			} else {
				r.warnOfCurrency(ctx, store, said)
			}
		}
		if ingest.Withdrawn(l.records, l.rejects) {
			known := o.KnownAt
			if known.IsZero() {
				known = store.KnownNow(now)
			}
			l.withdrawn = withdrawal(strings.TrimSpace(o.ID), l.reason(), o.CancelledAt, known)
		}
		if len(l.records) > 0 || l.withdrawn != nil {
			last[l.key] = i
		}
	}
	for i := range list {
		superior, ok := last[list[i].key]
		if list[i].superior = superior; !ok {
			list[i].superior = -1
		}
	}
	return list, options.Currency
}

// lines gives what is to be merged.
func (l readings) lines() postgres.StreamedOrders {
	var s postgres.StreamedOrders
	for i := range l {
		if l[i].superior != i {
			continue
		}
		for j := range l[i].records {
			s.Lines = append(s.Lines, *lineOf(&l[i].records[j]))
			s.Columns |= l[i].records[j].Columns()
		}
		if l[i].withdrawn != nil {
			s.Lines = append(s.Lines, *l[i].withdrawn)
		}
	}
	return s
}

// outcome tells what became of an order: of one with several copies the same for each that can be read.
func (l readings) outcome(i int, changes map[string]postgres.OrderChange) OrderOutcome {
	r := &l[i]
	unreadable := len(r.records) == 0 && r.withdrawn == nil
	if !unreadable && r.superior >= 0 {
		r = &l[r.superior]
	}
	o := OrderOutcome{OrderID: l[i].id, Status: OrderRejected, Reason: string(r.reason())}
	if !unreadable {
		o.Status = cmp.Or(string(changes[r.key]), OrderRejected)
	}
	return o
}

func (l readings) report(c postgres.StreamCounts) ImportReport {
	report := ImportReport{Changed: c.Changed, Problems: map[string]int64{}}
	customers := map[string]bool{}
	for i := range l {
		if l[i].superior == i && len(l[i].records) > 0 {
			report.Orders++
			report.Imported += int64(len(l[i].records))
			customers[l[i].records[0].Customer] = true
		} else {
			report.Superseded += int64(len(l[i].records))
		}
		report.Rows += int64(len(l[i].records) + len(l[i].rejects))
		for _, reject := range l[i].rejects {
			report.Problems[string(reject.Reason)]++
			if reject.Reason == ingest.ReasonGuest {
				report.Guests++
			} else {
				report.Rejected++
			}
		}
	}
	report.Customers = int64(len(customers))
	return report
}

// rescoreSoon sees to it, within the transaction, that the store's touched customers are scored: by the run that waits to
// do so, else by a new one. It gives the run's id.
func (q *Queue) rescoreSoon(ctx context.Context, tx *postgres.Tx, store *engine.Store, trigger engine.RunTrigger) (string, error) {
	for {
		waiting, err := tx.JoinRescore(ctx, store.ID)
		if err != nil {
			return "", err
		}
		if waiting != nil {
			return waiting.ID, nil
		}
		id := newID()
		fresh, err := tx.InsertRun(ctx, postgres.NewRun{ID: id, StoreID: store.ID, Kind: engine.RunRescore, Trigger: trigger, Request: Rescore{Store: store.Key}})
		if err != nil {
			return "", err
		}
		if fresh {
			return id, q.enqueue(ctx, tx, store.ID, id, engine.RunRescore, time.Time{})
		}
	}
}
