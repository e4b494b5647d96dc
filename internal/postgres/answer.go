package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// A call with an idempotency key that is sent again within a day gets the first answer again. Calls that start a run have it with the
// run; others keep what they answered.

const lockKey = "SELECT pg_advisory_xact_lock(hashtextextended('key ' || $1::int || ' ' || $2, 0))"

const tryKey = "SELECT pg_try_advisory_xact_lock(hashtextextended('key ' || $1::int || ' ' || $2, 0))"

// LockKey lets nobody else work under the idempotency key until the transaction ends. It comes before the first look for an
// earlier answer.
func (tx *Tx) LockKey(ctx context.Context, storeID int32, key string) error {
	_, err := tx.Exec(ctx, lockKey, storeID, key)
	return err
}

// TryKey is LockKey for work that takes long. Fault: UNAVAILABLE while somebody else works under the key.
func (tx *Tx) TryKey(ctx context.Context, storeID int32, key string) error {
	var free bool
	if err := tx.QueryRow(ctx, tryKey, storeID, key).Scan(&free); err != nil || free {
		return err
	}
	return engine.Errorf(engine.CodeUnavailable, "a call with the same idempotency key is being worked on; try again in a moment")
}

// KeyedRun is a run that was started with an idempotency key.
type KeyedRun struct {
	ID          string
	RequestHash []byte // nil: it is not known what was asked for
}

const expireIdempotencyKey = `-- name: ExpireIdempotencyKey
UPDATE run SET idempotency_key = NULL WHERE store_id = $1 AND kind = $2 AND idempotency_key = $3 AND created_at < now() - interval '24 hours'`

const runByIdempotencyKey = `-- name: RunByIdempotencyKey
SELECT run_id::text, request_hash FROM run WHERE store_id = $1 AND kind = $2 AND idempotency_key = $3`

// RunByIdempotencyKey gives the run that was started with the key within the last 24 hours, nil where there is none.
func (tx *Tx) RunByIdempotencyKey(ctx context.Context, storeID int32, kind engine.RunKind, key string) (*KeyedRun, error) {
	if _, err := tx.Exec(ctx, expireIdempotencyKey, storeID, kind, key); err != nil {
		return nil, err
	}
	var r KeyedRun
	err := tx.QueryRow(ctx, runByIdempotencyKey, storeID, kind, key).Scan(&r.ID, &r.RequestHash)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// Mutation is a mutation that answers at once, by its name in the API.
type Mutation string

// Those whose answers are kept.
const (
	MutationImportOrders    Mutation = "importOrders"
	MutationCreateSnapshots Mutation = "createSnapshots"
)

// Answer is what a mutation answered under an idempotency key.
type Answer struct {
	RequestHash []byte
	Body        []byte // JSON
}

const keptAnswer = `-- name: KeptAnswer
SELECT request_hash, answer FROM mutation_answer
WHERE store_id = $1 AND mutation = $2 AND idempotency_key = $3 AND created_at >= now() - interval '24 hours'`

// Answer gives the answer of the last 24 hours, nil where there is none.
func (tx *Tx) Answer(ctx context.Context, storeID int32, mutation Mutation, key string) (*Answer, error) {
	var a Answer
	err := tx.QueryRow(ctx, keptAnswer, storeID, string(mutation), key).Scan(&a.RequestHash, &a.Body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &a, err
}

const writeAnswer = `-- name: WriteAnswer
INSERT INTO mutation_answer (store_id, mutation, idempotency_key, request_hash, answer) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (store_id, mutation, idempotency_key) DO UPDATE SET request_hash = excluded.request_hash, answer = excluded.answer, created_at = now()`

// WriteAnswer keeps an answer, in the place of one that has expired.
func (tx *Tx) WriteAnswer(ctx context.Context, storeID int32, mutation Mutation, key string, a Answer) error {
	_, err := tx.Exec(ctx, writeAnswer, storeID, string(mutation), key, a.RequestHash, a.Body)
	return err
}
