package jobs

import (
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/robfig/cron/v3"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestLastPlannedTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, now, want string }{
		{"0 2 * * *", "2026-11-22T01:59:59Z", "2026-11-21T02:00:00Z"},
		{"0 2 * * *", "2026-11-22T02:00:00Z", "2026-11-22T02:00:00Z"},
		{"0 3 * * 0", "2026-11-21T12:00:00Z", "2026-11-15T03:00:00Z"},
		{"0 4 1 * *", "2026-03-01T03:59:00Z", "2026-02-01T04:00:00Z"},
		{"0 4 1 * *", "2028-02-29T23:00:00Z", "2028-02-01T04:00:00Z"},
	} {
		times, err := cron.ParseStandard(c.cron)
		if err != nil {
			t.Fatal(err)
		}
		if got := lastBefore(times, at(c.now)); !got.Equal(at(c.want)) {
			t.Errorf("%s at %s: %s, want %s", c.cron, c.now, got, c.want)
		}
	}
}

func TestFirstsOfAMonth(t *testing.T) {
	t.Parallel()
	for day, want := range map[string][]engine.SnapshotType{
		"2026-02-01": {engine.Monthly},
		"2026-04-01": {engine.Monthly, engine.Quarterly},
		"2027-01-01": {engine.Monthly, engine.Quarterly, engine.Yearly},
	} {
		date, err := engine.ParseDate(day)
		if err != nil {
			t.Fatal(err)
		}
		if got := firstsOf(date); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", day, got, want)
		}
	}
}

// slotted is a queue with a clock that the test sets, and a live store with a model in force.
func slotted(t *testing.T, clock *time.Time) (*Queue, *postgres.DB, *engine.Store) {
	t.Helper()
	return slottedOn(t, pgtest.DB(t), clock)
}

func slottedOn(t *testing.T, pool *pgxpool.Pool, clock *time.Time) (*Queue, *postgres.DB, *engine.Store) {
	t.Helper()
	db := postgres.New(pool)
	q, err := NewQueue(db, DefaultSettings(), slog.New(slog.DiscardHandler), func() time.Time { return *clock })
	if err != nil {
		t.Fatal(err)
	}
	store, err := db.EnsureStore(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	const file = "customer_id,ordered_at,quantity,unit_price\nann,2026-11-20T10:00:00Z,1,12.50\n"
	source := Source{Name: "orders.csv", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(file)), nil }}
	if _, err := q.Import(t.Context(), store, []Source{source}, ingest.Options{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	model := &engine.Model{Version: 1}
	err = db.InTx(t.Context(), func(tx *postgres.Tx) error { return tx.InsertModel(t.Context(), store.ID, uuid.NewString(), model) })
	if err != nil {
		t.Fatal(err)
	}
	if store, err = db.StoreByKey(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	return q, db, store
}

func snapshotRuns(t *testing.T, db *postgres.DB, store *engine.Store) []*engine.Run {
	t.Helper()
	runs, err := db.Runs(t.Context(), postgres.RunQuery{StoreID: store.ID, Kinds: []engine.RunKind{engine.RunSnapshot}, Window: postgres.Window{Limit: 100}})
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// TestSlotHappensOnce lets two instances fill the same slot at once, again and again.
func TestSlotHappensOnce(t *testing.T) {
	t.Parallel()
	clock := at("2026-11-22T03:00:01Z")
	q, db, store := slotted(t, &clock)
	faults := make(chan error, 8)
	for range cap(faults) {
		go func() { faults <- q.fill(t.Context(), 1, at("2026-11-22T03:00:00Z")) }()
	}
	for range cap(faults) {
		if err := <-faults; err != nil {
			t.Fatal(err)
		}
	}
	runs := snapshotRuns(t, db, store)
	if len(runs) != 1 || runs[0].Trigger != engine.TriggerSchedule || runs[0].State != engine.RunQueued {
		t.Fatalf("%d runs, want one that is queued", len(runs))
	}
	if runs[0].Slot == nil || !runs[0].Slot.Equal(at("2026-11-22T03:00:00Z")) {
		t.Errorf("slot %v", runs[0].Slot)
	}
}

// TestCatchUp makes what an outage missed, the newest slot only, and nothing at a first start.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	clock := at("2026-11-23T12:00:00Z")
	q, db, store := slotted(t, &clock)
	if err := q.catchUp(t.Context(), 0, at("2026-11-23T02:00:00Z")); err != nil {
		t.Fatal(err)
	}
	if runs := snapshotRuns(t, db, store); len(runs) != 0 {
		t.Fatalf("a first start made %d runs, want none", len(runs))
	}
	if err := q.fill(t.Context(), 0, at("2026-11-20T02:00:00Z")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := q.catchUp(t.Context(), 0, at("2026-11-23T02:00:00Z")); err != nil {
			t.Fatal(err)
		}
	}
	if runs := snapshotRuns(t, db, store); len(runs) != 2 {
		t.Fatalf("%d runs after an outage of three days, want the one before it and the newest", len(runs))
	}
}

// TestStaleStore leaves a shop alone whose last order is long ago.
func TestStaleStore(t *testing.T) {
	t.Parallel()
	clock := at("2027-06-01T12:00:00Z")
	q, db, store := slotted(t, &clock)
	if err := q.fill(t.Context(), 0, at("2027-06-01T02:00:00Z")); err != nil {
		t.Fatal(err)
	}
	if runs := snapshotRuns(t, db, store); len(runs) != 0 {
		t.Errorf("%d runs for a store that is not live, want none", len(runs))
	}
}
