package engine

import (
	"errors"
	"fmt"
	"math"
)

// Severity is the class of a drift score.
type Severity string

// The classes: STABLE [0, 0.1), MINOR [0.1, 0.3), MODERATE [0.3, 0.5), SIGNIFICANT [0.5, 0.7), MAJOR [0.7, 1].
const (
	SeverityStable      Severity = "STABLE"
	SeverityMinor       Severity = "MINOR"
	SeverityModerate    Severity = "MODERATE"
	SeveritySignificant Severity = "SIGNIFICANT"
	SeverityMajor       Severity = "MAJOR"
)

// Severities lists the classes from the least to the greatest.
var Severities = []Severity{SeverityStable, SeverityMinor, SeverityModerate, SeveritySignificant, SeverityMajor}

// moderateDrift is where MODERATE begins.
const moderateDrift = 0.3

// SeverityOf gives the class of an unrounded score; a bound belongs to the class above it.
func SeverityOf(score float64) Severity {
	switch {
	case score < 0.1:
		return SeverityStable
	case score < moderateDrift:
		return SeverityMinor
	case score < 0.5:
		return SeverityModerate
	case score < 0.7:
		return SeveritySignificant
	default:
		return SeverityMajor
	}
}

// Level says which cut of an axis's tree memberships are given for; on each they sum to 1.
type Level string

// The cuts.
const (
	LevelRoots  Level = "ROOTS"
	LevelLeaves Level = "LEAVES"
)

// membershipTolerance is how far a vector of memberships may be from summing to 1.
const membershipTolerance = 1e-9

// errPartial rejects vectors of memberships that leave segments out.
var errPartial = errors.New("drift needs the memberships in all segments of an axis on both sides, each side summing to 1")

// AxisDistance is the drift between two vectors of memberships in the same segments of one axis,
//
//	d(a, b) = ||a - b|| / sqrt(2),
//
// a metric with values in [0, 1], 1 only between two different pure segments. Vectors of different length, or that do
// not sum to 1, are an error: memberships that are missing cannot be taken for 0.
func AxisDistance(a, b []float64) (float64, error) {
	if len(a) != len(b) || len(a) == 0 {
		return 0, fmt.Errorf("%w: got %d and %d memberships", errPartial, len(a), len(b))
	}
	for _, side := range [2][]float64{a, b} {
		sum := 0.0
		for _, u := range side {
			if !(u >= 0) {
				return 0, fmt.Errorf("%w: a membership is %v", errPartial, u)
			}
			sum += u
		}
		if math.Abs(sum-1) > membershipTolerance {
			return 0, fmt.Errorf("%w: the sum is %v", errPartial, sum)
		}
	}
	squares := 0.0
	for j := range a {
		e := a[j] - b[j]
		squares += e * e
	}
	return min(1, math.Sqrt(squares/2)), nil
}

// unitDistance is AxisDistance of memberships in units of 1/10000; the sum of squares is exact.
func unitDistance(a, b []int) float64 {
	squares := 0
	for j := range a {
		e := a[j] - b[j]
		squares += e * e
	}
	return math.Sqrt(float64(squares)/2) / MembershipUnit
}

// AxisDrift is how far a customer moved on one axis. Unless Status is ON only Axis, Status and Reason are set.
type AxisDrift struct {
	Axis     int
	Status   AxisStatus
	Reason   AxisReason
	Score    float64 // 0 to 1
	Severity Severity
	// From and To are the dominant segments of the two sides on the cut that was compared, as indices in
	// AxisModel.Segments; -1 where there is none.
	From, To       int
	SegmentChanged bool
}

// Drift is how far a customer moved between two thumbprints of one model.
type Drift struct {
	Axes [AxisCount]AxisDrift
	// Overall is the root mean square of the axes' scores, a metric in [0, 1]; nil where Coverage is under one half.
	Overall *float64
	Mean    float64 // of the axes' scores; 0 where none counts
	// Coverage is the share of the model's axes that have memberships on both sides.
	Coverage float64
	// Largest is the axis that moved most, the first of equal ones; -1 where none counts.
	Largest      int
	LargestScore float64
	ModerateAxes int // with a score of MODERATE or above
}

