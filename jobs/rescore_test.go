package jobs_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// provisional reads a store's provisional drift events by number.
func (s *stream) provisional(t *testing.T, store *engine.Store) []*postgres.ListedEvent {
	t.Helper()
	q := postgres.DriftQuery{Provisional: true, From: day(t, "2000-01-01"), To: day(t, "2100-01-01"), Window: postgres.Window{Limit: 1000}}
	events, err := s.db.DriftBetween(t.Context(), []int32{store.ID}, 0, 1<<62, q)
	check(t, err)
	return slices.DeleteFunc(events, func(e *postgres.ListedEvent) bool { return !e.Provisional })
}

// spree are orders that change how a customer looks.
func spree(customer string, n int) (orders []jobs.Order) {
	for i := range n {
		o := order(fmt.Sprint("spree ", customer, i), customer, i)
		o.Lines[0].UnitPrice, o.Lines[0].Quantity, o.Lines[0].SKU = "400", 20, fmt.Sprint("s", i)
		orders = append(orders, o)
	}
	return orders
}

// queueAt works by another clock.
func (s *stream) queueAt(t *testing.T, at time.Time) *jobs.Queue {
	t.Helper()
	q, err := jobs.NewQueue(s.db, jobs.DefaultSettings(), slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), func() time.Time { return at })
	check(t, err)
	return q
}

// snapshot takes the daily snapshot of a whole store.
func (s *stream) snapshot(t *testing.T, q *jobs.Queue, store *engine.Store, text string) *engine.Run {
	t.Helper()
	date := day(t, text)
	run, err := q.SnapshotStore(t.Context(), jobs.SnapshotRequest{Store: s.again(t, t, store), Type: engine.Daily, Date: &date, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, q.Work(t.Context(), run, nil))
	run, err = s.db.Run(t.Context(), run.ID)
	check(t, err)
	return run
}

// TestProvisionalDrift follows a customer from one snapshot, by orders in between, to the next.
func TestProvisionalDrift(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newStore(t, t)
	s.send(t, t, store, order("1", "ann", 60), order("2", "ann", 30), order("3", "bob", 40))
	s.settle(t, t, store)
	s.snapshot(t, s.score, store, "2026-11-21")

	heard := make(chan string, 10)
	listening := make(chan struct{})
	listenCtx, stop := context.WithCancel(ctx)
	t.Cleanup(stop)
	go func() {
		_ = s.db.Listen(listenCtx, []string{postgres.DriftChannel}, func() { close(listening) }, func(_, payload string) { heard <- payload })
	}()
	<-listening
	answer := s.send(t, t, store, spree("ann", 3)...)
	run := s.settle(t, t, store)
	if run == nil || run.ID != answer.RunID || run.Rows != 1 || run.Events == 0 || run.Trigger != engine.TriggerMutation {
		t.Fatalf("the run %+v scored the customers of the answer's %s", run, answer.RunID)
	}
	if store := <-heard; store != fmt.Sprint(s.stores) {
		t.Errorf("heard of store %s", store)
	}
	found := s.provisional(t, store)
	if int64(len(found)) != run.Events {
		t.Errorf("%d events, the run says %d", len(found), run.Events)
	}
	for _, e := range found {
		if !e.ByOrder || e.Customer.Key != "ann" || e.Type != engine.Daily || e.From != day(t, "2026-11-21") || e.To != day(t, "2026-11-22") || e.Score < 0.1 {
			t.Errorf("event %+v", e)
		}
	}
	feed, err := s.db.DriftFeed(ctx, []int32{store.ID}, postgres.DriftQuery{From: day(t, "2000-01-01"), To: day(t, "2100-01-01"), Window: postgres.Window{Limit: 100}})
	check(t, err)
	if len(feed) > 0 {
		t.Errorf("the feed shows %d provisional events", len(feed))
	}

	// A snapshot of the day's begin does not know the orders of the day: nothing goes back.
	before := s.states(t, t, store)
	s.snapshot(t, s.score, store, "2026-11-22")
	if after := s.states(t, t, store); len(after) != len(before) || len(s.provisional(t, store)) != len(found) {
		t.Errorf("a snapshot of the day's begin took states or provisional events away: %d of %d, %d of %d", len(after), len(before), len(s.provisional(t, store)), len(found))
	}
	// Further orders replace what was provisional.
	s.send(t, t, store, order("4", "ann", 0))
	s.settle(t, t, store)
	renewed := s.provisional(t, store)
	if len(renewed) == 0 || renewed[0].ID <= found[len(found)-1].ID {
		t.Errorf("after a further order the events are %+v", renewed)
	}
	// The next day's snapshot knows them.
	tomorrow := s.queueAt(t, clock().AddDate(0, 0, 1))
	run = s.snapshot(t, tomorrow, store, "2026-11-23")
	if left := s.provisional(t, store); len(left) > 0 {
		t.Errorf("after the snapshot there are %d provisional events", len(left))
	}
	if left := s.states(t, t, store); len(left) > 0 || run.Events == 0 {
		t.Errorf("%d states are still of yesterday; the snapshot found %d events", len(left), run.Events)
	}
}

// TestRescoreUnderANewModel compares with a snapshot of an older model by its features.
func TestRescoreUnderANewModel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newStore(t, t)
	s.send(t, t, store, order("1", "ann", 60), order("2", "ann", 30))
	s.settle(t, t, store)
	s.snapshot(t, s.score, store, "2026-11-21")
	m, err := shopModel()
	check(t, err)
	second := *m
	second.Version = 2
	check(t, s.db.InTx(ctx, func(tx *postgres.Tx) error { return tx.InsertModel(ctx, store.ID, uuid.NewString(), &second) }))
	s.send(t, t, store, spree("ann", 3)...)
	s.settle(t, t, store)
	found := s.provisional(t, store)
	if len(found) == 0 {
		t.Error("no drift since the snapshot under the older model")
	}
	for _, e := range found {
		if e.ModelVersion != 2 {
			t.Errorf("event %+v", e)
		}
	}
}

