package resolvers

import (
	"context"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
	"github.com/quimbi/quimbi/internal/events"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Models keeps models in memory: a version never changes once it is there, but for names that people give.
type Models struct {
	db     *postgres.DB
	group  singleflight.Group
	mu     sync.Mutex
	stored map[modelKey]*postgres.StoredModel
	order  []modelKey // oldest first
	renews int        // how often all were forgotten
}

type modelKey struct {
	store   int32
	version int
}

// keptModels bounds the memory: some hundred kilobytes each.
const keptModels = 200

// NewModels makes an empty cache.
func NewModels(db *postgres.DB) *Models {
	return &Models{db: db, stored: map[modelKey]*postgres.StoredModel{}}
}

// Get gives a model. Fault: NOT_FOUND.
func (m *Models) Get(ctx context.Context, storeID int32, version int) (*postgres.StoredModel, error) {
	key := modelKey{storeID, version}
	if found := m.kept(key); found != nil {
		return found, nil
	}
	// Readers that come at the same time share one read, which goes on when the first of them leaves.
	ctx = context.WithoutCancel(ctx)
	got, err, _ := m.group.Do(model.ID{Kind: model.KindModel, Store: storeID, Version: version}.String(), func() (any, error) {
		// Another reader may have come to its end between the look above and this one's turn.
		if found := m.kept(key); found != nil {
			return found, nil
		}
		renews := m.renewed()
		stored, err := m.db.Model(ctx, storeID, version)
		if err == nil {
			m.keep(key, stored, renews)
		}
		return stored, err
	})
	if err != nil {
		return nil, err
	}
	return got.(*postgres.StoredModel), nil
}

func (m *Models) kept(key modelKey) *postgres.StoredModel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stored[key]
}

// Follow forgets all models when one has new names, until the context is done: names are seldom given. So it does after the
// listening connection was lost.
func (m *Models) Follow(ctx context.Context, hub *events.Hub) {
	changes := hub.WatchModels(ctx)
	for {
		select {
		case <-changes:
			m.forget()
		case <-ctx.Done():
			return
		}
	}
}

func (m *Models) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.stored)
	m.order, m.renews = nil, m.renews+1
}

func (m *Models) renewed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.renews
}

// keep keeps what was read, unless all was forgotten since: it may be of before.
func (m *Models) keep(key modelKey, stored *postgres.StoredModel, renews int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stored[key] != nil || m.renews != renews {
		return
	}
	if len(m.order) >= keptModels {
		delete(m.stored, m.order[0])
		m.order = m.order[1:]
	}
	m.stored[key] = stored
	m.order = append(m.order, key)
}

// inForce gives the store's model in force; nil before the first re-clustering.
func (r *Resolver) inForce(ctx context.Context, store *model.Store) (*engine.Model, error) {
	return r.version(ctx, store, nil)
}

// version gives a version of the store's model, the one in force where none is named; nil before the first re-clustering.
// Fault: NOT_FOUND for a version that is named and not there.
func (r *Resolver) version(ctx context.Context, store *model.Store, version *int) (*engine.Model, error) {
	number := store.ModelVersion
	if version != nil {
		number = *version
	} else if number == 0 {
		return nil, nil
	}
	stored, err := r.Models.Get(ctx, store.Store.ID, number)
	if err != nil {
		return nil, err
	}
	return stored.Model, nil
}
