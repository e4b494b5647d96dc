package fcm_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quimbi/quimbi/engine/fcm"
)

// A fit in place is the fit of a copy to the last bit, and leaves the data as they were.
func TestInPlace(t *testing.T) {
	t.Parallel()
	for _, n := range []int{100, 5001, 6000, 6144} {
		for _, d := range []int{1, 3} {
			k := min(4, n)
			x := blobs(uint64(n), n, d, k, 2)
			kept := slices.Clone(x)
			for _, opts := range []fcm.Options{{Starts: 2}, {Init: spreadRows(x, n, d, k), Workers: 3}, {M: 1.5, Starts: 1}} {
				opts.MaxIterations = 5
				want, err := fcm.Fit(t.Context(), x, n, d, k, opts)
				if err != nil {
					t.Fatal(err)
				}
				opts.InPlace = true
				got, err := fcm.Fit(t.Context(), x, n, d, k, opts)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
					t.Errorf("%d x %d (-copy +in place):\n%s", n, d, diff)
				}
				if !slices.Equal(x, kept) {
					t.Fatalf("%d x %d: the data were changed", n, d)
				}
			}
		}
	}
}

// The data are put back when the fit fails, or ends at any time.
func TestInPlaceGivesBack(t *testing.T) {
	t.Parallel()
	const n, d, k = 9000, 2, 3
	x := blobs(1, n, d, k, 2)
	opts := fcm.Options{Init: spreadRows(x, n, d, k), InPlace: true, Workers: 1}
	x[n*d-5] = 1e200
	kept := slices.Clone(x)
	if _, err := fcm.Fit(t.Context(), x, n, d, k, opts); !errors.Is(err, fcm.ErrTooLarge) || !slices.Equal(x, kept) {
		t.Errorf("a value too large: %v, data unchanged: %v", err, slices.Equal(x, kept))
	}
	x[n*d-5] = 1
	kept = slices.Clone(x)
	for looks := 0; looks < 200; looks += 3 {
		ctx := &stopsAfter{Context: t.Context(), looks: looks}
		if _, err := fcm.Fit(ctx, x, n, d, k, opts); !errors.Is(err, context.Canceled) || !slices.Equal(x, kept) {
			t.Fatalf("cancelled at look %d: %v, data unchanged: %v", looks, err, slices.Equal(x, kept))
		}
	}
}

// stopsAfter is a context that ends when it has been looked at so often; for one goroutine.
type stopsAfter struct {
	context.Context
	looks int
}

// Err tells whether it has.
func (s *stopsAfter) Err() error {
	if s.looks--; s.looks < 0 {
		return context.Canceled
	}
	return nil
}
