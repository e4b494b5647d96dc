package resolvers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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
	request := jobs.ReclusterRequest{Store: &store.Store, Params: params, AsOf: in.AsOf, DryRun: in.DryRun, Trigger: engine.TriggerMutation}
	if request.Once, err = once(in.IdempotencyKey, in); err != nil {
		return nil, err
	}
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
	outcome, err := r.Jobs.SnapshotCustomers(ctx, jobs.SnapshotRequest{
		Store: &customer.Store.Store, Customers: []int64{customer.Customer.ID}, Type: in.Type, Date: in.Date, Conflict: jobs.Conflict(in.OnConflict), Trigger: engine.TriggerMutation,
	})
	if err != nil {
		payload.UserErrors, err = r.userErrors(ctx, err, customer.Key)
		return payload, err
	}
	if len(outcome.NoPurchase) > 0 {
		payload.UserErrors = []model.UserError{noPurchase(customer, outcome.Date, "input", "date")}
		return payload, nil
	}
	snapshot, err := r.snapshot(ctx, postgres.SnapshotRef{CustomerRef: refOf(customer), Type: in.Type, Date: outcome.Date})
	if err != nil {
		return nil, err
	}
	if len(outcome.Existing) > 0 {
		payload.UserErrors = []model.UserError{snapshotExists(snapshot)}
		return payload, nil
	}
	payload.Snapshot, payload.Created, payload.UserErrors = snapshot, outcome.Created+outcome.Replaced > 0, []model.UserError{}
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
	request := jobs.SnapshotRequest{Store: &store.Store, Type: in.Type, Date: in.Date, Conflict: jobs.Conflict(in.OnConflict), Trigger: engine.TriggerMutation}
	if request.Once, err = once(in.IdempotencyKey, in); err != nil {
		return nil, err
	}
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

// snapshotNamed takes the snapshots of named customers; each that fails gives an error with its place, the others succeed.
func (r *Resolver) snapshotNamed(ctx context.Context, store *model.Store, names []string, request jobs.SnapshotRequest) (*model.CreateSnapshotsPayload, error) {
	payload := &model.CreateSnapshotsPayload{}
	if len(names) < 1 || len(names) > maxCustomers {
		fault := engine.Errorf(engine.CodeInvalid, "name 1 to %d customers, not %d", maxCustomers, len(names)).At("input", "customerIds")
		var err error
		payload.UserErrors, err = r.userErrors(ctx, fault, "")
		return payload, err
	}
	customers, err := r.find(ctx, store, names)
	if err != nil {
		return nil, err
	}
	for _, c := range customers {
		id := int64(0)
		if c != nil {
			id = c.Customer.ID
		}
		request.Customers = append(request.Customers, id)
	}
	outcome, err := r.Jobs.SnapshotCustomers(ctx, request)
	if payload.UserErrors, err = r.userErrors(ctx, err, store.Key); err != nil || len(payload.UserErrors) > 0 {
		return payload, err
	}
	payload.Counts = countsView(outcome.SnapshotCounts)
	payload.UserErrors, err = r.explainFailed(ctx, customers, names, request.Type, outcome)
	return payload, err
}

func (r *Resolver) replay(ctx context.Context, in model.ReplaySnapshotsInput) (*model.ReplaySnapshotsPayload, error) {
	run, err := r.startReplay(ctx, in)
	faults, err := r.userErrors(ctx, err, in.StoreID)
	if err != nil || len(faults) > 0 {
		return &model.ReplaySnapshotsPayload{UserErrors: faults}, err
	}
	view, err := r.runView(ctx, run)
	if err != nil {
		return nil, err
	}
	return &model.ReplaySnapshotsPayload{Run: view.(*model.ReplayRun), UserErrors: faults}, nil
}

func (r *Resolver) startReplay(ctx context.Context, in model.ReplaySnapshotsInput) (*engine.Run, error) {
	store, err := r.storeByKey(ctx, in.StoreID)
	if err != nil {
		return nil, at(err, "input", "storeId")
	}
	request := jobs.ReplayRequest{
		Store: &store.Store, Type: in.Type, From: in.From, To: in.To, Conflict: jobs.Conflict(in.OnConflict),
		Trigger: engine.TriggerMutation,
	}
	if request.Once, err = once(in.IdempotencyKey, in); err != nil {
		return nil, err
	}
	if in.ModelVersion != nil {
		if request.ModelVersion = *in.ModelVersion; *in.ModelVersion == 0 {
			request.ModelVersion = -1 // there is none, and 0 asks for the one in force
		}
	}
	return r.Jobs.Replay(ctx, request)
}

