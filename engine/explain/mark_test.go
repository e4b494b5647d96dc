package explain

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
)

// TestMarks holds marks to the shapes of both levels and to outliers, one by one.
func TestMarks(t *testing.T) {
	t.Parallel()
	table, m := shop()
	marker, scorer := NewMarker(m), m.NewScorer()
	found := map[Mark]int{}
	for i := range table.Len() {
		var print engine.Thumbprint
		purchases, values := int(table.Purchases[i]), table.Row(i)
		scorer.Score(purchases, values, &print)
		for axis, b := range marker.Marks(print, purchases, values) {
			leaves := m.LeafMemberships(axis, print, nil)
			if len(leaves) == 0 {
				if b != 0 {
					t.Fatalf("a mark of %d without memberships", b)
				}
				continue
			}
			mark := Mark(b)
			found[mark]++
			if mark&ShapeMask(engine.LevelLeaves) != ShapeMark(engine.LevelLeaves, ShapeOf(leaves)) ||
				mark&ShapeMask(engine.LevelRoots) != ShapeMark(engine.LevelRoots, ShapeOf(m.RootMemberships(axis, print, nil))) ||
				(mark&OutlierBit != 0) != scorer.Outlier(axis, purchases, values) {
				t.Fatalf("customer %d on axis %d has the mark %b", i, axis, mark)
			}
		}
	}
	if len(found) < 5 {
		t.Errorf("marks %v", found)
	}
}

// TestMarkBits: every shape on either level, with an outlier or without, is another mark.
func TestMarkBits(t *testing.T) {
	t.Parallel()
	shapes := rapid.SampledFrom([]Shape{ShapeClear, ShapeHybrid, ShapeDiffuse})
	draw := func(t *rapid.T) (Shape, Shape, Mark) {
		leaves, roots, outlier := shapes.Draw(t, "leaves"), shapes.Draw(t, "roots"), OutlierBit*Mark(rapid.IntRange(0, 1).Draw(t, "outlier"))
		return leaves, roots, ShapeMark(engine.LevelLeaves, leaves) | ShapeMark(engine.LevelRoots, roots) | outlier
	}
	rapid.Check(t, func(t *rapid.T) {
		l1, r1, one := draw(t)
		l2, r2, two := draw(t)
		if (one == two) != (l1 == l2 && r1 == r2 && one&OutlierBit == two&OutlierBit) || one == 0 {
			t.Fatalf("%s and %s are %b, %s and %s are %b", l1, r1, one, l2, r2, two)
		}
	})
}

// BenchmarkMarks is what a customer more costs whoever writes present states.
func BenchmarkMarks(b *testing.B) {
	table, m := shop()
	marker, scorer := NewMarker(m), m.NewScorer()
	prints := make([]engine.Thumbprint, table.Len())
	for i := range prints {
		scorer.Score(int(table.Purchases[i]), table.Row(i), &prints[i])
	}
	for n := 0; b.Loop(); n++ {
		i := n % table.Len()
		marker.Marks(prints[i], int(table.Purchases[i]), table.Row(i))
	}
}
