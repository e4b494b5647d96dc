package explain

import (
	"math"

	"github.com/quimbi/quimbi/engine"
)

// ReachStatus says whether a segment can be reached.
type ReachStatus string

// The statuses.
const (
	ReachDominant ReachStatus = "DOMINANT"      // it is dominant already, with the lead
	ReachFound    ReachStatus = "REACHABLE"     // the moves do it
	ReachNone     ReachStatus = "NOT_REACHABLE" // no change of one or two features within their bounds does
)

// Reach is the smallest change of what a customer decides that makes a segment dominant: a counterfactual (Wachter,
// Mittelstadt, Russell 2018). It describes the model and promises nothing.
type Reach struct {
	Target int // index in AxisModel.Segments
	Status ReachStatus
	Moves  []Move // one or two where Status is REACHABLE
}

// Move is a change of one feature.
type Move struct {
	Feature  int     // index within the axis
	From, To float64 // in the feature's unit
	Stored   float32 // To in the form in which features are stored
}

// MinLead is the lead over every sibling, in units of 1/10000, with which a segment counts as dominant here: 0.05.
const MinLead = 500

// Grids of the searches. A region that is narrower than a step between the 1st and the 99th percentile may be missed.
const (
	lineSteps  = 128
	countSteps = 512 // whole numbers, all of them where there are no more
	rays       = 48
	raySteps   = 40
	bisections = 40
	turns      = 12 // of the search for the best ray between two
)

// Reach finds the smallest change, in sd units, of one feature that makes the target dominant with MinLead on every level of
// its path; where there is none, of two features. A feature moves the way its lever allows, within the 1st and 99th
// percentile of the fitted customers, and only where it is defined. Along a line the first place where the target leads is
// found on a grid and then by bisection, so that slightly less does not do.
func (e *Explainer) Reach(values []float32, target int) (Reach, error) {
	if err := e.checked(target, values); err != nil {
		return Reach{}, err
	}
	s := search{Explainer: e, target: target, base: e.axis.Of(values), purchases: engine.PurchasesOf(values), best: math.Inf(1)}
	if e.scorer.Memberships(s.purchases, s.base) == nil {
		return Reach{}, e.notPlaced()
	}
	r := Reach{Target: target, Status: ReachDominant}
	if s.leads(nil, nil) {
		return r, nil
	}
	levers := s.levers()
	for i := range levers {
		s.alone(&levers[i])
	}
	if s.found == nil {
		for i := range levers {
			for j := range levers[:i] {
				s.together(&levers[j], &levers[i])
			}
		}
	}
	r.Status, r.Moves = ReachNone, s.found
	if s.found != nil {
		r.Status = ReachFound
	}
	return r, nil
}

// Moved gives the customer's features after the moves.
func (e *Explainer) Moved(values []float32, moves []Move) []float32 {
	moved := append([]float32(nil), values...)
	for _, m := range moves {
		moved[e.axis.First+m.Feature] = m.Stored
	}
	return moved
}

// Lead gives by how much a segment leads over its strongest sibling, and each segment above it over its own, whichever is
// less, in units of 1/10000 as a thumbprint is stored; negative where another leads.
func (e *Explainer) Lead(values []float32, segment int) int {
	units := e.scorer.Rounded(engine.PurchasesOf(values), e.axis.Of(values))
	if units == nil {
		return -engine.MembershipUnit
	}
	return leadOf(e.model, segment, units, engine.MembershipUnit)
}

// leadOf is Lead of memberships in all segments of an axis, of which whole stands for 1.
func leadOf[N int | float64](axis *engine.AxisModel, segment int, memberships []N, whole N) N {
	lead := whole
	for at := segment; at >= 0; at = axis.Segments[at].Parent {
		for i := range axis.Segments {
			if i != at && axis.Segments[i].Parent == axis.Segments[at].Parent {
				lead = min(lead, memberships[at]-memberships[i])
			}
		}
	}
	return lead
}

