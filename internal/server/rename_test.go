package server_test

import (
	"strings"
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/fit"
)

func TestRenameSegment(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	type segment struct {
		ID, Name    string
		NamedByHand bool
	}
	read := func() []segment {
		var got struct {
			Store struct {
				Axis struct{ SegmentTree []segment }
			}
		}
		a.data(t, &got, `{ store(key: "shop") { axis(key: "purchase_frequency") { segmentTree { id name namedByHand } } } }`, nil)
		return got.Store.Axis.SegmentTree
	}
	tree := read()
	type payload struct {
		Segment    *segment
		UserErrors []struct {
			Code  string
			Field []string
		}
	}
	rename := func(id string, name any) payload {
		var data struct{ RenameSegment payload }
		a.data(t, &data, `mutation ($in: RenameSegmentInput!) { renameSegment(input: $in) { segment { id name namedByHand } userErrors { code field } } }`,
			map[string]any{"in": map[string]any{"segmentId": id, "name": name}})
		return data.RenameSegment
	}
	if got := rename(tree[0].ID, "  Our regulars "); got.Segment == nil || *got.Segment != (segment{tree[0].ID, "Our regulars", true}) {
		t.Fatalf("%+v", got)
	}
	if now := read(); now[0].Name != "Our regulars" || now[1].Name != tree[1].Name {
		t.Errorf("%+v", now)
	}
	var inView int
	check(t, a.pool.QueryRow(t.Context(), `SELECT count(*) FROM segment_model WHERE 'segment seg_0.0' = ANY (segment)`).Scan(&inView))
	if inView != 1 {
		t.Errorf("the view's names of leaves are lost")
	}
	for name, c := range map[string]struct {
		id, name any
		code     string
		field    string
	}{
		"taken":         {tree[1].ID, "Our regulars", "INVALID", "name"},
		"empty":         {tree[1].ID, " ", "INVALID", "name"},
		"two lines":     {tree[1].ID, "a\nb", "INVALID", "name"},
		"too long":      {tree[1].ID, strings.Repeat("ä", 101), "INVALID", "name"},
		"no identifier": {"abc", "x", "INVALID", "segmentId"},
		"no segment":    {a.finishedRun(t), "x", "NOT_FOUND", "segmentId"},
	} {
		got := rename(c.id.(string), c.name)
		if len(got.UserErrors) != 1 || got.UserErrors[0].Code != c.code || len(got.UserErrors[0].Field) != 2 || got.UserErrors[0].Field[1] != c.field || got.Segment != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := rename(tree[0].ID, nil); got.Segment == nil || got.Segment.NamedByHand || got.Segment.Name == "Our regulars" {
		t.Errorf("taken away: %+v", got)
	}
	// Another process gives a name: this one hears of it.
	store, err := a.db.StoreByKey(t.Context(), "shop")
	check(t, err)
	check(t, a.db.RenameInModel(t.Context(), store.ID, 1, func(m *engine.Model) error { return fit.Rename(m, 0, 3, "from elsewhere") }))
	for read()[3].Name != "from elsewhere" {
		check(t, t.Context().Err())
	}
}
