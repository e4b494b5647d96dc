// Package events tells watchers within this process what changed in the database: one listening connection for all.
package events

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quimbi/quimbi/internal/postgres"
)

// Hub hands notifications on. Make it with NewHub, and let Run work while there are watchers.
type Hub struct {
	db  *postgres.DB
	log *slog.Logger

	mu       sync.Mutex
	watchers map[subject]map[*watcher]bool
}

// subject is what a watcher wants to hear of: a run by its id, or new drift events or snapshots of a store by its number. An
// empty name stands for all of a channel.
type subject struct{ channel, name string }

// watcher is somebody who is told that something changed; payload takes what was said, where it matters.
type watcher struct {
	changes chan struct{}
	payload func(string)
}

// NewHub makes a Hub.
func NewHub(db *postgres.DB, log *slog.Logger) *Hub {
	return &Hub{db: db, log: log, watchers: map[subject]map[*watcher]bool{}}
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
		err := h.db.Listen(ctx, []string{postgres.RunChannel, postgres.DriftChannel, postgres.SnapshotChannel, postgres.ModelChannel}, func() {
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
	return h.watch(ctx, subject{postgres.RunChannel, runID}, nil)
}

// WatchDrift does the same for new drift events of a store, of all stores where it is 0.
func (h *Hub) WatchDrift(ctx context.Context, storeID int32) <-chan struct{} {
	return h.watch(ctx, subject{postgres.DriftChannel, storeName(storeID)}, nil)
}

// WatchModels does the same for new names in models of any store.
func (h *Hub) WatchModels(ctx context.Context) <-chan struct{} {
	return h.watch(ctx, subject{postgres.ModelChannel, ""}, nil)
}

func storeName(storeID int32) string {
	if storeID == 0 {
		return ""
	}
	return strconv.Itoa(int(storeID))
}

func (h *Hub) watch(ctx context.Context, s subject, payload func(string)) <-chan struct{} {
	w := &watcher{make(chan struct{}, 1), payload}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers[s] == nil {
		h.watchers[s] = map[*watcher]bool{}
	}
	h.watchers[s][w] = true
	context.AfterFunc(ctx, func() { h.leave(s, w) })
	return w.changes
}

func (h *Hub) leave(s subject, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[s], w)
	if len(h.watchers[s]) == 0 {
		delete(h.watchers, s)
	}
}

// wake tells the watchers of a notification: its payload's first word is the subject's name.
func (h *Hub) wake(channel, payload string) {
	name, _, _ := strings.Cut(payload, " ")
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range []subject{{channel, name}, {channel, ""}} {
		for w := range h.watchers[s] {
			if w.payload != nil {
				w.payload(payload)
			}
			w.tell()
		}
	}
}

func (h *Hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, watchers := range h.watchers {
		for w := range watchers {
			w.tell()
		}
	}
}

func (w *watcher) tell() {
	select {
	case w.changes <- struct{}{}:
	default: // the watcher has not looked since the last change
	}
}
