package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/localpg"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// chaos is a store on a server of its own, with two processes that work on its runs.
type chaos struct {
	server  *localpg.Server
	options localpg.Options
	pool    *pgxpool.Pool
	queue   *jobs.Queue
	db      *postgres.DB
	store   *engine.Store
	date    engine.Date
	workers [2]*worker
	random  *rand.Rand
}

// worker is a process that is started again whenever it was killed.
type worker struct {
	process atomic.Pointer[os.Process]
	done    chan struct{}
	log     string // the file
}

// shortOfCustomers is enough for two chunks; the long form has as many as the claim is about.
const (
	shortOfCustomers = 6_000
	longOfCustomers  = 20_000
)

// newChaos makes one in a folder, with so many customers and with settings of the server beside the usual ones.
func newChaos(t *testing.T, folder string, customers int, settings ...string) *chaos {
	t.Helper()
	c := &chaos{random: rand.New(rand.NewPCG(2, uint64(time.Now().UnixNano())))}
	// The machine does not fail, the server does: so nothing has to wait for the disk, but what is committed must be written.
	c.options = localpg.Options{DataDir: folder, PGBin: os.Getenv("PG_BIN"), Extra: append([]string{"fsync=off", "max_connections=100"}, settings...)}
	c.server = c.start(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(c.server.Close(ctx), os.RemoveAll(c.server.Folder())); err != nil {
			t.Error(err)
		}
	})
	config, err := pgxpool.ParseConfig(c.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["application_name"] = "observer"
	if c.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.pool.Close)
	c.prepare(t, customers)
	return c
}

