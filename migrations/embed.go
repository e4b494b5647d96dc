// Package migrations holds the database's schema as numbered SQL files, each with its way up and its way down.
package migrations

import "embed"

// FS holds the files, NNNN_subject.sql.
//
//go:embed *.sql
var FS embed.FS
