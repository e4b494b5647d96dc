package engine

import (
	"math"

	"github.com/quimbi/quimbi/engine/fcm"
	"github.com/quimbi/quimbi/engine/scale"
)

// Positions is the length of the memberships of a thumbprint of this model: the leaves of all axes.
func (m *Model) Positions() int {
	n := 0
	for i := range m.Axes {
		n += m.Axes[i].Leaves
	}
	return n
}

// Scorer turns features into thumbprints of one model. It keeps working memory, so every goroutine needs its own.
type Scorer struct {
	positions int
	axes      [AxisCount]*axisScorer // nil where the axis has no segments
}

// NewScorer makes a Scorer; the model must not change while it is in use.
func (m *Model) NewScorer() *Scorer {
	s := &Scorer{positions: m.Positions()}
	for i := range m.Axes {
		if m.Axes[i].Status == AxisOn && m.Axes[i].Leaves > 0 {
			s.axes[i] = newAxisScorer(&Axes[i], &m.Axes[i], m.Params)
		}
	}
	return s
}

// Score writes the thumbprint of a customer with so many purchases and these features (all, in the registry's order,
// NaN where undefined) to dst. It is the one way for fitted and for new customers, and allocates nothing where dst has
// room. An axis for which the customer is not eligible, or of which a feature is infinite, gets no memberships.
func (s *Scorer) Score(purchases int, values []float32, dst *Thumbprint) {
	dst.Membership = resized(dst.Membership, s.positions)
	dst.Dominant = resized(dst.Dominant, AxisCount)
	for i := range s.axes {
		dst.Dominant[i] = -1
		a := s.axes[i]
		if a == nil {
			continue
		}
		units := dst.Membership[a.model.First : a.model.First+a.model.Leaves]
		own := a.axis.Of(values)
		if leaf := a.score(purchases, own, units); leaf >= 0 {
			dst.Dominant[i] = int16(a.model.First + leaf)
		}
	}
}

func resized(s []int16, n int) []int16 {
	if s == nil || cap(s) < n { // a thumbprint without places is empty, and not nothing
		return make([]int16, n)
	}
	return s[:n]
}

// axisScorer scores one axis.
type axisScorer struct {
	axis   *Axis
	model  *AxisModel
	on     []int         // features in use, as places within the axis
	scales []scale.Scale // of these
	strata []int         // roots that a rule sets apart
	groups []siblings    // parents before their children
	places []place       // of the model's segments
	m      float64
	hard   bool

	z      []float64 // the customer, standardised
	weight []float64 // membership in every segment
	shares []float64 // memberships within a group; then the remainders of rounding
	units  []int     // membership in every segment, rounded as in the thumbprint
}

// place is where a segment stands in the tree, kept apart from the large segments because scoring needs no more.
type place struct {
	parent int // -1 at the top
	leaf   int // -1 for a segment with children
	end    int // of its descendants, which follow it
}

// siblings are segments that share out their parent's membership by their centres.
type siblings struct {
	parent  int // -1 for the clustered roots
	members []int
	centers []float64 // len(members) x features in use
}

func newAxisScorer(axis *Axis, model *AxisModel, p Params) *axisScorer {
	a := &axisScorer{axis: axis, model: model, m: p.Fuzziness, hard: !p.Fuzzy, on: model.FeaturesOn()}
	for _, f := range a.on {
		a.scales = append(a.scales, model.Features[f].Scale())
	}
	roots := siblings{parent: -1}
	for i := range model.Segments {
		s := &model.Segments[i]
		a.places = append(a.places, place{parent: s.Parent, leaf: s.Leaf, end: model.Subtree(i)})
		switch {
		case s.Parent >= 0:
		case s.Stratum != StratumNone:
			a.strata = append(a.strata, i)
		default:
			roots.add(i, s)
		}
	}
	a.groups = append(a.groups, roots)
	widest := max(len(roots.members), model.Leaves)
	for i := range model.Segments {
		if len(model.Segments[i].Children) == 0 {
			continue
		}
		group := siblings{parent: i}
		for _, c := range model.Segments[i].Children {
			group.add(c, &model.Segments[c])
		}
		a.groups = append(a.groups, group)
		widest = max(widest, len(group.members))
	}
	a.z = make([]float64, len(a.on))
	a.weight = make([]float64, len(model.Segments))
	a.shares = make([]float64, widest)
	a.units = make([]int, len(model.Segments))
	return a
}

func (g *siblings) add(index int, s *Segment) {
	g.members = append(g.members, index)
	g.centers = append(g.centers, s.Center...)
}

// FeaturesOn lists the features in use, as places within the axis.
func (a *AxisModel) FeaturesOn() []int {
	var on []int
	for f := range a.Features {
		if a.Features[f].Status == FeatureOn {
			on = append(on, f)
		}
	}
	return on
}

// UsedBefore counts the features in use before a place within the axis: where the feature of that place stands in a centre.
func (a *AxisModel) UsedBefore(feature int) int {
	n := 0
	for f := range feature {
		if a.Features[f].Status == FeatureOn {
			n++
		}
	}
	return n
}

func (f *FeatureModel) Scale() scale.Scale {
	return scale.Scale{Fill: f.Fill, Lo: f.Low, Hi: f.High, Mean: f.Mean, SD: f.SD}
}

