package resolvers

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vikstrous/dataloadgen"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/journey"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/postgres"
)

// loaderWait is how long a loader waits for more keys: it is paid once a level of a query.
const loaderWait = time.Millisecond

// loaders gather what the fields of one request read, so that a page is one statement.
type loaders struct {
	storeByID     *dataloadgen.Loader[int32, *model.Store]
	storeByKey    *dataloadgen.Loader[string, *model.Store]
	retention     *dataloadgen.Loader[int32, map[engine.SnapshotType]int]
	customerByID  *dataloadgen.Loader[postgres.CustomerRef, *engine.Customer]
	customerByKey *dataloadgen.Loader[postgres.CustomerKey, *engine.Customer]
	state         *dataloadgen.Loader[shaped[stateShape], *postgres.CustomerState]
	latest        *dataloadgen.Loader[shaped[postgres.LatestQuery], *engine.Snapshot]
	snapshot      *dataloadgen.Loader[postgres.SnapshotRef, *engine.Snapshot]
	snapshots     *dataloadgen.Loader[shaped[postgres.SnapshotQuery], []*engine.Snapshot]
	timeline      *dataloadgen.Loader[shaped[postgres.TimelineQuery], []*engine.Snapshot]
	pastPlaces    *dataloadgen.Loader[shaped[engine.Date], place]
	pastSeries    *dataloadgen.Loader[shaped[pastQuery], pastRows]
	lines         *dataloadgen.Loader[shaped[linesShape], []engine.Line]
	baselines     *dataloadgen.Loader[shaped[baselineShape], countedDrift]
	drift         *dataloadgen.Loader[shaped[driftShape], []*postgres.ListedEvent]
	spread        *dataloadgen.Loader[postgres.SpreadRef, watch.Spread]
	transitions   *dataloadgen.Loader[shaped[transitionShape], []*postgres.ListedTransition]
	silent        *dataloadgen.Loader[shaped[silentShape], engine.Thumbprint]
	places        *dataloadgen.Loader[shaped[placesShape], []journey.Place]
	ownDrifts     *dataloadgen.Loader[shaped[driftsUntil], []watch.Dated]

	mu      sync.Mutex
	queries map[string]postgres.DriftQuery // by shape
	pages   map[pageKey]func() (any, error)
}

// pageKey is a list of customers or of drift events, and what is read of all of them.
type pageKey struct {
	page any // a pointer to the list
	what any
}

// shaped is a customer and what is asked of it. Keys of different shapes are never read together.
type shaped[S comparable] struct {
	ref   postgres.CustomerRef
	shape S
}

func newLoader[K comparable, V any](fetch func(context.Context, []K) (map[K]V, error)) *dataloadgen.Loader[K, V] {
	return dataloadgen.NewMappedLoader(fetch, dataloadgen.WithWait(loaderWait), dataloadgen.WithBatchCapacity(maxPage*maxPage))
}

// byShape reads the keys of each shape together.
func byShape[S comparable, V any](fetch func(context.Context, []postgres.CustomerRef, S) (map[postgres.CustomerRef]V, error)) *dataloadgen.Loader[shaped[S], V] {
	return newLoader(func(ctx context.Context, keys []shaped[S]) (map[shaped[S]]V, error) {
		refs := map[S][]postgres.CustomerRef{}
		for _, k := range keys {
			refs[k.shape] = append(refs[k.shape], k.ref)
		}
		all := make(map[shaped[S]]V, len(keys))
		for shape, list := range refs {
			found, err := fetch(ctx, list, shape)
			if err != nil {
				return nil, err
			}
			for _, ref := range list {
				if v, ok := found[ref]; ok {
					all[shaped[S]{ref, shape}] = v
				}
			}
		}
		return all, nil
	})
}

