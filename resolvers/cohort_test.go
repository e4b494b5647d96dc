package resolvers

import (
	"testing"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
)

// TestCohortQuery holds a heatmap to 120 cohorts: the newest where no range is told, and else none.
func TestCohortQuery(t *testing.T) {
	t.Parallel()
	store := &model.Store{Store: engine.Store{Zone: time.UTC, FirstAt: time.Date(2015, time.March, 4, 5, 6, 7, 0, time.UTC)}}
	now := engine.NewDate(2026, time.March, 31)
	a := heatmapArgs{interval: model.CohortIntervalMonth}
	q, err := cohortQuery(store, a, now)
	if want := time.Date(2016, time.April, 1, 0, 0, 0, 0, time.UTC); err != nil || !q.From.Equal(want) || !q.To.Equal(time.Date(2026, time.April, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("from %s to %s, want from %s: %v", q.From, q.To, want, err)
	}
	from := engine.NewDate(2016, time.March, 1)
	a.cohorts = &model.DateRange{From: &from}
	if _, err := cohortQuery(store, a, now); engine.CodeOf(err) != engine.CodeInvalid {
		t.Errorf("121 cohorts are answered: %v", err)
	}
	from = engine.NewDate(2016, time.April, 30)
	if q, err := cohortQuery(store, a, now); err != nil || !q.From.Equal(from.UTC()) {
		t.Errorf("120 cohorts: from %s: %v", q.From, err)
	}
}

func TestEveryNth(t *testing.T) {
	t.Parallel()
	for rows, want := range map[int]int{0: 1, 100: 1, 101: 2, 200: 2, 201: 3} {
		if got := everyNth(rows, 100); got != want {
			t.Errorf("of %d rows every %d., want %d", rows, got, want)
		}
	}
}
