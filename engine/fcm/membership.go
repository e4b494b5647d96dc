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
			r = math.Pow(nearest/v, power)
		}
		d2[j] = r
		sum += r
	}
	inv := 1 / sum
	for j := range d2 {
		d2[j] *= inv
	}
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
