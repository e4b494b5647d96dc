package explain

import (
	"slices"

	"github.com/quimbi/quimbi/engine"
)

// Mark says of a customer on one axis what customers are listed by: the shape of the memberships in the leaves and in the roots, and
// whether the customer is an outlier. It is kept as a byte: bits 0 and 1 are the shape in the leaves, bits 2 and 3 that in the roots (0 for
// none, 1 CLEAR, 2 HYBRID, 3 DIFFUSE), bit 4 is set for an outlier.
type Mark byte

// OutlierBit is what an outlier's mark has.
const OutlierBit Mark = 1 << 4

const (
	shapeBits = 2
	shapeMask = 1<<shapeBits - 1
)

func shiftOf(level engine.Level) int {
	if level == engine.LevelRoots {
		return shapeBits
	}
	return 0
}

// ShapeMask is the bits that hold the shape on a level.
func ShapeMask(level engine.Level) Mark { return shapeMask << shiftOf(level) }

// ShapeMark is a shape on a level as these bits hold it.
func ShapeMark(level engine.Level, s Shape) Mark {
	code := Mark(0)
	switch s {
	case ShapeClear:
		code = 1
	case ShapeHybrid:
		code = 2
	case ShapeDiffuse:
		code = 3
	}
	return code << shiftOf(level)
}

// Marker makes the marks of customers under a model. It keeps working memory, so every goroutine needs its own.
type Marker struct {
	model  *engine.Model
	scorer *engine.Scorer
	flat   [engine.AxisCount]bool // no root is divided: both levels are one
	units  []int
}

// NewMarker makes a Marker.
func NewMarker(m *engine.Model) *Marker {
	k := &Marker{model: m, scorer: m.NewScorer()}
	for axis := range m.Axes {
		k.flat[axis] = !slices.ContainsFunc(m.Axes[axis].Segments, func(s engine.Segment) bool { return s.Parent >= 0 })
	}
	return k
}

// Marks gives one for each axis of a customer with this thumbprint under the model, who has these purchases and features.
func (k *Marker) Marks(t engine.Thumbprint, purchases int, values []float32) []byte {
	marks := make([]byte, engine.AxisCount)
	for axis := range marks {
		k.units = k.model.MembershipsAt(engine.LevelLeaves, axis, t, k.units)
		if len(k.units) == 0 {
			continue
		}
		shape := ShapeOf(k.units)
		mark := ShapeMark(engine.LevelLeaves, shape)
		if !k.flat[axis] {
			k.units = k.model.MembershipsAt(engine.LevelRoots, axis, t, k.units)
			shape = ShapeOf(k.units)
		}
		mark |= ShapeMark(engine.LevelRoots, shape)
		if k.scorer.Outlier(axis, purchases, values) {
			mark |= OutlierBit
		}
		marks[axis] = byte(mark)
	}
	return marks
}