// minCoverage is the share of axes under which an overall drift says too little.
const minCoverage = 0.5

// Drift compares two thumbprints of this model on the roots of its axes, from the memberships as they are stored, so
// that what is written and what is read later agree.
func (m *Model) Drift(from, to Thumbprint) Drift { return m.DriftAt(LevelRoots, from, to) }

// DriftAt is Drift on a cut of the trees that the caller chooses.
func (m *Model) DriftAt(level Level, from, to Thumbprint) Drift {
	var a, b []int
	return m.DriftOf(level, func(axis int) (before, after []int) {
		a, b = m.MembershipsAt(level, axis, from, a), m.MembershipsAt(level, axis, to, b)
		return a, b
	})
}

// DriftOf compares memberships on a cut of the trees, in units of 1/10000, that sides gives for each axis that is on; nothing on a
// side without.
func (m *Model) DriftOf(level Level, sides func(axis int) (before, after []int)) Drift {
	d := Drift{Largest: -1}
	var on, counted int
	var sum, squares float64
	for i := range m.Axes {
		axis := &m.Axes[i]
		r := &d.Axes[i]
		*r = AxisDrift{Axis: i, Status: axis.Status, Reason: axis.Reason, From: -1, To: -1}
		if axis.Status != AxisOn {
			continue
		}
		on++
		a, b := sides(i)
		if len(a) == 0 || len(b) == 0 {
			_, r.Reason = Axes[i].Eligible(0)
			r.Status = AxisNotEligible
			continue
		}
		counted++
		r.Score = unitDistance(a, b)
		r.Severity = SeverityOf(r.Score)
		r.From, r.To = axis.SegmentAt(level, dominant(a)), axis.SegmentAt(level, dominant(b))
		r.SegmentChanged = r.From != r.To
		sum += r.Score
		squares += r.Score * r.Score
		if d.Largest < 0 || r.Score > d.LargestScore {
			d.Largest, d.LargestScore = i, r.Score
		}
		if r.Score >= moderateDrift {
			d.ModerateAxes++
		}
	}
	if counted == 0 {
		return d
	}
	d.Mean = sum / float64(counted)
	d.Coverage = float64(counted) / float64(on)
	if d.Coverage >= minCoverage {
		overall := min(1, math.Sqrt(squares/float64(counted)))
		d.Overall = &overall
	}
	return d
}

// dominant is the place of the largest membership, the first of equal ones; -1 without any.
func dominant(u []int) int {
	best := -1
	for j, v := range u {
		if best < 0 || v > u[best] {
			best = j
		}
	}
	return best
}

// RootMemberships appends to dst[:0] the memberships in the axis's roots, in units of 1/10000 and in the order of the
// roots; nothing where the thumbprint has none.
func (m *Model) RootMemberships(axis int, t Thumbprint, dst []int) []int {
	return m.MembershipsAt(LevelRoots, axis, t, dst)
}

// LeafMemberships is RootMemberships for the leaves.
func (m *Model) LeafMemberships(axis int, t Thumbprint, dst []int) []int {
	return m.MembershipsAt(LevelLeaves, axis, t, dst)
}

// MembershipsAt is RootMemberships on a cut of the trees that the caller chooses.
func (m *Model) MembershipsAt(level Level, axis int, t Thumbprint, dst []int) []int {
	dst = dst[:0]
	a := &m.Axes[axis]
	leaves := a.leavesOf(t)
	if leaves == nil {
		return dst
	}
	if level == LevelLeaves {
		for _, u := range leaves {
			dst = append(dst, int(u))
		}
		return dst
	}
	for i := range a.Segments {
		s := &a.Segments[i]
		if s.Parent < 0 {
			dst = append(dst, 0)
		}
		if s.Leaf >= 0 {
			dst[len(dst)-1] += int(leaves[s.Leaf])
		}
	}
	return dst
}
