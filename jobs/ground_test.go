package jobs

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// TestOtherModel has a model come into force between what scoring rests on and the scoring: no customer is scored under the one before.
func TestOtherModel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	clock := at("2026-11-22T12:00:00Z")
	q, db, store := slottedOn(t, pgtest.DB(t), &clock)
	g, err := q.groundNow(ctx, store, engine.Instant{At: clock})
	if err != nil || g.model.Version != 1 {
		t.Fatal(g, err)
	}
	batch := func() error {
		return db.InTx(ctx, func(tx *postgres.Tx) error {
			_, _, err := q.scoreBatch(ctx, tx, g)
			return err
		})
	}
	if err := batch(); err != nil {
		t.Fatal(err)
	}
	err = db.InTx(ctx, func(tx *postgres.Tx) error {
		return tx.InsertModel(ctx, store.ID, uuid.NewString(), &engine.Model{Version: 2})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := batch(); !errors.Is(err, errOtherModel) {
		t.Errorf("scoring under model 1 after model 2 came gave %v", err)
	}
	if g, err = q.groundNow(ctx, store, engine.Instant{At: clock}); err != nil || batch() != nil {
		t.Errorf("under model 2: %v", err)
	}
}
