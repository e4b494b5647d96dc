package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

const retentionOverrides = `-- name: RetentionOverrides
SELECT snapshot_type, keep_days FROM retention_override WHERE store_id = $1`

// RetentionOverrides gives the days for which a store keeps snapshots where they are not the installation's.
func (db *DB) RetentionOverrides(ctx context.Context, storeID int32) (map[engine.SnapshotType]int, error) {
	rows, err := db.pool.Query(ctx, retentionOverrides, storeID)
	if err != nil {
		return nil, err
	}
	overrides := map[engine.SnapshotType]int{}
	var kind int16
	var days int
	_, err = pgx.ForEachRow(rows, []any{&kind, &days}, func() error {
		overrides[engine.SnapshotType(kind)] = days
		return nil
	})
	return overrides, err
}

const countExpired = `-- name: CountExpired
SELECT count(*) FILTER (WHERE NOT replayed), count(*) FILTER (WHERE replayed) FROM snapshot
WHERE store_id = $1 AND snapshot_type = $2 AND snapshot_date < $3`

// CountExpired counts a store's snapshots of a type before a date, live ones and replayed ones apart.
func (db *DB) CountExpired(ctx context.Context, storeID int32, kind engine.SnapshotType, before engine.Date) (live, replayed int64, err error) {
	err = db.pool.QueryRow(ctx, countExpired, storeID, int16(kind), dateParam(before)).Scan(&live, &replayed)
	return live, replayed, err
}

// A batch is small enough that its row locks and its WAL trouble nobody.
const deleteExpired = `-- name: DeleteExpired
DELETE FROM snapshot WHERE (tableoid, ctid) IN (
  SELECT tableoid, ctid FROM snapshot WHERE store_id = $1 AND snapshot_type = $2 AND snapshot_date < $3 AND (NOT replayed OR $4) LIMIT $5)`

// DeleteExpired removes at most limit of a store's snapshots of a type before a date, and tells how many.
func (db *DB) DeleteExpired(ctx context.Context, storeID int32, kind engine.SnapshotType, before engine.Date, replayedToo bool, limit int) (int64, error) {
	tag, err := db.pool.Exec(ctx, deleteExpired, storeID, int16(kind), dateParam(before), replayedToo, limit)
	return tag.RowsAffected(), err
}

const emptyLeaves = `-- name: EmptyLeaves
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
WHERE p.relname = 'snapshot_' || $1 AND c.relname < 'snapshot_' || $1 || '_' || $2 ORDER BY c.relname`

// DropEmptyLeaves removes the partitions of a type whose whole period lies before a date and that hold no row of any
// store. A leaf that somebody reads is left for the next time.
func (db *DB) DropEmptyLeaves(ctx context.Context, kind engine.SnapshotType, before engine.Date) error {
	from, _ := leaf(kind, before)
	names, err := collect(ctx, db.pool, pgx.RowTo[string], emptyLeaves, kind.String(), from.UTC().Format("20060102"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := db.dropLeafIfEmpty(ctx, "snapshot_"+kind.String(), name); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) dropLeafIfEmpty(ctx context.Context, parent, name string) error {
	quoted := pgx.Identifier{name}.Sanitize()
	var used bool
	if err := db.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+quoted+")").Scan(&used); err != nil || used {
		return err
	}
	err := db.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '100ms'"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "LOCK TABLE "+quoted+" IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+quoted+")").Scan(&used); err != nil || used {
			return err
		}
		if _, err := tx.Exec(ctx, "ALTER TABLE "+pgx.Identifier{parent}.Sanitize()+" DETACH PARTITION "+quoted); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DROP TABLE "+quoted)
		return err
	})
	if isLockTimeout(err) {
		return nil
	}
	return err
}

const oldestSnapshot = `-- name: SnapshotSpan
SELECT count(*), min(snapshot_date), max(snapshot_date) FROM snapshot WHERE store_id = $1`

// SnapshotSpan tells how many snapshots a store has, and the days of the oldest and the newest.
func (db *DB) SnapshotSpan(ctx context.Context, storeID int32) (count int64, oldest, newest engine.Date, err error) {
	var from, to *time.Time
	if err := db.pool.QueryRow(ctx, oldestSnapshot, storeID).Scan(&count, &from, &to); err != nil || from == nil {
		return count, 0, 0, err
	}
	return count, dateOf(*from), dateOf(*to), nil
}
