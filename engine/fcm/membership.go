package fcm

import "math"

// zeroDistance is the squared distance below which a row lies on a centre.
const zeroDistance = 1e-300

// Memberships writes the k memberships of one row of d values to dst[:k]. They
// lie in [0,1] and sum to 1. Rows on one or several centres belong to these in
// equal shares. centers is k x d, row-major, and m > 1.01. It allocates nothing.
func Memberships(dst, row, centers []float64, k int, m float64) {
	dst = dst[:k]
	squaredDistances(dst, row, centers)
	if m == 2 {
		sharesOfTwo(dst)
		return
	}
	shares(dst, 1/(m-1))
}

// HardMemberships writes 1 for the nearest centre and 0 elsewhere to dst[:k]; of
// equally near ones the lowest index is chosen.
func HardMemberships(dst, row, centers []float64, k int) {
	dst = dst[:k]
	squaredDistances(dst, row, centers)
	best := 0
	for j, v := range dst {
		if v < dst[best] {
			best = j
		}
	}
	clear(dst)
	dst[best] = 1
}

func squaredDistances(dst, row, centers []float64) {
	d := len(row)
	for j := range dst {
		c := centers[j*d : j*d+d]
		s := 0.0
		for t, v := range row {
			e := v - c[t]
			s += e * e
		}
		dst[j] = s
	}
}

// sharesOfTwo turns squared distances into memberships for m = 2. Bounding the
// distances from below shares a row on several centres equally among them: the
// bound's reciprocal swallows every other term.
func sharesOfTwo(d2 []float64) {
	sum := 0.0
	for j, v := range d2 {
		r := 1 / max(v, zeroDistance)
		d2[j] = r
		sum += r
	}
	inv := 1 / sum
	for j := range d2 {
		d2[j] *= inv
	}
}

// shares turns squared distances into memberships for the exponent 1/(m-1). The
// smallest distance is divided out before the power, so that nothing overflows.
func shares(d2 []float64, power float64) {
	nearest, sum := math.Inf(1), 0.0
	for _, v := range d2 {
		nearest = min(nearest, v)
	}
	if nearest < zeroDistance {
		sharesOnCentres(d2)
		return
	}
	for j, v := range d2 {
		r := 1.0
		if v > nearest {
			r = ratioPower(nearest, v, power)
		}
		d2[j] = r
		sum += r
	}
	inv := 1 / sum
	for j := range d2 {
		d2[j] *= inv
	}
}

// ratioPower is (a/b)^power for 0 < a <= b.
func ratioPower(a, b, power float64) float64 {
	ratio := a / b
	if ratio < 0x1p-1000 { // so near 0 that a float64 has few digits left, and math.Log on amd64 none
		return math.Exp(2 * power * math.Log(math.Sqrt(a)/math.Sqrt(b)))
	}
	return math.Exp(power * math.Log(ratio))
}

func sharesOnCentres(d2 []float64) {
	count := 0.0
	for _, v := range d2 {
		if v < zeroDistance {
			count++
		}
	}
	for j, v := range d2 {
		d2[j] = 0
		if v < zeroDistance {
			d2[j] = 1 / count
		}
	}
}

// share turns a panel's squared distances into memberships, or raised into u^m, and writes each row's part of the
// objective.
func (f *fitter) share(w *workspace, raised bool) {
	switch {
	case f.hard:
		shareHard(w.block, &w.rowJ)
	case f.m == 2:
		f.kernel.shareTwo(w.block, &w.rowJ, f.k, raised)
	case !f.shareAny(w, raised):
		shareByRow(w.block, &w.rowJ, f.m, raised)
	}
}

