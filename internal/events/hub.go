// Package events tells watchers within this process what changed in the database: one listening connection for all.
package events

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/quimbi/quimbi/internal/postgres"
)

// Hub hands notifications on. Make it with NewHub, and let Run work while there are watchers.
type Hub struct {
	db  *postgres.DB
	log *slog.Logger

	mu       sync.Mutex
	watchers map[subject]map[chan struct{}]bool
}

// subject is what a watcher wants to hear of: a run by its id, or new drift events of a store by its number. An empty name
// stands for all of a channel.
type subject struct{ channel, name string }

// NewHub makes a Hub.
func NewHub(db *postgres.DB, log *slog.Logger) *Hub {
	return &Hub{db: db, log: log, watchers: map[subject]map[chan struct{}]bool{}}
}

// Pauses between attempts to listen.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Run listens until the context is done; a lost connection is made anew.
func (h *Hub) Run(ctx context.Context) error {
	pause := firstPause
	for {
		// What changed while nobody listened is unknown, so everyone looks again.
		err := h.db.Listen(ctx, []string{postgres.RunChannel, postgres.DriftChannel}, func() {
			pause = firstPause
			h.wakeAll()
		}, h.wake)
		if ctx.Err() != nil {
			return nil
		}
		h.log.WarnContext(ctx, "listening for changes ended; trying again", slog.Any("error", err), slog.Duration("after", pause))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// WatchRun gives a channel that receives after changes of a run, until the context is done. Several changes may come as
// one: a watcher looks what the run is now. The sender never waits for a slow watcher.
func (h *Hub) WatchRun(ctx context.Context, runID string) <-chan struct{} {
	return h.watch(ctx, subject{postgres.RunChannel, runID})
}

// WatchDrift does the same for new drift events of a store, of all stores where it is 0.
func (h *Hub) WatchDrift(ctx context.Context, storeID int32) <-chan struct{} {
	name := ""
	if storeID != 0 {
		name = strconv.Itoa(int(storeID))
	}
	return h.watch(ctx, subject{postgres.DriftChannel, name})
}

func (h *Hub) watch(ctx context.Context, s subject) <-chan struct{} {
	changes := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers[s] == nil {
		h.watchers[s] = map[chan struct{}]bool{}
	}
	h.watchers[s][changes] = true
	context.AfterFunc(ctx, func() { h.leave(s, changes) })
	return changes
}

func (h *Hub) leave(s subject, changes chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[s], changes)
	if len(h.watchers[s]) == 0 {
		delete(h.watchers, s)
	}
}

func (h *Hub) wake(channel, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range []subject{{channel, name}, {channel, ""}} {
		for changes := range h.watchers[s] {
			tell(changes)
		}
	}
}

func (h *Hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, watchers := range h.watchers {
		for changes := range watchers {
			tell(changes)
		}
	}
}

func tell(changes chan struct{}) {
	select {
	case changes <- struct{}{}:
	default: // the watcher has not looked since the last change
	}
}
