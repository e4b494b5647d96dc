package btyd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// ErrNoneWatched says that every customer is slower than SlowestRate, so there is nobody to set a threshold for.
var ErrNoneWatched = errors.New("no customer orders often enough to be watched; alarms stay off for this store")

// ThresholdOptions say how a threshold is simulated.
type ThresholdOptions struct {
	// Share of unchanged customers who may get an alarm in Weeks weeks.
	Share float64 `json:"share"`
	Weeks int     `json:"weeks"`
	// Customers is the number of simulated customers; the share is met with a standard error of
	// sqrt(share (1-share)/customers).
	Customers int `json:"customers"`
	// Seed makes the simulation repeatable.
	Seed uint64 `json:"seed"`
}

// DefaultThresholdOptions are one false alarm a year for 20 % of the unchanged customers.
func DefaultThresholdOptions() ThresholdOptions {
	return ThresholdOptions{Share: 0.2, Weeks: 52, Customers: 20_000, Seed: 1}
}

// Thresholds returns the detectors with their thresholds set so that the chosen share of unchanged customers gets an
// alarm. Simulated customers take their references evenly from those of real ones, and their true rates from the
// posterior Gamma(r+x, alpha+weeks); so the error of the own rate is part of the simulation. All detectors see the same
// customers. Errors: options out of range, ErrNoneWatched, or the context's.
func Thresholds(
	ctx context.Context, m NBD, references []Reference, detectors []Detector, options ThresholdOptions,
) ([]Detector, error) {
	if err := options.validate(detectors); err != nil {
		return nil, err
	}
	var watched []Reference
	for _, ref := range references {
		if _, ok := m.OwnRate(ref); ok {
			watched = append(watched, ref)
		}
	}
	if len(watched) == 0 {
		return nil, ErrNoneWatched
	}

	highest := make([][]float64, len(detectors)) // value of each detector for each customer
	for i := range highest {
		highest[i] = make([]float64, options.Customers)
	}
	weekly := make([]int, options.Weeks)
	for c := range options.Customers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		source := rand.NewPCG(options.Seed, uint64(c))
		ref := watched[c*len(watched)/options.Customers]
		lambda := distuv.Gamma{Alpha: m.R + float64(ref.X), Beta: m.Alpha + ref.Weeks, Src: source}.Rand()
		week := distuv.Poisson{Lambda: lambda, Src: source}
		for i := range weekly {
			weekly[i] = 0
			if lambda > 0 {
				weekly[i] = int(week.Rand())
			}
		}
		rate, _ := m.OwnRate(ref)
		for i, d := range detectors {
			highest[i][c] = d.highest(weekly, rate)
		}
	}

	set := slices.Clone(detectors)
	for i := range set {
		slices.Sort(highest[i])
		rank := int(math.Ceil((1-options.Share)*float64(options.Customers))) - 1
		set[i].Threshold = highest[i][max(0, rank)]
	}
	return set, nil
}

func (o ThresholdOptions) validate(detectors []Detector) error {
	if !(o.Share > 0 && o.Share < 1) || o.Weeks < 1 || o.Customers < 100 {
		return fmt.Errorf("threshold options %+v are out of range; use a share between 0 and 1, at least 1 week and 100 customers", o)
	}
	for _, d := range detectors {
		if d.Kind != CUSUM && d.Kind != ShiryaevRoberts {
			return fmt.Errorf("detector kind %q is unknown; use %s or %s", d.Kind, CUSUM, ShiryaevRoberts)
		}
		if !(d.Rho > 0 && d.Rho < 1) {
			return fmt.Errorf("rho = %g is no fall of the rate; use a share between 0 and 1", d.Rho)
		}
	}
	return nil
}

// highest is the largest value the detector reaches without being reset.
func (d Detector) highest(weekly []int, rate float64) float64 {
	value, highest := 0.0, 0.0
	for _, purchases := range weekly {
		value, _ = d.Step(value, purchases, rate)
		highest = math.Max(highest, value)
	}
	return highest
}
