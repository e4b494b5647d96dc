package events_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/events"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// TestMain also looks for goroutines that the tests left behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := pgtest.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestWatchersLearnOfChangesAlsoAfterALostConnection(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	id := uuid.NewString()
	if err := db.InTx(t.Context(), func(tx *postgres.Tx) error {
		_, err := tx.InsertRun(t.Context(), postgres.NewRun{ID: id, StoreID: 1, Kind: engine.RunRecluster, Trigger: engine.TriggerCLI, Request: struct{}{}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	hub := events.NewHub(db, slog.New(slog.DiscardHandler))
	changes := hub.WatchRun(ctx, id)
	other := hub.WatchRun(ctx, uuid.NewString())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()

	<-changes // listening began
	<-other
	if err := db.StartRun(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	<-changes
	// The listening connection is the one whose last statement was LISTEN.
	if _, err := pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`); err != nil {
		t.Fatal(err)
	}
	<-changes // everyone is told to look again
	if err := db.ProgressRun(t.Context(), id, engine.StageFeatures, "", 1, 2); err != nil {
		t.Fatal(err)
	}
	<-changes
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
