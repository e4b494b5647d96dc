package synth

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// habits are what a customer is like beside the archetype.
type habits struct {
	daily float64 // orders, on a day of weight 1
	// regularity is the shape of the gamma distribution of the gaps between orders: 1 is a Poisson process, more is more
	// even. What is used up and bought again comes at gaps of shape 2 and more (Chatfield and Goodhardt, "A consumer
	// purchasing model with Erlang inter-purchase times", Journal of the American Statistical Association 68 (1973) 828-835).
	regularity float64
	rhythm     int
	budget     float64 // of an order, in minor units
	basket     float64 // lines an order
	level      float64 // place among the prices of a department, from 0 to 1
	discounts  float64 // probability of a discount on an order
	refunds    float64 // probability of a refund on a line
	taste      [len(departments)]float64
	tasteSum   float64
}

func (s *shop) habits(a *archetype) habits {
	r := s.random
	h := habits{
		daily:      a.monthly / daysPerMonth * r.gamma(a.spread),
		regularity: 2 + 2*r.Float64()*r.Float64(),
		rhythm:     pickRhythm(r.Float64()),
		budget:     100 * a.budget * r.gamma(16),
		basket:     a.lines * r.gamma(12),
		level:      reflected(0.5 + 0.3*r.NormFloat64()),
		discounts:  among(r.Float64(), 0.55, 0.03, 0.30, 0.25, 0.7),
		refunds:    among(r.Float64(), 0.78, 0.003, 0.17, 0.04, 0.16),
	}
	if a == &enterprise {
		h.rhythm, h.discounts, h.refunds = len(rhythms), 0.9, 0.01 // a trade discount on nearly all
	}
	for d := range h.taste {
		// The square of an exponential number is often small and seldom large: a few departments lead.
		e := r.ExpFloat64()
		h.taste[d] = departments[d].demand * e * e
		h.tasteSum += h.taste[d]
	}
	return h
}

// among gives first with probability p, second with probability q and else third.
func among(u, p, first, q, second, third float64) float64 {
	switch {
	case u < p:
		return first
	case u < p+q:
		return second
	default:
		return third
	}
}

// customer makes up the one at place i.
func (s *shop) customer(i int, a *archetype) Customer {
	c := Customer{Key: "C" + strconv.Itoa(1_000_000+i), Archetype: a.name}
	h := s.habits(a)
	joined := s.joined(a)
	c.Change = s.change(a, joined)
	s.order(a, &h, joined, c.Change)
	s.owned = s.owned[:0]
	c.Lines = make([]engine.Line, 0, int(1.15*h.basket*float64(len(s.moments)))+1)
	for n, second := range s.moments {
		s.number = strconv.AppendInt(append(s.number[:0], 'Q'), int64(1_000_000+i), 10)
		s.number = strconv.AppendInt(append(s.number, '-'), int64(n+1), 10)
		c.Lines = s.basket(c.Lines, a, &h, string(s.number), time.Unix(second, 0).UTC())
	}
	return c
}

// Of the lasting customers so many were there before the history began; the others join during it, some just now.
const foundingShare = 0.85

// joined is the day of the first order, or one before the history where that is unknown.
func (s *shop) joined(a *archetype) engine.Date {
	founding := s.random.Float64() < foundingShare
	day := s.begin + engine.Date(s.random.IntN(int(s.end-s.begin)+1))
	if a == &enterprise || founding && a.monthly > 0 {
		return s.begin - 1
	}
	return day
}

// Of the lasting customers so many change; a change comes when there is something to change, and early enough to be seen.
const (
	churnShare    = 0.10
	slowdownShare = 0.05
	upgradeShare  = 0.04
	settledDays   = 120
	visibleDays   = 28
)

func (s *shop) change(a *archetype, joined engine.Date) *Change {
	u, when := s.random.Float64(), s.random.Float64()
	first, last := joined+settledDays, s.end-visibleDays
	if a.monthly == 0 || first > last {
		return nil
	}
	c := &Change{Date: first + engine.Date(when*float64(last-first+1))}
	switch {
	case a == &enterprise:
		return nil // a handful that has to be there
	case u < churnShare:
		c.Kind = Churn
	case u < churnShare+slowdownShare:
		c.Kind = Slowdown
	case u < churnShare+slowdownShare+upgradeShare:
		c.Kind = Upgrade
	default:
		return nil
	}
	return c
}

