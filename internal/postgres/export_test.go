package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// MaxArticles is how many articles an import holds in memory.
const MaxArticles = maxArticles

// Read sends a statement as the methods that read do.
func (db *DB) Read(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return db.read(ctx).Query(ctx, sql, args...)
}

// ReadRow does the same for one row.
func (db *DB) ReadRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return db.read(ctx).QueryRow(ctx, sql, args...)
}

// The statements of ActiveDrifts, MarkDeviations and Timeline.
const (
	ActiveDriftsSQL   = activeDrifts
	MarkDeviationsSQL = markDeviations
	TimelineSQL       = timelineRows
)

// StoreTables are the tables that ForgetStore empties.
var StoreTables = storeTables
