package postgres_test

import (
	"testing"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// A store is looked up in any database without a change to it.
func TestStoreIfAny(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	if store, err := db.StoreIfAny(t.Context(), "shop"); store != nil || err != nil {
		t.Errorf("%v, %v", store, err)
	}
	if _, err := db.EnsureStore(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if store, err := db.StoreIfAny(t.Context(), "shop"); err != nil || store.Key != "shop" {
		t.Errorf("%v, %v", store, err)
	}
	for _, change := range []string{`ALTER TABLE store DROP COLUMN purchase_statuses`, `DROP TABLE store CASCADE`} {
		if _, err := pool.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		store, err := db.StoreIfAny(t.Context(), "shop")
		if older := change[0] == 'A'; store != nil || older != (engine.CodeOf(err) == engine.CodeConflict) || !older && err != nil {
			t.Errorf("%s: %v, %v", change, store, err)
		}
	}
}
