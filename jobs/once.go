package jobs

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Once makes a call that is sent again give the first answer again.
type Once struct {
	IdempotencyKey string // empty: every call counts
	// Asked is a hash of what the caller asked for: within a day the same key with another one is refused.
	Asked []byte
}

// sameRequest tells whether a key came with what it came with before; where that is not known, it did.
func sameRequest(before, now []byte) bool { return before == nil || bytes.Equal(before, now) }

// errOtherRequest names the run that the key has started, if it has started one.
func errOtherRequest(runID string) error {
	err := engine.Errorf(engine.CodeInvalid, "a new request needs a new idempotency key: this one was used with another request").At("input", "idempotencyKey")
	err.RunID = runID
	return err
}

// startedBy gives the id of the run that the key of a new one has started before; empty where it is new. Nobody else works under
// the key meanwhile. Fault: INVALID where it came with another request.
func startedBy(ctx context.Context, tx *postgres.Tx, run *postgres.NewRun) (string, error) {
	if err := tx.LockKey(ctx, run.StoreID, run.IdempotencyKey); err != nil {
		return "", err
	}
	earlier, err := tx.RunByIdempotencyKey(ctx, run.StoreID, run.Kind, run.IdempotencyKey)
	if err != nil {
		return "", err
	}
	if earlier != nil {
		if !sameRequest(earlier.RequestHash, run.RequestHash) {
			return "", errOtherRequest(earlier.ID)
		}
		return earlier.ID, nil
	}
	if run.Kind == engine.RunSnapshot { // the mutation that starts it may also have answered at once
		answer, err := tx.Answer(ctx, run.StoreID, postgres.MutationCreateSnapshots, run.IdempotencyKey)
		if err == nil && answer != nil {
			err = errOtherRequest("")
		}
		return "", err
	}
	return "", nil
}

// answered reads what a mutation has answered under the key; false where it is new. Fault: INVALID where the key came with
// another request.
func (o *Once) answered(ctx context.Context, tx *postgres.Tx, storeID int32, m postgres.Mutation, into any) (bool, error) {
	if o.IdempotencyKey == "" {
		return false, nil
	}
	earlier, err := tx.Answer(ctx, storeID, m, o.IdempotencyKey)
	if err != nil || earlier == nil {
		return false, err
	}
	if !bytes.Equal(earlier.RequestHash, o.Asked) {
		return false, errOtherRequest("")
	}
	return true, json.Unmarshal(earlier.Body, into)
}

// keep keeps an answer for whoever sends the same again.
func (o *Once) keep(ctx context.Context, tx *postgres.Tx, storeID int32, m postgres.Mutation, answer any) error {
	if o.IdempotencyKey == "" {
		return nil
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return tx.WriteAnswer(ctx, storeID, m, o.IdempotencyKey, postgres.Answer{RequestHash: append([]byte{}, o.Asked...), Body: body})
}
