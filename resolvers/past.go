package resolvers

import (
	"context"
	"maps"
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// checkPast refuses a day after a store's now: nobody knows it yet.
func checkPast(store *model.Store, asOf engine.Date) error {
	if now := store.Now(); now != nil && asOf > *now {
		return engine.Errorf(engine.CodeInvalid, "asOf is %s, after the store's now, %s", asOf, *now)
	}
	return nil
}

// customerAsOf gives a customer as it was at the beginning of a day, nil: now. Fault: NOT_FOUND, also where it had no order
// by then.
func (r *Resolver) customerAsOf(ctx context.Context, by model.CustomerBy, asOf *engine.Date) (*model.Customer, error) {
	c, err := r.customerBy(ctx, by)
	if err != nil || asOf == nil {
		return c, err
	}
	if err := checkPast(c.Store, *asOf); err != nil {
		return nil, err
	}
	found, err := r.DB.CustomersAt(ctx, []postgres.CustomerRef{refOf(c)}, *asOf)
	if err != nil {
		return nil, err
	}
	past := found[refOf(c)]
	if past == nil {
		return nil, engine.Errorf(engine.CodeNotFound, "the customer had no order before %s", *asOf)
	}
	return &model.Customer{Customer: &past.Customer, Store: c.Store, AsOf: asOf, Computed: past.Computed}, nil
}

// pastFilter puts a list of customers back to a day, and refuses what that day's snapshots alone could tell where some are missing.
func (r *Resolver) pastFilter(ctx context.Context, q *postgres.CustomerQuery, stores map[int32]*model.Store, asOf *engine.Date) error {
	if asOf == nil {
		return nil
	}
	if len(q.Marks) > 0 {
		return engine.Errorf(engine.CodeInvalid, "shapes and outliers are known for now alone: ask without asOf, or for each customer's thumbprint with it")
	}
	q.AsOf = asOf
	known := func(s *model.Store) bool { return checkPast(s, *asOf) == nil }
	if list := slices.Collect(maps.Values(stores)); len(list) > 0 && !slices.ContainsFunc(list, known) {
		return checkPast(list[0], *asOf)
	}
	if !q.NeedsState() {
		return nil
	}
	lacks, err := r.DB.LacksSnapshots(ctx, q.StoreIDs, *asOf)
	if err == nil && lacks {
		return engine.Errorf(engine.CodeInvalid, "some customers have no snapshot of %s, so filters by segments, severities or churn risk and orders by drift, churn risk or lifetime value cannot be answered; take them with replaySnapshots, or ask for a day that has them", *asOf)
	}
	return err
}

// place is where a customer stands: under a model (0: there is none), nil where it has no place.
type place struct {
	version int
	state   *postgres.CustomerState
}

// byStore parts customers by store.
func byStore(refs []postgres.CustomerRef) map[int32][]int64 {
	parts := map[int32][]int64{}
	for _, ref := range refs {
		parts[ref.StoreID] = append(parts[ref.StoreID], ref.CustomerID)
	}
	return parts
}

// pastPlaces reads where customers stood at the beginning of a day, from its snapshots where there are any, else worked out
// from the orders under the model that was in force.
func (r *Resolver) pastPlaces(ctx context.Context, refs []postgres.CustomerRef, day engine.Date) (map[postgres.CustomerRef]place, error) {
	stored, err := r.DB.SnapshotsAt(ctx, refs, day)
	if err != nil {
		return nil, err
	}
	places := make(map[postgres.CustomerRef]place, len(refs))
	for ref, s := range stored {
		places[ref] = place{s.ModelVersion, stateOfSnapshot(s)}
	}
	missing := slices.DeleteFunc(slices.Clone(refs), func(ref postgres.CustomerRef) bool { return stored[ref] != nil })
	for storeID, customers := range byStore(missing) {
		m, found, err := r.workOut(ctx, storeID, customers, engine.Daily, []engine.Date{day}, day)
		if err != nil {
			return nil, err
		}
		for _, id := range customers {
			p := place{}
			if m != nil {
				p.version = m.Version
			}
			if list := found[id]; len(list) > 0 {
				p.state = stateOfSnapshot(list[0])
			}
			places[postgres.CustomerRef{StoreID: storeID, CustomerID: id}] = p
		}
	}
	return places, nil
}

func stateOfSnapshot(s *engine.Snapshot) *postgres.CustomerState {
	return &postgres.CustomerState{
		CustomerRef:  postgres.CustomerRef{StoreID: s.StoreID, CustomerID: s.CustomerID},
		ModelVersion: s.ModelVersion, Date: s.Date, Thumbprint: s.Thumbprint, Features: s.Features, ChurnRisk: s.ChurnRisk, UpdatedAt: s.CreatedAt,
	}
}

// workOut works snapshots out from the orders under the model that was in force at the beginning of asOf, and gives that
// model; nil before the first.
func (r *Resolver) workOut(ctx context.Context, storeID int32, customers []int64, kind engine.SnapshotType, days []engine.Date, asOf engine.Date) (*engine.Model, map[int64][]*engine.Snapshot, error) {
	store, err := r.storeByID(ctx, storeID)
	if err != nil {
		return nil, nil, err
	}
	m, err := r.modelAt(ctx, store, asOf)
	if err != nil || m == nil || len(customers) == 0 || len(days) == 0 {
		return m, nil, err
	}
	found, err := r.Jobs.Past(ctx, jobs.PastRequest{Store: &store.Store, Customers: customers, Type: kind, Dates: days, Model: m})
	return m, found, err
}

// modelAt gives the model that was in force at the beginning of a day, the one in force now where none was, nil before the first.
func (r *Resolver) modelAt(ctx context.Context, store *model.Store, day engine.Date) (*engine.Model, error) {
	version, err := r.DB.ModelVersionAt(ctx, store.Store.ID, day.In(store.Zone))
	if err != nil || version == 0 {
		return nil, err
	}
	return r.version(ctx, store, &version)
}

// pastPlace reads where a customer stood on its day together with others.
func (r *Resolver) pastPlace(ctx context.Context, c *model.Customer) (*postgres.CustomerState, *engine.Model, error) {
	l := r.loaders(ctx)
	p, err := ofPage(ctx, l, c, *c.AsOf, l.pastPlaces, r.pastPlaces)
	if err != nil || p.version == 0 {
		return nil, nil, err
	}
	m, err := r.version(ctx, c.Store, &p.version)
	return p.state, m, err
}

// pastQuery asks for customers' snapshots of a type in [from, to), as they were known at the beginning of asOf.
type pastQuery struct {
	kind           engine.SnapshotType
	from, to, asOf engine.Date
	features       bool // come with the snapshots
}

// pastRows is the answer for one customer, and the model that computed snapshots are scored under, nil before the first.
type pastRows struct {
	model *engine.Model
	rows  []*engine.Snapshot
}

// pastSeries reads customers' snapshots and works out those of the type's own days on which there are none.
func (r *Resolver) pastSeries(ctx context.Context, refs []postgres.CustomerRef, q pastQuery) (map[postgres.CustomerRef]pastRows, error) {
	all := make(map[postgres.CustomerRef]pastRows, len(refs))
	for storeID, customers := range byStore(refs) {
		days, err := r.pastDays(ctx, storeID, q)
		if err != nil {
			return nil, err
		}
		m, computed, err := r.workOut(ctx, storeID, customers, q.kind, days, q.asOf)
		if err != nil {
			return nil, err
		}
		timeline := postgres.TimelineQuery{Type: q.kind, From: q.from, To: q.to, Features: q.features, Limit: maxDates + 1}
		if m != nil {
			timeline.Model = m.Version
		}
		own := slices.DeleteFunc(slices.Clone(refs), func(ref postgres.CustomerRef) bool { return ref.StoreID != storeID })
		stored, err := r.DB.Timeline(ctx, own, timeline)
		if err != nil {
			return nil, err
		}
		for _, ref := range own {
			all[ref] = pastRows{m, merged(stored[ref], computed[ref.CustomerID])}
		}
	}
	return all, nil
}

// pastDays are the type's own days of a range from the store's first order on: before it there is nothing to tell.
func (r *Resolver) pastDays(ctx context.Context, storeID int32, q pastQuery) ([]engine.Date, error) {
	store, err := r.storeByID(ctx, storeID)
	if err != nil || store.FirstAt.IsZero() {
		return nil, err
	}
	days := q.kind.Dates(max(q.from, engine.DateOf(store.FirstAt, store.Zone)), q.to)
	if len(days) > maxDates {
		return nil, tooManyDates()
	}
	return days, nil
}

// merged puts two series into one, oldest first; of two snapshots of a day the stored one counts.
func merged(stored, computed []*engine.Snapshot) []*engine.Snapshot {
	byDay := make(map[engine.Date]*engine.Snapshot, len(stored)+len(computed))
	for _, list := range [][]*engine.Snapshot{computed, stored} {
		for _, s := range list {
			byDay[s.Date] = s
		}
	}
	rows := make([]*engine.Snapshot, 0, len(byDay))
	for _, day := range slices.Sorted(maps.Keys(byDay)) {
		rows = append(rows, byDay[day])
	}
	return rows
}

func tooManyDates() error {
	return engine.Errorf(engine.CodeInvalid, "the range holds more than %d snapshots; ask for a shorter one", maxDates)
}
