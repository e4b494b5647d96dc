package shapley

import (
	"math"
	"math/bits"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// Games with published values.
func TestPublished(t *testing.T) {
	t.Parallel()
	approx := cmpopts.EquateApprox(0, 1e-12)
	// The glove game: two left gloves and a right one, a pair is worth 1 (Shapley and Shubik 1969).
	gloves := func(set uint64) float64 {
		if set&0b100 != 0 && set&0b011 != 0 {
			return 1
		}
		return 0
	}
	if diff := cmp.Diff([]float64{1.0 / 6, 1.0 / 6, 2.0 / 3}, Values(3, 0, gloves), approx); diff != "" {
		t.Error(diff)
	}
	// The airport game: a runway costs what the largest of its planes needs; each stretch is shared by those who use it
	// (Littlechild and Owen 1973).
	costs := []float64{8, 11, 13, 18}
	runway := func(set uint64) float64 {
		most := 0.0
		for i, c := range costs {
			if set>>i&1 == 1 {
				most = max(most, c)
			}
		}
		return most
	}
	if diff := cmp.Diff([]float64{2, 3, 4, 9}, Values(4, 0, runway), approx); diff != "" {
		t.Error(diff)
	}
	if got := Values(0, 0, gloves); len(got) != 0 {
		t.Errorf("nobody has the shares %v", got)
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "parts")
		table := rapid.SliceOfN(rapid.Float64Range(-1, 1), 1<<n, 1<<n).Draw(t, "values")
		idle := uint64(1) << rapid.IntRange(0, n-1).Draw(t, "idle")
		value := func(set uint64) float64 { return table[set&^idle] }
		shares := Values(n, 7, value)
		sum := 0.0
		for _, s := range shares {
			sum += s
		}
		if whole := value(1<<n-1) - value(0); math.Abs(sum-whole) > 1e-9 {
			t.Fatalf("the shares %v sum to %v, the whole is %v", shares, sum, whole)
		}
		if s := shares[bits.TrailingZeros64(idle)]; s != 0 {
			t.Fatalf("a part that adds nothing has the share %v", s)
		}
		if again := Values(n, 7, value); !cmp.Equal(shares, again) {
			t.Fatalf("%v and then %v by the same seed", shares, again)
		}
	})
}

// Sampled shares are near the exact ones, which the sum of single values and pairs gives in closed form.
func TestSampled(t *testing.T) {
	t.Parallel()
	const n = 8
	value := func(set uint64) float64 {
		size := float64(bits.OnesCount64(set))
		return size + 0.1*size*(size-1)/2
	}
	for i, s := range Values(n, 1, value) {
		if want := 1 + 0.1*(n-1)/2; math.Abs(s-want) > 0.15 {
			t.Errorf("part %d has %v, exactly it is %v", i, s, want)
		}
	}
}
