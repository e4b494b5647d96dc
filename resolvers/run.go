package resolvers

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/auth"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// decode reads a run's JSON; nothing where there is none.
func decode(body []byte, into any) error {
	if len(body) == 0 {
		return nil
	}
	return json.Unmarshal(body, into)
}

// runView shows a run with what its kind adds. Fault: NOT_FOUND where the caller does not see its store.
func (r *Resolver) runView(ctx context.Context, run *engine.Run) (model.Run, error) {
	var store *model.Store
	if run.StoreID == 0 && !auth.From(ctx).AllStores() {
		return nil, notFound // its report tells of all stores
	}
	if run.StoreID != 0 {
		var err error
		if store, err = r.storeByID(ctx, run.StoreID); err != nil {
			return nil, err
		}
	}
	base := model.Base(run, store)
	view, err := r.kindOfRun(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("reading run %s: %w", run.ID, err)
	}
	base.Progress.Run = view
	return view, nil
}

func (r *Resolver) kindOfRun(ctx context.Context, base model.RunBase) (model.Run, error) {
	run := base.Run
	switch run.Kind {
	case engine.RunRecluster:
		q, report := jobs.Recluster{Params: r.Params}, jobs.ReclusterReport{}
		if err := decodeBoth(run, &q, &report); err != nil {
			return nil, err
		}
		return &model.ReclusterRun{
			RunBase: base, Options: &model.ClusteringOptions{Params: q.Params}, Seed: int64(q.Seed), AsOf: q.AsOf, DryRun: q.DryRun, Version: report.ModelVersion,
		}, nil
	case engine.RunImport:
		q, report := jobs.Import{}, jobs.ImportReport{}
		if err := decodeBoth(run, &q, &report); err != nil {
			return nil, err
		}
		view := &model.ImportRun{RunBase: base, Source: q.Source, Counts: importCounts(report)}
		if report.Format != "" {
			view.Format = &report.Format
		}
		return view, nil
	case engine.RunRescore:
		report := jobs.RescoreReport{}
		if err := decode(run.Report, &report); err != nil {
			return nil, err
		}
		return &model.RescoreRun{RunBase: base, Counts: importCounts(report.Counts)}, nil
	case engine.RunBacktest:
		return &model.BacktestRun{RunBase: base}, nil
	case engine.RunCleanup:
		report := jobs.CleanupReport{}
		if err := decode(run.Report, &report); err != nil {
			return nil, err
		}
		return &model.CleanupRun{RunBase: base, Report: cleanupView(report)}, nil
	default:
		return r.snapshotRun(base)
	}
}

func (r *Resolver) snapshotRun(base model.RunBase) (model.Run, error) {
	q, counts := jobs.Snapshots{}, jobs.SnapshotCounts{Created: base.Rows}
	if err := decodeBoth(base.Run, &q, &counts); err != nil {
		return nil, err
	}
	kind, err := engine.ParseSnapshotType(q.Type)
	if err != nil {
		return nil, err
	}
	if base.Kind == engine.RunReplay {
		return &model.ReplayRun{RunBase: base, Type: kind, Dates: q.Dates, ModelVersion: q.ModelVersion, Counts: countsView(counts)}, nil
	}
	return &model.SnapshotRun{RunBase: base, Type: kind, Date: q.Date, Counts: countsView(counts)}, nil
}

func decodeBoth(run *engine.Run, request, report any) error {
	if err := decode(run.Request, request); err != nil {
		return err
	}
	return decode(run.Report, report)
}

func countsView(c jobs.SnapshotCounts) *model.SnapshotCounts {
	return &model.SnapshotCounts{Created: c.Created, Kept: c.Kept, Replaced: c.Replaced, Failed: c.Failed}
}

func cleanupView(report jobs.CleanupReport) *model.CleanupReport {
	view := &model.CleanupReport{DeletedCount: report.DeletedCount, AuditEntries: report.AuditEntries, Runs: report.Runs, Policies: []*model.AppliedRetention{}}
	if !report.RunCutoff.IsZero() {
		view.RunCutoff = &report.RunCutoff
	}
	for _, p := range report.Policies {
		kind, err := engine.ParseSnapshotType(p.Type)
		if err != nil {
			continue
		}
		view.Policies = append(view.Policies, &model.AppliedRetention{
			StoreID: p.Store, Policy: &model.RetentionPolicy{Type: kind, KeepDays: p.KeepDays, Overridden: p.Overridden},
			Cutoff: p.Cutoff, DeletedCount: p.DeletedCount, ReplayedCount: p.ReplayedCount, DriftEvents: p.DriftEvents, Transitions: p.Transitions,
		})
	}
	return view
}

func (r *Resolver) runByUUID(ctx context.Context, uuid string) (model.Run, error) {
	run, err := r.DB.Run(ctx, uuid)
	if err != nil {
		return nil, err
	}
	return r.runView(ctx, run)
}

