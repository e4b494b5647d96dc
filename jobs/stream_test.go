package jobs_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/explain"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/fit"
	"github.com/quimbi/quimbi/engine/synth"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// told is when the orders of these tests arrive: some hours before the instant at which they are scored, so that
// what is told without a date is known by then.
func told() time.Time { return clock().Add(-3 * time.Hour) }

// stream is a database on which orders arrive at one time and are scored at another.
type stream struct {
	pool    *pgxpool.Pool
	db      *postgres.DB
	arrive  *jobs.Queue // at told
	score   *jobs.Queue // at clock
	stores  int
	scorers map[int32]*engine.Scorer
}

func newStream(t *testing.T) *stream {
	t.Helper()
	pool := pgtest.DB(t)
	s := &stream{pool: pool, db: postgres.New(pool), scorers: map[int32]*engine.Scorer{}}
	for q, now := range map[**jobs.Queue]func() time.Time{&s.arrive: told, &s.score: clock} {
		var err error
		*q, err = jobs.NewQueue(s.db, jobs.DefaultSettings(), slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), now)
		check(t, err)
	}
	return s
}

// shopModel is a model of a small made-up shop. It knows all axes, and so suits every store.
var shopModel = sync.OnceValues(func() (*engine.Model, error) {
	day := engine.DateOf(clock(), time.UTC)
	table := &engine.Table{AsOf: day, Columns: engine.AllColumns}
	builder := feature.NewBuilder(time.UTC, engine.AllColumns)
	for i, c := range synth.Shop(synth.Options{Seed: 1, Customers: 250, End: day - 1, Weeks: 60}).Customers {
		builder.Build(c.Lines, []engine.Instant{{At: day.UTC()}}, func(_ int, f *engine.Features) { table.Append(int64(i+1), f) })
	}
	params := engine.DefaultParams()
	params.KMax, params.Starts, params.MinSize = 4, 2, 30
	m, err := fit.Model(context.Background(), params, 1, table, nil, nil)
	if err == nil {
		m.Version = 1
	}
	return m, err
})

// tb is a test or a check of a property.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func must(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newStore makes a store with the model in force and one order, which fills all columns.
func (s *stream) newStore(t *testing.T, c tb) *engine.Store {
	s.stores++
	store, err := s.db.EnsureStore(t.Context(), fmt.Sprint("shop ", s.stores))
	must(c, err)
	_, err = s.db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		return engine.AllColumns, yield(&postgres.ImportLine{Customer: "anchor", HasDiscount: true, Line: engine.Line{
			OrderKey: "anchor", Number: 1, OrderedAt: told().Add(-time.Hour), SKU: "a", Category: "x", Quantity: 1, NetCents: 900, DiscountCents: 100,
		}})
	})
	must(c, err)
	m, err := shopModel()
	must(c, err)
	must(c, s.db.InTx(t.Context(), func(tx *postgres.Tx) error { return tx.InsertModel(t.Context(), store.ID, uuid.NewString(), m) }))
	return s.again(t, c, store)
}

// again reads a store as it is now.
func (s *stream) again(t *testing.T, c tb, store *engine.Store) *engine.Store {
	store, err := s.db.StoreByKey(t.Context(), store.Key)
	must(c, err)
	return store
}

func (s *stream) send(t *testing.T, c tb, store *engine.Store, orders ...jobs.Order) *jobs.OrdersAnswer {
	answer, err := s.arrive.ImportOrders(t.Context(), jobs.OrdersRequest{Store: s.again(t, c, store), Orders: orders, Trigger: engine.TriggerMutation})
	must(c, err)
	return answer
}

// settle does what waits for the store, and gives the run; nil where nothing waits.
func (s *stream) settle(t *testing.T, c tb, store *engine.Store) *engine.Run {
	var open []*engine.Run
	must(c, s.db.InTx(t.Context(), func(tx *postgres.Tx) (err error) {
		open, err = tx.OpenRuns(t.Context(), store.ID, engine.RunRescore)
		return err
	}))
	if len(open) == 0 {
		return nil
	}
	if len(open) > 1 {
		c.Fatalf("%d runs wait for one store", len(open))
	}
	must(c, s.score.Work(t.Context(), open[0], nil))
	run, err := s.db.Run(t.Context(), open[0].ID)
	must(c, err)
	if run.State != engine.RunSucceeded {
		c.Fatalf("the run ended as %s: %s", run.State, run.Failure)
	}
	return run
}

// standing is what a store says of a customer: the state as it is kept, and the lines that count.
type standing struct {
	Membership, Dominant []int16
	Mark                 []byte
	Features             []float32
	Lines                []engine.Line
}

