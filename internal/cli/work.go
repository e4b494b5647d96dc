package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/jobs"
)

type snapshotCommand struct {
	Settings
	Store string `required:"" placeholder:"KEY" help:"The store."`
	Type  string `required:"" enum:"daily,weekly,monthly,quarterly,yearly" placeholder:"TYPE" help:"daily, weekly, monthly, quarterly or yearly."`
	Date  string `placeholder:"DATE" help:"The day, as of its beginning; the store's now unless set."`
}

// snapshotResult is what snapshot and replay print.
type snapshotResult struct {
	RunID       string        `json:"run_id"`
	Store       string        `json:"store"`
	Type        string        `json:"type"`
	Model       int           `json:"model_version"`
	Dates       []engine.Date `json:"dates"`
	Snapshots   int64         `json:"snapshots"`
	DriftEvents int64         `json:"drift_events"`
	Seconds     float64       `json:"seconds"`
}

// Run takes a snapshot.
func (c *snapshotCommand) Run(a *app) (err error) {
	date, err := day(c.Date, "date")
	if err != nil {
		return err
	}
	kind, err := engine.ParseSnapshotType(c.Type)
	if err != nil {
		return err
	}
	o, err := a.office(&c.Settings)
	if err != nil {
		return err
	}
	defer closing(o, &err)
	began := a.now()
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return err
	}
	run, err := o.queue.SnapshotStore(a.ctx, jobs.SnapshotRequest{Store: store, Type: kind, Date: date, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerCLI})
	if err != nil {
		return err
	}
	if run, err = a.work(o, run, "snapshot"); err != nil {
		return err
	}
	return a.printSnapshots(run, seconds(began, a.now()))
}

func (a *app) printSnapshots(run *engine.Run, seconds float64) error {
	var asked jobs.Snapshots
	if err := json.Unmarshal(run.Request, &asked); err != nil {
		return fmt.Errorf("reading what run %s was asked for: %w", run.ID, err)
	}
	dates := asked.Dates
	if dates == nil {
		dates = []engine.Date{asked.Date}
	}
	result := snapshotResult{
		RunID: run.ID, Store: asked.Store, Type: asked.Type, Dates: dates, Model: asked.ModelVersion, Snapshots: run.Rows, DriftEvents: run.Events, Seconds: seconds,
	}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s %s snapshots on %s, %s drift events, %.1f s\n", asked.Store, number(run.Rows), asked.Type, span(dates), number(run.Events), seconds)
	})
}

func span(dates []engine.Date) string {
	switch len(dates) {
	case 0:
		return "no date"
	case 1:
		return dates[0].String()
	default:
		return fmt.Sprintf("%d dates from %s to %s", len(dates), dates[0], dates[len(dates)-1])
	}
}

type replayCommand struct {
	Settings
	Store string `required:"" placeholder:"KEY" help:"The store."`
	From  string `required:"" placeholder:"DATE" help:"The first day."`
	To    string `required:"" placeholder:"DATE" help:"The day after the last one."`
	Type  string `required:"" enum:"daily,weekly,monthly,quarterly,yearly" placeholder:"TYPE" help:"daily, weekly (Sundays), monthly, quarterly or yearly."`
	// Zero: the one in force.
	Model   int  `placeholder:"N" help:"The version of the model to score under; the one in force unless set."`
	Replace bool `help:"Take new snapshots in place of those that are there; without it they are kept."`
}

// Run takes snapshots of the past.
func (c *replayCommand) Run(a *app) (err error) {
	from, err := day(c.From, "from")
	if err != nil {
		return err
	}
	to, err := day(c.To, "to")
	if err != nil {
		return err
	}
	if from == nil || to == nil {
		return engine.Errorf(engine.CodeInvalid, "--from and --to must both name a day")
	}
	kind, err := engine.ParseSnapshotType(c.Type)
	if err != nil {
		return err
	}
	o, err := a.office(&c.Settings)
	if err != nil {
		return err
	}
	defer closing(o, &err)
	began := a.now()
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return err
	}
	request := jobs.ReplayRequest{Store: store, Type: kind, From: *from, To: *to, ModelVersion: c.Model, Conflict: jobs.ConflictKeep, Trigger: engine.TriggerCLI}
	if c.Replace {
		request.Conflict = jobs.ConflictReplace
	}
	run, err := a.replay(o, request)
	if err != nil {
		return err
	}
	return a.printSnapshots(run, seconds(began, a.now()))
}

func (a *app) replay(o *office, request jobs.ReplayRequest) (*engine.Run, error) {
	run, err := o.queue.Replay(a.ctx, request)
	if err != nil {
		return nil, err
	}
	return a.work(o, run, "replay")
}

type cleanupCommand struct {
	Settings
	Store           string `placeholder:"KEY" help:"The store; all unless set."`
	IncludeReplayed bool   `help:"Remove replayed snapshots too: they can be made again."`
	DryRun          bool   `help:"Only count."`
}

// Run removes old snapshots.
func (c *cleanupCommand) Run(a *app) (err error) {
	o, err := a.office(&c.Settings)
	if err != nil {
		return err
	}
	defer closing(o, &err)
	request := jobs.CleanupRequest{IncludeReplayed: c.IncludeReplayed, Trigger: engine.TriggerCLI}
	if c.Store != "" {
		if request.Store, err = o.db.StoreByKey(a.ctx, c.Store); err != nil {
			return err
		}
	}
	report, err := a.cleanup(o, request, c.DryRun)
	if err != nil {
		return err
	}
	if report.Policies == nil {
		report.Policies = []jobs.CleanupPolicy{}
	}
	return a.print(report, func(w io.Writer) {
		verb := "removed"
		if c.DryRun {
			verb = "would be removed"
		}
		for _, p := range report.Policies {
			if p.DeletedCount+p.ReplayedCount > 0 {
				fmt.Fprintf(w, "%s, %s before %s: %s %s, %s are replayed\n", p.Store, p.Type, p.Cutoff, number(p.DeletedCount), verb, number(p.ReplayedCount))
			}
			if p.DriftEvents+p.Transitions > 0 {
				fmt.Fprintf(w, "%s, %s before %s: %s drift events and %s transitions %s\n", p.Store, p.Type, p.Cutoff, number(p.DriftEvents), number(p.Transitions), verb)
			}
		}
		fmt.Fprintf(w, "%s snapshots %s\n", number(report.DeletedCount), verb)
		if report.Runs > 0 {
			fmt.Fprintf(w, "%s runs that ended before %s %s\n", number(report.Runs), report.RunCutoff.UTC().Format(time.DateOnly), verb)
		}
		if report.AuditEntries > 0 {
			fmt.Fprintf(w, "%s old entries of the audit log %s\n", number(report.AuditEntries), verb)
		}
	})
}

func (a *app) cleanup(o *office, request jobs.CleanupRequest, dryRun bool) (jobs.CleanupReport, error) {
	if dryRun {
		return o.queue.PlanCleanup(a.ctx, request)
	}
	var report jobs.CleanupReport
	run, err := o.queue.Cleanup(a.ctx, request)
	if err != nil {
		return report, err
	}
	if run, err = a.work(o, run, "cleanup"); err != nil {
		return report, err
	}
	if err := json.Unmarshal(run.Report, &report); err != nil {
		return report, fmt.Errorf("reading the report of run %s: %w", run.ID, err)
	}
	return report, nil
}

// number writes a number with commas between thousands.
func number(n int64) string {
	text := fmt.Sprint(max(n, -n))
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	if n < 0 {
		return "-" + text
	}
	return text
}
