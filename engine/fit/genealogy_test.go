package fit

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/synth"
)

// flat is an axis whose segments are all roots.
func flat(keys ...string) *engine.AxisModel {
	a := &engine.AxisModel{Status: engine.AxisOn}
	for _, key := range keys {
		a.Segments = append(a.Segments, engine.Segment{Key: key, Name: "name of " + key, Parent: -1})
	}
	a.NumberSegments()
	return a
}

func kindsOf(a *engine.AxisModel) (origins, fates []engine.GenealogyKind) {
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
		origins, fates []engine.GenealogyKind
	}{
		{
			"all survive, in another order",
			leafOverlap{{0, 90, 10}, {100, 0, 0}, {5, 5, 90}},
			[]engine.GenealogyKind{engine.SegmentSurvived, engine.SegmentSurvived, engine.SegmentSurvived},
			[]engine.GenealogyKind{engine.SegmentSurvived, engine.SegmentSurvived, engine.SegmentSurvived},
		},
		{
			"the first splits in two",
			leafOverlap{{48, 47, 5}, {0, 0, 100}},
			[]engine.GenealogyKind{engine.SegmentSplit, engine.SegmentSplit, engine.SegmentSurvived},
			[]engine.GenealogyKind{engine.SegmentSplit, engine.SegmentSurvived},
		},
		{
			"two merge",
			leafOverlap{{50, 0}, {50, 0}, {0, 80}},
			[]engine.GenealogyKind{engine.SegmentSurvived, engine.SegmentSurvived},
			[]engine.GenealogyKind{engine.SegmentSurvived, engine.SegmentMerged, engine.SegmentSurvived},
		},
		{
			"three merge, none of which is half of the new one",
			leafOverlap{{40, 0}, {40, 0}, {40, 0}, {0, 80}},
			[]engine.GenealogyKind{engine.SegmentMerged, engine.SegmentSurvived},
			[]engine.GenealogyKind{engine.SegmentMerged, engine.SegmentMerged, engine.SegmentMerged, engine.SegmentSurvived},
		},
		{
			"nothing goes on",
			leafOverlap{{20, 20, 20, 20, 20}},
			[]engine.GenealogyKind{engine.SegmentNew, engine.SegmentNew, engine.SegmentNew, engine.SegmentNew, engine.SegmentNew},
			[]engine.GenealogyKind{engine.SegmentGone},
		},
		{
			"nobody is in both",
			leafOverlap{{0, 0}, {0, 0}},
			[]engine.GenealogyKind{engine.SegmentNew, engine.SegmentNew},
			[]engine.GenealogyKind{engine.SegmentGone, engine.SegmentGone},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			keys := []string{"a", "b", "c", "d", "e"}
			old, now := flat(keys[:len(test.shared)]...), flat(keys[:len(test.shared[0])]...)
			descend(now, old, test.shared)
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
		survivors := descend(now, old, shared)
		for i, before := range survivors {
			p := slices.IndexFunc(old.Segments, func(s engine.Segment) bool { return s.Key == before.Key })
			fate, origin := now.Before[p], now.Segments[i].Origin
			if fate.Kind != engine.SegmentSurvived || origin.Kind != engine.SegmentSurvived || fate.Links[0].Segment != i || origin.Links[0].Segment != p {
				t.Fatalf("%s survives as %d, told as %+v and %+v", before.Key, i, fate, origin)
			}
			if fate.Links[0].Overlap < 0.5 || fate.Links[0].Reverse < 0.5 || fate.Links[0].Overlap != origin.Links[0].Reverse {
				t.Fatalf("%+v and %+v do not agree", fate, origin)
			}
		}
		for p, fate := range now.Before {
			if survived := fate.Kind == engine.SegmentSurvived; survived != slices.ContainsFunc(values(survivors), func(s *engine.Segment) bool { return s == &old.Segments[p] }) {
				t.Fatalf("segment %d: %+v", p, fate)
			}
			if fate.Kind == engine.SegmentGone != (len(fate.Links) == 0) {
				t.Fatalf("segment %d: %+v", p, fate)
			}
		}
		for i := range now.Segments {
			origin := now.Segments[i].Origin
			for _, link := range origin.Links {
				if origin.Kind == engine.SegmentSplit && now.Before[link.Segment].Kind != engine.SegmentSplit {
					t.Fatalf("segment %d is part of %+v", i, now.Before[link.Segment])
				}
			}
		}
	})
}

func values(m map[int]*engine.Segment) []*engine.Segment {
	var list []*engine.Segment
	for _, s := range m {
		list = append(list, s)
	}
	return list
}

// TestRefitKeepsIdentity: the same customers fitted again, from another seed, have the segments that they had, with keys and
// names; keys are never used twice.
func TestRefitKeepsIdentity(t *testing.T) {
	t.Parallel()
	table := synth.Table(1500, 3)
	p := engine.DefaultParams()
	p.K = 3
	first := fitted(t, table, p)
	second, err := Model(t.Context(), p, 43, table, first, nil)
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
			t.Errorf("%s: %d fates of %d segments", engine.Axes[i].Key, len(now.Before), len(before.Segments))
		}
		for j := range now.Segments {
			s := &now.Segments[j]
			name, kept := known[s.Key]
			if kept != (s.Origin.Kind == engine.SegmentSurvived) || kept && name != s.Name {
				t.Errorf("%s: %s is %q with key %s, from %+v, where that key was %q", engine.Axes[i].Key, s.Path, s.Name, s.Key, s.Origin, name)
			}
			if s.Parent < 0 && !kept {
				t.Errorf("%s: %s, a root of %d customers, did not survive: %+v", engine.Axes[i].Key, s.Path, s.Members, s.Origin)
			}
		}
	}
}
