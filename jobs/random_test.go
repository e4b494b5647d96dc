package jobs_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// memoryShop is what a store should hold: its orders of one line each, its snapshots and where its customers stand.
type memoryShop struct {
	Orders    map[string]modelOrder
	Snapshots map[modelKey]modelSnapshot
	States    map[string]modelState
	Version   int
}

// modelOrder is an order; all that happens to it later happens within a day.
type modelOrder struct {
	Customer  string
	Day       engine.Date
	Cents     int64
	Refund    int64
	RefundDay engine.Date // when it became known; 0: with the order
	Cancelled engine.Date // 0: it stands
}

// stands tells whether the order counts as of the begin of a day.
func (o *modelOrder) stands(before engine.Date) bool {
	return o.Day < before && (o.Cancelled == 0 || o.Cancelled >= before)
}

// value is what is known of its value then.
func (o *modelOrder) value(before engine.Date) int64 {
	if max(o.Day, o.RefundDay) < before {
		return o.Cents - o.Refund
	}
	return o.Cents
}

// modelImport are orders that come, cancellations of orders that are there, and those that turn out to have been tests.
type modelImport struct {
	orders    map[string]modelOrder
	cancelled map[string]engine.Date
	tests     map[string]bool
}

// importInto does what an import means.
func (m *memoryShop) importInto(in modelImport) {
	last := m.now() - 1 // what is told without a date is known on the last day with an order
	for _, o := range in.orders {
		if o.Cancelled == 0 {
			last = max(last, o.Day)
		}
	}
	if last < 0 {
		last = engine.DateOf(time.Now(), time.UTC)
	}
	for key := range in.tests {
		delete(m.Orders, key)
	}
	for key, day := range in.cancelled {
		if o, there := m.Orders[key]; there && o.Cancelled == 0 {
			o.Cancelled = day
			m.Orders[key] = o
		}
	}
	for key, o := range in.orders {
		old, there := m.Orders[key]
		switch {
		case !there || o.Refund == 0 || o.RefundDay != 0:
		case o.Refund <= old.Refund:
			o.RefundDay = old.RefundDay
		default:
			o.RefundDay = max(last, o.Day)
		}
		if o.Cancelled != 0 && old.Cancelled != 0 {
			o.Cancelled = old.Cancelled
		}
		m.Orders[key] = o
	}
}

type modelKey struct {
	Customer, Type string
	Date           engine.Date
}

type modelSnapshot struct {
	Version, Purchases int
	Cents              int64
	Replayed           bool
}

type modelState struct {
	Version int
	Date    engine.Date
}

// now is the day after the last order.
func (m *memoryShop) now() (now engine.Date) {
	for _, o := range m.Orders {
		if o.Cancelled == 0 {
			now = max(now, o.Day+1)
		}
	}
	return now
}

// bought gives for each customer the days with an order before a date, and their value.
func (m *memoryShop) bought(before engine.Date) map[string]modelSnapshot {
	days := map[string]map[engine.Date]bool{}
	value := map[string]int64{}
	for _, o := range m.Orders {
		if o.stands(before) {
			if days[o.Customer] == nil {
				days[o.Customer] = map[engine.Date]bool{}
			}
			days[o.Customer][o.Day] = true
			value[o.Customer] += o.value(before)
		}
	}
	bought := map[string]modelSnapshot{}
	for customer, of := range days {
		bought[customer] = modelSnapshot{Version: m.Version, Purchases: len(of), Cents: value[customer]}
	}
	return bought
}

// take takes the snapshots of a type on dates.
func (m *memoryShop) take(kind engine.SnapshotType, dates []engine.Date, replace, replayed bool) {
	for _, date := range dates {
		if replace {
			maps.DeleteFunc(m.Snapshots, func(k modelKey, _ modelSnapshot) bool { return k.Type == kind.String() && k.Date == date })
		}
		for customer, s := range m.bought(date) {
			key := modelKey{customer, kind.String(), date}
			if _, there := m.Snapshots[key]; !there {
				s.Replayed = replayed
				m.Snapshots[key] = s
			}
		}
	}
	last := dates[len(dates)-1]
	for key, s := range m.Snapshots {
		if key.Type != kind.String() || key.Date != last || s.Version != m.Version {
			continue
		}
		if now, there := m.States[key.Customer]; !there || now.Version < s.Version || now.Version == s.Version && now.Date <= last {
			m.States[key.Customer] = modelState{s.Version, last}
		}
	}
}

