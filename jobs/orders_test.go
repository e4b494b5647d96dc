package jobs_test

import (
	"io"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// order is a good order of one line, placed some days before it is told.
func order(id, customer string, daysAgo int) jobs.Order {
	return jobs.Order{
		ID: id, Customer: customer, OrderedAt: told().AddDate(0, 0, -daysAgo),
		Lines: []jobs.OrderLine{{SKU: "a", Category: "x", Quantity: 2, UnitPrice: "10.00", Discount: "1.00", Refunded: "0"}},
	}
}

// changed gives the order with something else.
func changed(o jobs.Order, change func(*jobs.Order)) jobs.Order {
	o.Lines = append([]jobs.OrderLine(nil), o.Lines...)
	change(&o)
	return o
}

func outcomes(a *jobs.OrdersAnswer) (list []string) {
	for _, o := range a.Outcomes {
		list = append(list, strings.TrimSpace(o.OrderID+" "+o.Status+" "+o.Reason))
	}
	return list
}

// TestOutcomes tells of every order what became of it.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	store, err := s.db.EnsureStore(t.Context(), "new")
	check(t, err)
	good, other := order("1", "Ann@Example.com", 3), order("2", "b", 5)
	cancelled := changed(good, func(o *jobs.Order) { o.Status = "cancelled" })
	unreadable := changed(good, func(o *jobs.Order) { o.Lines[0].UnitPrice = "ten" })
	half := changed(order("3", "c", 1), func(o *jobs.Order) { o.Lines = append(o.Lines, jobs.OrderLine{UnitPrice: "1"}) })
	for _, step := range []struct {
		name   string
		orders []jobs.Order
		want   []string
		lines  int64 // that changed
	}{
		{"only one that does not count, to a store without orders", []jobs.Order{cancelled}, []string{"1 REJECTED CANCELLED"}, 0},
		{
			"new",
			[]jobs.Order{good, other, half, order("4", "", 1), changed(good, func(o *jobs.Order) { o.ID = " " })},
			[]string{"1 CREATED", "2 CREATED", "3 CREATED ZERO_QUANTITY", "4 REJECTED GUEST", "REJECTED UNREADABLE"},
			3,
		},
		{"again", []jobs.Order{good, other}, []string{"1 UNCHANGED", "2 UNCHANGED"}, 0},
		{"changed", []jobs.Order{changed(other, func(o *jobs.Order) { o.Lines[0].Quantity = 3 }), good}, []string{"2 CHANGED", "1 UNCHANGED"}, 1},
		{"unreadable: the earlier copy stays", []jobs.Order{unreadable}, []string{"1 REJECTED UNREADABLE"}, 0},
		{"cancelled", []jobs.Order{cancelled}, []string{"1 CHANGED CANCELLED"}, 1},
		{"cancelled again", []jobs.Order{cancelled}, []string{"1 UNCHANGED CANCELLED"}, 0},
		{"it stands after all", []jobs.Order{good}, []string{"1 CHANGED"}, 1},
		{"a test", []jobs.Order{changed(good, func(o *jobs.Order) { o.Test = true })}, []string{"1 CHANGED TEST"}, 1},
		{"which was never there", []jobs.Order{changed(good, func(o *jobs.Order) { o.Test = true })}, []string{"1 REJECTED TEST"}, 0},
		{"several copies: the last that can be read", []jobs.Order{cancelled, good, unreadable}, []string{"1 CREATED", "1 CREATED", "1 REJECTED UNREADABLE"}, 1},
		{"all lines gone", []jobs.Order{changed(good, func(o *jobs.Order) { o.Lines[0].Quantity = 0 })}, []string{"1 CHANGED ZERO_QUANTITY"}, 1},
		{"moved to another customer", []jobs.Order{changed(other, func(o *jobs.Order) { o.Customer = "d" })}, []string{"2 CHANGED"}, 1},
	} {
		answer := s.send(t, t, store, step.orders...)
		if diff := gocmp.Diff(step.want, outcomes(answer)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		if answer.Counts.Changed != step.lines {
			t.Errorf("%s: %d lines changed, want %d", step.name, answer.Counts.Changed, step.lines)
		}
		if answer.RunID != "" {
			t.Errorf("%s: a run scores customers of a store without a model", step.name)
		}
	}
	if open := s.settle(t, t, store); open != nil {
		t.Errorf("the run %+v waits", open)
	}
}

// TestIdempotencyKey gives the first answer again, and does nothing again.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newStore(t, t)
	request := jobs.OrdersRequest{Store: store, Orders: []jobs.Order{order("1\x00", "a", 1), order("1", "a", 1)}, Trigger: engine.TriggerMutation, IdempotencyKey: "key"}
	first, err := s.arrive.ImportOrders(ctx, request)
	check(t, err)
	if first.RunID == "" || first.Outcomes[1].Status != "CREATED" {
		t.Fatalf("%+v", first)
	}
	s.send(t, t, store, changed(order("1", "a", 1), func(o *jobs.Order) { o.Lines[0].Quantity = 7 }))
	again, err := s.arrive.ImportOrders(ctx, request)
	check(t, err)
	if diff := gocmp.Diff(first, again); diff != "" {
		t.Errorf("the same key gave another answer:\n%s", diff)
	}
	if now := s.send(t, t, store, order("1", "a", 1)); now.Outcomes[0].Status != "CHANGED" {
		t.Errorf("the repetition was done: the order is %s", now.Outcomes[0].Status)
	}
	other := request
	other.Orders = []jobs.Order{order("1", "a", 2)}
	_, err = s.arrive.ImportOrders(ctx, other)
	want(t, err, engine.CodeInvalid)
	other.Store = s.newStore(t, t)
	_, err = s.arrive.ImportOrders(ctx, other) // keys are each store's own
	check(t, err)
	_, err = s.pool.Exec(ctx, "UPDATE mutation_answer SET created_at = created_at - interval '25 hours'")
	check(t, err)
	other.Store = store
	late, err := s.arrive.ImportOrders(ctx, other)
	check(t, err)
	if late.Outcomes[0].Status != "CHANGED" {
		t.Errorf("after a day the key gave %+v", late)
	}
}

