package jobs

import (
	"context"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// policy is what retention says of one type of snapshots of a store.
type policy struct {
	CleanupPolicy
	store *engine.Store
	kind  engine.SnapshotType
	now   engine.Date // in the store
}

// policies lists what retention says, by store and type.
func (r *Runner) policies(ctx context.Context, storeKey string, types []engine.SnapshotType) ([]*policy, error) {
	stores, err := r.db.Stores(ctx)
	if err != nil {
		return nil, err
	}
	if storeKey != "" {
		store, err := r.db.StoreByKey(ctx, storeKey)
		if err != nil {
			return nil, err
		}
		stores = []*engine.Store{store}
	}
	policies := []*policy{}
	for _, store := range stores {
		now, ok := store.Now(r.now())
		if !ok {
			continue
		}
		overrides, err := r.db.RetentionOverrides(ctx, store.ID)
		if err != nil {
			return nil, err
		}
		for _, kind := range engine.SnapshotTypes {
			if len(types) > 0 && !slices.Contains(types, kind) {
				continue
			}
			p := &policy{CleanupPolicy{Store: store.Key, Type: kind.String(), KeepDays: r.settings.Retention[kind]}, store, kind, now}
			if days, ok := overrides[kind]; ok {
				p.KeepDays, p.Overridden = days, true
			}
			p.Cutoff = now - engine.Date(p.KeepDays)
			policies = append(policies, p)
		}
	}
	return policies, nil
}

// auditDays is how long entries of the audit log are kept: over a year, so that a yearly review sees all of it.
const auditDays = 400

func (r *Runner) auditCutoff() time.Time { return r.now().AddDate(0, 0, -auditDays) }

// DefaultRunRetention is how many days runs are kept unless set: as long as the audit log that names them.
const DefaultRunRetention = auditDays

// minRunRetention is the fewest days: keys of a day, and whoever looks on Monday for what failed on Friday.
const minRunRetention = 7

func (r *Runner) runCutoff() time.Time { return r.now().AddDate(0, 0, -r.settings.RunRetention) }

// PlanCleanup counts what a cleanup would remove.
func (r *Runner) PlanCleanup(ctx context.Context, q CleanupRequest) (CleanupReport, error) {
	key := ""
	if q.Store != nil {
		key = q.Store.Key
	}
	policies, err := r.policies(ctx, key, q.Types)
	if err != nil {
		return CleanupReport{}, err
	}
	for _, p := range policies {
		if p.DeletedCount, p.ReplayedCount, err = r.db.CountExpired(ctx, p.store.ID, p.kind, p.Cutoff); err != nil {
			return CleanupReport{}, err
		}
		if p.DriftEvents, p.Transitions, err = r.db.CountAftermath(ctx, p.aftermath(q.IncludeReplayed)); err != nil {
			return CleanupReport{}, err
		}
		if q.IncludeReplayed {
			p.DeletedCount += p.ReplayedCount
		}
	}
	report := report(policies)
	if len(q.Types) == 0 {
		var store int32
		if q.Store != nil {
			store = q.Store.ID
		}
		if report.AuditEntries, err = r.db.CountOldAudit(ctx, store, r.auditCutoff()); err != nil {
			return CleanupReport{}, err
		}
		report.RunCutoff = r.runCutoff()
		report.Runs, err = r.db.CountOldRuns(ctx, store, report.RunCutoff)
	}
	return report, err
}

func report(policies []*policy) CleanupReport {
	report := CleanupReport{Policies: []CleanupPolicy{}}
	for _, p := range policies {
		report.DeletedCount += p.DeletedCount
		report.Policies = append(report.Policies, p.CleanupPolicy)
	}
	return report
}

// cleanupBatch is how many rows are removed at once.
const cleanupBatch = 20_000

// cleanup removes what retention lets go: whole leaves first, then, from leaves with rows that must stay, in batches. Old entries of
// the audit log go with it, unless it is about some types of snapshots.
func (r *Runner) cleanup(ctx context.Context, run *engine.Run) error {
	var q Cleanup
	if err := decode(run, &q); err != nil {
		return err
	}
	var types []engine.SnapshotType
	for _, name := range q.Types {
		kind, err := engine.ParseSnapshotType(name)
		if err != nil {
			return err
		}
		types = append(types, kind)
	}
	policies, err := r.policies(ctx, q.Store, types)
	if err != nil {
		return err
	}
	if err := r.db.ForgetStreamed(ctx, run.StoreID, r.now()); err != nil {
		return err
	}
	for i, p := range policies {
		if i > 0 && policies[i-1].store == p.store {
			continue // by type
		}
		if now, ok := p.store.Now(r.now()); ok {
			if err := r.db.ForgetActiveDrifts(ctx, p.store.ID, now); err != nil {
				return err
			}
		}
	}
	done := 0
	for _, kind := range engine.SnapshotTypes {
		of := slices.DeleteFunc(slices.Clone(policies), func(p *policy) bool { return p.kind != kind })
		if len(of) == 0 {
			continue
		}
		if err := r.db.ProgressRun(ctx, run.ID, engine.StageRemoving, "", done, len(policies)); err != nil {
			return err
		}
		if err := r.removeLeaves(ctx, kind, of, q.IncludeReplayed); err != nil {
			return err
		}
		for _, p := range of {
			if err := r.db.ProgressRun(ctx, run.ID, engine.StageRemoving, "", done, len(policies)); err != nil {
				return err
			}
			if err := r.removeRows(ctx, run, p, q.IncludeReplayed); err != nil {
				return err
			}
			if err := r.removeAftermath(ctx, p, q.IncludeReplayed); err != nil {
				return err
			}
			if kind == engine.Weekly { // the type that raises alarms
				if err := r.db.ForgetAlarms(ctx, p.store.ID, p.Cutoff); err != nil {
					return err
				}
			}
			done++
		}
	}
	report := report(policies)
	if len(types) == 0 {
		if report.AuditEntries, err = r.forgetAudit(ctx, run.StoreID); err != nil {
			return err
		}
		if report.Runs, err = r.forgetRuns(ctx, run.StoreID); err != nil {
			return err
		}
		report.RunCutoff = r.runCutoff()
	}
	return r.db.InTx(ctx, func(tx *postgres.Tx) error {
		return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", report, report.DeletedCount)
	})
}

// inBatches removes until there is less than a batch, each in a transaction of its own, and counts.
func inBatches(remove func(limit int) (int64, error)) (total int64, err error) {
	for {
		gone, err := remove(cleanupBatch)
		total += gone
		if err != nil || gone < cleanupBatch {
			return total, err
		}
	}
}

// forgetAudit removes old entries of the audit log: a store's, or for 0 everybody's.
func (r *Runner) forgetAudit(ctx context.Context, storeID int32) (int64, error) {
	return inBatches(func(limit int) (int64, error) { return r.db.DeleteOldAudit(ctx, storeID, r.auditCutoff(), limit) })
}

// forgetRuns removes old runs: a store's, or for 0 all.
func (r *Runner) forgetRuns(ctx context.Context, storeID int32) (int64, error) {
	return inBatches(func(limit int) (int64, error) { return r.db.DeleteOldRuns(ctx, storeID, r.runCutoff(), limit) })
}

func (p *policy) aftermath(replayedToo bool) postgres.Aftermath {
	return postgres.Aftermath{StoreID: p.store.ID, Type: p.kind, Before: p.Cutoff, BeforeAt: p.Cutoff.In(p.store.Zone), ReplayedToo: replayedToo}
}

// removeAftermath removes the drift events and transitions of dates whose snapshots are gone, and how drifts lay on them.
func (r *Runner) removeAftermath(ctx context.Context, p *policy, replayedToo bool) error {
	a := p.aftermath(replayedToo)
	dates, err := r.db.PastDates(ctx, a)
	if err != nil {
		return err
	}
	for _, date := range dates {
		events, err := inBatches(func(limit int) (int64, error) { return r.db.DeleteEvents(ctx, a, date, limit) })
		if err != nil {
			return err
		}
		transitions, err := inBatches(func(limit int) (int64, error) { return r.db.DeleteTransitions(ctx, a, date, limit) })
		if err != nil {
			return err
		}
		p.DriftEvents += events
		p.Transitions += transitions
	}
	return r.db.ForgetSpreads(ctx, a, p.now)
}

func (r *Runner) removeLeaves(ctx context.Context, kind engine.SnapshotType, policies []*policy, replayedToo bool) error {
	expiry := postgres.Expiry{Type: kind, Before: map[int32]engine.Date{}, ReplayedToo: replayedToo}
	for _, p := range policies {
		expiry.Before[p.store.ID] = p.Cutoff
	}
	removed, err := r.db.RemoveLeaves(ctx, expiry)
	for _, p := range policies {
		p.count(removed[p.store.ID])
	}
	return err
}

func (p *policy) count(removed postgres.Removed) {
	p.DeletedCount += removed.All
	p.ReplayedCount += removed.Replayed
}

// removeRows removes what a policy lets go from the leaves that are left, and counts the replayed ones that stay.
func (r *Runner) removeRows(ctx context.Context, run *engine.Run, p *policy, replayedToo bool) error {
	for {
		removed, err := r.db.DeleteExpired(ctx, p.store.ID, p.kind, p.Cutoff, replayedToo, cleanupBatch)
		if err != nil {
			return err
		}
		p.count(removed)
		if removed.All < cleanupBatch {
			break
		}
		if state, err := r.db.Run(ctx, run.ID); err == nil && state.State.Final() {
			return postgres.ErrRunOver
		}
	}
	_, stay, err := r.db.CountExpired(ctx, p.store.ID, p.kind, p.Cutoff)
	p.ReplayedCount += stay
	return err
}

// leavesAhead is how many days ahead of a day partitions are made: over the next period of each type, so that no snapshot
// of the schedule has to make its own.
var leavesAhead = map[engine.SnapshotType]int{engine.Daily: 7, engine.Weekly: 14, engine.Monthly: 45, engine.Quarterly: 100, engine.Yearly: 370}

// PrepareLeaves makes the partitions that snapshots of today and the near future go to.
func (r *Runner) PrepareLeaves(ctx context.Context) error {
	today := engine.DateOf(r.now(), time.UTC)
	for _, kind := range engine.SnapshotTypes {
		var dates []engine.Date
		for d := today - 1; d <= today+engine.Date(leavesAhead[kind]); d++ { // it may still be yesterday in a store
			dates = append(dates, d)
		}
		if err := r.db.EnsureLeaves(ctx, kind, dates); err != nil {
			return err
		}
	}
	return nil
}
