package engine

import "strconv"

// identify gives every segment its key and its name.
func (m *Model) identify(previous *Model) {
	if previous != nil {
		m.Keys = previous.Keys
	}
	for i := range m.Axes {
		a := &m.Axes[i]
		for j := range a.Segments {
			m.Keys++
			a.Segments[j].Key = "s" + strconv.Itoa(m.Keys)
		}
		a.nameSegments(&Axes[i], nil, nil)
	}
}