func (r *Resolver) newLoaders() *loaders {
	l := &loaders{queries: map[string]postgres.DriftQuery{}, pages: map[pageKey]func() (any, error){}}
	l.storeByID = newLoader(func(ctx context.Context, ids []int32) (map[int32]*model.Store, error) {
		found, err := r.DB.StoreViewsByID(ctx, ids)
		stores := make(map[int32]*model.Store, len(found))
		for _, s := range seen(ctx, found) {
			stores[s.ID] = r.storeView(s)
		}
		return stores, err
	})
	l.storeByKey = newLoader(func(ctx context.Context, keys []string) (map[string]*model.Store, error) {
		found, err := r.storesByKey(ctx, keys)
		for _, s := range found {
			l.storeByID.Prime(s.Store.ID, s)
		}
		return found, err
	})
	l.retention = newLoader(func(ctx context.Context, stores []int32) (map[int32]map[engine.SnapshotType]int, error) {
		found := make(map[int32]map[engine.SnapshotType]int, len(stores))
		for _, store := range stores { // seldom more than one
			overrides, err := r.DB.RetentionOverrides(ctx, store)
			if err != nil {
				return nil, err
			}
			found[store] = overrides
		}
		return found, nil
	})
	l.customerByID = newLoader(r.DB.CustomersByID)
	l.customerByKey = newLoader(r.DB.CustomersByKey)
	l.state = byShape(r.states)
	l.lines = byShape(r.lines)
	l.snapshot = newLoader(r.DB.SnapshotsByRef)
	l.latest = byShape(r.DB.LatestSnapshots)
	l.snapshots = byShape(r.DB.Snapshots)
	l.timeline = byShape(r.DB.Timeline)
	l.pastPlaces = byShape(r.pastPlaces)
	l.pastSeries = byShape(r.pastSeries)
	l.baselines = byShape(r.baselines)
	l.drift = byShape(r.driftByShape(l))
	l.spread = newLoader(r.DB.Spreads)
	l.transitions = byShape(r.transitionsByShape)
	l.silent = byShape(r.silent)
	l.places = byShape(r.places)
	l.ownDrifts = byShape(r.ownDrifts)
	return l
}

func (r *Resolver) storesByKey(ctx context.Context, keys []string) (map[string]*model.Store, error) {
	found, err := r.DB.StoreViewsByKey(ctx, keys)
	stores := make(map[string]*model.Store, len(found))
	for _, s := range seen(ctx, found) {
		stores[s.Key] = r.storeView(s)
	}
	return stores, err
}

// keepStore lets the loaders give a store that was read without them.
func (l *loaders) keepStore(s *model.Store) {
	l.storeByKey.Prime(s.Key, s)
	l.storeByID.Prime(s.Store.ID, s)
}

// ofPage reads something of all customers of a list at once, when it is first asked of one of them: a page is one
// statement however busy the machine is, which a loader's wait cannot promise. Customers without a list go to the loader.
func ofPage[K comparable, V any](ctx context.Context, l *loaders, c *model.Customer, what K, loader *dataloadgen.Loader[shaped[K], V],
	fetch func(context.Context, []postgres.CustomerRef, K) (map[postgres.CustomerRef]V, error),
) (V, error) {
	if c.Page == nil {
		return orNone(loader.Load(ctx, shaped[K]{refOf(c), what}))
	}
	found, err := onceForPage(l, pageKey{c.Page, what}, func() (map[postgres.CustomerRef]V, error) {
		refs := make([]postgres.CustomerRef, len(*c.Page))
		for i, sibling := range *c.Page {
			refs[i] = refOf(sibling)
		}
		return fetch(ctx, refs, what)
	})
	return found[refOf(c)], err
}

// onceForPage reads something of a page when it is first asked for.
func onceForPage[R any](l *loaders, key pageKey, fetch func() (R, error)) (R, error) {
	l.mu.Lock()
	read := l.pages[key]
	if read == nil {
		read = sync.OnceValues(func() (any, error) { return fetch() })
		l.pages[key] = read
	}
	l.mu.Unlock()
	found, err := read()
	return found.(R), err
}

// driftShape tells shapes of drift queries from others.
type driftShape string

// driftByShape reads pages of drift events.
func (r *Resolver) driftByShape(l *loaders) func(context.Context, []postgres.CustomerRef, driftShape) (map[postgres.CustomerRef][]*postgres.ListedEvent, error) {
	return func(ctx context.Context, refs []postgres.CustomerRef, shape driftShape) (map[postgres.CustomerRef][]*postgres.ListedEvent, error) {
		l.mu.Lock()
		q := l.queries[string(shape)]
		l.mu.Unlock()
		return r.DB.CustomerDrift(ctx, refs, q)
	}
}

// driftOf reads a page of a customer's drift events together with the same page of others.
func (r *Resolver) driftOf(ctx context.Context, c *model.Customer, q postgres.DriftQuery) ([]*postgres.ListedEvent, error) {
	shape, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	l := r.loaders(ctx)
	l.mu.Lock()
	l.queries[string(shape)] = q
	l.mu.Unlock()
	return ofPage(ctx, l, c, driftShape(shape), l.drift, r.driftByShape(l))
}