// states reads where all customers of a store stand.
func (s *stream) states(t *testing.T, c tb, store *engine.Store) map[string]*standing {
	rows, err := s.pool.Query(t.Context(), `SELECT c.customer_key, memberships(s.membership), dominants(s.dominant), s.mark, s.feature FROM customer_state s JOIN customer c USING (store_id, customer_id)
WHERE s.store_id = $1 AND s.rescored_at = $2`, store.ID, clock())
	must(c, err)
	defer rows.Close()
	found := map[string]*standing{}
	for rows.Next() {
		var key string
		var features []*float32
		state := &standing{}
		must(c, rows.Scan(&key, &state.Membership, &state.Dominant, &state.Mark, &features))
		for _, f := range features {
			if f == nil {
				state.Features = append(state.Features, float32(math.NaN()))
			} else {
				state.Features = append(state.Features, *f)
			}
		}
		found[key] = state
	}
	must(c, rows.Err())
	return found
}

// expected is the specification: features and thumbprints from scratch, from the lines of one batch, at the instant.
func expected(c tb, batch map[string][]engine.Line) map[string]*standing {
	m, err := shopModel()
	must(c, err)
	month := engine.ReferenceMonth(clock(), time.UTC)
	references := feature.NewReferenceBuilder(time.UTC, engine.AllColumns, []engine.Date{month})
	for _, lines := range batch {
		slices.SortFunc(lines, func(a, b engine.Line) int {
			return cmp.Or(a.OrderedAt.Compare(b.OrderedAt), strings.Compare(a.OrderKey, b.OrderKey), cmp.Compare(a.Number, b.Number))
		})
		references.Add(lines)
	}
	instant := engine.Instant{At: clock(), Reference: references.References()[0]}
	want := map[string]*standing{}
	for key, lines := range batch {
		builder, scorer := feature.NewBuilder(time.UTC, engine.AllColumns), m.NewScorer()
		builder.Build(lines, []engine.Instant{instant}, func(_ int, f *engine.Features) {
			var print engine.Thumbprint
			scorer.Score(f.Purchases, f.Values, &print)
			want[key] = &standing{Membership: print.Membership, Dominant: print.Dominant, Mark: explain.NewMarker(m).Marks(print, f.Purchases, f.Values), Features: slices.Clone(f.Values)}
		})
	}
	return want
}

// refundDates are when refunds became known that were told without a date: by order and line, in the orders as they came.
type refundDates map[string][]ingest.Record

// take notes orders that arrive together: of several copies of one the last counts.
func (d refundDates) take(orders []jobs.Order) {
	last := map[string]*jobs.Order{}
	for i := range orders {
		last[orders[i].ID] = &orders[i]
	}
	for id, o := range last {
		records, rejects := o.Records(ingest.Options{Now: told()})
		switch {
		case len(records) == 0 && rejects[0].Reason == ingest.ReasonTest:
			delete(d, id)
		case len(records) > 0:
			before := d[id]
			for i := range records {
				if r := &records[i]; i < len(before) && r.RefundCents > 0 && r.RefundedAt.IsZero() {
					if r.RefundedAt = before[i].RefundedAt; r.RefundCents > before[i].RefundCents {
						r.RefundedAt = told()
					}
				}
			}
			d[id] = records
		}
	}
}

// of gives when the refund on a line became known.
func (d refundDates) of(r *ingest.Record) time.Time {
	if !r.RefundedAt.IsZero() || r.RefundCents == 0 || d == nil {
		return r.RefundedAt
	}
	return d[r.OrderID][r.LineNo-1].RefundedAt
}

// batchOf sorts the records of orders by customer. The anchor's order says what article a is.
func batchOf(orders []jobs.Order, dates refundDates) map[string][]engine.Line {
	batch := map[string][]engine.Line{"anchor": {{
		OrderKey: "anchor", Number: 1, OrderedAt: told().Add(-time.Hour), SKU: "a", Category: "x", Quantity: 1, NetCents: 900, DiscountCents: 100,
	}}}
	for i := range orders {
		records, _ := orders[i].Records(ingest.Options{Now: told()})
		for _, r := range records {
			if r.SKU == "a" {
				r.Category = "x"
			}
			batch[r.Customer] = append(batch[r.Customer], engine.Line{
				OrderKey: r.OrderKey, Number: r.LineNo, OrderedAt: r.OrderedAt, SKU: r.SKU, Category: r.Category, Quantity: r.Quantity,
				NetCents: r.NetCents, DiscountCents: r.DiscountCents, RefundCents: r.RefundCents, RefundedAt: dates.of(&r),
			})
		}
	}
	return batch
}

var sameFloats = gocmp.Comparer(func(a, b float32) bool { return a == b || a != a && b != b })

