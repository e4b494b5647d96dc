package server_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// TestGenealogy follows segments from one model to the next, both ways.
func TestGenealogy(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	store, err := a.db.StoreByKey(t.Context(), "shop")
	check(t, err)
	m := fixtureModel()
	m.Version = 2
	axis := &m.Axes[1]
	for i, kind := range []engine.GenealogyKind{engine.SegmentSurvived, engine.SegmentNew} {
		axis.Segments[i].Origin = &engine.Genealogy{Kind: kind}
	}
	axis.Segments[0].Origin.Links = []engine.SegmentLink{{Segment: 1, Overlap: 0.75, Reverse: 0.5}}
	axis.Before = []engine.Genealogy{{Kind: engine.SegmentGone}, {Kind: engine.SegmentSurvived, Links: []engine.SegmentLink{{Segment: 0, Overlap: 0.5, Reverse: 0.75}}}}
	check(t, a.db.InTx(t.Context(), func(tx *postgres.Tx) error { return tx.InsertModel(t.Context(), store.ID, uuid.NewString(), m) }))

	type link struct {
		Segment                 struct{ Path, Name string }
		Overlap, ReverseOverlap float64
	}
	type genealogy struct {
		Kind  string
		Links []link
	}
	type segment struct{ Origin, Fate *genealogy }
	var got struct {
		Store struct {
			Axis struct{ Before, Now []segment }
		}
	}
	a.data(t, &got, `{ store(key: "shop") { axis(key: "purchase_value") { before: rootSegments(modelVersion: 1) { ...g } now: rootSegments { ...g } } } }
fragment g on Segment { origin { ...l } fate { ...l } }
fragment l on SegmentGenealogy { kind links { segment { path name } overlap reverseOverlap } }`, nil)
	linked := func(path string, overlap, reverse float64) []link {
		l := link{Overlap: overlap, ReverseOverlap: reverse}
		l.Segment.Path, l.Segment.Name = path, "segment "+path
		return []link{l}
	}
	want := got
	want.Store.Axis.Before = []segment{{Fate: &genealogy{"GONE", []link{}}}, {Fate: &genealogy{"SURVIVED", linked("seg_0", 0.5, 0.75)}}}
	want.Store.Axis.Now = []segment{{Origin: &genealogy{"SURVIVED", linked("seg_1", 0.75, 0.5)}}, {Origin: &genealogy{"NEW", []link{}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
