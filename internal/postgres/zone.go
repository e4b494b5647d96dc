package postgres

import (
	"context"
	"time"

	"github.com/quimbi/quimbi/engine"
)

// invalidParameter is the server's code for an argument it cannot take, such as a time zone it does not know.
const invalidParameter = "22023"

// Lines without an order id have keys that are made of what they hold, their time too. They keep the zone by which their
// times were read, so that the same file, read again by another zone, finds its lines and gives them their new times.
const setZone = `-- name: SetZone
UPDATE store SET time_zone = $2, key_zone = CASE
  WHEN key_zone <> '' THEN key_zone
  WHEN EXISTS (SELECT FROM customer_order WHERE store_id = $1 AND order_key LIKE '~_%' AND order_key NOT LIKE '~~%') THEN time_zone ELSE '' END
WHERE store_id = $1`

const removeAllReferences = `-- name: RemoveAllReferences
DELETE FROM feature_reference WHERE store_id = $1`

const touchAll = `-- name: TouchAll
INSERT INTO touched SELECT customer_id, now(), true FROM customer WHERE store_id = $1`

// SetZone changes the time zone of a store whose orders are locked: instants stay, purchases are counted anew by the days
// of the new zone, and what features need to know of the store by month goes. Fault: INVALID for a zone that the database
// does not know.
func (tx *Tx) SetZone(ctx context.Context, storeID int32, zone string) error {
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{setZone, []any{storeID, zone}},
		{createTouched, nil},
		{touchAll, []any{storeID}},
		{refreshCustomers, []any{storeID, zone}},
		{recountStore, []any{storeID, int16(0), time.Time{}}},
		{removeAllReferences, []any{storeID}},
	} {
		if _, err := tx.Exec(ctx, step.sql, step.args...); err != nil {
			if hasCode(err, invalidParameter) {
				return engine.Errorf(engine.CodeInvalid, "the database does not know the time zone %q", zone)
			}
			return err
		}
	}
	return nil
}
