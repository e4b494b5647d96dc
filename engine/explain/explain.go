// Package explain tells in words and numbers why a customer stands where it does under a model: which features speak for a
// segment, what moved a membership, what change of behaviour would make a segment dominant, and whether segments explain
// the customer at all. All of it is computed by the scoring of the model itself, on raw features. It describes the model;
// nothing here says what would happen in the world.
package explain

import (
	"cmp"
	"math"
	"slices"

	"github.com/quimbi/quimbi/engine"
)

// Missing says why there is no explanation.
type Missing string

// The reasons.
const (
	MissingNothing  Missing = ""
	MissingFeatures Missing = "NO_FEATURES" // they were not stored
	MissingDistance Missing = "STRATUM"     // a rule decides, and no distance
	MissingSibling  Missing = "NO_SIBLING"  // there is no other segment of the same parent
)

// Explainer explains customers on one axis of a model. It keeps working memory, so every goroutine needs its own.
type Explainer struct {
	axis   *engine.Axis
	model  *engine.AxisModel
	scorer *engine.AxisScorer
	own    []float32 // scratch: features of the axis
}

// New makes an Explainer; nil where the axis has no segments under the model.
func New(m *engine.Model, axis int) *Explainer {
	scorer := m.NewAxisScorer(axis)
	if scorer == nil {
		return nil
	}
	return &Explainer{axis: &engine.Axes[axis], model: &m.Axes[axis], scorer: scorer, own: make([]float32, len(engine.Axes[axis].Features))}
}

// checked refuses features of another registry, and a segment that is not there.
func (e *Explainer) checked(segment int, customers ...[]float32) error {
	for _, values := range customers {
		if len(values) != engine.FeatureCount {
			return engine.Errorf(engine.CodeInvalid, "a customer has %d features, not %d", engine.FeatureCount, len(values))
		}
	}
	if segment < 0 || segment >= len(e.model.Segments) {
		return engine.Errorf(engine.CodeInvalid, "the axis has no segment number %d", segment)
	}
	return nil
}

// notPlaced is the fault of a customer without memberships on the axis.
func (e *Explainer) notPlaced() error {
	return engine.Errorf(engine.CodeInvalid, "the customer has no memberships on the axis %s", e.axis.Key)
}

// Outlier tells whether a customer is further from every centre than 99 % of those fitted, on features before winsorising.
func (e *Explainer) Outlier(values []float32) bool {
	return e.scorer.Outlier(engine.PurchasesOf(values), e.axis.Of(values))
}

// Reasons tell why one segment fits a customer better than another.
type Reasons struct {
	Segment int // index in AxisModel.Segments
	Over    int // likewise; -1 where there is none to compare with
	Missing Missing
	// Contributions are the features in use, the largest first. They sum to Total.
	Contributions []Contribution
	// Total is the difference of the squared distances from the two centres, in sd units: positive where Segment is nearer,
	// and so has the larger membership.
	Total float64
}

// Contribution is what one feature f speaks for segment j over i: (z_f - c_if)^2 - (z_f - c_jf)^2.
type Contribution struct {
	Feature int     // index within the axis
	Value   float64 // of the customer, in the feature's unit; NaN where undefined, and then the population's median stands in
	Amount  float64 // positive where it speaks for the segment
}

// Reasons compares a customer's places with regard to two segments of one parent. over is -1 for the one that fits best
// beside the segment. Strata are left out: a rule puts customers there, and no distance.
func (e *Explainer) Reasons(values []float32, segment, over int) (Reasons, error) {
	if err := e.checked(segment, values); err != nil {
		return Reasons{}, err
	}
	s := &e.model.Segments[segment]
	if over >= 0 {
		if err := e.checked(over, values); err != nil {
			return Reasons{}, err
		}
		if o := &e.model.Segments[over]; over == segment || o.Parent != s.Parent {
			return Reasons{}, engine.Errorf(engine.CodeInvalid, "only two different segments of the same parent can be compared: %s and %s are not", s.Path, o.Path)
		}
	}
	purchases, own := engine.PurchasesOf(values), e.axis.Of(values)
	memberships := e.scorer.Memberships(purchases, own)
	if memberships == nil {
		return Reasons{}, e.notPlaced()
	}
	r := Reasons{Segment: segment, Over: over}
	if over < 0 {
		r.Over = e.bestBeside(segment, memberships)
	}
	inStratum := s.Parent < 0 && e.scorer.Stratum(purchases, own) >= 0
	switch {
	case inStratum || s.Stratum != engine.StratumNone || r.Over >= 0 && e.model.Segments[r.Over].Stratum != engine.StratumNone:
		r.Missing = MissingDistance
		return r, nil
	case r.Over < 0:
		r.Missing = MissingSibling
		return r, nil
	}
	o := &e.model.Segments[r.Over]
	z := e.scorer.Point(own)
	for j, f := range e.scorer.Used() {
		far, near := z[j]-o.Center[j], z[j]-s.Center[j]
		c := Contribution{Feature: f, Value: e.shown(own, f), Amount: far*far - near*near}
		r.Contributions = append(r.Contributions, c)
		r.Total += c.Amount
	}
	slices.SortStableFunc(r.Contributions, func(x, y Contribution) int { return cmp.Compare(y.Amount, x.Amount) })
	return r, nil
}

// bestBeside gives the sibling with the largest membership, the first of equal ones; -1 without one. Strata do not count.
func (e *Explainer) bestBeside(segment int, memberships []float64) int {
	best := -1
	for i := range e.model.Segments {
		s := &e.model.Segments[i]
		if i == segment || s.Parent != e.model.Segments[segment].Parent || s.Stratum != engine.StratumNone {
			continue
		}
		if best < 0 || memberships[i] > memberships[best] {
			best = i
		}
	}
	return best
}

// shown gives a feature in its unit; NaN where undefined.
func (e *Explainer) shown(own []float32, feature int) float64 {
	v := float64(own[feature])
	if math.IsNaN(v) {
		return v
	}
	return e.axis.Features[feature].Shown(v)
}