// shareAny serves any m. With s_j = (d_min/d_j)^(1/(m-1)) and S their sum, u_j = s_j/S, u_j^m = u_j (d_min/d_j) S^(1-m), and
// d_min S^(1-m) for the row's part of the objective: one power a distance and one a row. It does nothing and returns false
// if a row lies on a centre, or its distances differ by more than a factor of 2^1000.
func (f *fitter) shareAny(w *workspace, raised bool) bool {
	nearest, powers, totals := &w.rowJ, &w.powers, &w.totals
	if !nearestOf(w.block, nearest, f.k) {
		return false
	}
	clear(totals[:])
	for j := range f.k {
		out := laneOf(w.block, j)
		for r, v := range out {
			powers[r] = nearest[r] / v
		}
		if raised {
			*out = *powers
		}
		f.kernel.power(powers, 1/(f.m-1))
		for r, v := range powers {
			totals[r] += v
		}
		if !raised {
			*out = *powers
			continue
		}
		for r, v := range powers {
			out[r] *= v
		}
	}
	*powers = *totals
	f.kernel.power(powers, 1-f.m)
	for r, v := range powers {
		w.rowJ[r] *= v
		totals[r] = 1 / totals[r]
		if raised {
			totals[r] *= v
		}
	}
	for j := range f.k {
		out := laneOf(w.block, j)
		for r, v := range totals {
			out[r] *= v
		}
	}
	return true
}

// nearestOf writes every row's least distance, and tells whether shareAny takes them all.
func nearestOf(block []float64, nearest *lane, k int) bool {
	farthest := *laneOf(block, 0)
	*nearest = farthest
	for j := 1; j < k; j++ {
		for r, v := range laneOf(block, j) {
			nearest[r] = min(nearest[r], v)
			farthest[r] = max(farthest[r], v)
		}
	}
	for r, v := range nearest {
		if v < zeroDistance || farthest[r]*0x1p-1000 > v {
			return false
		}
	}
	return true
}

// shareByRow is shareAny for any rows at all.
func shareByRow(block []float64, rowJ *lane, m float64, raised bool) {
	power := 1 / (m - 1)
	for r := range rowJ {
		nearest := math.Inf(1)
		for i := r; i < len(block); i += panelRows {
			nearest = min(nearest, block[i])
		}
		if nearest < zeroDistance {
			shareOnCentres(block[r:], m, raised)
			rowJ[r] = 0
			continue
		}
		sum := 0.0
		for i := r; i < len(block); i += panelRows {
			ratio, s := nearest/block[i], 1.0
			if ratio < 1 {
				s = ratioPower(nearest, block[i], power)
			}
			sum += s
			if raised {
				s *= ratio
			}
			block[i] = s
		}
		shrink, factor := math.Exp((1-m)*math.Log(sum)), 1/sum
		rowJ[r] = nearest * shrink
		if raised {
			factor *= shrink
		}
		for i := r; i < len(block); i += panelRows {
			block[i] *= factor
		}
	}
}

// shareOnCentres shares a row equally among the centres it lies on.
func shareOnCentres(column []float64, m float64, raised bool) {
	count := 0.0
	for i := 0; i < len(column); i += panelRows {
		if column[i] < zeroDistance {
			count++
		}
	}
	part := 1 / count
	if raised {
		part = math.Pow(part, m)
	}
	for i := 0; i < len(column); i += panelRows {
		if column[i] < zeroDistance {
			column[i] = part
		} else {
			column[i] = 0
		}
	}
}

// shareHard gives the nearest centre all of a row, of equally near ones the first.
func shareHard(block []float64, rowJ *lane) {
	for r := range rowJ {
		best := r
		for i := r; i < len(block); i += panelRows {
			if block[i] < block[best] {
				best = i
			}
		}
		rowJ[r] = block[best]
		for i := r; i < len(block); i += panelRows {
			block[i] = 0
		}
		block[best] = 1
	}
}

// blank takes the rows that only fill up the last panel out of the sums.
func blank(block []float64, rowJ *lane, rows int) {
	if rows == panelRows {
		return
	}
	for from := 0; from < len(block); from += panelRows {
		clear(block[from+rows : from+panelRows])
	}
	clear(rowJ[rows:])
}
