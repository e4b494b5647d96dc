package fcm_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine/fcm"
)

// sample is a made-up problem.
type sample struct {
	x, init []float64
	n, d, k int
	m       float64
}

func drawSample(t *rapid.T) sample {
	s := sample{
		n: rapid.IntRange(20, 400).Draw(t, "n"),
		d: rapid.IntRange(1, 9).Draw(t, "d"),
		k: rapid.IntRange(2, 6).Draw(t, "k"),
		m: rapid.SampledFrom([]float64{1.1, 1.5, 2, 2, 2, 3}).Draw(t, "m"),
	}
	s.x = blobs(rapid.Uint64().Draw(t, "seed"), s.n, s.d, s.k, 2)
	s.init = spreadRows(s.x, s.n, s.d, s.k)
	return s
}

func (s *sample) fit(t *rapid.T, x []float64, opts fcm.Options) *fcm.Result {
	t.Helper()
	opts.M = s.m
	r, err := fcm.Fit(context.Background(), x, s.n, s.d, s.k, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// passes are ten exact plain passes.
func passes(init []float64) fcm.Options {
	return fcm.Options{Init: init, MaxIterations: 10, ExactIterations: true, Plain: true}
}

// near fails where centres differ by more than tolerance. Columns are taken to have a spread of about 1 to 10.
func near(t *rapid.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if math.Abs(got[i]-want[i]) > tolerance {
			t.Fatalf("%s: value %d of the centres is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestMembershipsAreShares(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d, k := rapid.IntRange(1, 5).Draw(t, "d"), rapid.IntRange(1, 8).Draw(t, "k")
		m := rapid.Float64Range(1.0101, 60).Draw(t, "m")
		if rapid.Bool().Draw(t, "two") {
			m = 2
		}
		value := rapid.OneOf(rapid.Float64Range(-10, 10), rapid.SampledFrom([]float64{0, 1, 1e-160, 1e-150, -1e145, 1e145}))
		row := rapid.SliceOfN(value, d, d).Draw(t, "row")
		centers := rapid.SliceOfN(value, k*d, k*d).Draw(t, "centers")
		if rapid.Bool().Draw(t, "on a centre") {
			copy(centers[rapid.IntRange(0, k-1).Draw(t, "which")*d:], row)
		}
		soft, hard := make([]float64, k), make([]float64, k)
		fcm.Memberships(soft, row, centers, k, m)
		fcm.HardMemberships(hard, row, centers, k)
		distances := make([]float64, k)
		for j := range k {
			for c := range d {
				e := row[c] - centers[j*d+c]
				distances[j] += e * e
			}
		}
		for name, u := range map[string][]float64{"soft": soft, "hard": hard} {
			sum := 0.0
			for _, v := range u {
				if !(v >= 0 && v <= 1+1e-15) {
					t.Fatalf("%s memberships %v", name, u)
				}
				sum += v
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Fatalf("%s memberships %v sum to %v", name, u, sum)
			}
		}
		for i := range k {
			for j := range k {
				if distances[i] < distances[j] && soft[i] < soft[j]-1e-15 {
					t.Fatalf("centre %d is nearer than %d, but memberships are %v", i, j, soft)
				}
				if distances[i] < 1e-300 && distances[j] < 1e-300 && math.Abs(soft[i]-soft[j]) > 1e-15 {
					t.Fatalf("on two centres, but memberships are %v", soft)
				}
				if distances[i] < 1e-300 && distances[j] > 1e-280 && soft[j] > 1e-15 {
					t.Fatalf("on a centre, but memberships are %v", soft)
				}
			}
		}
	})
}

// Centres so far apart that the ratio of their distances is hardly a float64, with a fuzzifier so large that the far one
// still counts: 10^(-320/59) of the near one's membership.
func TestMembershipOfAFarCentre(t *testing.T) {
	t.Parallel()
	u := make([]float64, 2)
	fcm.Memberships(u, []float64{0}, []float64{1e-100, 1e60}, 2, 60)
	if want := math.Pow(10, -320.0/59); math.Abs(u[1]/u[0]/want-1) > 1e-12 {
		t.Errorf("memberships %v, ratio %v, want %v", u, u[1]/u[0], want)
	}
}

// What a result says follows from its centres.
func TestResultFollowsFromCenters(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSample(t)
		r := s.fit(t, s.x, fcm.Options{Seed: 1, Starts: 2, MaxIterations: 20})
		checkResult(t, s.x, s.n, s.d, s.k, s.m, r)
	})
}

func TestOrderOfRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSample(t)
		want := s.fit(t, s.x, passes(s.init))
		order := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 1)).Perm(s.n)
		moved := make([]float64, len(s.x))
		for to, from := range order {
			copy(moved[to*s.d:(to+1)*s.d], s.x[from*s.d:(from+1)*s.d])
		}
		got := s.fit(t, moved, passes(s.init))
		near(t, "rows in another order", got.Centers, want.Centers, 1e-8)
		if math.Abs(got.Objective/want.Objective-1) > 1e-9 {
			t.Fatalf("the objective is %v, and %v in another order", want.Objective, got.Objective)
		}
	})
}

// Columns in other units give the same clusters once they are standardised.
func TestUnitsOfColumns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSample(t)
		other := slices.Clone(s.x)
		for c := range s.d {
			factor := rapid.SampledFrom([]float64{1e-6, 0.3, 1, 25.4, 1e9}).Draw(t, "factor")
			shift := rapid.Float64Range(-1e3, 1e3).Draw(t, "shift") * factor
			for i := c; i < len(other); i += s.d {
				other[i] = other[i]*factor + shift
			}
		}
		x, y := standardised(s.x, s.n, s.d), standardised(other, s.n, s.d)
		want := s.fit(t, x, passes(spreadRows(x, s.n, s.d, s.k)))
		got := s.fit(t, y, passes(spreadRows(y, s.n, s.d, s.k)))
		near(t, "in other units", got.Centers, want.Centers, 1e-7)
	})
}

func standardised(x []float64, n, d int) []float64 {
	z := make([]float64, len(x))
	for c := range d {
		mean, squares := 0.0, 0.0
		for i := c; i < len(x); i += d {
			mean += x[i] / float64(n)
		}
		for i := c; i < len(x); i += d {
			squares += (x[i] - mean) * (x[i] - mean)
		}
		for i := c; i < len(x); i += d {
			z[i] = (x[i] - mean) / math.Sqrt(squares/float64(n))
		}
	}
	return z
}

func TestOrderOfStarts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSample(t)
		order := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 1)).Perm(s.k)
		permuted := func(centers []float64) []float64 {
			var out []float64
			for _, j := range order {
				out = append(out, centers[j*s.d:(j+1)*s.d]...)
			}
			return out
		}
		want, got := s.fit(t, s.x, passes(s.init)), s.fit(t, s.x, passes(permuted(s.init)))
		near(t, "permuted start", got.Centers, permuted(want.Centers), 1e-8)
		for j, size := range got.FuzzySizes {
			if math.Abs(size-want.FuzzySizes[order[j]]) > 1e-6*float64(s.n) {
				t.Fatalf("fuzzy sizes %v, want %v in the order %v", got.FuzzySizes, want.FuzzySizes, order)
			}
		}
	})
}

func TestObjectiveNeverRises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSample(t)
		opts := fcm.Options{Init: s.init, MaxIterations: 60, Tolerance: 1e-9, Hard: rapid.Bool().Draw(t, "hard")}
		opts.Plain = rapid.Bool().Draw(t, "plain")
		last, calls := math.Inf(1), 0
		opts.Progress = func(iteration int, change, objective float64) {
			if objective > last*(1+1e-12) {
				t.Fatalf("pass %d raised the objective from %v to %v", iteration, last, objective)
			}
			last, calls = objective, calls+1
		}
		r := s.fit(t, s.x, opts)
		if r.Objective > last*(1+1e-12) {
			t.Fatalf("the result's objective is %v, the last pass had %v", r.Objective, last)
		}
		if calls == 0 || calls > r.Iterations || opts.Plain && calls != r.Iterations {
			t.Fatalf("%d reports of %d passes", calls, r.Iterations)
		}
	})
}

