package fcm

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// panelRows rows are kept column by column: long enough to amortise loading
	// a centre, short enough that a panel and its distances stay in L1 cache.
	panelRows = 128
	// chunkPanels panels are summed by one goroutine into one set of sums. The
	// sums are then added in chunk order, whoever made them.
	chunkPanels = 16
)

// Matrix is data made ready for fits: checked, and copied column by column within panels. Fits with several k share one,
// at the same time too.
//
// The value of row r of panel p in column t is panels[(p*d+t)*panelRows+r]. Rows that fill up the last panel are 0 and
// never counted.
type Matrix struct {
	n, d   int
	x      []float64 // as it was given; transposed itself where it is borrowed
	panels []float64
	// last is the last panel where the panels are x, which has no room to fill it up; else nil.
	last []float64
	// moved tells which panels of a borrowed x are transposed, and scratch has room for one for every goroutine; else nil.
	moved   []bool
	scratch [][]float64
	// scale is 1/sd of each column (1 where the column is constant).
	scale []float64
	// spread is the root mean squared distance of the rows from their mean.
	spread float64
}

// NewMatrix makes the n x d row-major matrix x ready and refuses values that cannot be clustered. x must not change
// while the result is in use. Workers bounds the goroutines of the copying; 0 means GOMAXPROCS. It panics only if
// len(x) != n*d.
func NewMatrix(ctx context.Context, x []float64, n, d, workers int) (*Matrix, error) {
	return newMatrix(ctx, x, n, d, workers, false)
}

// newMatrix is NewMatrix, and may borrow x: transpose it in place, panel by panel. A borrowed x must be given back; after
// an error it is already.
func newMatrix(ctx context.Context, x []float64, n, d, workers int, borrow bool) (*Matrix, error) {
	if len(x) != n*d {
		panic(fmt.Sprintf("fcm: matrix of %d values given as %d x %d", len(x), n, d))
	}
	switch {
	case d < 1:
		return nil, fmt.Errorf("%w: %d columns", ErrShape, d)
	case n < 1:
		return nil, fmt.Errorf("%w: no rows", ErrShape)
	case n > math.MaxInt32:
		return nil, fmt.Errorf("%w: %d rows are more than one fit takes", ErrShape, n)
	}
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	p := &Matrix{n: n, d: d, x: x}
	origin := x[:d]
	if borrow {
		p.borrow(workers)
		origin = slices.Clone(origin)
	} else {
		p.panels = make([]float64, p.panelCount()*d*panelRows)
	}
	moments := make([]float64, p.chunkCount()*2*d)
	var bad atomic.Bool
	err := inParallel(ctx, workers, p.chunkCount(), func(worker, chunk int) {
		sums := moments[chunk*2*d : (chunk+1)*2*d]
		for panel := chunk * chunkPanels; panel < min((chunk+1)*chunkPanels, p.panelCount()); panel++ {
			if ctx.Err() != nil {
				return
			}
			rows := p.rows(panel)
			if borrow {
				rows = append(p.scratch[worker][:0], rows...)
				p.moved[panel] = true
			}
			if !p.fillPanel(panel, rows, origin, sums[:d], sums[d:]) {
				bad.Store(true)
			}
		}
	})
	if err != nil || bad.Load() {
		p.giveBack()
	}
	if err != nil {
		return nil, err
	}
	if bad.Load() {
		return nil, describeBad(x, d)
	}
	p.measure(moments)
	return p, nil
}

// borrow makes the panels of x itself, to be transposed one by one.
func (p *Matrix) borrow(workers int) {
	size := p.d * panelRows
	p.panels, p.last = p.x[:p.n/panelRows*size], make([]float64, size)
	p.moved, p.scratch = make([]bool, p.panelCount()), make([][]float64, max(1, min(workers, p.chunkCount())))
	for worker := range p.scratch {
		p.scratch[worker] = make([]float64, size)
	}
}

