package postgres_test

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMigrations goes all the way down and up again.
func TestMigrations(t *testing.T) {
	t.Parallel()
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	db := postgres.New(pgtest.DB(t))
	list, err := db.Migrations(ctx, log)
	check(t, err)
	for range list {
		check(t, db.MigrateDown(ctx, log))
	}
	if err := db.MigrateDown(ctx, log); engine.CodeOf(err) != engine.CodeConflict {
		t.Errorf("one step too far down gave %v, want CONFLICT", err)
	}
	check(t, db.Migrate(ctx, log))
	list, err = db.Migrations(ctx, log)
	check(t, err)
	for _, m := range list {
		if !m.Applied {
			t.Errorf("%s is not applied after going down and up", m.Name)
		}
	}
}

// TestTemporalSnapshots reads a snapshot in the form that the source document promises.
func TestTemporalSnapshots(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	model := &engine.Model{Version: 1}
	model.Axes[0] = engine.AxisModel{Status: engine.AxisOn, Leaves: 2, Segments: []engine.Segment{
		{Path: "seg_0", Name: "100 % often", Parent: -1, Leaf: 0}, {Path: "seg_1", Name: `"seldom"`, Parent: -1, Leaf: 1},
	}}
	date := engine.NewDate(2026, 11, 22)
	check(t, db.EnsureLeaves(ctx, engine.Weekly, []engine.Date{date}))
	check(t, db.EnsureLeaves(ctx, engine.Weekly, []engine.Date{date, date - 7}))
	dominant := make([]int16, engine.AxisCount)
	for a := range dominant[1:] {
		dominant[a+1] = -1
	}
	check(t, db.InTx(ctx, func(tx *postgres.Tx) error {
		if err := tx.InsertModel(ctx, store.ID, uuid.NewString(), model); err != nil {
			return err
		}
		return tx.CopySnapshots(ctx, []postgres.WrittenSnapshot{{Snapshot: engine.Snapshot{
			StoreID: store.ID, CustomerID: 1, Type: engine.Weekly, Date: date, ModelVersion: 1, Purchases: 3, ValueCents: 12345, FirstAt: date - 100,
			Thumbprint: engine.Thumbprint{Membership: []int16{7500, 2500}, Dominant: dominant},
		}}})
	}))
	var memberships, dominants []byte
	var kind, value string
	var days int
	check(t, pool.QueryRow(ctx, `SELECT fuzzy_memberships, dominant_segments, snapshot_type, total_value_at_snapshot::text, days_since_first_order
FROM temporal_snapshots WHERE store_id = 'shop'`).Scan(&memberships, &dominants, &kind, &value, &days))
	var members map[string]map[string]float64
	check(t, json.Unmarshal(memberships, &members))
	if m := members["purchase_frequency"]; len(members) != 1 || m["100 % often"] != 0.75 || m[`"seldom"`] != 0.25 {
		t.Errorf("memberships %s", memberships)
	}
	var names map[string]*string
	check(t, json.Unmarshal(dominants, &names))
	if n := names["purchase_frequency"]; len(names) != engine.AxisCount || n == nil || *n != "100 % often" || names["purchase_value"] != nil {
		t.Errorf("dominant segments %s", dominants)
	}
	if kind != "weekly" || value != "123.45" || days != 100 {
		t.Errorf("type %s, value %s, days %d", kind, value, days)
	}
}

// TestHold tells the work of the living from that of the dead.
func TestHold(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := postgres.New(pgtest.DB(t))
	first, err := db.TryHold(ctx, "run:1")
	check(t, err)
	if first == nil {
		t.Fatal("a free hold was not given")
	}
	if second, err := db.TryHold(ctx, "run:1"); err != nil || second != nil {
		t.Fatalf("a hold was given twice (%v)", err)
	}
	first.Release()
	third, err := db.TryHold(ctx, "run:1")
	check(t, err)
	if third == nil {
		t.Fatal("a released hold is not free")
	}
	third.Release()
}
