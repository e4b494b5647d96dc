package jobs_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// zonedStore makes a store with a time zone.
func (s *stream) zonedStore(t *testing.T, key, zone string) *engine.Store {
	t.Helper()
	store, err := s.db.EnsureStore(t.Context(), key)
	check(t, err)
	store, err = s.arrive.UpdateStore(t.Context(), zoned(store, zone))
	check(t, err)
	return store
}

// contents tells lines, customers and articles of a store apart from those of any other.
func (s *stream) contents(t *testing.T, store *engine.Store) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for name, sql := range map[string]string{
		"lines": `SELECT (customer_key, order_key, line_no, ordered_at, sku, category, quantity, net_cents, discount_cents, refund_cents, refunded_at, cancelled_at)::text
  FROM customer_order JOIN customer USING (store_id, customer_id) WHERE store_id = $1`,
		"customers": `SELECT (customer_key, first_order_at, last_order_at, orders, value_cents)::text FROM customer WHERE store_id = $1`,
		"store":     `SELECT (currency, time_zone, columns, customers, first_order_at, last_order_at)::text FROM store WHERE store_id = $1`,
		"products":  `SELECT (sku, category)::text FROM product WHERE store_id = $1`,
	} {
		var sum string
		check(t, s.pool.QueryRow(t.Context(), `SELECT count(*) || ' ' || md5(coalesce(string_agg(r, E'\n' ORDER BY r COLLATE "C"), '')) FROM (`+sql+`) rows(r)`, store.ID).Scan(&sum))
		sums[name] = sum
	}
	return sums
}

// features are those of all customers, by the name that the store uses, as of now.
func (s *stream) features(t *testing.T, store *engine.Store) map[string][]float64 {
	t.Helper()
	store = s.again(t, t, store)
	now, _ := store.Instant(clock())
	names := map[int64]string{}
	rows, err := s.pool.Query(t.Context(), "SELECT customer_id, customer_key FROM customer WHERE store_id = $1", store.ID)
	check(t, err)
	for rows.Next() {
		var id int64
		var name string
		check(t, rows.Scan(&id, &name))
		names[id] = name
	}
	check(t, rows.Err())
	builder := feature.NewBuilder(store.Zone, store.Columns)
	all := map[string][]float64{}
	for customer, err := range s.db.Lines(t.Context(), store.ID, postgres.CustomerRange{To: math.MaxInt64}, now) {
		check(t, err)
		builder.Build(customer.Lines, []engine.Instant{{At: now}}, func(_ int, f *engine.Features) {
			for _, v := range f.Values {
				all[names[customer.CustomerID]] = append(all[names[customer.CustomerID]], float64(v))
			}
		})
	}
	return all
}

// TestExport holds that an export of a real store changes nothing when it is imported again, and makes the same store anew.
func TestExport(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	for _, name := range []string{"superstore.csv.gz", "cdnow_sample.csv.gz", "raw/online_retail_raw_2010-12-01_05.csv.gz", "raw/shopify_orders_export_dirty.csv"} {
		store := s.zonedStore(t, name, "Europe/Berlin")
		products := ingest.Options{Products: ingest.Products{"never sold": "Nothing"}}
		if strings.Contains(name, "shopify") {
			products.Products["fur-bo-10003441"] = `Furniture > "Bookcases", wood`
		}
		_, err := s.arrive.Import(t.Context(), store, []jobs.Source{sample(t, name)}, products, nil, nil)
		check(t, err)
		later := order("later, ~1", `Ann "A", Ltd.`, 9)
		s.send(t, t, store, later, changed(order("~2", "bob@x", 3), func(o *jobs.Order) {
			o.Lines[0].Refunded, o.Lines[0].RefundedAt = "2.50", told().Add(-time.Hour)
		}), changed(order("3", "bob@x", 4), func(o *jobs.Order) { o.Lines[0].Refunded = "18.999" }))
		later.CancelledAt = told().Add(-50 * time.Hour)
		s.send(t, t, store, later)
		if name == "cdnow_sample.csv.gz" { // its lines have no ids, and keep keys of the former zone
			store, err = s.arrive.UpdateStore(t.Context(), zoned(s.again(t, t, store), "America/New_York"))
			check(t, err)
		}
		store = s.again(t, t, store)
		want := s.contents(t, store)

		var orders, articles bytes.Buffer
		written, err := s.arrive.ExportOrders(t.Context(), store, &orders, &articles)
		check(t, err)
		if !strings.HasPrefix(want["lines"], fmt.Sprint(written.Lines, " ")) || !strings.HasPrefix(want["products"], fmt.Sprint(written.Products, " ")) {
			t.Errorf("%s: %+v are exported of %v", name, written, want)
		}
		known, err := ingest.ReadProducts(bytes.NewReader(articles.Bytes()))
		check(t, err)
		source := jobs.Source{Name: "export", Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(orders.Bytes())), nil }}
		again, err := s.arrive.Import(t.Context(), store, []jobs.Source{source}, ingest.Options{}, nil, nil)
		check(t, err)
		if again.Changed != 0 || again.Imported != written.Lines || again.Rows != again.Imported || again.Format != ingest.FormatNormalised {
			t.Errorf("%s: importing the export again: %+v", name, again)
		}
		if diff := gocmp.Diff(want, s.contents(t, store)); diff != "" {
			t.Errorf("%s: the export changed its store: -want +got:\n%s", name, diff)
		}
		anew := s.zonedStore(t, "anew "+name, store.Zone.String())
		report, err := s.arrive.Import(t.Context(), anew, []jobs.Source{source}, ingest.Options{Products: known}, nil, nil)
		check(t, err)
		if report.Changed != written.Lines {
			t.Errorf("%s: a new store of the export: %+v", name, report)
		}
		if diff := gocmp.Diff(want, s.contents(t, anew)); diff != "" {
			t.Errorf("%s: the new store is another: -want +got:\n%s", name, diff)
		}
		sameNumbers := gocmp.Comparer(func(a, b float64) bool { return a == b || a != a && b != b })
		if before, after := s.features(t, store), s.features(t, anew); len(before) < 100 || !gocmp.Equal(before, after, sameNumbers) {
			t.Errorf("%s: features of %d customers are others in the new store: %s", name, len(before), gocmp.Diff(before, after, sameNumbers))
		}
	}
}