// order sets the moments of all orders, in the order of time. Gaps are gamma distributed in a time that runs with the
// customer's rate and with how busy the days are.
func (s *shop) order(a *archetype, h *habits, joined engine.Date, change *Change) {
	r, rhythm, weight := s.random, rhythmAt(h.rhythm), s.days.weight[h.rhythm]
	s.moments = s.moments[:0]
	left := r.gamma(h.regularity)
	if joined >= s.begin {
		s.moments = append(s.moments, rhythm.moment(joined, r))
	} else {
		left *= r.Float64() // the history begins somewhere within a gap
	}
	if a.monthly > 0 {
		rate := h.daily
		for day := max(joined+1, s.begin); day <= s.end; day++ {
			if change != nil && day == change.Date {
				rate *= change.factor()
			}
			for left -= rate * weight[day-s.begin]; left <= 0; left += r.gamma(h.regularity) {
				s.moments = append(s.moments, rhythm.moment(day, r))
			}
		}
	}
	if len(s.moments) == 0 { // whom the shop never saw is no customer of it; this is before any change
		s.moments = append(s.moments, rhythm.moment(s.begin+engine.Date(r.IntN(settledDays-1))%(s.end-s.begin+1), r))
	}
	slices.Sort(s.moments)
}

// owned is an article that the customer has bought, with its department.
type owned struct {
	dept int
	*article
}

// ownedLimit bounds the articles that a customer comes back to; further ones replace the oldest.
const ownedLimit = 60

// basket adds the lines of one order: what is left of the money is spread over the lines that are still wanted, by the
// number of units, and the order ends early where it is used up.
func (s *shop) basket(lines []engine.Line, a *archetype, h *habits, key string, at time.Time) []engine.Line {
	r := s.random
	percent := s.discount(a, h, at)
	wanted, left := r.count(h.basket), h.budget*r.gamma(10)
	for n := 0; n < wanted && (n == 0 || left > 0); n++ {
		money := left / float64(wanted-n)
		bought := s.choose(a, h, money)
		units := int(math.Round(money / float64(bought.cents)))
		quantity := min(max(1, units), departments[bought.dept].units*a.bulk)
		gross := int64(quantity) * bought.cents
		left -= float64(gross)
		discount := (gross*percent + 50) / 100
		line := engine.Line{
			OrderKey: key, Number: int32(n + 1), OrderedAt: at, SKU: bought.sku, Category: departments[bought.dept].path,
			Quantity: int32(quantity), NetCents: gross - discount, DiscountCents: discount,
		}
		if r.Float64() < h.refunds {
			s.refund(&line)
		}
		lines = append(lines, line)
	}
	return lines
}

// Something that costs more than so many times the money for it is put back, and the customer looks again a few times.
const (
	tooDear = 1.5
	looks   = 4
)

// choose takes an article: one bought before, or one of a department that the customer likes.
func (s *shop) choose(a *archetype, h *habits, money float64) owned {
	r := s.random
	if len(s.owned) > 0 && r.Float64() < a.repeat {
		return s.owned[r.IntN(len(s.owned))]
	}
	var o owned
	for range looks {
		dept := h.department(r.Float64())
		if o = (owned{dept, s.stock.pick(dept, h.level, r)}); float64(o.cents) <= tooDear*money {
			break
		}
	}
	if len(s.owned) == ownedLimit {
		s.owned = append(s.owned[:0], s.owned[1:]...)
	}
	s.owned = append(s.owned, o)
	return o
}

// department turns a uniform number from [0, 1) into a department, by taste.
func (h *habits) department(u float64) int {
	u *= h.tasteSum
	for dept := range len(h.taste) - 1 {
		if u -= h.taste[dept]; u < 0 {
			return dept
		}
	}
	return len(h.taste) - 1
}

// discount is what the whole order has off, in percent.
func (s *shop) discount(a *archetype, h *habits, at time.Time) int64 {
	chance := h.discounts
	if s.days.sale[engine.DateOf(at, time.UTC)-s.begin] {
		chance += 0.4
	}
	switch u := s.random.Float64(); {
	case u >= chance:
		return 0
	case a == &enterprise:
		return 15
	default:
		return [...]int64{10, 10, 15, 20, 25}[s.random.IntN(5)]
	}
}

// partialShare of the refunds pay back only some of the price.
const partialShare = 0.35

// refund pays a line back some days later; what would come after the last day is not known yet.
func (s *shop) refund(l *engine.Line) {
	r := s.random
	at := l.OrderedAt.Add(time.Duration((2 + 8*r.gamma(2)) * 24 * float64(time.Hour))).Truncate(time.Second)
	part := 1.0
	if r.Float64() < partialShare {
		part = 0.15 + 0.7*r.Float64()
	}
	cents := int64(math.Round(part * float64(l.NetCents)))
	if at.Before((s.end + 1).UTC()) {
		l.RefundCents, l.RefundedAt = cents, at
	}
}
