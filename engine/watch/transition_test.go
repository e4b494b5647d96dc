package watch

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

// course follows places, one a week from day 7 on, and lists what came of them; unclear ones that ended are left out.
func course(places ...Place) []Transition {
	var list []Transition
	var open *Transition
	for i := 1; i < len(places); i++ {
		ended, begun := Follow(open, Step{Before: places[i-1].Segment, Now: places[i], Date: engine.Date(7 * i), Score: 0.2})
		if ended != nil {
			if ended.State != TransitionUnclear {
				list = append(list, *ended)
			}
			open = nil
		}
		if begun.Open() {
			open = begun
		} else if begun != nil {
			list = append(list, *begun)
		}
	}
	if open != nil {
		list = append(list, *open)
	}
	return list
}

func TestHysteresis(t *testing.T) {
	t.Parallel()
	transition := func(from, to, date, settled, lead int, state TransitionState) Transition {
		return Transition{From: from, To: to, Date: engine.Date(date), Settled: engine.Date(settled), Lead: lead, State: state, Score: 0.2}
	}
	for _, c := range []struct {
		name   string
		places []Place
		want   []Transition
	}{
		{"stays", []Place{{0, 5000}, {0, 100}, {0, 5000}}, nil},
		{"at once", []Place{{0, 5000}, {1, 3000}}, []Transition{transition(0, 1, 7, 7, 3000, TransitionConfirmed)}},
		{"pending", []Place{{0, 5000}, {1, 2999}}, []Transition{transition(0, 1, 7, 0, 2999, TransitionPending)}},
		{"confirmed", []Place{{0, 5000}, {1, 1000}, {1, 10}}, []Transition{transition(0, 1, 7, 14, 1000, TransitionConfirmed)}},
		{"reverted", []Place{{0, 5000}, {1, 1000}, {0, 10}}, []Transition{transition(0, 1, 7, 14, 1000, TransitionReverted)}},
		{"on to a third", []Place{{0, 5000}, {1, 1000}, {2, 1500}, {2, 1500}}, []Transition{
			transition(0, 1, 7, 14, 1000, TransitionReverted), transition(0, 2, 14, 21, 1500, TransitionConfirmed),
		}},
		{"wobbles at the border", []Place{{0, 50}, {1, 999}, {0, 50}, {1, 50}, {0, 1200}}, nil},
		{"slowly over the border", []Place{{0, 50}, {1, 400}, {1, 900}, {1, 1400}, {1, 1900}}, []Transition{transition(0, 1, 21, 28, 1400, TransitionConfirmed)}},
		{"without a place", []Place{{0, 5000}, {1, 1500}, {-1, 0}, {1, 9000}}, []Transition{transition(0, 1, 7, 14, 1500, TransitionReverted)}},
	} {
		if diff := cmp.Diff(c.want, course(c.places...)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestChain holds that confirmed transitions lead from each to the next, and that those that do not count are in none.
func TestChain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		places := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Place {
			return Place{rapid.IntRange(0, 3).Draw(t, "segment"), rapid.IntRange(0, 6000).Draw(t, "lead")}
		}), 2, 30).Draw(t, "places")
		at := places[0].Segment
		for _, tr := range course(places...) {
			if tr.From != at || tr.To == at {
				t.Fatalf("settled in %d, then %+v", at, tr)
			}
			if tr.Lead < clearLead && tr.State != TransitionUnclear || tr.Lead >= surelyLead && tr.State != TransitionConfirmed {
				t.Fatalf("a lead of %d gave %+v", tr.Lead, tr)
			}
			if place := places[int(tr.Date)/7]; place.Segment != tr.To || place.Lead != tr.Lead {
				t.Fatalf("%+v on a date with %+v", tr, place)
			}
			if tr.State == TransitionConfirmed {
				at = tr.To
			}
		}
	})
}

// TestGap lets what was open be settled after a gap in the series, and begins nothing over it.
func TestGap(t *testing.T) {
	t.Parallel()
	pending := &Transition{From: 0, To: 1, Date: 7, Lead: 1500, State: TransitionPending}
	if ended, begun := Follow(pending, Step{Before: -1, Now: Place{1, 10}, Date: 100}); ended == nil || ended.State != TransitionConfirmed || begun != nil {
		t.Errorf("%+v, %+v", ended, begun)
	}
	if ended, begun := Follow(pending, Step{Before: -1, Now: Place{2, 9000}, Date: 100}); ended == nil || ended.State != TransitionReverted || begun != nil {
		t.Errorf("%+v, %+v", ended, begun)
	}
	unclear := &Transition{From: 0, To: 1, Date: 7, Lead: 50, State: TransitionUnclear}
	if ended, begun := Follow(unclear, Step{Before: -1, Now: Place{1, 10}, Date: 100}); ended == nil || ended.State != TransitionUnclear || begun != nil {
		t.Errorf("%+v, %+v", ended, begun)
	}
}
