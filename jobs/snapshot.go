package jobs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/explain"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/risk"
	"github.com/quimbi/quimbi/internal/postgres"
)

// chunk is the part of a snapshot run that is worked on in one transaction: a range of customers, on all of the run's dates.
type chunk struct {
	RunID        string                 `json:"run_id"`
	StoreKey     string                 `json:"store"`
	Customers    postgres.CustomerRange `json:"customers"`
	Type         engine.SnapshotType    `json:"type"`
	Dates        []engine.Date          `json:"dates"`
	ModelVersion int                    `json:"model_version"`
	Replace      bool                   `json:"replace"`
	Replayed     bool                   `json:"replayed"`
}

const (
	chunkCustomers = 5000
	// chunkSnapshots bounds the memory of a chunk with many dates.
	chunkSnapshots = 25_000
)

// plan cuts a run into chunks, and prepares what all of them need.
func (r *Runner) plan(ctx context.Context, run *engine.Run) ([]chunk, error) {
	var q Snapshots
	if err := decode(run, &q); err != nil {
		return nil, err
	}
	kind, err := engine.ParseSnapshotType(q.Type)
	if err != nil {
		return nil, err
	}
	store, err := r.db.StoreByKey(ctx, q.Store)
	if err != nil {
		return nil, err
	}
	version := q.ModelVersion
	if version == 0 {
		stored, err := r.db.NewestModel(ctx, store.ID)
		if err != nil {
			return nil, err
		}
		version = stored.Version
	}
	if err := r.db.EnsureLeaves(ctx, kind, q.Dates); err != nil {
		return nil, err
	}
	// What is not there yet is worked out now, so that no chunk has to.
	if _, err := r.groundAt(ctx, store, version, q.Dates); err != nil {
		return nil, err
	}
	size := min(chunkCustomers, max(100, chunkSnapshots/max(1, len(q.Dates))))
	ranges, err := r.db.CustomerRanges(ctx, store.ID, size)
	if err != nil {
		return nil, err
	}
	chunks := make([]chunk, len(ranges))
	for i, customers := range ranges {
		chunks[i] = chunk{
			RunID: run.ID, StoreKey: store.Key, Customers: customers, Type: kind, Dates: q.Dates, ModelVersion: version,
			Replace: q.Conflict == ConflictReplace, Replayed: run.Kind == engine.RunReplay,
		}
	}
	return chunks, nil
}

// groundAt reads what snapshots of the dates under a version of the store's model rest on, working out what is not there yet.
func (r *Runner) groundAt(ctx context.Context, store *engine.Store, version int, dates []engine.Date) (*ground, error) {
	model, err := r.models.get(ctx, r.db, store.ID, version)
	if err != nil {
		return nil, err
	}
	instants, err := r.instants(ctx, store, dates)
	if err != nil {
		return nil, err
	}
	return r.groundOf(ctx, store, model, instants)
}

// groundOfChunk reads what the snapshots of a chunk rest on.
func (r *Runner) groundOfChunk(ctx context.Context, c chunk) (*ground, error) {
	store, err := r.db.StoreByKey(ctx, c.StoreKey)
	if err != nil {
		return nil, err
	}
	return r.groundAt(ctx, store, c.ModelVersion, c.Dates)
}

// planned notes how many chunks a run has; one without any is over.
func (r *Runner) planned(ctx context.Context, tx *postgres.Tx, run *engine.Run, chunks int) error {
	if err := tx.PlanRun(ctx, run.ID, engine.StageScoring, chunks); err != nil || chunks > 0 {
		return err
	}
	return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", SnapshotCounts{}, 0)
}

// chunk writes a chunk's snapshots, drift events and states, and counts it, all in the transaction. After the last one the run
// is to be settled. Fault: ErrRunOver, at once where the run was cancelled before.
func (r *Runner) chunk(ctx context.Context, tx *postgres.Tx, c chunk) (last bool, err error) {
	if err := tx.RunGoesOn(ctx, c.RunID); err != nil {
		return false, err
	}
	var counts SnapshotCounts
	var events []engine.DriftEvent
	g, err := r.groundOfChunk(ctx, c)
	if err == nil {
		counts, events, err = r.write(ctx, tx, g, c)
	}
	if err == nil {
		err = tx.CopyDriftEvents(ctx, events)
	}
	if err != nil {
		return false, fmt.Errorf("taking the snapshots of customers %d to %d: %w", c.Customers.From, c.Customers.To, err)
	}
	return tx.ChunkDone(ctx, c.RunID, engine.StageScoring, postgres.ChunkCounts{
		Created: counts.Created, Kept: counts.Kept, Replaced: counts.Replaced, Events: int64(len(events)),
	})
}

