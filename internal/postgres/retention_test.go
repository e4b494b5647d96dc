package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// fillLeaves writes weekly snapshots of as many customers as told on each date, of one store.
func fillLeaves(t testing.TB, pool *pgxpool.Pool, storeID int32, customers int, replayed bool, dates ...engine.Date) {
	t.Helper()
	err := postgres.New(pool).EnsureLeaves(t.Context(), engine.Weekly, dates)
	for _, date := range dates {
		if err != nil {
			break
		}
		_, err = pool.Exec(t.Context(), `INSERT INTO snapshot (store_id, customer_id, snapshot_type, snapshot_date, model_id, membership, dominant, orders, value_cents, first_order, active, replayed)
SELECT $1, c, 2, $2, 1, decode(repeat('007b', 60), 'hex'), decode('01' || repeat('01', 14), 'hex'), 3, 4567, '2020-01-01', false, $4 FROM generate_series(1, $3) c`,
			storeID, date.UTC(), customers, replayed)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// weeklyLeaves lists the leaves of weekly snapshots by first day, with a mark where one is out of the tree.
func weeklyLeaves(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT right(c.relname, 8) || CASE WHEN i.inhrelid IS NULL THEN ' detached' WHEN i.inhdetachpending THEN ' pending' ELSE '' END
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.relkind = 'r' AND c.relname LIKE 'snapshot\_weekly\_%' ORDER BY 1`)
	check(t, err)
	var names []string
	for rows.Next() {
		var name string
		check(t, rows.Scan(&name))
		names = append(names, name)
	}
	check(t, rows.Err())
	return names
}

func expectLeaves(t *testing.T, pool *pgxpool.Pool, want ...string) {
	t.Helper()
	if got := weeklyLeaves(t, pool); !slices.Equal(got, want) {
		t.Errorf("the leaves are %q, want %q", got, want)
	}
}

var sunday = engine.NewDate(2026, time.March, 1)

// TestRemoveLeaves removes leaves of which nothing must stay, whatever stores they hold, and leaves the others as they are.
func TestRemoveLeaves(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	fillLeaves(t, pool, 1, 10, false, sunday, sunday+7, sunday+14, sunday+28)
	fillLeaves(t, pool, 2, 5, false, sunday, sunday+7) // keeps longer
	fillLeaves(t, pool, 3, 2, true, sunday+14)
	fillLeaves(t, pool, 4, 0, false, sunday+21) // empty
	e := postgres.Expiry{Type: engine.Weekly, Before: map[int32]engine.Date{1: sunday + 28, 2: sunday + 7, 3: sunday + 28}}
	removed, err := db.RemoveLeaves(ctx, e)
	check(t, err)
	if removed[1] != (postgres.Removed{All: 10}) || removed[2] != (postgres.Removed{All: 5}) || len(removed) != 2 {
		t.Errorf("removed %v, want the first leaf", removed)
	}
	expectLeaves(t, pool, "20260308", "20260315", "20260329")
	for _, want := range []int64{20, 0} {
		gone, err := db.DeleteExpired(ctx, 1, engine.Weekly, sunday+28, false, 1000)
		check(t, err)
		if gone.All != want {
			t.Errorf("%d rows deleted, want %d", gone.All, want)
		}
	}
	e.ReplayedToo = true
	removed, err = db.RemoveLeaves(ctx, e)
	check(t, err)
	if removed[3] != (postgres.Removed{All: 2, Replayed: 2}) || len(removed) != 1 {
		t.Errorf("removed %v, want the replayed ones", removed)
	}
	expectLeaves(t, pool, "20260308", "20260329")
}

// interrupted leaves a leaf that a cleanup has marked and not removed: it is stopped while a reader keeps it waiting.
func interrupted(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	reader, err := pool.Begin(ctx)
	check(t, err)
	defer reader.Rollback(context.WithoutCancel(ctx))
	_, err = reader.Exec(ctx, "SELECT count(*) FROM snapshot WHERE snapshot_type = 2")
	check(t, err)
	stopped, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := postgres.New(pool).RemoveLeaves(stopped, postgres.Expiry{Type: engine.Weekly, Before: map[int32]engine.Date{1: sunday + 7}})
		done <- err
	}()
	for !slices.Contains(weeklyLeaves(t, pool), "20260301 pending") {
		if ctx.Err() != nil || len(done) > 0 {
			t.Fatalf("the leaf was not marked: %q", weeklyLeaves(t, pool))
		}
	}
	stop()
	if err := <-done; err == nil {
		t.Error("a stopped cleanup gave no error")
	}
}

// TestInterruptedRemoval goes on where a cleanup was stopped half-way, and keeps what is written meanwhile.
func TestInterruptedRemoval(t *testing.T) {
	t.Parallel()
	t.Run("another cleanup ends it", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.DB(t)
		fillLeaves(t, pool, 1, 10, false, sunday, sunday+7)
		interrupted(t, pool)
		removed, err := postgres.New(pool).RemoveLeaves(t.Context(), postgres.Expiry{Type: engine.Weekly, Before: map[int32]engine.Date{1: sunday + 14}})
		check(t, err)
		if removed[1].All != 10 {
			t.Errorf("removed %v, want the second leaf", removed)
		}
		expectLeaves(t, pool)
	})
	t.Run("snapshots of the period are taken anew", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.DB(t)
		fillLeaves(t, pool, 1, 10, false, sunday, sunday+7)
		interrupted(t, pool)
		fillLeaves(t, pool, 1, 3, true, sunday)
		expectLeaves(t, pool, "20260301", "20260308")
		var rows int
		check(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM snapshot").Scan(&rows))
		if rows != 13 {
			t.Errorf("%d snapshots, want 3 new ones and 10 of the other leaf", rows)
		}
	})
	t.Run("an erasure reaches it", func(t *testing.T) {
		t.Parallel()
		ctx := t.Context()
		pool := pgtest.DB(t)
		db := postgres.New(pool)
		store, err := db.EnsureStore(ctx, "shop")
		check(t, err)
		fillLeaves(t, pool, store.ID, 10, false, sunday)
		interrupted(t, pool)
		var removed map[string]int64
		check(t, db.InTx(ctx, func(tx *postgres.Tx) error {
			removed, err = tx.EraseCustomer(ctx, store, 4)
			return err
		}))
		var rows int
		check(t, pool.QueryRow(ctx, "SELECT count(*) FROM snapshot_weekly_20260301 WHERE customer_id = 4").Scan(&rows))
		if rows != 0 || removed["snapshot"] != 1 {
			t.Errorf("%d rows of an erased customer are left, and %d were counted", rows, removed["snapshot"])
		}
	})
}

// TestReadersDoNotWait removes leaves while transactions have read them and stay open, and others read all the time, who
// give up on a lock that they do not get within 250 ms.
func TestReadersDoNotWait(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.DB(t)
	fillLeaves(t, pool, 1, 200, false, sunday, sunday+7, sunday+14)
	open, err := pool.Begin(ctx)
	check(t, err)
	defer open.Rollback(context.WithoutCancel(ctx))
	_, err = open.Exec(ctx, "SELECT count(*) FROM snapshot")
	check(t, err)

	reading, stop := context.WithCancel(ctx)
	defer stop()
	readers := readAll(reading, pool, 2, 200)
	removed := make(chan error, 1)
	go func() {
		_, err := postgres.New(pool).RemoveLeaves(ctx, postgres.Expiry{Type: engine.Weekly, Before: map[int32]engine.Date{1: sunday + 14}})
		removed <- err
	}()
	// The cleanup is held up by the open reader, the others read on.
	for !slices.Contains(weeklyLeaves(t, pool), "20260301 pending") {
		if ctx.Err() != nil || len(removed) > 0 {
			t.Fatalf("the leaf was not marked: %q", weeklyLeaves(t, pool))
		}
	}
	for since := readers.reads.Load(); readers.reads.Load() < since+50 && ctx.Err() == nil; {
		check(t, pool.Ping(ctx))
	}
	check(t, open.Rollback(ctx))
	check(t, <-removed)
	stop()
	if err := readers.wait(); err != nil {
		t.Errorf("a reader failed: %v", err)
	}
	expectLeaves(t, pool, "20260315")
}

// readers read timelines until their context is done.
type readers struct {
	group   sync.WaitGroup
	reads   atomic.Int64
	longest atomic.Int64 // nanoseconds
	fault   atomic.Pointer[error]
}

func readAll(ctx context.Context, pool *pgxpool.Pool, n, customers int) *readers {
	r := &readers{}
	for i := range n {
		r.group.Go(func() {
			err := r.read(ctx, pool, rand.New(rand.NewPCG(1, uint64(i))), customers)
			if err != nil && ctx.Err() == nil {
				r.fault.CompareAndSwap(nil, &err)
			}
		})
	}
	return r
}

func (r *readers) read(ctx context.Context, pool *pgxpool.Pool, random *rand.Rand, customers int) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SET lock_timeout = 250"); err != nil {
		return err
	}
	for ctx.Err() == nil {
		start := time.Now()
		if _, err := conn.Exec(ctx, "SELECT membership FROM snapshot WHERE store_id = 1 AND customer_id = $1 AND snapshot_type = 2 ORDER BY snapshot_date", 1+random.IntN(customers)); err != nil {
			return err
		}
		took := int64(time.Since(start))
		for {
			old := r.longest.Load()
			if took <= old || r.longest.CompareAndSwap(old, took) {
				break
			}
		}
		r.reads.Add(1)
	}
	return nil
}

func (r *readers) wait() error {
	r.group.Wait()
	if fault := r.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// BenchmarkRemoveLeaves removes a million live snapshots in five whole leaves while two readers read timelines, and while,
// in the second case, a transaction that has read them stays open for three seconds. It reports the longest read, from
// asking to the last row, and what a reader of the same machine needs at most while nothing is removed.
func BenchmarkRemoveLeaves(b *testing.B) {
	const customers = 200_000
	dates := []engine.Date{sunday, sunday + 7, sunday + 14, sunday + 21, sunday + 28}
	for _, open := range []time.Duration{0, 3 * time.Second} {
		b.Run("open="+open.String(), func(b *testing.B) {
			ctx := b.Context()
			var longest, calm time.Duration
			for b.Loop() {
				b.StopTimer()
				pool := pgtest.DB(b)
				fillLeaves(b, pool, 1, customers, false, dates...)
				fillLeaves(b, pool, 1, customers, false, sunday+35)
				for _, sql := range []string{"VACUUM ANALYZE snapshot", "CHECKPOINT"} {
					if _, err := pool.Exec(ctx, sql); err != nil {
						b.Fatal(err)
					}
				}
				calm = max(calm, readFor(b, pool, customers, func() { <-time.After(2 * time.Second) }))
				holder, err := pool.Begin(ctx)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := holder.Exec(ctx, "SELECT FROM snapshot WHERE store_id = 1 AND customer_id = 1"); err != nil {
					b.Fatal(err)
				}
				end := func() {
					if err := holder.Rollback(ctx); err != nil {
						b.Error(err)
					}
				}
				if open == 0 {
					end()
				}
				took := readFor(b, pool, customers, func() {
					if open > 0 {
						time.AfterFunc(open, end)
					}
					b.StartTimer()
					removed, err := postgres.New(pool).RemoveLeaves(ctx, postgres.Expiry{Type: engine.Weekly, Before: map[int32]engine.Date{1: sunday + 35}})
					b.StopTimer()
					if err != nil || removed[1].All != int64(len(dates)*customers) {
						b.Error(fmt.Errorf("removed %v: %w", removed, err))
					}
				})
				longest = max(longest, took)
				b.StartTimer()
			}
			b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest-read")
			b.ReportMetric(float64(calm.Microseconds())/1000, "ms-longest-calm-read")
		})
	}
}

// readFor lets two readers read while something is done, and gives their longest read.
func readFor(b *testing.B, pool *pgxpool.Pool, customers int, f func()) time.Duration {
	reading, stop := context.WithCancel(b.Context())
	r := readAll(reading, pool, 2, customers)
	f()
	stop()
	if err := r.wait(); err != nil {
		b.Error(err)
	}
	return time.Duration(r.longest.Load())
}
