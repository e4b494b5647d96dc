package engine

import (
	"fmt"
	"time"
)

// Date is a calendar day, counted in days from 1970-01-01. It has no zone: In gives the instant at which it begins in one.
type Date int32

// DateLayout is the only form in which dates are read and written.
const DateLayout = "2006-01-02"

const secondsPerDay = 24 * 60 * 60

// DateOf gives the day that t falls on in the zone.
func DateOf(t time.Time, zone *time.Location) Date {
	y, m, d := t.In(zone).Date()
	return NewDate(y, m, d)
}

// NewDate gives the day with these numbers; out-of-range ones carry over, as in time.Date.
func NewDate(year int, month time.Month, day int) Date {
	seconds := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix()
	return Date(seconds / secondsPerDay) // exact: midnight in UTC is a multiple, before 1970 too
}

// ParseDate reads YYYY-MM-DD.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(DateLayout, s)
	if err != nil {
		return 0, Errorf(CodeInvalid, "%q is no date; write it as YYYY-MM-DD, for example 2026-01-31", s)
	}
	return NewDate(t.Date()), nil
}

// In gives the instant at which the day begins in the zone. Where a clock change skips midnight it is the first instant
// of the day.
func (d Date) In(zone *time.Location) time.Time {
	y, m, day := d.utc().Date()
	t := time.Date(y, m, day, 0, 0, 0, 0, zone)
	// time.Date gives an instant of the day before where midnight does not exist.
	for DateOf(t, zone) < d {
		t = t.Add(30 * time.Minute)
	}
	return t
}

// AddMonths moves by whole months; only firsts of a month are moved in this program, so no day overflows.
func (d Date) AddMonths(months int) Date {
	y, m, day := d.utc().Date()
	return NewDate(y, m+time.Month(months), day)
}

// Month gives the first day of the month.
func (d Date) Month() Date {
	y, m, _ := d.utc().Date()
	return NewDate(y, m, 1)
}

// Weekday gives the day of the week.
func (d Date) Weekday() time.Weekday { return d.utc().Weekday() }

// Calendar gives year, month and day.
func (d Date) Calendar() (int, time.Month, int) { return d.utc().Date() }

// String writes YYYY-MM-DD.
func (d Date) String() string { return d.utc().Format(DateLayout) }

// MarshalText writes YYYY-MM-DD, for JSON too.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads YYYY-MM-DD.
func (d *Date) UnmarshalText(text []byte) error {
	parsed, err := ParseDate(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// UTC gives midnight of the day in UTC, the form in which the database takes a date.
func (d Date) UTC() time.Time { return d.utc() }

func (d Date) utc() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// SnapshotType says how often a snapshot is taken, and so how long it is kept. The numbers are those of the database.
type SnapshotType int16

// The types, from the shortest lived to the longest.
const (
	Daily SnapshotType = iota + 1
	Weekly
	Monthly
	Quarterly
	Yearly
)

// SnapshotTypes lists all types in order.
var SnapshotTypes = []SnapshotType{Daily, Weekly, Monthly, Quarterly, Yearly}

var snapshotTypeNames = [...]string{Daily: "daily", Weekly: "weekly", Monthly: "monthly", Quarterly: "quarterly", Yearly: "yearly"}

// ParseSnapshotType reads daily, weekly, monthly, quarterly or yearly.
func ParseSnapshotType(s string) (SnapshotType, error) {
	for _, t := range SnapshotTypes {
		if snapshotTypeNames[t] == s {
			return t, nil
		}
	}
	return 0, Errorf(CodeInvalid, "%q is no type of snapshot; choose daily, weekly, monthly, quarterly or yearly", s)
}

// String gives the name in lower case.
func (t SnapshotType) String() string {
	if t < Daily || t > Yearly {
		return fmt.Sprintf("SnapshotType(%d)", int16(t))
	}
	return snapshotTypeNames[t]
}

// Days is the nominal distance of two snapshots of the type, in days.
func (t SnapshotType) Days() int {
	return [...]int{Daily: 1, Weekly: 7, Monthly: 30, Quarterly: 91, Yearly: 365}[t]
}

// OnOrAfter gives the first of the type's own days that is not before d: any day, Sundays, firsts of a month, of a
// quarter, of a year.
func (t SnapshotType) OnOrAfter(d Date) Date {
	switch t {
	case Weekly:
		return d + Date((7-int(d.Weekday()))%7)
	case Monthly, Quarterly, Yearly:
		step := map[SnapshotType]int{Monthly: 1, Quarterly: 3, Yearly: 12}[t]
		first := d.Month()
		for {
			_, month, _ := first.Calendar()
			if first >= d && (int(month)-1)%step == 0 {
				return first
			}
			first = first.AddMonths(1)
		}
	default:
		return d
	}
}

// Dates lists the type's own days in [from, to).
func (t SnapshotType) Dates(from, to Date) []Date {
	var dates []Date
	for d := t.OnOrAfter(from); d < to; d = t.OnOrAfter(d + 1) {
		dates = append(dates, d)
	}
	return dates
}
