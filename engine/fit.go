package engine

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"runtime"
	"sync"
)

// FitProgress tells how far a fit is.
type FitProgress struct {
	Stage RunStage
	Axis  string // key of the axis that entered the stage
	Done  int    // axes that are finished; never goes back
	Total int
}

// axesAtOnce bounds the axes that are fitted side by side, since each keeps a matrix of its customers.
const axesAtOnce = 4

// Fit makes a model of the store's customers: for every axis the scale of its features, its segments with their
// subdivisions, profiles and names; and the report on repeat customers. An axis that cannot be fitted says so in its
// status; that is no error. Version is left to the caller.
//
// Where there is a previous model of the store, its numbers of segments are kept while they are nearly as good as the
// best, and surviving segments keep key and name. progress, if not nil, is called from one goroutine at a time.
//
// The result depends on the arguments alone, not on the number of processors.
func Fit(ctx context.Context, p Params, seed uint64, t *Table, previous *Model, progress func(FitProgress)) (*Model, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	m := &Model{AsOf: t.AsOf, Seed: seed, Params: p, Columns: t.Columns, Customers: t.Len()}
	report := fitReporter{call: progress, total: AxisCount}
	var overlaps [AxisCount]leafOverlap
	err := sideBySide(ctx, AxisCount+1, func(ctx context.Context, i int) error {
		if i == AxisCount {
			repeat, err := repeatCustomers(ctx, p, seed, t, previous)
			m.Repeat = repeat
			return err
		}
		f := axisFit{
			axis: &Axes[i], table: t, width: FeatureCount, params: p, seed: axisSeed(seed, Axes[i].Key),
			stage: func(s RunStage) { report.stage(s, Axes[i].Key) },
		}
		if previous != nil {
			f.previous, f.previousParams = &previous.Axes[i], previous.Params
		}
		if err := f.run(ctx); err != nil {
			return fmt.Errorf("axis %s: %w", Axes[i].Key, err)
		}
		m.Axes[i], overlaps[i] = f.model, f.overlap
		report.done(Axes[i].Key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.placeLeaves()
	m.identify(previous, &overlaps)
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

// placeLeaves lays the axes' leaves out in the thumbprint.
func (m *Model) placeLeaves() {
	next := 0
	for i := range m.Axes {
		m.Axes[i].First = next
		next += m.Axes[i].Leaves
	}
}

// check refuses a table whose columns do not fit together or that holds an infinite value.
func (t *Table) check() error {
	n := t.Len()
	for _, length := range []int{len(t.ValueCents), len(t.TenureDays), len(t.CustomerID)} {
		if length != n {
			return Errorf(CodeInvalid, "the columns of the table differ in length: %d purchases and %d others", n, length)
		}
	}
	if len(t.Values) != n*FeatureCount {
		return Errorf(CodeInvalid, "the table has %d feature values, and %d customers need %d", len(t.Values), n, n*FeatureCount)
	}
	for i, v := range t.Values {
		if math.IsInf(float64(v), 0) {
			return Errorf(CodeInvalid, "feature %d of customer %d is infinite; leave it undefined (NaN)", i%FeatureCount, t.CustomerID[i/FeatureCount])
		}
	}
	return nil
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
	call            func(FitProgress)
	last            RunStage
	finished, total int
}

func (r *fitReporter) stage(s RunStage, axis string) {
	if r.call == nil {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.last = s
	r.call(FitProgress{Stage: s, Axis: axis, Done: r.finished, Total: r.total})
}

func (r *fitReporter) done(axis string) {
	if r.call == nil {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.finished++
	if r.last == "" {
		r.last = StageSelectingK
	}
	r.call(FitProgress{Stage: r.last, Axis: axis, Done: r.finished, Total: r.total})
}
