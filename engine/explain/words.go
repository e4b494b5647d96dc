package explain

import (
	"fmt"
	"math"
	"strings"

	"github.com/quimbi/quimbi/engine"
)

// NoPromise goes with every sentence about what would move a customer.
const NoPromise = "This describes the model and promises no effect."

// daysPerMonth is the mean length of a month.
const daysPerMonth = 30.44

// wishes put a move into what the customer would do, where there is a better way than to name the feature and its value.
var wishes = map[string]func(f *engine.Feature, m Move) string{
	"purchases": func(_ *engine.Feature, m Move) string { return more(m.To-m.From, "more order", "more orders") },
	"purchases_per_month": func(_ *engine.Feature, m Move) string {
		return "one order every " + days(daysPerMonth/m.To, m.To < m.From) + " (now every " + days(daysPerMonth/m.From, false) + ")"
	},
	"recent_purchases": func(f *engine.Feature, m Move) string {
		if m.To < m.From {
			return "no order until those of late count for " + f.Say(outward(m)) + " (now " + f.Say(m.From) + "; an order fades over 90 days)"
		}
		return more(m.To-m.From, "new order", "new orders") + ", so that those of late count for " + f.Say(outward(m)) + " (now " + f.Say(m.From) + "; an order fades over 90 days)"
	},
	"total_value": func(f *engine.Feature, m Move) string {
		return f.Say(math.Ceil(100*(m.To-m.From))/100) + " more spent in all"
	},
	"median_order_value": func(f *engine.Feature, m Move) string {
		return "orders of " + f.Say(outward(m)) + " in the middle (now " + f.Say(m.From) + ")"
	},
	"max_order_value": func(f *engine.Feature, m Move) string {
		return "one order of " + f.Say(outward(m)) + " (the largest so far is " + f.Say(m.From) + ")"
	},
	"recent_trend": func(f *engine.Feature, m Move) string {
		return f.Say(outward(m)) + " times as many orders in 90 days as in the 90 before (now " + f.Say(m.From) + ")"
	},
	"relative_recency":    silence,
	"recency":             silence,
	"median_gap":          every("one order"),
	"repurchase_interval": every("the same article again"),
	"deep_categories": func(_ *engine.Feature, m Move) string {
		return more(m.To-m.From, "more category", "more categories") + " with 3 or more orders"
	},
}

// silence is about the days since the last order, which an order ends and waiting makes more.
func silence(f *engine.Feature, m Move) string {
	if m.To > m.From {
		return "no order for " + f.Say(outward(m)) + " (now " + f.Say(m.From) + ")"
	}
	return "the last order at most " + f.Say(outward(m)) + " ago (now " + f.Say(m.From) + ")"
}

// every is about a usual gap in days.
func every(what string) func(*engine.Feature, Move) string {
	return func(_ *engine.Feature, m Move) string {
		return what + " every " + days(m.To, m.To > m.From) + " (now every " + days(m.From, false) + ")"
	}
}

// more says how many, rounded up.
func more(n float64, one, many string) string {
	if n = math.Ceil(n - 1e-6); n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%.0f %s", n, many)
}

// days says a number of days, whole ones from two weeks on.
func days(n float64, up bool) string {
	unit := 1.0
	if n < 14 {
		unit = 10
	}
	if up {
		n = math.Ceil(n*unit-1e-6) / unit
	} else {
		n = math.Floor(n*unit+1e-6) / unit
	}
	text := strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0")
	if text == "1" {
		return "day"
	}
	return text + " days"
}

// outward gives the value to be reached, rounded to three digits away from the one now, so that who goes by the words gets there.
func outward(m Move) float64 {
	if m.To == 0 {
		return 0
	}
	unit := math.Pow10(int(math.Floor(math.Log10(math.Abs(m.To)))) - 2)
	if m.To > m.From {
		return math.Ceil(m.To/unit-1e-6) * unit
	}
	return math.Floor(m.To/unit+1e-6) * unit
}

// Text puts a move into words, for example "2 more orders".
func (m Move) Text(axis *engine.Axis) string {
	f := &axis.Features[m.Feature]
	if wish := wishes[f.Key]; wish != nil {
		return wish(f, m)
	}
	bound := " of at least "
	if m.To < m.From {
		bound = " of at most "
	}
	return f.LowerName() + bound + f.SayBeside(outward(m)) + " (now " + f.SayBeside(m.From) + ")"
}

// Text puts the answer into a sentence or two. name is the segment's.
func (r Reach) Text(axis *engine.Axis, name string) string {
	switch r.Status {
	case ReachDominant:
		return fmt.Sprintf("%q is dominant already.", name)
	case ReachFound:
		moves := make([]string, len(r.Moves))
		for i, m := range r.Moves {
			moves[i] = m.Text(axis)
		}
		return fmt.Sprintf("%q would be dominant with %s. %s", name, strings.Join(moves, ", and "), NoPromise)
	default:
		return fmt.Sprintf("Not reachable: no usual change of one or two things that the customer decides makes %q dominant. %s", name, NoPromise)
	}
}

// Text puts reasons into a sentence: what speaks for the segment, and what against it. names are those of AxisModel.Segments.
func (r Reasons) Text(axis *engine.Axis, model *engine.AxisModel) string {
	name := model.Segments[r.Segment].Name
	switch r.Missing {
	case MissingFeatures:
		return "The features were not stored, so there is nothing to explain by."
	case MissingDistance:
		return fmt.Sprintf("A rule decides about %q, and no distance.", name)
	case MissingSibling:
		return fmt.Sprintf("There is no other segment beside %q.", name)
	}
	var pro, contra []string
	for _, c := range r.Contributions {
		f := &axis.Features[c.Feature]
		value := "undefined"
		if !math.IsNaN(c.Value) {
			value = f.SayBeside(c.Value)
		}
		part := fmt.Sprintf("%s %s (%+.2f)", f.LowerName(), value, c.Amount)
		if c.Amount >= 0 {
			pro = append(pro, part)
		} else {
			contra = append([]string{part}, contra...)
		}
	}
	side := "Nearer to"
	if r.Total < 0 {
		side = "Farther from"
	}
	text := fmt.Sprintf("%s %q than %q", side, name, model.Segments[r.Over].Name)
	if len(pro) > 0 {
		text += ". For it: " + strings.Join(pro, ", ")
	}
	if len(contra) > 0 {
		text += ". Against it: " + strings.Join(contra, ", ")
	}
	return text + "."
}
