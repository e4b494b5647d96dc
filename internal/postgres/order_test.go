package postgres_test

import (
	stdcmp "cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// lineKey and orderBook are a plain model of a store's orders.
type lineKey struct {
	order string
	line  int32
}

type orderBook map[lineKey]postgres.ImportLine

// take does what an import of these lines means, and counts the lines that changed. What was said of articles is in products, and
// known is when it became known what the lines tell without a date.
func (b orderBook) take(lines []postgres.ImportLine, products map[string]string, known time.Time) (changed int64) {
	last := map[string]int32{}
	said := map[string]postgres.ImportLine{}
	for _, l := range lines {
		if l.Withdrawn {
			continue
		}
		if !strings.HasPrefix(l.OrderKey, "~") {
			last[l.OrderKey] = max(last[l.OrderKey], l.Number)
		}
		if newest, there := said[l.SKU]; l.SKU != "" && l.Category != "" &&
			(!there || stdcmp.Or(l.OrderedAt.Compare(newest.OrderedAt), strings.Compare(l.Category, newest.Category)) > 0) {
			said[l.SKU] = l
			products[l.SKU] = l.Category
		}
	}
	for key := range b {
		if n, replaced := last[key.order]; replaced && key.line > n {
			delete(b, key)
			changed++
		}
	}
	for _, l := range lines {
		if _, there := last[l.OrderKey]; l.Withdrawn && !there {
			changed += b.withdraw(l.OrderKey, l.CancelledAt)
		}
	}
	for _, l := range lines {
		if l.Withdrawn {
			continue
		}
		key := lineKey{l.OrderKey, l.Number}
		old, there := b[key]
		if l.Category == "" && there && old.SKU == l.SKU {
			l.Category = old.Category
		}
		if l.Category == "" {
			l.Category = products[l.SKU]
		}
		if there && l.RefundCents > 0 && l.RefundedAt.IsZero() {
			if l.RefundedAt = old.RefundedAt; l.RefundCents > old.RefundCents {
				l.RefundedAt = known
				if known.Before(l.OrderedAt) {
					l.RefundedAt = l.OrderedAt
				}
			}
		}
		if there && !l.CancelledAt.IsZero() && !old.CancelledAt.IsZero() {
			l.CancelledAt = old.CancelledAt
		}
		if !there || old != l {
			b[key] = l
			changed++
		}
	}
	return changed
}

// lastPurchase is the newest time of a purchase that counts.
func (b orderBook) lastPurchase() (last time.Time) {
	for _, l := range b {
		if l.CancelledAt.IsZero() && l.Quantity > 0 && l.OrderedAt.After(last) {
			last = l.OrderedAt
		}
	}
	return last
}

// withdraw takes an order back: from a time on, or, where that is zero, altogether.
func (b orderBook) withdraw(order string, at time.Time) (changed int64) {
	for key, l := range b {
		switch {
		case key.order != order:
		case at.IsZero():
			delete(b, key)
			changed++
		case l.CancelledAt.IsZero():
			l.CancelledAt = at
			b[key] = l
			changed++
		}
	}
	return changed
}

// randomLines are some orders, each whole, some rows without an order, and some orders that are taken back.
func randomLines(random *rand.Rand) (lines []postgres.ImportLine) {
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	line := func(order string, number int32) postgres.ImportLine {
		l := postgres.ImportLine{Customer: fmt.Sprintf("c%d", random.IntN(5)), HasDiscount: random.IntN(2) == 0, Line: engine.Line{
			OrderKey: order, Number: number, OrderedAt: start.Add(time.Duration(random.IntN(400)) * time.Hour), SKU: []string{"", "a", "b"}[random.IntN(3)],
			Category: []string{"", "", "x > y", "z"}[random.IntN(4)], Quantity: int32(random.IntN(4)*2 - 1), NetCents: int64(random.IntN(3) * 1000),
		}}
		if l.HasDiscount {
			l.DiscountCents = int64(random.IntN(2) * 50)
		}
		if random.IntN(3) == 0 {
			if l.RefundCents = int64(50 * (1 + random.IntN(3))); random.IntN(2) == 0 {
				l.RefundedAt = l.OrderedAt.Add(36 * time.Hour)
			}
		}
		if random.IntN(5) == 0 {
			l.CancelledAt = l.OrderedAt.Add(time.Duration(random.IntN(90)) * time.Hour)
		}
		return l
	}
	for _, order := range random.Perm(12)[:random.IntN(8)] {
		for n := range 1 + random.IntN(3) {
			lines = append(lines, line(fmt.Sprintf("o%d", order), int32(n+1)))
		}
	}
	for _, row := range random.Perm(6)[:random.IntN(4)] {
		l := line(fmt.Sprintf("~%d", row), 1)
		l.OrderedAt = start.Add(time.Duration(row) * time.Hour)
		lines = append(lines, l)
	}
	for _, order := range random.Perm(12)[:random.IntN(3)] {
		l := postgres.ImportLine{Withdrawn: true, Line: engine.Line{OrderKey: fmt.Sprintf("o%d", order)}}
		if random.IntN(3) > 0 {
			l.CancelledAt = start.Add(time.Duration(random.IntN(800)) * time.Hour)
		}
		lines = append(lines, l)
	}
	return lines
}

func fillWith(lines []postgres.ImportLine) postgres.Fill {
	return func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for i := range lines {
			if err := yield(&lines[i]); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}
}

// storedLines reads the table as it is.
func storedLines(t *testing.T, pool *pgxpool.Pool, storeID int32) orderBook {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT c.customer_key, o.order_key, o.line_no, o.ordered_at, coalesce(o.sku, ''), coalesce(o.category, ''), o.quantity,
  o.net_cents, o.discount_cents IS NOT NULL, coalesce(o.discount_cents, 0), o.refund_cents, o.refunded_at, o.cancelled_at
FROM customer_order o JOIN customer c USING (store_id, customer_id) WHERE o.store_id = $1`, storeID)
	check(t, err)
	book := orderBook{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var l postgres.ImportLine
		var refunded, cancelled *time.Time
		err := row.Scan(&l.Customer, &l.OrderKey, &l.Number, &l.OrderedAt, &l.SKU, &l.Category, &l.Quantity, &l.NetCents, &l.HasDiscount, &l.DiscountCents,
			&l.RefundCents, &refunded, &cancelled)
		l.OrderedAt = l.OrderedAt.UTC()
		if cancelled != nil {
			l.CancelledAt = cancelled.UTC()
		}
		if refunded != nil {
			l.RefundedAt = refunded.UTC()
		}
		book[lineKey{l.OrderKey, l.Number}] = l
		return struct{}{}, err
	})
	check(t, err)
	return book
}

// customerTotals are what the customer table keeps, by customer: first and last purchase, purchases, value.
func customerTotals(book orderBook) map[string]string {
	type totals struct {
		days  map[string]bool
		times []time.Time
		value int64
	}
	all := map[string]*totals{}
	for _, l := range book {
		t := all[l.Customer]
		if t == nil {
			t = &totals{days: map[string]bool{}}
			all[l.Customer] = t
		}
		if !l.CancelledAt.IsZero() {
			continue
		}
		t.value += l.NetCents - l.RefundCents
		if l.Quantity > 0 {
			t.days[l.OrderedAt.Format(time.DateOnly)] = true
			t.times = append(t.times, l.OrderedAt)
		}
	}
	texts := map[string]string{}
	for customer, t := range all {
		first, last := "none", "none"
		if len(t.times) > 0 {
			slices.SortFunc(t.times, time.Time.Compare)
			first, last = t.times[0].Format(time.RFC3339), t.times[len(t.times)-1].Format(time.RFC3339)
		}
		texts[customer] = fmt.Sprint(first, " ", last, " ", len(t.days), " ", t.value)
	}
	return texts
}

func storedTotals(t *testing.T, pool *pgxpool.Pool, storeID int32) map[string]string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT customer_key, first_order_at, last_order_at, orders, value_cents FROM customer
WHERE store_id = $1 AND EXISTS (SELECT FROM customer_order o WHERE o.store_id = customer.store_id AND o.customer_id = customer.customer_id)`, storeID)
	check(t, err)
	texts := map[string]string{}
	var key string
	var first, last *time.Time
	var orders, value int64
	text := func(at *time.Time) string {
		if at == nil {
			return "none"
		}
		return at.UTC().Format(time.RFC3339)
	}
	_, err = pgx.ForEachRow(rows, []any{&key, &first, &last, &orders, &value}, func() error {
		texts[key] = fmt.Sprint(text(first), " ", text(last), " ", orders, " ", value)
		return nil
	})
	check(t, err)
	return texts
}

