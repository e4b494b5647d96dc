//go:build unix

package fcm_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/quimbi/quimbi/engine/fcm"
)

// BenchmarkPeer runs the fits that docs/bench/fcm_vs_e1071.sh gives to another program too. FCM_PEER names a folder
// with shape (the numbers n, d, k, iterations and m), rows and init (float64, little-endian, row-major); centres go there
// as well. The processor seconds are those of the fit alone, on all its goroutines and the collector's.
func BenchmarkPeer(b *testing.B) {
	dir := os.Getenv("FCM_PEER")
	if dir == "" {
		b.Skip("FCM_PEER names no folder; docs/bench/fcm_vs_e1071.sh does")
	}
	shape := readShape(b, filepath.Join(dir, "shape"))
	n, d, k, iterations := int(shape[0]), int(shape[1]), int(shape[2]), int(shape[3])
	x, init := readFloats(b, filepath.Join(dir, "rows"), n*d), readFloats(b, filepath.Join(dir, "init"), k*d)
	opts := fcm.Options{M: shape[4], Init: init, MaxIterations: iterations, ExactIterations: true, Plain: true}
	runtime.GC()
	b.ReportAllocs()
	var r *fcm.Result
	var err error
	seconds := 0.0
	for b.Loop() {
		before := processorSeconds(b)
		if r, err = fcm.Fit(b.Context(), x, n, d, k, opts); err != nil {
			b.Fatal(err)
		}
		seconds += processorSeconds(b) - before
	}
	b.ReportMetric(seconds/float64(b.N), "cpu-s")
	writeFloats(b, filepath.Join(dir, "centres"), append([]float64{r.Objective}, r.Centers...))
}

func readShape(b *testing.B, path string) []float64 {
	b.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	var shape []float64
	for _, field := range strings.Fields(string(text)) {
		v, err := strconv.ParseFloat(field, 64)
		if err != nil {
			b.Fatal(err)
		}
		shape = append(shape, v)
	}
	if len(shape) != 5 {
		b.Fatalf("%s holds %d numbers, not 5", path, len(shape))
	}
	return shape
}

func readFloats(b *testing.B, path string, count int) []float64 {
	b.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	if len(data) != 8*count {
		b.Fatalf("%s holds %d bytes, not %d numbers", path, len(data), count)
	}
	x := make([]float64, count)
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return x
}

func writeFloats(b *testing.B, path string, values []float64) {
	b.Helper()
	data := make([]byte, 0, 8*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
}

func processorSeconds(b *testing.B) float64 {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return float64(use.Utime.Nano()+use.Stime.Nano()) / 1e9
}
