package engine

import "time"

// Line is one line of an order as it is stored: the only thing that features are made of.
type Line struct {
	// OrderKey is the shop's order id. Where a source has none, the import makes a key, and Columns lacks ColumnOrderID.
	OrderKey string
	// Number is the line's place in its order, from 1.
	Number int32
	// OrderedAt is when the order was placed.
	OrderedAt time.Time
	// SKU is trimmed and in lower case; empty where the source does not know it.
	SKU string
	// Category is a full path, levels joined with " > "; empty where the source does not know it.
	Category string
	// Quantity is negative for a return.
	Quantity int32
	// NetCents is quantity x unit price - discount, in minor units of the store's currency.
	NetCents int64
	// DiscountCents is the amount off the whole line; gross is NetCents + DiscountCents.
	DiscountCents int64
	// RefundCents is what was refunded on a line of positive quantity, at RefundedAt.
	RefundCents int64
	// RefundedAt is when the refund became known; zero where unknown, and then OrderedAt counts.
	RefundedAt time.Time
	// CancelledAt is when it became known that the order is no purchase after all; zero where it stands. From then on the
	// line is nothing; until then it counted.
	CancelledAt time.Time
}

// GrossCents is quantity x unit price, in minor units.
func (l *Line) GrossCents() int64 { return l.NetCents + l.DiscountCents }

// RefundKnownAt is the instant from which the refund counts.
func (l *Line) RefundKnownAt() time.Time {
	if l.RefundedAt.IsZero() {
		return l.OrderedAt
	}
	return l.RefundedAt
}

// Columns is the set of optional columns that a store's orders fill.
type Columns uint8

// The optional columns.
const (
	ColumnOrderID   Columns = 1 << iota // an order has an id, so several lines can belong to one
	ColumnSKU                           // some line names an article
	ColumnCategory                      // some line names a category
	ColumnDiscount                      // some line states a discount, be it 0
	ColumnReturns                       // the source knows returns or refunds
	ColumnTimeOfDay                     // orders have a time, not only a date
)

// AllColumns are all of them.
const AllColumns = ColumnOrderID | ColumnSKU | ColumnCategory | ColumnDiscount | ColumnReturns | ColumnTimeOfDay

// Has tells whether all columns of want are there.
func (c Columns) Has(want Columns) bool { return c&want == want }

// Customer is a customer of one store with what is known without clustering.
type Customer struct {
	StoreID      int32
	ID           int64
	Key          string // as the shop has it: a number, an e-mail address, a UUID
	FirstOrderAt time.Time
	LastOrderAt  time.Time
	Orders       int   // purchases: days with at least one line of positive quantity
	ValueCents   int64 // of all orders, less discounts and refunds
}

// Store is a shop.
type Store struct {
	ID        int32
	Key       string
	Name      string
	Currency  string // ISO 4217; empty where the orders do not say
	Zone      *time.Location
	KeyZone   *time.Location // the zone that lines without order ids got their keys by; nil: Zone
	Columns   Columns
	Customers int // with those who never bought
	FirstAt   time.Time
	LastAt    time.Time
	CreatedAt time.Time
	// Scheduled is the store's own setting; nil: served as long as it is live.
	Scheduled *bool
	// WeekStart is the first day of a week in cohorts; snapshots keep to Sundays.
	WeekStart time.Weekday
	// PurchaseStatuses are the order states that count as purchases when orders are imported; empty: what the format's shop
	// system counts.
	PurchaseStatuses []string
	// FalseAlarmRate is the share of unchanged customers that each detector of alarms may report in a year.
	FalseAlarmRate float64
	// AlarmsPerWeek is how many customers with alarms are within the budget of a week, the most certain first; nil: all.
	AlarmsPerWeek *int
	// Predicts is what of the settings of predictions is the store's own.
	Predicts PredictionOverrides
}

// Orders that came within this many days of the clock make the clock the store's now.
const nowWithinDays = 7

// A store with an order within this many days is served by the schedule.
const liveWithinDays = 90

// Now is the day that "today" means for the store: the clock's day where orders arrived within the last 7 days, else the
// day after the last order. ok is false where there is no order.
func (s *Store) Now(clock time.Time) (day Date, ok bool) {
	if s.LastAt.IsZero() {
		return 0, false
	}
	horizon := DateOf(s.LastAt, s.Zone) + 1
	today := DateOf(clock, s.Zone)
	if horizon <= today && today-horizon < nowWithinDays {
		return today, true
	}
	return min(horizon, today), true
}

// Instant is the moment that "now" means for the store: the clock where that is the day of Now, else 00:00 of Now. ok is
// false where there is no order.
func (s *Store) Instant(clock time.Time) (at time.Time, ok bool) {
	now, ok := s.Now(clock)
	switch {
	case !ok:
		return time.Time{}, false
	case now == DateOf(clock, s.Zone):
		return clock, true
	default:
		return now.In(s.Zone), true
	}
}

// KnownNow is when that became known which is told by the clock's time without a date: then, or, in a store whose orders
// ended long ago, the last moment before its now.
func (s *Store) KnownNow(clock time.Time) time.Time {
	at, ok := s.Instant(clock)
	if !ok || at.Equal(clock) {
		return clock
	}
	return at.Add(-time.Microsecond)
}

// Live tells whether the schedule serves the store: its own setting, else an order within the last 90 days.
func (s *Store) Live(clock time.Time) bool {
	if s.Scheduled != nil {
		return *s.Scheduled
	}
	return !s.LastAt.IsZero() && clock.Sub(s.LastAt) <= liveWithinDays*24*time.Hour
}
