package engine

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDateOf(t *testing.T) {
	t.Parallel()
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   time.Time
		zone *time.Location
		want string
	}{
		{time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.UTC, "1970-01-01"},
		{time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.UTC, "1969-12-31"},
		{time.Date(2024, 3, 1, 4, 59, 0, 0, time.UTC), newYork, "2024-02-29"},
		{time.Date(2024, 3, 1, 5, 0, 0, 0, time.UTC), newYork, "2024-03-01"},
		{time.Date(2024, 7, 1, 4, 0, 0, 0, time.UTC), newYork, "2024-07-01"}, // summer time
	} {
		if got := DateOf(c.at, c.zone).String(); got != c.want {
			t.Errorf("%s in %s is %s, want %s", c.at, c.zone, got, c.want)
		}
	}
}

// TestDateBegins holds In against DateOf: the day's first instant is of the day, the one before is not, also where clocks
// are set forward at midnight (Santiago).
func TestDateBegins(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := drawZone(t)
		d := Date(rapid.Int32Range(0, 25_000).Draw(t, "date"))
		begin := d.In(zone)
		if got := DateOf(begin, zone); got != d {
			t.Errorf("%s begins at %s, which is %s", d, begin, got)
		}
		if got := DateOf(begin.Add(-time.Second), zone); got != d-1 {
			t.Errorf("a second before %s is %s", begin, got)
		}
	})
	santiago, err := time.LoadLocation("America/Santiago")
	if err != nil {
		t.Fatal(err)
	}
	if got := NewDate(2023, time.September, 3).In(santiago); got.Hour() != 1 || got.Day() != 3 {
		t.Errorf("the day without a midnight begins at %s, want 01:00", got)
	}
}

func TestDateText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := Date(rapid.Int32Range(-700_000, 2_900_000).Draw(t, "date")) // years 53 to 9909
		back, err := ParseDate(d.String())
		if err != nil || back != d {
			t.Errorf("%s read back is %s, %v", d, back, err)
		}
		text, err := json.Marshal(map[Date]Date{d: d + 1})
		if err != nil {
			t.Fatal(err)
		}
		var read map[Date]Date
		if err := json.Unmarshal(text, &read); err != nil || read[d] != d+1 {
			t.Errorf("%s read back is %v, %v", text, read, err)
		}
		if NewDate(d.Calendar()) != d || d.UTC().Weekday() != d.Weekday() {
			t.Errorf("%s is made of other parts", d)
		}
	})
	for _, s := range []string{"", "2024-02-30", "2024-2-3", "20240203", "2024-02-03T00:00:00Z", "03.02.2024"} {
		if _, err := ParseDate(s); CodeOf(err) != CodeInvalid {
			t.Errorf("%q: error %v, want one of code %s", s, err, CodeInvalid)
		}
	}
}

func TestMonths(t *testing.T) {
	t.Parallel()
	d := NewDate(2023, time.December, 31)
	if got := d.Month().String(); got != "2023-12-01" {
		t.Errorf("month of %s is %s", d, got)
	}
	if got := d.Month().AddMonths(3).String(); got != "2024-03-01" {
		t.Errorf("three months on is %s", got)
	}
	if got := d.Month().AddMonths(-12).String(); got != "2022-12-01" {
		t.Errorf("a year back is %s", got)
	}
}

func TestSnapshotDates(t *testing.T) {
	t.Parallel()
	from, to := NewDate(2023, time.December, 31), NewDate(2025, time.January, 1)
	for kind, want := range map[SnapshotType][]string{
		Monthly:   {"2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01", "2024-06-01", "2024-07-01", "2024-08-01", "2024-09-01", "2024-10-01", "2024-11-01", "2024-12-01"},
		Quarterly: {"2024-01-01", "2024-04-01", "2024-07-01", "2024-10-01"},
		Yearly:    {"2024-01-01"},
	} {
		var got []string
		for _, d := range kind.Dates(from, to) {
			got = append(got, d.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
	weekly := Weekly.Dates(from, to)
	if len(weekly) != 53 || weekly[0] != from || slices.ContainsFunc(weekly, func(d Date) bool { return d.Weekday() != time.Sunday }) {
		t.Errorf("weekly: %v", weekly)
	}
	if daily := Daily.Dates(from, to); len(daily) != 367 {
		t.Errorf("%d days, want 367", len(daily))
	}
	if none := Weekly.Dates(to, from); len(none) != 0 {
		t.Errorf("a range that ends before it begins has %v", none)
	}
}

func TestSnapshotTypes(t *testing.T) {
	t.Parallel()
	for _, kind := range SnapshotTypes {
		if got, err := ParseSnapshotType(kind.String()); err != nil || got != kind {
			t.Errorf("%s read back is %s, %v", kind, got, err)
		}
		if kind > Daily && kind.Days() <= (kind-1).Days() {
			t.Errorf("%s is not longer than %s", kind, kind-1)
		}
	}
	if _, err := ParseSnapshotType("hourly"); CodeOf(err) != CodeInvalid {
		t.Errorf("hourly: error %v, want one of code %s", err, CodeInvalid)
	}
	if got := SnapshotType(9).String(); got != "SnapshotType(9)" {
		t.Errorf("type 9 is called %q", got)
	}
}

var testZones = []string{"UTC", "America/New_York", "Europe/London", "Pacific/Auckland", "Asia/Kolkata", "America/Santiago"}

// drawZone draws a zone, most of them with clock changes.
func drawZone(t *rapid.T) *time.Location {
	zone, err := time.LoadLocation(rapid.SampledFrom(testZones).Draw(t, "zone"))
	if err != nil {
		t.Fatalf("zone: %v", err)
	}
	return zone
}
