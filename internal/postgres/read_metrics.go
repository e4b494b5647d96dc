package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Tally counts things that have two words in common, of which the second may be empty.
type Tally struct {
	Word, Other string
	Count       int64
}

const countRunsByState = `-- name: CountRunsByState
SELECT kind, state, count(*) FROM run GROUP BY kind, state`

const countJobsByState = `-- name: CountJobsByState
SELECT kind, state::text, count(*) FROM river_job GROUP BY kind, state`

// The conditions are those of the feed's partial index, which is all that is read.
const countNewestDrift = `-- name: CountNewestDrift
SELECT CASE WHEN e.score >= 0.7 THEN 'MAJOR' WHEN e.score >= 0.5 THEN 'SIGNIFICANT' ELSE 'MODERATE' END, '', count(*)
FROM store s
CROSS JOIN LATERAL (
  SELECT n.to_date FROM drift_event n
  WHERE n.store_id = s.store_id AND n.score >= 0.3 AND n.by_order AND NOT n.provisional
  ORDER BY n.to_date DESC, n.event_id DESC LIMIT 1
) newest
JOIN drift_event e ON e.store_id = s.store_id AND e.to_date = newest.to_date AND e.score >= 0.3 AND e.by_order AND NOT e.provisional
GROUP BY 1`

// RunTallies counts runs by kind and state.
func (db *DB) RunTallies(ctx context.Context) ([]Tally, error) {
	return db.tallies(ctx, countRunsByState)
}

// JobTallies counts the queue's jobs by kind and state.
func (db *DB) JobTallies(ctx context.Context) ([]Tally, error) {
	return db.tallies(ctx, countJobsByState)
}

// DriftTallies counts the drift events of each store's newest day with any, MODERATE or worse and caused by orders, by severity.
func (db *DB) DriftTallies(ctx context.Context) ([]Tally, error) {
	return db.tallies(ctx, countNewestDrift)
}

func (db *DB) tallies(ctx context.Context, sql string) ([]Tally, error) {
	return collect(ctx, db.pool, func(row pgx.CollectableRow) (Tally, error) {
		var t Tally
		err := row.Scan(&t.Word, &t.Other, &t.Count)
		return t, err
	}, sql)
}
