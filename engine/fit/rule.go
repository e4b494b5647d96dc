package fit

import (
	"math"
	"slices"
	"strconv"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/cart"
	"github.com/quimbi/quimbi/engine/scale"
)

// A segment is a place among fuzzy centres on standardised features. A rule says nearly the same with a few thresholds on
// the features as they are, so that a shop can use it anywhere.

const (
	// ruleDepth bounds the conditions of a rule.
	ruleDepth = 3
	// ruleSample is how many customers, evenly spaced, rules are learnt from; they are judged on all.
	ruleSample = 10_000
	// minRulePrecision and minRuleCoverage are what a rule must reach to be shown.
	minRulePrecision = 0.8
	minRuleCoverage  = 0.3
)

// test is a condition in the form in which features are stored.
type test struct {
	feature       int
	above, atMost float64
}

func (t *test) holds(stored float64) bool { return stored > t.above && stored <= t.atMost }

// findRules gives every segment the best rule of a small tree that tells its members from all others, where one is good enough.
func (f *axisFit) findRules(m membership) {
	a := &f.model
	if len(f.on) == 0 {
		return
	}
	n := min(len(f.eligible), ruleSample)
	x, leaves := make([]float64, 0, n*len(f.on)), make([]int, n)
	scales := make([]scale.Scale, len(f.on))
	for j, feature := range f.on {
		scales[j] = a.Features[feature].Scale()
	}
	for i := range n {
		at := i * len(f.eligible) / n
		values := f.values(f.eligible[at])
		for j, feature := range f.on {
			x = append(x, scales[j].Filled(float64(values[feature])))
		}
		leaves[i] = int(m.leaf[at])
	}
	grower, err := cart.NewGrower(x, n, len(f.on))
	if err != nil {
		return // the table was checked: no feature is infinite, and undefined ones are filled
	}
	tests := make([][]test, len(a.Segments))
	positive := make([]bool, n)
	for i := range a.Segments {
		first, last := a.LeafRange(i)
		for row, leaf := range leaves {
			positive[row] = leaf >= first && leaf <= last
		}
		nodes, err := grower.Grow(positive, ruleDepth)
		if err != nil {
			return
		}
		if best := bestNode(nodes); best > 0 {
			a.Segments[i].Profile.Rule, tests[i] = f.ruleTo(nodes, best)
		}
	}
	f.judgeRules(m, tests, scales)
}

// bestNode gives the node that is good enough for a rule and has the largest harmonic mean of precision and coverage, of equal ones
// the first, which has the fewest conditions; 0, the top, where none is.
func bestNode(nodes []cart.Node) int {
	best, bestMean := 0, 0.0
	for at := range nodes {
		node := &nodes[at]
		precision := float64(node.Positive) / float64(node.Rows)
		coverage := float64(node.Positive) / float64(max(1, nodes[0].Positive))
		if at == 0 || precision < minRulePrecision || coverage < minRuleCoverage {
			continue
		}
		if mean := 2 * precision * coverage / (precision + coverage); mean > bestMean {
			best, bestMean = at, mean
		}
	}
	return best
}

// ruleTo gives the conditions on the way to a node, those near the top first.
func (f *axisFit) ruleTo(nodes []cart.Node, at int) (*engine.Rule, []test) {
	rule := &engine.Rule{}
	var tests []test
	var way []int
	for ; at > 0; at = nodes[at].Parent {
		way = append(way, at)
	}
	slices.Reverse(way)
	for _, node := range way {
		split := &nodes[nodes[node].Parent]
		feature := &f.axis.Features[f.on[split.Column]]
		shown, stored := between(feature, split.Low, split.High)
		i := slices.IndexFunc(tests, func(t test) bool { return t.feature == split.Column })
		if i < 0 {
			i = len(tests)
			tests = append(tests, test{feature: split.Column, above: math.Inf(-1), atMost: math.Inf(1)})
			rule.Conditions = append(rule.Conditions, engine.Condition{Feature: f.on[split.Column]})
		}
		if node == split.Left { // a later bound on a feature is the tighter one
			tests[i].atMost, rule.Conditions[i].AtMost = stored, &shown
		} else {
			tests[i].above, rule.Conditions[i].Above = stored, &shown
		}
	}
	return rule, tests
}

// judgeRules measures the rules on all eligible customers and drops those that are not good enough there.
func (f *axisFit) judgeRules(m membership, tests [][]test, scales []scale.Scale) {
	a := &f.model
	type tally struct{ first, last, under, found int }
	tallies := make([]tally, len(a.Segments))
	for i := range tallies {
		tallies[i].first, tallies[i].last = a.LeafRange(i)
	}
	own := make([]float64, len(f.on))
	for row, leaf := range m.leaf {
		values := f.values(f.eligible[row])
		for j, feature := range f.on {
			own[j] = scales[j].Filled(float64(values[feature]))
		}
		for i := range tests {
			if len(tests[i]) == 0 || slices.ContainsFunc(tests[i], func(t test) bool { return !t.holds(own[t.feature]) }) {
				continue
			}
			tallies[i].under++
			if int(leaf) >= tallies[i].first && int(leaf) <= tallies[i].last {
				tallies[i].found++
			}
		}
	}
	for i := range a.Segments {
		s := &a.Segments[i]
		if s.Profile.Rule == nil {
			continue
		}
		s.Profile.Rule.Precision = float64(tallies[i].found) / float64(max(1, tallies[i].under))
		s.Profile.Rule.Coverage = float64(tallies[i].found) / float64(max(1, s.Members))
		if s.Profile.Rule.Precision < minRulePrecision || s.Profile.Rule.Coverage < minRuleCoverage {
			s.Profile.Rule = nil
		}
	}
}

// shownTolerance is the part of a shown value that may be rounding: features are stored as float32, often as logarithms.
const shownTolerance = 2e-6

// ruleDigits is how many digits a threshold has at most: more would say nothing and be hard to read.
const ruleDigits = 3

// between gives a threshold between two stored values, in the feature's unit and as stored: as short a number as there is,
// or, where that is long, the middle to three digits, which then may lie a little outside.
func between(f *engine.Feature, low, high float64) (shown, stored float64) {
	from, to := f.Shown(low), f.Shown(high)
	shown = shortest(from-shownTolerance*math.Abs(from), to-shownTolerance*math.Abs(to))
	if shown != rounded(shown) {
		shown = rounded(from/2 + to/2)
		return shown, f.Stored(shown)
	}
	return shown, max(low, min(f.Stored(shown), math.Nextafter(high, low)))
}

// rounded keeps the first digits of a number.
func rounded(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'e', ruleDigits-1, 64), 64)
	if err != nil {
		return v
	}
	return r
}

// shortest gives the number with the fewest digits in [low, high), of several the one nearest the middle; low where there is none.
func shortest(low, high float64) float64 {
	const largest, finest = 9, -12 // powers of ten
	for power := largest; power >= finest; power-- {
		unit := math.Pow10(max(power, -power))
		times, value := func(v float64) float64 { return v / unit }, func(n float64) float64 { return n * unit }
		if power < 0 { // a division by a power of ten gives the decimal fraction itself, a product often its neighbour
			times, value = value, times
		}
		n := math.Round(times(low/2 + high/2))
		n = max(math.Ceil(times(low)), min(n, math.Ceil(times(high))-1))
		if v := value(n); v >= low && v < high {
			return v + 0 // no negative zero
		}
	}
	return low
}
