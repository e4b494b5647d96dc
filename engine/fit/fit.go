// Package fit makes models: it finds the segments of a store's customers on every axis, describes and names them, and tells which
// segments of the model before live on in them. What is read off a model is in package engine.
package fit

import (
	"context"
	"fmt"
	"hash/fnv"
	"runtime"
	"sync"

	"github.com/quimbi/quimbi/engine"
)

// Progress tells how far a fit is.
type Progress struct {
	Stage engine.RunStage
	Axis  string // key of the axis that entered the stage
	Done  int    // axes that are finished; never goes back
	Total int
}

// axesAtOnce bounds the axes that are fitted side by side, since each keeps a matrix of its customers.
const axesAtOnce = 4

// Model makes a model of the store's customers: for every axis the scale of its features, its segments with their
// subdivisions, profiles and names; and the report on repeat customers. An axis that cannot be fitted says so in its
// status; that is no error. Version is left to the caller.
//
// Where there is a previous model of the store, its numbers of segments are kept while they are nearly as good as the
// best, and surviving segments keep key and name. progress, if not nil, is called from one goroutine at a time.
//
// The result depends on the arguments alone, not on the number of processors.
func Model(ctx context.Context, p engine.Params, seed uint64, t *engine.Table, previous *engine.Model, progress func(Progress)) (*engine.Model, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	m := &engine.Model{AsOf: t.AsOf, Seed: seed, Params: p, Columns: t.Columns, Customers: t.Len()}
	report := fitReporter{call: progress, total: engine.AxisCount}
	var overlaps [engine.AxisCount]leafOverlap
	err := sideBySide(ctx, engine.AxisCount+1, func(ctx context.Context, i int) error {
		if i == engine.AxisCount {
			repeat, err := repeatCustomers(ctx, p, seed, t, previous)
			m.Repeat = repeat
			return err
		}
		f := axisFit{
			axis: &engine.Axes[i], table: t, width: engine.FeatureCount, params: p, seed: axisSeed(seed, engine.Axes[i].Key),
			stage: func(s engine.RunStage) { report.stage(s, engine.Axes[i].Key) },
		}
		if previous != nil {
			f.previous, f.previousParams = &previous.Axes[i], previous.Params
		}
		if err := f.run(ctx); err != nil {
			return fmt.Errorf("axis %s: %w", engine.Axes[i].Key, err)
		}
		m.Axes[i], overlaps[i] = f.model, f.overlap
		report.done(engine.Axes[i].Key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.PlaceLeaves()
	identify(m, previous, &overlaps)
	return m, nil
}

// sideBySide calls do for 0 to n-1, a few at a time, until one fails or ctx ends.
func sideBySide(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	places := make(chan struct{}, min(axesAtOnce, runtime.GOMAXPROCS(0)))
	var running sync.WaitGroup
	for i := range n {
		places <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			defer func() { <-places }()
			if err := do(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// axisSeed gives each axis a seed of its own, so that results do not depend on the order in which axes are fitted.
func axisSeed(seed uint64, key string) uint64 {
	h := fnv.New64a()
	for i := range 8 {
		_, _ = h.Write([]byte{byte(seed >> (8 * i))}) // a hash never fails
	}
	_, _ = h.Write([]byte(key))
	return h.Sum64()
}

// fitReporter passes progress on from several axes at once.
type fitReporter struct {
	mutex           sync.Mutex
	call            func(Progress)
	last            engine.RunStage
	finished, total int
}

func (r *fitReporter) stage(s engine.RunStage, axis string) {
	if r.call == nil {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.last = s
	r.call(Progress{Stage: s, Axis: axis, Done: r.finished, Total: r.total})
}

func (r *fitReporter) done(axis string) {
	if r.call == nil {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.finished++
	if r.last == "" {
		r.last = engine.StageSelectingK
	}
	r.call(Progress{Stage: r.last, Axis: axis, Done: r.finished, Total: r.total})
}
