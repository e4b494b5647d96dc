package jobs_test

import (
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/fit"
	"github.com/quimbi/quimbi/engine/synth"
	"github.com/quimbi/quimbi/engine/versions"
	"github.com/quimbi/quimbi/internal/ingest"
	"github.com/quimbi/quimbi/internal/postgres"
	"github.com/quimbi/quimbi/jobs"
)

// TestPhantomDrift refits a store and looks for drift that the refit alone made up: by another seed, and after a fit on 80 % of the
// customers. It goes through imports, runs and Postgres as a user's work does, with the tenth sample of CDNOW and 400 made-up customers,
// or, with QUIMBI_PHANTOM=full, with all of CDNOW and the synthetic store as `quimbi demo` makes it, both fitted by default settings.
func TestPhantomDrift(t *testing.T) {
	t.Parallel()
	file, made, params := "cdnow_sample.csv.gz", synth.Options{Seed: 3, Customers: 400, Weeks: 60}, engine.DefaultParams()
	params.Starts, params.KMax = 2, 5
	if os.Getenv("QUIMBI_PHANTOM") == "full" {
		file, made, params = "cdnow_full.csv.gz", synth.Options{Seed: 3}, engine.DefaultParams()
	}
	made.End = day(t, "2026-11-20")
	t.Run("cdnow", func(t *testing.T) {
		t.Parallel()
		q, db := newQueue(t)
		phantom(t, q, db, params, "cdnow", "1998-06-21", func(store *engine.Store) {
			_, err := q.Import(t.Context(), store, []jobs.Source{sample(t, file)}, ingest.Options{}, nil, nil)
			check(t, err)
		})
	})
	t.Run("synthetic", func(t *testing.T) {
		t.Parallel()
		q, db := newQueue(t)
		customers := synth.Shop(made).Customers
		phantom(t, q, db, params, "synthetic", "2026-11-15", func(store *engine.Store) {
			_, err := db.ImportLines(t.Context(), store, func(yield func(*postgres.ImportLine) error) (engine.Columns, error) {
				for _, c := range customers {
					for _, l := range c.Lines {
						if err := yield(&postgres.ImportLine{Customer: c.Key, HasDiscount: true, Line: l}); err != nil {
							return 0, err
						}
					}
				}
				return engine.AllColumns, nil
			})
			check(t, err)
		})
	})
}

// phantom imports and fits a store, takes snapshots, and refits it twice: by another seed, and on four fifths of its customers.
func phantom(t *testing.T, q *jobs.Queue, db *postgres.DB, params engine.Params, key, date string, load func(store *engine.Store)) {
	t.Helper()
	ctx := t.Context()
	store, err := db.EnsureStore(ctx, key)
	check(t, err)
	fit := func(seed uint64) *engine.Model {
		t.Helper()
		day := day(t, date)
		run, err := q.Recluster(ctx, jobs.ReclusterRequest{Store: store, Params: params, Seed: &seed, AsOf: &day, Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, q.Work(ctx, run, nil))
		m, err := db.NewestModel(ctx, store.ID)
		check(t, err)
		return m.Model
	}
	without := jobs.DefaultSettings()
	without.Workers, without.StoreFeatures = 2, false
	featureless, err := jobs.NewQueue(db, without, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), clock)
	check(t, err)
	features := true // are kept with snapshots
	load(store)
	store, err = db.StoreByKey(ctx, key)
	check(t, err)
	fit(1)
	replayed := func(from, to string, version int, conflict jobs.Conflict) *engine.Run {
		t.Helper()
		q := q
		if !features {
			q = featureless
		}
		run, err := q.Replay(ctx, jobs.ReplayRequest{Store: store, Type: engine.Daily, From: day(t, from), To: day(t, to), ModelVersion: version, Conflict: conflict, Trigger: engine.TriggerCLI})
		check(t, err)
		check(t, q.Work(ctx, run, nil))
		run, err = db.Run(ctx, run.ID)
		check(t, err)
		return run
	}
	next := (day(t, date) + 1).String()
	replayed(date, next, 1, jobs.ConflictKeep)
	before := snapshotsOf(t, db, store, date)

	models := []*engine.Model{fit(2)}
	models = append(models, resampled(t, db, store, before, models[0]))
	for _, m := range models {
		if m.ModelDrift == nil || m.ModelDrift.Before != m.Version-1 {
			t.Fatalf("model %d: model drift %+v", m.Version, m.ModelDrift)
		}
		if o := m.ModelDrift.Overall; o == nil {
			t.Logf("%s, model %d: too different from model %d to be compared on most axes", key, m.Version, m.Version-1)
		} else {
			t.Logf("%s, model %d: model drift %.4f", key, m.Version, *o)
		}
		// The same day again, under the new model: what is stored is what scoring the stored features gives.
		replayed(date, next, m.Version, jobs.ConflictReplace)
		after, scorer := snapshotsOf(t, db, store, date), m.NewScorer()
		for id, old := range before {
			fresh := after[id]
			if !sameFeatures(old.Features, fresh.Features) {
				t.Fatalf("customer %d has other features on the same day", id)
			}
			var rescored engine.Thumbprint
			scorer.Score(old.Purchases, old.Features, &rescored)
			d := m.Drift(rescored, fresh.Thumbprint)
			for axis := range d.Axes {
				if d.Axes[axis].Score != 0 {
					t.Fatalf("customer %d drifts by %v on %s", id, d.Axes[axis].Score, engine.Axes[axis].Key)
				}
			}
		}
	}

	// A refit between two snapshots: nothing but what the customers and time did shows, as if both were of the new model.
	weekBefore, later := (day(t, date) - 1).String(), date
	replayed(weekBefore, later, 3, jobs.ConflictReplace)
	replayed(later, next, 3, jobs.ConflictReplace)
	want := eventsOf(t, db, store)
	replayed(weekBefore, later, 2, jobs.ConflictReplace)
	run := replayed(later, next, 3, jobs.ConflictReplace)
	got := eventsOf(t, db, store)
	if len(got) != len(want) || int64(len(got)) != run.Events {
		t.Errorf("%s: with a refit in between there are %d drift events, without %d", key, len(got), len(want))
	}
	for k, score := range want {
		if got[k] != score {
			t.Errorf("%+v: %v with a refit in between, %v without", k, got[k], score)
		}
	}
	t.Logf("%s: %d customers, %d drift events from one day to the next, with a refit in between and without", key, len(before), len(want))

	// Where features are not kept nothing is known of the customers over a refit, so there is no event; before and behind it there are.
	features = false
	replayed(weekBefore, later, 2, jobs.ConflictReplace)
	run = replayed(later, next, 3, jobs.ConflictReplace)
	if got := eventsOf(t, db, store); len(got) != 0 || run.Events != 0 {
		t.Errorf("%s: without features a refit brings %d drift events", key, len(got))
	}
	replayed(weekBefore, later, 3, jobs.ConflictReplace)
	replayed(later, next, 3, jobs.ConflictReplace)
	if got := eventsOf(t, db, store); !maps.Equal(got, want) {
		t.Errorf("%s: without features, under one model, there are %d drift events, with them %d", key, len(got), len(want))
	}
}

