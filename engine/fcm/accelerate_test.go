package fcm_test

import (
	"math"
	"testing"

	"github.com/quimbi/quimbi/engine/fcm"
)

// Acceleration reaches the same objective in fewer passes.
func TestAccelerationSavesPasses(t *testing.T) {
	t.Parallel()
	const n, d = 4000, 5
	for _, k := range []int{3, 5, 8} {
		x := blobs(uint64(k), n, d, k, 1.5)
		opts := fcm.Options{Init: spreadRows(x, n, d, k), MaxIterations: 3000, Tolerance: 1e-7}
		fast, err := fcm.Fit(t.Context(), x, n, d, k, opts)
		if err != nil {
			t.Fatal(err)
		}
		opts.Plain = true
		plain, err := fcm.Fit(t.Context(), x, n, d, k, opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("k=%d: %d passes, plain %d, objective %v and %v", k, fast.Iterations, plain.Iterations, fast.Objective, plain.Objective)
		if fast.Iterations >= plain.Iterations || math.Abs(fast.Objective/plain.Objective-1) > 1e-9 {
			t.Errorf("k=%d: not faster, or another optimum", k)
		}
	}
}