func (m *memoryShop) refit() {
	m.Version++
	m.States = map[string]modelState{}
	for customer := range m.bought(m.now()) {
		m.States[customer] = modelState{m.Version, m.now()}
	}
}

func (m *memoryShop) cleanup(keep map[engine.SnapshotType]int, replayedToo bool) {
	for kind, days := range keep {
		before := m.now() - engine.Date(days)
		maps.DeleteFunc(m.Snapshots, func(k modelKey, s modelSnapshot) bool {
			return k.Type == kind.String() && k.Date < before && (replayedToo || !s.Replayed)
		})
	}
}

func (m *memoryShop) erase(customer string) {
	maps.DeleteFunc(m.Orders, func(_ string, o modelOrder) bool { return o.Customer == customer })
	maps.DeleteFunc(m.Snapshots, func(k modelKey, _ modelSnapshot) bool { return k.Customer == customer })
	delete(m.States, customer)
}

// stored reads what the store holds in truth.
func stored(t *testing.T, pool *pgxpool.Pool) *memoryShop {
	t.Helper()
	m := &memoryShop{Orders: map[string]modelOrder{}, Snapshots: map[modelKey]modelSnapshot{}, States: map[string]modelState{}}
	read := func(sql string, targets []any, keep func()) {
		t.Helper()
		rows, err := pool.Query(t.Context(), sql)
		check(t, err)
		_, err = pgx.ForEachRow(rows, targets, func() error { keep(); return nil })
		check(t, err)
	}
	var order, customer, kind string
	var at time.Time
	var refundedAt, cancelledAt *time.Time
	var cents, refund int64
	var version, purchases int
	var replayed bool
	day := func() engine.Date { return engine.DateOf(at, time.UTC) }
	dayOf := func(at *time.Time) engine.Date {
		if at == nil {
			return 0
		}
		return engine.DateOf(*at, time.UTC)
	}
	read(`SELECT order_key, coalesce(customer_key, '?'), ordered_at, net_cents, refund_cents, refunded_at, cancelled_at FROM customer_order LEFT JOIN customer USING (store_id, customer_id)`,
		[]any{&order, &customer, &at, &cents, &refund, &refundedAt, &cancelledAt},
		func() {
			m.Orders[order] = modelOrder{customer, day(), cents, refund, dayOf(refundedAt), dayOf(cancelledAt)}
		})
	read(`SELECT coalesce(customer_key, '?'), (ARRAY['daily','weekly','monthly','quarterly','yearly'])[snapshot_type], snapshot_date::timestamptz, model_id, s.orders, s.value_cents, replayed
FROM snapshot s LEFT JOIN customer USING (store_id, customer_id)`,
		[]any{&customer, &kind, &at, &version, &purchases, &cents, &replayed},
		func() {
			m.Snapshots[modelKey{customer, kind, day()}] = modelSnapshot{version, purchases, cents, replayed}
		})
	read(`SELECT coalesce(customer_key, '?'), model_id, state_date::timestamptz FROM customer_state LEFT JOIN customer USING (store_id, customer_id)`,
		[]any{&customer, &version, &at}, func() { m.States[customer] = modelState{version, day()} })
	check(t, pool.QueryRow(t.Context(), "SELECT coalesce(max(model_id), 0) FROM segment_model").Scan(&m.Version))
	return m
}

