package jobs_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// TestOwnRetention keeps a store's snapshots for as long as the store says, and accounts for what goes.
func TestOwnRetention(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store := clusteredShop(t, q, db)
	now, _ := store.Now(clock())
	last := now - engine.Date(now.Weekday())
	for _, date := range []engine.Date{last - 21, last - 14, last - 7, last} {
		run, err := q.SnapshotStore(ctx, jobs.SnapshotRequest{Store: store, Type: engine.Weekly, Date: &date, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, q.Work(ctx, run, nil))
	}
	rows := func() (n int64) {
		t.Helper()
		check(t, pool.QueryRow(ctx, "SELECT count(*) FROM snapshot").Scan(&n))
		return n
	}
	before := rows()
	keep := int(now-last) + 7
	_, err := q.UpdateStore(ctx, jobs.SettingsRequest{Store: store, Retention: []jobs.Retention{{Type: engine.Weekly, KeepDays: &keep}}})
	check(t, err)
	plan, err := q.PlanCleanup(ctx, jobs.CleanupRequest{})
	check(t, err)
	if rows() != before || plan.DeletedCount == 0 {
		t.Errorf("a dry run left %d of %d snapshots and counts %d", rows(), before, plan.DeletedCount)
	}
	run, err := q.Cleanup(ctx, jobs.CleanupRequest{Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, q.Work(ctx, run, nil))
	run, err = db.Run(ctx, run.ID)
	check(t, err)
	var report jobs.CleanupReport
	check(t, json.Unmarshal(run.Report, &report))
	want := jobs.CleanupPolicy{
		Store: store.Key, Type: "weekly", Cutoff: last - 7, KeepDays: keep, Overridden: true, DeletedCount: plan.DeletedCount,
		DriftEvents: plan.Policies[1].DriftEvents, Transitions: plan.Policies[1].Transitions,
	}
	if report.Policies[1] != want || plan.Policies[1] != want || before-rows() != want.DeletedCount {
		t.Errorf("planned %+v, removed %+v and in truth %d; want %+v", plan.Policies[1], report.Policies[1], before-rows(), want)
	}
	var oldest string
	check(t, pool.QueryRow(ctx, "SELECT min(snapshot_date)::text FROM snapshot").Scan(&oldest))
	if oldest != (last - 7).String() {
		t.Errorf("the oldest snapshot is of %s, want %s", oldest, last-7)
	}
}

// TestAlarmsExpire removes the alarms of weeks whose snapshots retention let go, and keeps those of weeks that stay.
func TestAlarmsExpire(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store := clusteredShop(t, q, db)
	now, _ := store.Now(clock())
	last := now - engine.Date(now.Weekday())
	dates := []engine.Date{last - 21, last - 14, last - 7, last}
	for _, date := range dates {
		run, err := q.SnapshotStore(ctx, jobs.SnapshotRequest{Store: store, Type: engine.Weekly, Date: &date, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, q.Work(ctx, run, nil))
	}
	_, err := pool.Exec(ctx, "UPDATE snapshot SET replayed = true WHERE snapshot_date = $1::date", (last - 21).String())
	check(t, err)
	everybody := postgres.CustomerRange{From: 1, To: 1 << 40}
	var alarms []engine.Alarm
	var watched []postgres.WatchCount
	for _, date := range dates {
		alarms = append(alarms, engine.Alarm{StoreID: store.ID, CustomerID: 1, Kind: engine.AlarmSilence, Date: date, ModelVersion: 1})
		watched = append(watched, postgres.WatchCount{Date: date, Kind: engine.AlarmSilence, Watched: 9})
	}
	check(t, db.InTx(ctx, func(tx *postgres.Tx) error { return tx.ReplaceAlarms(ctx, store.ID, everybody, dates, alarms, watched) }))
	keep := int(now-last) + 7
	_, err = q.UpdateStore(ctx, jobs.SettingsRequest{Store: store, Retention: []jobs.Retention{{Type: engine.Weekly, KeepDays: &keep}}})
	check(t, err)
	for _, c := range []struct {
		replayedToo bool
		want        []engine.Date
	}{
		{false, []engine.Date{last - 21, last - 7, last}}, // the replayed week stays
		{true, []engine.Date{last - 7, last}},
	} {
		run, err := q.Cleanup(ctx, jobs.CleanupRequest{IncludeReplayed: c.replayedToo, Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, q.Work(ctx, run, nil))
		for _, table := range []string{"alarm", "alarm_watch"} {
			var left []string
			check(t, pool.QueryRow(ctx, "SELECT array_agg(DISTINCT alarm_date::text ORDER BY alarm_date::text) FROM "+table).Scan(&left))
			var want []string
			for _, date := range c.want {
				want = append(want, date.String())
			}
			if !slices.Equal(left, want) {
				t.Errorf("replayed too %v: %s has %v left, want %v", c.replayedToo, table, left, want)
			}
		}
	}
}

// TestAuditRetention lets old entries of the audit log go, of one store or of all, and accounts for them.
func TestAuditRetention(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	shop, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	other, err := db.EnsureStore(ctx, "other")
	check(t, err)
	const day = 24 * time.Hour
	for _, e := range []struct {
		store int32
		age   time.Duration
	}{{shop.ID, 399 * day}, {shop.ID, 401 * day}, {other.ID, 401 * day}, {0, 401 * day}, {0, 2000 * day}, {0, day}} {
		_, err := pool.Exec(ctx, "INSERT INTO audit_entry (store_id, asked_at, actor, role, mutation) VALUES ($1, $2, 'somebody', 'ADMIN', 'recluster')", e.store, clock().Add(-e.age))
		check(t, err)
	}
	for _, c := range []struct {
		name    string
		request jobs.CleanupRequest
		removed int64
		left    int
	}{
		{"of a type", jobs.CleanupRequest{Types: []engine.SnapshotType{engine.Daily}}, 0, 6},
		{"of a store", jobs.CleanupRequest{Store: shop}, 1, 5},
		{"of all", jobs.CleanupRequest{}, 3, 2},
		{"again", jobs.CleanupRequest{}, 0, 2},
	} {
		plan, err := q.PlanCleanup(ctx, c.request)
		check(t, err)
		c.request.Trigger = engine.TriggerCLI
		run, err := q.Cleanup(ctx, c.request)
		check(t, err)
		check(t, q.Work(ctx, run, nil))
		run, err = db.Run(ctx, run.ID)
		check(t, err)
		var report jobs.CleanupReport
		check(t, json.Unmarshal(run.Report, &report))
		var left int
		check(t, pool.QueryRow(ctx, "SELECT count(*) FROM audit_entry").Scan(&left))
		if plan.AuditEntries != c.removed || report.AuditEntries != c.removed || left != c.left {
			t.Errorf("a cleanup %s: planned %d, removed %d, %d are left; want %d and %d", c.name, plan.AuditEntries, report.AuditEntries, left, c.removed, c.left)
		}
	}
}

// TestLeavesAhead makes the partitions of the next period of each type, and once only.
func TestLeavesAhead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, _ := newQueueOn(t, pool)
	for range 2 {
		check(t, q.PrepareLeaves(ctx))
	}
	for _, name := range []string{
		"daily_20261121", "daily_20261122", "daily_20261129", "weekly_20261122", "weekly_20261206", "monthly_20261101", "monthly_20270101",
		"quarterly_20261001", "quarterly_20270101", "yearly_20260101", "yearly_20270101",
	} {
		var there bool
		check(t, pool.QueryRow(ctx, "SELECT to_regclass('snapshot_' || $1) IS NOT NULL", name).Scan(&there))
		if !there {
			t.Errorf("there is no partition snapshot_%s", name)
		}
	}
}
