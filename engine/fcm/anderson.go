package fcm

import "math"

// andersonDepth is the number of past steps an extrapolation combines.
const andersonDepth = 5

// anderson extrapolates the fixed-point iteration c -> g(c) of the centres
// (Anderson 1965; type II in the naming of Fang and Saad 2009): with residuals
// f = g(c) - c, the next point is g - sum_i y_i dg_i, where y minimises
// ||f - sum_i y_i df_i|| and d denotes differences of consecutive steps.
type anderson struct {
	scale          []float64 // per column, repeated for every centre
	f, g           []float64 // of the last step
	df, dg         [][]float64
	basis          [][]float64
	known          bool
	count          int
	triangle       [andersonDepth][andersonDepth]float64
	coefficients   [andersonDepth]float64
	used           [andersonDepth]int
	scratch, point []float64
}

func newAnderson(size int, scale []float64) *anderson {
	a := &anderson{
		scale: scale, f: make([]float64, size), g: make([]float64, size),
		scratch: make([]float64, size), point: make([]float64, size),
	}
	for range andersonDepth {
		a.df = append(a.df, make([]float64, size))
		a.dg = append(a.dg, make([]float64, size))
		a.basis = append(a.basis, make([]float64, size))
	}
	return a
}

// forget drops the past, after a step that it predicted badly.
func (a *anderson) forget() {
	a.known = false
	a.count = 0
}

// extrapolate records the step from current to next and replaces next by the
// extrapolated point. It reports whether it did.
func (a *anderson) extrapolate(current, next []float64) bool {
	if a.known {
		// The newest differences go first; the oldest buffer is reused for them.
		last := andersonDepth - 1
		df, dg := a.df[last], a.dg[last]
		copy(a.df[1:], a.df[:last])
		copy(a.dg[1:], a.dg[:last])
		a.df[0], a.dg[0] = df, dg
		for i := range next {
			df[i] = (next[i]-current[i])*a.scale[i%len(a.scale)] - a.f[i]
			dg[i] = next[i] - a.g[i]
		}
		a.count = min(a.count+1, andersonDepth)
	}
	for i := range next {
		a.f[i] = (next[i] - current[i]) * a.scale[i%len(a.scale)]
	}
	copy(a.g, next)
	a.known = true
	if a.count == 0 {
		return false
	}
	rank := a.solve()
	copy(a.point, next)
	for c := range rank {
		dg := a.dg[a.used[c]]
		for i := range a.point {
			a.point[i] -= a.coefficients[c] * dg[i]
		}
	}
	for _, v := range a.point {
		if !(math.Abs(v) <= largest) {
			a.forget()
			return false
		}
	}
	copy(next, a.point)
	return rank > 0
}

// solve finds the coefficients by Gram-Schmidt, leaving out columns that depend
// on newer ones. It returns how many are left; a.used names them.
func (a *anderson) solve() int {
	rank := 0
	rest := a.scratch
	copy(rest, a.f)
	var projections [andersonDepth]float64
	for c := range a.count {
		q := a.basis[rank]
		copy(q, a.df[c])
		before := math.Sqrt(dot(q, q))
		for b := range rank {
			h := dot(a.basis[b], q)
			a.triangle[b][rank] = h
			addScaled(q, -h, a.basis[b])
		}
		length := math.Sqrt(dot(q, q))
		if !(length > 1e-8*before) {
			continue
		}
		for i := range q {
			q[i] /= length
		}
		a.triangle[rank][rank] = length
		projections[rank] = dot(q, rest)
		addScaled(rest, -projections[rank], q)
		a.used[rank] = c
		rank++
	}
	for c := rank - 1; c >= 0; c-- {
		v := projections[c]
		for b := c + 1; b < rank; b++ {
			v -= a.triangle[c][b] * a.coefficients[b]
		}
		a.coefficients[c] = v / a.triangle[c][c]
	}
	return rank
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, v := range a {
		s += v * b[i]
	}
	return s
}

func addScaled(dst []float64, factor float64, v []float64) {
	for i := range dst {
		dst[i] += factor * v[i]
	}
}
