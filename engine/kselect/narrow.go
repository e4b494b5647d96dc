package kselect

import "math"

const (
	rowsAtOnce = 4
	widest     = 16 // float32 numbers in the widest vector

	// Where the constants of the vector loops stand, each repeated to the widest vector. They are read from memory
	// because the compiler makes a vector of one number by instructions that wait for all vector registers.
	zeros, ones, minusHalves, leasts = 0, widest, 2 * widest, 3 * widest

	// maxRounding bounds the error that float32 may put into a mean silhouette; above, float64 is used instead.
	maxRounding = 5e-7
)

// narrow fills the tiles' float32 columns: centred on the means and scaled by a power of two to at most 1, which
// leaves silhouettes as they are and keeps most digits. What rounding moves each row is kept, in the tiles' unit.
func (t *tiling) narrow() {
	means := make([]float64, t.d)
	largest := 0.0
	for i := range t.tiles {
		for f := range t.d {
			for _, v := range t.tiles[i].column(f) {
				means[f] += v / float64(t.rows)
			}
		}
	}
	for i := range t.tiles {
		for f := range t.d {
			for _, v := range t.tiles[i].column(f) {
				largest = max(largest, math.Abs(v-means[f]))
			}
		}
	}
	_, exponent := math.Frexp(largest)
	scale := math.Ldexp(1, -exponent)
	t.rounding = make([]float64, t.rows)
	for i := range t.tiles {
		at := &t.tiles[i]
		at.vectors = make([]float32, t.d*tileRows)
		for f := range t.d {
			for r, v := range at.column(f) {
				exact := (v - means[f]) * scale
				at.vectors[f*tileRows+r] = float32(exact)
				e := (exact - float64(float32(exact))) / scale
				t.rounding[at.first+r] += e * e
			}
		}
	}
	for i, squares := range t.rounding {
		t.rounding[i] = math.Sqrt(squares)
	}
	t.unit = 1 / scale
}

// narrowed reports whether the tiles hold float32 columns.
func (t *tiling) narrowed() bool { return t.rounding != nil }

// roundingError bounds, over the mean of all rows, how far rounding the numbers to float32 may have moved the
// silhouettes of any labeling: a distance moves by at most what its two rows move, and a silhouette by twice that over
// max(a, b).
func (t *tiling) roundingError(sums []float64) float64 {
	mean := 0.0
	for _, e := range t.rounding {
		mean += e / float64(t.rows)
	}
	largest := 0.0
	for l := range t.ks {
		total := 0.0
		t.each(l, sums, func(i, own int, sums []float64) {
			a, b := distancesOf(sums, t.sizes[l], own)
			greater := max(a, b)
			if moved := 2 * (t.rounding[i] + mean); moved > 0 {
				total += moved / greater // infinite where greater is 0
			}
		})
		largest = max(largest, total/float64(t.rows))
	}
	return largest
}
