package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

const retentionOverrides = `-- name: RetentionOverrides
SELECT snapshot_type, keep_days FROM retention_override WHERE store_id = $1`

// RetentionOverrides gives the days for which a store keeps snapshots where they are not the installation's.
func (db *DB) RetentionOverrides(ctx context.Context, storeID int32) (map[engine.SnapshotType]int, error) {
	rows, err := db.read(ctx).Query(ctx, retentionOverrides, storeID)
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

const setRetention = `-- name: SetRetention
INSERT INTO retention_override (store_id, snapshot_type, keep_days) VALUES ($1, $2, $3)
ON CONFLICT (store_id, snapshot_type) DO UPDATE SET keep_days = excluded.keep_days`

const unsetRetention = `-- name: UnsetRetention
DELETE FROM retention_override WHERE store_id = $1 AND snapshot_type = $2`

// SetRetention keeps a store's snapshots of types for so many days; for 0 as long as the installation does.
func (tx *Tx) SetRetention(ctx context.Context, storeID int32, keep map[engine.SnapshotType]int) error {
	for kind, days := range keep {
		sql, args := setRetention, []any{storeID, int16(kind), days}
		if days == 0 {
			sql, args = unsetRetention, args[:2]
		}
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			return err
		}
	}
	return nil
}

const countExpired = `-- name: CountExpired
SELECT count(*) FILTER (WHERE NOT replayed), count(*) FILTER (WHERE replayed) FROM snapshot
WHERE store_id = $1 AND snapshot_type = $2 AND snapshot_date < $3`

// CountExpired counts a store's snapshots of a type before a date, live ones and replayed ones apart.
func (db *DB) CountExpired(ctx context.Context, storeID int32, kind engine.SnapshotType, before engine.Date) (live, replayed int64, err error) {
	err = db.pool.QueryRow(ctx, countExpired, storeID, int16(kind), dateParam(before)).Scan(&live, &replayed)
	return live, replayed, err
}

// Removed counts snapshots that are gone, replayed ones also apart.
type Removed struct{ All, Replayed int64 }

// A batch is small enough that its row locks and its WAL trouble nobody.
const deleteExpired = `-- name: DeleteExpired
WITH gone AS (DELETE FROM snapshot WHERE (tableoid, ctid) IN (
  SELECT tableoid, ctid FROM snapshot WHERE store_id = $1 AND snapshot_type = $2 AND snapshot_date < $3 AND (NOT replayed OR $4) LIMIT $5) RETURNING replayed)
SELECT count(*), count(*) FILTER (WHERE replayed) FROM gone`

// DeleteExpired removes at most limit of a store's snapshots of a type before a date.
func (db *DB) DeleteExpired(ctx context.Context, storeID int32, kind engine.SnapshotType, before engine.Date, replayedToo bool, limit int) (Removed, error) {
	var r Removed
	err := db.pool.QueryRow(ctx, deleteExpired, storeID, int16(kind), dateParam(before), replayedToo, limit).Scan(&r.All, &r.Replayed)
	return r, err
}

// Expiry says which snapshots of a type retention lets go.
type Expiry struct {
	Type        engine.SnapshotType
	Before      map[int32]engine.Date // by store; one that is not named keeps its snapshots
	ReplayedToo bool
}

// keeps tells whether a snapshot, or the newest of several, must stay.
func (e *Expiry) keeps(l *leafRows) bool {
	before, named := e.Before[l.StoreID]
	return !named || l.Newest >= before || l.Replayed > 0 && !e.ReplayedToo
}

// leafRows are the snapshots of one store in a leaf.
type leafRows struct {
	StoreID int32
	Removed
	Newest engine.Date
}

// How often what took too long is tried again, with retryEvery between. While a leaf is taken out of the tree, writers wait;
// while it is removed afterwards, nobody does, and a reader may be open for a while.
const (
	detachTries = 10
	removeTries = 200
	makeTries   = 4
	retryEvery  = 250 * time.Millisecond
)

// errLeavesBusy says that others write to leaves of the type, or alter them, all the time.
var errLeavesBusy = errors.New("the leaves are in use")

