package fcm

import (
	"context"
	"math"
)

// coincidentShare of the spread is the distance below which two centres are one.
const coincidentShare = 1e-3

// summarise reads the data once more, at the final centres.
func (f *fitter) summarise(ctx context.Context, run outcome) (*Result, error) {
	r := &Result{
		K: f.k, D: f.d, Centers: run.centers, Iterations: run.iterations, Converged: run.converged,
		Labels: make([]int32, f.n), Sizes: make([]int, f.k), FuzzySizes: make([]float64, f.k),
	}
	// Of each chunk: sum u^2 and sum u per cluster, then the objective.
	slotSize := 2*f.k + 1
	slots := make([]float64, f.chunkCount()*slotSize)
	err := inParallel(ctx, f.workers, f.chunkCount(), func(worker, chunk int) {
		w, lanes := &f.spaces[worker], make([]float64, 2*f.k*strands)
		slot := slots[chunk*slotSize : (chunk+1)*slotSize]
		for panel := chunk * chunkPanels; panel < min((chunk+1)*chunkPanels, f.panelCount()); panel++ {
			if ctx.Err() != nil {
				return
			}
			f.kernel.distances(w.block, f.panel(panel), run.centers, f.d, f.k)
			f.share(w, false)
			rows := f.rowsOf(panel)
			blank(w.block, &w.rowJ, rows)
			label(r.Labels[panel*panelRows:][:rows], w.block)
			for j := range f.k {
				// With the memberships as weights of themselves the sums are those of u^2 and u.
				u := w.block[j*panelRows : (j+1)*panelRows]
				f.kernel.accumulate(lanes[2*j*strands:2*(j+1)*strands], u, u, 1, 1)
			}
			slot[2*f.k] += total(&w.rowJ)
		}
		for i := range 2 * f.k {
			slot[i] = addStrands(lanes[i*strands:])
		}
	})
	if err != nil {
		return nil, err
	}
	squares := 0.0
	for chunk := range f.chunkCount() {
		slot := slots[chunk*slotSize : (chunk+1)*slotSize]
		for j := range f.k {
			squares += slot[2*j]
			r.FuzzySizes[j] += slot[2*j+1]
		}
		r.Objective += slot[2*f.k]
	}
	for _, j := range r.Labels {
		r.Sizes[j]++
	}
	k, n := float64(f.k), float64(f.n)
	r.PartitionCoefficient, r.XieBeni = 1, math.NaN()
	if f.k == 1 {
		return r, nil
	}
	r.PartitionCoefficient = (k*squares/n - 1) / (k - 1)
	gap := smallestGap(run.centers, f.k, f.d)
	r.Coincident = !(math.Sqrt(gap) > coincidentShare*f.spread)
	if !r.Coincident {
		r.XieBeni = r.Objective / (n * gap)
	}
	return r, nil
}

// label writes the cluster of highest membership of each row.
func label(labels []int32, block []float64) {
	for r := range labels {
		best, cluster := uint64(0), int32(0)
		for i, j := r, int32(0); i < len(block); i, j = i+panelRows, j+1 {
			// Numbers that are not negative are ordered as their bits are, and
			// whole numbers are compared without a jump to mispredict.
			if bits := math.Float64bits(block[i]); bits > best {
				best, cluster = bits, j
			}
		}
		labels[r] = cluster
	}
}

func smallestGap(centers []float64, k, d int) float64 {
	gap := math.Inf(1)
	for i := range k {
		for j := range i {
			s := 0.0
			for t := range d {
				e := centers[i*d+t] - centers[j*d+t]
				s += e * e
			}
			gap = min(gap, s)
		}
	}
	return gap
}