// walkOf tells how many operations a test does, and from which seed: few, or as many as the environment says.
func walkOf(t *testing.T) (operations int, seed uint64) {
	t.Helper()
	operations, seed = 120, 6
	if text := os.Getenv("QUIMBI_OPERATIONS"); text != "" {
		if _, err := fmt.Sscanf(text+"/6", "%d/%d", &operations, &seed); err != nil {
			t.Fatalf("QUIMBI_OPERATIONS is %q, and should be a number, or two with a slash between: of operations, and a seed", text)
		}
	}
	return operations, seed
}

// shopWalk does random operations on a store and on the model of it.
type shopWalk struct {
	pool   *pgxpool.Pool
	q      *jobs.Queue
	store  *engine.Store
	model  *memoryShop
	random *rand.Rand
	today  engine.Date
	done   map[string]int
}

var walkKeep = map[engine.SnapshotType]int{engine.Daily: 7, engine.Weekly: 30, engine.Monthly: 90}

func (w *shopWalk) kind() engine.SnapshotType {
	return []engine.SnapshotType{engine.Daily, engine.Weekly, engine.Monthly}[w.random.IntN(3)]
}

// operation is a change of the store, and the same of the model.
type operation struct {
	name string
	do   func(ctx context.Context) error
	then func()
}

func (w *shopWalk) next() operation {
	r := w.random
	w.today += engine.Date(r.IntN(3))
	now := w.model.now()
	conflict := jobs.ConflictKeep
	if r.IntN(2) == 0 {
		conflict = jobs.ConflictReplace
	}
	work := func(ctx context.Context, run *engine.Run, err error) error {
		if err != nil {
			return err
		}
		return w.q.Work(ctx, run, nil)
	}
	switch n := r.IntN(20); {
	case n < 6 || w.model.Version == 0 && n < 12 || now == 0:
		in := w.drawImport()
		return operation{"import", func(ctx context.Context) error {
			return w.importOrders(ctx, in)
		}, func() { w.model.importInto(in) }}
	case n < 8 || w.model.Version == 0:
		params, seed := engine.DefaultParams(), r.Uint64()
		params.ChooseK, params.Hierarchical, params.Starts, params.MaxIterations = false, false, 1, 5
		version := w.model.Version
		return operation{"refit", func(ctx context.Context) error {
			var now int
			if err := w.pool.QueryRow(context.WithoutCancel(ctx), "SELECT coalesce(max(model_id), 0) FROM segment_model").Scan(&now); err != nil || now > version {
				return err // it came into force before it was interrupted
			}
			run, err := w.q.Recluster(ctx, jobs.ReclusterRequest{Store: w.store, Params: params, Seed: &seed, Trigger: engine.TriggerCLI})
			return work(ctx, run, err)
		}, w.model.refit}
	case n < 12:
		kind, date := w.kind(), now-engine.Date(r.IntN(40))
		return operation{"snapshot", func(ctx context.Context) error {
			run, err := w.q.SnapshotStore(ctx, jobs.SnapshotRequest{Store: w.store, Type: kind, Date: &date, Conflict: conflict, Trigger: engine.TriggerCLI})
			return work(ctx, run, err)
		}, func() { w.model.take(kind, []engine.Date{date}, conflict == jobs.ConflictReplace, false) }}
	case n < 15:
		kind, from := w.kind(), now-engine.Date(20+r.IntN(80))
		to := min(now+1, from+engine.Date(1+r.IntN(60)))
		dates := kind.Dates(from, to)
		if len(dates) == 0 {
			return w.next()
		}
		return operation{"replay", func(ctx context.Context) error {
			run, err := w.q.Replay(ctx, jobs.ReplayRequest{Store: w.store, Type: kind, From: from, To: to, Conflict: conflict, Trigger: engine.TriggerCLI})
			return work(ctx, run, err)
		}, func() { w.model.take(kind, dates, conflict == jobs.ConflictReplace, true) }}
	case n < 18:
		replayedToo := r.IntN(3) == 0
		return operation{"cleanup", func(ctx context.Context) error {
			run, err := w.q.Cleanup(ctx, jobs.CleanupRequest{Store: w.store, IncludeReplayed: replayedToo, Trigger: engine.TriggerCLI})
			return work(ctx, run, err)
		}, func() { w.model.cleanup(walkKeep, replayedToo) }}
	default:
		customer := fmt.Sprint("c", r.IntN(12))
		return operation{"erase", func(ctx context.Context) error {
			found, err := w.q.FindCustomer(ctx, w.store, customer)
			if err == nil {
				_, err = w.q.EraseCustomer(ctx, w.store, found.ID)
			}
			if engine.CodeOf(err) == engine.CodeNotFound {
				return nil
			}
			return err
		}, func() { w.model.erase(customer) }}
	}
}