// RemoveLeaves removes the leaves of a type of which retention lets every row go, and counts their rows by store. What an
// interrupted call has left is removed first. A leaf that is still read when the retries are over is no longer seen by new
// readers, counts as removed, and goes with the next call; leaves after it are left as they are.
func (db *DB) RemoveLeaves(ctx context.Context, e Expiry) (map[int32]Removed, error) {
	removed := map[int32]Removed{}
	found, err := leavesOf(ctx, db.pool, e.Type)
	if err != nil {
		return removed, err
	}
	latest := engine.Date(math.MinInt32)
	for _, before := range e.Before {
		latest = max(latest, before)
	}
	for _, out := range []bool{true, false} { // those out of the tree first: of one parent one leaf can be on its way out
		for _, l := range found {
			if _, to := leaf(e.Type, l.From); out != (l.State != leafAttached) || !out && to > latest {
				continue
			}
			gone, err := db.removeLeaf(ctx, &e, l, removed)
			if err != nil {
				return removed, fmt.Errorf("removing %s: %w", l.Name, err)
			}
			if !gone {
				return removed, nil
			}
		}
	}
	return removed, nil
}

// removeLeaf tells whether the next one may be tried.
func (db *DB) removeLeaf(ctx context.Context, e *Expiry, l foundLeaf, removed map[int32]Removed) (bool, error) {
	if l.State == leafAttached {
		rows, err := db.detach(ctx, e, l)
		if errors.Is(err, errLeavesBusy) {
			return false, nil
		}
		if err != nil || rows == nil {
			return err == nil, err
		}
		for _, r := range rows {
			sum := removed[r.StoreID]
			sum.All, sum.Replayed = sum.All+r.All, sum.Replayed+r.Replayed
			removed[r.StoreID] = sum
		}
	}
	return patiently(ctx, removeTries, func() error {
		return db.InTx(ctx, func(tx *Tx) error {
			if _, err := tx.Exec(ctx, lockLeaf); err != nil {
				return err
			}
			_, err := tx.removeDetached(ctx, e.Type, l.Name)
			return err
		})
	})
}

// patiently does again what took too long; false where it always did.
func patiently(ctx context.Context, tries int, f func() error) (bool, error) {
	for range tries {
		err := f()
		if err == nil || !isTimeout(err) && !errors.Is(err, errLeafMoved) {
			return err == nil, err
		}
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return false, nil
}

const lockLeaves = "SELECT pg_advisory_lock(hashtext('leaves'), $1)"

const leafContents = `SELECT store_id, count(*), count(*) FILTER (WHERE replayed), max(snapshot_date) FROM `

// detach takes a leaf out of the tree if none of its rows must stay, and gives their numbers; nil where it stays. Nobody
// writes to leaves of the type meanwhile. DETACH CONCURRENTLY holds no lock that a reader asks for; while it waits for
// those who opened the parent before, it is the one who waits. Where that takes too long the leaf is left pending.
func (db *DB) detach(ctx context.Context, e *Expiry, l foundLeaf) (rows []leafRows, err error) {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		// A connection that cannot be cleaned must not go back to the pool with a lock or a limit on it.
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, resetErr := conn.Exec(stop, "SELECT pg_advisory_unlock_all(); RESET lock_timeout"); resetErr != nil {
			_ = conn.Conn().Close(stop)
		}
		conn.Release()
	}()
	if _, err := conn.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", leafWait.Milliseconds())); err != nil {
		return nil, err
	}
	alone, err := patiently(ctx, detachTries, func() error {
		_, err := conn.Exec(ctx, lockLeaves, int32(e.Type))
		return err
	})
	if err == nil && !alone {
		err = errLeavesBusy
	}
	if err != nil {
		return nil, err
	}
	attached := func() (bool, error) {
		found, err := leavesOf(ctx, conn, e.Type)
		return slices.Contains(found, foundLeaf{l.Name, l.From, leafAttached}), err
	}
	if still, err := attached(); err != nil || !still {
		return nil, err // another cleanup was faster
	}
	rows, err = collect(ctx, conn, scanLeafRows, leafContents+l.Name+" GROUP BY store_id")
	if err != nil || slices.ContainsFunc(rows, func(r leafRows) bool { return e.keeps(&r) }) {
		return nil, err
	}
	out, err := patiently(ctx, detachTries, func() error {
		_, err := conn.Exec(ctx, "ALTER TABLE "+leafParent(e.Type)+" DETACH PARTITION "+l.Name+" CONCURRENTLY")
		if !isTimeout(err) {
			return err
		}
		// It has been marked already, unless somebody vacuums it or alters the tree.
		if still, askErr := attached(); askErr != nil || !still {
			return askErr
		}
		return err
	})
	if err == nil && !out {
		err = errLeavesBusy
	}
	return append([]leafRows{}, rows...), err
}

func scanLeafRows(row pgx.CollectableRow) (leafRows, error) {
	var r leafRows
	var newest time.Time
	err := row.Scan(&r.StoreID, &r.All, &r.Replayed, &newest)
	r.Newest = dateOf(newest)
	return r, err
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
