package resolvers

import (
	"context"
	"errors"
	"fmt"
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
	if counts.Failed > 0 {
		payload.UserErrors = []model.UserError{noPurchase(customer, counts.Date, "input", "date")}
		return payload, nil
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

// snapshotNamed takes the snapshots of named customers; each that fails gives an error with its place, the others succeed.
func (r *Resolver) snapshotNamed(ctx context.Context, store *model.Store, names []string, request jobs.SnapshotRequest) (*model.CreateSnapshotsPayload, error) {
	payload := &model.CreateSnapshotsPayload{}
	if len(names) < 1 || len(names) > maxCustomers {
		fault := engine.Errorf(engine.CodeInvalid, "name 1 to %d customers, not %d", maxCustomers, len(names)).At("input", "customerIds")
		var err error
		payload.UserErrors, err = r.userErrors(ctx, fault, "")
		return payload, err
	}
	n, err := r.find(ctx, store, names)
	if err != nil {
		return nil, err
	}
	if request.Conflict == jobs.ConflictFail {
		if err := r.refuseExisting(ctx, n, &request); err != nil {
			return nil, err
		}
	}
	for id := range n.places {
		request.Customers = append(request.Customers, id)
	}
	slices.Sort(request.Customers) // whoever takes the same snapshots at the same time goes the same way
	counts := jobs.SnapshotCounts{}
	if len(request.Customers) > 0 {
		counts, err = r.Jobs.SnapshotCustomers(ctx, request)
	}
	if payload.UserErrors, err = r.userErrors(ctx, err, store.Key); err != nil || len(payload.UserErrors) > 0 {
		return payload, err
	}
	if counts.Failed > 0 {
		if err := r.explainFailed(ctx, n, request.Type, counts.Date); err != nil {
			return nil, err
		}
	}
	counts.Failed = 0
	for _, fault := range n.faults {
		if fault != nil {
			counts.Failed++
			if len(payload.UserErrors) < maxPage {
				payload.UserErrors = append(payload.UserErrors, fault)
			}
		}
	}
	payload.Counts = countsView(counts)
	return payload, nil
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
		Trigger: engine.TriggerMutation, IdempotencyKey: text(in.IdempotencyKey),
	}
	if in.ModelVersion != nil {
		if request.ModelVersion = *in.ModelVersion; *in.ModelVersion == 0 {
			request.ModelVersion = -1 // there is none, and 0 asks for the one in force
		}
	}
	return r.Jobs.Replay(ctx, request)
}

// namedCustomers are customers that a caller named.
type namedCustomers struct {
	store  *model.Store
	byID   map[int64]*model.Customer
	places map[int64]int     // of those whose snapshots are to be taken, the first place of each in the input
	faults []model.UserError // by place; nil where nothing failed
}

func (n *namedCustomers) field(place int) []string {
	return []string{"input", "customerIds", itoa(place)}
}

// snapshots reads the snapshots that the customers have of a type on a date, by customer.
func (n *namedCustomers) snapshots(ctx context.Context, db *postgres.DB, kind engine.SnapshotType, date engine.Date) (map[int64]*engine.Snapshot, error) {
	refs := make([]postgres.SnapshotRef, 0, len(n.places))
	for id := range n.places {
		refs = append(refs, postgres.SnapshotRef{CustomerRef: refOf(n.byID[id]), Type: kind, Date: date})
	}
	found, err := db.SnapshotsByRef(ctx, refs)
	byCustomer := make(map[int64]*engine.Snapshot, len(found))
	for ref, s := range found {
		byCustomer[ref.CustomerID] = s
	}
	return byCustomer, err
}

// find looks the customers with these names up, each once, and gives an error for each that is not there.
func (r *Resolver) find(ctx context.Context, store *model.Store, names []string) (*namedCustomers, error) {
	keys := make([]postgres.CustomerKey, len(names))
	for i, name := range names {
		keys[i] = postgres.CustomerKey{StoreID: store.Store.ID, Key: clean(name)}
	}
	found, err := r.DB.CustomersByKey(ctx, keys)
	if err != nil {
		return nil, err
	}
	n := &namedCustomers{store: store, byID: map[int64]*model.Customer{}, places: map[int64]int{}, faults: make([]model.UserError, len(names))}
	for i, k := range keys {
		c := found[k]
		if c == nil {
			n.faults[i] = &model.NotFoundError{
				Message: "The store has no customer " + short(k.Key) + ".", Code: model.UserErrorCodeNotFound, Field: n.field(i), Key: short(k.Key),
			}
			continue
		}
		if _, again := n.places[c.ID]; !again {
			n.byID[c.ID], n.places[c.ID] = &model.Customer{Customer: c, Store: store}, i
		}
	}
	return n, nil
}

// refuseExisting gives an error for each customer that has the snapshot already, so that the others' can be taken. One
// that comes up in between is kept, and counted so.
func (r *Resolver) refuseExisting(ctx context.Context, n *namedCustomers, request *jobs.SnapshotRequest) error {
	request.Conflict = jobs.ConflictKeep
	date, ok := n.store.Store.Now(r.Now())
	if request.Date != nil {
		date = *request.Date
	} else if !ok {
		return nil // a store without orders has no snapshots
	}
	request.Date = &date
	existing, err := n.snapshots(ctx, r.DB, request.Type, date)
	for id, s := range existing {
		place := n.places[id]
		n.faults[place] = &model.SnapshotExistsError{
			Message: fmt.Sprintf("Customer %s has a %s snapshot of %s already.", short(n.byID[id].Key), request.Type, date),
			Code:    model.UserErrorCodeSnapshotExists, Field: n.field(place), Snapshot: &model.Snapshot{Snapshot: s, Customer: n.byID[id]},
		}
		delete(n.places, id)
	}
	return err
}

// explainFailed gives an error for each customer without the snapshot that was to be taken: it had not bought by then.
func (r *Resolver) explainFailed(ctx context.Context, n *namedCustomers, kind engine.SnapshotType, date engine.Date) error {
	taken, err := n.snapshots(ctx, r.DB, kind, date)
	if err != nil {
		return err
	}
	for id, place := range n.places {
		if taken[id] == nil {
			n.faults[place] = noPurchase(n.byID[id], date, n.field(place)...)
		}
	}
	return nil
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
	request := jobs.CleanupRequest{Types: in.Types, IncludeReplayed: in.IncludeReplayed, Trigger: engine.TriggerMutation, IdempotencyKey: text(in.IdempotencyKey)}
	var err error
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