// importBy imports by a clock.
func importBy(t *testing.T, db *postgres.DB, store *engine.Store, clock time.Time, lines []postgres.ImportLine) (changed int64) {
	t.Helper()
	check(t, db.InTx(t.Context(), func(tx *postgres.Tx) error {
		store, err := tx.LockOrders(t.Context(), store)
		if err != nil {
			return err
		}
		in, err := tx.ImportLines(t.Context(), store, clock, fillWith(lines))
		changed = in.Changed
		return err
	}))
	return changed
}

// TestImports holds imports one after another, the first of which makes the store's table, against the plain model: on the
// days of the orders, and when they ended long ago.
func TestImports(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	for seed := range uint64(8) {
		store, err := db.EnsureStore(t.Context(), fmt.Sprint("shop", seed))
		check(t, err)
		random := rand.New(rand.NewPCG(seed, 1))
		clock := time.Date(2026, time.Month(3+3*(seed%2)), 19, 0, 0, 0, 0, time.UTC)
		book, products := orderBook{}, map[string]string{}
		for round := range 8 {
			lines := randomLines(random)
			present := engine.Store{Zone: time.UTC, LastAt: book.lastPurchase()}
			for _, l := range lines {
				if !l.Withdrawn && l.CancelledAt.IsZero() && l.Quantity > 0 && l.OrderedAt.After(present.LastAt) {
					present.LastAt = l.OrderedAt
				}
			}
			want := book.take(lines, products, present.KnownNow(clock))
			if changed := importBy(t, db, store, clock, lines); changed != want {
				t.Errorf("seed %d, round %d: %d lines changed, want %d", seed, round, changed, want)
			}
			if diff := cmp.Diff(book, storedLines(t, pool, store.ID), cmp.AllowUnexported(lineKey{})); diff != "" {
				t.Fatalf("seed %d, round %d: -want +stored:\n%s", seed, round, diff)
			}
			if diff := cmp.Diff(customerTotals(book), storedTotals(t, pool, store.ID)); diff != "" {
				t.Fatalf("seed %d, round %d: -want +stored:\n%s", seed, round, diff)
			}
			if diff := cmp.Diff(products, storedProducts(t, pool, store.ID)); diff != "" {
				t.Fatalf("seed %d, round %d: articles: -want +stored:\n%s", seed, round, diff)
			}
			checkStore(t, pool, store.ID)
			if again := importBy(t, db, store, clock.AddDate(0, 0, 1), lines); again != 0 {
				t.Fatalf("seed %d, round %d: the same lines once more changed %d", seed, round, again)
			}
		}
	}
}

