package kselect

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/quimbi/quimbi/engine/fcm"
)

// blobs is n rows in two columns, in turn around the given points, with standard deviation 0.3.
func blobs(n int, seed uint64, points ...[2]float64) []float64 {
	random := rand.New(rand.NewPCG(seed, 2))
	x := make([]float64, 0, 2*n)
	for i := range n {
		p := points[i%len(points)]
		x = append(x, p[0]+0.3*random.NormFloat64(), p[1]+0.3*random.NormFloat64())
	}
	return x
}

var square = [][2]float64{{-2, -2}, {-2, 2}, {2, -2}, {2, 2}}

func TestSelectFindsPlantedClusters(t *testing.T) {
	t.Parallel()
	for k := 3; k <= 5; k++ {
		points := append(slices.Clone(square), [2]float64{6, 6})[:k]
		x := blobs(600, 1, points...)
		var measured []int
		s, err := Select(t.Context(), x, 600, 2, Options{Progress: func(k int) { measured = append(measured, k) }})
		if err != nil {
			t.Fatal(err)
		}
		if s.Chosen != k || s.Rule != BestEligible || s.Fit.K != k || s.SweepRows != 600 {
			t.Errorf("%d planted: chose %d by %s", k, s.Chosen, s.Rule)
		}
		if diff := cmp.Diff([]int{2, 3, 4, 5, 6, 7, 8, 9, 10}, measured); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(s.Candidates[k-2], s.Final); diff != "" {
			t.Errorf("without a sample the final figures are the candidate's (-candidate +final):\n%s", diff)
		}
		for _, c := range s.Candidates {
			if !slices.IsSortedFunc(c.Sizes, func(a, b int) int { return b - a }) {
				t.Errorf("k = %d: sizes %v are not largest first", c.K, c.Sizes)
			}
			if c.Score != Score(c.Silhouette, Balance(c.Sizes)) || c.NormalizedScore != Score(c.Silhouette, NormalizedBalance(c.Sizes)) {
				t.Errorf("k = %d: scores do not follow from silhouette and sizes: %+v", c.K, c)
			}
			if outside := c.K < 3 || c.K > 7; outside != slices.Contains(c.Reasons, OutOfRange) || c.Eligible != (len(c.Reasons) == 0) {
				t.Errorf("k = %d: eligible %v, reasons %v", c.K, c.Eligible, c.Reasons)
			}
		}
	}
}

