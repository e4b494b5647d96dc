package fcm

import (
	"context"
	"fmt"
	"math"
	"runtime"
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
	x      []float64 // as it was given; samples are drawn from it
	panels []float64
	// scale is 1/sd of each column (1 where the column is constant).
	scale []float64
	// spread is the root mean squared distance of the rows from their mean.
	spread float64
}

// NewMatrix makes the n x d row-major matrix x ready and refuses values that cannot be clustered. x must not change
// while the result is in use. Workers bounds the goroutines of the copying; 0 means GOMAXPROCS. It panics only if
// len(x) != n*d.
func NewMatrix(ctx context.Context, x []float64, n, d, workers int) (*Matrix, error) {
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
	p.panels = make([]float64, p.panelCount()*d*panelRows)
	moments := make([]float64, p.chunkCount()*2*d)
	var bad atomic.Bool
	err := inParallel(ctx, workers, p.chunkCount(), func(_, chunk int) {
		sums := moments[chunk*2*d : (chunk+1)*2*d]
		for panel := chunk * chunkPanels; panel < min((chunk+1)*chunkPanels, p.panelCount()); panel++ {
			if ctx.Err() != nil {
				return
			}
			if !p.fillPanel(panel, sums[:d], sums[d:]) {
				bad.Store(true)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if bad.Load() {
		return nil, describeBad(x, d)
	}
	p.measure(moments)
	return p, nil
}

// fillPanel transposes one panel, adds the first two moments about row 0 to
// first and second, and reports whether all values can be clustered.
func (p *Matrix) fillPanel(panel int, first, second []float64) bool {
	from := panel * panelRows
	rows := p.rowsOf(panel)
	ok := true
	for t := range p.d {
		column := p.column(panel, t)[:rows]
		origin := p.x[t]
		var s1, s2 float64
		at := from*p.d + t
		for r := range column {
			v := p.x[at]
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
	return p.panels[panel*size : (panel+1)*size]
}

func (p *Matrix) column(panel, t int) []float64 {
	from := (panel*p.d + t) * panelRows
	return p.panels[from : from+panelRows]
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