// find looks the customers with these names up, by place; nil for one that is not there.
func (r *Resolver) find(ctx context.Context, store *model.Store, names []string) ([]*model.Customer, error) {
	keys := make([]postgres.CustomerKey, len(names))
	for i, name := range names {
		keys[i] = postgres.CustomerKey{StoreID: store.Store.ID, Key: clean(name)}
	}
	found, err := r.DB.CustomersByKey(ctx, keys)
	if err != nil {
		return nil, err
	}
	customers := make([]*model.Customer, len(names))
	for i, k := range keys {
		if c := found[k]; c != nil {
			customers[i] = &model.Customer{Customer: c, Store: store}
		}
	}
	return customers, nil
}

// explainFailed gives an error for each customer whose snapshot was not taken, in their order, as many as a page has. Of a repetition
// the customers are those of now: one that was erased meanwhile is not there.
func (r *Resolver) explainFailed(ctx context.Context, customers []*model.Customer, names []string, kind engine.SnapshotType, outcome jobs.SnapshotOutcome) ([]model.UserError, error) {
	faults := map[int]model.UserError{}
	field := func(place int) []string { return []string{"input", "customerIds", itoa(place)} }
	var refs []postgres.SnapshotRef
	for _, place := range outcome.Existing {
		if c := customers[place]; c != nil {
			refs = append(refs, postgres.SnapshotRef{CustomerRef: refOf(c), Type: kind, Date: outcome.Date})
		}
	}
	existing, err := r.DB.SnapshotsByRef(ctx, refs)
	if err != nil {
		return nil, err
	}
	for _, place := range outcome.Existing {
		c := customers[place]
		if c == nil {
			continue
		}
		s := existing[postgres.SnapshotRef{CustomerRef: refOf(c), Type: kind, Date: outcome.Date}]
		if s == nil { // a repetition, and it is gone meanwhile
			message := fmt.Sprintf("Customer %s had a %s snapshot of %s already.", short(c.Key), kind, outcome.Date)
			faults[place] = &model.InvalidInputError{Message: message, Code: model.UserErrorCodeInvalid, Field: field(place), Rule: message}
			continue
		}
		fault := snapshotExists(&model.Snapshot{Snapshot: s, Customer: c})
		fault.Field = field(place)
		faults[place] = fault
	}
	for _, place := range outcome.NoPurchase {
		if c := customers[place]; c != nil {
			faults[place] = noPurchase(c, outcome.Date, field(place)...)
		}
	}
	for _, place := range slices.Concat(outcome.Unknown, outcome.Existing, outcome.NoPurchase) {
		if faults[place] != nil {
			continue
		}
		name := short(clean(names[place]))
		faults[place] = &model.NotFoundError{Message: "The store has no customer " + name + ".", Code: model.UserErrorCodeNotFound, Field: field(place), Key: name}
	}
	list := []model.UserError{}
	for _, place := range slices.Sorted(maps.Keys(faults)) {
		if len(list) < maxPage {
			list = append(list, faults[place])
		}
	}
	return list, nil
}

func snapshotExists(s *model.Snapshot) *model.SnapshotExistsError {
	return &model.SnapshotExistsError{
		Message: fmt.Sprintf("Customer %s has a %s snapshot of %s already.", short(s.Customer.Key), s.Type, s.Date), Code: model.UserErrorCodeSnapshotExists, Snapshot: s,
	}
}

func noPurchase(c *model.Customer, date engine.Date, field ...string) model.UserError {
	return &model.InsufficientDataError{
		Message: fmt.Sprintf("Customer %s has no purchase before %s.", short(c.Key), date), Code: model.UserErrorCodeInsufficientData, Field: field,
	}
}

func (r *Resolver) cleanup(ctx context.Context, in *model.CleanupSnapshotsInput) (*model.CleanupSnapshotsPayload, error) {
	if in == nil {
		in = &model.CleanupSnapshotsInput{}
	}
	payload := &model.CleanupSnapshotsPayload{}
	request := jobs.CleanupRequest{Types: in.Types, IncludeReplayed: in.IncludeReplayed, Trigger: engine.TriggerMutation}
	var err error
	if request.Once, err = once(in.IdempotencyKey, *in); err != nil {
		return nil, err
	}
	if request.Store, err = r.cleaned(ctx, in.StoreID); err != nil {
		payload.UserErrors, err = r.userErrors(ctx, err, text(in.StoreID))
		return payload, err
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
