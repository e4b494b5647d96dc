package fit

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
)

func TestRename(t *testing.T) {
	t.Parallel()
	var m engine.Model
	m.Axes[0] = *profiled([]float64{95, 50}, []float64{50, 50}, []float64{5, 50})
	nameSegments(&m.Axes[0], &engine.Axes[0], nil, nil)
	fitted := namesOf(&m.Axes[0])
	old := m.Axes[0].Segments
	if err := Rename(&m, 0, 1, "regulars"); err != nil {
		t.Fatal(err)
	}
	want := []string{fitted[0], "regulars", fitted[2]}
	if diff := cmp.Diff(want, namesOf(&m.Axes[0])); diff != "" || !m.Axes[0].Segments[1].ByHand || m.Axes[0].Segments[0].ByHand {
		t.Errorf("%s %+v", diff, m.Axes[0].Segments)
	}
	if old[1].Name != fitted[1] || old[1].ByHand {
		t.Errorf("whoever reads the model meanwhile sees %+v", old[1])
	}
	if err := Rename(&m, 0, 2, "regulars"); engine.CodeOf(err) != engine.CodeInvalid {
		t.Errorf("a name that is taken: %v", err)
	}
	if err := Rename(&m, 0, 1, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fitted, namesOf(&m.Axes[0])); diff != "" || m.Axes[0].Segments[1].ByHand {
		t.Errorf("taken away: %s", diff)
	}
}
