package linesort

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

// TestSorter holds runs of a few lines, merged, against sorting all at once.
func TestSorter(t *testing.T) {
	t.Parallel()
	line := rapid.Custom(func(t *rapid.T) Line {
		return Line{
			Key:   rapid.SampledFrom([]string{"a", "b", "ä", "ab", "B", "b\xff", "long enough to be told from others"}).Draw(t, "customer"),
			At:    rapid.Int64Range(-2, 3).Draw(t, "hour") * int64(time.Hour/time.Microsecond),
			Value: rapid.Int64Range(-1<<40, 1<<40).Draw(t, "net"), Bought: rapid.Bool().Draw(t, "bought"),
			Row: rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "row"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(line, 0, 40).Draw(t, "lines")
		s := New()
		defer s.Close()
		s.maxLines, s.maxBytes = rapid.IntRange(1, 20).Draw(t, "lines a run"), rapid.IntRange(50, 2000).Draw(t, "bytes a run")
		for i := range lines {
			if err := s.Add(&lines[i]); err != nil {
				t.Fatal(err)
			}
		}
		slices.SortStableFunc(lines, func(x, y Line) int {
			return cmp.Or(cmp.Compare(x.Key, y.Key), cmp.Compare(x.At, y.At))
		})
		sorted := s.Sorted()
		for range 2 {
			n := 0
			err := sorted(func(l *Line) error {
				want := &lines[n]
				n++
				if l.Key != want.Key || l.At != want.At || l.Value != want.Value || l.Bought != want.Bought || !slices.Equal(l.Row, want.Row) {
					return fmt.Errorf("line %d is %+v, want %+v", n, l, want)
				}
				return nil
			})
			if err != nil || n != len(lines) {
				t.Fatalf("%d of %d lines: %v", n, len(lines), err)
			}
		}
		refuse := errors.New("no further")
		if err := sorted(func(*Line) error { return refuse }); len(lines) > 0 && !errors.Is(err, refuse) {
			t.Fatalf("the visitor's fault is %v", err)
		}
	})
}

// TestSorterWithoutRoom says what to do where the temporary file cannot be made.
func TestSorterWithoutRoom(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	s := New()
	defer s.Close()
	s.maxLines = 1
	line := &Line{Key: "a"}
	if err := s.Add(line); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(line); engine.CodeOf(err) != engine.CodeUnavailable {
		t.Fatalf("the fault is %v", err)
	}
}