// TestLastOrderCancelled leaves no state of a customer who has bought nothing after all.
func TestLastOrderCancelled(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	store := s.newStore(t, t)
	s.send(t, t, store, order("1", "ann", 60), order("2", "bob", 30))
	s.settle(t, t, store)
	if got := s.states(t, t, store); got["ann"] == nil || got["bob"] == nil {
		t.Fatalf("states %v", got)
	}
	answer := s.send(t, t, store, changed(order("1", "ann", 60), func(o *jobs.Order) { o.CancelledAt = told().AddDate(0, 0, -2) }))
	s.settle(t, t, store)
	if got := s.states(t, t, store); got["ann"] != nil || got["bob"] == nil || answer.RunID == "" {
		t.Errorf("states %v", got)
	}
}

// TestReclusterWithinADay keeps what customers did since the day's begin: the model does not know it, their states do.
func TestReclusterWithinADay(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	store := s.newStore(t, t)
	s.send(t, t, store, order("1", "ann", 60), order("2", "ann", 30), order("3", "new", 0))
	s.settle(t, t, store)
	recluster(t, s.score, s.again(t, t, store))
	var rows int
	check(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM customer_state JOIN customer USING (store_id, customer_id)
WHERE model_id = 2 AND rescored_at = $1 AND customer_key IN ('ann', 'new')`, clock()).Scan(&rows))
	if rows != 2 {
		t.Errorf("%d of 2 customers are scored under the new model as of now", rows)
	}
}

// receive has the events of some orders kept.
func (s *stream) receive(t *testing.T, store *engine.Store, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		o := order(fmt.Sprint("#", i), "ann", 3)
		receipt, err := s.arrive.ReceiveShopify(t.Context(), jobs.ShopEvent{
			StoreKey: store.Key, Topic: "orders/create", Delivery: fmt.Sprint(i), Body: []byte(shopifyJSON(i, &o, told(), nil)),
		})
		check(t, err)
		if receipt != jobs.EventAccepted {
			t.Errorf("event %d: %s", i, receipt)
		}
	}
}

func (s *stream) open(t *testing.T, store *engine.Store) (open []*engine.Run) {
	t.Helper()
	check(t, s.db.InTx(t.Context(), func(tx *postgres.Tx) (err error) {
		open, err = tx.OpenRuns(t.Context(), store.ID, engine.RunRescore)
		return err
	}))
	return open
}

// TestEventsGather holds that what comes while a run waits joins it, also while another one works or a file is imported.
func TestEventsGather(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newStore(t, t)
	s.receive(t, store, 1, 6)
	open := s.open(t, store)
	if len(open) != 1 || open[0].Trigger != engine.TriggerWebhook {
		t.Fatalf("5 events made the runs %+v", open)
	}
	// The first run begins in a process that takes its time.
	first := open[0].ID
	hold, err := s.db.TryHold(ctx, "run:"+first)
	check(t, err)
	check(t, s.db.StartRun(ctx, first))
	s.receive(t, store, 6, 9)
	open = s.open(t, store)
	if len(open) != 2 || open[1].State != engine.RunQueued {
		t.Fatalf("after 8 events the runs are %+v", open)
	}
	second := open[1].ID

	importing := make(chan struct{})
	imported := make(chan error, 1)
	locked := make(chan struct{})
	go func() {
		imported <- s.db.InTx(ctx, func(tx *postgres.Tx) error {
			if _, err := tx.LockOrders(ctx, store); err != nil {
				return err
			}
			close(locked)
			<-importing
			return nil
		})
	}()
	<-locked
	service, err := jobs.NewService(s.score)
	check(t, err)
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- service.Run(serving) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
	s.snoozed(t, 2)
	s.receive(t, store, 9, 10)
	if open = s.open(t, store); len(open) != 2 || open[1].ID != second || open[1].State != engine.RunQueued {
		t.Errorf("while an import goes on the runs are %+v", open)
	}
	close(importing)
	check(t, <-imported)
	s.snoozed(t, 1)
	if open = s.open(t, store); len(open) != 2 || open[1].State != engine.RunQueued {
		t.Errorf("while the first run works the runs are %+v", open)
	}
	hold.Release() // its process dies: whichever run goes on first does the work of both
	if rows := wait(t, s.db, first).Rows + wait(t, s.db, second).Rows; rows != 1 {
		t.Errorf("the two runs scored %d customers, want 1", rows)
	}
	if orders := s.orders(t, store); orders != 9+1 {
		t.Errorf("%d orders are stored, want 9 and the anchor", orders)
	}
}

func (s *stream) orders(t *testing.T, store *engine.Store) (n int) {
	t.Helper()
	check(t, s.pool.QueryRow(t.Context(), "SELECT count(DISTINCT order_key) FROM customer_order WHERE store_id = $1 AND cancelled_at IS NULL", store.ID).Scan(&n))
	return n
}

// snoozed waits until jobs have been put off so often more.
func (s *stream) snoozed(t *testing.T, times int) {
	t.Helper()
	count := func() (n int) {
		check(t, s.pool.QueryRow(t.Context(), "SELECT coalesce(sum((metadata->>'snoozes')::int), 0) FROM river_job").Scan(&n))
		return n
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for before := count(); count() < before+times; {
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatal("no job was put off")
		}
	}
}

// TestReceipts tells what became of a shop's message.
func TestReceipts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newStore(t, t)
	o := order("#1", "ann", 3)
	good := jobs.ShopEvent{StoreKey: store.Key, Topic: "orders/create", Delivery: "1", Body: []byte(shopifyJSON(1, &o, told(), nil))}
	for _, step := range []struct {
		name   string
		change func(*jobs.ShopEvent)
		want   jobs.EventOutcome
		fault  engine.Code
	}{
		{"new", func(*jobs.ShopEvent) {}, jobs.EventAccepted, ""},
		{"again", func(*jobs.ShopEvent) {}, jobs.EventRepeated, ""},
		{"again by another name", func(e *jobs.ShopEvent) { e.Delivery = "2" }, jobs.EventAccepted, ""},
		{"of no order", func(e *jobs.ShopEvent) { e.Topic = "products/update" }, jobs.EventIgnored, ""},
		{"without a name", func(e *jobs.ShopEvent) { e.Delivery = "" }, "", engine.CodeInvalid},
		{"with a broken name", func(e *jobs.ShopEvent) { e.Delivery = "\xff" }, "", engine.CodeInvalid},
		{"no JSON", func(e *jobs.ShopEvent) { e.Body = []byte("<order>") }, "", engine.CodeInvalid},
		{"an order as a refund", func(e *jobs.ShopEvent) { e.Topic = "refunds/create" }, "", engine.CodeInvalid},
		{"an unknown store", func(e *jobs.ShopEvent) { e.StoreKey = "nowhere" }, "", engine.CodeNotFound},
	} {
		e := good
		step.change(&e)
		receipt, err := s.arrive.ReceiveShopify(ctx, e)
		if step.fault != "" {
			if err == nil || engine.CodeOf(err) != step.fault {
				t.Errorf("%s: %v, want %s", step.name, err, step.fault)
			}
		} else if err != nil || receipt != step.want {
			t.Errorf("%s: %s (%v), want %s", step.name, receipt, err, step.want)
		}
	}
	run := s.settle(t, t, store)
	if run.Rows != 1 || s.orders(t, store) != 2 {
		t.Errorf("the run %+v, %d orders", run, s.orders(t, store))
	}
}

// TestOddEvents end as rows set aside with a reason, and never hold up those after them.
func TestOddEvents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newStore(t, t)
	good := order("#1", "ann", 3)
	for i, change := range []func(*jobs.Order){
		func(o *jobs.Order) { o.Customer = "" },
		func(o *jobs.Order) { o.Customer = "a\x00b" },
		func(o *jobs.Order) { o.ID = "#\x00" },
		func(o *jobs.Order) { o.Lines[0].SKU = "a\x00b" },
		func(o *jobs.Order) { o.OrderedAt = clock().AddDate(5, 0, 0) },
		func(o *jobs.Order) { o.Lines[0].UnitPrice = "much" },
		func(o *jobs.Order) { o.Lines = nil },
		func(o *jobs.Order) {},
	} {
		o := changed(good, change)
		_, err := s.arrive.ReceiveShopify(ctx, jobs.ShopEvent{
			StoreKey: store.Key, Topic: "orders/updated", Delivery: fmt.Sprint(i), Body: []byte(shopifyJSON(i+1, &o, told(), nil)),
		})
		check(t, err)
	}
	run := s.settle(t, t, store)
	if run.Rows != 1 || s.orders(t, store) != 2 {
		t.Errorf("%d customers scored, %d orders", run.Rows, s.orders(t, store))
	}
	const want = `{"counts": {"rows": 8, "format": "", "guests": 1, "orders": 1, "changed": 1, "imported": 1, "problems": {"GUEST": 1, "NO_LINES": 1, "IMPOSSIBLE": 1, "UNREADABLE": 4}, "rejected": 6, "customers": 1}}`
	if string(run.Report) != want {
		t.Errorf("the report is\n%s, want\n%s", run.Report, want)
	}
}

// TestEraseWhatAShopSaid leaves nothing of a customer in a shop's messages, taken in or not; the export has them.
func TestEraseWhatAShopSaid(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newStore(t, t)
	const name = "erased@example.com"
	tell := func(number int, customer string) {
		t.Helper()
		o := order(fmt.Sprint("#", number), customer, 3)
		_, err := s.arrive.ReceiveShopify(ctx, jobs.ShopEvent{StoreKey: store.Key, Topic: "orders/create", Delivery: fmt.Sprint(number), Body: []byte(shopifyJSON(number, &o, told(), nil))})
		check(t, err)
	}
	tell(1, " Erased@Example.com")
	tell(2, "kept")
	s.settle(t, t, store)
	tell(3, name)
	customer := find(t, s.score, s.again(t, t, store), name)
	document, err := s.score.ExportCustomer(ctx, store, customer.ID)
	check(t, err)
	if len(document.ShopOrders) != 2 || document.Standing == nil || !document.Standing.At.Equal(clock()) {
		t.Errorf("the export has %d orders of the shop, standing %+v", len(document.ShopOrders), document.Standing)
	}
	receipt, err := s.score.EraseCustomer(ctx, s.again(t, t, store), customer.ID)
	check(t, err)
	if receipt.Removed["shop_order"] != 1 || receipt.Removed["shop_event"] != 1 {
		t.Errorf("the receipt is %+v", receipt)
	}
	s.settle(t, t, store)
	if found := traces(t, s.pool, name); found != nil {
		t.Errorf("the customer is found in %v", found)
	}
	if found := traces(t, s.pool, "kept"); len(found) == 0 {
		t.Error("the other customer is gone too")
	}
}

// TestFilesAreScored holds that orders that come in a file leave customers where orders that come by themselves do, that the
// run which waits is joined, and that nobody is scored where nothing changed or there is no model.
func TestFilesAreScored(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	files, calls := s.newStore(t, t), s.newStore(t, t)
	orders := []jobs.Order{order("1", "ann", 60), order("2", "ann", 30), order("3", "bob", 0)}
	text := "order_id,customer_id,ordered_at,sku,category,quantity,unit_price,discount,refunded\n"
	for _, o := range orders {
		for _, l := range o.Lines {
			text += fmt.Sprintf("%s,%s,%s,%s,%s,%d,%s,%s,false\n", o.ID, o.Customer, o.OrderedAt.Format(time.RFC3339), l.SKU, l.Category, l.Quantity, l.UnitPrice, l.Discount)
		}
	}
	source := jobs.Source{Name: "orders.csv", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
	load := func(store *engine.Store) jobs.ImportReport {
		t.Helper()
		report, err := s.arrive.Import(t.Context(), s.again(t, t, store), []jobs.Source{source}, ingest.Options{}, nil, nil)
		check(t, err)
		return report
	}
	waiting := s.send(t, t, files, order("0", "eve", 10))
	s.send(t, t, calls, append(orders, order("0", "eve", 10))...)
	report := load(files)
	if report.Touched != 2 || report.RescoreRun != waiting.RunID {
		t.Errorf("%d customers touched, to be scored by run %q; want 2 and that which waits, %q", report.Touched, report.RescoreRun, waiting.RunID)
	}
	if run := s.settle(t, t, files); run == nil || run.Rows != 3 {
		t.Errorf("the run %+v, want 3 customers scored", run)
	}
	s.settle(t, t, calls)
	if diff := gocmp.Diff(s.states(t, t, calls), s.states(t, t, files), sameFloats); diff != "" {
		t.Errorf("-calls +files:\n%s", diff)
	}
	if report = load(files); report.Changed != 0 || report.RescoreRun != "" || len(s.open(t, files)) > 0 {
		t.Errorf("the same file once more: %+v", report)
	}
	first, err := s.db.EnsureStore(t.Context(), "first")
	check(t, err)
	for range 2 {
		if report = load(first); report.RescoreRun != "" {
			t.Errorf("a store without a model: %+v", report)
		}
		text += "4,ann," + orders[0].OrderedAt.Format(time.RFC3339) + ",s,x,1,5,0,false\n"
	}
	if report.Changed != 1 {
		t.Errorf("the later file of a store without a model: %+v", report)
	}
}