// lever is a feature that the customer can move.
type lever struct {
	*engine.Feature
	index    int     // within the axis
	from     float64 // as stored
	origin   float64 // from, moved into the bounds: what lies outside counts as the bound
	down, up float64 // the bounds, as stored; the origin itself where it cannot move that way
	sd       float64
}

// at gives the feature's value at a number of sd from the origin: its shown and its stored form, each made from the other,
// so that either can be applied.
func (l *lever) at(sds float64) (shown float64, stored float32) {
	shown = l.Shown(max(l.down, min(l.origin+sds*l.sd, l.up)))
	return shown, float32(l.Stored(shown))
}

// reach is the distance to a bound in sd; 0 where there is no way.
func (l *lever) reach(sign float64) float64 {
	if sign > 0 {
		return (l.up - l.origin) / l.sd
	}
	return (l.origin - l.down) / l.sd
}

// search looks for the smallest move.
type search struct {
	*Explainer
	target    int
	base      []float32 // features of the axis
	purchases int

	best  float64 // size of the best move so far, in sd
	found []Move
}

func (s *search) levers() []lever {
	var list []lever
	for _, f := range s.scorer.Used() {
		feature, scale := &s.axis.Features[f], &s.model.Features[f]
		from := float64(s.base[f])
		if feature.Lever == engine.LeverNone || math.IsNaN(from) || !(scale.SD > 0) {
			continue
		}
		l := lever{Feature: feature, index: f, from: from, origin: max(scale.Low, min(from, scale.High)), sd: scale.SD}
		l.down, l.up = l.origin, scale.High
		if feature.Lever == engine.LeverBoth {
			l.down = scale.Low
		}
		if from > scale.High { // what was bought stays bought
			l.up = l.origin
		}
		list = append(list, l)
	}
	return list
}

// leads tells whether the target leads by enough once the levers stand at these numbers of sd.
func (s *search) leads(levers []*lever, sds []float64) bool {
	copy(s.own, s.base)
	for i, l := range levers {
		_, s.own[l.index] = l.at(sds[i])
	}
	purchases := s.Explainer.purchases(s.own, s.purchases)
	// Rounding moves a membership by less than a unit for each leaf below: most are decided without it.
	exact := leadOf(s.model, s.target, s.scorer.Memberships(purchases, s.own), 1)
	if exact*engine.MembershipUnit < float64(MinLead-s.model.Leaves) {
		return false
	}
	return leadOf(s.model, s.target, s.scorer.Rounded(purchases, s.own), engine.MembershipUnit) >= MinLead
}

// keep notes a move that is smaller than the best.
func (s *search) keep(size float64, levers []*lever, sds []float64) {
	if size >= s.best {
		return
	}
	s.best, s.found = size, nil
	for i, l := range levers {
		to, stored := l.at(sds[i])
		from := l.Shown(l.from)
		if l.Count {
			from, to = math.Round(from), math.Round(to)
		}
		s.found = append(s.found, Move{Feature: l.index, From: from, To: to, Stored: stored})
	}
}

var signs = [2]float64{1, -1}

// alone moves one lever.
func (s *search) alone(l *lever) {
	one := []*lever{l}
	for _, sign := range signs {
		if l.Count {
			before := 0.0
			for _, sds := range s.counts(l, sign, countSteps) {
				if s.leads(one, []float64{sds}) {
					sds = s.fewer(l, sign, sds, before)
					s.keep(math.Abs(sds), one, []float64{sds})
					break
				}
				before = sds
			}
			continue
		}
		way := func(t float64) bool { return s.leads(one, []float64{sign * t}) }
		if t, ok := first(min(l.reach(sign), s.best), lineSteps, way); ok {
			s.keep(t, one, []float64{sign * t})
		}
	}
}

