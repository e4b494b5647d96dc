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

// How often each process looks after the runs of dead ones, and for slots that nobody made, and makes partitions.
const (
	lookEvery    = 10 * time.Second
	catchEvery   = 10 * time.Minute
	prepareEvery = 6 * time.Hour
)

// schedule turns the clock into runs until the context is done. Every process with a schedule does the same: a slot's
// run is made by whoever comes first.
func (s *Service) schedule(ctx context.Context) error {
	do := func(doing string, f func(context.Context) error) {
		if err := f(ctx); err != nil && ctx.Err() == nil {
			s.queue.log.ErrorContext(ctx, doing, "error", err)
		}
	}
	const catching, preparing = "making the runs of missed slots", "making partitions ahead of need"
	do(catching, s.queue.catchUpAll)
	do(preparing, s.queue.PrepareLeaves)
	options := []gocron.SchedulerOption{gocron.WithLocation(time.UTC)}
	if s.clock != nil {
		options = append(options, gocron.WithClock(s.clock))
	}
	scheduler, err := gocron.NewScheduler(options...)
	if err != nil {
		return err
	}
	add := func(when gocron.JobDefinition, doing string, f func(context.Context) error) error {
		_, err := scheduler.NewJob(when, gocron.NewTask(func() { do(doing, f) }), gocron.WithSingletonMode(gocron.LimitModeReschedule))
		return err
	}
	for i := range timetable {
		fill := func(ctx context.Context) error {
			at, err := s.queue.lastPlanned(i)
			if err != nil {
				return err
			}
			if err := s.queue.fill(ctx, i, at); err != nil {
				return err
			}
			s.queue.log.DebugContext(ctx, slotFilled, "cron", timetable[i].cron, "at", at)
			return nil
		}
		if err := add(gocron.CronJob(timetable[i].cron, false), "making the runs of a slot", fill); err != nil {
			return errors.Join(err, scheduler.Shutdown())
		}
	}
	err = errors.Join(
		add(gocron.DurationJob(lookEvery), "looking after runs", s.lookAfter),
		add(gocron.DurationJob(catchEvery), catching, s.queue.catchUpAll),
		add(gocron.DurationJob(prepareEvery), preparing, s.queue.PrepareLeaves),
	)
	if err != nil {
		return errors.Join(err, scheduler.Shutdown())
	}
	scheduler.Start()
	<-ctx.Done()
	return scheduler.Shutdown()
}

// slotFilled is what the log says of a planned time, whoever made its runs.
const slotFilled = "the runs of a slot are there"

// lastPlanned gives the newest planned time of a line of the timetable.
func (q *Queue) lastPlanned(line int) (time.Time, error) {
	times, err := cron.ParseStandard(timetable[line].cron)
	if err != nil {
		return time.Time{}, err
	}
	return lastBefore(times, q.now().UTC()), nil
}

// catchUpAll catches up every line: a process may have been away at a planned time, or the database.
func (q *Queue) catchUpAll(ctx context.Context) error {
	for i := range timetable {
		at, err := q.lastPlanned(i)
		if err != nil {
			return err
		}
		if err := q.catchUp(ctx, i, at); err != nil {
			return err
		}
	}
	return nil
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

// cleanupSlots is the type of a cleanup's slots.
const cleanupSlots = "cleanup"

// slotName names a slot: its type and its planned time.
func slotName(kind string, at time.Time) string { return kind + ":" + at.UTC().Format(time.RFC3339) }

// fill makes the runs of one planned time: one a live store and type, or one cleanup of all stores. What is there stays.
func (q *Queue) fill(ctx context.Context, line int, at time.Time) error {
	types := timetable[line].types
	if types == nil {
		_, err := q.submit(ctx, submission{NewRun: postgres.NewRun{
			Kind: engine.RunCleanup, Trigger: engine.TriggerSchedule, Slot: slotName(cleanupSlots, at), SlotAt: at, Request: Cleanup{},
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

// catchUp makes the runs of the newest slot where an outage missed it: of each type at most one, and none before one that
// is there already. A store is only served from its first slot on.
func (q *Queue) catchUp(ctx context.Context, line int, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	types := timetable[line].types
	if types == nil {
		missed, err := q.missed(ctx, 0, engine.RunCleanup, cleanupSlots, at)
		if err != nil || !missed {
			return err
		}
		return q.fill(ctx, line, at)
	}
	if !q.settings.Snapshots {
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
			missed, err := q.missed(ctx, store.ID, engine.RunSnapshot, kind.String(), at)
			if err != nil {
				return err
			}
			if !missed {
				continue
			}
			if err := q.fillSlot(ctx, store, kind, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// missed tells whether the newest slot that was filled lies before a planned time.
func (q *Queue) missed(ctx context.Context, storeID int32, kind engine.RunKind, slotType string, at time.Time) (bool, error) {
	newest, err := q.db.NewestSlot(ctx, storeID, kind, slotType)
	return !newest.IsZero() && newest.Before(at), err
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