// Everything that is measured of k clusters of iris, worked out independently: fuzzy c-means with numpy 1.24.2, iterated
// from 60 starts until no centre moved by 1e-12, the best kept; silhouettes with scikit-learn 1.2.1; the rest with numpy.
func TestSelectOnIris(t *testing.T) {
	t.Parallel()
	want := []Candidate{
		{K: 2, Silhouette: 0.6810461692117462, Balance: 0.7066666666666667, NormalizedBalance: 0.7066666666666667, XieBeni: 0.05417451029329934, PartitionCoefficient: 0.7844320235368583, Sizes: []int{97, 53}},
		{K: 3, Silhouette: 0.5495175126471619, Balance: 0.8367006838144548, NormalizedBalance: 0.8845299461620748, XieBeni: 0.13690815287271982, PartitionCoefficient: 0.6750962303455159, Sizes: []int{60, 50, 40}},
		{K: 4, Silhouette: 0.49272793512651913, Balance: 0.7494894102925875, NormalizedBalance: 0.8553676435975734, XieBeni: 0.19532410966081767, PartitionCoefficient: 0.60905163766421, Sizes: []int{50, 43, 30, 27}},
		{K: 5, Silhouette: 0.48743567673178023, Balance: 0.5684652711284731, NormalizedBalance: 0.7842326355642366, XieBeni: 0.22768163538589536, PartitionCoefficient: 0.5822021724303531, Sizes: []int{50, 38, 25, 25, 12}},
		{K: 6, Silhouette: 0.3640008730800751, Balance: 0.7051554081667202, NormalizedBalance: 0.8681414899725214, XieBeni: 0.31092265693989785, PartitionCoefficient: 0.5143679790473029, Sizes: []int{37, 27, 27, 24, 23, 12}},
		{K: 7, Silhouette: 0.350525811796043, Balance: 0.7688675223552037, NormalizedBalance: 0.9056405611308349, XieBeni: 0.3740986877667994, PartitionCoefficient: 0.480272272731312, Sizes: []int{27, 26, 23, 23, 21, 19, 11}},
	}
	s, err := Select(t.Context(), irisRows(t), 150, 4, Options{KMax: 7, FCM: fcm.Options{Starts: 40, Tolerance: 1e-10, MaxIterations: 3000}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Chosen != 3 || s.Rule != BestEligible {
		t.Errorf("chose %d by %s", s.Chosen, s.Rule)
	}
	for i := range want {
		w := &want[i]
		w.Score, w.NormalizedScore = 0.4*w.Silhouette+0.6*w.Balance, 0.4*w.Silhouette+0.6*w.NormalizedBalance
	}
	measured := cmpopts.IgnoreFields(Candidate{}, "Iterations", "Converged", "Eligible", "Reasons")
	if diff := cmp.Diff(want, s.Candidates, measured, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("candidates (-independent +ours):\n%s", diff)
	}
}

func TestSelectFixed(t *testing.T) {
	t.Parallel()
	x := blobs(400, 1, square...)
	s, err := Select(t.Context(), x, 400, 2, Options{Fixed: 2, KMin: 3, KMax: 5})
	if err != nil {
		t.Fatal(err)
	}
	if s.Chosen != 2 || s.Rule != Fixed || len(s.Candidates) != 1 || s.Fit.K != 2 {
		t.Errorf("got %d by %s of %d candidates", s.Chosen, s.Rule, len(s.Candidates))
	}
	if diff := cmp.Diff([]Reason{OutOfRange}, s.Candidates[0].Reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestSelectWithFewDistinctRows(t *testing.T) {
	t.Parallel()
	var x []float64
	for i := range 300 {
		x = append(x, float64(i%4), float64(i%4%2)*3)
	}
	s, err := Select(t.Context(), x, 300, 2, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Chosen != 4 && s.Chosen != 3 {
		t.Errorf("chose %d of four distinct rows", s.Chosen)
	}
	for _, c := range s.Candidates {
		if rejected := slices.Contains(c.Reasons, CoincidentCenters); c.K > 4 && !rejected {
			t.Errorf("k = %d of four distinct rows was not rejected: %v", c.K, c.Reasons)
		}
	}
}

func TestSelectWithoutStructure(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 50} {
		s, err := Select(t.Context(), make([]float64, 3*n), n, 3, Options{})
		if !errors.Is(err, ErrNoStructure) {
			t.Fatalf("%d equal rows: got %v", n, err)
		}
		if s.Chosen != 0 || s.Fit != nil || len(s.Candidates) != 9 {
			t.Errorf("%d equal rows: %+v", n, s)
		}
	}
	if _, err := Select(t.Context(), make([]float64, 60), 30, 2, Options{Fixed: 3}); !errors.Is(err, ErrNoStructure) {
		t.Errorf("a fixed k: got %v", err)
	}
}

func TestSelectOnASample(t *testing.T) {
	t.Parallel()
	const n = 51_000
	x := blobs(n, 1, square[:3]...)
	s, err := Select(t.Context(), x, n, 2, Options{
		KMin: 3, KMax: 4, SweepSample: 50_000, FCM: fcm.Options{Starts: 2}, Silhouette: SilhouetteOptions{MaxExact: 1000},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Chosen != 3 || s.SweepRows != 50_000 || len(s.Fit.Labels) != n {
		t.Errorf("chose %d on %d rows, fitted %d", s.Chosen, s.SweepRows, len(s.Fit.Labels))
	}
	if diff := cmp.Diff([]int{17_000, 17_000, 17_000}, s.Final.Sizes); diff != "" {
		t.Errorf("sizes of all rows (-want +got):\n%s", diff)
	}
	if s.Candidates[0].SilhouetteError <= 0 || !s.Final.Eligible {
		t.Errorf("candidate %+v, final %+v", s.Candidates[0], s.Final)
	}
}

func TestSelectIsTheSameForAnyWorkers(t *testing.T) {
	t.Parallel()
	x, _ := gaussians(1500, 3, 4, 5)
	var first *Selection
	for _, workers := range []int{1, 2, 7} {
		s, err := Select(t.Context(), x, 1500, 3, Options{
			KMax: 5, FCM: fcm.Options{Workers: workers}, Silhouette: SilhouetteOptions{Workers: workers},
		})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = s
		}
		if diff := cmp.Diff(first, s); diff != "" {
			t.Errorf("%d workers (-one +these):\n%s", workers, diff)
		}
	}
}

// countdown is a context that is cancelled when it has been looked at so many times; it counts the looks since.
type countdown struct {
	context.Context
	left, late atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) >= 0 {
		return nil
	}
	c.late.Add(1)
	return context.Canceled
}

// Choosing and measuring end at the next look at the context, which comes after every panel of a fit and every two tiles
// of a silhouette, exact or sampled.
func TestSelectIsCancelledAnywhere(t *testing.T) {
	t.Parallel()
	const n, workers = 1200, 2
	x := blobs(n, 3, square...)
	for name, maxExact := range map[string]int{"exact": 0, "sampled": 700} {
		run := func(looks int64) (*countdown, error) {
			ctx := &countdown{Context: t.Context()}
			ctx.left.Store(looks)
			_, err := Select(ctx, x, n, 2, Options{
				KMin: 3, KMax: 4, FCM: fcm.Options{Workers: workers, Starts: 2, SampleSize: 500, MaxIterations: 10},
				Silhouette: SilhouetteOptions{MaxExact: maxExact, Workers: workers},
			})
			return ctx, err
		}
		const plenty = 1 << 40
		whole, err := run(plenty)
		if err != nil {
			t.Fatal(err)
		}
		looks := plenty - whole.left.Load()
		for at := int64(0); at < looks; at += 1 + looks/100 {
			ctx, err := run(at)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: cancelled at look %d of %d: %v", name, at, looks, err)
			}
			if late := ctx.late.Load(); late > 3*workers+6 {
				t.Fatalf("%s: went on for %d looks after it was cancelled at look %d of %d", name, late, at, looks)
			}
		}
	}
}

func TestSelectRejectsOptions(t *testing.T) {
	t.Parallel()
	x := blobs(60, 1, square...)
	for name, o := range map[string]Options{
		"k of 1":                    {KMin: 1},
		"an empty range":            {KMin: 6, KMax: 5},
		"a fixed k of 1":            {Fixed: 1},
		"a small sample":            {SweepSample: 49_999},
		"a small population":        {NumOfShare: 59},
		"centres for a range of k":  {FCM: fcm.Options{Init: x[:6]}},
		"a fuzzifier that is none":  {FCM: fcm.Options{M: 1}},
		"centres of the wrong size": {Fixed: 4, FCM: fcm.Options{Init: x[:6]}},
	} {
		if _, err := Select(t.Context(), x, 60, 2, o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := Select(t.Context(), x, 59, 2, Options{}); err == nil {
		t.Error("a matrix of the wrong size was accepted")
	}
}

// judged is a sweep over made-up measurements, k counted from the first.
func judged(o Options, first int, candidates ...Candidate) *sweep {
	o.KMin, o.KMax = first, first+len(candidates)-1
	if o.NumOfShare == 0 {
		o.NumOfShare = 1000
	}
	s := &sweep{options: o, n: 1000, population: 1000}
	for i, c := range candidates {
		c.K = first + i
		c.Balance, c.NormalizedBalance = Balance(c.Sizes), NormalizedBalance(c.Sizes)
		c.Score, c.NormalizedScore = Score(c.Silhouette, c.Balance), Score(c.Silhouette, c.NormalizedBalance)
		s.candidates = append(s.candidates, c)
		s.fits = append(s.fits, &fcm.Result{K: c.K, Coincident: c.Iterations < 0}) // marked so by the tests below
	}
	s.judge()
	return s
}

func TestEligibility(t *testing.T) {
	t.Parallel()
	s := judged(Options{}, 2,
		Candidate{Silhouette: 0.8, Sizes: []int{500, 500}},
		Candidate{Silhouette: 0.4, Sizes: []int{400, 300, 300}},
		Candidate{Silhouette: 0.39, Sizes: []int{300, 300, 300, 100}},
		Candidate{Silhouette: 0.5, Sizes: []int{400, 300, 300, 0, 0}},
		Candidate{Silhouette: 0.5, Sizes: []int{300, 200, 200, 200, 91, 9}},
		Candidate{Silhouette: 0.95, Sizes: []int{300, 200, 200, 100, 100, 90, 10}, Iterations: -1},
		Candidate{Silhouette: 0.3, Sizes: []int{300, 200, 200, 100, 100, 90, 5, 5}},
	)
	want := [][]Reason{{OutOfRange}, nil, {LowSilhouette}, {EmptySegment}, {SmallSegment}, {CoincidentCenters}, {OutOfRange, SmallSegment, LowSilhouette}}
	for i, c := range s.candidates {
		if diff := cmp.Diff(want[i], c.Reasons); diff != "" {
			t.Errorf("k = %d (-want +got):\n%s", c.K, diff)
		}
	}
	// Half of a silhouette below 0 is above it: the best one itself is not low.
	for i, c := range judged(Options{}, 3,
		Candidate{Silhouette: -0.2, Sizes: []int{400, 300, 300}}, Candidate{Silhouette: -0.3, Sizes: []int{300, 300, 300, 100}},
	).candidates {
		if c.Eligible != (i == 0) {
			t.Errorf("silhouette %v: eligible %v", c.Silhouette, c.Eligible)
		}
	}
	// The floor refers to the population: ten of 1,000 rows are under 1 % of 1,001 customers.
	ten := Candidate{Silhouette: 0.5, Sizes: []int{500, 490, 10}}
	if c := judged(Options{}, 3, ten).candidates[0]; !c.Eligible {
		t.Errorf("ten of 1,000: %v", c.Reasons)
	}
	if c := judged(Options{NumOfShare: 1001}, 3, ten).candidates[0]; c.Eligible {
		t.Error("ten of 1,001 is eligible")
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	even := func(silhouette float64, k int) Candidate {
		c := Candidate{Silhouette: silhouette}
		for range k {
			c.Sizes = append(c.Sizes, 1000/k)
		}
		return c
	}
	uneven := Candidate{Silhouette: 0.5, Sizes: []int{850, 50, 50, 50}}      // sd/mean 1.386: normalised balance 0.20
	lessUneven := Candidate{Silhouette: 0.45, Sizes: []int{760, 80, 80, 80}} // sd/mean 1.178: normalised balance 0.32
	tests := []struct {
		name    string
		options Options
		first   int
		from    []Candidate
		chosen  int
		rule    Rule
	}{
		{"the best eligible, though k = 2 scores more", Options{}, 2, []Candidate{even(0.9, 2), even(0.5, 3), even(0.6, 4)}, 4, BestEligible},
		{"equal scores: the smaller k", Options{}, 3, []Candidate{even(0.5, 4), even(0.5, 4)}, 3, BestEligible},
		{"none eligible: the best score", Options{}, 8, []Candidate{even(0.5, 8), even(0.6, 8), even(0.55, 10)}, 9, BestScore},
		{"the previous within 0.02", Options{Previous: 3}, 3, []Candidate{even(0.46, 4), even(0.5, 4)}, 3, Previous},
		{"the previous beyond 0.02", Options{Previous: 3}, 3, []Candidate{even(0.44, 4), even(0.5, 4)}, 4, BestEligible},
		{"the previous no longer eligible", Options{Previous: 2}, 2, []Candidate{even(0.5, 2), even(0.5, 4)}, 3, BestEligible},
		{"the previous not tried", Options{Previous: 7}, 3, []Candidate{even(0.5, 4)}, 3, BestEligible},
		{"the source's balance is 0 for both", Options{}, 3, []Candidate{lessUneven, uneven}, 4, BestEligible},
		{"the normalised balance is not", Options{Normalized: true}, 3, []Candidate{lessUneven, uneven}, 3, BestEligible},
		{"fixed", Options{Fixed: 9}, 9, []Candidate{even(0.1, 4)}, 9, Fixed},
	}
	for _, test := range tests {
		got := judged(test.options, test.first, test.from...).choose()
		if got.Chosen != test.chosen || got.Rule != test.rule {
			t.Errorf("%s: chose %d by %s, want %d by %s", test.name, got.Chosen, got.Rule, test.chosen, test.rule)
		}
	}
}

// One fit is measured as a candidate among others is, and one cluster has nothing to be compared with.
func TestMeasure(t *testing.T) {
	t.Parallel()
	x := blobs(60, 3, [2]float64{0, 0}, [2]float64{9, 0}, [2]float64{0, 9})
	fitted := 0
	options := Options{Fixed: 3, Around: func(fit func() (*fcm.Result, error)) (*fcm.Result, error) {
		fitted++
		return fit()
	}}
	selection, err := Select(t.Context(), x, len(x)/2, 2, options)
	if err != nil {
		t.Fatal(err)
	}
	if fitted != 1 {
		t.Errorf("one fit is counted as %d", fitted)
	}
	measured, err := Measure(t.Context(), x, len(x)/2, 2, selection.Fit, SilhouetteOptions{})
	if diff := cmp.Diff(selection.Final, measured); diff != "" || err != nil {
		t.Errorf("%v (-selected +measured):\n%s", err, diff)
	}
	one, err := fcm.Fit(t.Context(), x, len(x)/2, 2, 1, fcm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	measured, err = Measure(t.Context(), x, len(x)/2, 2, one, SilhouetteOptions{})
	if err != nil || measured.Silhouette != 0 || measured.XieBeni != 0 || measured.Eligible {
		t.Errorf("one cluster: %+v, %v", measured, err)
	}
}
