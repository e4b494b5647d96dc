package btyd

import (
	"math"
	"slices"
)

// paretoLikelihood is that of Pareto/NBD. Each group needs an integral from t_x to T (see dropout). Groups of equal x share
// the integrand, and in a shop their times are days, so few of them differ: the integral is worked out between neighbouring
// times alone and added up from the last one backwards, and a group's is the difference of two of these sums. The integrand
// falls, so what is subtracted is at most the length after T over that before it as large as the difference; no digits go
// that the likelihood would show.
type paretoLikelihood struct {
	*histories
	times    [][]float64 // of each distinct x, t_x and T, ascending
	from, to []int32     // of each group among the times of its x
}

func newParetoLikelihood(data *histories) *paretoLikelihood {
	l := &paretoLikelihood{
		histories: data, times: make([][]float64, len(data.repeats)), from: make([]int32, len(data.groups)), to: make([]int32, len(data.groups)),
	}
	for i, g := range data.groups {
		slot := data.slot[i]
		l.times[slot] = append(l.times[slot], g.Tx, g.T)
	}
	share(len(l.times), data.workers, func(slot int) {
		slices.Sort(l.times[slot])
		l.times[slot] = slices.Compact(l.times[slot])
	})
	sumChunks(len(data.groups), data.workers, func(low, high int) sums {
		for i := low; i < high; i++ {
			times := l.times[data.slot[i]]
			from, _ := slices.BinarySearch(times, data.groups[i].Tx)
			to, _ := slices.BinarySearch(times, data.groups[i].T)
			l.from[i], l.to[i] = int32(from), int32(to)
		}
		return sums{}
	})
	return l
}

// tail is what is to be known of one time u of one x: ln(1+u/alpha), ln(1+u/beta), and the moments from u to the last time.
type tail struct {
	moments
	a, b float64
}

// tails works out the tails of one x at its times.
func tails(times []float64, m, alpha, s, beta float64) []tail {
	list := make([]tail, len(times))
	for i := len(times) - 1; i >= 0; i-- {
		t := &list[i]
		t.a, t.b = math.Log1p(times[i]/alpha), math.Log1p(times[i]/beta)
		if i == len(times)-1 {
			continue
		}
		d := dropout{m: m, s: s, alpha: alpha, beta: beta, from: times[i], to: times[i+1]}
		a, b := d.logs()
		t.moments = d.moments(a, b)
		t.add(math.Exp(-m*a-(s+1)*b), a, b, &list[i+1].moments)
	}
	return list
}

// add adds factor times the moments from a later time on, which lies a and b further in the two logarithms.
func (m *moments) add(factor, a, b float64, later *moments) {
	m.integral += factor * later.integral
	m.logA += factor * (later.logA + a*later.integral)
	m.logB += factor * (later.logB + b*later.integral)
	m.inverseA += factor * later.inverseA
	m.inverseB += factor * later.inverseB
}

func (l *paretoLikelihood) evaluate(parameters, gradient []float64) float64 {
	r, alpha, s, beta := parameters[0], parameters[1], parameters[2], parameters[3]

	total := sums{2: l.size() * r / alpha, 4: l.size() * s / beta}
	logAlpha := math.Log(alpha)
	for _, c := range l.repeats {
		rise, riseR := logRising(r, c.x)
		total[0] += c.customers * (rise - float64(c.x)*logAlpha)
		total[1] += c.customers * riseR
	}
	byRepeats := make([][]tail, len(l.times))
	share(len(l.times), l.workers, func(slot int) {
		byRepeats[slot] = tails(l.times[slot], r+float64(l.repeats[slot].x), alpha, s, beta)
	})

	chunks := sumChunks(len(l.groups), l.workers, func(low, high int) sums {
		var t sums
		for i := low; i < high; i++ {
			g := &l.groups[i]
			n, m := float64(g.Count), r+float64(g.X)
			last, end := &byRepeats[l.slot[i]][l.from[i]], &byRepeats[l.slot[i]][l.to[i]]
			t[0] -= n * (m*end.a + s*end.b)

			alive, gone, left := 1.0, 0.0, moments{}
			if last != end {
				a, b := end.a-last.a, end.b-last.b
				left = last.moments
				left.add(-math.Exp(-m*a-(s+1)*b), a, b, &end.moments)
				if left.integral > 0 {
					odds := math.Log(s*left.integral/(beta+g.Tx)) + m*a + s*b
					e := math.Exp(-math.Abs(odds))
					alive, gone = 1/(1+e), e/(1+e)
					if odds > 0 {
						alive, gone = gone, alive
					}
					t[0] += n * (math.Max(odds, 0) + math.Log1p(e))
				}
			}
			t[1] -= n * (alive*end.a + gone*last.a)
			t[2] -= n * m * alive / (alpha + g.T)
			t[3] -= n * (alive*end.b + gone*(last.b-1/s))
			t[4] -= n * s * alive / (beta + g.T)
			if gone > 0 {
				each := n * gone / left.integral
				t[1] -= each * left.logA
				t[2] -= each * m * left.inverseA
				t[3] -= each * left.logB
				t[4] -= each * (s + 1) * left.inverseB
			}
		}
		return t
	})
	for i, v := range chunks {
		total[i] += v
	}
	copy(gradient, total[1:])
	return total[0]
}