// run gives a run by its identifier. Fault: NOT_FOUND, also where the identifier names another store than the run's.
func (r *Resolver) run(ctx context.Context, id model.ID) (model.Run, error) {
	uuid, err := runID(id.String())
	if err != nil {
		return nil, err
	}
	run, err := r.DB.Run(ctx, uuid)
	if err != nil {
		return nil, notFoundOr(err)
	}
	if run.StoreID != id.Store {
		return nil, notFound
	}
	return r.runView(ctx, run)
}

func notFoundOr(err error) error {
	if engine.CodeOf(err) == engine.CodeNotFound {
		return notFound
	}
	return err
}

func (r *Resolver) newestRun(ctx context.Context) (model.Run, error) {
	ids, _, err := r.stores(ctx, nil)
	if err != nil {
		return nil, err
	}
	run, err := r.DB.NewestRun(ctx, ids, auth.From(ctx).AllStores())
	if err != nil || run == nil {
		return nil, err
	}
	return r.runView(ctx, run)
}

const runsKind = "runs"

func (r *Resolver) runs(ctx context.Context, store *model.Store, f *model.RunFilter, first *int, after *string, last *int, before *string) (*model.RunConnection, error) {
	page, err := pageOf[postgres.RunCursor](runsKind, first, after, last, before)
	if err != nil {
		return nil, err
	}
	q := postgres.RunQuery{StoreID: store.Store.ID, OfAll: auth.From(ctx).AllStores(), After: page.after, Before: page.before, Window: page.window()}
	if f != nil {
		q.Kinds, q.States, q.Triggers = f.Kinds, f.States, f.Triggers
		if f.Created != nil {
			from, to, err := dates(f.Created)
			if err != nil {
				return nil, err
			}
			q.From, q.To = from.In(store.Zone), to.In(store.Zone)
		}
	}
	rows, err := r.DB.Runs(ctx, q)
	if err != nil {
		return nil, err
	}
	views := make(map[string]model.Run, len(rows))
	for _, run := range rows {
		if views[run.ID], err = r.runView(ctx, run); err != nil {
			return nil, err
		}
	}
	cursor := func(run *engine.Run) postgres.RunCursor {
		return postgres.RunCursor{CreatedAt: run.CreatedAt.UTC(), ID: run.ID}
	}
	node := func(run *engine.Run) model.Run { return views[run.ID] }
	count := func(ctx context.Context) (int, error) { return r.DB.CountRuns(ctx, q) }
	return newPage(ctx, runsKind, page, rows, cursor, node, count), nil
}

func (r *Resolver) latestRun(ctx context.Context, store *model.Store, kind *engine.RunKind) (model.Run, error) {
	q := postgres.RunQuery{StoreID: store.Store.ID, OfAll: auth.From(ctx).AllStores(), Window: postgres.Window{Limit: 1}}
	if kind != nil {
		q.Kinds = []engine.RunKind{*kind}
	}
	rows, err := r.DB.Runs(ctx, q)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return r.runView(ctx, rows[0])
}

// modelOfRun gives the model that a run made; nil until it has.
func (r *Resolver) modelOfRun(ctx context.Context, run *model.ReclusterRun) (*model.Model, error) {
	if run.Version == 0 || run.DryRun {
		return nil, nil
	}
	return r.modelView(ctx, run.Store, &run.Version)
}

// watch sends a run's progress at once and after every change, and ends after a final state.
func (r *Resolver) watch(ctx context.Context, text string) (<-chan *model.RunProgress, error) {
	id, err := idOf(text, model.KindRun)
	if err != nil {
		return nil, err
	}
	// The watch begins before the first look, so that no change falls between the two.
	changes := r.Events.WatchRun(ctx, id.Run)
	view, err := r.run(ctx, id)
	if err != nil {
		return nil, err
	}
	progress := make(chan *model.RunProgress)
	go r.follow(ctx, id, view, changes, progress)
	return progress, nil
}

func (r *Resolver) follow(ctx context.Context, id model.ID, view model.Run, changes <-chan struct{}, progress chan *model.RunProgress) {
	defer close(progress)
	for {
		p := progressOf(view)
		if err := deliver(ctx, r, progress, p); err != nil {
			r.endStream(ctx, err)
			return
		}
		if p.State.Final() {
			return
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return
		}
		next, err := r.run(context.WithValue(ctx, loadersKey{}, r.newLoaders()), id)
		if err != nil {
			r.endStream(ctx, err)
			return
		}
		view = next
	}
}

func progressOf(run model.Run) *model.RunProgress {
	switch run := run.(type) {
	case *model.ReclusterRun:
		return run.Progress
	case *model.ImportRun:
		return run.Progress
	case *model.SnapshotRun:
		return run.Progress
	case *model.ReplayRun:
		return run.Progress
	case *model.RescoreRun:
		return run.Progress
	case *model.CleanupRun:
		return run.Progress
	case *model.BacktestRun:
		return run.Progress
	}
	return nil
}