// write takes the snapshots of a chunk and gives the drift events, which the caller writes last.
func (r *Runner) write(ctx context.Context, tx *postgres.Tx, g *ground, c chunk) (SnapshotCounts, []engine.DriftEvent, error) {
	var counts SnapshotCounts
	var err error
	store, model := g.store, g.model
	if err := tx.ShareCustomers(ctx, store.ID); err != nil {
		return counts, nil, err
	}
	if err := tx.ShareLeaves(ctx, r.db, c.Type, c.Dates); err != nil {
		return counts, nil, err
	}
	if c.Replace {
		if counts.Replaced, err = tx.RemoveSnapshots(ctx, store.ID, c.Customers, c.Type, c.Dates); err != nil {
			return counts, nil, err
		}
	}
	if now, ok := store.Now(r.now()); !c.Replace && ok && c.Dates[0] < now {
		if err := tx.RemoveLeftovers(ctx, store.ID, c.Customers, c.Type, c.Dates); err != nil {
			return counts, nil, err
		}
	}
	existing, err := tx.ExistingSnapshots(ctx, store.ID, c.Customers, c.Type, c.Dates, c.ModelVersion)
	if err != nil {
		return counts, nil, err
	}
	first := c.Dates[0]
	before, err := tx.PreviousSnapshots(ctx, store.ID, c.Customers, c.Type, first-engine.Date(seriesGap*c.Type.Days()), first, c.ModelVersion)
	if err != nil {
		return counts, nil, err
	}
	b := &batch{
		runner: r, store: store, model: model, chunk: c, scorer: model.NewScorer(), existing: index(existing), before: map[int64]postgres.StoredThumbprint{},
		marker: explain.NewMarker(model), marks: map[int64][]byte{}, lookback: g.lookback(),
	}
	for _, t := range before {
		b.before[t.CustomerID] = t
	}
	if b.transitions, err = r.openTransitions(ctx, tx, store.ID, c); err != nil {
		return counts, nil, err
	}
	b.lookout = newLookout(store, model, c)
	if err := b.read(ctx, tx); err != nil {
		return counts, nil, err
	}
	if err := tx.WriteTransitions(ctx, store.ID, b.transitions.begun, b.transitions.ended); err != nil {
		return counts, nil, err
	}
	if err := tx.CopySnapshots(ctx, b.snapshots); err != nil {
		return counts, nil, err
	}
	if err := tx.StateFromSnapshots(ctx, store.ID, c.Customers, c.Type, c.Dates[len(c.Dates)-1], b.marks); err != nil {
		return counts, nil, err
	}
	if b.lookout != nil {
		if err := tx.ReplaceAlarms(ctx, store.ID, c.Customers, c.Dates, b.lookout.alarms, b.lookout.counts()); err != nil {
			return counts, nil, err
		}
	}
	counts.Kept = int64(b.kept)
	counts.Created = int64(len(b.snapshots)) - min(counts.Replaced, int64(len(b.snapshots)))
	return counts, b.events, nil
}

func index(snapshots []postgres.StoredThumbprint) map[postgres.SnapshotKey]postgres.StoredThumbprint {
	m := make(map[postgres.SnapshotKey]postgres.StoredThumbprint, len(snapshots))
	for _, s := range snapshots {
		m[s.SnapshotKey] = s
	}
	return m
}

// seriesGap is how many nominal steps may lie between two snapshots of one series.
const seriesGap = 3

