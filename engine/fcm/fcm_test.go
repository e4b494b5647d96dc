package fcm_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/quimbi/quimbi/engine/fcm"
)

// iris is the reference made with R 4.2.2 and e1071 1.7-13; see its README.
type iris struct {
	N, D, K     int
	X           [][]float64
	InitCenters [][]float64 `json:"init_centers"`
	Trace       []struct {
		Iterations int
		Objective  float64
		Centers    [][]float64 `json:"centers_in_init_order"`
	}
	Centers            [][]float64
	Objective          float64
	HardSizes          []int `json:"hard_sizes"`
	FPC                float64
	XieBeni            float64 `json:"xie_beni"`
	MembershipRows     []int   `json:"membership_rows_0based"`
	Memberships        [][]float64
	flat, init, ranges []float64
}

func readIris(t testing.TB) iris {
	t.Helper()
	data, err := os.ReadFile(fixture(t, "fcm/iris_k3.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f iris
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	f.flat, f.init = slices.Concat(f.X...), slices.Concat(f.InitCenters...)
	for c := range f.D {
		low, high := math.Inf(1), math.Inf(-1)
		for _, row := range f.X {
			low, high = min(low, row[c]), max(high, row[c])
		}
		f.ranges = append(f.ranges, high-low)
	}
	return f
}

// fixture finds a file of the fixtures folder beside the repository.
func fixture(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "shared", "fixtures", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("../shared/fixtures/%s is missing", name)
	}
	t.Skipf("../shared/fixtures/%s is not there", name)
	return ""
}

func TestIrisTrace(t *testing.T) {
	t.Parallel()
	f := readIris(t)
	for _, step := range f.Trace {
		r, err := fcm.Fit(t.Context(), f.flat, f.N, f.D, f.K, fcm.Options{
			Init: f.init, MaxIterations: step.Iterations, ExactIterations: true, Plain: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Iterations != step.Iterations {
			t.Errorf("%d iterations, want %d", r.Iterations, step.Iterations)
		}
		if dev := deviation(r.Centers, slices.Concat(step.Centers...), f.ranges); dev > 1e-12 {
			t.Errorf("after %d iterations centres differ by %.3g", step.Iterations, dev)
		}
		if rel := math.Abs(r.Objective/step.Objective - 1); rel > 1e-12 {
			t.Errorf("after %d iterations the objective differs by %.3g", step.Iterations, rel)
		}
	}
}

func TestIrisOptimum(t *testing.T) {
	t.Parallel()
	f := readIris(t)
	for name, opts := range map[string]fcm.Options{
		"plain":       {Init: f.init, Plain: true},
		"accelerated": {Init: f.init},
		"starts":      {Seed: 1},
	} {
		opts.MaxIterations, opts.Tolerance = 5000, 1e-10
		r, err := fcm.Fit(t.Context(), f.flat, f.N, f.D, f.K, opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d iterations", name, r.Iterations)
		if !r.Converged || r.Coincident {
			t.Errorf("%s: converged %v, coincident %v", name, r.Converged, r.Coincident)
		}
		order := []int{0, 1, 2}
		slices.SortFunc(order, func(a, b int) int {
			if r.Centers[a*f.D] < r.Centers[b*f.D] {
				return -1
			}
			return 1
		})
		var centers []float64
		for i, j := range order {
			centers = append(centers, r.Centers[j*f.D:(j+1)*f.D]...)
			if r.Sizes[j] != f.HardSizes[i] {
				t.Errorf("%s: size %d, want %d", name, r.Sizes[j], f.HardSizes[i])
			}
		}
		for what, dev := range map[string]float64{
			"centres":               deviation(centers, slices.Concat(f.Centers...), f.ranges),
			"objective":             math.Abs(r.Objective/f.Objective - 1),
			"Xie-Beni":              math.Abs(r.XieBeni/f.XieBeni - 1),
			"partition coefficient": math.Abs(r.PartitionCoefficient - (3*f.FPC-1)/2),
		} {
			if dev > 1e-9 {
				t.Errorf("%s: %s differs by %.3g", name, what, dev)
			}
		}
		u := make([]float64, f.K)
		for i, row := range f.MembershipRows {
			fcm.Memberships(u, f.X[row], centers, f.K, 2)
			for j, want := range f.Memberships[i] {
				if math.Abs(u[j]-want) > 1e-9 {
					t.Errorf("%s: membership of row %d in %d is %v, want %v", name, row, j, u[j], want)
				}
			}
		}
	}
}

// deviation is the largest difference of two sets of centres in column ranges.
func deviation(a, b, ranges []float64) float64 {
	largest := 0.0
	for i := range a {
		largest = max(largest, math.Abs(a[i]-b[i])/ranges[i%len(ranges)])
	}
	return largest
}