// drawImport draws some orders, new or in a later state.
func (w *shopWalk) drawImport() modelImport {
	r := w.random
	in := modelImport{map[string]modelOrder{}, map[string]engine.Date{}, map[string]bool{}}
	keys := r.Perm(60)[:1+r.IntN(4)]
	for _, n := range keys {
		key := fmt.Sprint("o", n)
		o, there := w.model.Orders[key]
		fate := r.IntN(20)
		switch {
		case there && fate < 4:
			in.cancelled[key] = o.Day + engine.Date(r.IntN(20))
			continue
		case fate < 5:
			in.tests[key] = true
			continue
		case !there || fate < 12:
			o = modelOrder{Customer: fmt.Sprint("c", r.IntN(12)), Day: w.today - engine.Date(r.IntN(60)), Cents: int64(100 + r.IntN(9900))}
		default:
			o.Cancelled = 0 // else the order as it was
		}
		if r.IntN(3) == 0 {
			o.Refund, o.RefundDay = r.Int64N(o.Cents+1), 0
			if o.Refund > 0 && r.IntN(2) == 0 {
				o.RefundDay = o.Day + engine.Date(r.IntN(20))
			}
		}
		if r.IntN(8) == 0 {
			o.Cancelled = o.Day + engine.Date(r.IntN(20))
		}
		in.orders[key] = o
	}
	return in
}

func (w *shopWalk) importOrders(ctx context.Context, in modelImport) error {
	withdrawn := func(key string, at time.Time) *postgres.ImportLine {
		return &postgres.ImportLine{Withdrawn: true, Line: engine.Line{OrderKey: key, CancelledAt: at}}
	}
	_, err := postgres.New(w.pool).ImportLines(ctx, w.store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
		for key, day := range in.cancelled {
			if err := yield(withdrawn(key, noon(day))); err != nil {
				return 0, err
			}
		}
		for key := range in.tests {
			if err := yield(withdrawn(key, time.Time{})); err != nil {
				return 0, err
			}
		}
		for _, id := range slices.Sorted(maps.Keys(in.orders)) {
			o := in.orders[id]
			line := orderOf(o.Customer, o.Day)
			line.OrderKey, line.NetCents, line.RefundCents, line.RefundedAt, line.CancelledAt = id, o.Cents, o.Refund, noon(o.RefundDay), noon(o.Cancelled)
			if err := yield(line); err != nil {
				return 0, err
			}
		}
		return engine.ColumnOrderID, nil
	})
	return err
}

// noon is a moment of a day; none of day 0.
func noon(day engine.Date) time.Time {
	if day == 0 {
		return time.Time{}
	}
	return day.UTC().Add(12 * time.Hour)
}