// batch collects what a chunk writes.
type batch struct {
	runner   *Runner
	store    *engine.Store
	model    *engine.Model
	chunk    chunk
	lookback *risk.Lookback
	scorer   *engine.Scorer
	marker   *explain.Marker
	existing map[postgres.SnapshotKey]postgres.StoredThumbprint
	before   map[int64]postgres.StoredThumbprint
	rescored engine.Thumbprint // of the snapshot before

	snapshots   []postgres.WrittenSnapshot
	marks       map[int64][]byte // of the last date, by customer
	events      []engine.DriftEvent
	transitions *transitions
	kept        int
	lookout     *lookout // nil where no alarms are raised
}

// read goes through the orders once, customer by customer.
func (b *batch) read(ctx context.Context, tx *postgres.Tx) error {
	builder := feature.NewBuilder(b.store.Zone, b.store.Columns)
	last := b.chunk.Dates[len(b.chunk.Dates)-1].In(b.store.Zone)
	for customer, err := range tx.Lines(ctx, b.store.ID, b.chunk.Customers, last) {
		if err != nil {
			return err
		}
		previous, known := b.before[customer.CustomerID]
		b.lookback.Look(builder.Build, customer.Lines, func(i int, f *engine.Features, print *engine.Thumbprint) {
			key := postgres.SnapshotKey{CustomerID: customer.CustomerID, Date: b.chunk.Dates[i]}
			if kept, ok := b.existing[key]; ok {
				b.kept++
				b.followKept(kept)
				if kept.ModelVersion == b.model.Version {
					b.mark(key, kept.Thumbprint, f)
				}
				previous, known = kept, true
				return
			}
			var from *postgres.StoredThumbprint
			if known && int(key.Date-previous.Date) <= seriesGap*b.chunk.Type.Days() {
				from = &previous
			}
			own := print.Clone()
			b.add(key, f, own, customer.Lines, from)
			b.mark(key, own, f)
			previous, known = postgres.StoredThumbprint{SnapshotKey: key, ModelVersion: b.model.Version, Thumbprint: own}, true
		})
		b.lookout.look(builder, customer)
	}
	return nil
}

// mark notes by what customers are listed, of the day that the present state is taken from.
func (b *batch) mark(key postgres.SnapshotKey, print engine.Thumbprint, f *engine.Features) {
	if key.Date == b.chunk.Dates[len(b.chunk.Dates)-1] {
		b.marks[key.CustomerID] = b.marker.Marks(print, f.Purchases, f.Values)
	}
}

// underModel brings the snapshot before under the model of the run: one of another model is scored anew, if it has its features.
func (b *batch) underModel(from *postgres.StoredThumbprint) *postgres.StoredThumbprint {
	if from == nil || from.ModelVersion == b.model.Version {
		return from
	}
	if from.Features == nil {
		return nil
	}
	b.scorer.Score(from.Purchases, from.Features, &b.rescored)
	return &postgres.StoredThumbprint{SnapshotKey: from.SnapshotKey, ModelVersion: b.model.Version, Thumbprint: b.rescored}
}

// add takes one snapshot, with its drift from the one before where there is one that can be compared: behind a refit, what the
// customer did is left.
func (b *batch) add(key postgres.SnapshotKey, f *engine.Features, print engine.Thumbprint, lines []engine.Line, from *postgres.StoredThumbprint) {
	s := postgres.WrittenSnapshot{Snapshot: engine.Snapshot{
		StoreID: b.store.ID, CustomerID: key.CustomerID, Type: b.chunk.Type, Date: key.Date, ModelVersion: b.model.Version,
		Thumbprint: print, Purchases: f.Purchases, ValueCents: f.ValueCents, FirstAt: f.FirstAt, Replayed: b.chunk.Replayed,
	}}
	if b.runner.settings.StoreFeatures {
		s.Features = slices.Clone(f.Values)
	}
	if b.runner.settings.StoreScores {
		s.ChurnRisk, s.LTVCents = b.model.Predictor.Scores(f.PurchaseHistory, key.Date, b.lookback.Drift(0))
	}
	since := key.Date - engine.Date(b.chunk.Type.Days())
	if from != nil {
		since = from.Date
	}
	s.Active = active(lines, since.In(b.store.Zone), key.Date.In(b.store.Zone))
	at := standing{features: f}
	if from = b.underModel(from); from != nil {
		drift := b.model.DriftAt(b.runner.settings.DriftLevel, from.Thumbprint, s.Thumbprint)
		s.Drift = drift.Overall
		if drift.Largest >= 0 {
			s.LargestDrift = &drift.LargestScore
		}
		b.note(&s, from.Date, drift)
		at.drift = &drift
	}
	b.follow(&s, at)
	b.snapshots = append(b.snapshots, s)
}

