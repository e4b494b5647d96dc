package kselect

import (
	"context"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	// tileRows is the number of rows measured against each other at a time: two tiles of ten columns and the running
	// sums of one (some 40 kB) stay in the nearest caches.
	tileRows = 256
	// maxChunks is the number of shares the pairs are cut into, fixed so that the sums do not depend on the workers.
	maxChunks = 16
	// maxSums bounds the numbers kept for all shares together (19 MB); more clusters mean fewer shares.
	maxSums = 2_400_000
)

// tiling holds rows sorted by cell in tiles of at most tileRows, each of one cell. Distances between two tiles then all
// add to the same clusters' sums, and no look-up of labels stands in the inner loop.
type tiling struct {
	d     int
	cells *cells
	tiles []tile
	rows  int
	ks    []int   // clusters of each labeling
	width int     // sums of a row: the clusters of all labelings
	sizes [][]int // rows of each cluster, by labeling

	rounding []float64 // by row in sorted order, where the tiles hold float32 numbers too; see narrow.go
	unit     float64   // of those numbers
}

// tile is a block of consecutive rows of one cell.
type tile struct {
	cell    int
	first   int // position of its first row in the sorted order
	n       int
	columns []float64 // d blocks of n: first column of all rows, then the second ...
	vectors []float32 // d blocks of tileRows, the same as columns in another unit; nil where there is no use for them
}

// column is column f of the tile's rows.
func (t *tile) column(f int) []float64 { return t.columns[f*t.n : (f+1)*t.n] }

// newTiling sorts the given rows of x by cell, scaled by a power of two where squares would overflow or vanish (which
// leaves silhouettes as they are).
func newTiling(x []float64, d int, labelings []Labeling, rows []int32) *tiling {
	t := &tiling{d: d, cells: newCells(len(rows)), rows: len(rows)}
	for _, l := range labelings {
		t.cells.divide(l, rows)
		t.ks = append(t.ks, l.K)
		t.width += l.K
		sizes := make([]int, l.K)
		for _, i := range rows {
			sizes[l.Labels[i]]++
		}
		t.sizes = append(t.sizes, sizes)
	}
	t.cells.number()
	order, ends := t.cells.sorted(rows)
	scale := rowScale(x, d, rows)
	data := make([]float64, len(rows)*d)
	first := 0
	for cell, end := range ends {
		for first < end {
			n := min(tileRows, end-first)
			block := data[first*d : (first+n)*d]
			for r, i := range order[first : first+n] {
				for f, v := range x[int(i)*d : int(i)*d+d] {
					block[f*n+r] = v * scale
				}
			}
			t.tiles = append(t.tiles, tile{cell: cell, first: first, n: n, columns: block})
			first += n
		}
	}
	if vectors, _ := vectorMeter(); vectors != nil {
		t.narrow()
	}
	return t
}

// rowScale is 1 unless the largest number of the rows is so large or small that sums of squared differences would
// leave the range of float64; then it is the power of two that brings that number near 1.
func rowScale(x []float64, d int, rows []int32) float64 {
	largest := 0.0
	for _, i := range rows {
		for _, v := range x[int(i)*d : int(i)*d+d] {
			largest = max(largest, math.Abs(v))
		}
	}
	if largest == 0 || (largest > 1e-100 && largest < 1e150) {
		return 1
	}
	_, exponent := math.Frexp(largest)
	return math.Ldexp(1, -max(exponent, -1000)) // 2^1000 is the largest scale needed: it is finite
}

// pairRange is a run of tile pairs (i, j), i <= j, in the order (0,0) (0,1) ... (1,1) (1,2) ...
type pairRange struct{ i, j, pairs int }

// chunks cuts all tile pairs into equal runs. Their number depends on the data alone.
func (t *tiling) chunks() []pairRange {
	count := len(t.tiles)
	pairs := count * (count + 1) / 2
	shares := min(maxChunks, pairs, max(1, maxSums/(t.rows*t.width)))
	ranges := make([]pairRange, 0, shares)
	i, j := 0, 0
	for s := range shares {
		from, to := share(pairs, s, shares), share(pairs, s+1, shares)
		ranges = append(ranges, pairRange{i, j, to - from})
		for range to - from {
			if j++; j == count {
				i++
				j = i
			}
		}
	}
	return ranges
}

// share is total*part/parts without overflow.
func share(total, part, parts int) int {
	hi, lo := bits.Mul64(uint64(total), uint64(part))
	q, _ := bits.Div64(hi, lo, uint64(parts))
	return int(q)
}

// distanceSums returns, for each row in sorted order, the sums of its distances to the rows of every cluster, labeling
// after labeling. Each pair is measured once and added on both sides.
func (t *tiling) distanceSums(ctx context.Context, workers int) ([]float64, error) {
	chunks := t.chunks()
	sums := make([][]float64, len(chunks))
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(workers, len(chunks)) {
		group.Go(func() {
			m := newMeter(t)
			for c := int(next.Add(1)) - 1; c < len(chunks) && ctx.Err() == nil; c = int(next.Add(1)) - 1 {
				sums[c] = make([]float64, t.rows*t.width)
				t.addPairs(ctx, m, chunks[c], sums[c])
			}
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	total := sums[0]
	for _, s := range sums[1:] {
		add(total, s)
	}
	byRow := make([]float64, t.rows*t.width)
	for c := range t.width {
		for i, v := range total[c*t.rows : (c+1)*t.rows] {
			byRow[i*t.width+c] = v
		}
	}
	return byRow, nil
}

func add(dst, values []float64) {
	dst = dst[:len(values)]
	for i, v := range values {
		dst[i] += v
	}
}

// addPairs measures one run of tile pairs. Its sums stand cluster by cluster.
func (t *tiling) addPairs(ctx context.Context, m *meter, run pairRange, sums []float64) {
	i, j := run.i, run.j
	for range run.pairs {
		if ctx.Err() != nil {
			return
		}
		left, right := &t.tiles[i], &t.tiles[j]
		if i == j {
			m.within(left)
		} else {
			m.between(left, right)
			t.addTo(sums, right, m.columnSums[:right.n], left.cell)
		}
		t.addTo(sums, left, m.rowSums[:left.n], right.cell)
		if j++; j == len(t.tiles) {
			i++
			j = i
		}
	}
}

// addTo adds the distances of a tile's rows to the rows of a cell: to its cluster's sums in every labeling.
func (t *tiling) addTo(sums []float64, rows *tile, distances []float64, cell int) {
	first := 0
	for l, label := range t.cells.labels[cell] {
		add(sums[(first+int(label))*t.rows+rows.first:], distances)
		first += t.ks[l]
	}
}
