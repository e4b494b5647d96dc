package jobs_test

import (
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/jobs"
)

// importFile imports and tells how many lines changed.
func (s *stream) importFile(t *testing.T, store *engine.Store, o ingest.Options, lines ...string) int64 {
	t.Helper()
	report, err := s.arrive.Import(t.Context(), s.again(t, t, store), []jobs.Source{file("orders.csv", strings.Join(lines, "\n")+"\n")}, o, nil, nil)
	check(t, err)
	return report.Changed
}

// kept lists lines that count: order, article, category, refund and when that became known.
func (s *stream) kept(t *testing.T, store *engine.Store) string {
	t.Helper()
	var lines string
	check(t, s.pool.QueryRow(t.Context(), `SELECT coalesce(string_agg(concat_ws(' ', order_key, line_no, sku, coalesce(category, '-'),
  nullif(refund_cents, 0), to_char(refunded_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI')), E'\n' ORDER BY order_key, line_no), '')
FROM customer_order WHERE store_id = $1`, store.ID).Scan(&lines))
	return lines
}

func (s *stream) webhook(t *testing.T, store *engine.Store, number int, o jobs.Order, updated time.Time, refunds ...string) {
	t.Helper()
	body := shopifyJSON(number, &o, updated, refunds)
	outcome, err := s.arrive.ReceiveShopify(t.Context(), jobs.ShopEvent{StoreKey: store.Key, Topic: "orders/updated", Delivery: shortened(body), Body: []byte(body)})
	check(t, err)
	if outcome != jobs.EventAccepted {
		t.Fatalf("the event was %s", outcome)
	}
	s.settle(t, t, store)
}

// TestCategoriesAreKept holds that what a shop says of its products outlives files and webhooks that do not say it.
func TestCategoriesAreKept(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	store, err := s.db.EnsureStore(t.Context(), "shop")
	check(t, err)
	const head = "customer_id,order_id,ordered_at,sku,quantity,unit_price"
	orders := []string{head, "ann,#1,2026-11-20T10:00:00Z,Q1,1,10", "ann,#2,2026-11-20T11:00:00Z,Q2,1,10"}
	products := ingest.Options{Products: ingest.Products{"q1": "Tools > Saws", "q3": "Toys"}}
	expect := func(what, want string) {
		t.Helper()
		if diff := gocmp.Diff(want, s.kept(t, store)); diff != "" {
			t.Errorf("%s: -want +kept:\n%s", what, diff)
		}
	}
	if changed := s.importFile(t, store, products, orders...); changed != 2 {
		t.Errorf("%d lines changed, want 2", changed)
	}
	first := "#1 1 q1 Tools > Saws\n#2 1 q2 -"
	expect("a list of products", first)
	if changed := s.importFile(t, store, ingest.Options{}, orders...); changed != 0 {
		t.Errorf("the same file without the products changed %d lines", changed)
	}
	expect("the file without the products", first)

	at := told().Add(-48 * time.Hour)
	o := jobs.Order{ID: "#1", Customer: "ann", OrderedAt: at, Status: "paid", Lines: []jobs.OrderLine{{SKU: "Q1", Quantity: 2, UnitPrice: "10"}}}
	s.webhook(t, store, 1, o, at.Add(time.Hour))
	o.ID, o.Lines = "#3", []jobs.OrderLine{{SKU: "Q3", Quantity: 1, UnitPrice: "4"}, {SKU: "Q2", Quantity: 1, UnitPrice: "4"}}
	s.webhook(t, store, 3, o, at.Add(time.Hour))
	expect("webhooks", first+"\n#3 1 q3 Toys\n#3 2 q2 -")

	s.send(t, t, store, jobs.Order{
		ID: "#4", Customer: "bob", OrderedAt: at, Lines: []jobs.OrderLine{
			{SKU: "q2", Category: "Food", Quantity: 1, UnitPrice: "1"}, {SKU: "q2", Quantity: 1, UnitPrice: "1"}, {SKU: "q1", Category: "Tools", Quantity: 1, UnitPrice: "1"},
		},
	})
	if changed := s.importFile(t, store, ingest.Options{}, orders...); changed != 2 {
		t.Errorf("a file of an article that has become known changed %d lines, want #1 as it was before the webhook, and #2", changed)
	}
	expect("categories by calls", "#1 1 q1 Tools > Saws\n#2 1 q2 Food\n#3 1 q3 Toys\n#3 2 q2 -\n#4 1 q2 Food\n#4 2 q2 Food\n#4 3 q1 Tools")
	o.Lines[0].SKU = "Q1"
	s.webhook(t, store, 3, o, at.Add(2*time.Hour))
	expect("another article on a line", "#1 1 q1 Tools > Saws\n#2 1 q2 Food\n#3 1 q1 Tools\n#3 2 q2 Food\n#4 1 q2 Food\n#4 2 q2 Food\n#4 3 q1 Tools")

	other, err := s.db.EnsureStore(t.Context(), "another shop")
	check(t, err)
	s.importFile(t, other, ingest.Options{}, orders...)
	if lines := s.kept(t, other); lines != "#1 1 q1 -\n#2 1 q2 -" {
		t.Errorf("another shop's lines are\n%s", lines)
	}
	if s.again(t, t, other).Columns.Has(engine.ColumnCategory) {
		t.Error("another shop has categories")
	}
	// A list of products that fits no line of its file: the category comes with a later line.
	s.importFile(t, other, products, head, "ann,#1,2026-11-20T10:00:00Z,Q9,1,10")
	s.importFile(t, other, ingest.Options{}, head, "ann,#5,2026-11-20T10:00:00Z,Q3,1,10")
	if !s.again(t, t, other).Columns.Has(engine.ColumnCategory) {
		t.Error("the store does not know that it has categories now")
	}
}

