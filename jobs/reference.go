package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/internal/postgres"
)

// everyone is the range of all customers.
var everyone = postgres.CustomerRange{From: 0, To: math.MaxInt64}

// instants gives the instants of dates with what features need to know of the store at each. What was not worked out yet
// is worked out in one pass over the store's orders, and kept.
func (r *Runner) instants(ctx context.Context, store *engine.Store, dates []engine.Date) ([]engine.Instant, error) {
	return instantsOf(store, dates, r.readBy(ctx, store))
}

// readReferences reads what features need to know of a store from the first day of each month on.
type readReferences func(months []engine.Date) (map[engine.Date]*engine.Reference, error)

// readBy is references of a store.
func (r *Runner) readBy(ctx context.Context, store *engine.Store) readReferences {
	return func(months []engine.Date) (map[engine.Date]*engine.Reference, error) {
		return r.references(ctx, store, months)
	}
}

func instantsOf(store *engine.Store, dates []engine.Date, read readReferences) ([]engine.Instant, error) {
	if len(dates) == 0 {
		return nil, nil
	}
	var months []engine.Date
	for _, d := range dates {
		months = append(months, engine.ReferenceMonth(d.In(store.Zone), store.Zone))
	}
	slices.Sort(months)
	months = slices.Compact(months)
	references, err := read(months)
	if err != nil {
		return nil, fmt.Errorf("reading what features need to know of the store: %w", err)
	}
	instants := make([]engine.Instant, len(dates))
	for i, d := range dates {
		at := d.In(store.Zone)
		instants[i] = engine.Instant{At: at, Reference: references[engine.ReferenceMonth(at, store.Zone)]}
	}
	return instants, nil
}

// references gives those of months, ascending. One pass over the store's orders works out what is not there, and it is kept.
func (r *Runner) references(ctx context.Context, store *engine.Store, months []engine.Date) (map[engine.Date]*engine.Reference, error) {
	found, version, err := r.keptReferences(ctx, store, months)
	if err != nil {
		return nil, err
	}
	var missing []engine.Date
	for _, month := range months {
		if found[month] == nil {
			missing = append(missing, month)
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	builder := feature.NewReferenceBuilder(store.Zone, store.Columns, missing)
	for customer, err := range r.db.Lines(ctx, store.ID, everyone, missing[len(missing)-1].In(store.Zone)) {
		if err != nil {
			return nil, err
		}
		builder.Add(customer.Lines)
	}
	for _, reference := range builder.References() {
		body, err := json.Marshal(reference)
		if err != nil {
			return nil, err
		}
		if err := r.db.InsertReference(ctx, store.ID, reference.Month, body, version); err != nil {
			return nil, err
		}
		found[reference.Month] = reference
	}
	return found, nil
}

// keptReferences gives those references of months that have been worked out, and the version of the orders that they rest on.
func (r *Runner) keptReferences(ctx context.Context, store *engine.Store, months []engine.Date) (map[engine.Date]*engine.Reference, int64, error) {
	version, err := r.db.OrdersVersion(ctx, store.ID)
	if err != nil {
		return nil, 0, err
	}
	found := map[engine.Date]*engine.Reference{}
	var unread []engine.Date
	key := func(month engine.Date) referenceKey {
		return referenceKey{store: store.ID, zone: store.Zone.String(), month: month, version: version}
	}
	for _, month := range months {
		if reference := r.parsed.get(key(month)); reference != nil {
			found[month] = reference
		} else {
			unread = append(unread, month)
		}
	}
	if len(unread) == 0 {
		return found, version, nil
	}
	stored, err := r.db.References(ctx, store.ID, unread)
	if err != nil {
		return nil, 0, err
	}
	for month, body := range stored {
		var reference engine.Reference
		if err := json.Unmarshal(body, &reference); err != nil {
			return nil, 0, err
		}
		r.parsed.keep(key(month), &reference, len(body))
		found[month] = &reference
	}
	return found, version, nil
}

// parsedReferences keeps references that were read, which nobody changes: each has a price of every article, and readers look at 13 of them.
type parsedReferences struct {
	mu    sync.Mutex
	kept  map[referenceKey]parsedReference
	order []referenceKey // oldest first
	size  int
}

// referenceKey names a reference as it is in one version of a store's orders. The months are those of its time zone.
type referenceKey struct {
	store   int32
	zone    string
	month   engine.Date
	version int64
}

type parsedReference struct {
	*engine.Reference
	size int
}

// maxParsed bounds the memory, in bytes of JSON.
const maxParsed = 32 << 20

func (p *parsedReferences) get(key referenceKey) *engine.Reference {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept[key].Reference
}

func (p *parsedReferences) keep(key referenceKey, reference *engine.Reference, size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept == nil {
		p.kept = map[referenceKey]parsedReference{}
	}
	if _, there := p.kept[key]; there || size > maxParsed {
		return
	}
	p.kept[key] = parsedReference{reference, size}
	p.order, p.size = append(p.order, key), p.size+size
	for p.size > maxParsed {
		p.size -= p.kept[p.order[0]].size
		delete(p.kept, p.order[0])
		p.order = p.order[1:]
	}
}