// compare holds the store against one batch of orders. The anchor's customer was never touched.
func (s *stream) compare(t *testing.T, c tb, store *engine.Store, final []jobs.Order, dates refundDates) {
	batch := batchOf(final, dates)
	want, got := expected(c, batch), s.states(t, c, store)
	delete(want, "anchor")
	delete(got, "anchor") // scored too where what features know of the store changed
	if diff := gocmp.Diff(want, got, sameFloats); diff != "" {
		c.Fatalf("-one batch +streamed:\n%s", diff)
	}
	all := postgres.CustomerRange{From: 0, To: math.MaxInt64}
	kept := map[string][]engine.Line{}
	names := map[int64]string{}
	customers, err := s.db.Customers(t.Context(), postgres.CustomerQuery{StoreIDs: []int32{store.ID}, Window: postgres.Window{Limit: 1000}})
	must(c, err)
	for _, customer := range customers {
		names[customer.ID] = customer.Key
	}
	for lines, err := range s.db.Lines(t.Context(), store.ID, all, clock()) {
		must(c, err)
		for _, l := range lines.Lines {
			if l.CancelledAt.IsZero() {
				l.OrderedAt = l.OrderedAt.UTC()
				kept[names[lines.CustomerID]] = append(kept[names[lines.CustomerID]], l)
			}
		}
	}
	if diff := gocmp.Diff(batch, kept); diff != "" {
		c.Fatalf("the lines that count: -one batch +streamed:\n%s", diff)
	}
}

// drawOrder draws an order as it is first told.
func drawOrder(c *rapid.T, id string) jobs.Order {
	o := jobs.Order{
		ID: id, Customer: rapid.SampledFrom([]string{"ann@example.com", "b", "c"}).Draw(c, "customer"), Status: "paid",
		OrderedAt: told().Add(-time.Duration(rapid.SampledFrom([]int{1, 20, 100, 500, 1000, 2400}).Draw(c, "hours ago")) * time.Hour),
	}
	for range rapid.IntRange(1, 3).Draw(c, "lines") {
		o.Lines = append(o.Lines, jobs.OrderLine{
			SKU: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(c, "sku"), Quantity: int64(rapid.SampledFrom([]int{1, 2, 5, -1}).Draw(c, "quantity")),
			UnitPrice: rapid.SampledFrom([]string{"1.00", "9.99", "40"}).Draw(c, "price"), Discount: "0.10", Refunded: "0",
		})
	}
	return o
}

// later draws the order's next state.
func later(c *rapid.T, o jobs.Order) jobs.Order {
	o.Lines = slices.Clone(o.Lines)
	line := &o.Lines[rapid.IntRange(0, len(o.Lines)-1).Draw(c, "of")]
	since := told().Sub(o.OrderedAt).Hours()
	at := o.OrderedAt.Add(time.Duration(rapid.IntRange(0, int(since)).Draw(c, "hours later")) * time.Hour)
	switch rapid.SampledFrom([]string{"refund", "refund", "refund", "some day", "some day", "cancelled", "cancelled then", "stands", "test", "moves", "shorter", "another line"}).Draw(c, "fate") {
	case "refund":
		line.Refunded, line.RefundedAt = rapid.SampledFrom([]string{"0.50", "2", "1000"}).Draw(c, "refund"), at
	case "some day":
		line.Refunded, line.RefundedAt = rapid.SampledFrom([]string{"0.50", "2", "1000"}).Draw(c, "refund"), time.Time{}
	case "cancelled":
		o.Status = "cancelled"
	case "cancelled then":
		o.CancelledAt = at
	case "stands":
		o.Status, o.CancelledAt, o.Test = "paid", time.Time{}, false
	case "test":
		o.Test = true
	case "moves":
		o.Customer, o.OrderedAt = "d", o.OrderedAt.AddDate(0, 0, rapid.SampledFrom([]int{0, -35}).Draw(c, "days"))
	case "shorter":
		o.Lines = o.Lines[:1]
	case "another line":
		line.Quantity, line.SKU = 3, "d"
	}
	return o
}

// drawStates draws orders with all their states, in an order in which each order's own follow each other, with repeats; and
// the orders as they are in the end.
func drawStates(c *rapid.T) (told, final []jobs.Order) {
	var waiting [][]jobs.Order
	for i := range rapid.IntRange(1, 6).Draw(c, "orders") {
		states := []jobs.Order{drawOrder(c, fmt.Sprint("#", i))}
		for range rapid.IntRange(0, 3).Draw(c, "states") {
			states = append(states, later(c, states[len(states)-1]))
		}
		final = append(final, states[len(states)-1])
		waiting = append(waiting, states)
	}
	for len(waiting) > 0 {
		i := rapid.IntRange(0, len(waiting)-1).Draw(c, "next")
		told = append(told, waiting[i][0])
		if rapid.IntRange(0, 3).Draw(c, "repeated") > 0 {
			if waiting[i] = waiting[i][1:]; len(waiting[i]) == 0 {
				waiting = slices.Delete(waiting, i, i+1)
			}
		}
	}
	return told, final
}

