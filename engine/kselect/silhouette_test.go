package kselect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// planted is n rows of k overlapping groups in d columns, the labels being the groups, from a linear congruential
// generator that other languages repeat exactly.
func planted(n, d, k int) ([]float64, []int32) {
	state := uint64(12345)
	x := make([]float64, 0, n*d)
	labels := make([]int32, n)
	for i := range n {
		labels[i] = int32(i % k)
		for f := range d {
			state = (state*1103515245 + 12345) % (1 << 31)
			shift := 1.0
			if f%2 == 1 {
				shift = -0.5
			}
			x = append(x, float64(state)/(1<<31)*2+float64(i%k)*shift)
		}
	}
	return x, labels
}

// gaussians is n rows around k centres with uneven sizes.
func gaussians(n, d, k int, seed uint64) ([]float64, []int32) {
	random := rand.New(rand.NewPCG(seed, 1))
	centers := make([]float64, k*d)
	for i := range centers {
		centers[i] = 2 * random.NormFloat64()
	}
	x := make([]float64, 0, n*d)
	labels := make([]int32, n)
	for i := range n {
		c := min(random.IntN(k), random.IntN(k))
		labels[i] = int32(c)
		for f := range d {
			x = append(x, centers[c*d+f]+random.NormFloat64())
		}
	}
	return x, labels
}

// plainSilhouette is the definition, row by row.
func plainSilhouette(x []float64, n, d int, labels []int32, k int) float64 {
	total := 0.0
	for i := range n {
		sums, sizes := make([]float64, k), make([]int, k)
		for j := range n {
			if i == j {
				continue
			}
			squares := 0.0
			for f := range d {
				e := x[i*d+f] - x[j*d+f]
				squares += e * e
			}
			sums[labels[j]] += math.Sqrt(squares)
			sizes[labels[j]]++
		}
		own := labels[i]
		if sizes[own] == 0 {
			continue
		}
		a, b := sums[own]/float64(sizes[own]), math.Inf(1)
		for c := range k {
			if int32(c) != own && sizes[c] > 0 {
				b = min(b, sums[c]/float64(sizes[c]))
			}
		}
		if a != 0 || b != 0 {
			total += (b - a) / max(a, b)
		}
	}
	return total / float64(n)
}

func silhouette(t testing.TB, x []float64, n, d int, labels []int32, k int, o SilhouetteOptions) SilhouetteResult {
	t.Helper()
	result, err := Silhouette(context.Background(), x, n, d, labels, k, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestSilhouetteAgainstScikitLearn(t *testing.T) {
	t.Parallel()
	// Expected values: sklearn.metrics.silhouette_score of scikit-learn 1.2.1 on the same rows.
	tests := []struct {
		n, d, k int
		want    float64
	}{
		{60, 1, 2, 0.2735382636606526},
		{301, 2, 3, 0.16645867634805072},
		{700, 5, 4, 0.2275804593093168},
		{1000, 8, 7, 0.21580274957298257},
	}
	for _, test := range tests {
		x, labels := planted(test.n, test.d, test.k)
		got := silhouette(t, x, test.n, test.d, labels, test.k, SilhouetteOptions{})
		if math.Abs(got.Mean-test.want) > exactTolerance || got.StdError != 0 || got.Sampled != test.n {
			t.Errorf("%d x %d, k = %d: got %+v, want %v", test.n, test.d, test.k, got, test.want)
		}
	}
}

func TestSilhouetteOfIrisSpecies(t *testing.T) {
	t.Parallel()
	x := irisRows(t)
	labels := make([]int32, 150)
	for i := range labels {
		labels[i] = int32(i / 50)
	}
	const want = 0.503477440693296 // scikit-learn 1.2.1
	if got := silhouette(t, x, 150, 4, labels, 3, SilhouetteOptions{}); math.Abs(got.Mean-want) > exactTolerance {
		t.Errorf("got %v, want %v", got.Mean, want)
	}
}

// irisRows reads Fisher's iris, 150 x 4, from the data beside the repository.
func irisRows(t *testing.T) []float64 {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "fixtures", "fcm", "iris_k3.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skip("the fixtures beside the repository are missing")
	}
	if err != nil {
		t.Fatal(err)
	}
	var fixture struct{ X [][]float64 }
	if err := json.Unmarshal(text, &fixture); err != nil {
		t.Fatal(err)
	}
	var x []float64
	for _, row := range fixture.X {
		x = append(x, row...)
	}
	return x
}

func TestSilhouetteAgainstDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 700).Draw(t, "n")
		d := rapid.IntRange(1, 11).Draw(t, "d")
		k := rapid.IntRange(2, 6).Draw(t, "k")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		x := make([]float64, n*d)
		coarse := rapid.Bool().Draw(t, "coarse") // many equal rows
		for i := range x {
			if x[i] = random.NormFloat64() + 3; coarse {
				x[i] = math.Round(x[i])
			}
		}
		labels := make([]int32, n)
		for i := range labels {
			labels[i] = int32(random.IntN(k))
		}
		labels[0], labels[1] = 0, 1
		got, err := Silhouette(context.Background(), x, n, d, labels, k, SilhouetteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if want := plainSilhouette(x, n, d, labels, k); math.Abs(got.Mean-want) > exactTolerance {
			t.Fatalf("got %v, want %v", got.Mean, want)
		}
	})
}

