package fit

import (
	"slices"

	"github.com/quimbi/quimbi/engine"
)

// Rename gives the segment with an index on an axis a name by hand, or takes the given one away where name is empty; then it is
// named from its profile. All others keep their names. The model's segments are made anew, so that whoever reads the old ones
// is not disturbed. Faults: INVALID where another segment of the axis has the name.
func Rename(m *engine.Model, axis, index int, name string) error {
	before := m.Axes[axis].Segments
	for i := range before {
		if i != index && name != "" && before[i].Name == name {
			return engine.Errorf(engine.CodeInvalid, "another segment of the axis has the name %q", name).At("input", "name")
		}
	}
	a := m.Axes[axis]
	a.Segments = slices.Clone(before)
	byHand := map[int]string{index: name}
	heirs := map[int]*engine.Segment{}
	for i := range before {
		if i != index {
			heirs[i] = &before[i]
		}
	}
	nameSegments(&a, &engine.Axes[axis], byHand, heirs)
	m.Axes[axis] = a
	return nil
}