// TestStreamingEqualsBatch holds that orders which arrive one by one or in groups, again and in later states, and are scored
// now and then, leave every customer where one batch of the orders as they are in the end would, scored at the same instant.
func TestStreamingEqualsBatch(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	rapid.Check(t, func(c *rapid.T) {
		store := s.newStore(t, c)
		orders, final := drawStates(c)
		dates := refundDates{}
		for len(orders) > 0 {
			n := rapid.IntRange(1, len(orders)).Draw(c, "at once")
			s.send(t, c, store, orders[:n]...)
			dates.take(orders[:n])
			orders = orders[n:]
			if rapid.Bool().Draw(c, "scored") {
				s.settle(t, c, store)
			}
		}
		s.settle(t, c, store)
		s.compare(t, c, store, final, dates)
	})
}

// TestEventsEqualBatch holds the same of a shop's events, in whatever order they come and how often.
func TestEventsEqualBatch(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	rapid.Check(t, func(c *rapid.T) {
		store := s.newStore(t, c)
		var events []event
		var final []jobs.Order
		for i := range rapid.IntRange(1, 4).Draw(c, "orders") {
			told, current := drawEvents(c, i+1)
			events, final = append(events, told...), append(final, current)
		}
		again := rapid.SliceOfN(rapid.SampledFrom(events), 0, 4).Draw(c, "repeats")
		for i, e := range rapid.Permutation(slices.Concat(events, again)).Draw(c, "order") {
			delivery := fmt.Sprint(e.topic, e.body)
			if rapid.IntRange(0, 3).Draw(c, "told anew") == 0 {
				delivery = fmt.Sprint("again ", i)
			}
			_, err := s.arrive.ReceiveShopify(t.Context(), jobs.ShopEvent{StoreKey: store.Key, Topic: e.topic, Delivery: shortened(delivery), Body: []byte(e.body)})
			must(c, err)
			if rapid.IntRange(0, 2).Draw(c, "scored") == 0 {
				s.settle(t, c, store)
			}
		}
		s.settle(t, c, store)
		s.compare(t, c, store, final, nil)
	})
}

func shortened(name string) string { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String() }

// event is a message of Shopify.
type event struct{ topic, body string }

// drawEvents draws what Shopify tells of an order, and the order as it is in the end.
func drawEvents(c *rapid.T, number int) (events []event, final jobs.Order) {
	state := drawOrder(c, fmt.Sprint("#", number))
	updated := state.OrderedAt
	var refunds []string
	var sum ingest.ShopOrder
	tell := func(topic, body string) {
		parsed, err := ingest.ParseShopifyEvent(topic, []byte(body))
		must(c, err)
		sum.Merge(parsed)
		events = append(events, event{topic, body})
	}
	tell("orders/create", shopifyJSON(number, &state, updated, nil))
	for i := range rapid.IntRange(0, 4).Draw(c, "later") {
		updated = updated.Add(time.Duration(rapid.IntRange(1, 3600).Draw(c, "seconds")) * time.Second)
		if rapid.IntRange(0, 2).Draw(c, "a refund") == 0 {
			refund := fmt.Sprintf(`{"id": %d, "order_id": %d, "created_at": %q, "refund_line_items": [{"line_item_id": 1, "subtotal": 0.75}], "transactions": []}`,
				100*number+i, number, updated.Format(time.RFC3339))
			refunds = append(refunds, refund)
			tell("refunds/create", refund)
		} else if rapid.IntRange(0, 2).Draw(c, "cancelled") == 0 {
			state.CancelledAt = updated
		}
		tell("orders/updated", shopifyJSON(number, &state, updated, refunds))
	}
	return events, *sum.Current()
}

// shopifyJSON writes an order as Shopify does.
func shopifyJSON(number int, o *jobs.Order, updated time.Time, refunds []string) string {
	type line struct {
		ID       int    `json:"id"`
		SKU      string `json:"sku"`
		Quantity int64  `json:"quantity"`
		Price    string `json:"price"`
		Discount string `json:"total_discount"`
	}
	order := map[string]any{
		"id": number, "name": o.ID, "email": o.Customer, "created_at": o.OrderedAt, "updated_at": updated, "financial_status": o.Status, "total_price": "10.00",
		"refunds": json.RawMessage("[" + strings.Join(refunds, ",") + "]"),
	}
	if !o.CancelledAt.IsZero() {
		order["cancelled_at"] = o.CancelledAt
	}
	var lines []line
	for i, l := range o.Lines {
		lines = append(lines, line{ID: i + 1, SKU: l.SKU, Quantity: l.Quantity, Price: l.UnitPrice, Discount: l.Discount})
	}
	order["line_items"] = lines
	text, err := json.Marshal(order)
	if err != nil {
		panic(err)
	}
	return string(text)
}
