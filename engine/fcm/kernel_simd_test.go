//go:build goexperiment.simd && amd64

package fcm

import (
	"math"
	"simd/archsimd"
	"slices"
	"testing"
)

// vectorKernels are those that this processor can run. One with the wide instructions would never choose the narrow ones.
func vectorKernels(t *testing.T) map[string]kernel {
	t.Helper()
	kernels := map[string]kernel{}
	if archsimd.X86.AVX512() {
		kernels["wide"] = wideKernel
	}
	if archsimd.X86.AVX2() && archsimd.X86.FMA() {
		kernels["narrow"] = narrowKernel
	}
	if len(kernels) == 0 {
		t.Skip("this processor has neither AVX-512 nor AVX2 with FMA")
	}
	return kernels
}

func TestVectorKernelsAgree(t *testing.T) {
	t.Parallel()
	for name, k := range vectorKernels(t) {
		t.Run(name, func(t *testing.T) { agree(t, k) })
	}
}

// agree compares the loops over one panel with the plain ones.
func agree(t *testing.T, tested kernel) {
	t.Helper()
	for d := 1; d <= 17; d++ {
		for k := 1; k <= 7; k++ {
			panel, centers := normal(uint64(d), d*panelRows), normal(uint64(k), k*d)
			run := func(kn kernel) []float64 {
				block, lanes := make([]float64, k*panelRows), make([]float64, k*(d+1)*strands)
				var rowJ lane
				kn.distances(block, panel, centers, d, k)
				kn.shareTwo(block, &rowJ, k, true)
				kn.accumulate(lanes, block, panel, d, k)
				out := []float64{total(&rowJ)}
				for i := 0; i < len(lanes); i += strands {
					out = append(out, addStrands(lanes[i:]))
				}
				return out
			}
			want, got := run(plainKernel), run(tested)
			for i := range want {
				if math.Abs(want[i]-got[i]) > 1e-12*max(1, math.Abs(want[i])) {
					t.Fatalf("d=%d k=%d sum %d: %v, plain %v", d, k, i, got[i], want[i])
				}
			}
		}
	}
}

func TestVectorPowers(t *testing.T) {
	t.Parallel()
	for name, k := range vectorKernels(t) {
		for i, power := range []float64{0.004, 0.5, 1, 1.4, 2, 10, 100, -0.01, -1, -2.5, -249} {
			values := normal(uint64(i), panelRows)
			for r, v := range values {
				values[r] = math.Exp2(-math.Abs(v) * float64(r%5) * 50)
				if power < 0 {
					values[r] = 1 + math.Abs(v)*float64(r%5)
				}
			}
			got := *laneOf(values, 0)
			k.power(&got, power)
			for r, v := range values {
				want := math.Exp(power * math.Log(v)) // math.Pow has fewer right digits for large powers
				if math.Abs(got[r]-want) > 2e-15*want*(1+math.Abs(power*math.Log(v)))+1e-300 {
					t.Errorf("%s: %v to the power of %v is %v, want %v", name, v, power, got[r], want)
				}
			}
		}
	}
}

// Whole fits agree too, whatever the numbers of columns and clusters.
func TestVectorFitsAgree(t *testing.T) {
	t.Parallel()
	for name, vectors := range vectorKernels(t) {
		for d := 1; d <= 9; d++ {
			for _, k := range []int{1, 2, 5, 11} {
				const n = 3001
				m := []float64{2, 2, 1.3, 4}[(d+k)%4]
				x := normal(uint64(d), n*d)
				matrix, err := NewMatrix(t.Context(), x, n, d, 1)
				if err != nil {
					t.Fatal(err)
				}
				fit := func(by kernel) *Result {
					f := matrix.fitter(k, Options{M: m}, 1)
					f.kernel = by
					run, err := f.descend(t.Context(), x[:k*d], descent{maxIterations: 15, exact: true})
					if err != nil {
						t.Fatal(err)
					}
					r, err := f.summarise(t.Context(), run)
					if err != nil {
						t.Fatal(err)
					}
					return r
				}
				want, got := fit(plainKernel), fit(vectors)
				if math.Abs(got.Objective/want.Objective-1) > 1e-12 {
					t.Errorf("%s, d = %d, k = %d, m = %v: objective %v, plain %v", name, d, k, m, got.Objective, want.Objective)
				}
				if !slices.Equal(got.Labels, want.Labels) {
					t.Errorf("%s, d = %d, k = %d: other labels", name, d, k)
				}
			}
		}
	}
}
