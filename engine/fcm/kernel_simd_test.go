//go:build goexperiment.simd && amd64

package fcm

import (
	"simd/archsimd"
	"testing"
)

// A processor with the wide instructions would never choose the narrow ones.
func TestNarrowKernelAgrees(t *testing.T) {
	t.Parallel()
	if !archsimd.X86.AVX2() || !archsimd.X86.FMA() {
		t.Skip("this processor has no AVX2 with FMA")
	}
	agree(t, narrowKernel)
}
