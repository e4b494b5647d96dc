package jobs_test

import (
	"math"
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/jobs"
)

// TestMeanChurnRisk holds the profiles of segments to the states of their members.
func TestMeanChurnRisk(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store, err := db.EnsureStore(ctx, "cdnow")
	check(t, err)
	_, err = q.Import(ctx, store, []jobs.Source{sample(t, "cdnow_sample.csv.gz")}, ingest.Options{}, nil, nil)
	check(t, err)
	store, err = db.StoreByKey(ctx, "cdnow")
	check(t, err)
	recluster(t, q, store)
	m, err := db.NewestModel(ctx, store.ID)
	check(t, err)
	if m.Predictor.Fault() != engine.PredictionGiven {
		t.Fatalf("the shop has no prediction: %v", m.Predictor.Fault())
	}
	leaves := 0
	for a := range m.Axes {
		axis := &m.Axes[a]
		for i := range axis.Segments {
			s := &axis.Segments[i]
			if !s.IsLeaf() {
				continue
			}
			var mean *float64
			check(t, pool.QueryRow(ctx, "SELECT avg(churn_risk) FROM customer_state WHERE store_id = $1 AND dominant_at(dominant, $2) = $3",
				store.ID, a, axis.First+s.Leaf).Scan(&mean))
			switch got := s.Profile.MeanChurnRisk; {
			case (got == nil) != (mean == nil):
				t.Errorf("%s: mean churn risk %v, of the states %v", s.Name, got, mean)
			case got != nil && math.Abs(*got-*mean) > 2e-6: // states are of single precision
				t.Errorf("%s: mean churn risk %v, of the states %v", s.Name, *got, *mean)
			case got != nil:
				leaves++
			}
		}
	}
	if leaves < 10 {
		t.Errorf("only %d leaves have a mean churn risk", leaves)
	}
}
