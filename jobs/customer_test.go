package jobs_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// erika is a customer whose name and order ids are found nowhere by chance.
const erika = "erika.mustermann@example.org"

// buy imports orders of one line each, at noon of the days.
func buy(t *testing.T, db *postgres.DB, store *engine.Store, customer string, days ...engine.Date) {
	t.Helper()
	_, err := db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for _, day := range days {
			if err := yield(orderOf(customer, day)); err != nil {
				return 0, err
			}
		}
		return engine.ColumnOrderID, nil
	})
	check(t, err)
}

func orderOf(customer string, day engine.Date) *postgres.ImportLine {
	return &postgres.ImportLine{Customer: customer, Line: engine.Line{
		OrderKey: fmt.Sprintf("%s/%s", customer, day), Number: 1, OrderedAt: day.In(time.UTC).Add(12 * time.Hour), Quantity: 1, NetCents: 2500,
	}}
}

// shopCustomers is how many customers a clusteredShop has beside erika.
const shopCustomers = 150

// clusteredShop has customers c000 to c149 who bought in 1997 and 1998, erika among them, and a model with few choices, which is
// quick to fit.
func clusteredShop(t *testing.T, q *jobs.Queue, db *postgres.DB) *engine.Store {
	t.Helper()
	store, err := db.EnsureStore(t.Context(), "shop")
	check(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	first := day(t, "1997-01-01")
	_, err = db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for i := range shopCustomers {
			for j := range 1 + random.IntN(8) {
				line := orderOf(fmt.Sprintf("c%03d", i), first+engine.Date(random.IntN(540)))
				line.OrderKey, line.NetCents = fmt.Sprintf("o%d-%d", i, j), int64(500+random.IntN(5000))
				if err := yield(line); err != nil {
					return 0, err
				}
			}
		}
		return engine.ColumnOrderID, nil
	})
	check(t, err)
	buy(t, db, store, erika, day(t, "1997-02-01"), day(t, "1998-01-08"), day(t, "1998-06-10"))
	store, err = db.StoreByKey(t.Context(), store.Key)
	check(t, err)
	params, seed := engine.DefaultParams(), uint64(1)
	params.ChooseK, params.Hierarchical, params.Starts, params.MaxIterations = false, false, 1, 20
	run, err := q.Recluster(t.Context(), jobs.ReclusterRequest{Store: store, Params: params, Seed: &seed, Trigger: engine.TriggerCLI})
	check(t, err)
	check(t, q.Work(t.Context(), run, nil))
	return store
}

func find(t *testing.T, q *jobs.Queue, store *engine.Store, name string) *engine.Customer {
	t.Helper()
	customer, err := q.FindCustomer(t.Context(), store, name)
	check(t, err)
	return customer
}

// traces lists the tables in which a text is found, in letters or in the hexadecimal form of bytes.
func traces(t *testing.T, pool *pgxpool.Pool, text string) []string {
	t.Helper()
	var found []string
	for _, table := range tables(t, pool, "") {
		var rows int
		sql := "SELECT count(*) FROM " + pgx.Identifier{table}.Sanitize() + " t WHERE t::text ILIKE $1 OR t::text ILIKE $2"
		check(t, pool.QueryRow(t.Context(), sql, "%"+text+"%", "%"+hex.EncodeToString([]byte(text))+"%").Scan(&rows))
		if rows > 0 {
			found = append(found, table)
		}
	}
	return found
}

