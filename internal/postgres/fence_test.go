package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

const storeTables = `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'store_id' AND NOT a.attisdropped
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relispartition = $1 ORDER BY 1`

func namesOf(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Every table with a store is behind the fence, and nothing else can be read.
func TestEveryTableIsFenced(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	fenced(t, postgres.New(pool))
	tables := namesOf(t, pool, storeTables, false)
	if len(tables) < 15 {
		t.Fatalf("only %d tables have a store: %v", len(tables), tables)
	}
	for _, table := range tables {
		var secured, policy, readable bool
		err := pool.QueryRow(t.Context(), `SELECT relrowsecurity, EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'fence' AND polcmd = '*'),
		  has_table_privilege('quimbi_api', c.oid, 'SELECT') FROM pg_class c WHERE oid = $1::text::regclass`, table).Scan(&secured, &policy, &readable)
		if err != nil {
			t.Fatal(err)
		}
		if !secured || !policy || readable != (table != "access_token") {
			t.Errorf("%s is not behind the fence: a migration that makes a table with store_id ends with SELECT fence('%s')", table, table)
		}
	}
	for _, name := range namesOf(t, pool, `SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
	  AND (has_table_privilege('quimbi_api', c.oid, 'INSERT') OR has_table_privilege('quimbi_api', c.oid, 'UPDATE') OR has_table_privilege('quimbi_api', c.oid, 'DELETE')
	    OR has_table_privilege('quimbi_api', c.oid, 'SELECT') AND NOT c.relrowsecurity)`) {
		t.Errorf("the API's role may write %s, or read it without a fence", name)
	}
}

// fenced skips a test where the server's login may not make roles.
func fenced(t *testing.T, db *postgres.DB) {
	t.Helper()
	works, err := db.Fenced(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !works {
		t.Skip("role quimbi_api cannot be used on this server")
	}
}

// twoStores have a customer with an order, a run and a token each.
func twoStores(t *testing.T, db *postgres.DB) (own, other *engine.Store) {
	t.Helper()
	for i, store := range []**engine.Store{&own, &other} {
		var err error
		if *store, err = db.EnsureStore(t.Context(), fmt.Sprintf("store %d", i)); err != nil {
			t.Fatal(err)
		}
		_, err = db.ImportLines(t.Context(), *store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
			return 0, yield(&postgres.ImportLine{Customer: fmt.Sprintf("customer %d", i), Line: engine.Line{OrderKey: "o", Number: 1, OrderedAt: time.Unix(0, 0), Quantity: 1, NetCents: 100}})
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.InTx(t.Context(), func(tx *postgres.Tx) error {
			_, err := tx.InsertRun(t.Context(), postgres.NewRun{ID: uuid.NewString(), StoreID: (*store).ID, Kind: engine.RunImport, Trigger: engine.TriggerCLI, Request: struct{}{}})
			return err
		})
		if err == nil {
			err = db.InsertToken(t.Context(), &postgres.Token{ID: uuid.NewString(), StoreID: (*store).ID, Role: "READER", Hash: [32]byte{byte(i)}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return own, other
}

// A reader that forgets its WHERE sees no row of another store, in any table; and readers that remember see what they should.
func TestAForgetfulReaderSeesNoForeignRow(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	fenced(t, db)
	own, other := twoStores(t, db)
	ctx := postgres.WithStores(t.Context(), []int32{own.ID})
	seen := 0
	for _, table := range namesOf(t, pool, storeTables, false) {
		var mine, foreign int
		err := db.ReadRow(ctx, `SELECT count(*) FILTER (WHERE store_id = $1), count(*) FILTER (WHERE store_id <> $1) FROM `+table, own.ID).Scan(&mine, &foreign)
		if table == "access_token" {
			if err == nil {
				t.Error("the API's role reads tokens")
			}
			continue
		}
		if err != nil || foreign > 0 {
			t.Errorf("%s: %d foreign rows, %v", table, foreign, err)
		}
		var all int
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&all); err != nil {
			t.Fatal(err)
		}
		if all > 0 {
			seen++
			if mine == 0 || all == mine {
				t.Errorf("%s: %d of %d rows are one's own", table, mine, all)
			}
		}
	}
	if seen < 4 {
		t.Errorf("only %d tables had rows", seen)
	}
	for _, table := range namesOf(t, pool, storeTables, true) {
		if err := db.ReadRow(ctx, `SELECT count(*) FROM `+table).Scan(new(int)); err == nil {
			t.Errorf("partition %s is read around the fence", table)
		}
	}
	for name, want := range map[string]int{own.Key: 1, other.Key: 0} {
		views, err := db.StoreViewsByKey(ctx, []string{name})
		if err != nil || len(views) != want {
			t.Errorf("store %s: %d, %v", name, len(views), err)
		}
	}
	none := postgres.WithStores(t.Context(), nil)
	if views, err := db.StoreViews(none); err != nil || len(views) > 0 {
		t.Errorf("who sees no store sees %d, %v", len(views), err)
	}
	if views, err := db.StoreViews(postgres.WithAllStores(ctx)); err != nil || len(views) != 2 {
		t.Errorf("who sees all stores sees %d, %v", len(views), err)
	}
	both := postgres.WithStores(t.Context(), []int32{own.ID, other.ID})
	if views, err := db.StoreViews(both); err != nil || len(views) != 2 {
		t.Errorf("who sees two stores sees %d, %v", len(views), err)
	}
}

// What goes wrong within the fence is told as elsewhere, and connections come back as they were.
func TestFencedReadsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	fenced(t, db)
	own, _ := twoStores(t, db)
	ctx := postgres.WithStores(t.Context(), []int32{own.ID})
	for sql, want := range map[string]string{
		"SELECT 1/0":               "division by zero",
		"SELECT nothing":           "does not exist",
		"DELETE FROM customer":     "permission denied",
		"SELECT 1 FROM river_job":  "permission denied",
		"SELECT pg_read_file('x')": "permission denied",
		"SET LOCAL ROLE NONE":      "", // changes nothing: the statement is the last of its transaction
	} {
		rows, err := db.Read(ctx, sql)
		if err == nil {
			for rows.Next() { // to the end
			}
			err = rows.Err()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if err := db.ReadRow(ctx, "SELECT 1 FROM customer WHERE customer_key = 'nobody'").Scan(new(int)); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("no row: %v", err)
	}
	rows, err := db.Read(ctx, "SELECT generate_series(1, 100000)")
	if err != nil || !rows.Next() {
		t.Fatal(err)
	}
	rows.Close() // before the end
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := db.StoreViews(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader that has left: %v", err)
	}
	// The server ends a statement at its request's end, also where nobody cancels it.
	late, cancelLate := context.WithTimeout(ctx, time.Hour)
	defer cancelLate()
	var limit string
	if err := db.ReadRow(late, "SELECT current_setting('statement_timeout')").Scan(&limit); err != nil || limit == "0" {
		t.Errorf("the statement's time is %q, %v", limit, err)
	}
	for range 20 { // whichever connection it is
		var role, stores string
		err := pool.QueryRow(t.Context(), "SELECT current_setting('role'), coalesce(current_setting('quimbi.stores', true), '')").Scan(&role, &stores)
		if err != nil || role != "none" || stores != "" {
			t.Fatalf("a connection came back as role %q with stores %q, %v", role, stores, err)
		}
	}
	if used := pool.Stat().AcquiredConns(); used != 0 {
		t.Errorf("%d connections are not given back", used)
	}
}

// A login that may not use the role is told apart, and reads on by the first fence alone.
func TestALoginWithoutTheRole(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	fenced(t, db)
	own, _ := twoStores(t, db)
	name := "quimbi_plain_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	for _, sql := range []string{"CREATE ROLE " + name, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO " + name} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for _, sql := range []string{"DROP OWNED BY " + name, "DROP ROLE " + name} {
			if _, err := pool.Exec(ctx, sql); err != nil {
				t.Error(err)
			}
		}
	})
	config := pool.Config()
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SET SESSION AUTHORIZATION "+name)
		return err
	}
	plain, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plain.Close)
	limited := postgres.New(plain)
	if works, err := limited.Fenced(t.Context()); err != nil || works {
		t.Errorf("fenced without the role: %v, %v", works, err)
	}
	views, err := limited.StoreViewsByID(postgres.WithStores(t.Context(), []int32{own.ID}), []int32{own.ID})
	if err != nil || len(views) != 1 {
		t.Errorf("reading without the role: %d, %v", len(views), err)
	}
}

// unfenced are the methods that resolvers call and that do not read what belongs to stores.
var unfenced = []string{"Ping", "BeginAudit", "AuditSubject", "EndAudit"}

// What resolvers read goes through db.read, or its form for plans that are kept, which hold it to the caller's stores.
func TestResolversReadBehindTheFence(t *testing.T) {
	t.Parallel()
	called := map[string]bool{}
	for _, text := range sources(t, "../../resolvers") {
		for _, call := range regexp.MustCompile(`\b[rm]\.(?:DB|db)\.(\w+)`).FindAllStringSubmatch(text, -1) {
			called[call[1]] = true
		}
	}
	if len(called) < 30 {
		t.Fatalf("only %d methods are called", len(called))
	}
	found := 0
	fencedRead := regexp.MustCompile(`db\.read(Planned)?\(ctx\)`)
	method := regexp.MustCompile(`(?ms)^func \(db \*DB\) (\w+)\(.*?^}`)
	for _, text := range sources(t, ".") {
		for _, m := range method.FindAllStringSubmatch(text, -1) {
			if !called[m[1]] || slices.Contains(unfenced, m[1]) {
				continue
			}
			found++
			if strings.Contains(m[0], "db.pool") || !fencedRead.MatchString(m[0]) {
				t.Errorf("DB.%s is called by resolvers and does not read through db.read(ctx)", m[1])
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d methods were looked at", found)
	}
}

// What the API asks for ends by the database's clock too, also where the caller sees all stores; work does not.
func TestStatementsOfTheAPIHaveALimit(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	separator := "?"
	if strings.Contains(pool.Config().ConnString(), "?") {
		separator = "&"
	}
	db, err := postgres.Open(t.Context(), pool.Config().ConnString()+separator+"options=-c%20statement_timeout%3D50min", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	work := t.Context()
	api := postgres.WithStatementTime(postgres.WithAllStores(work), 200*time.Millisecond)
	for i, c := range []struct {
		ctx  context.Context
		want string
	}{{work, "50min"}, {api, "200ms"}, {api, "200ms"}, {work, "50min"}, {postgres.WithStatementTime(work, time.Minute), "1min"}, {work, "50min"}} {
		var limit string
		err := db.InTx(c.ctx, func(tx *postgres.Tx) error {
			return tx.QueryRow(c.ctx, "SHOW statement_timeout").Scan(&limit)
		})
		if err != nil || limit != c.want {
			t.Errorf("%d: the limit is %s, %v, want %s", i, limit, err, c.want)
		}
	}
	tx, err := pool.Begin(work)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(work)) }()
	if _, err := tx.Exec(work, "LOCK TABLE customer IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Customers(api, postgres.CustomerQuery{StoreIDs: []int32{1}, Window: postgres.Window{Limit: 1}}); !postgres.TimedOut(err) {
		t.Errorf("a read that waits ended with %v", err)
	}
}

// sources gives the files of a package, tests aside.
func sources(t *testing.T, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}
