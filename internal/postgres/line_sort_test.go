package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

// TestLineSorter holds runs of a few lines, merged, against sorting all at once.
func TestLineSorter(t *testing.T) {
	t.Parallel()
	start := time.Date(1969, time.December, 31, 23, 0, 0, 0, time.UTC)
	line := rapid.Custom(func(t *rapid.T) ImportLine {
		return ImportLine{Customer: rapid.SampledFrom([]string{"a", "b", "ä", "ab", "B", "b\xff", "long enough to be told from others"}).Draw(t, "customer"), Line: engine.Line{
			OrderKey: rapid.StringN(0, 5, 20).Draw(t, "order"), Number: rapid.Int32().Draw(t, "number"),
			OrderedAt: start.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "hour")) * time.Hour),
			Quantity:  rapid.Int32Range(-1, 1).Draw(t, "quantity"), NetCents: rapid.Int64Range(-1<<40, 1<<40).Draw(t, "net"),
		}}
	})
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(line, 0, 40).Draw(t, "lines")
		s := newLineSorter()
		defer s.close()
		s.maxLines, s.maxBytes = rapid.IntRange(1, 20).Draw(t, "lines a run"), rapid.IntRange(50, 2000).Draw(t, "bytes a run")
		for i := range lines {
			if err := s.add(&lines[i]); err != nil {
				t.Fatal(err)
			}
		}
		slices.SortStableFunc(lines, func(x, y ImportLine) int {
			return cmp.Or(cmp.Compare(x.Customer, y.Customer), x.OrderedAt.Compare(y.OrderedAt))
		})
		sorted := s.sorted()
		for range 2 {
			n := 0
			err := sorted(func(l *sortedLine) error {
				want := &lines[n]
				n++
				if l.customer != want.Customer || l.at != want.OrderedAt.UnixMicro() || l.value != want.NetCents || l.bought != (want.Quantity > 0) {
					return fmt.Errorf("line %d is %+v, want %+v", n, l, want)
				}
				if row := appendLine(nil, want); !slices.Equal(row, l.row) {
					return fmt.Errorf("row %d is %q, want %q", n, l.row, row)
				}
				return nil
			})
			if err != nil || n != len(lines) {
				t.Fatalf("%d of %d lines: %v", n, len(lines), err)
			}
		}
		refuse := errors.New("no further")
		if err := sorted(func(*sortedLine) error { return refuse }); len(lines) > 0 && !errors.Is(err, refuse) {
			t.Fatalf("the visitor's fault is %v", err)
		}
	})
}

// TestLineSorterWithoutRoom says what to do where the temporary file cannot be made.
func TestLineSorterWithoutRoom(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	s := newLineSorter()
	defer s.close()
	s.maxLines = 1
	line := &ImportLine{Customer: "a", Line: engine.Line{OrderedAt: time.Now()}}
	if err := s.add(line); err != nil {
		t.Fatal(err)
	}
	if err := s.add(line); engine.CodeOf(err) != engine.CodeUnavailable {
		t.Fatalf("the fault is %v", err)
	}
}

// TestCustomerSum counts days as the calendar on the wall does, on which Goose Bay had 6 November 2010 once more after the
// first minute of the 7th, and holds a sum that no number of 64 bits can.
func TestCustomerSum(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("America/Goose_Bay")
	if err != nil {
		t.Fatal(err)
	}
	midnight := time.Date(2010, time.November, 7, 0, 0, 0, 0, zone)
	rapid.Check(t, func(t *rapid.T) {
		minutes := rapid.SliceOfN(rapid.IntRange(-90, 120), 1, 8).Draw(t, "minutes")
		slices.Sort(minutes)
		c := customerSum{store: &engine.Store{Zone: zone}}
		days := map[engine.Date]bool{}
		for _, m := range minutes {
			at := midnight.Add(time.Duration(m) * time.Minute)
			days[engine.DateOf(at, zone)] = true
			c.add(&sortedLine{at: at.UnixMicro(), bought: true})
		}
		if int(c.orders) != len(days) {
			t.Fatalf("%d days of %v, want %d", c.orders, minutes, len(days))
		}
	})
	for _, value := range []int64{8e18, -8e18} {
		c := customerSum{store: &engine.Store{Zone: zone}}
		for range 3 {
			c.add(&sortedLine{value: value})
		}
		if want := value / 8 * 9; c.value() != want {
			t.Errorf("the value is %d, want %d", c.value(), want)
		}
		c.add(&sortedLine{value: -value})
		c.add(&sortedLine{value: -value + 3})
		if c.value() != value+3 {
			t.Errorf("the value is %d, want %d", c.value(), value+3)
		}
	}
}
