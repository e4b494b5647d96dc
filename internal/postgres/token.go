package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/engine"
)

// Token is what is kept of an access token.
type Token struct {
	ID        string // UUID
	StoreID   int32  // 0: all stores
	StoreKey  string // empty: all stores
	Name      string
	Role      string
	Hash      [32]byte // SHA-256 of the token
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: it stands
}

const insertToken = `-- name: InsertToken
INSERT INTO access_token (store_id, token_id, name, role, hash, expires_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING created_at`

// InsertToken keeps a token; its StoreKey is not looked at, and CreatedAt is set.
func (db *DB) InsertToken(ctx context.Context, t *Token) error {
	return db.pool.QueryRow(ctx, insertToken, t.StoreID, t.ID, t.Name, t.Role, t.Hash[:], timeParam(t.ExpiresAt)).Scan(&t.CreatedAt)
}

const tokens = `-- name: Tokens
SELECT token_id::text, t.store_id, coalesce(s.store_key, ''), t.name, role, hash, t.created_at, expires_at, revoked_at
FROM access_token t LEFT JOIN store s USING (store_id)
WHERE t.store_id = 0 OR s.store_id IS NOT NULL ORDER BY t.created_at, token_id`

// Tokens gives all tokens, oldest first, those that no longer stand among them.
func (db *DB) Tokens(ctx context.Context) ([]*Token, error) {
	return collect(ctx, db.pool, func(row pgx.CollectableRow) (*Token, error) {
		var t Token
		var hash []byte
		var expires, revoked *time.Time
		err := row.Scan(&t.ID, &t.StoreID, &t.StoreKey, &t.Name, &t.Role, &hash, &t.CreatedAt, &expires, &revoked)
		copy(t.Hash[:], hash)
		t.ExpiresAt, t.RevokedAt = timeOf(expires), timeOf(revoked)
		return &t, err
	}, tokens)
}

const revokeToken = `-- name: RevokeToken
UPDATE access_token SET revoked_at = coalesce(revoked_at, now()) WHERE token_id = $1`

// RevokeToken ends a token; again changes nothing. Fault: NOT_FOUND.
func (db *DB) RevokeToken(ctx context.Context, id string) error {
	tag, err := db.pool.Exec(ctx, revokeToken, id)
	if err == nil && tag.RowsAffected() == 0 {
		return engine.Errorf(engine.CodeNotFound, "there is no token %q: quimbi token list tells the ids", id)
	}
	return err
}
