package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

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

func (r *Runner) references(ctx context.Context, store *engine.Store, months []engine.Date) (map[engine.Date]*engine.Reference, error) {
	version, err := r.db.OrdersVersion(ctx, store.ID)
	if err != nil {
		return nil, err
	}
	stored, err := r.db.References(ctx, store.ID, months)
	if err != nil {
		return nil, err
	}
	found := map[engine.Date]*engine.Reference{}
	var missing []engine.Date
	for _, month := range months {
		body, ok := stored[month]
		if !ok {
			missing = append(missing, month)
			continue
		}
		var reference engine.Reference
		if err := json.Unmarshal(body, &reference); err != nil {
			return nil, err
		}
		found[month] = &reference
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
