package fcm_test

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/quimbi/quimbi/engine/fcm"
)

// FuzzFit takes any numbers at all: there is a known error or a result that follows from its centres.
func FuzzFit(f *testing.F) {
	nan, inf := math.NaN(), math.Inf(1)
	f.Add(uint8(2), uint8(3), 2.0, false, floats(1, 2, 3, 4, 5, 6, 7, 9))         // two columns
	f.Add(uint8(1), uint8(3), 2.0, false, floats(1, 2))                           // fewer rows than clusters
	f.Add(uint8(1), uint8(1), 2.0, false, floats(1))                              // one row
	f.Add(uint8(2), uint8(2), 2.0, false, floats(1, 7, 2, 7, 9, 7, 3, 7))         // a constant column
	f.Add(uint8(1), uint8(3), 2.0, false, floats(5, 5, 5, 5, 5, 5))               // nothing but duplicates
	f.Add(uint8(1), uint8(2), 2.0, false, floats(1, 1, 1, 2, 2, 2))               // two points
	f.Add(uint8(1), uint8(2), 2.0, false, floats(1, nan, 3, 4))                   // NaN
	f.Add(uint8(1), uint8(2), 2.0, false, floats(1, -inf, 3, 4))                  // infinity
	f.Add(uint8(1), uint8(2), 2.0, false, floats(1e308, -1e308, 3, 4))            // squares overflow
	f.Add(uint8(1), uint8(2), 2.0, false, floats(1e145, -1e145, 9e144, -8e144))   // the largest that are taken
	f.Add(uint8(1), uint8(2), 1.5, false, floats(1e-160, 2e-160, 9e-160, 8e-160)) // squares vanish
	f.Add(uint8(1), uint8(2), 3.0, false, floats(5e-324, 0, 1e145, 1))            // everything at once
	f.Add(uint8(1), uint8(4), 59.0, false, floats(1.4e-76, 9e-72, 1e-124, 8e34, 1e-153))
	f.Add(uint8(1), uint8(2), 1.0101, false, floats(1, 2, 3, 7, 8, 9)) // nearly hard
	f.Add(uint8(1), uint8(2), 249.0, false, floats(1, 2, 3, 7, 8, 9))  // memberships of a half
	f.Add(uint8(1), uint8(2), 251.0, false, floats(1, 2, 3, 7, 8, 9))  // memberships vanish
	f.Add(uint8(1), uint8(2), 1.0, false, floats(1, 2, 3, 7, 8, 9))    // no fuzzifier
	f.Add(uint8(1), uint8(2), nan, true, floats(1, 2, 3, 7, 8, 9))     // not even a number, but not needed
	f.Add(uint8(0), uint8(2), 2.0, false, floats())                    // no column
	f.Add(uint8(1), uint8(0), 2.0, false, floats(1, 2))                // no cluster
	f.Fuzz(func(t *testing.T, d, k uint8, m float64, hard bool, data []byte) {
		width, clusters := int(d%12), int(k%12)
		var x []float64
		for ; len(data) >= 8 && len(x) < 600; data = data[8:] {
			x = append(x, math.Float64frombits(binary.LittleEndian.Uint64(data)))
		}
		n := len(x)
		if width > 0 {
			n /= width
			x = x[:n*width]
		} else {
			x = nil
		}
		r, err := fcm.Fit(t.Context(), x, n, width, clusters, fcm.Options{
			M: m, Hard: hard, Starts: 2, MaxIterations: 40, Seed: 1, Workers: 1,
		})
		if want := wanted(x, n, width, clusters, m, hard); !errors.Is(err, want) {
			t.Fatalf("%d x %d in %d clusters with m = %v: %v, want %v", n, width, clusters, m, err, want)
		}
		if err != nil {
			return
		}
		if hard {
			return
		}
		if m == 0 {
			m = 2
		}
		checkResult(t, x, n, width, clusters, m, r)
	})
}

// wanted is the error that Fit owes to its arguments, nil if none.
func wanted(x []float64, n, d, k int, m float64, hard bool) error {
	if d < 1 || n < 1 {
		return fcm.ErrShape
	}
	for _, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fcm.ErrNotFinite
		}
		if math.Abs(v) > 1e145 {
			return fcm.ErrTooLarge
		}
	}
	if k < 1 || n < k {
		return fcm.ErrShape
	}
	if !hard && m != 0 {
		if fcm.CheckFuzzifier(m, k) != nil {
			return fcm.ErrFuzzifier
		}
	}
	return nil
}

func floats(values ...float64) []byte {
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	return data
}
