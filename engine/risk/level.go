package risk

import "github.com/quimbi/quimbi/engine"

// Weights are a model's risk weights laid out like a thumbprint. They can be used from several goroutines.
type Weights struct {
	model *engine.Model
	leaf  []float64 // by position in a thumbprint
}

// WeightsOf gives the weights of a model; nil where it has none, be it that no outcomes were known when it was made or that it
// was made before there were weights. A nil Weights gives no levels.
func WeightsOf(m *engine.Model) *Weights {
	if m == nil || m.Risk == nil {
		return nil
	}
	return newWeights(m, func(axis, segment int) float64 { return *m.Axes[axis].Segments[segment].RiskWeight })
}

// newWeights lays out the weights of segments.
func newWeights(m *engine.Model, of func(axis, segment int) float64) *Weights {
	w := &Weights{model: m, leaf: make([]float64, m.Positions())}
	for a := range m.Axes {
		axis := &m.Axes[a]
		for i := range axis.Segments {
			if s := &axis.Segments[i]; s.IsLeaf() {
				w.leaf[axis.First+s.Leaf] = of(a, i)
			}
		}
	}
	return w
}

// AxisLevel is the mean of the weights of an axis's leaves, weighted by membership: sum_j u_aj rho_aj. ok is false without
// weights or memberships.
func (w *Weights) AxisLevel(axis int, t engine.Thumbprint) (level float64, ok bool) {
	if w == nil {
		return 0, false
	}
	m := &w.model.Axes[axis]
	leaves := leavesOf(m, t)
	for j, u := range leaves {
		level += float64(u) * w.leaf[m.First+j]
	}
	return level / engine.MembershipUnit, leaves != nil
}

// Level is the mean of AxisLevel over the axes that have one, from 0 to 1.
func (w *Weights) Level(t engine.Thumbprint) (level float64, ok bool) {
	axes := 0
	for a := range engine.AxisCount {
		if part, ok := w.AxisLevel(a, t); ok {
			level += part
			axes++
		}
	}
	if axes == 0 {
		return 0, false
	}
	return level / float64(axes), true
}

// Drift is the directed drift between two thumbprints, the level after less the level before: positive where the customer
// moves towards segments with more risk.
func (w *Weights) Drift(from, to engine.Thumbprint) (change float64, ok bool) {
	before, known := w.Level(from)
	after, ok := w.Level(to)
	if !known || !ok {
		return 0, false
	}
	return after - before, true
}

// Point is a level on a day.
type Point struct {
	Date  engine.Date
	Level float64
}

// The customer's own past that a level is compared with, in days before it, both included, and the least number of levels there.
const (
	BaselineFrom   = 365
	BaselineTo     = 56
	BaselineLevels = 4
)

// FromBaseline is a level less the mean of the customer's own levels from 365 to 56 days before; ok is false where there
// are fewer than 4. Levels of other days may be among the past, in any order.
func FromBaseline(now Point, past []Point) (deviation float64, ok bool) {
	sum, n := 0.0, 0
	for _, p := range past {
		if p.Date >= now.Date-BaselineFrom && p.Date <= now.Date-BaselineTo {
			sum += p.Level
			n++
		}
	}
	if n < BaselineLevels {
		return 0, false
	}
	return now.Level - sum/float64(n), true
}

// Direction is the sign of a change of risk.
type Direction string

// The directions.
const (
	Improving Direction = "IMPROVING"
	Unchanged Direction = "UNCHANGED"
	Worsening Direction = "WORSENING"
)

// DirectionOf gives the direction of a change.
func DirectionOf(change float64) Direction {
	switch {
	case change < 0:
		return Improving
	case change > 0:
		return Worsening
	default:
		return Unchanged
	}
}
