package engine

// AxisScorer looks at one axis more closely than a thumbprint does, by the same computation as Scorer. It keeps working memory,
// which its methods give back and write again, so every goroutine needs its own. Features are those of the axis (Axis.Of).
type AxisScorer struct {
	axisScorer *axisScorer
	leaves     []int16
}

// NewAxisScorer makes an AxisScorer; nil where the axis has no segments.
func (m *Model) NewAxisScorer(axis int) *AxisScorer {
	if m.Axes[axis].Status != AxisOn || m.Axes[axis].Leaves == 0 {
		return nil
	}
	return NewAxisScorer(&Axes[axis], &m.Axes[axis], m.Params)
}

// NewAxisScorer makes an AxisScorer of one axis with segments, which need not be in the registry or in a whole model yet.
func NewAxisScorer(axis *Axis, model *AxisModel, p Params) *AxisScorer {
	return &AxisScorer{axisScorer: newAxisScorer(axis, model, p), leaves: make([]int16, model.Leaves)}
}

// Memberships gives the memberships in all segments of the axis, not rounded; nil where the customer is not eligible or a
// feature is infinite.
func (s *AxisScorer) Memberships(purchases int, values []float32) []float64 {
	if !s.axisScorer.weigh(purchases, values) {
		return nil
	}
	return s.axisScorer.weight
}

// Rounded gives the memberships in all segments of the axis in units of 1/10000, as a thumbprint holds them; nil where there
// are none.
func (s *AxisScorer) Rounded(purchases int, values []float32) []int {
	if s.axisScorer.score(purchases, values, s.leaves) < 0 {
		return nil
	}
	return s.axisScorer.units
}

// Leaf gives the leaf at the end of the customer's path, as a place among the axis's leaves, and the memberships in the leaves in units of
// 1/10000, as a thumbprint holds them; -1 where there are none.
func (s *AxisScorer) Leaf(purchases int, values []float32) (leaf int, units []int16) {
	return s.axisScorer.score(purchases, values, s.leaves), s.leaves
}

// Point gives the customer's place among the centres: the features in use, filled, winsorised and standardised; nil where
// one is infinite.
func (s *AxisScorer) Point(values []float32) []float64 {
	if !s.axisScorer.standardise(values) {
		return nil
	}
	return s.axisScorer.z
}

// Stratum gives the root that a rule puts the customer into, as an index in AxisModel.Segments; -1 where none does.
func (s *AxisScorer) Stratum(purchases int, values []float32) int {
	return s.axisScorer.stratum(purchases, values)
}

// Outlier is Scorer.Outlier of the axis.
func (s *AxisScorer) Outlier(purchases int, values []float32) bool {
	return s.axisScorer.outlier(purchases, values)
}

// Distance is that to the nearest root's centre on features before winsorising, strata of customers who are all alike left
// out, in sd units.
func (s *AxisScorer) Distance(values []float32) float64 { return s.axisScorer.distance(values) }

// Used lists the features in use, as places within the axis, in the order of Point and of a segment's centre.
func (s *AxisScorer) Used() []int { return s.axisScorer.on }

// Deciding lists the features that memberships depend on, as places within the axis: those in use, and those that a stratum goes by.
func (s *AxisScorer) Deciding() []int {
	a := s.axisScorer
	read := make([]bool, len(a.axis.Features))
	for _, f := range a.on {
		read[f] = true
	}
	for _, i := range a.strata {
		switch a.model.Segments[i].Stratum {
		case StratumOnePurchase:
			read[atPurchases-a.axis.First] = true
		case StratumNeverReturned:
			read[refundedValueFeature], read[refundedUnitsFeature] = true, true
		}
	}
	var list []int
	for f := range read {
		if read[f] {
			list = append(list, f)
		}
	}
	return list
}
