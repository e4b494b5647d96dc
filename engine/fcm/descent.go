package fcm

import (
	"context"
	"math"
)

// fitter runs passes over one problem for one k. Its buffers are reused.
type fitter struct {
	*problem
	k      int
	m      float64
	hard   bool
	slots  []float64   // one set of sums per chunk
	blocks [][]float64 // per worker: distances, then memberships, of one panel
	rowJ   [][]float64 // per worker: the rows' parts of the objective
	sums   sums
}

// sums are what one pass yields: sum u^m x, sum u^m and the objective.
type sums struct {
	weighted  []float64
	weights   []float64
	objective float64
}

func (p *problem) fitter(k int, opts Options) *fitter {
	f := &fitter{problem: p, k: k, m: opts.M, hard: opts.Hard}
	f.slots = make([]float64, p.chunkCount()*f.slotSize())
	for range max(1, min(p.workers, p.chunkCount())) {
		f.blocks = append(f.blocks, make([]float64, k*panelRows))
		f.rowJ = append(f.rowJ, make([]float64, panelRows))
	}
	f.sums = sums{weighted: make([]float64, k*p.d), weights: make([]float64, k)}
	return f
}

func (f *fitter) slotSize() int { return f.k*f.d + f.k + 1 }

func (f *fitter) slot(chunk int) []float64 {
	return f.slots[chunk*f.slotSize() : (chunk+1)*f.slotSize()]
}

// pass reads the data once: memberships for the centres, and the sums for the next ones.
func (f *fitter) pass(ctx context.Context, centers []float64) error {
	err := f.eachChunk(ctx, func(worker, chunk int) {
		slot := f.slot(chunk)
		clear(slot)
		weighted, weights, objective := slot[:f.k*f.d], slot[f.k*f.d:f.k*f.d+f.k], &slot[f.k*f.d+f.k]
		block, rowJ := f.blocks[worker], f.rowJ[worker]
		for panel := chunk * chunkPanels; panel < min((chunk+1)*chunkPanels, f.panelCount()); panel++ {
			if ctx.Err() != nil {
				return
			}
			data, rows := f.panel(panel), f.rowsOf(panel)
			distances(block, data, centers, f.d, f.k)
			f.weigh(block, rowJ)
			blank(block, rowJ, rows)
			for _, v := range rowJ {
				*objective += v
			}
			accumulate(weighted, weights, block, data, f.d, f.k)
		}
	})
	if err != nil {
		return err
	}
	clear(f.sums.weighted)
	clear(f.sums.weights)
	f.sums.objective = 0
	for chunk := range f.chunkCount() {
		slot := f.slot(chunk)
		for i, v := range slot[:f.k*f.d] {
			f.sums.weighted[i] += v
		}
		for j, v := range slot[f.k*f.d : f.k*f.d+f.k] {
			f.sums.weights[j] += v
		}
		f.sums.objective += slot[f.k*f.d+f.k]
	}
	return nil
}

// weigh turns a panel's squared distances into u^m, and writes each row's part
// of the objective.
func (f *fitter) weigh(block, rowJ []float64) {
	switch {
	case f.hard:
		weighHard(block, rowJ, f.k)
	case f.m == 2:
		weighTwo(block, rowJ, f.k)
	default:
		weighAny(block, rowJ, f.k, f.m)
	}
}

// blank gives the rows that only fill up the last panel no weight.
func blank(block, rowJ []float64, rows int) {
	if rows == panelRows {
		return
	}
	for from := 0; from < len(block); from += panelRows {
		clear(block[from+rows : from+panelRows])
	}
	clear(rowJ[rows:])
}

// nextCenters divides the sums of the last pass. A cluster without weight keeps its place.
func (f *fitter) nextCenters(dst, current []float64) {
	for j := range f.k {
		w := f.sums.weights[j]
		for t := range f.d {
			i := j*f.d + t
			dst[i] = current[i]
			if w > 0 {
				dst[i] = f.sums.weighted[i] / w
			}
		}
	}
}

// move is the largest distance between corresponding centres, in standard deviations.
func (f *fitter) move(a, b []float64) float64 {
	largest := 0.0
	for j := range f.k {
		s := 0.0
		for t := range f.d {
			e := (b[j*f.d+t] - a[j*f.d+t]) * f.scale[t]
			s += e * e
		}
		largest = max(largest, s)
	}
	return math.Sqrt(largest)
}

// descent says how long to iterate.
type descent struct {
	maxIterations int
	tolerance     float64
	exact         bool
	accelerate    bool
	progress      func(iteration int, change, objective float64)
}

// outcome is where a descent ended.
type outcome struct {
	centers    []float64
	iterations int
	converged  bool
	objective  float64 // at the centres before the last step
}

// objectiveSlack is the relative rise that rounding alone may cause.
const objectiveSlack = 1e-13

// descend iterates from the starting centres. An extrapolated step is kept only
// if the objective there is not above the lowest so far; otherwise the plain step is taken
// from the last accepted centres, which cannot raise it.
func (f *fitter) descend(ctx context.Context, start []float64, how descent) (outcome, error) {
	current := append([]float64(nil), start...)
	next := make([]float64, len(start))
	out := outcome{centers: append([]float64(nil), start...), objective: math.Inf(1)}
	var history *anderson
	if how.accelerate {
		history = newAnderson(len(start), f.scale)
	}
	extrapolated := false
	for out.iterations < how.maxIterations {
		if err := f.pass(ctx, current); err != nil {
			return out, err
		}
		out.iterations++
		if extrapolated && !(f.sums.objective <= out.objective*(1+objectiveSlack)) {
			copy(current, out.centers)
			history.forget()
			extrapolated = false
			continue
		}
		out.objective = min(out.objective, f.sums.objective)
		f.nextCenters(next, current)
		copy(out.centers, next)
		change := f.move(current, next)
		out.converged = change < how.tolerance
		if how.progress != nil {
			how.progress(out.iterations, change, f.sums.objective)
		}
		if out.converged && !how.exact {
			break
		}
		if history != nil {
			extrapolated = history.extrapolate(current, next)
		}
		current, next = next, current
	}
	return out, nil
}
