// Package postgres is the storage: the pool of connections, transactions, migrations, and all SQL of the project, one file
// a group of tables. Types of the driver stop here; the rest of the program sees those of engine.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"go.opentelemetry.io/otel/trace"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/migrations"
)

// DB is the database. Its methods are safe for concurrent use.
type DB struct {
	pool    *pgxpool.Pool
	fencing fencing
}

// Tx is a transaction.
type Tx struct{ pgx.Tx }

// querier is met by a pool, a connection and a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// New takes an open pool over.
func New(pool *pgxpool.Pool) *DB { return &DB{pool: pool} }

// Open connects. Where there are traces, each statement is a span, named by its "-- name:". Fault: an engine.Error UNAVAILABLE with what the server or the network said, never the URL's password.
func Open(ctx context.Context, url string, maxConns int, traces trace.TracerProvider) (*DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, engine.Errorf(engine.CodeInvalid, "DATABASE_URL cannot be read; it looks like postgres://user:password@host:5432/database")
	}
	if maxConns > 0 {
		config.MaxConns = int32(maxConns)
	}
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	config.PrepareConn = limitStatements
	if traces != nil {
		config.ConnConfig.Tracer = otelpgx.NewTracer(otelpgx.WithTracerProvider(traces), otelpgx.WithSpanNameFunc(statementName), otelpgx.WithDisableConnectionDetailsInAttributes())
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, unavailable(config.ConnConfig, err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, unavailable(config.ConnConfig, err)
	}
	return New(pool), nil
}

type statementTimeKey struct{}

// WithStatementTime lets each statement under the context take so long and no longer, by the database's own clock: whoever asked may
// be gone without a word.
func WithStatementTime(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, statementTimeKey{}, d)
}

// limitStatements gives a connection the limit of the context that takes it. That costs a message where the limit changes, which
// it seldom does, and nothing where it is the same. Fenced reads have a limit of their own, in their own message.
func limitStatements(ctx context.Context, conn *pgx.Conn) (bool, error) {
	limit, _ := ctx.Value(statementTimeKey{}).(time.Duration)
	data := conn.PgConn().CustomData()
	if now, _ := data["statement_timeout"].(time.Duration); now == limit {
		return true, nil
	}
	sql := "RESET statement_timeout" // to what the login or the URL says
	if limit > 0 {
		sql = fmt.Sprintf("SET statement_timeout = %d", limit.Milliseconds())
	}
	if _, err := conn.Exec(ctx, sql); err != nil {
		return false, err
	}
	data["statement_timeout"] = limit
	return true, nil
}

// statementName gives the name in a statement's first line, -- name: Name; else its first word.
func statementName(sql string) string {
	name, ok := strings.CutPrefix(sql, "-- name: ")
	if !ok {
		name = strings.TrimSpace(sql)
	}
	name, _, _ = strings.Cut(name, "\n")
	name, _, _ = strings.Cut(name, " ")
	return name
}

func unavailable(config *pgx.ConnConfig, err error) error {
	detail := "it does not answer"
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		detail = pgErr.Message
	} else if opErr, ok := errors.AsType[*net.OpError](err); ok {
		detail = opErr.Err.Error()
	}
	return engine.Errorf(engine.CodeUnavailable, "Postgres at %s, database %q, cannot be used: %s", config.Host, config.Database, detail)
}

// Close gives all connections back.
func (db *DB) Close() { db.pool.Close() }

// Ping asks the server for an answer.
func (db *DB) Ping(ctx context.Context) error { return db.pool.Ping(ctx) }

// RiverDriver is the pool in the form that the queue takes.
func (db *DB) RiverDriver() *riverpgxv5.Driver { return riverpgxv5.New(db.pool) }

// InTx runs f in a transaction that is committed if f gives no error, and else rolled back.
func (db *DB) InTx(ctx context.Context, f func(tx *Tx) error) error {
	return pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error { return f(&Tx{tx}) })
}

// InSnapshot runs f in a transaction that sees the database as it was at its beginning, and writes nothing.
func (db *DB) InSnapshot(ctx context.Context, f func(tx *Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, db.pool, options, func(tx pgx.Tx) error { return f(&Tx{tx}) })
}

