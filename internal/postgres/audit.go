package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// AuditEntry is a mutation that somebody asked for.
type AuditEntry struct {
	ID       int64
	StoreID  int32 // 0: all stores, or none that the caller sees
	At       time.Time
	Actor    string
	Role     string
	Mutation string
	Outcome  string
	Codes    []string
	RunID    string // empty: it started none
	Subject  int64  // the number of the customer whose data was handed out or erased; 0: nobody's
}

const beginAudit = `-- name: BeginAudit
INSERT INTO audit_entry (actor, role, mutation) VALUES ($1, $2, $3) RETURNING entry_id`

// BeginAudit notes that a mutation was asked for, before it is done; ID is set.
func (db *DB) BeginAudit(ctx context.Context, e *AuditEntry) error {
	return db.pool.QueryRow(ctx, beginAudit, e.Actor, e.Role, e.Mutation).Scan(&e.ID)
}

const auditSubject = `-- name: AuditSubject
UPDATE audit_entry SET store_id = $2, subject = $3 WHERE entry_id = $1`

// AuditSubject notes whose data a mutation is about to hand out or to erase.
func (db *DB) AuditSubject(ctx context.Context, entryID int64, c CustomerRef) error {
	_, err := db.pool.Exec(ctx, auditSubject, entryID, c.StoreID, c.CustomerID)
	return err
}

const endAudit = `-- name: EndAudit
UPDATE audit_entry SET store_id = $2, outcome = $3, codes = $4, run_id = nullif($5, '')::uuid WHERE entry_id = $1`

// EndAudit notes how it ended, and where.
func (db *DB) EndAudit(ctx context.Context, e *AuditEntry) error {
	_, err := db.pool.Exec(ctx, endAudit, e.ID, e.StoreID, e.Outcome, e.Codes, e.RunID)
	return err
}

// AuditQuery is a page of the entries of some stores, newest first. What is set must all hold.
type AuditQuery struct {
	StoreIDs      []int32
	Mutations     []string
	Outcomes      []string
	Actor         *string
	From, To      time.Time // asked for in [From, To); zero: open
	After, Before *int64
	Window
}

func (q *AuditQuery) filter(s *statement) {
	s.where("store_id = ANY (?)", q.StoreIDs)
	if q.Mutations != nil {
		s.where("mutation = ANY (?)", q.Mutations)
	}
	if q.Outcomes != nil {
		s.where("outcome = ANY (?)", q.Outcomes)
	}
	if q.Actor != nil {
		s.where("actor = ?", *q.Actor)
	}
	if !q.From.IsZero() {
		s.where("asked_at >= ?", q.From)
	}
	if !q.To.IsZero() {
		s.where("asked_at < ?", q.To)
	}
}

// AuditLog gives a page.
func (db *DB) AuditLog(ctx context.Context, q AuditQuery) ([]*AuditEntry, error) {
	var s statement
	q.filter(&s)
	if q.After != nil {
		s.where("entry_id < ?", *q.After)
	}
	if q.Before != nil {
		s.where("entry_id > ?", *q.Before)
	}
	rows, err := collect(ctx, db.read(ctx), func(row pgx.CollectableRow) (*AuditEntry, error) {
		var e AuditEntry
		err := row.Scan(&e.ID, &e.StoreID, &e.At, &e.Actor, &e.Role, &e.Mutation, &e.Outcome, &e.Codes, &e.RunID, &e.Subject)
		return &e, err
	}, `-- name: AuditLog
SELECT entry_id, store_id, asked_at, actor, role, mutation, outcome, codes, coalesce(run_id::text, ''), coalesce(subject, 0) FROM audit_entry WHERE true`+s.and()+`
ORDER BY entry_id `+q.direction(true)+` LIMIT `+s.arg(q.Limit), s.args...)
	return inOrder(q.Window, rows), err
}

// CountAuditLog counts the whole list.
func (db *DB) CountAuditLog(ctx context.Context, q AuditQuery) (int, error) {
	var s statement
	q.filter(&s)
	var count int
	err := db.read(ctx).QueryRow(ctx, "-- name: CountAuditLog\nSELECT count(*) FROM audit_entry WHERE true"+s.and(), s.args...).Scan(&count)
	return count, err
}

const countOldAudit = `-- name: CountOldAudit
SELECT count(*) FROM audit_entry WHERE asked_at < $1 AND ($2 = 0 OR store_id = $2)`

// CountOldAudit counts what DeleteOldAudit would remove.
func (db *DB) CountOldAudit(ctx context.Context, storeID int32, before time.Time) (count int64, err error) {
	err = db.pool.QueryRow(ctx, countOldAudit, before, storeID).Scan(&count)
	return count, err
}

const deleteOldAudit = `-- name: DeleteOldAudit
DELETE FROM audit_entry WHERE ctid = ANY (ARRAY(SELECT ctid FROM audit_entry WHERE asked_at < $1 AND ($2 = 0 OR store_id = $2) LIMIT $3))`

// DeleteOldAudit removes at most limit entries that were made before a moment: a store's, or for 0 everybody's.
func (db *DB) DeleteOldAudit(ctx context.Context, storeID int32, before time.Time, limit int) (int64, error) {
	tag, err := db.pool.Exec(ctx, deleteOldAudit, before, storeID, limit)
	return tag.RowsAffected(), err
}
