package jobs

import (
	"context"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/internal/postgres"
)

// transitions follows the dominant segments of a chunk's customers from snapshot to snapshot.
type transitions struct {
	open   map[int64]*[engine.AxisCount]*postgres.StoredTransition
	begun  []*postgres.StoredTransition // not written yet
	ended  []*postgres.StoredTransition // of those that were
	models map[int]*older               // of open transitions, by version
}

// older is an earlier model, under which open transitions are settled.
type older struct {
	model  *engine.Model
	scorer *engine.Scorer
	print  engine.Thumbprint
}

// openTransitions reads what the next snapshots of a chunk's customers are to settle.
func (r *Runner) openTransitions(ctx context.Context, tx *postgres.Tx, storeID int32, c chunk) (*transitions, error) {
	found, err := tx.OpenTransitions(ctx, storeID, c.Customers, c.Type, c.Dates[0])
	if err != nil {
		return nil, err
	}
	t := &transitions{open: map[int64]*[engine.AxisCount]*postgres.StoredTransition{}, models: map[int]*older{}}
	for _, o := range found {
		t.keep(o)
		if v := o.ModelVersion; v != c.ModelVersion && t.models[v] == nil {
			stored, err := r.db.Model(ctx, storeID, v)
			if err != nil {
				return nil, err
			}
			t.models[v] = &older{model: stored.Model, scorer: stored.NewScorer()}
		}
	}
	return t, nil
}

func (t *transitions) keep(o *postgres.StoredTransition) {
	axes := t.open[o.CustomerID]
	if axes == nil {
		axes = new([engine.AxisCount]*postgres.StoredTransition)
		t.open[o.CustomerID] = axes
	}
	axes[o.Axis] = o
}

// standing is what a snapshot says of where its customer stands: the features, and the drift from the snapshot before, nil where
// there is none or after a gap.
type standing struct {
	features *engine.Features
	drift    *engine.Drift
}

// follow takes in one more snapshot. A transition of an earlier model is settled under that model.
func (b *batch) follow(s *postgres.WrittenSnapshot, at standing) {
	open := b.transitions.open[s.CustomerID]
	for axis := range b.model.Axes {
		var o *postgres.StoredTransition
		if open != nil {
			o = open[axis]
		}
		moved := at.drift != nil && at.drift.Axes[axis].Status == engine.AxisOn && at.drift.Axes[axis].SegmentChanged
		if o == nil && !moved {
			continue
		}
		if o != nil && o.ModelVersion != b.model.Version {
			b.settleOlder(o, s, at.features)
			open[axis] = nil
			if o = nil; !moved {
				continue
			}
		}
		step := watch.Step{Before: -1, Now: watch.PlaceOf(b.model, b.runner.settings.DriftLevel, axis, s.Thumbprint), Date: s.Date, ByOrder: s.Active}
		if at.drift != nil && at.drift.Axes[axis].Status == engine.AxisOn {
			step.Before, step.Score = at.drift.Axes[axis].From, at.drift.Axes[axis].Score
		}
		b.take(s, axis, o, step)
	}
}

// followKept lets a snapshot that was there settle what the run began before it.
func (b *batch) followKept(kept postgres.StoredThumbprint) {
	open := b.transitions.open[kept.CustomerID]
	if open == nil || kept.ModelVersion != b.model.Version {
		return
	}
	for axis, o := range open {
		if o == nil || o.State != watch.TransitionPending || o.ModelVersion != kept.ModelVersion {
			continue
		}
		now := watch.PlaceOf(b.model, b.runner.settings.DriftLevel, axis, kept.Thumbprint)
		if ended, _ := watch.Follow(&o.Transition, watch.Step{Before: -1, Now: now, Date: kept.Date}); ended != nil {
			b.transitions.end(o, *ended)
		}
	}
}

// take settles what is open on an axis, and notes what begins.
func (b *batch) take(s *postgres.WrittenSnapshot, axis int, o *postgres.StoredTransition, step watch.Step) {
	var earlier *watch.Transition
	if o != nil {
		earlier = &o.Transition
	}
	ended, begun := watch.Follow(earlier, step)
	if ended != nil {
		b.transitions.end(o, *ended)
	}
	if begun == nil {
		return
	}
	n := &postgres.StoredTransition{StoreID: s.StoreID, CustomerID: s.CustomerID, Type: s.Type, Axis: axis, ModelVersion: b.model.Version, Transition: *begun}
	b.transitions.begun = append(b.transitions.begun, n)
	if n.Open() {
		b.transitions.keep(n)
	}
}

// end notes how a transition ended.
func (t *transitions) end(o *postgres.StoredTransition, ended watch.Transition) {
	t.open[o.CustomerID][o.Axis] = nil
	o.Transition = ended
	if o.ID != 0 {
		t.ended = append(t.ended, o)
	}
}

func (b *batch) settleOlder(o *postgres.StoredTransition, s *postgres.WrittenSnapshot, f *engine.Features) {
	m := b.transitions.models[o.ModelVersion]
	m.scorer.Score(f.Purchases, f.Values, &m.print)
	now := watch.PlaceOf(m.model, b.runner.settings.DriftLevel, o.Axis, m.print)
	if ended, _ := watch.Follow(&o.Transition, watch.Step{Before: -1, Now: now, Date: s.Date}); ended != nil {
		b.transitions.end(o, *ended)
	}
}
