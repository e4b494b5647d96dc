package jobs

import (
	"context"
	"errors"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/internal/postgres"
)

func workerHold(id string) string { return "worker:" + id }

// presence is the hold that tells others that this process works. It may be lost with its connection while the process
// lives on: then others take its jobs, what it is doing counts for nothing, and the hold is taken again.
type presence struct {
	id   string
	hold *postgres.Hold
}

// renew sees to it that the hold is there.
func (p *presence) renew(ctx context.Context, db *postgres.DB) error {
	if p.hold != nil && p.hold.Alive(ctx) {
		return nil
	}
	p.end()
	hold, err := db.TryHold(ctx, workerHold(p.id))
	p.hold = hold
	return err
}

func (p *presence) end() {
	if p.hold != nil {
		p.hold.Release()
		p.hold = nil
	}
}

// rescue takes the jobs of dead workers up again, which the queue would do after minutes.
func (q *Queue) rescue(ctx context.Context, self string) error {
	workers, err := q.db.WorkersOfJobs(ctx)
	if err != nil {
		return err
	}
	for _, worker := range workers {
		if worker == self {
			continue
		}
		hold, err := q.db.TryHold(ctx, workerHold(worker))
		if err != nil {
			return err
		}
		if hold == nil {
			continue // it lives
		}
		err = q.db.InTx(ctx, func(tx *postgres.Tx) error {
			rescued, dead, err := tx.RescueJobs(ctx, worker)
			for _, job := range dead {
				const failure = "Every worker that took it up died while at it; the log has more. Start it again when the cause is found."
				if err := tx.FinishRun(ctx, job.RunID, engine.RunFailed, failure, nil, 0); err != nil && !errors.Is(err, postgres.ErrRunOver) {
					return err
				}
			}
			if rescued > 0 {
				q.log.WarnContext(ctx, "a worker died; its jobs are taken up again", "worker", worker, "jobs", rescued, "given_up", len(dead))
			}
			return err
		})
		hold.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	// lostAfter is how long ago a job was taken that counts as lost where it was not begun, which takes milliseconds.
	lostAfter = 10 * time.Second
	// reportTime is how long the queue may take to write down how a job ended: it tries again after 1, 2 and 4 seconds, and each
	// time waits 10 at most, and so on until it can.
	reportTime = time.Minute
)

// desk holds the jobs that this process works on, and those that it worked on until just now: when the work ended, or zero.
type desk struct {
	mu   sync.Mutex
	jobs map[postgres.TakenJob]time.Time
	now  func() time.Time
}

// work keeps a job on the desk while it is worked on.
func (d *desk) work(ctx context.Context, job *rivertype.JobRow, inner func(context.Context) error) error {
	taken := postgres.TakenJob{ID: job.ID, Attempt: job.Attempt, At: job.AttemptedAt.UnixMicro()}
	d.put(taken, time.Time{})
	defer func() { d.put(taken, d.now()) }()
	return inner(ctx)
}

func (d *desk) put(job postgres.TakenJob, ended time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.jobs[job] = ended
}

// missing gives those of the jobs that are not on the desk, and clears it of what ended long ago.
func (d *desk) missing(jobs []postgres.TakenJob) (missing []postgres.TakenJob) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.jobs, func(_ postgres.TakenJob, ended time.Time) bool {
		return !ended.IsZero() && d.now().Sub(ended) > reportTime
	})
	for _, job := range jobs {
		if _, there := d.jobs[job]; !there {
			missing = append(missing, job)
		}
	}
	return missing
}

// takeBack makes the jobs available that the queue says this process works on, while it does not: the answer that gave them to it was lost
// with the connection. The queue itself would notice when they have taken longer than they may, a fit six hours.
func (q *Queue) takeBack(ctx context.Context, self string) error {
	taken, err := q.db.TakenJobs(ctx, self, lostAfter)
	if err != nil {
		return err
	}
	lost := q.desk.missing(taken) // asked only now: what was taken that long ago has been begun, if ever
	if len(lost) == 0 {
		return nil
	}
	n, err := q.db.ReturnJobs(ctx, self, lost)
	if n > 0 {
		q.log.WarnContext(ctx, "jobs were lost on the way to this process; they are taken up again", "jobs", n)
	}
	return err
}

// errNotOurs says that a job was given to another worker meanwhile, since this one seemed dead.
var errNotOurs = errors.New("the job was taken up by another worker")

// outageEvery is how often work is tried again that the database does not let through, and outageMost for how long.
const (
	outageEvery = 2 * time.Second
	outageMost  = 24 * time.Hour
)

// waitOut puts a job off while the database is in trouble, which is no fault of the job and no attempt of it; nil
// where the fault is another.
func (q *Queue) waitOut(ctx context.Context, job *rivertype.JobRow, err error) error {
	outage := postgres.Outage(err)
	if outage == nil || ctx.Err() != nil || q.now().Sub(job.CreatedAt) > outageMost {
		return nil
	}
	q.log.WarnContext(ctx, "the database is in trouble; the work goes on when it is not", "job", job.ID, "error", outage)
	return river.JobSnooze(outageEvery)
}

// backoff tries a job again after one second, two, four and so on up to a minute.
type backoff struct{}

// NextRetry tells when.
func (backoff) NextRetry(job *rivertype.JobRow) time.Time {
	const most = 60
	seconds := min(most, math.Pow(2, float64(len(job.Errors))))
	return time.Now().Add(time.Duration(seconds) * time.Second)
}
