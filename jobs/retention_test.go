package jobs_test

import (
	"encoding/json"
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
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
	want := jobs.CleanupPolicy{Store: store.Key, Type: "weekly", Cutoff: last - 7, KeepDays: keep, Overridden: true, DeletedCount: plan.DeletedCount}
	if report.Policies[1] != want || plan.Policies[1] != want || before-rows() != want.DeletedCount {
		t.Errorf("planned %+v, removed %+v and in truth %d; want %+v", plan.Policies[1], report.Policies[1], before-rows(), want)
	}
	var oldest string
	check(t, pool.QueryRow(ctx, "SELECT min(snapshot_date)::text FROM snapshot").Scan(&oldest))
	if oldest != (last - 7).String() {
		t.Errorf("the oldest snapshot is of %s, want %s", oldest, last-7)
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
