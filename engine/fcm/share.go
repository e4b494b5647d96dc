package fcm

import "math"

// weigh turns a panel's squared distances into u^m, and writes each row's part
// of the objective.
func (f *fitter) weigh(block []float64, rowJ *lane) {
	switch {
	case f.hard:
		shareHard(block, rowJ)
	case f.m == 2:
		f.kernel.shareTwo(block, rowJ, f.k, true)
	default:
		shareAny(block, rowJ, f.m, true)
	}
}

// share is weigh with u in place of u^m.
func (f *fitter) share(block []float64, rowJ *lane) {
	switch {
	case f.hard:
		shareHard(block, rowJ)
	case f.m == 2:
		f.kernel.shareTwo(block, rowJ, f.k, false)
	default:
		shareAny(block, rowJ, f.m, false)
	}
}

// shareAny serves any m. With s_j = (d_min/d_j)^(1/(m-1)) and S their sum,
// u_j = s_j/S, u_j^m = u_j (d_min/d_j) S^(1-m), and the row's part of the
// objective is d_min S^(1-m): one power a distance and one a row.
func shareAny(block []float64, rowJ *lane, m float64, raised bool) {
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
				s = math.Pow(ratio, power)
			}
			sum += s
			if raised {
				s *= ratio
			}
			block[i] = s
		}
		shrink, factor := math.Pow(sum, 1-m), 1/sum
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
