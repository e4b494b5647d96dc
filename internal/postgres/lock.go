package postgres

import (
	"context"

	"github.com/quimbi/quimbi/engine"
)

// Three kinds of work on one store must not mix. Whoever changes its orders (an import, an erasure, a change of the time
// zone) holds its orders alone: two imports would wait for each other row by row, and could end in a deadlock. Whoever
// reads a customer's lines and writes what follows from them (a chunk of snapshots) shares its customers with others of
// the kind, and an erasure has them alone: else a chunk that has read the lines of a customer would write its snapshots
// after the erasure, and bring it back half-way. Locks are taken in this order: orders, customers, the store's models.

const lockOrders = "SELECT pg_advisory_xact_lock(hashtext('import'), $1)"

const shareCustomers = "SELECT pg_advisory_xact_lock_shared(hashtext('customers'), $1)"

const lockCustomers = "SELECT pg_advisory_xact_lock(hashtext('customers'), $1)"

const storeByID = `-- name: StoreByID
SELECT ` + storeFields + ` FROM store WHERE store_id = $1`

// LockOrders takes the store's orders until the transaction ends, and gives the store as it is then. Faults: CONFLICT where
// the time zone, by which the caller has read days, was changed meanwhile; NOT_FOUND.
func (tx *Tx) LockOrders(ctx context.Context, store *engine.Store) (*engine.Store, error) {
	if _, err := tx.Exec(ctx, lockOrders, store.ID); err != nil {
		return nil, err
	}
	now, err := one(ctx, tx, scanStore, noStore(store.Key), storeByID, store.ID)
	if err == nil && now.Zone.String() != store.Zone.String() {
		return nil, engine.Errorf(engine.CodeConflict, "the time zone of store %q was changed meanwhile; try again", store.Key)
	}
	return now, err
}

// ShareCustomers lets no customer of the store be erased until the transaction ends. It comes before the first read.
func (tx *Tx) ShareCustomers(ctx context.Context, storeID int32) error {
	_, err := tx.Exec(ctx, shareCustomers, storeID)
	return err
}

// LockCustomers waits until nobody shares the store's customers, and keeps them from being shared until the transaction
// ends.
func (tx *Tx) LockCustomers(ctx context.Context, storeID int32) error {
	_, err := tx.Exec(ctx, lockCustomers, storeID)
	return err
}

// InTxAlone runs f in a transaction that waits for others of the same store no longer than a caller does. Fault: CONFLICT.
func (db *DB) InTxAlone(ctx context.Context, store *engine.Store, f func(tx *Tx) error) error {
	err := db.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '20s'"); err != nil {
			return err
		}
		return f(tx)
	})
	if isLockTimeout(err) {
		return engine.Errorf(engine.CodeConflict, "an import or a snapshot of store %q has been working for over 20 seconds; try again when it is over", store.Key)
	}
	return err
}