func TestSilhouetteInvariances(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, d, k := 300, 3, 3
		x, labels := gaussians(n, d, k, rapid.Uint64().Draw(t, "seed"))
		check := func(what string, x []float64, labels []int32, want, tolerance float64) {
			got, err := Silhouette(context.Background(), x, n, d, labels, k, SilhouetteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got.Mean-want) > tolerance {
				t.Fatalf("%s changed it from %v to %v", what, want, got.Mean)
			}
		}
		first, err := Silhouette(context.Background(), x, n, d, labels, k, SilhouetteOptions{})
		if err != nil {
			t.Fatal(err)
		}

		order := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 1)).Perm(n)
		moved, movedLabels := make([]float64, n*d), make([]int32, n)
		for to, from := range order {
			copy(moved[to*d:(to+1)*d], x[from*d:(from+1)*d])
			movedLabels[to] = labels[from]
		}
		check("the order of rows", moved, movedLabels, first.Mean, exactTolerance)

		renamed := make([]int32, n)
		for i, l := range labels {
			renamed[i] = (l + 1) % int32(k)
		}
		check("the names of clusters", x, renamed, first.Mean, exactTolerance)

		for _, factor := range []float64{0x1p-1020, 1e-160, 0.001, 1e160, 0x1p1018} {
			scaled := make([]float64, n*d)
			for i, v := range x {
				scaled[i] = v * factor
			}
			check(fmt.Sprintf("a scale of %g", factor), scaled, labels, first.Mean, exactTolerance)
		}
	})
}

func TestSilhouetteIsTheSameForAnyWorkers(t *testing.T) {
	t.Parallel()
	x, labels := gaussians(6000, 5, 4, 3)
	for _, maxExact := range []int{0, 2500} {
		want := silhouette(t, x, 6000, 5, labels, 4, SilhouetteOptions{MaxExact: maxExact, Seed: 7, Workers: 1})
		for _, workers := range []int{2, 3, 8, 40} {
			got := silhouette(t, x, 6000, 5, labels, 4, SilhouetteOptions{MaxExact: maxExact, Seed: 7, Workers: workers})
			if got != want {
				t.Errorf("%d workers: %+v, one worker: %+v", workers, got, want)
			}
		}
	}
}

func TestSilhouetteSpecialCases(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		x      []float64
		labels []int32
		k      int
		want   float64
	}{
		{"all rows equal", []float64{3, 3, 3, 3}, []int32{0, 1, 0, 1}, 2, 0},
		{"rows alone count 0", []float64{0, 1, 10}, []int32{0, 0, 1}, 2, (9.0/10 + 8.0/9) / 3},
		{"clusters without rows are passed over", []float64{0, 1, 10}, []int32{0, 0, 4}, 6, (9.0/10 + 8.0/9) / 3},
		{"two points in two clusters", []float64{0, 1}, []int32{0, 1}, 2, 0},
		{"perfect", []float64{1, 1, 2, 2}, []int32{0, 0, 1, 1}, 2, 1},
		{"wrong way round", []float64{1, 2, 1, 2}, []int32{0, 0, 1, 1}, 2, -0.5},
		{"near the limits of float64", []float64{-1.7e308, -1.7e308, 1.7e308, 1.7e308}, []int32{0, 0, 1, 1}, 2, 1},
		{"smallest numbers", []float64{0, 5e-324, 5e-323, 5e-323}, []int32{0, 0, 1, 1}, 2, (9.0/10 + 8.0/9 + 2) / 4},
	}
	for _, test := range tests {
		got := silhouette(t, test.x, len(test.x), 1, test.labels, test.k, SilhouetteOptions{})
		if math.Abs(got.Mean-test.want) > exactTolerance {
			t.Errorf("%s: got %v, want %v", test.name, got.Mean, test.want)
		}
	}
}

