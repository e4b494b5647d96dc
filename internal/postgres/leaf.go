package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// A leaf is a partition of snapshots: of one type and one of its periods, with the rows of all stores. Two locks keep those
// who make and fill leaves apart from those who remove them. Whoever writes snapshots of a type shares its leaves until the
// transaction ends; a cleanup has them alone while it decides that a leaf can go and takes it out of the tree. And one at a
// time makes leaves or removes those that are out of the tree. Readers take neither.

const shareLeaves = "SELECT pg_advisory_xact_lock_shared(hashtext('leaves'), $1)"

const lockLeaf = "SELECT pg_advisory_xact_lock(hashtext('leaf'))"

// leafWait is how long a statement that removes a leaf waits for its locks. A reader that comes after it waits no longer.
const leafWait = 200 * time.Millisecond

// leaf is the period that one partition holds, by type.
func leaf(kind engine.SnapshotType, date engine.Date) (from, to engine.Date) {
	year, month, _ := date.Calendar()
	switch kind {
	case engine.Weekly:
		from = date - engine.Date(date.Weekday())
		return from, from + 7
	case engine.Monthly:
		return date.Month(), date.Month().AddMonths(1)
	case engine.Quarterly:
		from = engine.NewDate(year, month-(month-1)%3, 1)
		return from, from.AddMonths(3)
	case engine.Yearly:
		return engine.NewDate(year, time.January, 1), engine.NewDate(year+1, time.January, 1)
	default:
		return date, date + 1
	}
}

func leafParent(kind engine.SnapshotType) string { return "snapshot_" + kind.String() }

// The names of leaves are made here and by nobody else, so nothing of them needs quoting.
func leafName(kind engine.SnapshotType, from engine.Date) string {
	return leafParent(kind) + "_" + from.UTC().Format("20060102")
}

// leafState is where a table that is or was a leaf stands.
type leafState string

const (
	leafAttached leafState = "attached" // in the tree
	leafPending  leafState = "pending"  // no longer seen by new queries: a DETACH CONCURRENTLY was interrupted
	leafDetached leafState = "detached" // a table of its own
)

// foundLeaf is a table that is or was a leaf.
type foundLeaf struct {
	Name  string
	From  engine.Date
	State leafState
}

const leaves = `-- name: Leaves
SELECT c.relname, to_date(right(c.relname, 8), 'YYYYMMDD'), CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'pending' ELSE 'attached' END
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'snapshot'::regclass)
  AND c.relname ~ ('^snapshot_(' || $1 || ')_[0-9]{8}$')
ORDER BY c.relname`

func scanLeaf(row pgx.CollectableRow) (foundLeaf, error) {
	var l foundLeaf
	var from time.Time
	err := row.Scan(&l.Name, &from, &l.State)
	l.From = dateOf(from)
	return l, err
}

// leavesOf lists the tables that are or were leaves of a type, oldest first.
func leavesOf(ctx context.Context, q querier, kind engine.SnapshotType) ([]foundLeaf, error) {
	return collect(ctx, q, scanLeaf, leaves, kind.String())
}

// missingLeaves gives the firsts of the periods of the dates that have no leaf.
func missingLeaves(ctx context.Context, q querier, kind engine.SnapshotType, dates []engine.Date) ([]engine.Date, error) {
	found, err := leavesOf(ctx, q, kind)
	if err != nil {
		return nil, err
	}
	there := make(map[engine.Date]bool, len(found))
	for _, l := range found {
		there[l.From] = l.State == leafAttached
	}
	var missing []engine.Date
	for _, date := range dates {
		if from, _ := leaf(kind, date); !there[from] {
			there[from] = true
			missing = append(missing, from)
		}
	}
	return missing, nil
}

// ShareLeaves lets no leaf of a type be removed until the transaction ends, and sees to it that those of the dates are
// there. It comes before the first read of what is to be replaced or added to.
func (tx *Tx) ShareLeaves(ctx context.Context, db *DB, kind engine.SnapshotType, dates []engine.Date) error {
	if _, err := tx.Exec(ctx, shareLeaves, int32(kind)); err != nil {
		return err
	}
	missing, err := missingLeaves(ctx, tx, kind, dates)
	if err != nil || len(missing) == 0 {
		return err
	}
	return db.EnsureLeaves(ctx, kind, missing)
}

