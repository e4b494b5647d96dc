package risk_test

import (
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/risk"
)

// A parent has the members of its leaves, and a customer without a place on an axis is nobody's member there.
func TestMeansByHand(t *testing.T) {
	t.Parallel()
	m := twoAxes()
	means := risk.NewMeans(m)
	at := func(first, fourth int16) engine.Thumbprint {
		p := engine.Thumbprint{Dominant: make([]int16, engine.AxisCount)}
		for a := range p.Dominant {
			p.Dominant[a] = -1
		}
		p.Dominant[0], p.Dominant[3] = first, fourth
		return p
	}
	means.Add(at(0, 3), 0.2)
	means.Add(at(1, -1), 0.4)
	means.Add(at(1, 3), 0.6)
	means.Describe()
	for i, want := range []float64{0.4, 0.2, 0.5} {
		if got := m.Axes[0].Segments[i].Profile.MeanChurnRisk; got != nil {
			near(t, "a mean on the first axis", *got, want)
		} else {
			t.Errorf("segment %d has no mean", i)
		}
	}
	if got := m.Axes[3].Segments[0].Profile.MeanChurnRisk; got == nil || *got != 0.4 {
		t.Errorf("on the fourth axis %v, want 0.4", got)
	}
	for _, nobody := range []*engine.Segment{&m.Axes[0].Segments[3], &m.Axes[3].Segments[1]} {
		if nobody.Profile.MeanChurnRisk != nil {
			t.Errorf("nobody's mean is %v", *nobody.Profile.MeanChurnRisk)
		}
	}
}