func TestSilhouetteRejects(t *testing.T) {
	t.Parallel()
	good := []float64{0, 1, 2, 3}
	tests := map[string]struct {
		x      []float64
		n, d   int
		labels []int32
		k      int
	}{
		"NaN":               {[]float64{0, math.NaN(), 2, 3}, 4, 1, []int32{0, 0, 1, 1}, 2},
		"infinity":          {[]float64{0, math.Inf(-1), 2, 3}, 4, 1, []int32{0, 0, 1, 1}, 2},
		"one row":           {good[:1], 1, 1, []int32{0}, 2},
		"no column":         {nil, 4, 0, []int32{0, 0, 1, 1}, 2},
		"wrong length":      {good, 3, 1, []int32{0, 0, 1}, 2},
		"too few labels":    {good, 4, 1, []int32{0, 0, 1}, 2},
		"label out of k":    {good, 4, 1, []int32{0, 0, 1, 2}, 2},
		"negative label":    {good, 4, 1, []int32{0, 0, 1, -1}, 2},
		"k = 1":             {good, 4, 1, []int32{0, 0, 0, 0}, 1},
		"rows in one alone": {good, 4, 1, []int32{1, 1, 1, 1}, 2},
	}
	for name, test := range tests {
		if _, err := Silhouette(t.Context(), test.x, test.n, test.d, test.labels, test.k, SilhouetteOptions{}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestSilhouetteIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x, labels := gaussians(2000, 2, 3, 1)
	if _, err := Silhouette(ctx, x, 2000, 2, labels, 3, SilhouetteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// The first is measured alone, then all together.
func TestSampledSilhouetteKnowsItsError(t *testing.T) {
	t.Parallel()
	const n, d, k, m = 4000, 4, 4, 1000
	x, labels := gaussians(n, d, k, 11)
	all := []Labeling{{labels, k}, stripes(x, n, d, 3, 0.5), stripes(x, n, d, 2, 2)}
	for _, labelings := range [][]Labeling{all[:1], all} {
		const seeds = 40
		squares, meanError := make([]float64, len(labelings)), make([]float64, len(labelings))
		exact, err := Silhouettes(t.Context(), x, n, d, labelings, SilhouetteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(seeds) {
			got, err := Silhouettes(t.Context(), x, n, d, labelings, SilhouetteOptions{MaxExact: m, Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			for l, g := range got {
				if g.Sampled != m || g.StdError <= 0 {
					t.Fatalf("seed %d: %+v", seed, g)
				}
				squares[l] += (g.Mean - exact[l].Mean) * (g.Mean - exact[l].Mean)
				meanError[l] += g.StdError / seeds
			}
		}
		for l := range labelings {
			spread := math.Sqrt(squares[l] / seeds)
			t.Logf("%d of %d: exact %.4f, spread over seeds %.5f, mean reported error %.5f", l, len(labelings), exact[l].Mean, spread, meanError[l])
			if ratio := spread / meanError[l]; ratio < 0.6 || ratio > 1.5 {
				t.Errorf("the spread over seeds is %.5f, but the error reported is %.5f on average", spread, meanError[l])
			}
		}
	}
}

func TestStratifiedSample(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 400), 2, 8).Draw(t, "sizes")
		var labels []int32
		for c, s := range sizes {
			for range s {
				labels = append(labels, int32(c))
			}
		}
		if len(labels) < 2 {
			t.Skip("no rows")
		}
		m := rapid.IntRange(1, len(labels)).Draw(t, "m")
		taken := make([]int, len(sizes))
		seen := map[int32]bool{}
		labeling := Labeling{labels, len(sizes)}
		strata := newCells(len(labels))
		strata.divide(labeling, allRows(len(labels)))
		for _, i := range stratifiedSample(strata, []Labeling{labeling}, [][]int{sizes}, m, 5) {
			if seen[i] {
				t.Fatalf("row %d was taken twice", i)
			}
			seen[i] = true
			taken[labels[i]]++
		}
		for c, s := range sizes {
			share := float64(s) * float64(m) / float64(len(labels))
			if taken[c] < min(s, 2) || math.Abs(float64(taken[c])-share) > 2 {
				t.Fatalf("cluster %d of %d rows gave %d of %d", c, s, taken[c], m)
			}
		}
	})
}

func BenchmarkSilhouette(b *testing.B) {
	for _, shape := range []struct{ n, d, k int }{{10_000, 3, 4}, {10_000, 5, 5}, {10_000, 8, 10}, {100_000, 5, 5}} {
		b.Run(fmt.Sprintf("n=%d/d=%d/k=%d", shape.n, shape.d, shape.k), func(b *testing.B) {
			x, labels := gaussians(shape.n, shape.d, shape.k, 1)
			b.ReportAllocs()
			for b.Loop() {
				silhouette(b, x, shape.n, shape.d, labels, shape.k, SilhouetteOptions{})
			}
		})
	}
}

// BenchmarkPlanted measures the rows that docs/bench/silhouette_vs_sklearn.sh gives to scikit-learn.
func BenchmarkPlanted(b *testing.B) {
	x, labels := planted(10_000, 5, 5)
	b.ReportAllocs()
	mean := 0.0
	for b.Loop() {
		mean = silhouette(b, x, 10_000, 5, labels, 5, SilhouetteOptions{}).Mean
	}
	b.ReportMetric(mean, "silhouette")
}
