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
	chunks := make([]chunkSummary, f.chunkCount())
	err := f.eachChunk(ctx, func(worker, chunk int) {
		s := &chunks[chunk]
		s.sizes, s.fuzzy = make([]int, f.k), make([]float64, f.k)
		row := make([]float64, f.k)
		for panel := chunk * chunkPanels; panel < min((chunk+1)*chunkPanels, f.panelCount()); panel++ {
			if ctx.Err() != nil {
				return
			}
			block := f.blocks[worker]
			f.kernel.distances(block, f.panel(panel), run.centers, f.d, f.k)
			labels := r.Labels[panel*panelRows:]
			for i := range f.rowsOf(panel) {
				for j := range row {
					row[j] = block[j*panelRows+i]
				}
				labels[i] = f.summariseRow(s, row)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	squares := 0.0
	for _, s := range chunks {
		r.Objective += s.objective
		squares += s.squares
		for j := range f.k {
			r.Sizes[j] += s.sizes[j]
			r.FuzzySizes[j] += s.fuzzy[j]
		}
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

// chunkSummary is what one chunk adds to a [Result].
type chunkSummary struct {
	objective, squares float64
	sizes              []int
	fuzzy              []float64
}

// summariseRow turns the row's squared distances into memberships, adds them up
// and returns the dominant cluster.
func (f *fitter) summariseRow(s *chunkSummary, d2 []float64) int32 {
	best := 0
	for j, v := range d2 {
		if v < d2[best] {
			best = j
		}
	}
	nearest := d2[best]
	s.sizes[best]++
	switch {
	case f.hard:
		s.objective += nearest
		s.squares++
		s.fuzzy[best]++
		return int32(best)
	case f.m == 2:
		u := sharesOfTwo(d2)
		s.objective += u
	default:
		nearest, sum := shares(d2, 1/(f.m-1))
		s.objective += nearest * math.Pow(sum, 1-f.m)
	}
	for j, u := range d2 {
		s.fuzzy[j] += u
		s.squares += u * u
	}
	return int32(best)
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