// stateShape says how states are read.
type stateShape struct{ features bool }

// stateOf reads where a customer stands together with others, with its features where they are needed; nil where it has no
// place.
func (r *Resolver) stateOf(ctx context.Context, c *model.Customer, features bool) (*postgres.CustomerState, error) {
	l := r.loaders(ctx)
	return ofPage(ctx, l, c, stateShape{features}, l.state, r.states)
}

func (r *Resolver) states(ctx context.Context, refs []postgres.CustomerRef, shape stateShape) (map[postgres.CustomerRef]*postgres.CustomerState, error) {
	return r.DB.CustomerStates(ctx, refs, shape.features)
}

// orNone turns what is not there into the zero value.
func orNone[V any](v V, err error) (V, error) {
	if errors.Is(err, dataloadgen.ErrNotFound) {
		var none V
		return none, nil
	}
	return v, err
}

type loadersKey struct{}

// AroundOperations gives every operation loaders of its own, and every message of a subscription too: what an earlier one has
// read may be changed since. A subscription that ends too early says why.
func (r *Resolver) AroundOperations(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	fresh := func(ctx context.Context) context.Context { return context.WithValue(ctx, loadersKey{}, r.newLoaders()) }
	ctx, end := withStreamEnd(ctx)
	respond := next(fresh(ctx))
	return func(ctx context.Context) *graphql.Response {
		if response := respond(fresh(ctx)); response != nil {
			return response
		}
		return r.last(ctx, end)
	}
}

// AroundRootFields gives every field of a mutation loaders of its own: what an earlier field has read may be changed since.
func (r *Resolver) AroundRootFields(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Mutation {
		ctx = context.WithValue(ctx, loadersKey{}, r.newLoaders())
	}
	return next(ctx)
}

// loaders gives the operation's loaders. Without AroundOperations nothing is read together, but everything is read.
func (r *Resolver) loaders(ctx context.Context) *loaders {
	if l, ok := ctx.Value(loadersKey{}).(*loaders); ok {
		return l
	}
	return r.newLoaders()
}

func (r *Resolver) storeView(s *postgres.StoreView) *model.Store {
	return &model.Store{Store: s.Store, Clock: r.Now(), ModelVersion: s.ModelVersion, ModelAt: s.ModelAt}
}

// alone tells whether the present field is the only root field of a query: nothing else reads the like, so there is nothing that
// a loader could wait for. nodes asks for many things itself.
func alone(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Object != "Query" || field.Field.Field == nil || field.Field.Name == "nodes" {
		return false
	}
	selected := graphql.GetOperationContext(ctx).Operation.SelectionSet
	_, isField := selected[0].(*ast.Field)
	return len(selected) == 1 && isField
}

// storeByKey gives a store. Fault: NOT_FOUND.
func (r *Resolver) storeByKey(ctx context.Context, key string) (*model.Store, error) {
	var store *model.Store
	var err error
	switch l := r.loaders(ctx); {
	case clean(key) != key: // no store can be called so
	case alone(ctx):
		var found map[string]*model.Store
		found, err = r.storesByKey(ctx, []string{key})
		if store = found[key]; store != nil {
			l.keepStore(store)
		}
	default:
		store, err = orNone(l.storeByKey.Load(ctx, key))
	}
	if err == nil && store == nil {
		return nil, noStore(key)
	}
	touch(ctx, store)
	return store, err
}

func noStore(key string) error {
	return engine.Errorf(engine.CodeNotFound, "there is no store %q", short(key))
}

// storeByID gives a store. Fault: NOT_FOUND.
func (r *Resolver) storeByID(ctx context.Context, id int32) (*model.Store, error) {
	store, err := orNone(r.loaders(ctx).storeByID.Load(ctx, id))
	if err == nil && store == nil {
		return nil, notFound
	}
	touch(ctx, store)
	return store, err
}

// customerByID gives a customer. Fault: NOT_FOUND.
func (r *Resolver) customerByID(ctx context.Context, ref postgres.CustomerRef) (*model.Customer, error) {
	store, err := r.storeByID(ctx, ref.StoreID)
	if err != nil {
		return nil, err
	}
	c, err := orNone(r.loaders(ctx).customerByID.Load(ctx, ref))
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, notFound
	}
	return &model.Customer{Customer: c, Store: store}, nil
}

func refOf(c *model.Customer) postgres.CustomerRef {
	return postgres.CustomerRef{StoreID: c.Customer.StoreID, CustomerID: c.Customer.ID}
}
