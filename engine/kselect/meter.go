package kselect

import "math"

// meter sums the distances between the rows of two tiles; one for each goroutine.
type meter struct {
	d          int
	rowSums    [tileRows]float64 // of the left tile's rows to all of the right tile
	columnSums [tileRows]float64 // of the right tile's rows to all of the left tile
	squares    [tileRows]float64

	// For vector instructions, in float32 and the unit of the tiles' vectors.
	vectors      func(m *meter, left, right *tile)
	width        int // numbers in a vector
	unit         float64
	rowTotals    [tileRows + rowsAtOnce]float32
	columnTotals [tileRows]float32
	weights      [tileRows]float32 // 1 for the right tile's rows, 0 beyond
	spreadRows   []float32         // the left tile's numbers, each repeated to a vector; see spread
	spreadTile   *tile
	constants    [4 * widest]float32
}

func newMeter(t *tiling) *meter {
	m := &meter{d: t.d}
	if t.narrowed() {
		m.vectors, m.width = vectorMeter()
		m.unit = t.unit
		for i := range widest {
			m.constants[ones+i], m.constants[minusHalves+i], m.constants[leasts+i] = 1, -0.5, 1e-37
		}
		m.spreadRows = make([]float32, t.d*tileRows*widest)
	}
	return m
}

// within sums the distances of a tile's rows to each other. Every pair is measured from both sides: one tile against
// itself is a small part of all pairs.
func (m *meter) within(t *tile) { m.between(t, t) }

// between sets rowSums and columnSums for the pairs of a left and a right row.
func (m *meter) between(left, right *tile) {
	if m.vectors != nil {
		m.betweenVectors(left, right)
		return
	}
	columns := m.columnSums[:right.n]
	clear(columns)
	for r := range left.n {
		squares := m.squaredDistances(left, r, right)
		total := 0.0
		for j, q := range squares {
			distance := math.Sqrt(q)
			total += distance
			columns[j] += distance
		}
		m.rowSums[r] = total
	}
}

// squaredDistances measures row r of the left tile against all rows of the right one, four columns in one pass.
func (m *meter) squaredDistances(left *tile, r int, right *tile) []float64 {
	n := right.n
	squares := m.squares[:n]
	f := 0
	if m.d >= 4 {
		f = 4
		v0, v1, v2, v3 := left.columns[r], left.columns[left.n+r], left.columns[2*left.n+r], left.columns[3*left.n+r]
		c0, c1, c2, c3 := right.columns[:n], right.columns[n:2*n], right.columns[2*n:3*n], right.columns[3*n:4*n]
		c0, c1, c2, c3 = c0[:len(squares)], c1[:len(squares)], c2[:len(squares)], c3[:len(squares)]
		for j := range squares {
			e0, e1, e2, e3 := c0[j]-v0, c1[j]-v1, c2[j]-v2, c3[j]-v3
			squares[j] = (e0*e0 + e1*e1) + (e2*e2 + e3*e3)
		}
	} else {
		clear(squares)
	}
	for ; f+1 < m.d; f += 2 {
		v0, v1 := left.columns[f*left.n+r], left.columns[(f+1)*left.n+r]
		c0, c1 := right.columns[f*n:(f+1)*n], right.columns[(f+1)*n:(f+2)*n]
		c0, c1 = c0[:len(squares)], c1[:len(squares)]
		for j := range squares {
			e0, e1 := c0[j]-v0, c1[j]-v1
			squares[j] += e0*e0 + e1*e1
		}
	}
	if f < m.d {
		v := left.columns[f*left.n+r]
		c := right.columns[f*n : (f+1)*n][:len(squares)]
		for j := range squares {
			e := c[j] - v
			squares[j] += e * e
		}
	}
	return squares
}

// betweenVectors is between by vector instructions.
func (m *meter) betweenVectors(left, right *tile) {
	for i := range m.weights {
		m.weights[i] = 0
		if i < right.n {
			m.weights[i] = 1
		}
	}
	clear(m.columnTotals[:])
	m.spread(left)
	m.vectors(m, left, right)
	for r, s := range m.rowTotals[:left.n] {
		m.rowSums[r] = float64(s) * m.unit
	}
	for r, s := range m.columnTotals[:right.n] {
		m.columnSums[r] = float64(s) * m.unit
	}
}

// spread repeats every number of a tile over a vector, by rowsAtOnce rows, then by column. A tile
// meets many others in turn, so this is seldom; between vector instructions it would cost more than they do.
func (m *meter) spread(t *tile) {
	if m.spreadTile == t {
		return
	}
	m.spreadTile = t
	for r := range (t.n + rowsAtOnce - 1) / rowsAtOnce * rowsAtOnce {
		for f := range m.d {
			at := ((r/rowsAtOnce*m.d+f)*rowsAtOnce + r%rowsAtOnce) * m.width
			value := t.vectors[f*tileRows+r]
			for i := range m.spreadRows[at : at+m.width] {
				m.spreadRows[at+i] = value
			}
		}
	}
}