// resampled fits a store on four fifths of the customers of snapshots, drawn by chance, and puts the model in force.
func resampled(t *testing.T, db *postgres.DB, store *engine.Store, snapshots map[int64]*engine.Snapshot, previous *engine.Model) *engine.Model {
	t.Helper()
	all := &engine.Table{AsOf: previous.AsOf, Columns: store.Columns}
	part := &engine.Table{AsOf: previous.AsOf, Columns: store.Columns}
	random := rand.New(rand.NewPCG(1, 2))
	for _, id := range slices.Sorted(maps.Keys(snapshots)) {
		s := snapshots[id]
		f := &engine.Features{PurchaseHistory: engine.PurchaseHistory{Purchases: s.Purchases, FirstAt: s.FirstAt}, ValueCents: s.ValueCents, Values: s.Features}
		all.Append(id, f)
		if random.Float64() < 0.8 {
			part.Append(id, f)
		}
	}
	m, err := fit.Model(t.Context(), previous.Params, previous.Seed, part, previous, nil)
	check(t, err)
	m.Version, m.ModelDrift = previous.Version+1, versions.ModelDrift(previous, m, all)
	check(t, db.InTx(t.Context(), func(tx *postgres.Tx) error { return tx.InsertModel(t.Context(), store.ID, uuid.NewString(), m) }))
	return m
}

func snapshotsOf(t *testing.T, db *postgres.DB, store *engine.Store, date string) map[int64]*engine.Snapshot {
	t.Helper()
	keys, err := db.CustomerKeys(t.Context(), store.ID)
	check(t, err)
	var refs []postgres.SnapshotRef
	for id := range keys {
		refs = append(refs, postgres.SnapshotRef{CustomerRef: postgres.CustomerRef{StoreID: store.ID, CustomerID: id}, Type: engine.Daily, Date: day(t, date)})
	}
	found, err := db.SnapshotsByRef(t.Context(), refs)
	check(t, err)
	byID := map[int64]*engine.Snapshot{}
	for _, s := range found {
		byID[s.CustomerID] = s
	}
	if len(byID) == 0 {
		t.Fatalf("no snapshots on %s", date)
	}
	return byID
}

// sameFeatures compares with NaN equal to itself.
func sameFeatures(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] && (a[i] == a[i] || b[i] == b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

type eventKey struct {
	customer int64
	axis     int
	from, to engine.Date
}

func eventsOf(t *testing.T, db *postgres.DB, store *engine.Store) map[eventKey]float64 {
	t.Helper()
	q := postgres.DriftQuery{From: 0, To: 100_000, Window: postgres.Window{Limit: 1_000_000}}
	found, err := db.DriftFeed(t.Context(), []int32{store.ID}, q)
	check(t, err)
	events := map[eventKey]float64{}
	for _, e := range found {
		events[eventKey{e.CustomerID, e.Axis, e.From, e.To}] = e.Score
	}
	return events
}
