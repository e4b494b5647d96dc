package risk

import "github.com/quimbi/quimbi/engine"

// Means sums up the churn risk of the members of a model's segments. It is not safe for concurrent use.
type Means struct {
	model *engine.Model
	leaf  []int // the segment of each position in a thumbprint
	sums  [engine.AxisCount][]memberSum
}

type memberSum struct {
	risk    float64
	members int
}

// NewMeans makes the sums of nobody.
func NewMeans(m *engine.Model) *Means {
	s := &Means{model: m, leaf: make([]int, m.Positions())}
	for a := range m.Axes {
		axis := &m.Axes[a]
		for i := range axis.Segments {
			if axis.Segments[i].IsLeaf() {
				s.leaf[axis.First+axis.Segments[i].Leaf] = i
			}
		}
		s.sums[a] = make([]memberSum, len(axis.Segments))
	}
	return s
}

// Add counts a customer as a member of the leaf that is dominant on each axis, and of that leaf's ancestors.
func (s *Means) Add(t engine.Thumbprint, churnRisk float64) {
	for a, position := range t.Dominant {
		if position < 0 {
			continue
		}
		segments := s.model.Axes[a].Segments
		for i := s.leaf[position]; i >= 0; i = segments[i].Parent {
			s.sums[a][i].risk += churnRisk
			s.sums[a][i].members++
		}
	}
}

// Describe writes the means to the profiles of the model's segments; a segment without members has none.
func (s *Means) Describe() {
	for a := range s.sums {
		for i, sum := range s.sums[a] {
			profile := &s.model.Axes[a].Segments[i].Profile
			profile.MeanChurnRisk = nil
			if sum.members > 0 {
				mean := sum.risk / float64(sum.members)
				profile.MeanChurnRisk = &mean
			}
		}
	}
}