// start starts the server, or gives one that runs.
func (c *chaos) start(t *testing.T) *localpg.Server {
	t.Helper()
	server, err := localpg.Start(t.Context(), c.options)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// prepare makes a clustered store with snapshots of ten weeks before the one that is disturbed, and keeps what is there. Some
// customers buy every week, so that the batch can tell what is unusual for them, and in the last one something else.
func (c *chaos) prepare(t *testing.T, customers int) {
	t.Helper()
	var text bytes.Buffer
	text.WriteString("customer_id,order_id,ordered_at,sku,quantity,unit_price\n")
	random := rand.New(rand.NewPCG(1, 1))
	for n := range customers {
		buy := func(day, most int) {
			fmt.Fprintf(&text, "c%d,o%d,%s,s%d,%d,%d.50\n", n, text.Len(), time.Date(2025, 1, 1+day, random.IntN(24), 0, 0, 0, time.UTC).Format(time.RFC3339), random.IntN(500), 1+random.IntN(most), 1+random.IntN(30*most))
		}
		for range 1 + random.IntN(4) {
			buy(random.IntN(360), 3)
		}
		if n%50 == 0 {
			for week := range 25 {
				buy(178+7*week, 1)
			}
			for range 12 {
				buy(353-random.IntN(6), 90)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "orders.csv")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"import", "--store", "shop", file},
		{"recluster", "--store", "shop", "--as-of", "2025-12-14", "--seed", "1", "--no-choose-k", "--no-hierarchical", "--max-iterations", "10"},
		{"replay", "--store", "shop", "--type", "weekly", "--from", "2025-10-12", "--to", "2025-12-15"},
	} {
		cmd := exec.CommandContext(t.Context(), "quimbi", args...)
		cmd.Env = append(os.Environ(), "DATABASE_URL="+c.server.URL())
		cmd.Dir = t.TempDir()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	c.db = postgres.New(c.pool)
	var err error
	if c.store, err = c.db.StoreByKey(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if c.queue, err = jobs.NewQueue(c.db, jobs.DefaultSettings(), slog.New(slog.DiscardHandler), time.Now); err != nil {
		t.Fatal(err)
	}
	c.date = engine.NewDate(2025, 12, 21)
	for _, w := range written {
		if _, err := c.pool.Exec(t.Context(), "CREATE TABLE kept_"+w.table+" AS SELECT * FROM "+w.table); err != nil {
			t.Fatal(err)
		}
	}
}

// work starts the workers.
func (c *chaos) work(t *testing.T) {
	t.Helper()
	for i := range c.workers {
		log, err := os.Create(filepath.Join(t.TempDir(), "worker.log"))
		if err != nil {
			t.Fatal(err)
		}
		w := &worker{done: make(chan struct{}), log: log.Name()}
		c.workers[i] = w
		begin := func() (*exec.Cmd, error) {
			cmd := exec.Command("quimbi", "serve", "--only-jobs")
			cmd.Env = append(os.Environ(), "DATABASE_URL="+c.server.URL())
			cmd.Stdout, cmd.Stderr = log, log
			return cmd, cmd.Start()
		}
		stop, stopping := context.WithCancel(context.Background())
		cmd, err := begin()
		if err != nil {
			t.Fatal(err)
		}
		w.process.Store(cmd.Process)
		go func() {
			defer close(w.done)
			defer log.Close()
			for {
				_ = cmd.Wait() // killed, or the server is away just when it starts
				if stop.Err() != nil {
					return
				}
				if cmd, err = begin(); err != nil {
					t.Error(err)
					return
				}
				w.process.Store(cmd.Process)
			}
		}()
		t.Cleanup(func() {
			stopping()
			_ = w.process.Load().Kill()
			<-w.done
			if t.Failed() {
				if text, err := os.ReadFile(w.log); err == nil {
					t.Logf("the end of a worker's log:\n%s", text[max(0, len(text)-4000):])
				}
			}
		})
	}
}

// rescues counts how often the workers have said that they took up what a dead one left, or what was lost on its way to them.
func (c *chaos) rescues(t *testing.T) (left, lost int) {
	t.Helper()
	for _, w := range c.workers {
		text, err := os.ReadFile(w.log)
		if err != nil {
			t.Fatal(err)
		}
		left += bytes.Count(text, []byte("a worker died; its jobs are taken up again"))
		lost += bytes.Count(text, []byte("jobs were lost on the way"))
	}
	return left, lost
}

// The ways to disturb a batch.
var disturbances = []struct {
	name string
	do   func(t *testing.T, c *chaos)
}{
	{"kill -9 of a worker", func(_ *testing.T, c *chaos) { _ = c.workers[c.random.IntN(len(c.workers))].process.Load().Kill() }},
	{"pg_terminate_backend", func(t *testing.T, c *chaos) {
		// One that works, if there is any: most only wait.
		if _, err := c.pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
AND application_name <> 'observer' ORDER BY state IN ('active', 'idle in transaction') DESC, random() LIMIT 1`); err != nil {
			t.Fatal(err)
		}
	}},
	{"immediate restart of the postmaster", func(t *testing.T, c *chaos) {
		content, err := os.ReadFile(filepath.Join(c.server.Folder(), "data", "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(content), "\n")
		pid, err := strconv.Atoi(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		if err := c.start(t).Close(t.Context()); err != nil { // the first handle keeps it running
			t.Fatal(err)
		}
		c.pool.Reset()
	}},
}

// begin starts the batch.
func (c *chaos) begin(t *testing.T) *engine.Run {
	t.Helper()
	date := c.date
	run, err := c.queue.SnapshotStore(t.Context(), jobs.SnapshotRequest{Store: c.store, Type: engine.Weekly, Date: &date, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerMutation})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// batch takes the snapshots, disturbed after a time, and waits until they are there. It tells how long it took, and
// whether the disturbance came before the end.
func (c *chaos) batch(t *testing.T, after time.Duration, disturb func(*testing.T, *chaos)) (time.Duration, bool) {
	t.Helper()
	return c.end(t, c.begin(t), after, disturb)
}

// end waits until a batch that was begun is there.
func (c *chaos) end(t *testing.T, run *engine.Run, after time.Duration, disturb func(*testing.T, *chaos)) (time.Duration, bool) {
	t.Helper()
	ctx := t.Context()
	start := time.Now()
	within := disturb == nil
	strike := time.After(after)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(5 * time.Minute)
	progress := 0.0
	for {
		select {
		case <-strike:
			if disturb == nil {
				continue
			}
			if now, err := c.db.Run(ctx, run.ID); err == nil {
				within = !now.State.Final()
			}
			disturb(t, c)
		case <-ticker.C:
			now, err := c.db.Run(ctx, run.ID)
			if err != nil {
				continue // the server is away
			}
			if now.Fraction() < progress {
				t.Errorf("progress went back from %g to %g", progress, now.Fraction())
			}
			progress = now.Fraction()
			if now.State == engine.RunSucceeded {
				return time.Since(start), within
			}
			if now.State.Final() {
				t.Fatalf("the run ended as %s: %s", now.State, now.Failure)
			}
		case <-limit:
			t.Fatalf("the run is not over after five minutes")
		}
	}
}

// row is a row of a table as a record, without the columns named.
func (c *chaos) row(t *testing.T, table string, without ...string) (record string) {
	t.Helper()
	err := c.pool.QueryRow(t.Context(), `SELECT 'ROW(' || string_agg(quote_ident(attname), ', ' ORDER BY attnum) || ')' FROM pg_attribute
WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ALL ($2)`, table, append([]string{}, without...)).Scan(&record)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// written are the tables that a batch writes beside its snapshots; what is numbered as it comes, or dated by the clock, is left out.
var written = []struct {
	table   string
	without []string
}{
	{"drift_event", []string{"event_id", "detected_at"}},
	{"customer_drift", nil},
	{"drift_spread", nil},
	{"segment_transition", []string{"transition_id"}},
	{"alarm", []string{"alarm_id"}},
	{"alarm_watch", nil},
	{"customer_state", []string{"updated_at"}},
}

// sum is what is there after the batch, a line a table: its snapshots and all before, what follows from them, and the run's own
// counters; and how many snapshots. A table is its number of rows and the sums of two hashes of 64 bits of each whole row.
func (c *chaos) sum(t *testing.T) (sum string, rows int) {
	t.Helper()
	all := func(table string, without ...string) string {
		return "(SELECT concat_ws(' ', '" + table + "', count(*), sum(hash_record_extended(r, 1)), sum(hash_record_extended(r, 2))) FROM (SELECT " + c.row(t, table, without...) + " r FROM " + table + ") " + table + ")"
	}
	parts := []string{all("snapshot", "created_at")}
	for _, w := range written {
		parts = append(parts, all(w.table, w.without...))
	}
	err := c.pool.QueryRow(t.Context(), "SELECT concat_ws(E'\n', "+strings.Join(parts, ", ")+
		", (SELECT concat_ws('/', 'run', rows, events, done, total, report) FROM run WHERE kind = 'SNAPSHOT' ORDER BY created_at DESC LIMIT 1)), "+
		"(SELECT count(*) FROM snapshot WHERE snapshot_date = $1)", c.date.UTC()).Scan(&sum, &rows)
	if err != nil {
		t.Fatal(err)
	}
	return sum, rows
}

// substance tells whether a batch has written something of every kind that it can: rows of every table, transitions that it
// began and such as it settled, and anomalies that only a run which is over knows.
func (c *chaos) substance(t *testing.T) {
	t.Helper()
	for name, sql := range map[string]string{
		"drift events":         "drift_event WHERE to_date = $1",
		"drifts of customers":  "customer_drift WHERE to_date = $1",
		"spreads":              "drift_spread WHERE to_date = $1",
		"transitions begun":    "segment_transition WHERE first_date = $1",
		"transitions settled":  "segment_transition WHERE settled_on = $1 AND first_date < $1",
		"deviations":           "drift_event WHERE to_date = $1 AND robust_z IS NOT NULL",
		"unusual moves":        "drift_event WHERE to_date = $1 AND robust_z >= 3.5 AND overall_anomaly",
		"alarms":               "alarm WHERE alarm_date = $1 AND rank > 0",
		"customers watched":    "alarm_watch WHERE alarm_date = $1",
		"states of customers":  "customer_state WHERE state_date = $1",
		"snapshots with drift": "snapshot WHERE snapshot_date = $1 AND drift IS NOT NULL",
	} {
		var n int
		if err := c.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+sql, c.date.UTC()).Scan(&n); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d %s", n, name)
		if n == 0 {
			t.Errorf("the batch has no %s: nothing is shown of them", name)
		}
	}
}

// forget takes the batch back. The checkpoint bounds what a server that is killed has to go through when it starts.
func (c *chaos) forget(t *testing.T) {
	t.Helper()
	statements := []string{"TRUNCATE snapshot_weekly_20251221"}
	for _, w := range written {
		statements = append(statements, "TRUNCATE "+w.table, "INSERT INTO "+w.table+" OVERRIDING SYSTEM VALUE SELECT * FROM kept_"+w.table)
	}
	statements = append(statements, "CHECKPOINT")
	for _, sql := range statements {
		if _, err := c.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledSnapshots disturbs batches of snapshots, on which two processes work, at random moments: nothing is lost,
// nothing doubled, and what is written is what an undisturbed batch writes.
func TestKilledSnapshots(t *testing.T) {
	t.Parallel()
	customers := shortOfCustomers
	if os.Getenv("QUIMBI_CHAOS") != "" {
		customers = longOfCustomers
	}
	c := newChaos(t, t.TempDir(), customers)
	c.work(t)
	c.batch(t, 0, nil) // the first one also waits for the workers to come up
	c.forget(t)
	took, _ := c.batch(t, 0, nil)
	want, rows := c.sum(t)
	if rows == 0 {
		t.Fatal("the batch is empty")
	}
	c.substance(t)
	t.Logf("an undisturbed batch of %d takes %s", rows, took.Round(time.Millisecond))
	times := kills(t)
	if os.Getenv("QUIMBI_CHAOS") == "" {
		times = 1
	}
	for _, d := range disturbances {
		var longest, recovery time.Duration
		late := 0
		for n := 0; n < times; {
			c.forget(t)
			after := time.Duration(c.random.Int64N(int64(took)))
			last, within := c.batch(t, after, d.do)
			took = min(took, last) // the first ones were slow, and would be missed
			got, found := c.sum(t)
			if got != want || found != rows {
				t.Fatalf("%s: %d snapshots, want %d; the contents are\n%s, want\n%s", d.name, found, rows, got, want)
			}
			if within {
				n++
				longest, recovery = max(longest, last), max(recovery, last-after)
			} else {
				late++
			}
		}
		t.Logf("%s: %d times during a batch (%d more came after its end), %d snapshots each time, none lost, none doubled, contents equal; the longest batch took %s, and at most %s passed between the strike and its end",
			d.name, times, late, rows, longest.Round(time.Millisecond), recovery.Round(time.Millisecond))
		left, lost := c.rescues(t)
		t.Logf("until now jobs of dead workers were taken up %d times, and lost ones %d times", left, lost)
	}
}

// smallDisk is a folder on a disk of its own that takes little.
func smallDisk(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil { // the server's account must reach it
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=260m,mode=1777", "tmpfs", folder).CombinedOutput(); err != nil {
		t.Skipf("a small disk cannot be mounted here: %s", out)
	}
	t.Cleanup(func() {
		// A process that another test just started holds this one's open files until it runs its program.
		until, every := time.After(10*time.Second), time.NewTicker(50*time.Millisecond)
		defer every.Stop()
		for {
			out, err := exec.Command("umount", folder).CombinedOutput()
			if err == nil {
				return
			}
			select {
			case <-every.C:
			case <-until:
				t.Errorf("unmounting: %v\n%s", err, out)
				return
			}
		}
	})
	return folder
}

// fill takes what room is left on a small disk but for a little, by a file that it gives.
func fill(t *testing.T, folder string) string {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(folder, &disk); err != nil {
		t.Fatal(err)
	}
	const little, small = 256 << 10, 1 << 30
	room := int64(disk.Bavail)*int64(disk.Bsize) - little
	if room > small {
		t.Fatalf("%s lies on a large disk, which is not to be filled", folder)
	}
	file := filepath.Join(folder, "filler")
	err := os.WriteFile(file, make([]byte, room), 0o600)
	if errors.Is(err, syscall.ENOSPC) { // the server wrote meanwhile: it took the little that was to stay
		info, statErr := os.Stat(file)
		if statErr != nil {
			t.Fatal(statErr)
		}
		err = os.Truncate(file, max(0, info.Size()-little))
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestFullDisk lets the disk run full under a batch: commands say so, the batch waits and goes on by itself once there is
// room, and what is written is what an undisturbed batch writes. The disk has no room for more customers than the short form's.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	c := newChaos(t, smallDisk(t), shortOfCustomers, "max_wal_size=48MB", "min_wal_size=32MB", "shared_buffers=32MB")
	c.work(t)
	c.batch(t, 0, nil)
	c.forget(t)
	c.batch(t, 0, nil)
	want, _ := c.sum(t)
	c.forget(t)
	file := fill(t, c.server.Folder())
	run := c.begin(t)
	cmd := exec.CommandContext(t.Context(), "quimbi", "snapshot", "--store", "shop", "--type", "monthly", "--json")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+c.server.URL())
	if out, err := cmd.Output(); err == nil || cmd.ProcessState.ExitCode() != exitUnavailable || !strings.Contains(string(out), `"UNAVAILABLE"`) || !strings.Contains(string(out), "no room left on its disk") {
		t.Errorf("on a full disk a command ended with %d: %s", cmd.ProcessState.ExitCode(), out)
	}
	if now, err := c.db.Run(t.Context(), run.ID); err == nil && now.State.Final() {
		t.Errorf("on a full disk the batch ended as %s: %s", now.State, now.Failure)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := c.start(t).Close(t.Context()); err != nil { // should it have given up
		t.Fatal(err)
	}
	c.pool.Reset()
	took, _ := c.end(t, run, 0, nil)
	t.Logf("%s after there was room again", took.Round(time.Millisecond))
	c.forgetCommand(t)
	if got, _ := c.sum(t); got != want {
		t.Errorf("the batch has written\n%s, want\n%s", got, want)
	}
}

// forgetCommand takes away the run of a command that failed, so that sum finds the batch's.
func (c *chaos) forgetCommand(t *testing.T) {
	t.Helper()
	if _, err := c.pool.Exec(t.Context(), "DELETE FROM run WHERE trigger = 'CLI' AND state IN ('FAILED', 'QUEUED', 'RUNNING')"); err != nil {
		t.Fatal(err)
	}
}
