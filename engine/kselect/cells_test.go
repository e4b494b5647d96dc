package kselect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// slices of a plane, as clusters are: k stripes in one direction.
func stripes(x []float64, n, d, k int, angle float64) Labeling {
	l := Labeling{make([]int32, n), k}
	for i := range n {
		along := math.Cos(angle)*x[i*d] + math.Sin(angle)*x[i*d+1]
		l.Labels[i] = int32(min(k-1, max(0, int(math.Floor(along))+k/2)))
	}
	return l
}

// Several labelings at once have the silhouettes that each has alone.
func TestSilhouettesTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, d := rapid.IntRange(80, 300).Draw(t, "n"), rapid.IntRange(2, 6).Draw(t, "d")
		seed := rapid.Uint64().Draw(t, "seed")
		x, _ := gaussians(n, d, 3, seed)
		random := rand.New(rand.NewPCG(seed, 2))
		var labelings []Labeling
		for range rapid.IntRange(1, 5).Draw(t, "labelings") {
			l := stripes(x, n, d, 2+random.IntN(4), 7*random.Float64())
			l.Labels[0], l.Labels[1] = 0, 1
			labelings = append(labelings, l)
		}
		got, err := Silhouettes(t.Context(), x, n, d, labelings, SilhouetteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range labelings {
			if want := plainSilhouette(x, n, d, l.Labels, l.K); math.Abs(got[i].Mean-want) > exactTolerance {
				t.Fatalf("labeling %d of %d: got %v, want %v", i, len(labelings), got[i].Mean, want)
			}
		}
	})
}

// Enough rows for labelings to share distances, and more than the workers' chunks.
func TestManyRowsTogether(t *testing.T) {
	t.Parallel()
	const n, d = 2500, 3
	x, labels := gaussians(n, d, 4, 9)
	labelings := []Labeling{{labels, 4}, stripes(x, n, d, 2, 0.3), stripes(x, n, d, 3, 1), stripes(x, n, d, 5, 2)}
	if groups := together(labelings, allRows(n)); len(groups) > 2 || len(groups[0]) < 2 {
		t.Errorf("%d groups for %d labelings", len(groups), len(labelings))
	}
	for _, maxExact := range []int{n, 1000} {
		first, err := Silhouettes(t.Context(), x, n, d, labelings, SilhouetteOptions{MaxExact: maxExact, Seed: 3, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{2, 16} {
			again, err := Silhouettes(t.Context(), x, n, d, labelings, SilhouetteOptions{MaxExact: maxExact, Seed: 3, Workers: workers})
			if err != nil || !slices.Equal(first, again) {
				t.Errorf("%d workers: %v %v, one: %v", workers, again, err, first)
			}
		}
		for i, l := range labelings {
			exact := silhouette(t, x, n, d, l.Labels, l.K, SilhouetteOptions{MaxExact: n})
			if away := math.Abs(first[i].Mean - exact.Mean); away > exactTolerance+4*first[i].StdError {
				t.Errorf("labeling %d, at most %d rows: %+v, exact %v", i, maxExact, first[i], exact.Mean)
			}
		}
	}
}

func TestCells(t *testing.T) {
	t.Parallel()
	rows := []int32{5, 0, 1, 2, 4, 3}
	c := newCells(len(rows))
	c.divide(Labeling{[]int32{1, 0, 0, 1, 1, 0}, 2}, rows)
	c.divide(Labeling{[]int32{2, 2, 0, 2, 1, 0}, 3}, rows)
	c.number()
	if want := [][]int32{{0, 0}, {0, 2}, {1, 1}, {1, 2}}; !slices.EqualFunc(c.labels, want, slices.Equal[[]int32]) {
		t.Errorf("labels %v", c.labels)
	}
	order, ends := c.sorted(rows)
	if !slices.Equal(order, []int32{5, 2, 1, 4, 0, 3}) || !slices.Equal(ends, []int{2, 3, 4, 6}) {
		t.Errorf("order %v, ends %v", order, ends)
	}
}

// A sample stratified by several labelings has at least two rows of every cluster of each that has them.
func TestSampleOfSeveralLabelings(t *testing.T) {
	t.Parallel()
	const n, m = 4000, 300
	x, _ := gaussians(n, 2, 3, 4)
	rare := Labeling{make([]int32, n), 3}
	rare.Labels[17], rare.Labels[900], rare.Labels[3999], rare.Labels[5] = 1, 1, 1, 2
	labelings := []Labeling{stripes(x, n, 2, 6, 0), rare}
	strata := newCells(n)
	var sizes [][]int
	for _, l := range labelings {
		strata.divide(l, allRows(n))
		s, err := checkLabeled(n, l)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, s)
	}
	strata.number()
	sample := stratifiedSample(strata, labelings, sizes, m, 1)
	if len(sample) < m || len(sample) > m+20 {
		t.Errorf("%d rows", len(sample))
	}
	for l, labeling := range labelings {
		taken := make([]int, labeling.K)
		for _, i := range sample {
			taken[labeling.Labels[i]]++
		}
		for c, size := range sizes[l] {
			if share := float64(size) * m / n; taken[c] < min(size, 2) || math.Abs(float64(taken[c])-share) > 8 {
				t.Errorf("labeling %d: %d of %d rows of cluster %d", l, taken[c], size, c)
			}
		}
	}
}

// BenchmarkSilhouettes measures the silhouettes of nine labelings at once; compare nine times BenchmarkSilhouette.
func BenchmarkSilhouettes(b *testing.B) {
	for _, d := range []int{3, 5} {
		b.Run(fmt.Sprintf("n=10000/d=%d/k=2..10", d), func(b *testing.B) {
			const n = 10_000
			x, _ := gaussians(n, d, 5, 1)
			options, err := Options{KMin: 2, KMax: 10}.withDefaults(n, d, len(x))
			if err != nil {
				b.Fatal(err)
			}
			s := sweep{options: options, x: x, n: n, d: d}
			if err := s.measureAll(b.Context()); err != nil {
				b.Fatal(err)
			}
			var labelings []Labeling
			for _, fit := range s.fits {
				labelings = append(labelings, Labeling{fit.Labels, fit.K})
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Silhouettes(b.Context(), x, n, d, labelings, SilhouetteOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(together(labelings, allRows(n)))), "passes")
		})
	}
}
