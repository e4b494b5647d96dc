package kselect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/quimbi/quimbi/engine/fcm"
)

const (
	// DefaultKMin and DefaultKMax bound the numbers of clusters that are tried.
	DefaultKMin = 2
	DefaultKMax = 10

	// eligibleMin and eligibleMax bound the numbers of clusters that may be chosen while others are eligible: 3 to 7 is
	// what people can tell apart and name.
	eligibleMin = 3
	eligibleMax = 7

	// previousMargin is how far the previous k may lie behind the best score and still be kept: the median lead of the
	// best over the second is 0.018 on real data, so less would make k flip by chance.
	previousMargin = 0.02

	// minSweepSample is the least number of rows on which k may be chosen.
	minSweepSample = 50_000

	// moreStarts times as many starts are added where those of a k that may be chosen end in different optima. On some axes of
	// small real stores a start finds the best of several optima with a chance of a fifth to a third: over 40 seeds ten starts
	// missed it up to four times, and another k was chosen, thirty once.
	moreStarts = 2

	sweepStream = 0x6b5f737765657020
)

// ErrNoStructure is returned where every k was rejected because its centres coincide.
var ErrNoStructure = errors.New("no number of clusters gives distinct centres: the rows have no structure to divide by")

// Reason says why a k could not be chosen.
type Reason string

// The reasons.
const (
	OutOfRange        Reason = "OUT_OF_RANGE"       // k is not from 3 to 7
	EmptySegment      Reason = "EMPTY_SEGMENT"      // a cluster is dominant for no row
	SmallSegment      Reason = "SMALL_SEGMENT"      // a cluster has under 1 % of the rows
	LowSilhouette     Reason = "LOW_SILHOUETTE"     // the silhouette is under half of the best one
	CoincidentCenters Reason = "COINCIDENT_CENTERS" // two centres lie in one place; such a k is never chosen
)

// Rule says how the chosen k was found.
type Rule string

// The rules.
const (
	BestEligible Rule = "BEST_ELIGIBLE" // the best score among the eligible
	BestScore    Rule = "BEST_SCORE"    // none was eligible: the best score of all without coincident centres
	Fixed        Rule = "FIXED"         // the options name it
	Previous     Rule = "PREVIOUS"      // the previous k, still eligible and within 0.02 of the best eligible score
)

// Candidate is what was measured of one k.
type Candidate struct {
	K                    int
	Silhouette           float64 // mean, from -1 to 1, of the dominant clusters
	SilhouetteError      float64 // standard error where it was sampled, else 0
	Balance              float64 // [Balance] of Sizes
	NormalizedBalance    float64 // [NormalizedBalance] of Sizes
	Score                float64 // with Balance
	NormalizedScore      float64 // with NormalizedBalance
	XieBeni              float64 // index of Xie and Beni; less is better; 0 and without meaning where centres coincide and for k = 1
	PartitionCoefficient float64 // of Bezdek, normalised to 0..1
	Sizes                []int   // rows by dominant cluster, largest first; nil where k exceeds the distinct rows
	Iterations           int
	Converged            bool
	Eligible             bool
	Reasons              []Reason // why it is not eligible
}

// Options are the options of [Select]. The zero value tries k = 2..10 on all rows.
type Options struct {
	KMin, KMax  int  // numbers of clusters to try, 2..10 if 0
	Fixed       int  // if not 0, the only k: nothing is chosen
	Previous    int  // if not 0, the k of the model before, kept while it is nearly as good as the best
	Normalized  bool // choose by NormalizedScore
	SweepSample int  // if not 0, choose k on a seeded sample of this many rows (at least 50,000); the fit uses all
	FCM         fcm.Options
	Silhouette  SilhouetteOptions
	Progress    func(k int) // called after each k has been fitted, in ascending order
	Around      Around      // called for every fit, if set: for whoever times them
	NumOfShare  int         // rows of the whole population, which the floor of 1 % refers to; n if 0
}

// Around calls a fit and returns what it gives.
type Around func(fit func() (*fcm.Result, error)) (*fcm.Result, error)

