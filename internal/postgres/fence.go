package postgres

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

type fenceKey struct{}

// WithStores lets reads under the context see the rows of some stores alone: row level security holds them to it, whatever a
// statement forgets. Without it everything is seen, as work needs it; writes and transactions are not bound.
func WithStores(ctx context.Context, stores []int32) context.Context {
	list := make([]string, len(stores))
	for i, s := range stores {
		list[i] = strconv.Itoa(int(s))
	}
	if len(list) == 0 {
		list = []string{"-1"} // no store has this number; nothing at all would mean no fence to an owner
	}
	return context.WithValue(ctx, fenceKey{}, strings.Join(list, ","))
}

// WithAllStores takes such a bound away.
func WithAllStores(ctx context.Context) context.Context {
	return context.WithValue(ctx, fenceKey{}, "")
}

// fencing remembers whether row level security can be used here.
type fencing struct {
	mu    sync.Mutex
	known bool
	works bool
}

const fenceWorks = `SELECT set_config('role', 'quimbi_api', true) IS NOT NULL AND has_table_privilege('quimbi_api', 'store', 'SELECT')
  AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = 'quimbi_api')`

// Fenced tells whether the database holds reads to the stores of their context: that needs role quimbi_api, made by the
// migrations where they may, without rights to see everything, and allowed to whoever connects.
func (db *DB) Fenced(ctx context.Context) (bool, error) {
	f := &db.fencing
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known {
		return f.works, nil
	}
	ctx = context.WithoutCancel(ctx) // others wait for the answer
	works := false
	err := db.InTx(ctx, func(tx *Tx) error {
		return tx.QueryRow(ctx, fenceWorks).Scan(&works)
	})
	const undefined, forbidden = "22023", "42501" // what set_config says where there is no such role, or not for us
	if hasCode(err, undefined) || hasCode(err, forbidden) || hasCode(err, "42704") {
		works, err = false, nil
	}
	f.known, f.works = err == nil, works
	return works, err
}

// read gives what reads under a context go through.
func (db *DB) read(ctx context.Context) querier {
	stores, _ := ctx.Value(fenceKey{}).(string)
	if stores == "" {
		return db.pool
	}
	return fence{db: db, stores: stores}
}

// readPlanned does the same for statements over many leaves: one plan serves a connection whatever the values. To plan looks at every leaf
// and takes longer than to read; left alone the server does so each time, since it counts leaves that such a plan leaves out when
// it is used.
func (db *DB) readPlanned(ctx context.Context) querier {
	stores, _ := ctx.Value(fenceKey{}).(string)
	return fence{db: db, stores: stores, planned: true}
}

// fence reads in one message: the settings and the statement. Up to its end a message is one transaction (PostgreSQL's manual,
// "Pipelining"), and so far the settings reach; to begin and to commit one as well took longer than all else.
type fence struct {
	db      *DB
	stores  string // empty: all
	planned bool
}

var _ querier = fence{}

const setFence = "SELECT set_config('role', 'quimbi_api', true), set_config('quimbi.stores', $1, true), set_config('statement_timeout', $2, true)"

const setPlanned = "SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"

// statementTime is what is left of a request, in milliseconds, for the server to end the statement by itself; 0: any time.
func statementTime(ctx context.Context) string {
	deadline, ok := ctx.Deadline()
	if !ok {
		return "0"
	}
	return strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10)
}

// Query reads rows.
func (f fence) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	var batch pgx.Batch
	if f.stores != "" {
		works, err := f.db.Fenced(ctx)
		if err != nil {
			return nil, err
		}
		if works { // else serve has said so
			batch.Queue(setFence, f.stores, statementTime(ctx))
		}
	}
	if f.planned {
		batch.Queue(setPlanned)
	}
	settings := batch.Len()
	if settings == 0 {
		return f.db.pool.Query(ctx, sql, args...)
	}
	conn, err := f.db.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	var rows pgx.Rows
	batch.Queue(sql, args...)
	results := conn.SendBatch(ctx, &batch)
	for range settings {
		if _, err = results.Exec(); err != nil {
			break
		}
	}
	if err == nil {
		rows, err = results.Query()
	}
	if err != nil {
		_ = results.Close() // says the same
		conn.Release()
		return nil, err
	}
	return &fencedRows{Rows: rows, results: results, conn: conn}, nil
}

// QueryRow reads one row.
func (f fence) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := f.Query(ctx, sql, args...)
	return fencedRow{rows, err}
}

// Exec is refused: what is fenced is read.
func (fence) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, errors.New("a fenced read does not write")
}

// fencedRows are rows with the transaction that ends with them.
type fencedRows struct {
	pgx.Rows
	results pgx.BatchResults
	conn    *pgxpool.Conn
	err     error
	closed  bool
}

// Close reads on to the end and gives the connection back.
func (r *fencedRows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	r.err = r.results.Close()
	r.conn.Release()
}

// Next goes on to the next row, and closes after the last.
func (r *fencedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Err gives the fault of the statement, or of what stands around it.
func (r *fencedRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

type fencedRow struct {
	rows pgx.Rows
	err  error
}

// Scan reads the row.
func (r fencedRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
