package resolvers

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

// notFound says the same of what is not there and of what the caller may not see.
var notFound = engine.Errorf(engine.CodeNotFound, "there is nothing with this id")

// idOf reads an identifier that must be of one kind. Faults: INVALID where it is none of ours, NOT_FOUND where it is of
// something else.
func idOf(text string, kind model.Kind) (model.ID, error) {
	id, err := model.ParseID(text)
	if err == nil && id.Kind != kind {
		return id, notFound
	}
	return id, err
}

// node gives what an identifier stands for.
func (r *Resolver) node(ctx context.Context, text string) (model.Node, error) {
	id, err := model.ParseID(text)
	if err != nil {
		return nil, err
	}
	if id.Kind == model.KindRun {
		return nodeOr(r.run(ctx, id))
	}
	store, err := r.storeByID(ctx, id.Store)
	if err != nil {
		return nil, err
	}
	ref := postgres.CustomerRef{StoreID: id.Store, CustomerID: id.Customer}
	switch id.Kind {
	case model.KindStore:
		return store, nil
	case model.KindAxis:
		return &model.Axis{Store: store, Index: id.Axis}, nil
	case model.KindCustomer:
		return nodeOr(r.customerByID(ctx, ref))
	case model.KindModel:
		return nodeOr(r.modelView(ctx, store, &id.Version))
	case model.KindSegment:
		return nodeOr(r.segment(ctx, id))
	case model.KindSnapshot:
		return nodeOr(r.snapshot(ctx, postgres.SnapshotRef{CustomerRef: ref, Type: id.Type, Date: id.Date}))
	case model.KindAlarm:
		return nodeOr(r.alarm(ctx, store, id.Event))
	default:
		return nodeOr(r.driftEvent(ctx, store, id.Event))
	}
}

// nodeOr keeps a nil pointer from becoming an interface that is not nil.
func nodeOr[N model.Node](n N, err error) (model.Node, error) {
	if err != nil {
		return nil, err
	}
	return n, nil
}

// segment gives a segment by its identifier. Fault: NOT_FOUND.
func (r *Resolver) segment(ctx context.Context, id model.ID) (*model.Segment, error) {
	store, err := r.storeByID(ctx, id.Store)
	if err != nil {
		return nil, err
	}
	m, err := r.version(ctx, store, &id.Version)
	if err != nil {
		return nil, err
	}
	if s := model.FindSegment(store, m, id.Axis, id.Segment); s != nil {
		return s, nil
	}
	return nil, notFound
}

// segments reads a filter's segments.
func (r *Resolver) segments(ctx context.Context, ids []string) ([]*model.Segment, error) {
	if len(ids) > maxPage {
		return nil, engine.Errorf(engine.CodeInvalid, "name at most %d segments, not %d", maxPage, len(ids))
	}
	list := make([]*model.Segment, len(ids))
	for i, text := range ids {
		id, err := idOf(text, model.KindSegment)
		if err != nil {
			return nil, err
		}
		if list[i], err = r.segment(ctx, id); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// customerBy names a customer in exactly one way; gqlgen checks literals only.
func (r *Resolver) customerBy(ctx context.Context, by model.CustomerBy) (*model.Customer, error) {
	if (by.ID == nil) == (by.Key == nil) {
		return nil, engine.Errorf(engine.CodeInvalid, "name the customer either by id or by key")
	}
	if by.ID != nil {
		id, err := idOf(*by.ID, model.KindCustomer)
		if err != nil {
			return nil, err
		}
		return r.customerByID(ctx, postgres.CustomerRef{StoreID: id.Store, CustomerID: id.Customer})
	}
	if key := *by.Key; alone(ctx) && clean(key.StoreID) == key.StoreID && clean(key.CustomerID) == key.CustomerID {
		return r.customerAlone(ctx, key)
	}
	store, err := r.storeByKey(ctx, by.Key.StoreID)
	if err != nil {
		return nil, err
	}
	if strings.ContainsRune(by.Key.CustomerID, 0) {
		return nil, engine.Errorf(engine.CodeInvalid, "a customerId holds no zero byte")
	}
	c, err := orNone(r.loaders(ctx).customerByKey.Load(ctx, postgres.CustomerKey{StoreID: store.Store.ID, Key: by.Key.CustomerID}))
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, noCustomer(store, by.Key.CustomerID)
	}
	return &model.Customer{Customer: c, Store: store}, nil
}

func noCustomer(store *model.Store, key string) error {
	return engine.Errorf(engine.CodeNotFound, "store %q has no customer %q", store.Key, short(key))
}

// customerAlone is customerBy where a query asks for one customer and nothing else: one statement, and no loader waits for others.
func (r *Resolver) customerAlone(ctx context.Context, key model.CustomerKeyInput) (*model.Customer, error) {
	found, err := r.DB.StoreCustomer(ctx, key.StoreID, key.CustomerID)
	if err != nil {
		return nil, err
	}
	if found == nil || len(seen(ctx, []*postgres.StoreView{found.Store})) == 0 {
		return nil, noStore(key.StoreID)
	}
	store := r.storeView(found.Store)
	touch(ctx, store)
	r.loaders(ctx).keepStore(store)
	if found.Customer == nil {
		return nil, noCustomer(store, key.CustomerID)
	}
	c := &model.Customer{Customer: found.Customer, Store: store}
	model.AsPage([]*model.Customer{c})
	return c, nil
}

// snapshot gives a snapshot. Fault: NOT_FOUND.
func (r *Resolver) snapshot(ctx context.Context, ref postgres.SnapshotRef) (*model.Snapshot, error) {
	c, err := r.customerByID(ctx, ref.CustomerRef)
	if err != nil {
		return nil, err
	}
	s, err := orNone(r.loaders(ctx).snapshot.Load(ctx, ref))
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, notFound
	}
	return &model.Snapshot{Snapshot: s, Customer: c}, nil
}

// runID reads the identifier of a run as its UUID. Fault: INVALID, NOT_FOUND.
func runID(text string) (string, error) {
	id, err := idOf(text, model.KindRun)
	if err != nil {
		return "", err
	}
	if _, err := uuid.Parse(id.Run); err != nil {
		return "", notFound
	}
	return id.Run, nil
}

// short keeps a text that a caller sent short enough to be shown in a message.
func short(s string) string {
	const most = 60
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// nodes gives what identifiers stand for, in their order; read at the same time, so that one statement reads many.
func (r *Resolver) nodes(ctx context.Context, ids []string) ([]model.Node, error) {
	if len(ids) > maxPage {
		return nil, engine.Errorf(engine.CodeInvalid, "ask for at most %d ids, not %d", maxPage, len(ids))
	}
	list := make([]model.Node, len(ids))
	var group sync.WaitGroup
	for i, id := range ids {
		group.Go(func() {
			defer func() {
				if fault := recover(); fault != nil {
					graphql.AddError(ctx, r.Recover(ctx, fault))
				}
			}()
			found, err := r.node(ctx, id)
			if err != nil {
				graphql.AddError(graphql.WithPathContext(ctx, graphql.NewPathWithIndex(i)), err)
				return
			}
			list[i] = found
		})
	}
	group.Wait()
	return list, nil
}

// asked tells whether one of these fields is selected below the present one.
func asked(ctx context.Context, names ...string) bool {
	for _, field := range graphql.CollectAllFields(ctx) {
		if slices.Contains(names, field) {
			return true
		}
	}
	return false
}

func itoa(i int) string { return strconv.Itoa(i) }

// clean drops what Postgres cannot hold in a text; such a name names nobody.
func clean(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?") }
