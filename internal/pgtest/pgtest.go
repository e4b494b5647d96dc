// Package pgtest gives tests a real Postgres.
//
// [Tx] is the usual choice: a transaction on a migrated database, rolled back
// at the end of the test. [DB] is for tests that commit, listen or need several
// connections: a database of its own, cloned from a template. [URL] is the same
// for programs that take a connection string. [Queries] counts the statements
// that a pool of DB sent.
//
// All test binaries of one account share one server, which internal/localpg
// starts when the first needs it and stops when the last has left. A package
// that uses pgtest lets go of it with
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// QUIMBI_TEST_DATABASE_URL names another server instead; its role must be
// allowed to create databases. Tests of package internal/postgres itself must
// be in package postgres_test, since pgtest uses it to migrate.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// cleanupTimeout bounds what happens after a test, when its context is over.
const cleanupTimeout = 30 * time.Second

// Main runs the tests of a package and then lets go of the test server.
func Main(m *testing.M) {
	code := m.Run()
	if err := Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Stop lets go of the test server, for a TestMain that has more to do than
// [Main]. No test may use pgtest afterwards. pgtest itself keeps no goroutine
// between tests, so a goleak check may come before or after.
func Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if p := current.Load(); p != nil {
		return p.close(ctx)
	}
	return nil
}

// URL returns the connection string of a migrated, empty database that belongs
// to the test and is dropped after it.
func URL(t testing.TB) string {
	t.Helper()
	p := open(t)
	name, err := p.clone(t.Context())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if err := p.drop(ctx, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return databaseURL(p.adminURL, name)
}

// DB returns a pool on a migrated, empty database that belongs to the test and
// is dropped after it. The test must give every connection back.
func DB(t testing.TB) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(URL(t))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	config.MaxConns = 12
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	config.ConnConfig.Tracer = new(Counter)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatalf("pgtest: connecting to the test's database: %v", err)
	}
	t.Cleanup(func() { closePool(t, pool) })
	return pool
}

// closePool closes a pool without waiting for ever for a connection that the
// test has kept.
func closePool(t testing.TB, pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		pool.Close()
	}()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Errorf("pgtest: the test has not given back %d connections of its pool", pool.Stat().AcquiredConns())
	}
}

// Tx returns a transaction on a migrated database without data of others. It
// is rolled back after the test. Tests run at the same time do not see each
// other's rows, but wait for each other where they write the same key.
func Tx(t testing.TB) pgx.Tx {
	t.Helper()
	p := open(t)
	conn, err := p.borrow(t.Context())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatalf("pgtest: beginning the test's transaction: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		// A test may have ended the transaction or lost the connection on purpose.
		_ = tx.Rollback(ctx)
		p.giveBack(ctx, conn)
	})
	return tx
}
