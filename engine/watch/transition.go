package watch

import "github.com/quimbi/quimbi/engine"

// TransitionState says whether a change of the dominant segment held.
type TransitionState string

// The states.
const (
	// TransitionUnclear is a change that does not count yet, since the new segment hardly leads: it is only remembered.
	TransitionUnclear   TransitionState = "UNCLEAR"
	TransitionPending   TransitionState = "PENDING"   // clear enough to count; the next snapshot tells
	TransitionConfirmed TransitionState = "CONFIRMED" // held at the next snapshot, or clear beyond doubt at once
	TransitionReverted  TransitionState = "REVERTED"  // taken back by the next snapshot
)

// The leads, in units of 1/10000, from which a new segment counts, and from which it counts at once.
const (
	clearLead  = engine.MembershipUnit / 10
	surelyLead = 3 * engine.MembershipUnit / 10
)

// Place is where a customer stands on an axis: the segment with the largest membership (the first of equal ones) as an index in
// AxisModel.Segments, -1 without memberships, and its lead over the next one in units of 1/10000.
type Place struct{ Segment, Lead int }

// PlaceOf reads a thumbprint on a cut of an axis's tree.
func PlaceOf(m *engine.Model, level engine.Level, axis int, t engine.Thumbprint) Place {
	u := m.MembershipsAt(level, axis, t, nil)
	best, first, second := -1, 0, 0
	for j, v := range u {
		switch {
		case best < 0 || v > first:
			best, first, second = j, v, first
		case v > second:
			second = v
		}
	}
	return Place{m.Axes[axis].SegmentAt(level, best), first - second}
}

// Transition is a change of the dominant segment, from the one that the customer was settled in.
type Transition struct {
	From, To int         // indices in AxisModel.Segments
	Date     engine.Date // of the first snapshot with the new segment clear enough
	State    TransitionState
	Settled  engine.Date // when the state became final, or an unclear one ended; 0 before
	Lead     int         // of the new segment on Date, in units of 1/10000
	Score    float64     // drift on the axis from the snapshot before
	ByOrder  bool        // a line or refund fell into that interval
}

// Open tells whether a later snapshot has a say.
func (t *Transition) Open() bool {
	return t != nil && t.Settled == 0
}

// Step is what one more snapshot says of an axis.
type Step struct {
	Before  int // dominant segment at the snapshot before, of the same model; -1 where there is none, or a gap
	Now     Place
	Date    engine.Date
	Score   float64
	ByOrder bool
}

// Follow takes in one more snapshot (hysteresis: a segment has to lead by 0.1 to count, and to hold at the next snapshot unless it
// leads by 0.3). open is the transition that is not settled yet, nil without one. It gives open as it ended, nil while it stays; and
// what begins, nil without. An unclear one that ends was nothing.
func Follow(open *Transition, s Step) (ended, begun *Transition) {
	settledIn := s.Before
	if open.Open() {
		if s.Before >= 0 {
			settledIn = open.From
		}
		end := *open
		end.Settled = s.Date
		switch {
		case open.State == TransitionPending && s.Now.Segment == open.To:
			end.State = TransitionConfirmed
			return &end, nil
		case open.State == TransitionPending:
			end.State = TransitionReverted
		case s.Now.Segment == open.To && s.Now.Lead < clearLead && s.Before >= 0:
			return nil, nil // still unclear
		}
		ended = &end
	}
	if settledIn < 0 || s.Now.Segment < 0 || s.Now.Segment == settledIn {
		return ended, nil
	}
	begun = &Transition{From: settledIn, To: s.Now.Segment, Date: s.Date, Lead: s.Now.Lead, Score: s.Score, ByOrder: s.ByOrder}
	switch {
	case s.Now.Lead >= surelyLead:
		begun.State, begun.Settled = TransitionConfirmed, s.Date
	case s.Now.Lead >= clearLead:
		begun.State = TransitionPending
	default:
		begun.State = TransitionUnclear
	}
	return ended, begun
}
