package postgres

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/linesort"
)

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
			c.add(&linesort.Line{At: at.UnixMicro(), Bought: true})
		}
		if int(c.orders) != len(days) {
			t.Fatalf("%d days of %v, want %d", c.orders, minutes, len(days))
		}
	})
	for _, value := range []int64{8e18, -8e18} {
		c := customerSum{store: &engine.Store{Zone: zone}}
		for range 3 {
			c.add(&linesort.Line{Value: value})
		}
		if want := value / 8 * 9; c.value() != want {
			t.Errorf("the value is %d, want %d", c.value(), want)
		}
		c.add(&linesort.Line{Value: -value})
		c.add(&linesort.Line{Value: -value + 3})
		if c.value() != value+3 {
			t.Errorf("the value is %d, want %d", c.value(), value+3)
		}
	}
}
