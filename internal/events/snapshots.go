package events

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/quimbi/quimbi/internal/postgres"
)

// SnapshotWatch sums the snapshots that are taken, by store, type and date, until they are looked at: a slow watcher costs
// the memory of a sum and not of every notification.
type SnapshotWatch struct {
	// Changes receives after there is something to take. Several changes may come as one.
	Changes <-chan struct{}

	mu    sync.Mutex
	taken map[postgres.SnapshotsTaken]int // by all but the count
}

// WatchSnapshots sums the snapshots of a store, of all stores where it is 0, until the context is done. What is written
// while the listening connection is down is missed.
func (h *Hub) WatchSnapshots(ctx context.Context, storeID int32) *SnapshotWatch {
	w := &SnapshotWatch{taken: map[postgres.SnapshotsTaken]int{}}
	w.Changes = h.watch(ctx, subject{postgres.SnapshotChannel, storeName(storeID)}, func(payload string) {
		taken, err := postgres.ParseSnapshotsTaken(payload)
		if err != nil {
			h.log.ErrorContext(ctx, "a notification of snapshots cannot be read", slog.String("payload", payload), slog.Any("error", err))
			return
		}
		w.add(taken)
	})
	return w
}

func (w *SnapshotWatch) add(taken postgres.SnapshotsTaken) {
	w.mu.Lock()
	defer w.mu.Unlock()
	count := taken.Count
	taken.Count = 0
	w.taken[taken] += count
}

// Take gives what was summed since the last time, in the order of store, type and date.
func (w *SnapshotWatch) Take() []postgres.SnapshotsTaken {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []postgres.SnapshotsTaken
	for taken, count := range w.taken {
		taken.Count = count
		list = append(list, taken)
	}
	clear(w.taken)
	slices.SortFunc(list, func(a, b postgres.SnapshotsTaken) int {
		return cmp.Or(cmp.Compare(a.StoreID, b.StoreID), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Date, b.Date))
	})
	return list
}