// note adds an event for every axis over the threshold.
func (b *batch) note(s *postgres.WrittenSnapshot, from engine.Date, d engine.Drift) {
	b.events = append(b.events, b.runner.driftEvents(b.model, engine.DriftEvent{
		StoreID: s.StoreID, CustomerID: s.CustomerID, Type: s.Type, From: from, To: s.Date, ModelVersion: s.ModelVersion, ByOrder: s.Active,
	}, d)...)
}

// driftEvents gives an event for every axis over the threshold under a model; what holds for all of them is in the base.
func (r *Runner) driftEvents(m *engine.Model, base engine.DriftEvent, d engine.Drift) []engine.DriftEvent {
	var events []engine.DriftEvent
	for a := range d.Axes {
		axis := &d.Axes[a]
		if axis.Status != engine.AxisOn || axis.Score < r.settings.DriftThreshold {
			continue
		}
		e := base
		e.Axis, e.Score, e.FromSegment, e.ToSegment = a, axis.Score, axis.From, axis.To
		e.RiskChange = m.RiskChange(a, axis.From, axis.To)
		e.AxisAnomaly = axis.Score >= r.settings.AnomalyThreshold
		e.OverallAnomaly = d.Overall != nil && *d.Overall >= r.settings.AnomalyThreshold
		e.Overall, e.Mean, e.Coverage, e.LargestAxis, e.LargestScore, e.ModerateAxes = d.Overall, d.Mean, d.Coverage, d.Largest, d.LargestScore, d.ModerateAxes
		events = append(events, e)
	}
	return events
}

// active tells whether a line, a refund or a cancellation of a customer fell into [from, to).
func active(lines []engine.Line, from, to time.Time) bool {
	i := sort.Search(len(lines), func(i int) bool { return !lines[i].OrderedAt.Before(from) })
	if i < len(lines) && lines[i].OrderedAt.Before(to) {
		return true
	}
	within := func(at time.Time) bool { return !at.Before(from) && at.Before(to) }
	for j := range lines[:i] {
		if l := &lines[j]; l.RefundCents != 0 && within(l.RefundKnownAt()) || within(l.CancelledAt) {
			return true
		}
	}
	return false
}

// SnapshotCustomers takes the snapshots of named customers at once. The same idempotency key gives the first answer again. Fault:
// INVALID where the key came with another request, UNAVAILABLE while it is worked on.
func (r *Runner) SnapshotCustomers(ctx context.Context, q SnapshotRequest) (SnapshotOutcome, error) {
	var out SnapshotOutcome
	if !r.settings.Snapshots {
		return out, errSnapshotsOff()
	}
	if err := checkKey(q.IdempotencyKey); err != nil {
		return out, err
	}
	if q.IdempotencyKey != "" { // what answering anew would take may fail by now
		answered := false
		err := r.db.InTx(ctx, func(tx *postgres.Tx) (err error) {
			answered, err = q.taken(ctx, tx, &out)
			return err
		})
		if err != nil || answered {
			return out, err
		}
	}
	c, g, err := r.namedChunk(ctx, &q)
	if err != nil {
		return out, err
	}
	err = r.db.InTx(ctx, func(tx *postgres.Tx) error {
		if before, err := q.taken(ctx, tx, &out); err != nil || before {
			return err
		}
		var err error
		if out, err = r.snapshotNamed(ctx, tx, &q, g, c); err != nil {
			return err
		}
		return q.keep(ctx, tx, q.Store.ID, postgres.MutationCreateSnapshots, out)
	})
	return out, err
}

