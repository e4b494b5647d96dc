package fcm

import (
	"context"
	"math"
)

// fitter runs passes over one matrix for one k. Its buffers are reused.
type fitter struct {
	*Matrix
	workers int
	k       int
	m       float64
	hard    bool
	kernel  kernel
	slots   []float64 // one set of sums per chunk
	spaces  []workspace
	sums    []float64 // of the last pass, laid out as a slot
}

// workspace is what one goroutine needs for a panel.
type workspace struct {
	lanes          []float64 // the strands of a chunk's sums
	block          []float64 // distances, then memberships
	rowJ           lane      // the rows' parts of the objective
	powers, totals lane      // for shareAny
}

func (p *Matrix) fitter(k int, opts Options, workers int) *fitter {
	f := &fitter{Matrix: p, workers: max(1, min(workers, p.chunkCount())), k: k, m: opts.M, hard: opts.Hard, kernel: bestKernel()}
	f.sums = make([]float64, k*(p.d+1)+1)
	f.slots = make([]float64, p.chunkCount()*len(f.sums))
	f.spaces = make([]workspace, f.workers)
	for i := range f.spaces {
		f.spaces[i].lanes = make([]float64, k*(p.d+1)*strands)
		f.spaces[i].block = make([]float64, k*panelRows)
	}
	return f
}

// slot holds, of one chunk, d sums of u^m x and one of u^m for each centre, then the objective.
func (f *fitter) slot(chunk int) []float64 {
	size := f.k*(f.d+1) + 1
	return f.slots[chunk*size : (chunk+1)*size]
}

// pass reads the data once: memberships for the centres, and the sums for the next ones.
func (f *fitter) pass(ctx context.Context, centers []float64) error {
	err := inParallel(ctx, f.workers, f.chunkCount(), func(worker, chunk int) {
		w := &f.spaces[worker]
		clear(w.lanes)
		objective := 0.0
		for panel := chunk * chunkPanels; panel < min((chunk+1)*chunkPanels, f.panelCount()); panel++ {
			if ctx.Err() != nil {
				return
			}
			data := f.panel(panel)
			f.kernel.distances(w.block, data, centers, f.d, f.k)
			f.share(w, true)
			blank(w.block, &w.rowJ, f.rowsOf(panel))
			f.kernel.accumulate(w.lanes, w.block, data, f.d, f.k)
			objective += total(&w.rowJ)
		}
		slot := f.slot(chunk)
		last := len(slot) - 1
		for i := range last {
			slot[i] = addStrands(w.lanes[i*strands:])
		}
		slot[last] = objective
	})
	if err != nil {
		return err
	}
	clear(f.sums)
	for chunk := range f.chunkCount() {
		for i, v := range f.slot(chunk) {
			f.sums[i] += v
		}
	}
	return nil
}

// objective is that of the last pass, at the centres it was given.
func (f *fitter) objective() float64 { return f.sums[len(f.sums)-1] }

// nextCenters divides the sums of the last pass. A cluster without weight keeps its place.
func (f *fitter) nextCenters(dst, current []float64) {
	for j := range f.k {
		sums := f.sums[j*(f.d+1) : (j+1)*(f.d+1)]
		for t := range f.d {
			i := j*f.d + t
			dst[i] = current[i]
			if w := sums[f.d]; w > 0 {
				dst[i] = sums[t] / w
			}
		}
	}
}

// weights are the sums of u^m of the last pass, one a cluster, as shares of the largest.
func (f *fitter) weights() []float64 {
	weights, largest := make([]float64, f.k), 0.0
	for j := range weights {
		weights[j] = f.sums[j*(f.d+1)+f.d]
		largest = max(largest, weights[j])
	}
	for j := range weights {
		weights[j] /= largest
	}
	return weights
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
		history = newAnderson(len(start))
	}
	extrapolated := false
	for out.iterations < how.maxIterations {
		if err := f.pass(ctx, current); err != nil {
			return out, err
		}
		out.iterations++
		if extrapolated && !(f.objective() <= out.objective*(1+objectiveSlack)) {
			copy(current, out.centers)
			history.reject()
			extrapolated = false
			continue
		}
		out.objective = min(out.objective, f.objective())
		f.nextCenters(next, current)
		copy(out.centers, next)
		change := f.move(current, next)
		out.converged = change < how.tolerance
		if how.progress != nil {
			how.progress(out.iterations, change, f.objective())
		}
		if out.converged && !how.exact {
			break
		}
		if history != nil {
			extrapolated = history.extrapolate(current, next, f.weights())
		}
		current, next = next, current
	}
	return out, nil
}
