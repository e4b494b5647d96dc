package fit

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/quimbi/quimbi/engine"
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

var stratumNames = map[engine.Stratum]string{
	engine.StratumOnePurchase:   "one purchase",
	engine.StratumNeverReturned: "never returned anything",
	engine.StratumIdentical:     "all the same",
	engine.StratumExceptional:   "exceptionally valuable",
}

// restNames name those beside the strata where they are too few to be clustered.
var restNames = map[engine.Stratum]string{
	engine.StratumOnePurchase:   "several purchases",
	engine.StratumNeverReturned: "returned something",
	engine.StratumIdentical:     "all others",
}

// qualifierBounds are the percentiles that a qualifier lies between.
var qualifierBounds = map[string][2]float64{
	qualifierVeryLow:  {math.Inf(-1), 10},
	qualifierLow:      {10, 30},
	qualifierTypical:  {30, 70},
	qualifierHigh:     {70, 90},
	qualifierVeryHigh: {90, math.Inf(1)},
}

// clearChange is by how many percentile points a feature must leave the bounds of its qualifier before a name is made anew.
const clearChange = 10

// stillNamed tells whether a segment's name still says what it is: no feature has clearly left the qualifier that it had when
// the name was made, which may be several models ago. A feature that is no longer in use matters where it was not typical.
func stillNamed(before, now *engine.Segment) bool {
	if before.Name == "" || before.Stratum != now.Stratum || isPlainName(before.Name) {
		return false
	}
	for _, named := range namedFor(before) {
		i := slices.IndexFunc(now.Profile.Features, func(p engine.FeatureProfile) bool { return p.Feature == named.Feature })
		if i < 0 {
			if named.Qualifier != qualifierTypical {
				return false
			}
			continue
		}
		bounds, percentile := qualifierBounds[named.Qualifier], now.Profile.Features[i].Percentile
		if percentile <= bounds[0]-clearChange || percentile >= bounds[1]+clearChange {
			return false
		}
	}
	return true
}

// isPlainName tells whether a name comes of a rule: the next segment there may not be defined by it.
func isPlainName(name string) bool {
	for _, names := range []map[engine.Stratum]string{stratumNames, restNames} {
		for _, plain := range names {
			if name == plain {
				return true
			}
		}
	}
	return false
}

// namedFor gives the qualifiers that a segment was named for: in models that do not tell, those of its profile.
func namedFor(s *engine.Segment) []engine.NamedFor {
	if s.NamedFor != nil {
		return s.NamedFor
	}
	list := make([]engine.NamedFor, len(s.Profile.Features))
	for i, p := range s.Profile.Features {
		list[i] = engine.NamedFor{Feature: p.Feature, Qualifier: p.Qualifier}
	}
	return list
}

// nameSegments gives every segment of an axis a name of its own. byHand are names that people gave and before the segments that
// live on in these, of the model before; both by index in Segments. First come the names by hand, those of before too;
// then a segment of before hands its name on while it still fits; the rest are named from their profiles, by the two most
// telling features that are not typical, in the axis's order. Where a name is taken the next feature is added, and then
// a number. Within each of the three those at the top choose first.
func nameSegments(a *engine.AxisModel, axis *engine.Axis, byHand map[int]string, before map[int]*engine.Segment) {
	order := make([]int, len(a.Segments))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return a.Segments[i].Depth - a.Segments[j].Depth })
	taken := make(map[string]bool)
	done := make([]bool, len(a.Segments))
	give := func(i int, name string) {
		a.Segments[i].Name, taken[name], done[i] = name, true, true
	}
	for _, i := range order {
		s := &a.Segments[i]
		s.ByHand, s.NamedFor = false, nil
		s.NamedFor = namedFor(s)
		name := byHand[i]
		if old := before[i]; name == "" && old != nil && old.ByHand {
			name = old.Name
		}
		if name != "" {
			s.ByHand = true
			give(i, untaken(name, taken))
		}
	}
	for _, i := range order {
		if old := before[i]; !done[i] && old != nil && !taken[old.Name] && plainName(a, i) == "" && stillNamed(old, &a.Segments[i]) {
			a.Segments[i].NamedFor = namedFor(old)
			give(i, old.Name)
		}
	}
	for _, i := range order {
		if !done[i] {
			give(i, freeName(a, axis, i, taken))
		}
	}
}

func freeName(a *engine.AxisModel, axis *engine.Axis, i int, taken map[string]bool) string {
	s := &a.Segments[i]
	name := plainName(a, i)
	if name == "" {
		telling := tellingFeatures(s.Profile.Features)
		for n := min(namedFeatures, len(telling)); n <= len(telling); n++ {
			name = phraseOf(axis, telling[:n])
			if !taken[name] {
				break
			}
		}
	}
	return untaken(name, taken)
}

// untaken adds the first number that makes a taken name a free one.
func untaken(name string, taken map[string]bool) string {
	free := name
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s (%d)", name, n)
	}
	return free
}

// plainName names a segment that a rule defines; "" for one that was clustered.
func plainName(a *engine.AxisModel, i int) string {
	s := &a.Segments[i]
	switch {
	case s.Stratum != engine.StratumNone:
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
func tellingFeatures(profiles []engine.FeatureProfile) []engine.FeatureProfile {
	var telling []engine.FeatureProfile
	for _, p := range profiles {
		if p.Qualifier != qualifierTypical {
			telling = append(telling, p)
		}
	}
	return telling
}

// phraseOf puts features into words, in the axis's order, since "often, many purchases" and "many purchases, often"
// would be one thing.
func phraseOf(axis *engine.Axis, features []engine.FeatureProfile) string {
	if len(features) == 0 {
		return nameTypical
	}
	sorted := slices.Clone(features)
	slices.SortFunc(sorted, func(p, q engine.FeatureProfile) int { return p.Feature - q.Feature })
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
