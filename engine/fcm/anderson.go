package fcm

import "math"

const (
	// andersonDepth is the number of past steps an extrapolation combines.
	andersonDepth = 5
	// andersonMixing lengthens the plain step within an extrapolation. For fixed memberships the objective is a
	// paraboloid with its lowest point where the plain step ends, and nowhere below the true objective; so a step of up
	// to twice that length cannot raise either.
	andersonMixing = 1.5
	// andersonReach bounds the first extrapolations, in lengths of the plain step. One that meets the bound doubles it
	// for the next.
	andersonReach = 4
	// singular is the share of its column's size below which a pivot of the equations is rounding.
	singular = 1e-12
)

// anderson extrapolates the fixed-point iteration c -> g(c) of the centres (Anderson 1965; type I with mixing, in the
// terms of Fang and Saad 2009). With residuals f = g(c) - c, and dc_i and df_i the differences of consecutive c and f,
// the next point is
//
//	c + b f - sum_i y_i (dc_i + b df_i)   where   <dc_j, f - sum_i y_i df_i> = 0 for every j
//
// and b is the mixing. The inner product weighs each centre with its sum of u^m: in it, -2f is the gradient of the
// objective, so <step, f> > 0 tells that the step goes downhill.
type anderson struct {
	point, f []float64   // of the last step
	dc, df   [][]float64 // the newest first
	known    bool
	count    int
	step     []float64
	length   float64 // of the last extrapolation, and the most that is allowed, in plain steps
	reach    float64
}

func newAnderson(size int) *anderson {
	a := &anderson{point: make([]float64, size), f: make([]float64, size), step: make([]float64, size), reach: andersonReach}
	for range andersonDepth {
		a.dc = append(a.dc, make([]float64, size))
		a.df = append(a.df, make([]float64, size))
	}
	return a
}

// reject drops the past, after an extrapolation that raised the objective, and keeps the next ones shorter.
func (a *anderson) reject() {
	a.known, a.count = false, 0
	a.reach = max(1, a.length/4)
}

// extrapolate records the step from current to next, weights being those of the centres at current, and replaces next
// by the extrapolated point. It reports whether it did.
func (a *anderson) extrapolate(current, next, weights []float64) bool {
	a.record(current, next)
	if a.count == 0 {
		return false
	}
	y, ok := a.solve(weights)
	if ok {
		for i, f := range a.f {
			a.step[i] = andersonMixing * f
			for j := range a.count {
				a.step[i] -= y[j] * (a.dc[j][i] + andersonMixing*a.df[j][i])
			}
		}
		ok = weighted(weights, a.step, a.f) > 0
	}
	if !ok {
		a.count = 1
		return false
	}
	factor := a.shorten(weights)
	for i, c := range current {
		if !(math.Abs(c+factor*a.step[i]) <= largest) {
			return false
		}
	}
	for i, c := range current {
		next[i] = c + factor*a.step[i]
	}
	return true
}

func (a *anderson) record(current, next []float64) {
	if a.known {
		// The oldest buffers are reused for the newest differences.
		last := andersonDepth - 1
		dc, df := a.dc[last], a.df[last]
		copy(a.dc[1:], a.dc[:last])
		copy(a.df[1:], a.df[:last])
		a.dc[0], a.df[0] = dc, df
		for i, c := range current {
			dc[i] = c - a.point[i]
			df[i] = next[i] - c - a.f[i]
		}
		a.count = min(a.count+1, andersonDepth)
	}
	for i, c := range current {
		a.point[i] = c
		a.f[i] = next[i] - c
	}
	a.known = true
}

// solve finds the y by Gauss's elimination; false where the equations do not determine them.
func (a *anderson) solve(weights []float64) (y [andersonDepth]float64, ok bool) {
	var rows [andersonDepth][andersonDepth + 1]float64
	n := a.count
	var size [andersonDepth]float64
	for i := range n {
		for j := range n {
			rows[i][j] = weighted(weights, a.dc[i], a.df[j])
			size[j] = max(size[j], math.Abs(rows[i][j]))
		}
		rows[i][n] = weighted(weights, a.dc[i], a.f)
	}
	for c := range n {
		pivot := c
		for r := c + 1; r < n; r++ {
			if math.Abs(rows[r][c]) > math.Abs(rows[pivot][c]) {
				pivot = r
			}
		}
		if !(math.Abs(rows[pivot][c]) > singular*size[c]) {
			return y, false
		}
		rows[c], rows[pivot] = rows[pivot], rows[c]
		for r := c + 1; r < n; r++ {
			factor := rows[r][c] / rows[c][c]
			for j := c; j <= n; j++ {
				rows[r][j] -= factor * rows[c][j]
			}
		}
	}
	for c := n - 1; c >= 0; c-- {
		v := rows[c][n]
		for j := c + 1; j < n; j++ {
			v -= rows[c][j] * y[j]
		}
		y[c] = v / rows[c][c]
	}
	return y, true
}

// shorten returns the factor that keeps the step within reach.
func (a *anderson) shorten(weights []float64) float64 {
	a.length = math.Sqrt(weighted(weights, a.step, a.step) / weighted(weights, a.f, a.f))
	if a.length <= a.reach {
		return 1
	}
	factor := a.reach / a.length
	a.length = a.reach
	a.reach *= 2
	return factor
}

// weighted is the inner product of two sets of centres.
func weighted(weights, a, b []float64) float64 {
	d := len(a) / len(weights)
	sum := 0.0
	for j, w := range weights {
		s := 0.0
		for t, v := range a[j*d : (j+1)*d] {
			s += v * b[j*d+t]
		}
		sum += w * s
	}
	return sum
}