// EnsureLeaves makes the partitions that snapshots of the dates go to, where they are missing. A new leaf is attached
// rather than created in place: that way it waits for no reader, and no reader waits for it. Fault: UNAVAILABLE where an
// old one of that name is still being read.
func (db *DB) EnsureLeaves(ctx context.Context, kind engine.SnapshotType, dates []engine.Date) error {
	missing, err := missingLeaves(ctx, db.pool, kind, dates)
	for _, date := range missing {
		if err := db.makeLeaf(ctx, kind, date); err != nil {
			return err
		}
	}
	return err
}

func (db *DB) makeLeaf(ctx context.Context, kind engine.SnapshotType, date engine.Date) error {
	from, to := leaf(kind, date)
	made, err := patiently(ctx, makeTries, func() error {
		return db.InTx(ctx, func(tx *Tx) error {
			if _, err := tx.Exec(ctx, lockLeaf); err != nil {
				return err
			}
			name, parent := leafName(kind, from), leafParent(kind)
			old, err := tx.removeDetached(ctx, kind, name)
			if err != nil || old == leafAttached {
				return err
			}
			_, err = tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %[1]s (LIKE %[2]s INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM ('%[3]s') TO ('%[4]s')`, name, parent, from, to))
			return err
		})
	})
	if err == nil && !made {
		return engine.Errorf(engine.CodeUnavailable, "an old partition of %s snapshots from %s is being removed, and somebody still reads it; try again in a minute", kind, from)
	}
	if err != nil {
		return fmt.Errorf("making the partition of %s snapshots from %s: %w", kind, from, err)
	}
	return nil
}

// undefinedTable is the server's code for a table that is none, or no partition of the other.
const undefinedTable = "42P01"

// errLeafMoved says that whoever began to detach a leaf, and was thought to be stopped, has ended it after all.
var errLeafMoved = errors.New("the leaf is no longer pending")

// removeDetached removes a leaf that is out of the tree, and tells where it stood before; empty where there is none. The
// caller holds lockLeaf. Faults: isTimeout, where somebody still reads it; errLeafMoved. Either way it can be tried again.
func (tx *Tx) removeDetached(ctx context.Context, kind engine.SnapshotType, name string) (leafState, error) {
	found, err := leavesOf(ctx, tx, kind)
	i := slices.IndexFunc(found, func(l foundLeaf) bool { return l.Name == name })
	if err != nil || i < 0 {
		return "", err
	}
	state := found[i].State
	if state == leafAttached {
		return state, nil
	}
	// The limit on the statement is the one that counts: a statement may wait for several locks, each as long.
	if err := tx.limit(ctx, leafWait); err != nil {
		return state, err
	}
	if state == leafPending {
		_, err := tx.Exec(ctx, "ALTER TABLE "+leafParent(kind)+" DETACH PARTITION "+name+" FINALIZE")
		if hasCode(err, undefinedTable) {
			return state, errLeafMoved
		}
		if err != nil {
			return state, err
		}
	}
	if _, err := tx.Exec(ctx, "DROP TABLE "+name); err != nil {
		return state, err
	}
	_, err = tx.Exec(ctx, "SET LOCAL lock_timeout TO DEFAULT; SET LOCAL statement_timeout TO DEFAULT")
	return state, err
}

// limit bounds how long each of the transaction's next statements may take.
func (tx *Tx) limit(ctx context.Context, most time.Duration) error {
	_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %[1]d; SET LOCAL statement_timeout = %[1]d", most.Milliseconds()))
	return err
}

// eraseDetached removes a customer's rows from leaves that are out of the tree and not yet removed.
func (tx *Tx) eraseDetached(ctx context.Context, storeID int32, customerID int64) (int64, error) {
	if _, err := tx.Exec(ctx, lockLeaf); err != nil {
		return 0, err
	}
	var removed int64
	for _, kind := range engine.SnapshotTypes {
		found, err := leavesOf(ctx, tx, kind)
		if err != nil {
			return removed, err
		}
		for _, l := range found {
			if l.State == leafAttached {
				continue
			}
			tag, err := tx.Exec(ctx, "DELETE FROM "+l.Name+" WHERE store_id = $1 AND customer_id = $2", storeID, customerID)
			if err != nil {
				return removed, err
			}
			removed += tag.RowsAffected()
		}
	}
	return removed, nil
}