// Selection is the chosen k with its fit, and what was measured of every k.
type Selection struct {
	Chosen     int
	Rule       Rule
	Candidates []Candidate // ascending in K, as measured on SweepRows rows
	SweepRows  int         // n, or the sample on which k was chosen
	Final      Candidate   // the chosen k as measured on all rows; equal to its candidate where there was no sample
	Fit        *fcm.Result // of all rows
}

// Select fits every k of the range, judges it, and returns the choice.
//
// Eligible is a k in 3..7 without an empty cluster, whose silhouette is at least half of the best one's and whose
// smallest cluster has at least 1 % of the population. The best score among the eligible wins, ties going to the smaller k; without
// any eligible k, the best score of all. A k whose centres coincide is out of both. Where nothing is left, the error is
// [ErrNoStructure] and the selection, without a fit, still says what was found.
//
// x is row-major, n x d, and standardised. The result depends on o.FCM.Seed and o.Silhouette.Seed, not on the workers.
func Select(ctx context.Context, x []float64, n, d int, o Options) (*Selection, error) {
	o, err := o.withDefaults(n, d, len(x))
	if err != nil {
		return nil, err
	}
	s := sweep{options: o, x: x, n: n, d: d, population: n}
	if o.SweepSample > 0 && o.SweepSample < n {
		random := rand.New(rand.NewPCG(o.FCM.Seed, sweepStream))
		if s.x, err = fcm.SampleRows(ctx, random, x, n, d, o.SweepSample); err != nil {
			return nil, err
		}
		s.n = o.SweepSample
	}
	if err := s.measureAll(ctx); err != nil {
		return nil, err
	}
	for {
		selection := s.choose()
		if selection.Chosen == 0 {
			return selection, ErrNoStructure
		}
		winner := selection.Chosen - o.KMin
		if s.n == n {
			selection.Final = s.candidates[winner]
			selection.Fit = s.fits[winner]
			return selection, nil
		}
		fit, final, err := s.refit(ctx, x, n, s.fits[winner])
		if err != nil {
			return nil, err
		}
		if fit.Coincident {
			s.candidates[winner].reject(CoincidentCenters)
			continue
		}
		final.Eligible, final.Reasons = s.candidates[winner].Eligible, s.candidates[winner].Reasons
		selection.Final, selection.Fit = final, fit
		return selection, nil
	}
}

// withDefaults fills and checks the options for a matrix of n x d.
func (o Options) withDefaults(n, d, length int) (Options, error) {
	if n < 1 || d < 1 || length/d != n || length%d != 0 {
		return o, fmt.Errorf("the matrix has %d numbers, but %d rows of %d columns were announced", length, n, d)
	}
	if o.KMin == 0 {
		o.KMin = DefaultKMin
	}
	if o.KMax == 0 {
		o.KMax = max(DefaultKMax, o.KMin)
	}
	if o.Fixed != 0 {
		o.KMin, o.KMax = o.Fixed, o.Fixed
	}
	if o.NumOfShare == 0 {
		o.NumOfShare = n
	}
	if o.Around == nil {
		o.Around = func(fit func() (*fcm.Result, error)) (*fcm.Result, error) { return fit() }
	}
	switch {
	case o.KMin < 2:
		return o, fmt.Errorf("the number of clusters must be at least 2, got %d", o.KMin)
	case o.KMax < o.KMin:
		return o, fmt.Errorf("the numbers of clusters to try run from %d to %d: the first must not exceed the last", o.KMin, o.KMax)
	case o.SweepSample != 0 && o.SweepSample < minSweepSample:
		return o, fmt.Errorf("the sample on which k is chosen must have at least %d rows, got %d", minSweepSample, o.SweepSample)
	case o.NumOfShare < n:
		return o, fmt.Errorf("the population of %d is smaller than the %d rows given", o.NumOfShare, n)
	case o.FCM.Init != nil && o.Fixed == 0:
		return o, errors.New("initial centres belong to one number of clusters: fix it")
	}
	return o, nil
}

