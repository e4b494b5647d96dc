//go:build goexperiment.simd && amd64

package kselect

import (
	"context"
	"math"
	"simd/archsimd"
	"testing"
)

// Both vector widths agree with float64, for tiles of any size.
func TestVectorMeters(t *testing.T) {
	t.Parallel()
	type kind struct {
		vectors func(m *meter, left, right *tile)
		width   int
	}
	meters := map[string]kind{}
	if archsimd.X86.AVX512() {
		meters["wide"] = kind{betweenWide, wide}
	}
	if archsimd.X86.AVX2() && archsimd.X86.FMA() {
		meters["narrow"] = kind{betweenNarrow, narrow}
	}
	for name, kind := range meters {
		for _, n := range []int{2, 3, 17, 254, 259, 700} {
			for d := 1; d <= 9; d++ {
				x, labels := planted(n, d, 2)
				tiles := newTiling(x, d, []Labeling{{labels, 2}}, allRows(n))
				fast, exact := newMeter(tiles), newMeter(tiles)
				fast.vectors, fast.width, exact.vectors = kind.vectors, kind.width, nil
				for i := range tiles.tiles {
					for j := range tiles.tiles {
						left, right := &tiles.tiles[i], &tiles.tiles[j]
						fast.between(left, right)
						exact.between(left, right)
						for r := range left.n {
							if math.Abs(fast.rowSums[r]-exact.rowSums[r]) > 2e-6*(1+exact.rowSums[r]) {
								t.Fatalf("%s, n = %d, d = %d: row sum %v, want %v", name, n, d, fast.rowSums[r], exact.rowSums[r])
							}
						}
						for r := range right.n {
							if math.Abs(fast.columnSums[r]-exact.columnSums[r]) > 2e-6*(1+exact.columnSums[r]) {
								t.Fatalf("%s, n = %d, d = %d: column sum %v, want %v", name, n, d, fast.columnSums[r], exact.columnSums[r])
							}
						}
					}
				}
			}
		}
	}
}

// Tight groups far apart lose their spread in float32; float64 takes over.
func TestRoundingIsNoticed(t *testing.T) {
	t.Parallel()
	x := []float64{0, 1e-9, 5e-9, 1e3, 1e3 + 1e-9, 1e3 + 4e-9, 1e9, 1e9}
	labels := []int32{0, 0, 1, 2, 2, 3, 4, 4}
	got := silhouette(t, x, len(x), 1, labels, 5, SilhouetteOptions{})
	if want := plainSilhouette(x, len(x), 1, labels, 5); math.Abs(got.Mean-want) > 1e-12 {
		t.Errorf("got %v, want %v", got.Mean, want)
	}
	if _, err := clusterSilhouettes(context.Background(), x, 1, []Labeling{{labels, 5}}, []int32{0, 1, 2}, 1); err != nil {
		t.Error(err)
	}
}