// score writes the memberships in the axis's leaves to units and gives the leaf at the end of the path; -1, with -1 in
// all of units, where there are none.
func (a *axisScorer) score(purchases int, values []float32, units []int16) int {
	if !a.weigh(purchases, values) {
		for j := range units {
			units[j] = -1
		}
		return -1
	}
	leaves := a.shares[:len(units)]
	for i := range a.places {
		if leaf := a.places[i].leaf; leaf >= 0 {
			leaves[leaf] = a.weight[i]
		}
	}
	roundToUnits(leaves, units)
	return a.pathEnd(units)
}

// pathEnd gives the leaf that is reached from the roots by going, level by level, to the segment with the largest
// membership, the first of equal ones. It goes by the rounded memberships, as Model.Path does later: by the exact ones
// the stored thumbprint would now and then contradict itself.
func (a *axisScorer) pathEnd(units []int16) int {
	clear(a.units)
	for i := len(a.places) - 1; i >= 0; i-- {
		at := a.places[i]
		if at.leaf >= 0 {
			a.units[i] = int(units[at.leaf])
		}
		if at.parent >= 0 {
			a.units[at.parent] += a.units[i]
		}
	}
	next, end, best := 0, len(a.places), -1
	for next < end {
		best = next
		for i := a.places[next].end; i < end; i = a.places[i].end {
			if a.units[i] > a.units[best] {
				best = i
			}
		}
		next, end = best+1, a.places[best].end
	}
	return a.places[best].leaf
}

// weigh computes the memberships in all segments.
func (a *axisScorer) weigh(purchases int, values []float32) bool {
	if purchases < max(1, a.axis.MinPurchases) || !a.standardise(values) {
		return false
	}
	clear(a.weight)
	groups := a.groups
	if i := a.stratum(purchases, values); i >= 0 {
		a.weight[i] = 1
		groups = groups[1:]
	}
	for g := range groups {
		group := &groups[g]
		whole := 1.0
		if group.parent >= 0 {
			whole = a.weight[group.parent]
		}
		if whole == 0 || len(group.members) == 0 {
			continue
		}
		shares := a.shares[:len(group.members)]
		a.share(shares, group.centers)
		for j, u := range shares {
			a.weight[group.members[j]] = whole * u
		}
	}
	return true
}

func (a *axisScorer) share(dst, centers []float64) {
	if a.hard {
		fcm.HardMemberships(dst, a.z, centers, len(dst))
		return
	}
	fcm.Memberships(dst, a.z, centers, len(dst), a.m)
}

// standardise fills z; false where a feature is infinite.
func (a *axisScorer) standardise(values []float32) bool {
	for j, f := range a.on {
		v := float64(values[f])
		if math.IsInf(v, 0) {
			return false
		}
		a.z[j] = a.scales[j].Transform(v)
	}
	return true
}

// stratum gives the root that a rule puts the customer into; -1 where none does.
func (a *axisScorer) stratum(purchases int, values []float32) int {
	for _, i := range a.strata {
		if a.model.Segments[i].RuledIn(purchases, values, a.on) {
			return i
		}
	}
	return -1
}

// roundToUnits writes shares that sum to 1 to units of 1/10000 that sum to 10000 exactly, by largest remainders (of
// equal ones the first). shares is overwritten.
func roundToUnits(shares []float64, units []int16) {
	left := MembershipUnit
	for j, u := range shares {
		exact := u * MembershipUnit
		whole := math.Floor(exact)
		units[j] = int16(whole)
		shares[j] = exact - whole
		left -= int(whole)
	}
	for ; left > 0; left-- {
		best := 0
		for j, r := range shares {
			if r > shares[best] {
				best = j
			}
		}
		units[best]++
		shares[best] = -1
	}
}

// Outlier tells whether a customer is further from every centre of the axis's roots than 99 % of the fitted customers,
// on features before winsorising, which would hide the few very large buyers. Nobody is one without memberships, or in
// a stratum whose members are all alike.
func (s *Scorer) Outlier(axis, purchases int, values []float32) bool {
	a := s.axes[axis]
	return a != nil && a.outlier(purchases, a.axis.Of(values))
}

func (a *axisScorer) outlier(purchases int, values []float32) bool {
	if purchases < max(1, a.axis.MinPurchases) || !a.standardise(values) {
		return false
	}
	if i := a.stratum(purchases, values); i >= 0 && a.model.Segments[i].Stratum != StratumOnePurchase {
		return false
	}
	return a.distance(values) > a.model.OutlierDistance
}

// distance is that to the nearest root's centre, strata of customers who are all alike left out, before winsorising.
func (a *axisScorer) distance(values []float32) float64 {
	for j, f := range a.on {
		a.z[j] = a.scales[j].Standardise(a.scales[j].Filled(float64(values[f])))
	}
	nearest := math.Inf(1)
	for i := range a.model.Segments {
		s := &a.model.Segments[i]
		if s.Parent >= 0 || s.Stratum == StratumNeverReturned || s.Stratum == StratumIdentical {
			continue
		}
		squares := 0.0
		for j, c := range s.Center {
			e := a.z[j] - c
			squares += e * e
		}
		nearest = min(nearest, squares)
	}
	return math.Sqrt(nearest)
}
