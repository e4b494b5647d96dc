package engine

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// flat is an axis whose segments are all roots.
func flat(keys ...string) *AxisModel {
	a := &AxisModel{Status: AxisOn}
	for _, key := range keys {
		a.Segments = append(a.Segments, Segment{Key: key, Name: "name of " + key, Parent: -1})
	}
	a.numberSegments()
	return a
}

func kindsOf(a *AxisModel) (origins, fates []GenealogyKind) {
	for i := range a.Segments {
		origins = append(origins, a.Segments[i].Origin.Kind)
	}
	for _, g := range a.Before {
		fates = append(fates, g.Kind)
	}
	return origins, fates
}

func TestDescent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		shared         leafOverlap
		origins, fates []GenealogyKind
	}{
		{
			"all survive, in another order",
			leafOverlap{{0, 90, 10}, {100, 0, 0}, {5, 5, 90}},
			[]GenealogyKind{SegmentSurvived, SegmentSurvived, SegmentSurvived},
			[]GenealogyKind{SegmentSurvived, SegmentSurvived, SegmentSurvived},
		},
		{
			"the first splits in two",
			leafOverlap{{48, 47, 5}, {0, 0, 100}},
			[]GenealogyKind{SegmentSplit, SegmentSplit, SegmentSurvived},
			[]GenealogyKind{SegmentSplit, SegmentSurvived},
		},
		{
			"two merge",
			leafOverlap{{50, 0}, {50, 0}, {0, 80}},
			[]GenealogyKind{SegmentSurvived, SegmentSurvived},
			[]GenealogyKind{SegmentSurvived, SegmentMerged, SegmentSurvived},
		},
		{
			"three merge, none of which is half of the new one",
			leafOverlap{{40, 0}, {40, 0}, {40, 0}, {0, 80}},
			[]GenealogyKind{SegmentMerged, SegmentSurvived},
			[]GenealogyKind{SegmentMerged, SegmentMerged, SegmentMerged, SegmentSurvived},
		},
		{
			"nothing goes on",
			leafOverlap{{20, 20, 20, 20, 20}},
			[]GenealogyKind{SegmentNew, SegmentNew, SegmentNew, SegmentNew, SegmentNew},
			[]GenealogyKind{SegmentGone},
		},
		{
			"nobody is in both",
			leafOverlap{{0, 0}, {0, 0}},
			[]GenealogyKind{SegmentNew, SegmentNew},
			[]GenealogyKind{SegmentGone, SegmentGone},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			keys := []string{"a", "b", "c", "d", "e"}
			old, now := flat(keys[:len(test.shared)]...), flat(keys[:len(test.shared[0])]...)
			now.descend(old, test.shared)
			origins, fates := kindsOf(now)
			if diff := cmp.Diff(test.origins, origins); diff != "" {
				t.Errorf("origins (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.fates, fates); diff != "" {
				t.Errorf("fates (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDescentAgrees: what is told of the old segments and of the new ones is the same story.
func TestDescentAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, m := rapid.IntRange(1, 5).Draw(t, "before"), rapid.IntRange(1, 5).Draw(t, "now")
		shared := make(leafOverlap, n)
		for p := range shared {
			shared[p] = rapid.SliceOfN(rapid.IntRange(0, 40), m, m).Draw(t, "shared")
		}
		keys := []string{"a", "b", "c", "d", "e"}
		old, now := flat(keys[:n]...), flat(keys[:m]...)
		survivors := now.descend(old, shared)
		for i, before := range survivors {
			p := slices.IndexFunc(old.Segments, func(s Segment) bool { return s.Key == before.Key })
			fate, origin := now.Before[p], now.Segments[i].Origin
			if fate.Kind != SegmentSurvived || origin.Kind != SegmentSurvived || fate.Links[0].Segment != i || origin.Links[0].Segment != p {
				t.Fatalf("%s survives as %d, told as %+v and %+v", before.Key, i, fate, origin)
			}
			if fate.Links[0].Overlap < 0.5 || fate.Links[0].Reverse < 0.5 || fate.Links[0].Overlap != origin.Links[0].Reverse {
				t.Fatalf("%+v and %+v do not agree", fate, origin)
			}
		}
		for p, fate := range now.Before {
			if survived := fate.Kind == SegmentSurvived; survived != slices.ContainsFunc(values(survivors), func(s *Segment) bool { return s == &old.Segments[p] }) {
				t.Fatalf("segment %d: %+v", p, fate)
			}
			if fate.Kind == SegmentGone != (len(fate.Links) == 0) {
				t.Fatalf("segment %d: %+v", p, fate)
			}
		}
		for i := range now.Segments {
			origin := now.Segments[i].Origin
			for _, link := range origin.Links {
				if origin.Kind == SegmentSplit && now.Before[link.Segment].Kind != SegmentSplit {
					t.Fatalf("segment %d is part of %+v", i, now.Before[link.Segment])
				}
			}
		}
	})
}

func values(m map[int]*Segment) []*Segment {
	var list []*Segment
	for _, s := range m {
		list = append(list, s)
	}
	return list
}

// TestRefitKeepsIdentity: the same customers fitted again, from another seed, have the segments that they had, with keys and
// names; keys are never used twice.
func TestRefitKeepsIdentity(t *testing.T) {
	t.Parallel()
	table := randomTable(1500, 3)
	p := DefaultParams()
	p.K = 3
	first := fitted(t, table, p)
	second, err := Fit(t.Context(), p, 43, table, first, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first.Axes {
		before, now := &first.Axes[i], &second.Axes[i]
		known := map[string]string{}
		for j := range before.Segments {
			known[before.Segments[j].Key] = before.Segments[j].Name
		}
		if len(now.Before) != len(before.Segments) {
			t.Errorf("%s: %d fates of %d segments", Axes[i].Key, len(now.Before), len(before.Segments))
		}
		for j := range now.Segments {
			s := &now.Segments[j]
			name, kept := known[s.Key]
			if kept != (s.Origin.Kind == SegmentSurvived) || kept && name != s.Name {
				t.Errorf("%s: %s is %q with key %s, from %+v, where that key was %q", Axes[i].Key, s.Path, s.Name, s.Key, s.Origin, name)
			}
			if s.Parent < 0 && !kept {
				t.Errorf("%s: %s, a root of %d customers, did not survive: %+v", Axes[i].Key, s.Path, s.Members, s.Origin)
			}
		}
	}
}
