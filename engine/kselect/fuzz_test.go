package kselect

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/quimbi/quimbi/engine/fcm"
)

// FuzzSelect takes any numbers at all: there is a known error or a selection that agrees with itself.
func FuzzSelect(f *testing.F) {
	nan, inf := math.NaN(), math.Inf(1)
	f.Add(uint8(1), uint8(0), floats(1, 2, 9, 10, 20, 21, 30, 31, 32))        // clusters
	f.Add(uint8(2), uint8(3), floats(1, 2, 9, 10, 20, 21, 30, 31))            // a fixed k
	f.Add(uint8(1), uint8(0), floats(1))                                      // one row
	f.Add(uint8(2), uint8(0), floats(1, 7, 2, 7, 9, 7, 3, 7))                 // a constant column
	f.Add(uint8(1), uint8(0), floats(5, 5, 5, 5, 5, 5))                       // nothing but duplicates
	f.Add(uint8(1), uint8(0), floats(1, 1, 1, 2, 2, 2))                       // two points
	f.Add(uint8(1), uint8(0), floats(1, nan, 3, 4))                           // NaN
	f.Add(uint8(1), uint8(0), floats(1, -inf, 3, 4))                          // infinity
	f.Add(uint8(1), uint8(0), floats(1e308, -1e308, 3, 4))                    // squares overflow
	f.Add(uint8(1), uint8(0), floats(1e145, -1e145, 9e144, -8e144))           // the largest that are taken
	f.Add(uint8(1), uint8(0), floats(1e-160, 2e-160, 9e-160, 8e-160, 5e-324)) // squares vanish
	f.Add(uint8(0), uint8(0), floats())                                       // no column
	f.Fuzz(func(t *testing.T, d, fixed uint8, data []byte) {
		width := int(d % 6)
		x := numbers(data, 200)
		n := len(x)
		if width > 0 {
			n /= width
			x = x[:n*width]
		}
		o := Options{KMax: 5, FCM: fcm.Options{Starts: 2, MaxIterations: 20, Workers: 1}, Silhouette: SilhouetteOptions{Workers: 1, MaxExact: 40}}
		if fixed %= 8; fixed > 1 {
			o.Fixed = int(fixed)
		}
		s, err := Select(t.Context(), x, n, width, o)
		finite, fits := true, true
		for _, v := range x {
			finite, fits = finite && !math.IsNaN(v) && !math.IsInf(v, 0), fits && math.Abs(v) <= 1e145
		}
		switch {
		case n < 1 || width < 1:
			if err == nil {
				t.Fatal("an empty matrix was accepted")
			}
			return
		case !fits:
			if !errors.Is(err, fcm.ErrTooLarge) && (finite || !errors.Is(err, fcm.ErrNotFinite)) {
				t.Fatalf("numbers that cannot be clustered: %v", err)
			}
			return
		case errors.Is(err, ErrNoStructure):
			if s.Chosen != 0 || s.Fit != nil {
				t.Fatalf("no structure, but %+v", s)
			}
		case err != nil:
			t.Fatal(err)
		case s.Fit.K != s.Chosen || len(s.Fit.Labels) != n || s.Fit.Coincident:
			t.Fatalf("%d chosen of %d rows: %+v", s.Chosen, n, s.Fit)
		}
		for _, c := range s.Candidates {
			checkCandidate(t, c, n)
		}
	})
}

func checkCandidate(t *testing.T, c Candidate, n int) {
	t.Helper()
	for _, v := range []float64{c.SilhouetteError, c.Score, c.NormalizedScore, c.XieBeni} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("not a number: %+v", c)
		}
	}
	if !(math.Abs(c.Silhouette) <= 1+1e-6 && c.Balance >= 0 && c.Balance <= c.NormalizedBalance+1e-12 && c.NormalizedBalance <= 1 &&
		c.PartitionCoefficient > -1e-9 && c.PartitionCoefficient < 1+1e-9 && c.XieBeni >= 0 && c.SilhouetteError >= 0) {
		t.Fatalf("out of range: %+v", c)
	}
	if c.Eligible != (len(c.Reasons) == 0) {
		t.Fatalf("eligible %v for reasons %v", c.Eligible, c.Reasons)
	}
	total := 0
	for _, size := range c.Sizes {
		total += size
	}
	if rejected := slices.Contains(c.Reasons, CoincidentCenters); c.Sizes == nil && !rejected || c.Sizes != nil && (len(c.Sizes) != c.K || total != n) {
		t.Fatalf("%d rows: %+v", n, c)
	}
}

// FuzzSilhouette takes any numbers and labels: an error, or what the definition gives.
func FuzzSilhouette(f *testing.F) {
	f.Add(uint8(1), uint8(2), floats(1, 2, 9, 10), []byte{0, 0, 1, 1})
	f.Add(uint8(2), uint8(3), floats(1, 2, 9, 10, 4, 4), []byte{0, 1, 2})
	f.Add(uint8(1), uint8(2), floats(math.NaN(), 1), []byte{0, 1})
	f.Add(uint8(1), uint8(2), floats(1.7e308, -1.7e308, 5e-324), []byte{0, 1, 1})
	f.Add(uint8(1), uint8(2), floats(1, 1, 1, 1), []byte{0, 1, 0, 1})
	f.Add(uint8(1), uint8(2), floats(1, 1e8, 1e8+1, 1e8+2), []byte{0, 1, 0, 1})       // digits that float32 has not
	f.Add(uint8(1), uint8(3), floats(1e-76, 1e-76, 2e-76, 1e107), []byte{1, 1, 2, 3}) // far from each other
	f.Add(uint8(0), uint8(0), floats(), []byte{})
	f.Fuzz(func(t *testing.T, d, k uint8, data, names []byte) {
		width, clusters := int(d%5), int(k%7)
		x := numbers(data, 120)
		n := len(x)
		if width > 0 {
			n /= width
			x = x[:n*width]
		}
		labels := make([]int32, min(n, len(names)))
		used, inRange := map[int32]bool{}, true
		for i := range labels {
			labels[i] = int32(names[i]%9) - 1
			used[labels[i]] = true
			inRange = inRange && labels[i] >= 0 && int(labels[i]) < clusters
		}
		ordinary := true
		for _, v := range x {
			ordinary = ordinary && !math.IsNaN(v) && !math.IsInf(v, 0)
		}
		got, err := Silhouette(t.Context(), x, n, width, labels, clusters, SilhouetteOptions{Workers: 1})
		if right := n > 1 && width > 0 && len(labels) == n && inRange && len(used) > 1 && ordinary; right != (err == nil) {
			t.Fatalf("%d x %d, labels %v of %d: %v", n, width, labels, clusters, err)
		}
		if err != nil {
			return
		}
		if math.Abs(got.Mean) > 1+1e-6 || math.IsNaN(got.Mean) || got.StdError != 0 || got.Sampled != n {
			t.Fatalf("%+v", got)
		}
		for _, v := range x {
			if v != 0 && !(math.Abs(v) < 1e150 && math.Abs(v) > 1e-150) {
				return // where the plain definition overflows or vanishes
			}
		}
		if want := plainSilhouette(x, n, width, labels, clusters); math.Abs(got.Mean-want) > exactTolerance {
			t.Fatalf("%v, want %v", got.Mean, want)
		}
	})
}

func numbers(data []byte, most int) []float64 {
	var x []float64
	for ; len(data) >= 8 && len(x) < most; data = data[8:] {
		x = append(x, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return x
}

func floats(values ...float64) []byte {
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	return data
}