// Migrate brings the schema up to date: the project's own tables and those of the queue. Several processes may call it at once.
func (db *DB) Migrate(ctx context.Context, log *slog.Logger) error {
	return db.withProvider(log, func(p *goose.Provider) error {
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migrating the schema: %w", err)
		}
		return db.migrateQueue(ctx, log, rivermigrate.DirectionUp, nil)
	})
}

// MigrateDown takes back the newest migration, and the queue's tables with the last one.
func (db *DB) MigrateDown(ctx context.Context, log *slog.Logger) error {
	return db.withProvider(log, func(p *goose.Provider) error {
		if _, err := p.Down(ctx); err != nil {
			if errors.Is(err, goose.ErrNoNextVersion) {
				return engine.Errorf(engine.CodeConflict, "there is no migration to take back")
			}
			return fmt.Errorf("taking back a migration: %w", err)
		}
		version, err := p.GetDBVersion(ctx)
		if err != nil || version > 0 {
			return err
		}
		return db.migrateQueue(ctx, log, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1})
	})
}

// Migration is one step of the schema.
type Migration struct {
	Name      string    `json:"name"`
	AppliedAt time.Time `json:"applied_at,omitzero"`
	Applied   bool      `json:"applied"`
}

// Migrations lists all steps and whether they are applied.
func (db *DB) Migrations(ctx context.Context, log *slog.Logger) ([]Migration, error) {
	var list []Migration
	err := db.withProvider(log, func(p *goose.Provider) error {
		status, err := p.Status(ctx)
		for _, s := range status {
			list = append(list, Migration{Name: s.Source.Path, AppliedAt: s.AppliedAt, Applied: s.State == goose.StateApplied})
		}
		return err
	})
	return list, err
}

func (db *DB) withProvider(log *slog.Logger, f func(*goose.Provider) error) error {
	sqlDB := stdlib.OpenDBFromPool(db.pool)
	defer sqlDB.Close()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, sqlDB, migrations.FS, goose.WithSessionLocker(locker), goose.WithSlog(log))
	if err != nil {
		return err
	}
	return f(provider)
}

// migrateLock is the key of the advisory lock under which the queue's tables are migrated; any fixed number will do.
const migrateLock = 7_146_901

func (db *DB) migrateQueue(ctx context.Context, log *slog.Logger, direction rivermigrate.Direction, opts *rivermigrate.MigrateOpts) error {
	migrator, err := rivermigrate.New(db.RiverDriver(), &rivermigrate.Config{Logger: log})
	if err != nil {
		return err
	}
	// The lock is held by a transaction of its own: the queue's steps cannot all run in one, since one of them uses a value
	// of an enumeration that another one adds.
	return db.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", migrateLock); err != nil {
			return err
		}
		if _, err := migrator.Migrate(ctx, direction, opts); err != nil {
			return fmt.Errorf("migrating the queue's tables: %w", err)
		}
		return nil
	})
}

// collect runs a query and maps each row with scan.
func collect[T any](ctx context.Context, q querier, scan func(pgx.CollectableRow) (T, error), sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// one runs a query that gives one row; without a row it gives notFound.
func one[T any](ctx context.Context, q querier, scan func(pgx.CollectableRow) (T, error), notFound *engine.Error, sql string, args ...any) (T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		var none T
		return none, err
	}
	value, err := pgx.CollectOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return value, notFound
	}
	return value, err
}

// Driver-side forms of engine types.

func dateParam(d engine.Date) time.Time { return d.UTC() }

func dateOf(t time.Time) engine.Date { return engine.DateOf(t, time.UTC) }

func timeParam(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// lockNotAvailable is the server's code for a lock that was not given in time.
const lockNotAvailable = "55P03"

func isLockTimeout(err error) bool { return hasCode(err, lockNotAvailable) }

// queryCanceled is the server's code for a statement that took too long, or that somebody stopped.
const queryCanceled = "57014"

// TimedOut tells whether a statement took longer than it may.
func TimedOut(err error) bool { return hasCode(err, queryCanceled) }

func isTimeout(err error) bool { return isLockTimeout(err) || hasCode(err, queryCanceled) }

func hasCode(err error, code string) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == code
}
