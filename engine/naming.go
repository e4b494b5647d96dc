package engine

import (
	"fmt"
	"slices"
	"strings"
)

// Qualifiers are classes of percentiles.
const (
	qualifierVeryLow  = "VERY_LOW"  // under the 10th
	qualifierLow      = "LOW"       // from the 10th and under the 30th
	qualifierTypical  = "TYPICAL"   // from the 30th to the 70th
	qualifierHigh     = "HIGH"      // over the 70th and up to the 90th
	qualifierVeryHigh = "VERY_HIGH" // over the 90th
)

func qualifierOf(percentile float64) string {
	switch {
	case percentile < 10:
		return qualifierVeryLow
	case percentile < 30:
		return qualifierLow
	case percentile <= 70:
		return qualifierTypical
	case percentile <= 90:
		return qualifierHigh
	default:
		return qualifierVeryHigh
	}
}

// namedFeatures is how many features a name is made of.
const namedFeatures = 2

const nameTypical = "typical"

var stratumNames = map[Stratum]string{
	StratumOnePurchase:   "one purchase",
	StratumNeverReturned: "never returned anything",
	StratumIdentical:     "all the same",
}

// restNames name those beside the strata where they are too few to be clustered.
var restNames = map[Stratum]string{
	StratumOnePurchase:   "several purchases",
	StratumNeverReturned: "returned something",
	StratumIdentical:     "all others",
}

// nameSegments gives every segment of an axis a name of its own: the two most telling features that are not typical, in
// the axis's order. Where a name is taken the next feature is added, and then a number. Those at the top choose first.
func (a *AxisModel) nameSegments(axis *Axis, named map[int]string) {
	taken := make(map[string]bool)
	for _, name := range named {
		taken[name] = true
	}
	order := make([]int, len(a.Segments))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return a.Segments[i].Depth - a.Segments[j].Depth })
	for _, i := range order {
		name, ok := named[i]
		if !ok {
			name = a.freeName(axis, i, taken)
		}
		taken[name] = true
		a.Segments[i].Name = name
	}
}

func (a *AxisModel) freeName(axis *Axis, i int, taken map[string]bool) string {
	s := &a.Segments[i]
	name := a.plainName(i)
	if name == "" {
		telling := tellingFeatures(s.Profile.Features)
		for n := min(namedFeatures, len(telling)); n <= len(telling); n++ {
			name = phraseOf(axis, telling[:n])
			if !taken[name] {
				break
			}
		}
	}
	if !taken[name] {
		return name
	}
	for n := 2; ; n++ {
		if numbered := fmt.Sprintf("%s (%d)", name, n); !taken[numbered] {
			return numbered
		}
	}
}

// plainName names a segment that a rule defines; "" for one that was clustered.
func (a *AxisModel) plainName(i int) string {
	s := &a.Segments[i]
	switch {
	case s.Stratum != StratumNone:
		return stratumNames[s.Stratum]
	case a.Fit == nil && s.Parent < 0:
		for j := range a.Segments {
			if name, ok := restNames[a.Segments[j].Stratum]; ok {
				return name
			}
		}
	}
	return ""
}

// tellingFeatures are those with a qualifier, in the order of the profile.
func tellingFeatures(profiles []FeatureProfile) []FeatureProfile {
	var telling []FeatureProfile
	for _, p := range profiles {
		if p.Qualifier != qualifierTypical {
			telling = append(telling, p)
		}
	}
	return telling
}

// phraseOf puts features into words, in the axis's order, since "often, many purchases" and "many purchases, often"
// would be one thing.
func phraseOf(axis *Axis, features []FeatureProfile) string {
	if len(features) == 0 {
		return nameTypical
	}
	sorted := slices.Clone(features)
	slices.SortFunc(sorted, func(p, q FeatureProfile) int { return p.Feature - q.Feature })
	var words []string
	for _, p := range sorted {
		f := &axis.Features[p.Feature]
		switch p.Qualifier {
		case qualifierVeryLow:
			words = append(words, intensified(f.Few))
		case qualifierLow:
			words = append(words, f.Few)
		case qualifierHigh:
			words = append(words, f.Many)
		case qualifierVeryHigh:
			words = append(words, intensified(f.Many))
		}
	}
	return strings.Join(words, ", ")
}

// gradable are the first words that "very" goes before.
var gradable = []string{
	"few", "many", "seldom", "often", "quiet", "busy", "rarely", "steadily", "low", "high", "small", "large", "big", "deep",
	"mixed", "even", "uneven", "new", "long-standing", "long", "short", "fast", "slow", "little", "much", "focused",
	"wide-ranging", "settled", "varied", "shallow", "evenly",
}

// intensities are the stronger forms of phrases that "very" does not go with.
var intensities = map[string]string{
	"pays below the usual price": "pays far below the usual price",
	"pays above the usual price": "pays far above the usual price",
	"budget articles":            "the cheapest articles",
	"premium articles":           "the dearest articles",
	"one price level":            "strictly one price level",
	"splurges":                   "splurges often",
	"one category at a time":     "nearly always one category at a time",
	"single units":               "nearly only single units",
	"bulk":                       "nearly only bulk",
	"active only briefly":        "active only very briefly",
	"active throughout":          "active to the very end",
	"came back fast":             "came back very fast",
	"came back late":             "came back very late",
	"fewer purchases lately":     "far fewer purchases lately",
	"more purchases lately":      "far more purchases lately",
	"speeding up":                "speeding up fast",
	"slowing down":               "slowing down a lot",
	"shrinking orders":           "fast shrinking orders",
	"growing orders":             "fast growing orders",
	"on schedule":                "ahead of schedule",
	"overdue":                    "long overdue",
	"mostly new lines":           "nearly only new lines",
	"mostly repeat lines":        "nearly only repeat lines",
	"keeps to its category":      "strictly keeps to its category",
	"switches categories":        "switches categories all the time",
	"familiar articles":          "nearly only familiar articles",
	"new articles":               "nearly only new articles",
	"full refunds":               "nearly only full refunds",
	"partial refunds":            "nearly only partial refunds",
	"lost after refunds":         "nearly always lost after refunds",
	"back after refunds":         "nearly always back after refunds",
	"exploring":                  "exploring all the time",
	"spread over categories":     "spread over many categories",
	"one main category":          "nearly only one category",
	"no deep category":           "no deep category at all",
	"several deep categories":    "many deep categories",
	"weekday":                    "nearly only on weekdays",
	"weekend":                    "nearly only at weekends",
	"outside office hours":       "nearly always outside office hours",
	"office hours":               "nearly always in office hours",
	"midday":                     "nearly always at midday",
	"midnight":                   "nearly always around midnight",
	"morning":                    "nearly always in the morning",
	"evening":                    "nearly always in the evening",
	"all year":                   "evenly over the year",
	"seasonal":                   "strongly seasonal",
	"just bought":                "bought in the last few days",
	"in clumps":                  "in tight clumps",
}

// intensified makes a feature's phrase stronger.
func intensified(phrase string) string {
	if strong, ok := intensities[phrase]; ok {
		return strong
	}
	return "very " + phrase
}
