package jobs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// Receipt is the proof of an erasure. It holds nothing that leads back to the person.
type Receipt struct {
	ID       string           `json:"receipt_id"`
	Store    string           `json:"store"`
	ErasedAt time.Time        `json:"erased_at"`
	Orders   int              `json:"orders"`
	Removed  map[string]int64 `json:"removed"` // rows by table
	// Hash is SHA-256 of Salt and the line of the document that was removed. Salt is known only here: it is not kept.
	Hash string `json:"hash"`
	Salt string `json:"salt,omitempty"`
}

// FindCustomer gives a customer by the name that the store uses, or by another way to write the same name. Fault: NOT_FOUND.
func (r *Runner) FindCustomer(ctx context.Context, store *engine.Store, name string) (*engine.Customer, error) {
	keys := []postgres.CustomerKey{{StoreID: store.ID, Key: name}, {StoreID: store.ID, Key: ingest.CustomerName(name)}}
	if !plainText(name, len(name)) {
		return nil, engine.Errorf(engine.CodeInvalid, "a customer's name stands on one line and is UTF-8")
	}
	found, err := r.db.CustomersByKey(ctx, keys)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if customer := found[key]; customer != nil {
			return customer, nil
		}
	}
	return nil, engine.Errorf(engine.CodeNotFound, "store %q has no customer %q", store.Key, short(name))
}

// ExportCustomer gives everything that is stored about a customer. Fault: NOT_FOUND.
func (r *Runner) ExportCustomer(ctx context.Context, store *engine.Store, customerID int64) (*CustomerDocument, error) {
	var document *CustomerDocument
	err := r.db.InSnapshot(ctx, func(tx *postgres.Tx) error {
		var err error
		document, _, err = r.document(ctx, tx, store, customerID)
		return err
	})
	return document, err
}

// EraseCustomer removes everything that is stored about a customer in one transaction. Imports and snapshots of the store
// that are at work come to their end first, and what they write of the customer goes too. Faults: NOT_FOUND, CONFLICT where
// they take too long.
func (r *Runner) EraseCustomer(ctx context.Context, store *engine.Store, customerID int64) (*Receipt, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	receipt := &Receipt{Store: store.Key, Salt: hex.EncodeToString(salt)}
	err := r.db.InTxAlone(ctx, store, func(tx *postgres.Tx) error {
		store, err := tx.LockOrders(ctx, store)
		if err != nil {
			return err
		}
		if err := tx.LockCustomers(ctx, store.ID); err != nil {
			return err
		}
		document, record, err := r.document(ctx, tx, store, customerID)
		if err != nil {
			return err
		}
		line, err := document.Line()
		if err != nil {
			return err
		}
		hash := sha256.Sum256(append([]byte(receipt.Salt), line...))
		erasure := postgres.Erasure{ID: uuid.NewString(), Orders: countOrders(record.Lines), Hash: hash[:]}
		if erasure.Removed, err = tx.EraseCustomer(ctx, store, customerID); err != nil {
			return err
		}
		if err := tx.InsertErasure(ctx, store.ID, &erasure); err != nil {
			return err
		}
		receipt.ID, receipt.ErasedAt, receipt.Orders, receipt.Removed = erasure.ID, erasure.At, erasure.Orders, erasure.Removed
		receipt.Hash = hex.EncodeToString(erasure.Hash)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return receipt, nil
}

// countOrders counts order ids, and lines that have none.
func countOrders(lines []postgres.ImportLine) int {
	orders, ids := 0, map[string]bool{}
	for i := range lines {
		id := ingest.OrderIDOf(lines[i].OrderKey)
		if id == "" || !ids[id] {
			orders++
		}
		ids[id] = true
	}
	return orders
}

// maxReceipts is how many receipts are listed.
const maxReceipts = 1000

// Receipts gives the newest receipts of a store.
func (r *Runner) Receipts(ctx context.Context, store *engine.Store) ([]Receipt, error) {
	found, err := r.db.Erasures(ctx, store.ID, maxReceipts)
	receipts := make([]Receipt, len(found))
	for i, e := range found {
		receipts[i] = Receipt{ID: e.ID, Store: store.Key, ErasedAt: e.At, Orders: e.Orders, Removed: e.Removed, Hash: hex.EncodeToString(e.Hash)}
	}
	return receipts, err
}

// document reads a customer and writes it down.
func (r *Runner) document(ctx context.Context, tx *postgres.Tx, store *engine.Store, customerID int64) (*CustomerDocument, *postgres.CustomerRecord, error) {
	record, err := tx.CustomerRecord(ctx, postgres.CustomerRef{StoreID: store.ID, CustomerID: customerID})
	if err != nil {
		return nil, nil, err
	}
	models := map[int]*engine.Model{}
	for _, version := range record.Models() {
		stored, err := r.db.Model(ctx, store.ID, version)
		if err != nil {
			return nil, nil, fmt.Errorf("reading model %d: %w", version, err)
		}
		models[version] = stored.Model
	}
	return newDocument(store, record, models), record, nil
}
