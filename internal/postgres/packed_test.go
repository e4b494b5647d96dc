package postgres_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/pgtest"
	"github.com/quimbi/quimbi/internal/postgres"
)

const packedMigration = "0025_packed_thumbprint.sql"

// downTo takes migrations back, the named one the last.
func downTo(t *testing.T, db *postgres.DB, name string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	for {
		list, err := db.Migrations(t.Context(), log)
		check(t, err)
		i := slices.IndexFunc(list, func(m postgres.Migration) bool { return m.Name == name })
		if i < 0 {
			t.Fatalf("there is no migration %s", name)
		}
		if !list[i].Applied {
			return
		}
		check(t, db.MigrateDown(t.Context(), log))
	}
}

// lines gives a query's rows as text.
func lines(t *testing.T, pool *pgxpool.Pool, sql string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql)
	check(t, err)
	defer rows.Close()
	var list []string
	for rows.Next() {
		var line string
		check(t, rows.Scan(&line))
		list = append(list, line)
	}
	check(t, rows.Err())
	return list
}

// oldSnapshots writes snapshots and states as they were before thumbprints were packed: of three types and seven leaves, with
// and without features and scores, with memberships that are none, and with positions that need one byte and two.
const oldSnapshots = `
INSERT INTO store (store_key, time_zone) VALUES ('shop', 'UTC');
INSERT INTO segment_model (store_id, model_id, run_id, as_of, customers, axis, first_pos, segment, member_json, dominant_json, body)
SELECT store_id, 1, gen_random_uuid(), '2026-01-01', 9, '{}', '{}', ARRAY(SELECT 'leaf ' || i FROM generate_series(0, 299) i), '{"first": %s, "second": %s}', '{"a": %s, "b": %s}', '{}' FROM store;
INSERT INTO snapshot (store_id, customer_id, snapshot_type, snapshot_date, model_id, membership, dominant, feature, churn_risk, predicted_ltv_cents, orders, value_cents,
  first_order, drift, largest_drift, active, replayed, created_at)
SELECT store_id, c, k, d, 1, CASE WHEN c % 3 = 0 THEN ARRAY[-1, -1] ELSE ARRAY[c * 700, 10000 - c * 700] END::smallint[],
  ARRAY[CASE WHEN c % 4 = 0 THEN -1 ELSE c END, CASE c WHEN 5 THEN 254 WHEN 6 THEN 255 WHEN 7 THEN 299 ELSE 0 END]::smallint[],
  CASE WHEN c % 2 = 0 THEN ARRAY[c / 3.0, NULL, 1]::real[] END, CASE WHEN c > 2 THEN c / 11.0 END, CASE WHEN c > 3 THEN c * 1000000007 END, c, c * 123456789012, '2025-05-05',
  CASE WHEN c <> 4 THEN 1.0 / c END, CASE WHEN c <> 4 THEN 0.9 END, c % 5 = 0, c % 3 = 1, timestamptz '2026-03-01 12:34:56.789+00' + c * interval '1 hour'
FROM store, generate_series(1::bigint, 9) c, (VALUES (2, date '2026-03-01'), (2, '2026-03-08'), (2, '2026-03-11'), (2, '2026-03-15'), (3, '2026-03-01'), (3, '2026-04-01'), (5, '2026-01-01')) v(k, d);
INSERT INTO customer_state (store_id, customer_id, model_id, state_date, membership, dominant, feature, largest_drift, churn_risk, predicted_ltv_cents)
SELECT store_id, customer_id, model_id, snapshot_date, membership, dominant, feature, largest_drift, churn_risk, predicted_ltv_cents FROM snapshot
WHERE snapshot_type = 2 AND snapshot_date = '2026-03-15';`

