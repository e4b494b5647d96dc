package fcm

import "math"

// distances writes the squared distances of a panel's rows to every centre:
// block[j*panelRows+r] for centre j and row r.
func distances(block, panel, centers []float64, d, k int) {
	for j := range k {
		out := block[j*panelRows : (j+1)*panelRows]
		clear(out)
		for t := range d {
			c := centers[j*d+t]
			column := panel[t*panelRows : (t+1)*panelRows]
			for r, v := range column {
				e := v - c
				out[r] += e * e
			}
		}
	}
}

// weighTwo is weigh for m = 2. Since sum_j u_j^2 d_j = 1 / sum_j 1/d_j, the
// objective costs nothing.
func weighTwo(block, rowJ []float64, k int) {
	clear(rowJ)
	for i, v := range block {
		r := 1 / max(v, zeroDistance)
		block[i] = r
		rowJ[i%panelRows] += r
	}
	for r := range rowJ {
		rowJ[r] = 1 / rowJ[r]
	}
	for i, v := range block {
		u := v * rowJ[i%panelRows]
		block[i] = u * u
	}
}

// weighAny is weigh for any m. With s_j = (d_min/d_j)^(1/(m-1)) and S their sum,
// u_j^m = (s_j/S) (d_min/d_j) S^(1-m), and the row's objective is d_min S^(1-m).
func weighAny(block, rowJ []float64, k int, m float64) {
	power := 1 / (m - 1)
	for r := range rowJ {
		nearest := math.Inf(1)
		for i := r; i < len(block); i += panelRows {
			nearest = min(nearest, block[i])
		}
		if nearest < zeroDistance {
			weighOnCentres(block[r:], m)
			rowJ[r] = 0
			continue
		}
		sum := 0.0
		for i := r; i < len(block); i += panelRows {
			ratio := nearest / block[i]
			s := 1.0
			if ratio < 1 {
				s = math.Pow(ratio, power)
			}
			sum += s
			block[i] = s * ratio
		}
		shrink := math.Pow(sum, 1-m)
		rowJ[r] = nearest * shrink
		shrink /= sum
		for i := r; i < len(block); i += panelRows {
			block[i] *= shrink
		}
	}
}

// weighOnCentres shares a row equally among the centres it lies on.
func weighOnCentres(column []float64, m float64) {
	count := 0.0
	for i := 0; i < len(column); i += panelRows {
		if column[i] < zeroDistance {
			count++
		}
	}
	weight := math.Pow(count, -m)
	for i := 0; i < len(column); i += panelRows {
		if column[i] < zeroDistance {
			column[i] = weight
		} else {
			column[i] = 0
		}
	}
}

// weighHard gives the nearest centre all of a row, of equally near ones the first.
func weighHard(block, rowJ []float64, k int) {
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

// accumulate adds u^m x and u^m of a panel to the sums.
func accumulate(weighted, weights, block, panel []float64, d, k int) {
	for j := range k {
		w := block[j*panelRows : (j+1)*panelRows]
		sum := 0.0
		for _, v := range w {
			sum += v
		}
		weights[j] += sum
		for t := range d {
			column := panel[t*panelRows : (t+1)*panelRows]
			sum := 0.0
			for r, v := range w {
				sum += v * column[r]
			}
			weighted[j*d+t] += sum
		}
	}
}
