package engine

import (
	"strings"
)

// Rule tells a segment from all others on its axis by conditions on raw features that must all hold.
type Rule struct {
	Conditions []Condition `json:"conditions"` // at most three, one a feature
	Precision  float64     `json:"precision"`  // share of the customers under the rule whose path leads through the segment
	Coverage   float64     `json:"coverage"`   // share of those customers that the rule finds
}

// Condition bounds one feature. Where a customer's is undefined the population's median stands in for it, as in scoring.
type Condition struct {
	Feature int      `json:"feature"`          // index within the axis
	Above   *float64 `json:"above,omitempty"`  // in the feature's unit, itself excluded; nil: no lower bound
	AtMost  *float64 `json:"atMost,omitempty"` // likewise, itself included
}

// Text puts the rule into words.
func (r *Rule) Text(axis *Axis) string {
	var parts []string
	for _, c := range r.Conditions {
		f := &axis.Features[c.Feature]
		text := f.LowerName()
		if c.Above != nil {
			text += " over " + f.threshold(*c.Above)
		}
		if c.Above != nil && c.AtMost != nil {
			text += " and"
		}
		if c.AtMost != nil {
			text += " at most " + f.threshold(*c.AtMost)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", and ")
}
