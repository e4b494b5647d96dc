package jobs_test

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/jobs"
)

// TestCurrency holds that a store's amounts are in one currency, that of its first orders unless it was set.
func TestCurrency(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	const head = "customer_id,order_id,ordered_at,quantity,unit_price,currency\n"
	rows := func(name string, currencies ...string) string {
		text := head
		for _, c := range currencies {
			text += "ann," + name + c + ",2026-11-20T10:00:00Z,1,10," + c + "\n"
		}
		return text
	}
	shop := func(name, currency string) *engine.Store {
		store, err := s.db.EnsureStore(t.Context(), name)
		check(t, err)
		if currency != "" {
			_, err = s.arrive.UpdateStore(t.Context(), settingOf(store, currency))
			check(t, err)
		}
		return store
	}
	of := func(store *engine.Store) string { return s.again(t, t, store).Currency }

	byFile := shop("by file", "")
	sources := []jobs.Source{file("1", rows("a", "")), file("2", rows("b", "usd", "USD")), file("3", rows("c", "EUR", "USD"))}
	report, err := s.arrive.Import(t.Context(), byFile, sources, ingest.Options{}, nil, nil)
	check(t, err)
	if of(byFile) != "USD" || report.Currency != "USD" || report.Imported != 4 || report.Problems["IMPOSSIBLE"] != 1 {
		t.Errorf("the store is in %q: %+v", of(byFile), report)
	}
	said := ingest.Options{Currency: "EUR"}
	if _, err := s.arrive.Import(t.Context(), byFile, sources[:1], said, nil, nil); engine.CodeOf(err) != engine.CodeConflict {
		t.Errorf("another currency than the store's was taken: %v", err)
	}

	mixed := shop("mixed", "")
	if _, err := s.arrive.Import(t.Context(), mixed, sources[2:], ingest.Options{}, nil, nil); engine.CodeOf(err) != engine.CodeInvalid || !strings.Contains(err.Error(), "--currency") {
		t.Errorf("a file of two currencies: %v", err)
	}
	if n := s.orders(t, mixed); n != 0 || of(mixed) != "" {
		t.Errorf("a refused file left %d orders and the currency %q", n, of(mixed))
	}
	report, err = s.arrive.Import(t.Context(), mixed, sources[2:], said, nil, nil)
	check(t, err)
	if of(mixed) != "EUR" || report.Imported != 1 || report.Rejected != 1 {
		t.Errorf("with a word of the caller the store is in %q: %+v", of(mixed), report)
	}

	byCall := shop("by call", "")
	in := func(id, currency string) jobs.Order {
		return changed(order(id, "ann", 3), func(o *jobs.Order) { o.Currency = currency })
	}
	guest := changed(in("0", "GBP"), func(o *jobs.Order) { o.Customer = "" })
	want := []string{"0 REJECTED GUEST", "1 CREATED", "2 CREATED", "3 REJECTED IMPOSSIBLE", "4 CREATED"}
	if diff := gocmp.Diff(want, outcomes(s.send(t, t, byCall, guest, in("1", ""), in("2", "eur"), in("3", "USD"), in("4", "EUR")))); diff != "" || of(byCall) != "EUR" {
		t.Errorf("a call left the currency %q (-want +got):\n%s", of(byCall), diff)
	}
	// A store that had orders before it could have a currency is not held to that of whatever comes next.
	old := shop("old", "")
	s.send(t, t, old, in("1", ""))
	want = []string{"2 CREATED", "3 CREATED"}
	if diff := gocmp.Diff(want, outcomes(s.send(t, t, old, in("2", "USD"), in("3", "EUR")))); diff != "" || of(old) != "" {
		t.Errorf("a call gave an old store the currency %q (-want +got):\n%s", of(old), diff)
	}
	s.webhook(t, old, 4, in("#4", "GBP"), told())
	if got, n := of(old), s.orders(t, old); got != "" || n != 4 {
		t.Errorf("a webhook gave an old store the currency %q, and it has %d orders, want 4", got, n)
	}
	nowhere := shop("nowhere", "")
	if s.send(t, t, nowhere, in("1", "QQQ")); of(nowhere) != "" {
		t.Errorf("a currency that is none became the store's: %q", of(nowhere))
	}
	set := shop("set", "CHF")
	if got := outcomes(s.send(t, t, set, in("1", "EUR"))); got[0] != "1 REJECTED IMPOSSIBLE" || of(set) != "CHF" {
		t.Errorf("a store with a currency: %v, then %q", got, of(set))
	}
}

func settingOf(store *engine.Store, currency string) jobs.SettingsRequest {
	q := jobs.SettingsRequest{Store: store}
	q.Currency = &currency
	return q
}