// TestOrdersRefused holds whole calls to their bounds.
func TestOrdersRefused(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	store := s.newStore(t, t)
	many := make([]jobs.Order, 1001)
	long := changed(order("1", "a", 1), func(o *jobs.Order) { o.Lines = make([]jobs.OrderLine, 20_001) })
	for name, request := range map[string]jobs.OrdersRequest{
		"none":         {},
		"too many":     {Orders: many},
		"too long":     {Orders: []jobs.Order{long}},
		"a long key":   {Orders: many[:1], IdempotencyKey: strings.Repeat("k", 256)},
		"a broken key": {Orders: many[:1], IdempotencyKey: "k\x00"},
	} {
		request.Store, request.Trigger = store, engine.TriggerMutation
		if _, err := s.arrive.ImportOrders(t.Context(), request); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%s: %v, want INVALID", name, err)
		}
	}
}

const shopifyExport = "Name,Email,Financial Status,Subtotal,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price,Cancelled at\n"

// TestFileTakesBack imports an export, and a later one in which an order is cancelled: it goes, but not from the past.
func TestFileTakesBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newStore(t, t)
	file := func(rows string) jobs.ImportReport {
		t.Helper()
		source := jobs.Source{Name: "orders.csv", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(shopifyExport + rows)), nil }}
		report, err := s.arrive.Import(ctx, s.again(t, t, store), []jobs.Source{source}, ingest.Options{}, nil, nil)
		check(t, err)
		return report
	}
	const first = "#1,a@x,paid,10,10,2026-10-01 10:00:00 +0000,1,A,10,\n"
	file(first + "#2,b@x,paid,20,20,2026-10-02 10:00:00 +0000,1,A,20,\n#3,c@x,paid,20,20,2026-10-03 10:00:00 +0000,1,A,20,\n")
	report := file(first + "#2,b@x,paid,20,20,2026-10-02 10:00:00 +0000,1,A,20,2026-10-20 10:00:00 +0000\n#3,c@x,voided,20,20,2026-10-03 10:00:00 +0000,1,A,20,\n")
	if report.Changed != 2 || report.Problems["CANCELLED"] != 1 || report.Problems["VOIDED"] != 1 {
		t.Errorf("the later export: %+v, want 2 lines changed", report)
	}
	customers, err := s.db.Customers(ctx, postgres.CustomerQuery{StoreIDs: []int32{store.ID}, Window: postgres.Window{Limit: 10}})
	check(t, err)
	for _, c := range customers {
		if gone := c.Key == "b@x" || c.Key == "c@x"; gone != (c.Orders == 0) || gone != (c.ValueCents == 0) {
			t.Errorf("customer %s has %d orders worth %d", c.Key, c.Orders, c.ValueCents)
		}
	}
	// As of 11 October all three had bought, as of 1 November b had not; that c had not is known since today.
	for text, want := range map[string]int64{"2026-10-11": 3, "2026-11-01": 2, "2026-11-22": 2} {
		from := day(t, text)
		run, err := s.score.Replay(ctx, jobs.ReplayRequest{Store: s.again(t, t, store), Type: engine.Daily, From: from, To: from + 1, Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, s.score.Work(ctx, run, nil))
		if run, err = s.db.Run(ctx, run.ID); err != nil || run.Rows != want {
			t.Errorf("%s: %d customers have a snapshot, want %d (%v)", text, run.Rows, want, err)
		}
	}
}

// TestForget removes what was kept to recognise repetitions.
func TestForget(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newStream(t)
	store := s.newStore(t, t)
	_, err := s.arrive.ImportOrders(ctx, jobs.OrdersRequest{Store: store, Orders: []jobs.Order{order("1", "a", 1)}, Trigger: engine.TriggerMutation, IdempotencyKey: "key"})
	check(t, err)
	o := order("2", "a", 1)
	_, err = s.arrive.ReceiveShopify(ctx, jobs.ShopEvent{StoreKey: store.Key, Topic: "orders/create", Delivery: "d", Body: []byte(shopifyJSON(7, &o, told(), nil))})
	check(t, err)
	s.settle(t, t, store)
	count := func() (rows int) {
		check(t, s.pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM mutation_answer) + (SELECT count(*) FROM shop_event) + (SELECT count(*) FROM shop_order) +
  (SELECT count(*) FROM run WHERE kind = 'RESCORE')`).Scan(&rows))
		return rows
	}
	for _, step := range []struct {
		after time.Duration
		left  int
	}{{0, 4}, {25 * time.Hour, 3}, {8 * 24 * time.Hour, 1}, {91 * 24 * time.Hour, 0}} {
		check(t, s.db.ForgetStreamed(ctx, store.ID, time.Now().Add(step.after)))
		if left := count(); left != step.left {
			t.Errorf("after %s there are %d rows, want %d", step.after, left, step.left)
		}
	}
}
