package jobs_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

func zoned(store *engine.Store, zone string) jobs.SettingsRequest {
	return jobs.SettingsRequest{Store: store, TimeZone: &zone}
}

// file is a source that can be read again and again.
func file(name, text string) jobs.Source {
	return jobs.Source{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

// TestTimeZone changes a store's zone: instants stay, days and what is counted by them change.
func TestTimeZone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	orders := file("orders.csv", `customer_id,order_id,ordered_at,quantity,unit_price
a,1,2026-03-01T20:00:00Z,1,5.00
a,2,2026-03-02T02:00:00Z,1,5.00
b,3,2026-04-01T12:00:00Z,1,5.00
`)
	_, err = q.Import(ctx, store, []jobs.Source{orders}, ingest.Options{}, nil, nil)
	check(t, err)
	version, err := db.OrdersVersion(ctx, store.ID)
	check(t, err)
	month := day(t, "2026-04-01")
	check(t, db.InsertReference(ctx, store.ID, month, []byte("{}"), version))

	stale := *store
	store, err = q.UpdateStore(ctx, zoned(store, "America/New_York"))
	check(t, err)
	a := find(t, q, store, "a")
	if a.Orders != 1 || !a.FirstOrderAt.Equal(time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)) || store.Zone.String() != "America/New_York" {
		t.Errorf("in New York the customer has %d purchases since %s", a.Orders, a.FirstOrderAt)
	}
	references, err := db.References(ctx, store.ID, []engine.Date{month})
	check(t, err)
	if len(references) > 0 {
		t.Error("a reference by the months of the old zone is still there")
	}
	// One that was being made meanwhile is not kept.
	check(t, db.InsertReference(ctx, store.ID, month, []byte("{}"), version))
	if references, err = db.References(ctx, store.ID, []engine.Date{month}); err != nil || len(references) > 0 {
		t.Errorf("a reference made by the old zone was kept (%v)", err)
	}
	// Whoever has read the store before would count days by the old zone.
	_, err = q.Import(ctx, &stale, []jobs.Source{orders}, ingest.Options{}, nil, nil)
	want(t, err, engine.CodeConflict)
	report, err := q.Import(ctx, store, []jobs.Source{orders}, ingest.Options{}, nil, nil)
	check(t, err)
	if report.Changed != 0 {
		t.Errorf("the same file changed %d lines: its times name their zone", report.Changed)
	}
	_, err = q.UpdateStore(ctx, zoned(&stale, "Europe/Berlin"))
	want(t, err, engine.CodeConflict)
}

