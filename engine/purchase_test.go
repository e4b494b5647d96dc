package engine

import (
	"testing"
	"time"
)

func TestUsualGap(t *testing.T) {
	t.Parallel()
	first := NewDate(2026, time.March, 2)
	purchases := []Purchase{{first, 1300}, {first + 3, 0}, {first + 14, 800}}
	if gap, ok := usualGap(purchases); !ok || gap != 7 {
		t.Errorf("the usual gap is %g, want 7", gap)
	}
	if _, ok := usualGap(purchases[:1]); ok {
		t.Error("one purchase has no gap")
	}
}
