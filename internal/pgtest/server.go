package pgtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quimbi/quimbi/internal/localpg"
)

// Advisory locks, all taken in the maintenance database. Each is a pair of
// numbers; the first ones are arbitrary and only have to differ.
const (
	lockOfRun      = 71_501_001 // with the run's number: held as long as its binary lives
	lockOfTemplate = 71_501_002 // with 0: held while the template is looked for or built
	lockOfSweep    = 71_501_003 // with 0: held while databases of dead runs are dropped
)

// Names of databases. A test's ends in the numbers of its run and of itself.
const (
	testPrefix     = "quimbi_test_"
	templatePrefix = "quimbi_template_"
)

// binary is the use that this test binary makes of the test server.
type binary struct {
	server   *localpg.Server // nil if QUIMBI_TEST_DATABASE_URL names another one
	adminURL string
	holder   *pgx.Conn // keeps the lock of the run
	run      int32
	template string
	next     atomic.Int64

	rollbackOnce sync.Once // makes the database of Tx
	rollbackDB   string
	rollbackErr  error

	mu   sync.Mutex
	idle []*pgx.Conn // to the database of Tx
}

// The server is shared by the whole binary, so this is the one place of the
// project where state belongs to the package.
var (
	once    sync.Once
	current atomic.Pointer[binary]
	openErr error
)

// open connects the binary to the test server on first use.
func open(t testing.TB) *binary {
	t.Helper()
	once.Do(func() {
		// Not the test's context: the server outlives the test.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		p, err := connect(ctx)
		if err != nil {
			openErr = err
			return
		}
		current.Store(p)
	})
	if openErr != nil {
		t.Fatalf("pgtest: %v", openErr)
	}
	return current.Load()
}

func connect(ctx context.Context) (_ *binary, err error) {
	p := &binary{adminURL: os.Getenv("QUIMBI_TEST_DATABASE_URL")}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(ctx))
		}
	}()
	if p.adminURL == "" {
		if p.server, err = startServer(ctx); err != nil {
			return p, err
		}
		p.adminURL = p.server.URL()
	}
	if p.holder, err = pgx.Connect(ctx, p.adminURL); err != nil {
		return p, fmt.Errorf("connecting to the test server: %w", err)
	}
	for held := false; !held; {
		p.run = rand.Int32()
		if held, err = tryLock(ctx, p.holder, lockOfRun, p.run); err != nil {
			return p, err
		}
	}
	if err := sweep(ctx, p.holder); err != nil {
		return p, err
	}
	p.template, err = ensureTemplate(ctx, p.adminURL)
	return p, err
}

// startServer starts or attaches to the server that all test binaries of this
// account share. Its data is worth nothing, so nothing waits for the disk.
func startServer(ctx context.Context) (*localpg.Server, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("quimbi-test-%d", os.Getuid()))
	server, err := localpg.Start(ctx, localpg.Options{
		DataDir: dir,
		PGBin:   os.Getenv("PG_BIN"),
		Extra: []string{
			"fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"max_connections=300", "shared_buffers=128MB", "checkpoint_timeout=1h",
		},
	})
	if err != nil {
		return nil, fmt.Errorf("starting the test server in %s, a folder that may be removed while no test runs: %w", dir, err)
	}
	return server, nil
}

// close drops what the binary has made and leaves the server.
func (p *binary) close(ctx context.Context) error {
	var errs []error
	p.mu.Lock()
	for _, conn := range p.idle {
		errs = append(errs, conn.Close(ctx))
	}
	p.idle = nil
	p.mu.Unlock()
	if p.rollbackDB != "" {
		errs = append(errs, p.drop(ctx, p.rollbackDB))
	}
	if p.holder != nil {
		errs = append(errs, p.holder.Close(ctx))
	}
	if p.server != nil {
		errs = append(errs, p.server.Close(ctx))
	}
	return errors.Join(errs...)
}

// clone makes a database for a test.
func (p *binary) clone(ctx context.Context) (name string, err error) {
	name = fmt.Sprintf("%s%d_%d", testPrefix, p.run, p.next.Add(1))
	err = p.admin(ctx, "CREATE DATABASE "+name+" TEMPLATE "+p.template)
	if err != nil {
		return "", fmt.Errorf("cloning the test's database: %w", err)
	}
	return name, nil
}

func (p *binary) drop(ctx context.Context, name string) error {
	if err := p.admin(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("dropping the test's database: %w", err)
	}
	return nil
}

// admin runs one statement on a connection of its own; many tests do so at
// the same time, and a connection to a Unix socket costs little.
func (p *binary) admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, p.adminURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// borrow returns a connection to the database in which nothing is committed.
func (p *binary) borrow(ctx context.Context) (*pgx.Conn, error) {
	p.rollbackOnce.Do(func() {
		// Not the test's context: other tests use the database too.
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		p.rollbackDB, p.rollbackErr = p.clone(ctx)
	})
	if p.rollbackErr != nil {
		return nil, p.rollbackErr
	}
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		conn := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return conn, nil
	}
	p.mu.Unlock()

	config, err := pgx.ParseConfig(databaseURL(p.adminURL, p.rollbackDB))
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database of transactions: %w", err)
	}
	return conn, nil
}

func (p *binary) giveBack(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || conn.PgConn().TxStatus() != 'I' {
		// Nothing is lost: the next test makes a new one.
		_ = conn.Close(ctx)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, conn)
}

// sweep drops the databases of test binaries that died without doing so: those
// whose lock is free.
func sweep(ctx context.Context, conn *pgx.Conn) error {
	mine, err := tryLock(ctx, conn, lockOfSweep, 0)
	if err != nil || !mine {
		return err
	}
	rows, err := conn.Query(ctx, `SELECT datname, split_part(datname, '_', 3)::int FROM pg_database WHERE datname ~ '^quimbi_test_[0-9]{1,10}_[0-9]+$'`)
	if err != nil {
		return fmt.Errorf("listing test databases: %w", err)
	}
	type leftover struct {
		Name string
		Run  int32
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[leftover])
	if err != nil {
		return fmt.Errorf("listing test databases: %w", err)
	}
	for _, l := range found {
		dead, err := tryLock(ctx, conn, lockOfRun, l.Run)
		if err != nil {
			return err
		}
		if !dead {
			continue
		}
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+l.Name+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("dropping the database of a dead test: %w", err)
		}
		if err := unlock(ctx, conn, lockOfRun, l.Run); err != nil {
			return err
		}
	}
	return unlock(ctx, conn, lockOfSweep, 0)
}

func tryLock(ctx context.Context, conn *pgx.Conn, class, number int32) (held bool, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", class, number).Scan(&held)
	if err != nil {
		return false, fmt.Errorf("taking a lock on the test server: %w", err)
	}
	return held, nil
}

func unlock(ctx context.Context, conn *pgx.Conn, class, number int32) error {
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock($1, $2)", class, number); err != nil {
		return fmt.Errorf("giving back a lock on the test server: %w", err)
	}
	return nil
}

// databaseURL is a connection string with another database in it.
func databaseURL(base, name string) string {
	if strings.HasPrefix(base, "postgres://") || strings.HasPrefix(base, "postgresql://") {
		if u, err := url.Parse(base); err == nil {
			u.Path = "/" + name
			return u.String()
		}
	}
	return base + " dbname=" + name // the last of two counts
}
