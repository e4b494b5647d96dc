package jobs

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

// planOf is the timetable once more, read off the calendar and not off crontab lines: what is planned for a day, in UTC.
func planOf(day time.Time) map[time.Time][]string {
	plan := map[time.Time][]string{day.Add(2 * time.Hour): {"daily"}}
	if day.Weekday() == time.Sunday {
		plan[day.Add(3*time.Hour)] = []string{"weekly"}
		plan[day.Add(5*time.Hour)] = []string{"cleanup"}
	}
	if day.Day() == 1 {
		types := []string{"monthly"}
		if day.Month()%3 == 1 {
			types = append(types, "quarterly")
		}
		if day.YearDay() == 1 {
			types = append(types, "yearly")
		}
		plan[day.Add(4*time.Hour)] = types
	}
	return plan
}

// plannedIn lists the planned times in (from, to], oldest first, with their types.
func plannedIn(from, to time.Time) (times []time.Time, types map[time.Time][]string) {
	types = map[time.Time][]string{}
	for day := from.Truncate(24 * time.Hour); !day.After(to); day = day.AddDate(0, 0, 1) {
		for at, of := range planOf(day) {
			if at.After(from) && !at.After(to) {
				times, types[at] = append(times, at), of
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times, types
}

// slotRun is a run of the schedule as it is stored.
type slotRun struct {
	Store, Slot string
	SlotAt, Due time.Time
	Date        string
	State       string
}

func slotRuns(t *testing.T, pool *pgxpool.Pool) []slotRun {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT coalesce(s.store_key, ''), r.slot, r.slot_at AT TIME ZONE 'UTC', j.scheduled_at AT TIME ZONE 'UTC', coalesce(r.request->>'date', ''), r.state
FROM run r LEFT JOIN store s USING (store_id) LEFT JOIN river_job j ON j.id = r.river_job WHERE r.slot IS NOT NULL ORDER BY r.slot_at, r.slot, s.store_key`)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[slotRun])
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// alwaysServed makes the stores live whatever the clock says.
func alwaysServed(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), "UPDATE store SET scheduled = true"); err != nil {
		t.Fatal(err)
	}
}

// strokes is a log that tells of slots that were filled.
type strokes chan time.Time

// Enabled takes all.
func (s strokes) Enabled(context.Context, slog.Level) bool { return true }

// Handle looks for what it tells of.
func (s strokes) Handle(_ context.Context, r slog.Record) error {
	if r.Message == slotFilled {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "at" {
				s <- a.Value.Time()
			}
			return true
		})
	}
	return nil
}

// WithAttrs is of no use here.
func (s strokes) WithAttrs([]slog.Attr) slog.Handler { return s }

// WithGroup is of no use here.
func (s strokes) WithGroup(string) slog.Handler { return s }

// TestThreeInstances starts three services together, each with a schedule, workers and a clock of its own, and lets their
// clocks strike fifty planned times at once: each slot has one run, which is worked on once.
func TestThreeInstances(t *testing.T) {
	t.Parallel()
	begin := at("2025-12-20T12:00:00Z")
	times, types := plannedIn(begin, begin.AddDate(0, 0, 90))
	times = times[:50]
	clock := at("2026-11-22T12:00:00Z") // of the order that slotted imports
	pool := pgtest.DB(t)
	_, _, store := slottedOn(t, pool, &clock)
	alwaysServed(t, pool)
	// The shop's time is that of the clocks.
	if _, err := pool.Exec(t.Context(), `UPDATE customer_order SET ordered_at = '2025-12-01';
UPDATE customer SET first_order_at = '2025-12-01', last_order_at = '2025-12-01';
UPDATE store SET first_order_at = '2025-12-01', last_order_at = '2025-12-01'`); err != nil {
		t.Fatal(err)
	}
	const instances = 3
	const timers = 7 // four lines, and what is done every so often
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	clocks := make([]*clockwork.FakeClock, instances)
	struck := strokes(make(chan time.Time, 1000))
	for i := range clocks {
		clocks[i] = clockwork.NewFakeClockAt(begin)
		config := pool.Config()
		config.MaxConns = 16
		own, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		q, err := NewQueue(postgres.New(own), DefaultSettings(), slog.New(struck), clocks[i].Now)
		if err != nil {
			t.Fatal(err)
		}
		service, err := NewService(q)
		if err != nil {
			t.Fatal(err)
		}
		service.clock = clocks[i]
		group.Go(func() {
			if err := service.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for _, at := range times {
		var strikes sync.WaitGroup
		for _, clock := range clocks {
			if err := clock.BlockUntilContext(ctx, timers); err != nil {
				t.Fatal(err)
			}
		}
		for _, clock := range clocks {
			strikes.Go(func() { clock.Advance(at.Sub(clock.Now())) })
		}
		strikes.Wait()
		for range clocks {
			if got := <-struck; !got.Equal(at) {
				t.Fatalf("an instance filled the slot of %s, want %s", got, at)
			}
		}
	}
	unfinished := func() (n int) {
		if err := pool.QueryRow(ctx, "SELECT count(*) FROM run WHERE state IN ('QUEUED', 'RUNNING')").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for unfinished() > 0 && ctx.Err() == nil {
	}
	stop()
	group.Wait()
	got := map[string]int{}
	for _, r := range slotRuns(t, pool) {
		got[r.Slot]++
		if r.State != string(engine.RunSucceeded) {
			t.Errorf("the run of %s is %s", r.Slot, r.State)
		}
	}
	slots := 0
	for _, at := range times {
		for _, kind := range types[at] {
			slots++
			if n := got[slotName(kind, at)]; n != 1 {
				t.Errorf("%s has %d runs, want 1", slotName(kind, at), n)
			}
		}
	}
	if len(got) != slots {
		t.Errorf("%d slots have runs, want %d", len(got), slots)
	}
	var snapshots, dates int
	if err := pool.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT (snapshot_type, snapshot_date)) FROM snapshot WHERE store_id = $1", store.ID).Scan(&snapshots, &dates); err != nil {
		t.Fatal(err)
	}
	if snapshots == 0 || snapshots != dates {
		t.Errorf("%d snapshots of one customer on %d dates", snapshots, dates)
	}
}

// uptime is a time in which an instance runs, and how far its clock is off.
type uptime struct {
	from, to time.Time // true time
	skew     time.Duration
}

// uptimes gives an instance's over the years: days at work, outages of up to 30 days, and a clock that is off by up to two hours.
func uptimes(random *rand.Rand, from, to time.Time) []uptime {
	var list []uptime
	for at := from.Add(time.Duration(random.Int64N(int64(48 * time.Hour)))); at.Before(to); {
		u := uptime{from: at, to: at.Add(time.Duration(random.Int64N(int64(6 * 24 * time.Hour)))), skew: time.Duration(random.Int64N(int64(4*time.Hour))) - 2*time.Hour}
		list = append(list, u)
		at = u.to.Add(time.Duration(random.Int64N(int64(30 * 24 * time.Hour))))
	}
	return list
}

// happening is a start of an instance or the stroke of its clock.
type happening struct {
	at    time.Time // true time
	clock time.Time // of the instance
	start bool
}

func happenings(instances [][]uptime) []happening {
	var list []happening
	for _, ups := range instances {
		for _, u := range ups {
			list = append(list, happening{u.from, u.from.Add(u.skew), true})
			times, _ := plannedIn(u.from.Add(u.skew), u.to.Add(u.skew))
			for _, at := range times {
				list = append(list, happening{at.Add(-u.skew), at, false})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b happening) int { return cmp.Or(a.at.Compare(b.at), a.clock.Compare(b.clock)) })
	return list
}

// expected tells by the calendar which slots are filled: those that a clock strikes while its instance runs, and at a start
// the newest of each line that was not filled, where one before it was.
func expected(list []happening) map[string]bool {
	filled := map[string]bool{}
	newest := map[string]time.Time{}
	fill := func(kind string, at time.Time) {
		filled[slotName(kind, at)] = true
		if at.After(newest[kind]) {
			newest[kind] = at
		}
	}
	for _, h := range list {
		if !h.start {
			_, types := plannedIn(h.clock.Add(-time.Second), h.clock)
			for _, kind := range types[h.clock] {
				fill(kind, h.clock)
			}
			continue
		}
		_, types := plannedIn(h.clock.AddDate(0, 0, -32), h.clock)
		last := map[string]time.Time{} // by line, of which the first type tells
		for at, of := range types {
			if at.After(last[of[0]]) {
				last[of[0]] = at
			}
		}
		for _, at := range last {
			for _, kind := range types[at] {
				if before := newest[kind]; !before.IsZero() && before.Before(at) {
					fill(kind, at)
				}
			}
		}
	}
	return filled
}

// TestFiveYears lets two instances come and go for five years, with clocks that are off by up to two hours either way, and
// looks at what the schedule has made for stores in three time zones.
func TestFiveYears(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	clock := at("2024-01-01T00:00:00Z")
	end := clock.AddDate(5, 0, 0)
	pool := pgtest.DB(t)
	q, db, _ := slottedOn(t, pool, &clock)
	if _, err := pool.Exec(ctx, `INSERT INTO store (store_key) VALUES ('west'), ('east');
INSERT INTO segment_model SELECT (jsonb_populate_record(m, jsonb_build_object('store_id', s.store_id, 'run_id', gen_random_uuid()))).* FROM segment_model m, store s WHERE s.store_key <> 'shop';
UPDATE store SET time_zone = CASE store_key WHEN 'west' THEN 'America/Los_Angeles' WHEN 'east' THEN 'Africa/Cairo' ELSE 'Europe/Berlin' END`); err != nil {
		t.Fatal(err)
	}
	alwaysServed(t, pool)
	random := rand.New(rand.NewPCG(5, 5))
	list := happenings([][]uptime{uptimes(random, clock, end), uptimes(random, clock, end)})
	for _, h := range list {
		clock = h.clock
		if h.start {
			if err := q.catchUpAll(ctx); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for i := range timetable {
			planned, err := q.lastPlanned(i)
			if err != nil {
				t.Fatal(err)
			}
			if planned.Equal(h.clock) {
				if err := q.fill(ctx, i, planned); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	stores, err := db.Stores(ctx)
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string]*time.Location{}
	for _, s := range stores {
		zones[s.Key] = s.Zone
	}
	want := map[string]bool{}
	for slot := range expected(list) {
		if slot[:7] == cleanupSlots {
			want[" "+slot] = true
			continue
		}
		for key := range zones {
			want[key+" "+slot] = true
		}
	}
	got := map[string]bool{}
	leapDays, early := 0, 0
	for _, r := range slotRuns(t, pool) {
		name := r.Store + " " + r.Slot
		if got[name] {
			t.Errorf("%s has two runs", name)
		}
		got[name] = true
		if r.Slot[:7] == cleanupSlots {
			continue
		}
		if r.Date != r.SlotAt.Format(time.DateOnly) {
			t.Errorf("%s is for %s", name, r.Date)
		}
		if r.Date[5:] == "02-29" {
			leapDays++
		}
		// Due once the day has begun in the store's zone, and not before the slot.
		local := func(at time.Time) string { return at.In(zones[r.Store]).Format(time.DateOnly) }
		if r.Due.Before(r.SlotAt) || local(r.Due) < r.Date || r.Due.After(r.SlotAt) && local(r.Due.Add(-time.Second)) >= r.Date {
			t.Errorf("%s is due at %s, %s there", name, r.Due, local(r.Due))
		}
		if r.Due.After(r.SlotAt) {
			early++
		}
	}
	missing, extra := difference(want, got), difference(got, want)
	if len(missing)+len(extra) > 0 {
		t.Errorf("missing: %v\ntoo many: %v", missing, extra)
	}
	if leapDays == 0 || early == 0 || len(got) < 1000 {
		t.Errorf("%d slots, %d on leap days, %d before their day began: the test should reach all of them", len(got), leapDays, early)
	}
	t.Logf("%d strokes and starts made %d runs", len(list), len(got))
}

func difference(a, b map[string]bool) []string {
	var only []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if !b[name] {
			only = append(only, name)
		}
	}
	return only[:min(len(only), 5)]
}
