package jobs

import (
	"context"
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// policies lists what retention lets go, by store and type, with counts.
func (r *Runner) policies(ctx context.Context, storeKey string, types []engine.SnapshotType) ([]CleanupPolicy, []*engine.Store, error) {
	stores, err := r.db.Stores(ctx)
	if err != nil {
		return nil, nil, err
	}
	if storeKey != "" {
		store, err := r.db.StoreByKey(ctx, storeKey)
		if err != nil {
			return nil, nil, err
		}
		stores = []*engine.Store{store}
	}
	policies, owners := []CleanupPolicy{}, []*engine.Store{}
	for _, store := range stores {
		now, ok := store.Now(r.now())
		if !ok {
			continue
		}
		overrides, err := r.db.RetentionOverrides(ctx, store.ID)
		if err != nil {
			return nil, nil, err
		}
		for _, kind := range engine.SnapshotTypes {
			if len(types) > 0 && !slices.Contains(types, kind) {
				continue
			}
			p := CleanupPolicy{Store: store.Key, Type: kind.String(), KeepDays: r.settings.Retention[kind]}
			if days, ok := overrides[kind]; ok {
				p.KeepDays, p.Overridden = days, true
			}
			p.Cutoff = now - engine.Date(p.KeepDays)
			if p.DeletedCount, p.ReplayedCount, err = r.db.CountExpired(ctx, store.ID, kind, p.Cutoff); err != nil {
				return nil, nil, err
			}
			policies, owners = append(policies, p), append(owners, store)
		}
	}
	return policies, owners, nil
}

// PlanCleanup counts what a cleanup would remove.
func (r *Runner) PlanCleanup(ctx context.Context, q CleanupRequest) (CleanupReport, error) {
	key := ""
	if q.Store != nil {
		key = q.Store.Key
	}
	policies, _, err := r.policies(ctx, key, q.Types)
	report := CleanupReport{Policies: policies}
	for i := range policies {
		if q.IncludeReplayed {
			policies[i].DeletedCount += policies[i].ReplayedCount
		}
		report.DeletedCount += policies[i].DeletedCount
	}
	return report, err
}

// cleanupBatch is how many snapshots are removed at once.
const cleanupBatch = 20_000

// cleanup removes what retention lets go, in batches, then the partitions that are left empty.
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
	policies, stores, err := r.policies(ctx, q.Store, types)
	if err != nil {
		return err
	}
	if err := r.db.ForgetStreamed(ctx, run.StoreID, r.now()); err != nil {
		return err
	}
	report := CleanupReport{Policies: policies}
	for i := range policies {
		p := &policies[i]
		if err := r.db.ProgressRun(ctx, run.ID, engine.StageRemoving, "", i, len(policies)); err != nil {
			return err
		}
		p.DeletedCount = 0
		kind, err := engine.ParseSnapshotType(p.Type)
		if err != nil {
			return err
		}
		for {
			n, err := r.db.DeleteExpired(ctx, stores[i].ID, kind, p.Cutoff, q.IncludeReplayed, cleanupBatch)
			if err != nil {
				return err
			}
			p.DeletedCount += n
			if n < cleanupBatch {
				break
			}
			if state, err := r.db.Run(ctx, run.ID); err == nil && state.State.Final() {
				return postgres.ErrRunOver
			}
		}
		report.DeletedCount += p.DeletedCount
		if err := r.db.DropEmptyLeaves(ctx, kind, p.Cutoff); err != nil {
			return err
		}
	}
	return r.db.InTx(ctx, func(tx *postgres.Tx) error {
		return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", report, report.DeletedCount)
	})
}
