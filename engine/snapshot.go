package engine

import (
	"slices"
	"time"
)

// MembershipUnit is the number that stands for a membership of 1 in a thumbprint.
const MembershipUnit = 10_000

// Thumbprint is where a customer stands on every axis under one model, in the form in which it is stored.
type Thumbprint struct {
	// Membership holds the memberships in the leaves of all axes, in the model's order, in units of 1/10000, rounded by
	// largest remainders so that every axis sums to 10000 exactly; -1 on an axis without memberships.
	Membership []int16
	// Dominant holds for each of the 14 axes the position in Membership of the leaf that the customer belongs to, the end
	// of Model.Path: from the roots on, level by level, the segment with the largest membership, ties to the first. Its
	// own membership need not be the largest, since a root may hold less in each of many leaves. -1 where there is none.
	Dominant []int16
}

// Clone gives a thumbprint with memory of its own.
func (t *Thumbprint) Clone() Thumbprint {
	return Thumbprint{Membership: slices.Clone(t.Membership), Dominant: slices.Clone(t.Dominant)}
}

// Snapshot is a customer's thumbprint on one date. It is written once and never changed.
type Snapshot struct {
	StoreID      int32
	CustomerID   int64
	Type         SnapshotType
	Date         Date
	ModelVersion int
	Thumbprint
	Features   []float32 // all raw features in the registry's order, NaN where undefined; nil where not stored
	Purchases  int
	ValueCents int64
	FirstAt    Date // of the first purchase
	Active     bool // a line or refund fell into the interval since the snapshot before
	ChurnRisk  *float64
	LTVCents   *int64
	Replayed   bool
	Computed   bool // worked out to answer a question about the past, and not stored
	CreatedAt  time.Time
}

// DaysSinceFirst is the number of days since the first purchase.
func (s *Snapshot) DaysSinceFirst() int { return int(s.Date - s.FirstAt) }

// DaysPerMonth is the mean length of a month.
const DaysPerMonth = 30.44

// TenureMonths is the time since the first purchase in months of 30.44 days.
func (s *Snapshot) TenureMonths() float64 { return float64(s.DaysSinceFirst()) / DaysPerMonth }

// DriftEvent is a move on one axis over the threshold, between consecutive snapshots of one type under one model, or from
// the last one to where new orders took the customer since.
type DriftEvent struct {
	ID           int64
	StoreID      int32
	CustomerID   int64
	Axis         int // index in Axes
	Type         SnapshotType
	From, To     Date
	ModelVersion int
	Score        float64 // from the threshold to 1
	FromSegment  int     // dominant before, a root or a leaf as the level of drift says: index in AxisModel.Segments
	ToSegment    int
	// ByOrder is whether a line or a refund fell into the interval; else time alone moved the customer.
	ByOrder        bool
	AxisAnomaly    bool
	OverallAnomaly bool
	Overall        *float64 // the drift over all axes; nil where too few count
	RobustZ        *float64 // robust deviations of Overall from the customer's own; nil where too few are known
	Mean           float64
	Coverage       float64
	LargestAxis    int
	LargestScore   float64
	ModerateAxes   int
	// RiskChange is the risk weight of the segment after less that of the one before; nil before outcomes are known.
	RiskChange *float64
	// Provisional is a move since the last snapshot that orders brought; the next snapshot tells whether it stays.
	Provisional bool
	DetectedAt  time.Time
}

// Days is the length of the interval.
func (e *DriftEvent) Days() int { return int(e.To - e.From) }

// Velocity is the score a day.
func (e *DriftEvent) Velocity() float64 { return e.Score / float64(max(1, e.Days())) }