// namedChunk fixes model and date, and reads what the snapshots rest on; nothing where no customer is known.
func (r *Runner) namedChunk(ctx context.Context, q *SnapshotRequest) (c chunk, g *ground, err error) {
	c = chunk{StoreKey: q.Store.Key, Type: q.Type, Replace: q.Conflict == ConflictReplace}
	if !slices.ContainsFunc(q.Customers, func(id int64) bool { return id != 0 }) {
		return c, nil, nil
	}
	date, err := r.dateOf(q.Store, q.Date)
	if err != nil {
		return c, nil, err
	}
	c.Dates = []engine.Date{date}
	if c.ModelVersion, err = r.db.NewestModelVersion(ctx, q.Store.ID); err != nil {
		return c, nil, err
	}
	if c.ModelVersion == 0 {
		return c, nil, errNotClustered(q.Store.Key)
	}
	if err := r.db.EnsureLeaves(ctx, q.Type, c.Dates); err != nil {
		return c, nil, err
	}
	g, err = r.groundOfChunk(ctx, c)
	return c, g, err
}

// taken gives what the request's key was answered before; false where it is new.
func (q *SnapshotRequest) taken(ctx context.Context, tx *postgres.Tx, out *SnapshotOutcome) (bool, error) {
	if q.IdempotencyKey == "" {
		return false, nil
	}
	if err := tx.TryKey(ctx, q.Store.ID, q.IdempotencyKey); err != nil {
		return false, err
	}
	run, err := tx.RunByIdempotencyKey(ctx, q.Store.ID, engine.RunSnapshot, q.IdempotencyKey)
	if err != nil {
		return false, err
	}
	if run != nil {
		return false, errOtherRequest(run.ID)
	}
	return q.answered(ctx, tx, q.Store.ID, postgres.MutationCreateSnapshots, out)
}

// snapshotNamed takes each customer's snapshot, those of the same customers always in the same order.
func (r *Runner) snapshotNamed(ctx context.Context, tx *postgres.Tx, q *SnapshotRequest, g *ground, c chunk) (SnapshotOutcome, error) {
	var out SnapshotOutcome
	places := make([]int, len(q.Customers))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(x, y int) int { return cmp.Compare(q.Customers[x], q.Customers[y]) })
	var events []engine.DriftEvent
	last := int64(0)
	for _, place := range places {
		id := q.Customers[place]
		if id == 0 {
			out.Unknown = append(out.Unknown, place)
			continue
		}
		if id == last {
			continue // named again
		}
		last = id
		c.Customers = postgres.CustomerRange{From: id, To: id}
		counts, drift, err := r.write(ctx, tx, g, c)
		if err != nil {
			return out, err
		}
		events = append(events, drift...)
		switch {
		case counts.Kept > 0 && q.Conflict == ConflictFail:
			out.Existing = append(out.Existing, place)
			continue
		case counts.Created+counts.Kept+counts.Replaced == 0:
			out.NoPurchase = append(out.NoPurchase, place)
		}
		out.Created += counts.Created
		out.Kept += counts.Kept
		out.Replaced += counts.Replaced
	}
	out.Failed = int64(len(out.Unknown) + len(out.Existing) + len(out.NoPurchase))
	if last == 0 {
		return out, nil
	}
	out.Date = c.Dates[0]
	// How the store's customers move on the date is left to a run over all of them.
	if err := r.markEvents(ctx, tx, q.Store.ID, q.Type, out.Date-1, events); err != nil {
		return out, err
	}
	return out, tx.CopyDriftEvents(ctx, events)
}

func errSnapshotsOff() error {
	return engine.Errorf(engine.CodeFeatureDisabled, "snapshots are switched off by ENABLE_TEMPORAL_SNAPSHOTS")
}

func errNotClustered(storeKey string) error {
	return engine.Errorf(engine.CodeInsufficientData, "store %q has not been clustered yet; recluster it first", storeKey)
}

// dateOf gives the day that a snapshot is for: the one asked for, never after the store's now.
func (r *Runner) dateOf(store *engine.Store, asked *engine.Date) (engine.Date, error) {
	now, ok := store.Now(r.now())
	if !ok {
		return 0, engine.Errorf(engine.CodeInsufficientData, "store %q has no orders; import some first", store.Key)
	}
	if asked == nil {
		return now, nil
	}
	if *asked > now {
		return 0, engine.Errorf(engine.CodeInvalid, "%s is after the store's now, %s", *asked, now).At("input", "date")
	}
	return *asked, nil
}
