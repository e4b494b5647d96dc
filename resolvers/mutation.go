package resolvers

import (
	"context"
	"errors"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// at says where in the arguments a fault lies.
func at(err error, field ...string) error {
	if known, ok := errors.AsType[*engine.Error](err); ok && known.Field == nil {
		return known.At(field...)
	}
	return err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (r *Resolver) recluster(ctx context.Context, in model.ReclusterInput) (*model.ReclusterPayload, error) {
	run, err := r.startRecluster(ctx, in)
	faults, err := r.userErrors(ctx, err, in.StoreID)
	if err != nil || len(faults) > 0 {
		return &model.ReclusterPayload{UserErrors: faults}, err
	}
	view, err := r.runView(ctx, run)
	if err != nil {
		return nil, err
	}
	return &model.ReclusterPayload{Run: view.(*model.ReclusterRun), UserErrors: faults}, nil
}

func (r *Resolver) startRecluster(ctx context.Context, in model.ReclusterInput) (*engine.Run, error) {
	store, err := r.storeByKey(ctx, in.StoreID)
	if err != nil {
		return nil, at(err, "input", "storeId")
	}
	params := r.Params
	if in.Options != nil {
		change(&params, in.Options)
		if err := params.Validate(); err != nil {
			return nil, at(err, "input", "options")
		}
	}
	request := jobs.ReclusterRequest{Store: &store.Store, Params: params, AsOf: in.AsOf, DryRun: in.DryRun, Trigger: engine.TriggerMutation, IdempotencyKey: text(in.IdempotencyKey)}
	if in.Seed != nil {
		seed := uint64(*in.Seed)
		request.Seed = &seed
	}
	return r.Jobs.Recluster(ctx, request)
}

// change puts what is given over the installation's settings.
func change(p *engine.Params, o *model.ClusteringOptionsInput) {
	set(&p.Fuzzy, o.Fuzzy)
	set(&p.Fuzziness, o.Fuzziness)
	set(&p.MaxIterations, o.MaxIterations)
	set(&p.Tolerance, o.Tolerance)
	set(&p.Starts, o.Starts)
	set(&p.KMin, o.KMin)
	set(&p.KMax, o.KMax)
	set(&p.K, o.K)
	set(&p.Hierarchical, o.Hierarchical)
	set(&p.MaxVariance, o.MaxVariance)
	set(&p.MaxShare, o.MaxSegmentShare)
	set(&p.MinSize, o.MinSegmentSize)
	set(&p.MaxDepth, o.MaxDepth)
	if o.Balance != nil {
		p.Normalized = *o.Balance == model.BalanceFormulaNormalized
	}
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (r *Resolver) cancelRun(ctx context.Context, in model.CancelRunInput) (*model.CancelRunPayload, error) {
	id, err := idOf(in.RunID, model.KindRun)
	if err == nil {
		_, err = r.run(ctx, id) // also that the identifier's store is the run's
	}
	if err == nil {
		_, err = r.Jobs.Cancel(ctx, id.Run)
	}
	faults, err := r.userErrors(ctx, at(err, "input", "runId"), in.RunID)
	if err != nil || len(faults) > 0 {
		return &model.CancelRunPayload{UserErrors: faults}, err
	}
	view, err := r.runByUUID(ctx, id.Run)
	return &model.CancelRunPayload{Run: view, UserErrors: faults}, err
}

func (r *Resolver) createSnapshot(ctx context.Context, in model.CreateSnapshotInput) (*model.CreateSnapshotPayload, error) {
	payload := &model.CreateSnapshotPayload{}
	customer, err := r.customerBy(ctx, *in.Customer)
	if err != nil {
		payload.UserErrors, err = r.userErrors(ctx, at(err, "input", "customer"), "customer")
		return payload, err
	}
	counts, err := r.Jobs.SnapshotCustomers(ctx, jobs.SnapshotRequest{
		Store: &customer.Store.Store, Customers: []int64{customer.Customer.ID}, Type: in.Type, Date: in.Date, Conflict: jobs.Conflict(in.OnConflict), Trigger: engine.TriggerMutation,
	})
	exists := err != nil && engine.CodeOf(err) == engine.CodeSnapshotExists
	if err != nil && !exists {
		payload.UserErrors, err = r.userErrors(ctx, err, customer.Key)
		return payload, err
	}
	snapshot, loadErr := r.snapshot(ctx, postgres.SnapshotRef{CustomerRef: refOf(customer), Type: in.Type, Date: counts.Date})
	if loadErr != nil {
		return nil, loadErr
	}
	payload.UserErrors = []model.UserError{}
	if exists {
		payload.UserErrors = append(payload.UserErrors, &model.SnapshotExistsError{Message: err.Error(), Code: model.UserErrorCodeSnapshotExists, Snapshot: snapshot})
		return payload, nil
	}
	payload.Snapshot, payload.Created = snapshot, counts.Created+counts.Replaced > 0
	return payload, nil
}

// maxCustomers is the most customers whose snapshots are taken at once.
const maxCustomers = 10_000

func (r *Resolver) createSnapshots(ctx context.Context, in model.CreateSnapshotsInput) (*model.CreateSnapshotsPayload, error) {
	payload := &model.CreateSnapshotsPayload{}
	store, err := r.storeByKey(ctx, in.StoreID)
	if err != nil {
		payload.UserErrors, err = r.userErrors(ctx, at(err, "input", "storeId"), in.StoreID)
		return payload, err
	}
	request := jobs.SnapshotRequest{Store: &store.Store, Type: in.Type, Date: in.Date, Conflict: jobs.Conflict(in.OnConflict), Trigger: engine.TriggerMutation, IdempotencyKey: text(in.IdempotencyKey)}
	if in.CustomerIds != nil {
		return r.snapshotNamed(ctx, store, in.CustomerIds, request)
	}
	run, err := r.Jobs.SnapshotStore(ctx, request)
	if err != nil {
		payload.UserErrors, err = r.userErrors(ctx, err, in.StoreID)
		return payload, err
	}
	view, err := r.runView(ctx, run)
	if err != nil {
		return nil, err
	}
	payload.Run, payload.UserErrors = view.(*model.SnapshotRun), []model.UserError{}
	return payload, nil
}

// snapshotNamed takes the snapshots of named customers; those that are not there fail, the others succeed.
func (r *Resolver) snapshotNamed(ctx context.Context, store *model.Store, names []string, request jobs.SnapshotRequest) (*model.CreateSnapshotsPayload, error) {
	payload := &model.CreateSnapshotsPayload{}
	if len(names) < 1 || len(names) > maxCustomers {
		fault := engine.Errorf(engine.CodeInvalid, "name 1 to %d customers, not %d", maxCustomers, len(names)).At("input", "customerIds")
		var err error
		payload.UserErrors, err = r.userErrors(ctx, fault, "")
		return payload, err
	}
	missing, err := r.find(ctx, store, names, &request)
	if err != nil {
		return nil, err
	}
	counts := jobs.SnapshotCounts{}
	if len(request.Customers) > 0 {
		counts, err = r.Jobs.SnapshotCustomers(ctx, request)
	}
	if payload.UserErrors, err = r.userErrors(ctx, err, store.Key); err != nil || len(payload.UserErrors) > 0 {
		return payload, err
	}
	counts.Failed += int64(len(missing))
	payload.Counts = countsView(counts)
	payload.UserErrors = append(payload.UserErrors, missing[:min(maxPage, len(missing))]...)
	return payload, nil
}

// find adds the customers with these names to a request, each once, and gives an error for each that is not there.
func (r *Resolver) find(ctx context.Context, store *model.Store, names []string, request *jobs.SnapshotRequest) ([]model.UserError, error) {
	keys := make([]postgres.CustomerKey, len(names))
	for i, name := range names {
		keys[i] = postgres.CustomerKey{StoreID: store.Store.ID, Key: clean(name)}
	}
	found, err := r.DB.CustomersByKey(ctx, keys)
	if err != nil {
		return nil, err
	}
	var missing []model.UserError
	seen := map[int64]bool{}
	for i, k := range keys {
		c := found[k]
		switch {
		case c == nil:
			missing = append(missing, &model.NotFoundError{
				Message: "The store has no customer " + short(k.Key) + ".", Code: model.UserErrorCodeNotFound, Field: []string{"input", "customerIds", itoa(i)}, Key: short(k.Key),
			})
		case !seen[c.ID]:
			seen[c.ID] = true
			request.Customers = append(request.Customers, c.ID)
		}
	}
	return missing, nil
}

func (r *Resolver) cleanup(ctx context.Context, in *model.CleanupSnapshotsInput) (*model.CleanupSnapshotsPayload, error) {
	if in == nil {
		in = &model.CleanupSnapshotsInput{}
	}
	payload := &model.CleanupSnapshotsPayload{}
	request := jobs.CleanupRequest{Types: in.Types, IncludeReplayed: in.IncludeReplayed, Trigger: engine.TriggerMutation, IdempotencyKey: text(in.IdempotencyKey)}
	var err error
	if in.StoreID != nil {
		store, findErr := r.storeByKey(ctx, *in.StoreID)
		if findErr != nil {
			payload.UserErrors, err = r.userErrors(ctx, at(findErr, "input", "storeId"), *in.StoreID)
			return payload, err
		}
		request.Store = &store.Store
	}
	var run *engine.Run
	if in.DryRun {
		var report jobs.CleanupReport
		if report, err = r.Jobs.PlanCleanup(ctx, request); err == nil {
			payload.Report = cleanupView(report)
		}
	} else {
		run, err = r.Jobs.Cleanup(ctx, request)
	}
	if payload.UserErrors, err = r.userErrors(ctx, err, text(in.StoreID)); err != nil || run == nil {
		return payload, err
	}
	view, err := r.runView(ctx, run)
	if err != nil {
		return nil, err
	}
	payload.Run = view.(*model.CleanupRun)
	return payload, nil
}
