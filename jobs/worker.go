package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jonboulle/clockwork"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

const (
	// startQueue is worked on apart from chunks, so that long fits do not hold up snapshots, and rescoreQueue apart from both.
	startQueue   = "start"
	chunkQueue   = "chunk"
	rescoreQueue = "rescore"

	chunkTimeout  = time.Minute
	rescueAfter   = 2 * time.Minute
	settleTimeout = 30 * time.Minute
	wholeTimeout  = 6 * time.Hour
	snoozeForLive = 5 * time.Second
	startsAtOnce  = 2
	// A run that scores touched customers waits, while another one of the store works or a file is imported, as queued, so
	// that what comes meanwhile joins it.
	snoozeRescore  = time.Second
	rescoresAtOnce = 2
)

// startArgs is the job that starts a run: it does the whole of a fit or a cleanup, and cuts snapshots into chunks.
type startArgs struct {
	RunID   string         `json:"run_id"`
	RunKind engine.RunKind `json:"run_kind"`
}

func (startArgs) Kind() string { return "quimbi_start" }

// chunkArgs is the job that takes the snapshots of one chunk.
type chunkArgs struct{ Chunk chunk }

func (chunkArgs) Kind() string { return "quimbi_chunk" }

type startWorker struct {
	river.WorkerDefaults[startArgs]
	queue *Queue
}

// Timeout is long: a dead process is noticed by its hold, not by the time it takes.
func (w *startWorker) Timeout(*river.Job[startArgs]) time.Duration { return wholeTimeout }

func (w *startWorker) Work(ctx context.Context, job *river.Job[startArgs]) error {
	run, err := w.queue.db.Run(ctx, job.Args.RunID)
	if err != nil {
		return cmp.Or(w.queue.waitOut(ctx, job.JobRow, err), err)
	}
	if run.State.Final() || run.Total > 0 && (run.Kind == engine.RunSnapshot || run.Kind == engine.RunReplay) {
		return nil // over, or cut into chunks already
	}
	if run.Kind == engine.RunRescore {
		busy, err := w.queue.streaming(ctx, run)
		if err != nil {
			return cmp.Or(w.queue.waitOut(ctx, job.JobRow, err), err)
		}
		if busy {
			return river.JobSnooze(snoozeRescore)
		}
	}
	hold, err := w.queue.begin(ctx, run)
	switch {
	case errors.Is(err, errBusy):
		return river.JobSnooze(snoozeForLive)
	case errors.Is(err, postgres.ErrRunOver):
		return nil
	case err != nil:
		return cmp.Or(w.queue.waitOut(ctx, job.JobRow, err), err)
	}
	defer hold.Release()
	if run.Kind == engine.RunSnapshot || run.Kind == engine.RunReplay {
		err = w.cut(ctx, run, job)
	} else {
		err = w.queue.work(ctx, run)
	}
	return w.outcome(ctx, run, job, err)
}

// streaming tells whether another run scores the store's touched customers, or an import goes on.
func (q *Queue) streaming(ctx context.Context, run *engine.Run) (bool, error) {
	busy, err := q.db.OrdersLocked(ctx, run.StoreID)
	if err != nil || busy {
		return busy, err
	}
	others, err := q.db.RunningRescores(ctx, run.StoreID)
	if err != nil {
		return false, err
	}
	for _, id := range others {
		if id == run.ID {
			continue
		}
		if alive, err := q.alive(ctx, id); err != nil || alive {
			return alive, err
		}
	}
	return false, nil
}

// outcome decides what becomes of a run whose work gave an error: faults that a caller can understand are final, others are
// tried again as often as the queue does.
func (w *startWorker) outcome(ctx context.Context, run *engine.Run, job *river.Job[startArgs], err error) error {
	if later := w.queue.waitOut(ctx, job.JobRow, err); later != nil {
		return later
	}
	switch {
	case err == nil, errors.Is(err, postgres.ErrRunOver):
		return nil
	case ctx.Err() != nil:
		return err // stopped with the process: taken up again
	case engine.CodeOf(err) == engine.CodeRunInProgress:
		return river.JobSnooze(snoozeForLive)
	case engine.CodeOf(err) != engine.CodeInternal || job.Attempt >= job.MaxAttempts:
		return w.queue.giveUp(ctx, job.JobRow, run, err)
	default:
		return err
	}
}

// giveUp ends a run that has failed for good, and its job. While the database cannot be told the job waits: the run would
// go on for ever if its last job ended without it.
func (q *Queue) giveUp(ctx context.Context, job *rivertype.JobRow, run *engine.Run, fault error) error {
	untold := q.fail(ctx, run, fault)
	if later := q.waitOut(ctx, job, untold); later != nil {
		return later
	}
	if untold != nil {
		return errors.Join(fault, untold)
	}
	return river.JobCancel(fault)
}

// cut inserts a job for every chunk of a run, and completes its own, in one transaction.
func (w *startWorker) cut(ctx context.Context, run *engine.Run, job *river.Job[startArgs]) error {
	chunks, err := w.queue.plan(ctx, run)
	if err != nil {
		return err
	}
	inserts := make([]river.InsertManyParams, len(chunks))
	for i, c := range chunks {
		inserts[i] = river.InsertManyParams{Args: chunkArgs{c}, InsertOpts: &river.InsertOpts{Queue: chunkQueue}}
	}
	return w.queue.db.InTx(ctx, func(tx *postgres.Tx) error {
		if len(inserts) > 0 {
			if _, err := w.queue.river.InsertManyFastTx(ctx, tx.Tx, inserts); err != nil {
				return err
			}
		}
		if err := w.queue.planned(ctx, tx, run, len(chunks)); err != nil {
			return err
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx.Tx, job)
		return err
	})
}