// Snapshots taken before thumbprints were packed are the same afterwards, and on the way back; the same rows are read by the API. A
// migration that was interrupted goes on. Whoever could read the view still can.
func TestStoredThumbprintsArePacked(t *testing.T) {
	t.Parallel()
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	pool := pgtest.DB(t)
	db := postgres.New(pool)
	downTo(t, db, packedMigration)
	sundays := []engine.Date{sunday, sunday + 7, sunday + 14}
	for kind, dates := range map[engine.SnapshotType][]engine.Date{
		engine.Weekly: sundays, engine.Monthly: {sunday, engine.NewDate(2026, 4, 1)}, engine.Yearly: {engine.NewDate(2026, 1, 1)},
	} {
		check(t, db.EnsureLeaves(ctx, kind, dates))
	}
	_, err := pool.Exec(ctx, oldSnapshots)
	check(t, err)
	_, err = pool.Exec(ctx, "GRANT SELECT ON temporal_snapshots TO pg_monitor")
	check(t, err)

	const columns = ` feature, churn_risk, predicted_ltv_cents, largest_drift`
	const ofSnapshot = ` || ' ' || row(store_id, customer_id, snapshot_type, snapshot_date, model_id, orders, value_cents, first_order, drift, active, replayed, created_at,` + columns + `)::text
FROM snapshot ORDER BY snapshot_type, snapshot_date, customer_id`
	const ofState = ` || ' ' || row(store_id, customer_id, model_id, state_date, updated_at,` + columns + `)::text FROM customer_state ORDER BY customer_id`
	const arrays, bytes = `SELECT row(membership, dominant)::text`, `SELECT row(memberships(membership), dominants(dominant))::text`
	const view = `SELECT row_to_json(t)::text FROM temporal_snapshots t ORDER BY snapshot_id`
	const leaves = `SELECT c.relname || ' of ' || i.inhparent::regclass || ' ' || pg_get_expr(c.relpartbound, c.oid) || ' ' || x.indexrelid::regclass FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p') JOIN pg_index x ON x.indrelid = c.oid ORDER BY 1`
	before := map[string][]string{"snapshots": lines(t, pool, arrays+ofSnapshot), "states": lines(t, pool, arrays+ofState), "view": lines(t, pool, view), "leaves": lines(t, pool, leaves)}
	if n, m := len(before["snapshots"]), len(before["states"]); n != 63 || m != 9 || len(before["view"]) != n {
		t.Fatalf("%d snapshots, %d in the view, %d states; want 63, 63 and 9", n, len(before["view"]), m)
	}
	compare := func(when, form string) {
		t.Helper()
		for name, sql := range map[string]string{"snapshots": form + ofSnapshot, "states": form + ofState, "view": view, "leaves": leaves} {
			if got := lines(t, pool, sql); !slices.Equal(got, before[name]) {
				t.Errorf("%s: %s are\n%s\nand were\n%s", when, name, strings.Join(got, "\n"), strings.Join(before[name], "\n"))
			}
		}
	}

	// A reader of the last weekly leaf is in the way.
	config := pool.Config()
	config.ConnConfig.RuntimeParams["lock_timeout"] = "50"
	hasty, err := pgxpool.NewWithConfig(ctx, config)
	check(t, err)
	defer hasty.Close()
	reader, err := pool.Begin(ctx)
	check(t, err)
	_, err = reader.Exec(ctx, "SELECT FROM snapshot_weekly_20260315")
	check(t, err)
	if err := postgres.New(hasty).Migrate(ctx, log); err == nil {
		t.Error("the migration was not interrupted")
	}
	check(t, reader.Rollback(ctx))
	if got := lines(t, pool, "SELECT count(*)::text FROM snapshot"); got[0] != "27" {
		t.Errorf("%s snapshots of an interrupted migration are moved, want 27", got[0])
	}
	check(t, db.Migrate(ctx, log))
	compare("packed", bytes)

	if got := lines(t, pool, "SELECT has_table_privilege('pg_monitor', 'temporal_snapshots', 'SELECT')::text"); got[0] != "true" {
		t.Error("the view can no longer be read by whom it was granted to")
	}
	if got := lines(t, pool, "SELECT relname::text FROM pg_class WHERE relname ~ 'snapshot_(array|packed)'"); len(got) > 0 {
		t.Errorf("the migration leaves %q", got)
	}
	for c := 1; c <= 9; c++ {
		ref := postgres.CustomerRef{StoreID: 1, CustomerID: int64(c)}
		found, err := db.Timeline(ctx, []postgres.CustomerRef{ref}, postgres.TimelineQuery{Type: engine.Weekly, From: sunday, To: sunday + 15, Model: 1, Limit: 10, Features: true})
		check(t, err)
		states, err := db.CustomerStates(ctx, []postgres.CustomerRef{ref}, true)
		check(t, err)
		state := states[ref]
		if len(found[ref]) != 4 || state == nil {
			t.Fatalf("customer %d has %d snapshots and the state %v", c, len(found[ref]), state)
		}
		for i, s := range append(found[ref], &engine.Snapshot{Thumbprint: state.Thumbprint, Features: state.Features}) {
			want := lines(t, pool, fmt.Sprintf("SELECT row(membership, dominant, feature)::text FROM (SELECT membership_at(membership, 0) || ',' || membership_at(membership, 1) AS membership, dominant_at(dominant, 0) || ',' || dominant_at(dominant, 1) AS dominant, array_length(feature, 1) AS feature FROM customer_state WHERE customer_id = %d) s", c))[0]
			features := fmt.Sprint(len(s.Features))
			if s.Features == nil {
				features = ""
			}
			if got := fmt.Sprintf(`("%d,%d","%d,%d",%s)`, s.Membership[0], s.Membership[1], s.Dominant[0], s.Dominant[1], features); got != want {
				t.Errorf("customer %d, %d: read as %s, want %s", c, i, got, want)
			}
		}
	}
	if got := lines(t, pool, `SELECT coalesce(membership_at('\x0001', 1)::text, 'none') || coalesce(dominant_at('\x010203', 2)::text, 'none') || coalesce(dominant_at('\x0200020003', 2)::text, 'none')`); got[0] != "nonenonenone" {
		t.Errorf("values behind the last: %s", got[0])
	}

	downTo(t, db, packedMigration)
	compare("taken back", arrays)
	check(t, db.Migrate(ctx, log))
	compare("packed again", bytes)
}
