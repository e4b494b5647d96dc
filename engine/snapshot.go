package engine

import "time"

// MembershipUnit is the number that stands for a membership of 1 in a thumbprint.
const MembershipUnit = 10_000

// Thumbprint is where a customer stands on every axis under one model, in the form in which it is stored.
type Thumbprint struct {
	// Membership holds the memberships in the leaves of all axes, in the model's order, in units of 1/10000, rounded by
	// largest remainders so that every axis sums to 10000 exactly; -1 on an axis without memberships.
	Membership []int16
	// Dominant holds for each of the 14 axes the position in Membership of the largest one, ties to the first; -1 where there is none.
	Dominant []int16
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
	CreatedAt  time.Time
}

// DaysSinceFirst is the number of days since the first purchase.
func (s *Snapshot) DaysSinceFirst() int { return int(s.Date - s.FirstAt) }

// daysPerMonth is the mean length of a month.
const daysPerMonth = 30.44

// TenureMonths is the time since the first purchase in months of 30.44 days.
func (s *Snapshot) TenureMonths() float64 { return float64(s.DaysSinceFirst()) / daysPerMonth }
