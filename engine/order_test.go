package engine

import (
	"testing"
	"time"
)

func TestStoreNow(t *testing.T) {
	t.Parallel()
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Date(2024, time.March, 20, 15, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		last time.Time
		zone *time.Location
		want string
	}{
		{"an order of today", clock.Add(-time.Hour), time.UTC, "2024-03-20"},
		{"an order of yesterday", clock.AddDate(0, 0, -1), time.UTC, "2024-03-20"},
		{"7 days ago", clock.AddDate(0, 0, -7), time.UTC, "2024-03-20"},
		{"8 days ago: the day after", clock.AddDate(0, 0, -8), time.UTC, "2024-03-13"},
		{"CDNOW", time.Date(1998, time.June, 30, 0, 0, 0, 0, time.UTC), time.UTC, "1998-07-01"},
		{"an order of next year", clock.AddDate(1, 0, 0), time.UTC, "2024-03-20"},
		{"today is tomorrow elsewhere", clock.Add(-time.Hour), auckland, "2024-03-21"},
	} {
		store := Store{Zone: c.zone, LastAt: c.last}
		if day, ok := store.Now(clock); !ok || day.String() != c.want {
			t.Errorf("%s: now is %s, %t, want %s", c.name, day, ok, c.want)
		}
		at, known := clock, clock
		if DateOf(clock, c.zone).String() != c.want {
			day, _ := ParseDate(c.want)
			at = day.In(c.zone)
			known = at.Add(-time.Microsecond)
		}
		if got, ok := store.Instant(clock); !ok || !got.Equal(at) {
			t.Errorf("%s: the instant is %s, %t, want %s", c.name, got, ok, at)
		}
		if got := store.KnownNow(clock); !got.Equal(known) {
			t.Errorf("%s: known at %s, want %s", c.name, got, known)
		}
	}
	empty := Store{Zone: time.UTC}
	if day, ok := empty.Now(clock); ok {
		t.Errorf("a store without orders has its now at %s", day)
	}
	if at, ok := empty.Instant(clock); ok || !empty.KnownNow(clock).Equal(clock) {
		t.Errorf("a store without orders has its now at %s", at)
	}
}

func TestStoreLive(t *testing.T) {
	t.Parallel()
	clock := time.Date(2024, time.March, 20, 15, 0, 0, 0, time.UTC)
	yes, no := true, false
	for _, c := range []struct {
		name  string
		store Store
		want  bool
	}{
		{"no orders", Store{}, false},
		{"90 days", Store{LastAt: clock.AddDate(0, 0, -90)}, true},
		{"91 days", Store{LastAt: clock.AddDate(0, 0, -91)}, false},
		{"dead, but its setting says yes", Store{LastAt: clock.AddDate(-20, 0, 0), Scheduled: &yes}, true},
		{"live, but its setting says no", Store{LastAt: clock, Scheduled: &no}, false},
	} {
		if got := c.store.Live(clock); got != c.want {
			t.Errorf("%s: live %t, want %t", c.name, got, c.want)
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	ordered := time.Date(2024, time.March, 20, 15, 0, 0, 0, time.UTC)
	l := Line{OrderedAt: ordered, NetCents: 800, DiscountCents: 200}
	if l.GrossCents() != 1000 {
		t.Errorf("gross is %d, want 1000", l.GrossCents())
	}
	if got := l.RefundKnownAt(); !got.Equal(ordered) {
		t.Errorf("a refund without a date is known at %s, want %s", got, ordered)
	}
	l.RefundedAt = ordered.AddDate(0, 0, 3)
	if got := l.RefundKnownAt(); !got.Equal(l.RefundedAt) {
		t.Errorf("a refund is known at %s, want %s", got, l.RefundedAt)
	}
	if have := ColumnSKU | ColumnReturns; !have.Has(ColumnSKU) || have.Has(ColumnSKU|ColumnCategory) || !have.Has(0) {
		t.Error("Has tells the wrong columns")
	}
}
