package model_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/model"
)

func TestIDsSurviveTheWayThroughAClient(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := model.ID{Store: rapid.Int32Range(0, 1<<30).Draw(t, "store")}
		switch id.Kind = rapid.SampledFrom([]model.Kind{"s", "c", "a", "m", "g", "p", "e", "r"}).Draw(t, "kind"); id.Kind {
		case model.KindCustomer:
			id.Customer = rapid.Int64().Draw(t, "customer")
		case model.KindAxis:
			id.Axis = rapid.IntRange(0, engine.AxisCount-1).Draw(t, "axis")
		case model.KindModel:
			id.Version = rapid.IntRange(1, 1<<30).Draw(t, "version")
		case model.KindSegment:
			id.Version, id.Axis, id.Segment = 3, 2, rapid.StringMatching(`[a-z0-9_.]+`).Draw(t, "segment")
		case model.KindSnapshot:
			id.Customer, id.Type, id.Date = 7, engine.Weekly, engine.Date(rapid.Int32().Draw(t, "date"))
		case model.KindEvent:
			id.Event = rapid.Int64().Draw(t, "event")
		case model.KindRun:
			id.Run = rapid.StringMatching(`[a-f0-9-]+`).Draw(t, "run")
		}
		got, err := model.ParseID(id.String())
		if err != nil || got != id {
			t.Fatalf("%+v became %+v, %v", id, got, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	for _, text := range []string{"", "x", "cy8x", model.ID{Kind: model.KindStore, Store: 1}.String(), model.ID{Kind: model.KindSegment, Store: 1, Version: 1, Segment: "a"}.String()} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := model.ParseID(text); err == nil && id.String() != text {
			t.Fatalf("%q was read as %+v, which is %q", text, id, id.String())
		} else if err != nil && engine.CodeOf(err) != engine.CodeInvalid {
			t.Fatalf("%q gave %v", text, err)
		}
	})
}
