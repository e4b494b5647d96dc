package btyd

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// likelihood is what maximise climbs.
type likelihood interface {
	// size is the number of customers.
	size() float64
	// evaluate returns the log-likelihood summed over customers, and in gradient its derivatives in the parameters
	// themselves (not in their logarithms).
	evaluate(parameters, gradient []float64) float64
}

// histories are groups made ready for a fit.
type histories struct {
	groups               []Group
	repeats              []repeatCount
	slot                 []int32 // of each group in repeats
	customers, repeaters int
	workers              int
}

// repeatCount is a distinct x and the number of customers who have it: the parts of a likelihood that depend on x alone
// are computed once for each.
type repeatCount struct {
	x         int
	customers float64
}

func newHistories(groups []Group, workers int) (*histories, error) {
	d := &histories{groups: groups, slot: make([]int32, len(groups)), workers: usableWorkers(workers)}
	slots := map[int]int32{}
	for i, g := range groups {
		if !g.Valid() || g.Count < 0 {
			return nil, fmt.Errorf("group %d (x = %d, t_x = %g, T = %g, count %d) is no purchase history; build groups with GroupHistories",
				i, g.X, g.Tx, g.T, g.Count)
		}
		slot, seen := slots[g.X]
		if !seen {
			slot = int32(len(d.repeats))
			slots[g.X] = slot
			d.repeats = append(d.repeats, repeatCount{x: g.X})
		}
		d.slot[i] = slot
		d.repeats[slot].customers += float64(g.Count)
		d.customers += g.Count
		if g.X > 0 {
			d.repeaters += g.Count
		}
	}
	return d, nil
}

func usableWorkers(asked int) int {
	if asked > 0 {
		return asked
	}
	return runtime.GOMAXPROCS(0)
}

func (d *histories) size() float64 { return float64(d.customers) }

// sample takes every k-th group, about 20,000 of them; nil where the groups are few anyway. Sorted as GroupHistories
// leaves them, they are stratified by x and T.
func (d *histories) sample() *histories {
	const enough = 20_000
	stride := len(d.groups) / enough
	if stride < 2 {
		return nil
	}
	var picked []Group
	for i := stride / 2; i < len(d.groups); i += stride {
		picked = append(picked, d.groups[i])
	}
	s, err := newHistories(picked, d.workers)
	if err != nil || s.repeaters == 0 {
		return nil
	}
	return s
}

// sums is the log-likelihood and up to four derivatives.
type sums [5]float64

// sumChunks adds part over [0, n) in chunks of fixed size and adds the chunks in their order, so that rounding does not
// depend on the number of workers.
func sumChunks(n, workers int, part func(low, high int) sums) sums {
	const chunk = 4096
	parts := make([]sums, (n+chunk-1)/chunk)
	share(len(parts), workers, func(i int) { parts[i] = part(i*chunk, min(n, (i+1)*chunk)) })

	var total sums
	for _, p := range parts {
		for i, v := range p {
			total[i] += v
		}
	}
	return total
}

// geometricLikelihood is that of BG/NBD (first = 0) and of MBG/NBD (first = 1, the extra chance to drop out after the
// first purchase).
type geometricLikelihood struct {
	*histories
	first int
}

func (l *geometricLikelihood) evaluate(parameters, gradient []float64) float64 {
	r, alpha, a, b := parameters[0], parameters[1], parameters[2], parameters[3]

	var total sums
	offset := make([]float64, len(l.repeats)) // ln of the dropout odds at t_x = T
	slope := make([]float64, len(l.repeats))  // minus its derivative in b
	for i, c := range l.repeats {
		chances := c.x + l.first
		rise, riseR := logRising(r, c.x)
		up, upB := logRising(b, chances)
		down, downAB := logRising(a+b, chances)
		total[0] += c.customers * (rise + up - down)
		total[1] += c.customers * riseR
		total[3] -= c.customers * downAB
		total[4] += c.customers * (upB - downAB)
		if chances > 0 {
			slope[i] = 1 / (b + float64(chances) - 1)
			offset[i] = math.Log(a * slope[i])
		}
	}
	total[0] += l.size() * r * math.Log(alpha)
	total[1] += l.size() * math.Log(alpha)
	total[2] += l.size() * r / alpha

	chunks := sumChunks(len(l.groups), l.workers, func(low, high int) sums {
		var s sums
		for i := low; i < high; i++ {
			g := &l.groups[i]
			n := float64(g.Count)
			m := r + float64(g.X)
			end := alpha + g.T
			logEnd := math.Log(end)
			s[0] -= n * m * logEnd
			s[1] -= n * logEnd
			s[2] -= n * m / end
			if g.X+l.first == 0 {
				continue
			}
			last := alpha + g.Tx
			ratio := logEnd - math.Log(last)
			odds := offset[l.slot[i]] + m*ratio
			e := math.Exp(-math.Abs(odds))
			gone := n / (1 + e)
			if odds < 0 {
				gone = n - gone
			}
			s[0] += n * (math.Max(odds, 0) + math.Log1p(e))
			s[1] += gone * ratio
			s[2] += gone * m * (last - end) / (end * last)
			s[3] += gone
			s[4] -= gone * slope[l.slot[i]]
		}
		s[3] /= a
		return s
	})
	for i, v := range chunks {
		total[i] += v
	}
	copy(gradient, total[1:])
	return total[0]
}

// nbdLikelihood is that of purchasing without dropout, in r and alpha.
type nbdLikelihood struct{ *histories }

func (l *nbdLikelihood) evaluate(parameters, gradient []float64) float64 {
	r, alpha := parameters[0], parameters[1]
	total := sums{l.size() * r * math.Log(alpha), l.size() * math.Log(alpha), l.size() * r / alpha}
	for _, c := range l.repeats {
		rise, riseR := logRising(r, c.x)
		total[0] += c.customers * rise
		total[1] += c.customers * riseR
	}
	chunks := sumChunks(len(l.groups), l.workers, func(low, high int) sums {
		var s sums
		for _, g := range l.groups[low:high] {
			n, m, end := float64(g.Count), r+float64(g.X), alpha+g.T
			log := math.Log(end)
			s[0] -= n * m * log
			s[1] -= n * log
			s[2] -= n * m / end
		}
		return s
	})
	for i, v := range chunks {
		total[i] += v
	}
	copy(gradient, total[1:3])
	return total[0]
}

// share does n pieces of work on so many goroutines.
func share(n, workers int, piece func(i int)) {
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			piece(i)
		}
	}
	var group sync.WaitGroup
	for range min(workers, n) - 1 {
		group.Go(work)
	}
	work()
	group.Wait()
}