// giveBack turns the panels of a borrowed x into rows again. The matrix cannot be used afterwards.
func (p *Matrix) giveBack() {
	if p.moved == nil {
		return
	}
	// It must be done whatever became of the fit, so no context ends it.
	_ = inParallel(context.Background(), len(p.scratch), p.chunkCount(), func(worker, chunk int) {
		for panel := chunk * chunkPanels; panel < min((chunk+1)*chunkPanels, p.panelCount()); panel++ {
			if !p.moved[panel] {
				continue
			}
			columns := append(p.scratch[worker][:0], p.panel(panel)...)
			rows := p.rows(panel)
			for t := range p.d {
				at := t
				for _, v := range columns[t*panelRows:][:p.rowsOf(panel)] {
					rows[at] = v
					at += p.d
				}
			}
		}
	})
	p.moved = nil
}

// fillPanel transposes the rows of one panel, adds the first two moments about origin to
// first and second, and reports whether all values can be clustered.
func (p *Matrix) fillPanel(panel int, rows, origin, first, second []float64) bool {
	ok := true
	for t := range p.d {
		column := p.column(panel, t)[:len(rows)/p.d]
		origin := origin[t]
		var s1, s2 float64
		at := t
		for r := range column {
			v := rows[at]
			at += p.d
			if !(math.Abs(v) <= largest) {
				ok = false
			}
			column[r] = v
			e := v - origin
			s1 += e
			s2 += e * e
		}
		first[t] += s1
		second[t] += s2
	}
	return ok
}

func (p *Matrix) measure(moments []float64) {
	p.scale = make([]float64, p.d)
	n := float64(p.n)
	total := 0.0
	for t := range p.d {
		var s1, s2 float64
		for c := range p.chunkCount() {
			s1 += moments[c*2*p.d+t]
			s2 += moments[c*2*p.d+p.d+t]
		}
		mean := s1 / n
		variance := max(0, s2/n-mean*mean)
		p.scale[t] = 1
		// Below this the variance is what rounding left of a constant column.
		if variance > 1e-14*(s2/n) && variance > zeroDistance {
			p.scale[t] = 1 / math.Sqrt(variance)
			total += variance
		}
	}
	p.spread = math.Sqrt(total)
}

func describeBad(x []float64, d int) error {
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%w: row %d, column %d is %v", ErrNotFinite, i/d, i%d, v)
		}
		if math.Abs(v) > largest {
			return fmt.Errorf("%w: row %d, column %d is %v", ErrTooLarge, i/d, i%d, v)
		}
	}
	return ErrNotFinite
}

func (p *Matrix) panelCount() int { return (p.n + panelRows - 1) / panelRows }

func (p *Matrix) chunkCount() int { return (p.panelCount() + chunkPanels - 1) / chunkPanels }

// rowsOf counts the rows of a panel that are data.
func (p *Matrix) rowsOf(panel int) int { return min(panelRows, p.n-panel*panelRows) }

func (p *Matrix) panel(panel int) []float64 {
	size := p.d * panelRows
	if panel*size == len(p.panels) {
		return p.last
	}
	return p.panels[panel*size : (panel+1)*size]
}

// rows is a panel's part of x.
func (p *Matrix) rows(panel int) []float64 {
	return p.x[panel*panelRows*p.d:][:p.rowsOf(panel)*p.d]
}

func (p *Matrix) column(panel, t int) []float64 {
	return p.panel(panel)[t*panelRows : (t+1)*panelRows]
}

// inParallel calls do once for every task, from up to the given number of goroutines; the first argument tells them
// apart. It ends early when ctx does.
func inParallel(ctx context.Context, workers, tasks int, do func(worker, task int)) error {
	workers = min(workers, tasks)
	if workers <= 1 {
		for task := range tasks {
			if err := ctx.Err(); err != nil {
				return err
			}
			do(0, task)
		}
		return ctx.Err()
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for ctx.Err() == nil {
				task := int(next.Add(1)) - 1
				if task >= tasks {
					return
				}
				do(worker, task)
			}
		})
	}
	group.Wait()
	return ctx.Err()
}
