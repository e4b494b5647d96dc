package server_test

import (
	"math"
	"testing"

	"github.com/quimbi/quimbi/engine"
)

// overall is what the API says of a drift over all axes.
type overall struct {
	Score, RobustZ, Percentile, Excess *float64
	IsAnomaly                          *bool
}

const overallFields = `overall { score isAnomaly robustZ percentile excess }`

// TestAmongAll holds a move of every tenth customer against those who stayed.
func TestAmongAll(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	store, err := a.db.StoreByKey(t.Context(), "shop")
	check(t, err)
	crossing := lastSunday - engine.Date(7*(weeks-1-weeks/2))
	check(t, a.db.WriteSpread(t.Context(), store.ID, engine.Weekly, crossing))
	var data struct {
		DriftEvents struct{ Nodes []struct{ Overall overall } }
		Mover       struct{ Step, Long *struct{ Overall overall } }
		Stayer      struct{ Step *struct{ Overall overall } }
	}
	a.data(t, &data, `query($from: Date!, $to: Date!, $all: Date!) {
  driftEvents(first: 5) { nodes { `+overallFields+` } }
  mover: customer(by: { key: { storeId: "shop", customerId: "c010" } }) {
    step: driftAnalysis(range: { from: $from, to: $to }) { `+overallFields+` }
    long: driftAnalysis(range: { from: $all, to: $to }) { `+overallFields+` }
  }
  stayer: customer(by: { key: { storeId: "shop", customerId: "c011" } }) { step: driftAnalysis(range: { from: $from, to: $to }) { `+overallFields+` } }
}`, map[string]any{"from": crossing - 7, "to": crossing + 1, "all": crossing - 70})
	moved := func(what string, o overall) {
		t.Helper()
		if o.Percentile == nil || math.Abs(*o.Percentile-0.9) > 0.011 || o.Excess == nil || math.Abs(*o.Excess-*o.Score) > 1e-6 {
			t.Errorf("%s: %+v, want 90 %% who moved less and an excess as large as the score: most did not move", what, o)
		}
		if o.IsAnomaly == nil || *o.IsAnomaly != (*o.Score >= 0.5) || o.RobustZ != nil {
			t.Errorf("%s: anomaly %v at %v, z %v", what, *o.IsAnomaly, *o.Score, o.RobustZ)
		}
	}
	for _, e := range data.DriftEvents.Nodes {
		// The fixture's events are marked by no run.
		*e.Overall.IsAnomaly = *e.Overall.Score >= 0.5
		moved("event", e.Overall)
	}
	moved("analysis of a step", data.Mover.Step.Overall)
	if o := data.Stayer.Step.Overall; *o.Percentile != 0 || *o.Excess != 0 || *o.IsAnomaly {
		t.Errorf("who stayed: %+v", o)
	}
	if o := data.Mover.Long.Overall; o.Percentile != nil || o.Excess != nil || o.RobustZ != nil || o.IsAnomaly == nil {
		t.Errorf("analysis of eleven weeks: %+v, want no comparison with one", o)
	}
}