func storedProducts(t *testing.T, pool *pgxpool.Pool, storeID int32) map[string]string {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT sku, category FROM product WHERE store_id = $1", storeID)
	check(t, err)
	products := map[string]string{}
	var sku, category string
	_, err = pgx.ForEachRow(rows, []any{&sku, &category}, func() error {
		products[sku] = category
		return nil
	})
	check(t, err)
	return products
}

// TestManyArticles imports more articles than are held in memory, at first and later: it must come to the same.
func TestManyArticles(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	store, err := db.EnsureStore(t.Context(), "shop")
	check(t, err)
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	var lines []postgres.ImportLine
	add := func(sku, category string, at time.Time) {
		lines = append(lines, postgres.ImportLine{Customer: "c", Line: engine.Line{
			OrderKey: "o", Number: int32(len(lines) + 1), OrderedAt: at, SKU: sku, Category: category, Quantity: 1, NetCents: 100,
		}})
	}
	for i := range postgres.MaxArticles {
		add(fmt.Sprint("a", i), "first", at)
	}
	add("another", "old", at)
	add("another", "new", at.Add(time.Hour))
	add("another", "", at)
	add("a7", "", at)
	for _, key := range []string{"o", "later"} {
		for i := range lines {
			lines[i].OrderKey = key
		}
		if changed := importBy(t, db, store, at, lines); changed != int64(len(lines)) {
			t.Errorf("%d lines changed, want %d", changed, len(lines))
		}
		book := storedLines(t, pool, store.ID)
		for i, want := range []string{"old", "new", "new", "first"} {
			if got := book[lineKey{key, int32(postgres.MaxArticles + 1 + i)}].Category; got != want {
				t.Errorf("%s, line %d: the category is %q, want %q", key, i, got, want)
			}
		}
		if changed := importBy(t, db, store, at, lines); changed != 0 {
			t.Errorf("the same lines once more changed %d", changed)
		}
	}
	if products := storedProducts(t, pool, store.ID); len(products) != postgres.MaxArticles+1 || products["another"] != "new" {
		t.Errorf("%d articles are known, the last one as %q", len(products), products["another"])
	}
}

