package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { Main(m) }

const tablesOf = `SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename IN ('store', 'customer', 'snapshot', 'river_job')`

func count(t *testing.T, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, sql string, args ...any,
) (n int) {
	t.Helper()
	if err := q.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestDBIsMigratedAndItsOwn(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for i := range 3 {
		pool := DB(t)
		if n := count(t, pool, tablesOf); n != 4 {
			t.Errorf("%d of 4 tables", n)
		}
		if _, err := pool.Exec(t.Context(), "CREATE TABLE mine (x int)"); err != nil {
			t.Errorf("database %d is not the test's own: %v", i, err)
		}
		names[pool.Config().ConnConfig.Database] = true
	}
	if len(names) != 3 {
		t.Errorf("databases %v, want three", names)
	}
}

func TestDatabaseIsDropped(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("user", func(t *testing.T) {
		pool := DB(t)
		name = pool.Config().ConnConfig.Database
		if n := count(t, pool, "SELECT count(*) FROM pg_database WHERE datname = $1", name); n != 1 {
			t.Errorf("the database %s is not listed", name)
		}
	})
	if n := count(t, DB(t), "SELECT count(*) FROM pg_database WHERE datname = $1", name); n != 0 {
		t.Errorf("the database %s is still there", name)
	}
}

func TestTxIsRolledBack(t *testing.T) {
	t.Parallel()
	for range 3 {
		t.Run("user", func(t *testing.T) {
			tx := Tx(t)
			if n := count(t, tx, tablesOf); n != 4 {
				t.Errorf("%d of 4 tables", n)
			}
			if _, err := tx.Exec(t.Context(), "CREATE TABLE rolled_back (x int)"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTxAfterFaults(t *testing.T) {
	t.Parallel()
	t.Run("failed statement", func(t *testing.T) {
		if _, err := Tx(t).Exec(t.Context(), "SELECT nonsense"); err == nil {
			t.Error("no error")
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Tx(t).Exec(ctx, "SELECT 1"); err == nil {
			t.Error("no error")
		}
	})
	t.Run("lost connection", func(t *testing.T) {
		if _, err := Tx(t).Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())"); err == nil {
			t.Error("no error")
		}
	})
	if n := count(t, Tx(t), "SELECT 1"); n != 1 {
		t.Error("no transaction after the faults")
	}
}

func TestQueriesCountsReads(t *testing.T) {
	t.Parallel()
	pool := DB(t)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE x (n int)"); err != nil {
		t.Fatal(err)
	}
	q := Queries(t, pool)
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue("SELECT set_config('statement_timeout', '5000', true)")
		b.Queue("-- name: Rows\nSELECT n FROM x")
		b.Queue("INSERT INTO x VALUES (1)")
		if err := tx.SendBatch(t.Context(), &b).Close(); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), "WITH a AS (SELECT 1) SELECT * FROM a")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"-- name: Rows\nSELECT n FROM x", "WITH a AS (SELECT 1) SELECT * FROM a"}
	if diff := cmp.Diff(want, q.Reads()); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	q.AtMost(t, 2)
	if n := len(Queries(t, pool).Reads()); n != 0 {
		t.Errorf("%d reads after a new beginning", n)
	}
}

func TestCounterInsideAnotherTracer(t *testing.T) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(URL(t))
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.Tracer = multitracer.New(new(Counter))
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	q := Queries(t, pool)
	count(t, pool, "SELECT 1")
	if n := len(q.Reads()); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

func TestReadsData(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]bool{
		"select 1":                              true,
		"-- name: A\n/* b */ SELECT * FROM x":   true,
		"(SELECT 1) UNION (SELECT 2)":           true,
		"WITH a AS (SELECT 1) SELECT * FROM a":  true,
		"table x":                               true,
		"begin isolation level repeatable read": false,
		"COMMIT":                                false,
		"rollback":                              false,
		"savepoint a":                           false,
		"SELECT set_config('a', 'b', true)":     false,
		"select pg_notify($1, $2)":              false,
		"select pg_advisory_xact_lock($1)":      false,
		"insert into x select * from y":         false,
		"set local work_mem = '1GB'":            false,
		"-- ping":                               false,
		"":                                      false,
	} {
		if got := readsData(sql); got != want {
			t.Errorf("readsData(%q) = %v, want %v", sql, got, want)
		}
	}
}

func TestDatabaseURL(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"postgres://quimbi@/quimbi?host=%2Fa%20b&port=5432": "postgres://quimbi@/x?host=%2Fa%20b&port=5432",
		"postgresql://u:p@localhost/db?sslmode=disable":     "postgresql://u:p@localhost/x?sslmode=disable",
		"host=/run dbname=db user=u":                        "host=/run dbname=db user=u dbname=x",
	} {
		got := databaseURL(base, "x")
		if got != want {
			t.Errorf("databaseURL(%q) = %q, want %q", base, got, want)
		}
		config, err := pgx.ParseConfig(got)
		if err != nil || config.Database != "x" {
			t.Errorf("pgx reads %q as database %q, %v", got, config.Database, err)
		}
	}
}

// Several binaries at once, as "go test ./..." runs them, need one template.
func TestSeveralBinaries(t *testing.T) {
	t.Parallel()
	p := open(t)
	conn, err := pgx.Connect(t.Context(), p.adminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const n = 3
	names := make(chan string, n)
	for range n {
		go func() {
			name, err := ensureTemplate(t.Context(), p.adminURL)
			if err != nil {
				t.Error(err)
			}
			names <- name
		}()
	}
	for range n {
		if name := <-names; name != p.template {
			t.Errorf("template %q, want %q", name, p.template)
		}
	}
}

// A binary that dies leaves its databases; the next one drops them.
func TestSweep(t *testing.T) {
	t.Parallel()
	if os.Getenv("PGTEST_DIES") != "" {
		pool := DB(t)
		count(t, pool, tablesOf)
		fmt.Printf("database=%s\n", pool.Config().ConnConfig.Database)
		os.Exit(3)
	}
	pool := DB(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSweep$")
	cmd.Env = append(os.Environ(), "PGTEST_DIES=1")
	out, err := cmd.Output()
	_, rest, found := strings.Cut(string(out), "database=")
	if err == nil || !found {
		t.Fatalf("the other binary: %v\n%s", err, out)
	}
	name, _, _ := strings.Cut(rest, "\n")
	const listed = "SELECT count(*) FROM pg_database WHERE datname = $1"

	conn, err := pgx.Connect(t.Context(), open(t).adminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	// The server may take a moment to notice the death, and one sweep leaves
	// the work to another that is under way.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for count(t, pool, listed, name) != 0 {
		if err := sweep(ctx, conn); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the database %s of the dead binary is still there", name)
		case <-ticker.C:
		}
	}
	if n := count(t, pool, listed, pool.Config().ConnConfig.Database); n != 1 {
		t.Error("the sweep dropped the database of a living test")
	}
}

func BenchmarkDB(b *testing.B) {
	for b.Loop() {
		p := open(b)
		name, err := p.clone(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := p.drop(b.Context(), name); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTx(b *testing.B) {
	p := open(b)
	for b.Loop() {
		conn, err := p.borrow(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		tx, err := conn.Begin(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		_ = tx.Rollback(b.Context())
		p.giveBack(b.Context(), conn)
	}
}
