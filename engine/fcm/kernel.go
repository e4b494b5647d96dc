package fcm

import "math"

// kernel are the loops over one panel that a pass consists of.
type kernel struct {
	// distances writes the squared distances of a panel's rows to every centre:
	// block[j*panelRows+r] for centre j and row r.
	distances func(block, panel, centers []float64, d, k int)
	// shareTwo turns these into memberships for m = 2, or into their squares, and
	// writes each row's part of the objective.
	shareTwo func(block []float64, rowJ *lane, k int, squared bool)
	// power raises every value, from 2^-1000 on, to a power that makes none larger than 1.
	power func(values *lane, power float64)
	// accumulate adds u^m x and u^m of a panel to the sums: centre j has d+1 of
	// them, the last for u^m, and each is kept in strands to be added up later.
	accumulate func(lanes, block, panel []float64, d, k int)
}

var plainKernel = kernel{plainDistances, plainShareTwo, plainPower, plainAccumulate}

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
func plainShareTwo(block []float64, rowJ *lane, k int, squared bool) {
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
		if !squared {
			for r := range out {
				out[r] *= rowJ[r]
			}
			continue
		}
		for r := range out {
			u := out[r] * rowJ[r]
			out[r] = u * u
		}
	}
}

// plainPower raises values, which must be normal and above 0. It takes half the time of math.Pow and is no less exact.
func plainPower(values *lane, power float64) {
	for r, v := range values {
		values[r] = math.Exp(power * math.Log(v))
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

// addStrands adds up the strands of one sum.
func addStrands(lanes []float64) float64 {
	s := lanes[:strands]
	return s[0] + s[1] + (s[2] + s[3]) + (s[4] + s[5] + (s[6] + s[7]))
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