// checkStore holds what is kept of a store against what its customers say.
func checkStore(t *testing.T, pool *pgxpool.Pool, storeID int32) {
	t.Helper()
	var kept, counted string
	check(t, pool.QueryRow(t.Context(), `SELECT concat_ws(' ', s.customers, s.first_order_at, s.last_order_at), concat_ws(' ', c.customers, c.first_at, c.last_at)
FROM store s, (SELECT count(*) AS customers, min(first_order_at) AS first_at, max(last_order_at) AS last_at FROM customer WHERE store_id = $1) c
WHERE s.store_id = $1`, storeID).Scan(&kept, &counted))
	if kept != counted {
		t.Errorf("the store says %s, its customers %s", kept, counted)
	}
}

// TestReferencesGo holds that what features know of the whole store goes where, and only where, what it rests on changed.
func TestReferencesGo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	day := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 12, 0, 0, 0, time.UTC) }
	line := func(order string, at time.Time) postgres.ImportLine {
		return postgres.ImportLine{Customer: "a", Line: engine.Line{OrderKey: order, Number: 1, OrderedAt: at, Quantity: 1, NetCents: 100}}
	}
	refunded, again := line("jan", day(1, 5)), line("jan", day(1, 5))
	refunded.RefundCents, refunded.RefundedAt = 50, day(3, 20)
	again.RefundCents, again.RefundedAt = 90, day(4, 20)
	cancelled := func(order string, at time.Time) postgres.ImportLine {
		return postgres.ImportLine{Withdrawn: true, Line: engine.Line{OrderKey: order, CancelledAt: at}}
	}
	_, err = db.ImportLines(ctx, store, fillWith([]postgres.ImportLine{line("jan", day(1, 5)), line("feb", day(2, 5)), line("may", day(5, 5))}))
	check(t, err)
	for _, step := range []struct {
		name  string
		lines []postgres.ImportLine
		left  string // the months of the references that stay, of January to June
	}{
		{"nothing", []postgres.ImportLine{line("jan", day(1, 5))}, "1 2 3 4 5 6"},
		{"an order of this month", []postgres.ImportLine{line("new", day(6, 5))}, "1 2 3 4 5 6"},
		{"a late order", []postgres.ImportLine{line("late", day(3, 5))}, "1 2 3"},
		{"a refund", []postgres.ImportLine{refunded}, "1 2 3"},
		{"a further refund: the first one's date is gone", []postgres.ImportLine{again}, "1 2 3"},
		{"a cancellation", []postgres.ImportLine{cancelled("feb", day(4, 5))}, "1 2"},
		{"it stands after all", []postgres.ImportLine{line("feb", day(2, 5))}, "1 2"},
		{"another day", []postgres.ImportLine{line("may", day(4, 25))}, "1 2 3 4"},
		{"no order at all", []postgres.ImportLine{cancelled("jan", time.Time{})}, "1"},
	} {
		version, err := db.OrdersVersion(ctx, store.ID)
		check(t, err)
		for month := time.January; month <= time.June; month++ {
			check(t, db.InsertReference(ctx, store.ID, engine.NewDate(2026, month, 1), []byte("{}"), version))
		}
		_, err = db.ImportLines(ctx, store, fillWith(step.lines))
		check(t, err)
		var left string
		check(t, pool.QueryRow(ctx, `SELECT string_agg(extract(month FROM month)::text, ' ' ORDER BY month) FROM feature_reference WHERE store_id = $1`, store.ID).Scan(&left))
		if left != step.left {
			t.Errorf("%s: the references of %s stay, want %s", step.name, left, step.left)
		}
		checkStore(t, pool, store.ID)
	}
}

