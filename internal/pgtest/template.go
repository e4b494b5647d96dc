package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/migrations"
)

// keptTemplates is how many templates of older schemas stay, so that changing
// between branches does not build them anew each time.
const keptTemplates = 4

// ensureTemplate returns the name of the database that holds the current
// schema and nothing else, and makes it if it is not there. Of several
// binaries at once one makes it and the others wait.
func ensureTemplate(ctx context.Context, adminURL string) (name string, err error) {
	hash, err := schemaHash()
	if err != nil {
		return "", fmt.Errorf("hashing the migrations: %w", err)
	}
	name = templatePrefix + hash
	// Closing the connection gives the lock back, whatever happened.
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return "", fmt.Errorf("connecting to the test server: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1, 0)", lockOfTemplate); err != nil {
		return "", fmt.Errorf("waiting for the template: %w", err)
	}
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		return "", fmt.Errorf("looking for the template: %w", err)
	}
	if there {
		return name, nil
	}
	if err := buildTemplate(ctx, conn, adminURL, name); err != nil {
		return "", fmt.Errorf("building the template: %w", err)
	}
	return name, dropOldTemplates(ctx, conn)
}

// buildTemplate gives the database its name when it is complete, so that an
// interruption leaves no half-migrated template.
func buildTemplate(ctx context.Context, conn *pgx.Conn, adminURL, name string) error {
	building := name + "_building"
	for _, sql := range []string{
		"DROP DATABASE IF EXISTS " + building + " WITH (FORCE)",
		"CREATE DATABASE " + building + " TEMPLATE template0",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := migrate(ctx, databaseURL(adminURL, building)); err != nil {
		return err
	}
	for _, sql := range []string{
		"ALTER DATABASE " + building + " ALLOW_CONNECTIONS false", // one would stand in the way of cloning
		"ALTER DATABASE " + building + " RENAME TO " + name,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

func migrate(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	return postgres.New(pool).Migrate(ctx, slog.New(slog.DiscardHandler))
}

func dropOldTemplates(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE datname ~ '^quimbi_template_[0-9a-f]+$' ORDER BY oid DESC OFFSET $1`, keptTemplates)
	if err != nil {
		return fmt.Errorf("listing old templates: %w", err)
	}
	old, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("listing old templates: %w", err)
	}
	for _, name := range old {
		if _, err := conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("dropping an old template: %w", err)
		}
	}
	return nil
}

// schemaHash names a schema: a hash of our migrations and the queue's.
func schemaHash() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations.FS, path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(content), content)
		return err
	})
	if err != nil {
		return "", err
	}
	// A driver without a pool knows its migrations all the same.
	queue, err := rivermigrate.New(riverpgxv5.New(nil), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	for _, v := range queue.AllVersions() {
		fmt.Fprintf(h, "%d %d\n%s", v.Version, len(v.SQLUp), v.SQLUp)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
