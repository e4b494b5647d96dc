package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Listen calls each with the payload of every notification on some channels, on a connection of its own, until the context is
// done or the connection is lost. ready is called once nothing is missed any more.
func (db *DB) Listen(ctx context.Context, channels []string, ready func(), each func(channel, payload string)) error {
	pooled, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// The connection listens until it is closed, so it does not go back to the pool.
	conn := pooled.Hijack()
	defer conn.Close(context.WithoutCancel(ctx))
	for _, channel := range channels {
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return err
		}
	}
	ready()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		each(n.Channel, n.Payload)
	}
}