// TestRefundDatesAreKept holds that a refund keeps the date that is known of it, and that one without a date which comes later is
// known from then on.
func TestRefundDatesAreKept(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	store, err := s.db.EnsureStore(t.Context(), "shop")
	check(t, err)
	const head = "customer_id,order_id,ordered_at,sku,quantity,unit_price,refund_amount,refunded_at"
	line := func(order, refund string) string { return "ann," + order + ",2026-11-18T10:00:00Z,a,2,10," + refund }
	at := time.Date(2026, 11, 18, 10, 0, 0, 0, time.UTC)
	one := jobs.Order{ID: "#1", Customer: "ann", OrderedAt: at, Status: "partially_refunded", Lines: []jobs.OrderLine{{SKU: "a", Quantity: 2, UnitPrice: "10"}}}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"a first file: history without dates counts from the order", func() {
			s.importFile(t, store, ingest.Options{}, head, line("#1", "0,"), line("#2", "3,"), line("#3", "0,"))
		}, "#1 1 a -\n#2 1 a - 300\n#3 1 a -"},
		{"the shop dates a refund", func() {
			s.webhook(t, store, 1, one, at.Add(26*time.Hour),
				`{"id": 9, "order_id": 1, "created_at": "2026-11-19T12:00:00Z", "refund_line_items": [{"line_item_id": 1, "subtotal": 5}], "transactions": []}`)
		}, "#1 1 a - 500 11-19 12:00\n#2 1 a - 300\n#3 1 a -"},
		{"the nightly file does not know the date", func() {
			if changed := s.importFile(t, store, ingest.Options{}, head, line("#1", "5,"), line("#2", "3,"), line("#3", "7,")); changed != 1 {
				t.Errorf("it changed %d lines, want the one whose refund is new", changed)
			}
		}, "#1 1 a - 500 11-19 12:00\n#2 1 a - 300\n#3 1 a - 700 11-22 09:00"},
		{"more is given back, and less", func() {
			s.importFile(t, store, ingest.Options{}, head, line("#1", "4,"), line("#2", "6,"), line("#3", "7,"))
		}, "#1 1 a - 400 11-19 12:00\n#2 1 a - 600 11-22 09:00\n#3 1 a - 700 11-22 09:00"},
		{"a file with dates", func() {
			s.importFile(t, store, ingest.Options{}, head, line("#2", "6,2026-11-20T08:00:00Z"), line("#3", "7,2026-11-21T08:00:00Z"), line("#4", "1,"))
		}, "#1 1 a - 400 11-19 12:00\n#2 1 a - 600 11-20 08:00\n#3 1 a - 700 11-21 08:00\n#4 1 a - 100"},
		{"nothing was given back after all", func() {
			s.importFile(t, store, ingest.Options{}, head, line("#2", "0,"))
		}, "#1 1 a - 400 11-19 12:00\n#2 1 a -\n#3 1 a - 700 11-21 08:00\n#4 1 a - 100"},
	} {
		step.do()
		if diff := gocmp.Diff(step.want, s.kept(t, store)); diff != "" {
			t.Errorf("%s: -want +kept:\n%s", step.name, diff)
		}
	}
}
