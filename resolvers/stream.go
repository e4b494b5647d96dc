package resolvers

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
)

// CodeSlowReader ends the subscription of a client that does not read.
const CodeSlowReader = "SLOW_READER"

// defaultPatience is how long a subscriber may take to read an event.
const defaultPatience = 10 * time.Second

var slowReader = &gqlerror.Error{
	Message:    "The subscription ended, since its events were not read. Subscribe again, driftEvents with after, and read faster.",
	Extensions: map[string]any{"code": CodeSlowReader},
}

// deliver hands an event to a subscriber. One who does not take it in time is dropped, so that nobody holds what it needs
// for ever: fault SLOW_READER.
func deliver[E any](ctx context.Context, r *Resolver, to chan<- E, event E) error {
	patience := r.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case to <- event:
		return nil
	case <-late.C:
		return slowReader
	case <-ctx.Done():
		return ctx.Err()
	}
}

type endKey struct{}

// streamEnd is why a subscription ended, where that is not its proper end.
type streamEnd struct {
	fault atomic.Pointer[gqlerror.Error]
	told  atomic.Bool // that the context's end has a cause
}

// endStream says why a subscription ends before its proper end. Its subscriber reads it as the last message.
func (r *Resolver) endStream(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the subscriber has left, or the server ends
	}
	fault := r.Present(ctx, err)
	r.Log.WarnContext(ctx, "a subscription ended early", slog.String("reason", fault.Message))
	if end, ok := ctx.Value(endKey{}).(*streamEnd); ok {
		end.fault.Store(fault)
	}
}

// withStreamEnd lets a subscription's last message tell why it ended.
func withStreamEnd(ctx context.Context) (context.Context, *streamEnd) {
	if graphql.GetOperationContext(ctx).Operation.Operation != ast.Subscription {
		return ctx, nil
	}
	end := &streamEnd{}
	return context.WithValue(ctx, endKey{}, end), end
}

// last gives the message after the last event; nil at a proper end. Where the cause of the context's end is an engine.Error, it
// is told too: the caller may no longer come in, or the server is ending.
func (r *Resolver) last(ctx context.Context, e *streamEnd) *graphql.Response {
	if e == nil {
		return nil
	}
	if cause, ok := errors.AsType[*engine.Error](context.Cause(ctx)); ok && e.told.CompareAndSwap(false, true) {
		return &graphql.Response{Errors: gqlerror.List{r.Present(ctx, cause)}}
	}
	if fault := e.fault.Swap(nil); fault != nil {
		return &graphql.Response{Errors: gqlerror.List{fault}}
	}
	return nil
}

// watchSnapshots sends what snapshots are taken.
func (r *Resolver) watchSnapshots(ctx context.Context, key *string) (<-chan *model.SnapshotsTaken, error) {
	var only int32
	if key != nil {
		store, err := r.storeByKey(ctx, *key)
		if err != nil {
			return nil, err
		}
		only = store.Store.ID
	}
	watch := r.Events.WatchSnapshots(ctx, only)
	taken := make(chan *model.SnapshotsTaken)
	go func() {
		defer close(taken)
		for {
			select {
			case <-watch.Changes:
			case <-ctx.Done():
				return
			}
			_, stores, err := r.stores(context.WithValue(ctx, loadersKey{}, r.newLoaders()), key)
			if err != nil {
				r.endStream(ctx, err)
				return
			}
			for _, t := range watch.Take() {
				store := stores[t.StoreID]
				if store == nil {
					continue
				}
				event := &model.SnapshotsTaken{StoreID: store.Key, Type: t.Type, Date: t.Date, Count: t.Count}
				if err := deliver(ctx, r, taken, event); err != nil {
					r.endStream(ctx, err)
					return
				}
			}
		}
	}()
	return taken, nil
}