// tables lists the tables of the database that have a column, partitions apart; all of them where the column is empty.
func tables(t *testing.T, pool *pgxpool.Pool, column string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
AND NOT c.relispartition AND ($1 = '' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = $1 AND NOT a.attisdropped)) ORDER BY 1`, column)
	check(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	check(t, err)
	return names
}

func TestEraseCustomer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store := clusteredShop(t, q, db)
	for _, kind := range engine.SnapshotTypes {
		run, err := q.Replay(ctx, jobs.ReplayRequest{Store: store, Type: kind, From: day(t, "1998-01-01"), To: day(t, "1998-01-20"), Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, q.Work(ctx, run, nil))
	}
	customer := find(t, q, store, " Erika.Mustermann@Example.org")
	own := postgres.CustomerRange{From: customer.ID, To: customer.ID}
	raised := []engine.Alarm{{StoreID: store.ID, CustomerID: customer.ID, Kind: engine.AlarmSilence, Date: day(t, "1998-01-04"), ModelVersion: 1, Value: 0.01, Threshold: 0.02, Rate: 0.5, DaysSilent: 40, PValue: 0.1}}
	check(t, db.InTx(ctx, func(tx *postgres.Tx) error {
		return tx.ReplaceAlarms(ctx, store.ID, own, []engine.Date{day(t, "1998-01-04")}, raised, nil)
	}))
	document, err := q.ExportCustomer(ctx, store, customer.ID)
	check(t, err)
	if len(document.Alarms) != 1 || document.Alarms[0].Text != raised[0].Explanation() {
		t.Errorf("the export has the alarms %+v", document.Alarms)
	}
	if len(document.Orders) != 3 || document.OrderCount != 3 || document.TotalValue != 7500 || document.Standing == nil || len(document.Snapshots) != 19+3+3 {
		t.Errorf("the export has %d orders, %d snapshots: %+v", len(document.Orders), len(document.Snapshots), document)
	}
	if s := document.Snapshots[0]; len(s.Memberships["purchase_frequency"]) == 0 || s.Dominant["purchase_frequency"] == "" || s.Features["purchases"] == 0 {
		t.Errorf("a snapshot without its thumbprint: %+v", s)
	}
	if found := traces(t, pool, erika); !slices.Equal(found, []string{"customer", "customer_order"}) {
		t.Fatalf("before the erasure the customer is found in %v", found)
	}
	before, err := db.StoreByKey(ctx, store.Key)
	check(t, err)

	receipt, err := q.EraseCustomer(ctx, store, customer.ID)
	check(t, err)
	want := map[string]int64{"customer": 1, "customer_order": 3, "customer_state": 1, "snapshot": 25, "drift_event": int64(len(document.DriftEvents)), "touched_customer": 0, "customer_drift": int64(len(document.Drifts)), "segment_transition": int64(len(document.Transitions)), "alarm": 1}
	if receipt.Orders != 3 || len(document.DriftEvents) == 0 || len(document.Drifts) == 0 || fmt.Sprint(receipt.Removed) != fmt.Sprint(want) {
		t.Errorf("the receipt is %+v, want %v", receipt, want)
	}
	if found := traces(t, pool, erika); found != nil {
		t.Errorf("after the erasure the customer is found in %v", found)
	}
	for _, table := range tables(t, pool, "customer_id") {
		var rows int
		check(t, pool.QueryRow(ctx, "SELECT count(*) FROM "+table+" WHERE store_id = $1 AND customer_id = $2", store.ID, customer.ID).Scan(&rows))
		if _, counted := want[table]; !counted || rows > 0 {
			t.Errorf("%s: %d rows of the customer are left, counted by the receipt: %v", table, rows, counted)
		}
	}
	after, err := db.StoreByKey(ctx, store.Key)
	check(t, err)
	if after.Customers != before.Customers-1 || !after.FirstAt.Equal(before.FirstAt) {
		t.Errorf("the store has %d customers since %s, had %d since %s", after.Customers, after.FirstAt, before.Customers, before.FirstAt)
	}
	_, err = q.EraseCustomer(ctx, store, customer.ID)
	want404(t, err)
	_, err = q.ExportCustomer(ctx, store, customer.ID)
	want404(t, err)
	receipts, err := q.Receipts(ctx, store)
	check(t, err)
	if len(receipts) != 1 || receipts[0].Hash != receipt.Hash || receipts[0].Salt != "" || !receipts[0].ErasedAt.Equal(receipt.ErasedAt) {
		t.Errorf("the receipts are %+v, want %+v without its salt", receipts, receipt)
	}
	if strings.Contains(fmt.Sprint(receipts), erika) {
		t.Error("a receipt names the customer")
	}
}

func want404(t *testing.T, err error) {
	t.Helper()
	want(t, err, engine.CodeNotFound)
}

// gone fails where anything is left of a customer.
func gone(t *testing.T, pool *pgxpool.Pool, customer *engine.Customer) {
	t.Helper()
	for _, table := range tables(t, pool, "customer_id") {
		var rows int
		check(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM "+table+" WHERE customer_id = $1", customer.ID).Scan(&rows))
		if rows > 0 {
			t.Errorf("%d rows of the customer are left in %s", rows, table)
		}
	}
	if found := traces(t, pool, customer.Key); found != nil {
		t.Errorf("the customer is found in %v", found)
	}
}

// waiting blocks until so many connections wait for locks, or the work is done.
func waiting(t *testing.T, pool *pgxpool.Pool, connections int, done <-chan error) {
	t.Helper()
	for {
		var blocked int
		check(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&blocked))
		if blocked >= connections || len(done) > 0 {
			return
		}
	}
}

// TestEraseWaitsForAnImport erases a customer while an import brings one more order of it.
func TestEraseWaitsForAnImport(t *testing.T) {
	t.Parallel()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store, err := db.EnsureStore(t.Context(), "shop")
	check(t, err)
	first := day(t, "2026-01-05")
	buy(t, db, store, erika, first)
	buy(t, db, store, "other", first)
	customer := find(t, q, store, erika)

	at, release := make(chan struct{}), make(chan struct{})
	imported, erased := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
			err := yield(orderOf(erika, first+7))
			close(at)
			<-release
			return engine.ColumnOrderID, err
		})
		imported <- err
	}()
	<-at
	go func() {
		_, err := q.EraseCustomer(t.Context(), store, customer.ID)
		erased <- err
	}()
	waiting(t, pool, 1, erased)
	close(release)
	check(t, errors.Join(<-imported, <-erased))
	gone(t, pool, customer)

	// What is imported later is a new customer, whole.
	buy(t, db, store, erika, first+14)
	if again := find(t, q, store, erika); again.ID == customer.ID || again.Orders != 1 {
		t.Errorf("the customer came back as %+v", again)
	}
}

// TestEraseWaitsForSnapshots erases a customer between the moment in which a snapshot has read its lines and that in which
// it is written.
func TestEraseWaitsForSnapshots(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store := clusteredShop(t, q, db)
	customer, other := find(t, q, store, erika), find(t, q, store, "c042")
	date := day(t, "1998-06-11")
	check(t, db.EnsureLeaves(ctx, engine.Weekly, []engine.Date{date}))

	// Somebody is writing the other's snapshot: whoever takes it again waits for the outcome.
	at, release := make(chan struct{}), make(chan struct{})
	blocked, taken, erased := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	rolledBack := errors.New("rolled back")
	go func() {
		blocked <- db.InTx(ctx, func(tx *postgres.Tx) error {
			err := tx.CopySnapshots(ctx, []postgres.WrittenSnapshot{{Snapshot: engine.Snapshot{
				StoreID: store.ID, CustomerID: other.ID, Type: engine.Weekly, Date: date, ModelVersion: 1, Thumbprint: engine.Thumbprint{Membership: []int16{}, Dominant: []int16{}},
			}}})
			close(at)
			<-release
			return errors.Join(rolledBack, err)
		})
	}()
	<-at
	go func() {
		counts, err := q.SnapshotCustomers(ctx, jobs.SnapshotRequest{Store: store, Customers: []int64{customer.ID, other.ID}, Type: engine.Weekly, Date: &date, Conflict: jobs.ConflictKeep})
		if err == nil && counts.Created != 2 {
			err = fmt.Errorf("the snapshots were taken as %+v", counts)
		}
		taken <- err
	}()
	waiting(t, pool, 1, taken)
	go func() {
		_, err := q.EraseCustomer(ctx, store, customer.ID)
		erased <- err
	}()
	waiting(t, pool, 2, erased)
	close(release)
	if err := <-blocked; !errors.Is(err, rolledBack) || strings.Contains(err.Error(), "\n") {
		t.Fatal(err)
	}
	check(t, errors.Join(<-taken, <-erased))
	gone(t, pool, customer)
}

// TestAFitDoesNotBringBack writes the states of a fit that had read a customer who is erased by then.
func TestAFitDoesNotBringBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	buy(t, db, store, erika, day(t, "2026-01-05"))
	buy(t, db, store, "other", day(t, "2026-01-05"))
	customer, other := find(t, q, store, erika), find(t, q, store, "other")
	_, err = q.EraseCustomer(ctx, store, customer.ID)
	check(t, err)
	states := []postgres.State{{CustomerID: customer.ID}, {CustomerID: other.ID}}
	for i := range states {
		states[i].Thumbprint = engine.Thumbprint{Membership: []int16{}, Dominant: []int16{}}
	}
	check(t, db.InTx(ctx, func(tx *postgres.Tx) error {
		return tx.WriteStates(ctx, store.ID, 1, day(t, "2026-01-06"), func() (postgres.State, bool) {
			if len(states) == 0 {
				return postgres.State{}, false
			}
			state := states[0]
			states = states[1:]
			return state, true
		})
	}))
	gone(t, pool, customer)
	var kept int
	check(t, pool.QueryRow(ctx, "SELECT count(*) FROM customer_state").Scan(&kept))
	if kept != 1 {
		t.Errorf("%d states were written, want the other customer's", kept)
	}
}