// settleArgs is the job that ends a run of snapshots after its last chunk.
type settleArgs struct {
	RunID string `json:"run_id"`
}

func (settleArgs) Kind() string { return "quimbi_settle" }

type settleWorker struct {
	river.WorkerDefaults[settleArgs]
	queue *Queue
}

func (w *settleWorker) Timeout(*river.Job[settleArgs]) time.Duration { return settleTimeout }

func (w *settleWorker) Work(ctx context.Context, job *river.Job[settleArgs]) error {
	run := &engine.Run{ID: job.Args.RunID, Kind: engine.RunSnapshot}
	found, err := w.queue.db.Run(ctx, run.ID)
	if err == nil {
		run, err = found, w.queue.settle(ctx, found)
	}
	if later := w.queue.waitOut(ctx, job.JobRow, err); later != nil {
		return later
	}
	switch {
	case err == nil, errors.Is(err, postgres.ErrRunOver):
		return nil
	case ctx.Err() == nil && job.Attempt >= job.MaxAttempts:
		return w.queue.giveUp(ctx, job.JobRow, run, err)
	default:
		return err
	}
}

type chunkWorker struct {
	river.WorkerDefaults[chunkArgs]
	queue *Queue
}

func (w *chunkWorker) Timeout(*river.Job[chunkArgs]) time.Duration { return chunkTimeout }

// Work writes a chunk's rows, counts it and completes its job in one transaction: killed at any point it leaves nothing
// behind, and is done again. Completing a job that another worker has taken up meanwhile would be no error of the queue's,
// and the chunk be counted twice: so the job is held from the beginning.
func (w *chunkWorker) Work(ctx context.Context, job *river.Job[chunkArgs]) error {
	err := w.queue.db.InTx(ctx, func(tx *postgres.Tx) error {
		if own, err := tx.OwnsJob(ctx, job.ID, job.Attempt); err != nil || !own {
			return cmp.Or(err, errNotOurs)
		}
		last, err := w.queue.chunk(ctx, tx, job.Args.Chunk)
		if err != nil {
			return err
		}
		if last {
			if _, err := w.queue.river.InsertTx(ctx, tx.Tx, settleArgs{job.Args.Chunk.RunID}, &river.InsertOpts{Queue: chunkQueue}); err != nil {
				return err
			}
		}
		_, err = river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx.Tx, job)
		return err
	})
	if later := w.queue.waitOut(ctx, job.JobRow, err); later != nil {
		return later
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, postgres.ErrRunOver):
		return river.JobCancel(err)
	case errors.Is(err, errNotOurs):
		return err // whatever becomes of it is another's to say
	case ctx.Err() == nil && job.Attempt >= job.MaxAttempts:
		run := &engine.Run{ID: job.Args.Chunk.RunID, Kind: engine.RunSnapshot}
		return w.queue.giveUp(ctx, job.JobRow, run, err)
	default:
		return err
	}
}

// Service executes runs and makes those of the schedule.
type Service struct {
	queue    *Queue
	client   *river.Client[pgx.Tx]
	presence *presence
	clock    clockwork.Clock // of the schedule; nil: the machine's
}

// jobAttempts is how often the queue tries a job before its run has failed.
const jobAttempts = 8

// NewService makes the workers and the schedule of one process.
func NewService(queue *Queue) (*Service, error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &startWorker{queue: queue})
	river.AddWorker(workers, &chunkWorker{queue: queue})
	river.AddWorker(workers, &settleWorker{queue: queue})
	self := &presence{id: newID()}
	client, err := river.NewClient(queue.db.RiverDriver(), &river.Config{
		ID: self.id, RetryPolicy: backoff{}, Logger: queue.log, Workers: workers, JobTimeout: chunkTimeout, RescueStuckJobsAfter: rescueAfter, MaxAttempts: jobAttempts,
		Middleware: []rivertype.Middleware{river.WorkerMiddlewareFunc(queue.desk.work)},
		Queues:     map[string]river.QueueConfig{startQueue: {MaxWorkers: startsAtOnce}, chunkQueue: {MaxWorkers: queue.settings.workers()}, rescoreQueue: {MaxWorkers: rescoresAtOnce}},
	})
	if err != nil {
		return nil, err
	}
	return &Service{queue: queue, client: client, presence: self}, nil
}

// lookAfter shows that this process lives, and takes up what others left when they died, and what was lost on its way here.
func (s *Service) lookAfter(ctx context.Context) error {
	if err := s.presence.renew(ctx, s.queue.db); err != nil {
		return err
	}
	if err := s.queue.rescue(ctx, s.presence.id); err != nil {
		return err
	}
	if err := s.queue.takeBack(ctx, s.presence.id); err != nil {
		return err
	}
	return s.queue.Reap(ctx)
}

// stopTime is how long work has to end when the service stops; what is interrupted is taken up again.
const stopTime = 5 * time.Second

// Run works until the context is done.
func (s *Service) Run(ctx context.Context) error {
	defer s.presence.end()
	if err := s.lookAfter(ctx); err != nil {
		return err
	}
	if err := s.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("starting the workers: %w", err)
	}
	scheduleErr := s.schedule(ctx)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := s.client.StopAndCancel(stop); err != nil {
		return errors.Join(scheduleErr, fmt.Errorf("stopping the workers: %w", err))
	}
	return scheduleErr
}