// counts gives the whole numbers that a lever can move to, as signed numbers of sd, the nearest first; at most so many, evenly
// spaced.
func (s *search) counts(l *lever, sign float64, most int) []float64 {
	const rounding = 1e-4 // of numbers that are stored as logarithms
	now := math.Round(l.Shown(l.from))
	next, last := max(now+1, math.Ceil(l.Shown(l.origin)-rounding)), math.Floor(l.Shown(l.up)+rounding)
	if sign < 0 {
		next, last = min(now-1, math.Floor(l.Shown(l.origin)+rounding)), math.Ceil(l.Shown(l.down)-rounding)
	}
	n := int(sign*(last-next)) + 1
	var list []float64
	for i := range min(n, most) {
		list = append(list, l.sdsTo(next+sign*math.Floor(float64(i)*float64(n)/float64(min(n, most)))))
	}
	return list
}

// sdsTo gives the signed number of sd from the origin to a shown value.
func (l *lever) sdsTo(shown float64) float64 { return (l.Stored(shown) - l.origin) / l.sd }

// fewer goes back from a count towards the one that was looked at before, as long as the target leads; it matters where counts
// were skipped.
func (s *search) fewer(l *lever, sign, sds, before float64) float64 {
	for {
		less := l.sdsTo(math.Round(l.Shown(l.origin+sds*l.sd)) - sign)
		if sign*less <= sign*before || !s.leads([]*lever{l}, []float64{less}) {
			return sds
		}
		sds = less
	}
}

// first gives the first t in (0, most] where a condition holds that does not hold at 0: on a grid, then by bisection between the
// step and the one before.
func first(most float64, steps int, holds func(t float64) bool) (t float64, ok bool) {
	if !(most > 0) {
		return 0, false
	}
	for i := 1; i <= steps; i++ {
		high := most * float64(i) / float64(steps)
		if !holds(high) {
			continue
		}
		low := most * float64(i-1) / float64(steps)
		for range bisections {
			if middle := low/2 + high/2; holds(middle) {
				high = middle
			} else {
				low = middle
			}
		}
		return high, true
	}
	return 0, false
}

// together moves two levers.
func (s *search) together(a, b *lever) {
	if b.Count {
		a, b = b, a
	}
	if a.Count {
		s.countAnd(a, b)
		return
	}
	both := []*lever{a, b}
	along := func(angle float64) float64 {
		x, y := math.Cos(angle), math.Sin(angle)
		most := min(rayReach(a, x), rayReach(b, y), s.best)
		t, ok := first(most, raySteps, func(t float64) bool { return s.leads(both, []float64{t * x, t * y}) })
		if !ok {
			return math.Inf(1)
		}
		s.keep(t, both, []float64{t * x, t * y})
		return t
	}
	const step = 2 * math.Pi / rays
	bestAngle, shortest := 0.0, math.Inf(1)
	for i := range rays {
		angle := (float64(i) + 0.5) * step // not along an axis: that was a single move
		if t := along(angle); t < shortest {
			bestAngle, shortest = angle, t
		}
	}
	if math.IsInf(shortest, 1) {
		return
	}
	width := step
	for range turns {
		width /= 2
		for _, side := range signs {
			if t := along(bestAngle + side*width); t < shortest {
				bestAngle, shortest = bestAngle+side*width, t
				break
			}
		}
	}
}

// rayReach is how far a ray goes with this part along a lever until the bound.
func rayReach(l *lever, part float64) float64 {
	if math.Abs(part) < 1e-9 {
		return math.Inf(1)
	}
	return l.reach(part) / math.Abs(part)
}

// pairCounts bounds the whole numbers that are tried with a second lever.
const pairCounts = 64

// countAnd moves a count and another lever.
func (s *search) countAnd(count, other *lever) {
	both := []*lever{count, other}
	for _, sign := range signs {
		for _, n := range s.counts(count, sign, pairCounts) {
			if math.Abs(n) >= s.best {
				break
			}
			for _, side := range signs {
				most := min(other.reach(side), math.Sqrt(s.best*s.best-n*n))
				t, ok := first(most, raySteps, func(t float64) bool { return s.leads(both, []float64{n, side * t}) })
				if ok {
					s.keep(math.Hypot(n, t), both, []float64{n, side * t})
				}
			}
		}
	}
}
