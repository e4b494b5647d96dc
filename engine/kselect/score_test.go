package kselect

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestBalance(t *testing.T) {
	t.Parallel()
	// The first four are the anchors of the specification; the normalised values follow from sd/mean / sqrt(k-1).
	tests := []struct {
		name             string
		sizes            []int
		want, normalized float64
	}{
		{"94/6", []int{94, 6}, 0.12, 0.12},
		{"35/28/18/12/7", []int{35, 28, 18, 12, 7}, 0.487165, 1 - 0.512835/2},
		{"61/23.5/11.7/3.8", []int{610, 235, 117, 38}, 0.122599, 1 - 0.877401/math.Sqrt(3)},
		{"equal", []int{5, 5, 5}, 1, 1},
		{"one holds all", []int{9, 0, 0}, 0, 0},
		{"an empty one counts", []int{6, 6, 0}, 1 - math.Sqrt(0.5), 0.5},
		{"single", []int{7}, 1, 1},
		{"none", nil, 0, 0},
		{"only empty", []int{0, 0}, 0, 0},
	}
	for _, test := range tests {
		if got := Balance(test.sizes); math.Abs(got-test.want) > 5e-7 {
			t.Errorf("%s: Balance = %.6f, want %.6f", test.name, got, test.want)
		}
		if got := NormalizedBalance(test.sizes); math.Abs(got-test.normalized) > 5e-7 {
			t.Errorf("%s: NormalizedBalance = %.6f, want %.6f", test.name, got, test.normalized)
		}
	}
}

func TestBalanceProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 1_000_000), 1, 12).Draw(t, "sizes")
		source, normalized := Balance(sizes), NormalizedBalance(sizes)
		for name, b := range map[string]float64{"Balance": source, "NormalizedBalance": normalized} {
			if !(b >= 0 && b <= 1) {
				t.Fatalf("%s = %v, outside 0..1", name, b)
			}
		}
		if normalized < source-1e-12 {
			t.Fatalf("NormalizedBalance %v is below Balance %v", normalized, source)
		}
		doubled := make([]int, len(sizes))
		for i, s := range sizes {
			doubled[i] = 2 * s
		}
		if got := Balance(doubled); math.Abs(got-source) > 1e-12 {
			t.Fatalf("Balance changed from %v to %v with all sizes doubled", source, got)
		}
	})
}

func TestScore(t *testing.T) {
	t.Parallel()
	if got := Score(0.5, 0.75); math.Abs(got-0.65) > 1e-15 {
		t.Errorf("Score(0.5, 0.75) = %v, want 0.65", got)
	}
	if got := Score(-1, 0); got != -0.4 {
		t.Errorf("Score(-1, 0) = %v: the silhouette must not be rescaled", got)
	}
}
