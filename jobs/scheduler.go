package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/robfig/cron/v3"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

// timetable holds the crontab lines of the source document, in UTC: in a zone with summer time some would be skipped once
// a year and others run twice.
var timetable = []struct {
	cron  string
	types func(engine.Date) []engine.SnapshotType // nil: cleanup
}{
	{"0 2 * * *", func(engine.Date) []engine.SnapshotType { return []engine.SnapshotType{engine.Daily} }},
	{"0 3 * * 0", func(engine.Date) []engine.SnapshotType { return []engine.SnapshotType{engine.Weekly} }},
	{"0 4 1 * *", firstsOf},
	{"0 5 * * 0", nil},
}

// firstsOf gives the types whose own day the first of a month is.
func firstsOf(d engine.Date) []engine.SnapshotType {
	var types []engine.SnapshotType
	for _, kind := range []engine.SnapshotType{engine.Monthly, engine.Quarterly, engine.Yearly} {
		if kind.OnOrAfter(d) == d {
			types = append(types, kind)
		}
	}
	return types
}

// reapEvery is how often runs of dead processes are looked for.
const reapEvery = 10 * time.Second

// prepareEvery is how often partitions are made ahead of need.
const prepareEvery = 6 * time.Hour

// schedule turns the clock into runs until the context is done. Every process with a schedule does the same: a slot's
// run is made by whoever comes first.
func (s *Service) schedule(ctx context.Context) error {
	scheduler, err := gocron.NewScheduler(gocron.WithLocation(time.UTC))
	if err != nil {
		return err
	}
	for i := range timetable {
		line := &timetable[i]
		times, err := cron.ParseStandard(line.cron)
		if err != nil {
			return err
		}
		tick := func() {
			if err := s.queue.fill(ctx, i, lastBefore(times, s.queue.now().UTC())); err != nil && ctx.Err() == nil {
				s.queue.log.ErrorContext(ctx, "making the runs of a slot", "cron", line.cron, "error", err)
			}
		}
		if _, err := scheduler.NewJob(gocron.CronJob(line.cron, false), gocron.NewTask(tick), gocron.WithSingletonMode(gocron.LimitModeReschedule)); err != nil {
			return err
		}
		if err := s.queue.catchUp(ctx, i, lastBefore(times, s.queue.now().UTC())); err != nil {
			return err
		}
	}
	prepare := func() {
		if err := s.queue.PrepareLeaves(ctx); err != nil && ctx.Err() == nil {
			s.queue.log.ErrorContext(ctx, "making partitions ahead of need", "error", err)
		}
	}
	prepare()
	if _, err := scheduler.NewJob(gocron.DurationJob(prepareEvery), gocron.NewTask(prepare), gocron.WithSingletonMode(gocron.LimitModeReschedule)); err != nil {
		return err
	}
	reap := func() {
		if err := s.lookAfter(ctx); err != nil && ctx.Err() == nil {
			s.queue.log.ErrorContext(ctx, "looking after runs", "error", err)
		}
	}
	if _, err := scheduler.NewJob(gocron.DurationJob(reapEvery), gocron.NewTask(reap), gocron.WithSingletonMode(gocron.LimitModeReschedule)); err != nil {
		return err
	}
	scheduler.Start()
	<-ctx.Done()
	return scheduler.Shutdown()
}

// lastBefore gives the newest planned time that is not after now.
func lastBefore(times cron.Schedule, now time.Time) time.Time {
	// Forty days reach over the longest month.
	last := time.Time{}
	for t := times.Next(now.AddDate(0, 0, -40)); !t.After(now); t = times.Next(t) {
		last = t
	}
	return last
}

// slotName names a slot: its type and its planned time.
func slotName(kind string, at time.Time) string { return kind + ":" + at.UTC().Format(time.RFC3339) }

// fill makes the runs of one planned time: one a live store and type, or one cleanup of all stores. What is there stays.
func (q *Queue) fill(ctx context.Context, line int, at time.Time) error {
	types := timetable[line].types
	if types == nil {
		_, err := q.submit(ctx, submission{NewRun: postgres.NewRun{
			Kind: engine.RunCleanup, Trigger: engine.TriggerSchedule, Slot: slotName("cleanup", at), SlotAt: at, Request: Cleanup{},
		}})
		return err
	}
	if !q.settings.Snapshots {
		return nil
	}
	stores, err := q.db.Stores(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, store := range stores {
		if !store.Live(q.now()) {
			continue
		}
		for _, kind := range types(engine.DateOf(at, time.UTC)) {
			if err := q.fillSlot(ctx, store, kind, at); err != nil {
				faults = append(faults, fmt.Errorf("store %q: %w", store.Key, err))
			}
		}
	}
	return errors.Join(faults...)
}

// fillSlot makes the run of one store. It is due once its date has begun in the store's zone.
func (q *Queue) fillSlot(ctx context.Context, store *engine.Store, kind engine.SnapshotType, at time.Time) error {
	date := engine.DateOf(at, time.UTC)
	version, err := q.db.NewestModelVersion(ctx, store.ID)
	if err != nil || version == 0 {
		return err // nothing to score under yet
	}
	due := at
	if begin := date.In(store.Zone); begin.After(due) {
		due = begin
	}
	_, err = q.submitSnapshots(ctx, submission{at: due, NewRun: postgres.NewRun{
		StoreID: store.ID, Kind: engine.RunSnapshot, Trigger: engine.TriggerSchedule, Slot: slotName(kind.String(), at), SlotAt: at,
	}}, Snapshots{Store: store.Key, Type: kind.String(), Date: date, Dates: []engine.Date{date}, Conflict: ConflictKeep})
	return err
}

// catchUp makes the runs of the newest slot that an outage missed. A store is only served from its first slot on.
func (q *Queue) catchUp(ctx context.Context, line int, at time.Time) error {
	types := timetable[line].types
	if types == nil || at.IsZero() || !q.settings.Snapshots {
		return nil
	}
	stores, err := q.db.Stores(ctx)
	if err != nil {
		return err
	}
	for _, store := range stores {
		if !store.Live(q.now()) {
			continue
		}
		for _, kind := range types(engine.DateOf(at, time.UTC)) {
			served, err := q.db.SlotBefore(ctx, store.ID, engine.RunSnapshot, kind.String(), at)
			if err != nil {
				return err
			}
			if !served {
				continue
			}
			if err := q.fillSlot(ctx, store, kind, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// NextSnapshot tells when the schedule takes a store's next snapshot; the zero time where it takes none.
func (s *Service) NextSnapshot(store *engine.Store) time.Time {
	now := s.queue.now()
	if !s.queue.settings.Snapshots || !store.Live(now) {
		return time.Time{}
	}
	times, err := cron.ParseStandard(timetable[0].cron)
	if err != nil {
		return time.Time{}
	}
	return times.Next(now.UTC())
}