// Acceleration ends where the gradient is as small as it is for plain passes, though perhaps in another optimum.
func TestAcceleratedEndIsAnOptimum(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSample(t)
		if s.m < 1.5 {
			t.Skip("nearly hard, and slow")
		}
		r := s.fit(t, s.x, fcm.Options{Init: s.init, MaxIterations: 4000, Tolerance: 1e-9})
		if !r.Converged {
			t.Skip("not converged")
		}
		again := s.fit(t, s.x, fcm.Options{Init: r.Centers, MaxIterations: 1, ExactIterations: true, Plain: true})
		near(t, "one more plain pass", again.Centers, r.Centers, 1e-7)
	})
}

// checker is what rapid and fuzzing have in common.
type checker interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkResult compares everything a fuzzy result says with what the definitions make of its centres.
func checkResult(t checker, x []float64, n, d, k int, m float64, r *fcm.Result) {
	t.Helper()
	if r.K != k || r.D != d || len(r.Centers) != k*d || len(r.Labels) != n || len(r.Sizes) != k || len(r.FuzzySizes) != k {
		t.Fatalf("%d x %d, k = %d: the result has other shapes: %+v", n, d, k, r)
	}
	for i, v := range r.Centers {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("value %d of the centres is %v", i, v)
		}
	}
	u, sizes, fuzzySizes := make([]float64, k), make([]int, k), make([]float64, k)
	objective, squares := 0.0, 0.0
	for i := range n {
		row := x[i*d : (i+1)*d]
		fcm.Memberships(u, row, r.Centers, k, m)
		label := int(r.Labels[i])
		sizes[label]++
		for j, v := range u {
			distance := 0.0
			for c, e := range row {
				e -= r.Centers[j*d+c]
				distance += e * e
			}
			if v > 0 && distance > 1e-300 {
				objective += math.Exp(m*math.Log(v) + math.Log(distance)) // the power alone may be too small
			}
			squares += v * v
			fuzzySizes[j] += v
			if v > u[label]+1e-12 {
				t.Fatalf("row %d has label %d, memberships %v", i, label, u)
			}
		}
	}
	if !slices.Equal(sizes, r.Sizes) {
		t.Fatalf("sizes %v, want %v", r.Sizes, sizes)
	}
	// Distances count as 1e-300 at least.
	floor := 1e-299 * float64(n)
	if math.Abs(r.Objective-objective) > 1e-9*objective+floor {
		t.Fatalf("objective %v, want %v", r.Objective, objective)
	}
	for j, want := range fuzzySizes {
		if math.Abs(r.FuzzySizes[j]-want) > 1e-9*float64(n) {
			t.Fatalf("fuzzy sizes %v, want %v", r.FuzzySizes, fuzzySizes)
		}
	}
	if k == 1 {
		if r.PartitionCoefficient != 1 || !math.IsNaN(r.XieBeni) || r.Coincident {
			t.Fatalf("one cluster: %+v", r)
		}
		return
	}
	if want := (float64(k)*squares/float64(n) - 1) / float64(k-1); math.Abs(r.PartitionCoefficient-want) > 1e-9 {
		t.Fatalf("partition coefficient %v, want %v", r.PartitionCoefficient, want)
	}
	gap := math.Inf(1)
	for a := range k {
		for b := range a {
			distance := 0.0
			for c := range d {
				e := r.Centers[a*d+c] - r.Centers[b*d+c]
				distance += e * e
			}
			gap = min(gap, distance)
		}
	}
	if r.Coincident != math.IsNaN(r.XieBeni) {
		t.Fatalf("coincident %v, Xie-Beni %v", r.Coincident, r.XieBeni)
	}
	if want := objective / (float64(n) * gap); !r.Coincident && math.Abs(r.XieBeni-want) > 1e-9*want+floor/gap {
		t.Fatalf("Xie-Beni %v, want %v", r.XieBeni, want)
	}
}
