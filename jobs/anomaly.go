package jobs

import (
	"context"
	"fmt"
	"slices"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/watch"
	"github.com/quimbi/quimbi/internal/postgres"
)

// settle ends a run of snapshots all of whose chunks are done: only now is known how far the store's customers moved on each
// date, and with it what is out of the ordinary. Interrupted, it is done again; and a run that kept all it found settles too,
// since the one that took them may have been stopped before it did.
func (r *Runner) settle(ctx context.Context, run *engine.Run) error {
	var q Snapshots
	if err := decode(run, &q); err != nil {
		return err
	}
	kind, err := engine.ParseSnapshotType(q.Type)
	if err != nil {
		return err
	}
	if err := r.db.ProgressRun(ctx, run.ID, engine.StageDetectingDrift, "", run.Done, run.Total); err != nil {
		return err
	}
	if err := r.compare(ctx, run.StoreID, kind, q.Dates); err != nil {
		return fmt.Errorf("comparing the drifts of run %s: %w", run.ID, err)
	}
	return r.db.InTx(ctx, func(tx *postgres.Tx) error {
		if kind == engine.Weekly {
			if err := tx.RankAlarms(ctx, run.StoreID, q.Dates); err != nil {
				return err
			}
		}
		return tx.FinishRun(ctx, run.ID, engine.RunSucceeded, "", nil, 0)
	})
}

// compare notes how the drifts of each date lie, and marks the events of customers who moved otherwise than they use to.
func (r *Runner) compare(ctx context.Context, storeID int32, kind engine.SnapshotType, dates []engine.Date) error {
	for _, date := range dates {
		if err := r.db.WriteSpread(ctx, storeID, kind, date); err != nil {
			return err
		}
	}
	ranges, err := r.db.CustomerRanges(ctx, storeID, chunkCustomers)
	if err != nil {
		return err
	}
	return r.deviate(ctx, storeID, kind, dates, ranges)
}

// deviate marks the events of customers of ranges by their own earlier drifts.
func (r *Runner) deviate(ctx context.Context, storeID int32, kind engine.SnapshotType, dates []engine.Date, ranges []postgres.CustomerRange) error {
	medians, err := r.db.SpreadMedians(ctx, storeID, kind)
	if err != nil {
		return err
	}
	ofRun := make(map[int]bool, len(dates))
	for _, date := range dates {
		ofRun[int(date)] = true
	}
	for _, customers := range ranges {
		found, err := r.db.ActiveDrifts(ctx, storeID, customers, kind, dates)
		if err != nil {
			return err
		}
		var deviations []postgres.Deviation
		for _, c := range found {
			for i, d := range c.Drifts {
				if !ofRun[d.Day] {
					continue
				}
				if z, ok := watch.Last(c.Drifts[:i+1], medians); ok {
					deviations = append(deviations, postgres.Deviation{CustomerID: c.CustomerID, Date: engine.Date(d.Day), Z: z})
				}
			}
		}
		if err := r.db.MarkDeviations(ctx, storeID, kind, deviations, r.settings.AnomalyThreshold); err != nil {
			return err
		}
	}
	return nil
}

// markEvents marks events of snapshots of a type, not written yet, by what their customers did up to a day. Of an interval
// whose spread is not known the last one before it counts.
func (r *Runner) markEvents(ctx context.Context, tx *postgres.Tx, storeID int32, kind engine.SnapshotType, until engine.Date, events []engine.DriftEvent) error {
	var customers []int64
	for i := range events {
		if e := &events[i]; e.Type == kind && e.ByOrder && e.Overall != nil {
			customers = append(customers, e.CustomerID)
		}
	}
	if len(customers) == 0 {
		return nil
	}
	found, err := tx.DriftsOf(ctx, storeID, customers, kind, until)
	if err != nil || len(found) == 0 {
		return err
	}
	medians, err := tx.SpreadMedians(ctx, storeID, kind)
	if err != nil {
		return err
	}
	earlier := make(map[int64][]watch.Dated, len(found))
	for _, c := range found {
		earlier[c.CustomerID] = c.Drifts
	}
	for i := range events {
		e := &events[i]
		if e.Type != kind || !e.ByOrder || e.Overall == nil {
			continue
		}
		if z, ok := watch.Last(append(slices.Clip(earlier[e.CustomerID]), watch.Dated{Day: int(e.To), Drift: *e.Overall}), medians); ok {
			e.RobustZ = &z
			e.OverallAnomaly = e.OverallAnomaly || z >= watch.AnomalousZ
		}
	}
	return nil
}