// crash does an operation that is stopped at a random moment: by its context, or by the end of a connection.
func (w *shopWalk) crash(ctx context.Context, o operation) {
	after := time.Duration(w.random.Int64N(int64(12 * time.Millisecond)))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	kill := stop
	if w.random.IntN(2) == 0 {
		kill = func() {
			_, _ = w.pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
ORDER BY state IN ('active', 'idle in transaction') DESC LIMIT 1`)
		}
	}
	killed := make(chan struct{})
	timer := time.AfterFunc(after, func() {
		defer close(killed)
		kill()
	})
	_ = o.do(ctx)
	if !timer.Stop() {
		<-killed // else it would strike what comes next
	}
}

// again does an operation until the crash before it is over: connections of the pool may have been ended by it, and the
// server may not have noticed yet that the holder of a lock is gone.
func (w *shopWalk) again(ctx context.Context, o operation) error {
	for tries := 0; ; tries++ {
		err := o.do(ctx)
		busy := engine.CodeOf(err) == engine.CodeRunInProgress
		if err == nil || tries == 2000 || !busy && postgres.Outage(err) == nil {
			return err
		}
		w.pool.Reset()
	}
}

// TestRandomOperations does random operations on a store, every fifth of them interrupted and done again, and holds what is
// stored to a model in memory after each.
func TestRandomOperations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	operations, seed := walkOf(t)
	config := pgtest.DB(t).Config()
	config.MaxConns = 12
	pool, err := pgxpool.NewWithConfig(ctx, config)
	check(t, err)
	t.Cleanup(pool.Close)
	q, db := newQueueOn(t, pool)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	w := &shopWalk{
		pool: pool, q: q, store: store, random: rand.New(rand.NewPCG(6, seed)), today: day(t, "1998-01-01"), done: map[string]int{},
		model: &memoryShop{Orders: map[string]modelOrder{}, Snapshots: map[modelKey]modelSnapshot{}, States: map[string]modelState{}},
	}
	request := jobs.SettingsRequest{Store: store}
	for kind, days := range walkKeep {
		request.Retention = append(request.Retention, jobs.Retention{Type: kind, KeepDays: &days})
	}
	_, err = q.UpdateStore(ctx, request)
	check(t, err)
	for n := range operations {
		w.store, err = db.StoreByKey(ctx, "shop")
		check(t, err)
		o := w.next()
		if w.random.IntN(5) == 0 {
			w.crash(ctx, o)
			pool.Reset()
			w.done["crash"]++
		}
		if err := w.again(ctx, o); err != nil {
			t.Fatalf("operation %d, %s: %v", n, o.name, err)
		}
		o.then()
		w.done[o.name]++
		if diff := gocmp.Diff(w.model, stored(t, pool)); diff != "" {
			t.Fatalf("after operation %d, %s, the store is not what it should be (-want +got):\n%s", n, o.name, diff)
		}
	}
	t.Logf("%v; at the end %d orders, %d snapshots, model %d", w.done, len(w.model.Orders), len(w.model.Snapshots), w.model.Version)
}

// TestReplacedWithoutOrders replaces the snapshots of customers who have no order left: there is nothing to put in their
// place, wherever among the others they stand.
func TestReplacedWithoutOrders(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	q, db := newQueueOn(t, pool)
	store, err := db.EnsureStore(ctx, "shop")
	check(t, err)
	w := &shopWalk{pool: pool, store: store}
	first := day(t, "1998-01-01")
	bought := func(customers ...string) modelImport {
		in := modelImport{orders: map[string]modelOrder{}}
		for i, c := range customers {
			if c != "" {
				in.orders[fmt.Sprint(i)] = modelOrder{Customer: c, Day: first + engine.Date(i), Cents: 100}
			}
		}
		return in
	}
	check(t, w.importOrders(ctx, bought("a", "b", "c")))
	store, err = db.StoreByKey(ctx, "shop")
	check(t, err)
	recluster(t, q, store)
	date := first + 3
	for _, want := range []string{"a b c", "b"} {
		run, err := q.SnapshotStore(ctx, jobs.SnapshotRequest{Store: store, Type: engine.Daily, Date: &date, Conflict: jobs.ConflictReplace, Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, q.Work(ctx, run, nil))
		var got string
		check(t, pool.QueryRow(ctx, "SELECT string_agg(customer_key, ' ' ORDER BY customer_key) FROM snapshot JOIN customer USING (store_id, customer_id)").Scan(&got))
		if got != want {
			t.Errorf("there are snapshots of %s, want %s", got, want)
		}
		check(t, w.importOrders(ctx, bought("b", "", "b")))
	}
}
