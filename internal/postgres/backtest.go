package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

const insertBacktest = `-- name: InsertBacktest
INSERT INTO backtest (store_id, run_id, result) VALUES ($1, $2, $3)`

// InsertBacktest keeps what a run found, as JSON.
func (tx *Tx) InsertBacktest(ctx context.Context, storeID int32, runID string, result []byte) error {
	_, err := tx.Exec(ctx, insertBacktest, storeID, runID, result)
	return err
}

const backtestOfRun = `-- name: BacktestOfRun
SELECT result FROM backtest WHERE store_id = $1 AND run_id = $2`

// Backtest gives what a run found, as JSON. Fault: NOT_FOUND until it has succeeded.
func (db *DB) Backtest(ctx context.Context, storeID int32, runID string) ([]byte, error) {
	return one(ctx, db.read(ctx), pgx.RowTo[[]byte], engine.Errorf(engine.CodeNotFound, "run %s has no result", runID), backtestOfRun, storeID, runID)
}
