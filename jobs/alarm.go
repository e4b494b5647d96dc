package jobs

import (
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/alarm"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/internal/postgres"
)

// lookout raises the alarms of a chunk's customers on its dates.
type lookout struct {
	store   *engine.Store
	model   *engine.Model
	watcher *alarm.Watcher
	dates   []engine.Date

	alarms  []engine.Alarm
	watched map[watchedOn]int
}

type watchedOn struct {
	date engine.Date
	kind engine.AlarmKind
}

// newLookout gives nil where the snapshots are no weekly ones of a whole store: alarms are counted by the week and ranked among all.
func newLookout(store *engine.Store, m *engine.Model, c chunk) *lookout {
	if c.Type != engine.Weekly || c.RunID == "" {
		return nil
	}
	return &lookout{store: store, model: m, watcher: alarm.NewWatcher(m.Predictor, store.FalseAlarmRate), dates: c.Dates, watched: map[watchedOn]int{}}
}

// look goes through a customer's dates, on each by what was known then.
func (w *lookout) look(b *feature.Builder, customer postgres.CustomerLines) {
	if w == nil || w.watcher == nil {
		return
	}
	purchases := b.Purchases(customer.Lines, w.dates[len(w.dates)-1].In(w.store.Zone))
	if len(purchases) < 2 {
		return
	}
	// What was bought before a day is known by the last day's purchases, unless one of them stood then and was cancelled since.
	cancelled := slices.ContainsFunc(customer.Lines, func(l engine.Line) bool { return !l.CancelledAt.IsZero() })
	for _, date := range w.dates {
		known := purchases
		if cancelled {
			known = b.Purchases(customer.Lines, date.In(w.store.Zone))
		} else {
			n, _ := slices.BinarySearchFunc(purchases, date, func(p engine.Purchase, day engine.Date) int { return int(p.Day - day) })
			known = purchases[:n]
		}
		seen := w.watcher.Look(known, date)
		for _, kind := range seen.Watched {
			w.watched[watchedOn{date, kind}]++
		}
		for _, a := range seen.Alarms {
			a.StoreID, a.CustomerID, a.ModelVersion = w.store.ID, customer.CustomerID, w.model.Version
			w.alarms = append(w.alarms, a)
		}
	}
}

// counts are how many customers each detector watched on each date.
func (w *lookout) counts() []postgres.WatchCount {
	counts := make([]postgres.WatchCount, 0, len(w.watched))
	for on, n := range w.watched {
		counts = append(counts, postgres.WatchCount{Date: on.date, Kind: on.kind, Watched: n})
	}
	return counts
}