// sweep is the work on one matrix, all rows or a sample, over all k.
type sweep struct {
	options    Options
	x          []float64
	n, d       int
	population int // rows that the n stand for
	candidates []Candidate
	fits       []*fcm.Result // nil where k exceeds the distinct rows
}

// measureAll fits and measures every k. All fits share one copy of the rows.
func (s *sweep) measureAll(ctx context.Context) error {
	o := s.options
	matrix, err := fcm.NewMatrix(ctx, s.x, s.n, s.d, o.FCM.Workers)
	if err != nil {
		return fmt.Errorf("the rows cannot be clustered: %w", err)
	}
	distinct, err := distinctRows(ctx, s.x, s.n, s.d, o.KMax)
	if err != nil {
		return err
	}
	for k := o.KMin; k <= o.KMax; k++ {
		if k > distinct {
			s.fits = append(s.fits, nil)
			continue
		}
		fit, err := o.Around(func() (*fcm.Result, error) { return matrix.Fit(ctx, k, startsFor(k, o.FCM)) })
		if err != nil {
			return fmt.Errorf("fitting %d clusters: %w", k, err)
		}
		s.fits = append(s.fits, fit)
		if o.Progress != nil {
			o.Progress(k)
		}
	}
	if s.candidates, err = measure(ctx, s.x, s.n, s.d, o.KMin, s.fits, o.Silhouette); err != nil {
		return err
	}
	s.judge()
	return nil
}

// startsFor adds starts for a k that may be chosen.
func startsFor(k int, o fcm.Options) fcm.Options {
	if k >= eligibleMin && k <= eligibleMax {
		if o.Starts == 0 {
			o.Starts = fcm.DefaultStarts
		}
		o.MoreStarts = moreStarts * o.Starts
	}
	return o
}

// Measure judges one fit of x, of k = 1 and more, as if it were the only candidate.
func Measure(ctx context.Context, x []float64, n, d int, fit *fcm.Result, o SilhouetteOptions) (Candidate, error) {
	fits := []*fcm.Result{fit}
	candidates, err := measure(ctx, x, n, d, fit.K, fits, o)
	if err != nil {
		return Candidate{}, err
	}
	s := sweep{options: Options{NumOfShare: n}, n: n, population: n, candidates: candidates, fits: fits}
	s.judge()
	return s.candidates[0], nil
}

// measure computes everything about the fits of kMin, kMin+1, ... but their eligibility. A fit may be nil.
func measure(ctx context.Context, x []float64, n, d, kMin int, fits []*fcm.Result, o SilhouetteOptions) ([]Candidate, error) {
	candidates := make([]Candidate, len(fits))
	var labelings []Labeling
	var labeled []*Candidate
	for i, fit := range fits {
		c := &candidates[i]
		c.K = kMin + i
		if fit == nil {
			continue
		}
		c.PartitionCoefficient, c.Iterations, c.Converged = fit.PartitionCoefficient, fit.Iterations, fit.Converged
		c.Sizes = slices.Clone(fit.Sizes)
		slices.SortFunc(c.Sizes, func(a, b int) int { return b - a })
		if !fit.Coincident && fit.K > 1 {
			c.XieBeni = fit.XieBeni
		}
		if fit.K > 1 && c.Sizes[1] > 0 { // else everything is in one cluster, and the silhouette stays 0
			labelings = append(labelings, Labeling{fit.Labels, fit.K})
			labeled = append(labeled, c)
		}
	}
	silhouettes, err := Silhouettes(ctx, x, n, d, labelings, o)
	if err != nil {
		return nil, fmt.Errorf("measuring how far clusters lie apart: %w", err)
	}
	for i, c := range labeled {
		c.Silhouette, c.SilhouetteError = silhouettes[i].Mean, silhouettes[i].StdError
	}
	for i, fit := range fits {
		if c := &candidates[i]; fit != nil {
			c.Balance, c.NormalizedBalance = Balance(c.Sizes), NormalizedBalance(c.Sizes)
			c.Score = Score(c.Silhouette, c.Balance)
			c.NormalizedScore = Score(c.Silhouette, c.NormalizedBalance)
		}
	}
	return candidates, nil
}

