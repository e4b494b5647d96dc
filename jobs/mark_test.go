package jobs_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// TestMarksOutliveReplays holds that customers stay in the lists of the present where a replay under an earlier model meets the
// snapshots that their state is taken from.
func TestMarksOutliveReplays(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	store := s.newStore(t, t)
	s.send(t, t, store, order("1", "ann", 3))
	first, err := shopModel()
	check(t, err)
	second := *first
	second.Version = 2
	check(t, s.db.InTx(t.Context(), func(tx *postgres.Tx) error { return tx.InsertModel(t.Context(), store.ID, uuid.NewString(), &second) }))
	today := engine.DateOf(clock(), store.Zone)
	replay := func(version int) *engine.Run {
		run, err := s.score.Replay(t.Context(), jobs.ReplayRequest{
			Store: store, Type: engine.Daily, From: today, To: today + 1, ModelVersion: version, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerCLI,
		})
		check(t, err)
		check(t, s.score.Work(t.Context(), run, nil))
		run, err = s.db.Run(t.Context(), run.ID)
		check(t, err)
		return run
	}
	marked := func() (n int) {
		check(t, s.pool.QueryRow(t.Context(), "SELECT count(mark) FROM customer_state WHERE store_id = $1 AND model_id = 2", store.ID).Scan(&n))
		return n
	}
	replay(2)
	if n := marked(); n != 1 {
		t.Fatalf("%d customers are marked, want 1", n)
	}
	if run := replay(1); run.State != engine.RunSucceeded {
		t.Fatalf("the replay ended as %s: %s", run.State, run.Failure)
	}
	if n := marked(); n != 1 {
		t.Errorf("after a replay under the earlier model %d customers are marked, want 1", n)
	}
}
