// Package synth makes up a believable quilting shop: customers of known archetypes who buy fabric, thread and tools over
// some years, return a few things, and some of whom leave, slow down or buy more from a planned day on. The planted truth
// is for tests, the demonstration and simulations; nothing of it is in the order lines.
//
// The same options give the same shop. Every customer has a random generator of its own, made of the seed and the
// customer's place, so a shop of more customers begins with all customers of a smaller one.
package synth

import (
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/quimbi/quimbi/engine"
)

const (
	defaultCustomers = 4000
	defaultWeeks     = 104
	maxWeeks         = 52 * 100 // a century: longer histories only cost memory
)

// Options say what shop to make.
type Options struct {
	Seed      uint64
	Customers int         // 0 or less: 4000
	End       engine.Date // the last day with orders; days begin at midnight UTC
	Weeks     int         // length of the history; 0 or less: 104, at most 5200
}

func (o Options) withDefaults() Options {
	if o.Customers <= 0 {
		o.Customers = defaultCustomers
	}
	if o.Weeks <= 0 {
		o.Weeks = defaultWeeks
	}
	o.Weeks = min(o.Weeks, maxWeeks)
	return o
}

// Begin is the first day of the history.
func (o Options) Begin() engine.Date { return o.End + 1 - engine.Date(7*o.withDefaults().Weeks) }

// Customer is one customer with what was planted and what the shop recorded.
type Customer struct {
	Key       string
	Archetype string  // what the customer was before any change
	Change    *Change // nil: none is planned
	// Lines are in the order of time, then of line numbers; there is at least one.
	Lines []engine.Line
}

// Kinds of change.
const (
	Churn    = "churn"    // no order from the day on
	Slowdown = "slowdown" // a quarter of the orders
	Upgrade  = "upgrade"  // four times the orders
)

// Change is a planned turn in a customer's life.
type Change struct {
	Kind string
	Date engine.Date // the first day of the new rate of orders
}

// factor is what the rate of orders is multiplied by.
func (c *Change) factor() float64 {
	switch c.Kind {
	case Slowdown:
		return 0.25
	case Upgrade:
		return 4
	default:
		return 0
	}
}

// Result is a whole shop in memory.
type Result struct{ Customers []Customer }

// Lines gives every order line with the key of its customer, customer after customer, each in the order of time.
func (r *Result) Lines() iter.Seq2[string, engine.Line] {
	return func(yield func(string, engine.Line) bool) {
		for i := range r.Customers {
			for _, l := range r.Customers[i].Lines {
				if !yield(r.Customers[i].Key, l) {
					return
				}
			}
		}
	}
}

// Shop makes a whole shop. Ten thousand customers take some 80 MB; Stream needs memory for one customer.
func Shop(o Options) *Result {
	return &Result{Customers: slices.AppendSeq(make([]Customer, 0, o.withDefaults().Customers), Stream(o))}
}

// Stream makes one customer after another. A customer may be kept: its lines are not reused.
func Stream(o Options) iter.Seq[Customer] {
	o = o.withDefaults()
	return func(yield func(Customer) bool) {
		source := rand.NewPCG(0, 0)
		s := shop{
			begin: o.Begin(), end: o.End, days: newCalendar(o.Begin(), o.End),
			stock: newCatalogue(o.Seed), random: draw{rand.New(source)},
		}
		enterprises := newSparse(o.Seed)
		for i := range o.Customers {
			source.Seed(o.Seed, scatter(uint64(i)))
			a := &enterprise
			if !enterprises.has(i) {
				a = pickArchetype(s.random.Float64())
			}
			if !yield(s.customer(i, a)) {
				return
			}
		}
	}
}

// shop is what all customers share, and the memory that they use in turn.
type shop struct {
	begin, end engine.Date
	days       calendar
	stock      *catalogue
	random     draw
	moments    []int64
	owned      []owned
	number     []byte
}
