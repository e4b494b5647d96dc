package fcm

import "math"

// kernel are the loops over one panel that a pass consists of.
type kernel struct {
	// distances writes the squared distances of a panel's rows to every centre:
	// block[j*panelRows+r] for centre j and row r.
	distances func(block, panel, centers []float64, d, k int)
	// shareTwo turns these into memberships for m = 2, and writes each row's part of the objective.
	shareTwo func(block []float64, rowJ *lane, k int)
	// square turns memberships into weights for m = 2.
	square func(block []float64)
	// accumulate adds u^m x and u^m of a panel to the sums: centre j has d+1 of
	// them, the last for u^m, and each is kept in strands to be added up later.
	accumulate func(lanes, block, panel []float64, d, k int)
}

var plainKernel = kernel{plainDistances, plainShareTwo, plainSquare, plainAccumulate}

// strands are the partial sums that make up one sum, for as many rows at a time.
const strands = 8

// lane is one column of a panel, or one centre's part of a block. The fixed length
// spares the loops below their bounds checks.
type lane = [panelRows]float64

func laneOf(values []float64, i int) *lane {
	return (*lane)(values[i*panelRows:])
}

// plainDistances takes four columns at a time, so that a row's sum is stored once for them.
func plainDistances(block, panel, centers []float64, d, k int) {
	for j := range k {
		out := laneOf(block, j)
		center := centers[j*d : j*d+d]
		t := 0
		if d >= 4 {
			c0, c1, c2, c3 := center[0], center[1], center[2], center[3]
			x0, x1, x2, x3 := laneOf(panel, 0), laneOf(panel, 1), laneOf(panel, 2), laneOf(panel, 3)
			for r := range out {
				e0, e1, e2, e3 := x0[r]-c0, x1[r]-c1, x2[r]-c2, x3[r]-c3
				out[r] = e0*e0 + e1*e1 + (e2*e2 + e3*e3)
			}
			t = 4
		} else {
			clear(out[:])
		}
		for ; t+4 <= d; t += 4 {
			c0, c1, c2, c3 := center[t], center[t+1], center[t+2], center[t+3]
			x0, x1, x2, x3 := laneOf(panel, t), laneOf(panel, t+1), laneOf(panel, t+2), laneOf(panel, t+3)
			for r := range out {
				e0, e1, e2, e3 := x0[r]-c0, x1[r]-c1, x2[r]-c2, x3[r]-c3
				out[r] += e0*e0 + e1*e1 + (e2*e2 + e3*e3)
			}
		}
		if t+2 <= d {
			c0, c1 := center[t], center[t+1]
			x0, x1 := laneOf(panel, t), laneOf(panel, t+1)
			for r := range out {
				e0, e1 := x0[r]-c0, x1[r]-c1
				out[r] += e0*e0 + e1*e1
			}
			t += 2
		}
		if t < d {
			c0, x0 := center[t], laneOf(panel, t)
			for r := range out {
				e0 := x0[r] - c0
				out[r] += e0 * e0
			}
		}
	}
}

// plainShareTwo has the objective for nothing: since sum_j u_j^2 d_j = 1 / sum_j 1/d_j,
// it is what the reciprocals are multiplied with anyway.
func plainShareTwo(block []float64, rowJ *lane, k int) {
	clear(rowJ[:])
	for j := range k {
		out := laneOf(block, j)
		for r, v := range out {
			if v < zeroDistance {
				v = zeroDistance
			}
			v = 1 / v
			out[r] = v
			rowJ[r] += v
		}
	}
	for r, v := range rowJ {
		rowJ[r] = 1 / v
	}
	for j := range k {
		out := laneOf(block, j)
		for r := range out {
			out[r] *= rowJ[r]
		}
	}
}

func plainSquare(block []float64) {
	for i, u := range block {
		block[i] = u * u
	}
}

// weighAny is weigh for any m. With s_j = (d_min/d_j)^(1/(m-1)) and S their sum,
// u_j^m = (s_j/S) (d_min/d_j) S^(1-m), and the row's objective is d_min S^(1-m).
func weighAny(block []float64, rowJ *lane, m float64) {
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
func weighHard(block []float64, rowJ *lane) {
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

func plainAccumulate(lanes, block, panel []float64, d, k int) {
	for j := range k {
		w := laneOf(block, j)
		into := lanes[j*(d+1)*strands : (j+1)*(d+1)*strands]
		t := 0
		for ; t+4 <= d; t += 4 {
			x0, x1, x2, x3 := laneOf(panel, t), laneOf(panel, t+1), laneOf(panel, t+2), laneOf(panel, t+3)
			var s0, s1, s2, s3 float64
			for r, v := range w {
				s0 += v * x0[r]
				s1 += v * x1[r]
				s2 += v * x2[r]
				s3 += v * x3[r]
			}
			into[t*strands] += s0
			into[(t+1)*strands] += s1
			into[(t+2)*strands] += s2
			into[(t+3)*strands] += s3
		}
		for ; t < d; t++ {
			into[t*strands] += product(w, laneOf(panel, t))
		}
		into[d*strands] += total(w)
	}
}

// total and product sum in four strands, since one addition has to wait for the other.
func total(w *lane) float64 {
	var s0, s1, s2, s3 float64
	for r := 0; r < panelRows-3; r += 4 {
		s0 += w[r]
		s1 += w[r+1]
		s2 += w[r+2]
		s3 += w[r+3]
	}
	return s0 + s1 + (s2 + s3)
}

func product(w, x *lane) float64 {
	var s0, s1, s2, s3 float64
	for r := 0; r < panelRows-3; r += 4 {
		s0 += w[r] * x[r]
		s1 += w[r+1] * x[r+1]
		s2 += w[r+2] * x[r+2]
		s3 += w[r+3] * x[r+3]
	}
	return s0 + s1 + (s2 + s3)
}