// TestHugeSums must not keep later orders of the customer out.
func TestHugeSums(t *testing.T) {
	t.Parallel()
	db := postgres.New(pgtest.DB(t))
	store, err := db.EnsureStore(t.Context(), "shop")
	check(t, err)
	for i := range 4 {
		line := postgres.ImportLine{Customer: "a", Line: engine.Line{OrderKey: fmt.Sprint(i), Number: 1, OrderedAt: time.Now(), Quantity: 1, NetCents: 5e18}}
		other := line
		other.OrderKey += "b"
		if changed, err := db.ImportLines(t.Context(), store, fillWith([]postgres.ImportLine{line, other})); err != nil || changed != 2 {
			t.Fatalf("import %d changed %d lines: %v", i, changed, err)
		}
	}
}

// TestImportFails leaves nothing behind, in a new store and in one with orders.
func TestImportFails(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	store, err := db.EnsureStore(t.Context(), "shop")
	check(t, err)
	lines := randomLines(rand.New(rand.NewPCG(1, 1)))
	refuse := engine.Errorf(engine.CodeInvalid, "no further")
	failing := func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		if err := yield(&postgres.ImportLine{Customer: "z", Line: engine.Line{OrderKey: "z", Number: 1, OrderedAt: time.Now(), Quantity: 1}}); err != nil {
			return 0, err
		}
		return 0, refuse
	}
	for range 2 {
		before := storedLines(t, pool, store.ID)
		if _, err := db.ImportLines(t.Context(), store, failing); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("the failing import gave %v", err)
		}
		long := []postgres.ImportLine{{Customer: "z\x00", Line: engine.Line{OrderKey: "z", Number: 1, OrderedAt: time.Now(), Quantity: 1}}}
		if _, err := db.ImportLines(t.Context(), store, fillWith(long)); err == nil {
			t.Error("a text that the database cannot hold was taken")
		}
		if diff := cmp.Diff(before, storedLines(t, pool, store.ID), cmp.AllowUnexported(lineKey{})); diff != "" {
			t.Errorf("failed imports left something behind: -before +after:\n%s", diff)
		}
		_, err := db.ImportLines(t.Context(), store, fillWith(lines))
		check(t, err)
	}
}

// TestForgetStore holds that a store is removed from every table: a new one must be named for it.
func TestForgetStore(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	own, other := twoStores(t, db)
	tables := namesOf(t, pool, storeTables, false)
	for _, table := range tables {
		if table != "customer_order" && !slices.Contains(postgres.StoreTables, table) {
			t.Errorf("ForgetStore leaves %s alone", table)
		}
	}
	check(t, db.ForgetStore(t.Context(), own.ID))
	for _, table := range tables {
		var left, kept int
		check(t, pool.QueryRow(t.Context(), "SELECT count(*) FILTER (WHERE store_id = $1), count(*) FILTER (WHERE store_id = $2) FROM "+table, own.ID, other.ID).Scan(&left, &kept))
		if left > 0 || kept == 0 && slices.Contains([]string{"store", "customer", "customer_order", "run"}, table) {
			t.Errorf("%s has %d rows of the store that is forgotten, and %d of another", table, left, kept)
		}
	}
}