// judge sets the eligibility of every candidate.
func (s *sweep) judge() {
	best := -1.0
	for i, c := range s.candidates {
		if s.distinctCenters(i) {
			best = max(best, c.Silhouette)
		}
	}
	for i := range s.candidates {
		c := &s.candidates[i]
		c.Eligible = true
		if c.K < eligibleMin || c.K > eligibleMax {
			c.reject(OutOfRange)
		}
		if !s.distinctCenters(i) {
			c.reject(CoincidentCenters)
			continue
		}
		smallest := c.Sizes[len(c.Sizes)-1]
		switch {
		case smallest == 0:
			c.reject(EmptySegment)
		case 100*float64(smallest)*float64(s.population) < float64(s.options.NumOfShare)*float64(s.n):
			c.reject(SmallSegment)
		}
		if c.Silhouette < min(best, best/2) { // half of less than 0 would rule out the best one itself
			c.reject(LowSilhouette)
		}
	}
}

func (s *sweep) distinctCenters(i int) bool { return s.fits[i] != nil && !s.fits[i].Coincident }

func (c *Candidate) reject(r Reason) {
	c.Eligible = false
	c.Reasons = append(c.Reasons, r)
}

// choose applies the rules to the candidates; Chosen is 0 where all are rejected.
func (s *sweep) choose() *Selection {
	o := s.options
	selection := &Selection{Candidates: s.candidates, SweepRows: s.n}
	allowed := func(c Candidate) bool { return !slices.Contains(c.Reasons, CoincidentCenters) }
	eligible := func(c Candidate) bool { return c.Eligible }

	best, ok := s.best(eligible)
	switch {
	case o.Fixed != 0:
		selection.Rule = Fixed
		best, ok = s.best(allowed)
	case ok:
		selection.Rule = BestEligible
		previous := slices.IndexFunc(s.candidates, func(c Candidate) bool { return c.K == o.Previous && c.Eligible })
		if previous >= 0 && s.score(previous) >= s.score(best)-previousMargin {
			selection.Rule = Previous
			best = previous
		}
	default:
		selection.Rule = BestScore
		best, ok = s.best(allowed)
	}
	if ok {
		selection.Chosen = s.candidates[best].K
	}
	return selection
}

// best is the candidate with the highest score among those admitted, the smallest k where scores are equal.
func (s *sweep) best(admitted func(Candidate) bool) (int, bool) {
	best := -1
	for i, c := range s.candidates {
		if admitted(c) && (best < 0 || s.score(i) > s.score(best)) {
			best = i
		}
	}
	return best, best >= 0
}

func (s *sweep) score(i int) float64 {
	if s.options.Normalized {
		return s.candidates[i].NormalizedScore
	}
	return s.candidates[i].Score
}

// refit continues a sample's fit on all rows and measures it there.
func (s *sweep) refit(ctx context.Context, x []float64, n int, start *fcm.Result) (*fcm.Result, Candidate, error) {
	o := s.options.FCM
	o.Init = start.Centers
	fit, err := s.options.Around(func() (*fcm.Result, error) { return fcm.Fit(ctx, x, n, s.d, start.K, o) })
	if err != nil {
		return nil, Candidate{}, fmt.Errorf("fitting %d clusters to all rows: %w", start.K, err)
	}
	measured, err := measure(ctx, x, n, s.d, start.K, []*fcm.Result{fit}, s.options.Silhouette)
	if err != nil {
		return nil, Candidate{}, err
	}
	return fit, measured[0], nil
}

// distinctRows counts the different rows of x, at most up to limit.
func distinctRows(ctx context.Context, x []float64, n, d, limit int) (int, error) {
	var seen [][]float64
	for i := 0; i < n && len(seen) < limit; i++ {
		if i%rowsBetweenLooks == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		row := x[i*d : (i+1)*d]
		if !slices.ContainsFunc(seen, func(s []float64) bool { return slices.Equal(s, row) }) {
			seen = append(seen, row)
		}
	}
	return len(seen), nil
}

// rowsBetweenLooks rows are looked at between two looks at whether to go on.
const rowsBetweenLooks = 1 << 14
