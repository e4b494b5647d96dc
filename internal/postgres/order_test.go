package postgres_test

import (
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

// take does what an import of these lines means, and counts the lines that changed.
func (b orderBook) take(lines []postgres.ImportLine) (changed int64) {
	last := map[string]int32{}
	for _, l := range lines {
		if !strings.HasPrefix(l.OrderKey, "~") {
			last[l.OrderKey] = max(last[l.OrderKey], l.Number)
		}
	}
	for key := range b {
		if n, replaced := last[key.order]; replaced && key.line > n {
			delete(b, key)
			changed++
		}
	}
	for _, l := range lines {
		key := lineKey{l.OrderKey, l.Number}
		if old, ok := b[key]; !ok || old != l {
			b[key] = l
			changed++
		}
	}
	return changed
}

// randomLines are some orders, each whole, and some rows without an order.
func randomLines(random *rand.Rand) (lines []postgres.ImportLine) {
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	line := func(order string, number int32) postgres.ImportLine {
		l := postgres.ImportLine{Customer: fmt.Sprintf("c%d", random.IntN(5)), HasDiscount: random.IntN(2) == 0, Line: engine.Line{
			OrderKey: order, Number: number, OrderedAt: start.Add(time.Duration(random.IntN(400)) * time.Hour), SKU: []string{"", "a", "b"}[random.IntN(3)],
			Category: []string{"", "x > y"}[random.IntN(2)], Quantity: int32(random.IntN(4)*2 - 1), NetCents: int64(random.IntN(3) * 1000),
		}}
		if l.HasDiscount {
			l.DiscountCents = int64(random.IntN(2) * 50)
		}
		if random.IntN(3) == 0 {
			l.RefundCents, l.RefundedAt = 100, l.OrderedAt.Add(36*time.Hour)
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
  o.net_cents, o.discount_cents IS NOT NULL, coalesce(o.discount_cents, 0), o.refund_cents, o.refunded_at
FROM customer_order o JOIN customer c USING (store_id, customer_id) WHERE o.store_id = $1`, storeID)
	check(t, err)
	book := orderBook{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var l postgres.ImportLine
		var refunded *time.Time
		err := row.Scan(&l.Customer, &l.OrderKey, &l.Number, &l.OrderedAt, &l.SKU, &l.Category, &l.Quantity, &l.NetCents, &l.HasDiscount, &l.DiscountCents,
			&l.RefundCents, &refunded)
		l.OrderedAt = l.OrderedAt.UTC()
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

// TestImports holds imports one after another, the first of which makes the store's table, against the plain model.
func TestImports(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	for seed := range uint64(6) {
		store, err := db.EnsureStore(t.Context(), fmt.Sprint("shop", seed))
		check(t, err)
		random := rand.New(rand.NewPCG(seed, 1))
		book := orderBook{}
		for round := range 8 {
			lines := randomLines(random)
			want := book.take(lines)
			changed, err := db.ImportLines(t.Context(), store, fillWith(lines))
			check(t, err)
			if changed != want {
				t.Errorf("seed %d, round %d: %d lines changed, want %d", seed, round, changed, want)
			}
			if diff := cmp.Diff(book, storedLines(t, pool, store.ID), cmp.AllowUnexported(lineKey{})); diff != "" {
				t.Fatalf("seed %d, round %d: -want +stored:\n%s", seed, round, diff)
			}
			if diff := cmp.Diff(customerTotals(book), storedTotals(t, pool, store.ID)); diff != "" {
				t.Fatalf("seed %d, round %d: -want +stored:\n%s", seed, round, diff)
			}
			if again, err := db.ImportLines(t.Context(), store, fillWith(lines)); err != nil || again != 0 {
				t.Fatalf("seed %d, round %d: the same lines once more changed %d (%v)", seed, round, again, err)
			}
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