// TestTimeZoneWithoutOrderIDs imports a file again whose lines are known by their times alone, after the zone has changed.
func TestTimeZoneWithoutOrderIDs(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	q, db := newQueue(t)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	orders := file("orders.csv", `customer_id,ordered_at,quantity,unit_price
a,2026-03-01,1,5.00
a,2026-03-01,1,5.00
a,2026-03-05,1,5.00
b,2026-04-01,1,7.00
`)
	for _, step := range []struct {
		zone    string
		changed int64
	}{{"UTC", 4}, {"America/New_York", 4}, {"America/New_York", 0}, {"Asia/Tokyo", 4}, {"UTC", 4}, {"UTC", 0}} {
		store, err = q.UpdateStore(ctx, zoned(store, step.zone))
		check(t, err)
		report, err := q.Import(ctx, store, []jobs.Source{orders}, ingest.Options{}, nil, nil)
		check(t, err)
		a := find(t, q, store, "a")
		midnight := day(t, "2026-03-01").In(store.Zone)
		if report.Changed != step.changed || a.Orders != 2 || a.ValueCents != 1500 || !a.FirstOrderAt.Equal(midnight) {
			t.Errorf("%s: %d lines changed, want %d; the customer is %+v", step.zone, report.Changed, step.changed, a)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	q, db := newQueue(t)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	text := func(s string) *string { return &s }
	weekday := time.Weekday(7)
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprint("status ", i)
	}
	refused := []jobs.SettingsRequest{
		zoned(store, ""), zoned(store, "Local"), zoned(store, "Mars/Olympus"), zoned(store, "../etc/passwd"),
		{Store: store, StoreSettings: postgres.StoreSettings{Name: text(" ")}},
		{Store: store, StoreSettings: postgres.StoreSettings{Name: text("two\nlines")}},
		{Store: store, StoreSettings: postgres.StoreSettings{Name: text(strings.Repeat("ä", 101))}},
		{Store: store, StoreSettings: postgres.StoreSettings{Currency: text("EURO")}},
		{Store: store, StoreSettings: postgres.StoreSettings{Currency: text("QQQ")}},
		{Store: store, StoreSettings: postgres.StoreSettings{WeekStart: &weekday}},
		{Store: store, StoreSettings: postgres.StoreSettings{PurchaseStatuses: &many}},
		{Store: store, StoreSettings: postgres.StoreSettings{PurchaseStatuses: &[]string{"a\x00b"}}},
	}
	for _, request := range refused {
		_, err := q.UpdateStore(ctx, request)
		want(t, err, engine.CodeInvalid)
	}
	always, monday := true, time.Monday
	changed, err := q.UpdateStore(ctx, jobs.SettingsRequest{Store: store, TimeZone: text("Europe/Berlin"), StoreSettings: postgres.StoreSettings{
		Name: text("Läden"), Currency: text("eur"), WeekStart: &monday, PurchaseStatuses: &[]string{" PAID ", "paid", "wc-completed"}, SetScheduled: true, Scheduled: &always,
	}})
	check(t, err)
	got := fmt.Sprintln(changed.Name, changed.Currency, changed.Zone, changed.WeekStart, changed.PurchaseStatuses, *changed.Scheduled, changed.Live(clock()))
	if wanted := "Läden EUR Europe/Berlin Monday [paid completed] true true\n"; got != wanted {
		t.Errorf("the settings are %s, want %s", got, wanted)
	}
	same, err := q.UpdateStore(ctx, jobs.SettingsRequest{Store: changed, StoreSettings: postgres.StoreSettings{SetScheduled: true}})
	check(t, err)
	if same.Scheduled != nil || same.Name != "Läden" || same.Live(clock()) {
		t.Errorf("the schedule alone was to change: %+v", same)
	}
}

// TestReplayUnderAModel replays under an earlier model; where customers stand now is the newest's business.
func TestReplayUnderAModel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store := clusteredShop(t, q, db)
	// What of the future the new model predicts is the store's own.
	horizon, margin := 60, 0.25
	store, err := q.UpdateStore(ctx, jobs.SettingsRequest{Store: store, StoreSettings: postgres.StoreSettings{SetHorizonDays: true, HorizonDays: &horizon, SetMargin: true, Margin: &margin}})
	check(t, err)
	params, seed := engine.DefaultParams(), uint64(2)
	params.ChooseK, params.Hierarchical, params.Starts, params.MaxIterations = false, false, 1, 20
	run, err := q.Recluster(ctx, jobs.ReclusterRequest{Store: store, Params: params, Seed: &seed, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, q.Work(ctx, run, nil))
	newest, err := db.NewestModel(ctx, store.ID)
	check(t, err)
	if got, want := newest.Model.Predictor.Settings, (engine.PredictionSettings{HorizonDays: 60, Margin: 0.25, Discount: 0.01}); got != want {
		t.Errorf("the model predicts by %+v, want %+v", got, want)
	}
	_, err = pool.Exec(ctx, "DELETE FROM customer_state")
	check(t, err)
	var rows int64
	var states int
	check(t, pool.QueryRow(ctx, `SELECT count(*), count(DISTINCT customer_id) FROM customer
CROSS JOIN generate_series(timestamp '1998-05-03', '1998-05-31', '7 days') d WHERE first_order_at < d AT TIME ZONE 'UTC'`).Scan(&rows, &states))
	request := jobs.ReplayRequest{Store: store, Type: engine.Weekly, From: day(t, "1998-05-01"), To: day(t, "1998-06-01"), ModelVersion: 1, Trigger: engine.TriggerCLI}
	for _, step := range []struct {
		version  int
		conflict jobs.Conflict
		rows     int64
		states   int
	}{
		{1, jobs.ConflictKeep, rows, 0},
		{2, jobs.ConflictKeep, 0, 0},
		{2, jobs.ConflictReplace, rows, states},
	} {
		request.ModelVersion, request.Conflict = step.version, step.conflict
		run, err := q.Replay(ctx, request)
		check(t, err)
		check(t, q.Work(ctx, run, nil))
		run, err = db.Run(ctx, run.ID)
		check(t, err)
		var states, others int
		check(t, pool.QueryRow(ctx, "SELECT (SELECT count(*) FROM customer_state), (SELECT count(*) FROM snapshot WHERE model_id <> $1)", step.version).Scan(&states, &others))
		if run.Rows != step.rows || states != step.states || step.rows > 0 && others > 0 {
			t.Errorf("model %d, %s: %d snapshots, want %d; %d of another model; %d states, want %d", step.version, step.conflict, run.Rows, step.rows, others, states, step.states)
		}
	}
	for _, version := range []int{3, -1} {
		request.ModelVersion = version
		_, err = q.Replay(ctx, request)
		want(t, err, engine.CodeNotFound)
	}
	request.ModelVersion, request.Conflict = 1, jobs.ConflictFail
	_, err = q.Replay(ctx, request)
	want(t, err, engine.CodeInvalid)
}
