package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/backtest"
	"github.com/quimbi/quimbi/engine/backtest/report"
	"github.com/quimbi/quimbi/engine/synth"
	"github.com/quimbi/quimbi/jobs"
)

type backtestCommand struct {
	Settings
	Store   string  `placeholder:"KEY" help:"The store."`
	Horizon *int    `placeholder:"DAYS" help:"No purchase in so many days counts as churn; the churn horizon unless set."`
	Rule    *int    `placeholder:"DAYS" help:"The rule to compare with: silent for so many days; 90 unless set."`
	Warmup  *int    `placeholder:"DAYS" help:"So many days at the beginning customers are not judged; the horizon, at most half of the time there is, unless set."`
	Seed    *uint64 `placeholder:"N" help:"It divides the customers, or makes them; drawn unless set, 1 for a simulation."`
	Splits  *int    `placeholder:"N" help:"Divide the customers so many times, by the seeds that follow, and tell the spread; at most 100, once unless set."`
	// A simulation has no store.
	Simulate bool   `help:"Simulate customers who change on a known day instead: how soon each detector sees it, against its false alarms."`
	Out      string `placeholder:"FOLDER" help:"Write the page with its charts, and the figures, to this folder: backtest.md or simulation.md, the same with .json, and SVG files."`
}

// backtestResult is what backtest prints.
type backtestResult struct {
	RunID string `json:"run_id"`
	Store string `json:"store"`
	*backtest.Result
	Files   []string `json:"files"`
	Seconds float64  `json:"seconds"`
}

// Run measures how early churn was seen.
func (c *backtestCommand) Run(a *app) (err error) {
	switch {
	case c.Simulate && (c.Store != "" || c.Horizon != nil || c.Rule != nil || c.Warmup != nil || c.Splits != nil):
		return engine.Errorf(engine.CodeInvalid, "--simulate goes with --seed and --out alone: it has no store")
	case c.Simulate:
		return c.simulate(a)
	case c.Store == "":
		return engine.Errorf(engine.CodeInvalid, "name a store with --store, or simulate customers with --simulate")
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
	request := jobs.BacktestRequest{
		Store: store, HorizonDays: c.Horizon, RuleDays: c.Rule, WarmupDays: c.Warmup, Seed: c.Seed, Trigger: engine.TriggerCLI,
	}
	if c.Splits != nil {
		if request.Splits = *c.Splits; request.Splits == 0 {
			return engine.Errorf(engine.CodeInvalid, "--splits must be from 1 to %d", backtest.MaxSplits)
		}
	}
	run, err := o.queue.Backtest(a.ctx, request)
	if err != nil {
		return err
	}
	if run, err = a.work(o, run, "backtest"); err != nil {
		return err
	}
	found, err := o.runner.BacktestResult(a.ctx, run)
	if err != nil {
		return err
	}
	result := backtestResult{RunID: run.ID, Store: store.Key, Result: found, Files: []string{}, Seconds: seconds(began, a.now())}
	result.Files, err = c.write("backtest", found, func(place report.Place) string { return report.Markdown(store.Key, found, place) })
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) { result.describe(w) })
}

// write puts a page, its charts and the figures into the folder that is asked for, and gives the files' paths, the page first.
func (c *backtestCommand) write(name string, figures any, page func(report.Place) string) (files []string, err error) {
	if c.Out == "" {
		return []string{}, nil
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return nil, cannotWrite(c.Out, err)
	}
	put := func(name string, body []byte) string {
		path := filepath.Join(c.Out, name)
		if writeErr := os.WriteFile(path, body, 0o644); writeErr != nil {
			err = errors.Join(err, cannotWrite(path, writeErr))
		}
		return path
	}
	var charts []string
	text := page(func(name string, svg []byte) string {
		charts = append(charts, put(name, svg))
		return name
	})
	body, jsonErr := json.MarshalIndent(figures, "", "  ")
	if jsonErr != nil {
		return nil, jsonErr
	}
	files = append([]string{put(name+".md", []byte(text)), put(name+".json", append(body, '\n'))}, charts...)
	return files, err
}

// simulationResult is what a simulation prints.
type simulationResult struct {
	*backtest.Simulation
	Files   []string `json:"files"`
	Seconds float64  `json:"seconds"`
}

func (c *backtestCommand) simulate(a *app) error {
	settings, err := c.Settings.jobs()
	if err != nil {
		return err
	}
	began, seed := a.now(), uint64(1)
	if c.Seed != nil {
		seed = *c.Seed
	}
	found, err := backtest.Simulate(a.ctx, settings.Params, seed)
	if err != nil {
		return err
	}
	result := simulationResult{Simulation: found, Seconds: seconds(began, a.now())}
	result.Files, err = c.write("simulation", found, func(place report.Place) string { return report.Simulation(found, place) })
	if err != nil {
		return err
	}
	return a.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s simulated customers, seed %d; at %.0f %% false alarms a year:\n", number(int64(found.Customers)), seed, 100*backtest.SimulatedFalseAlarms)
		fmt.Fprintf(w, "%-22s %28s %28s %28s\n", "detector", "stop: mean days, seen", "halving", "fade")
		for i := range found.Detectors {
			d := &found.Detectors[i]
			fmt.Fprintf(w, "%-22s", d.Name)
			for _, change := range []string{synth.Stop, synth.Halving, synth.Fade} {
				delay := d.Delay(backtest.SimulatedFalseAlarms, change, 0)
				fmt.Fprintf(w, " %28s", fmt.Sprintf("%.0f, %.0f %%", delay.Mean, 100*delay.Seen))
			}
			fmt.Fprintln(w)
		}
		if len(result.Files) > 0 {
			fmt.Fprintf(w, "the page is %s\n", result.Files[0])
		}
	})
}

func cannotWrite(path string, err error) error {
	reason := err
	if fault, ok := errors.AsType[*fs.PathError](err); ok {
		reason = fault.Err
	}
	return engine.Errorf(engine.CodeInvalid, "%s cannot be written: %v; choose another folder with --out", path, reason)
}

func (r *backtestResult) describe(w io.Writer) {
	fmt.Fprintf(w, "%s: churn is %d days without a purchase; %s customers judged on %d Sundays from %s to %s, seed %d\n",
		r.Store, r.HorizonDays, number(int64(r.Customers)), r.Weeks, r.From, r.To, r.Result.Seed)
	fmt.Fprintf(w, "%s gaps between purchases, of which %s were churn; the rule of %d days is right in %.0f %%\n",
		number(int64(r.Gaps)), number(int64(r.Churned)), r.RuleDays, 100*r.Rule)
	fmt.Fprintf(w, "%-22s %21s  %22s  %6s  %s\n", "detector", "days before the rule", "precision, %", "early", "Brier")
	for i := range r.Detectors {
		d := &r.Detectors[i]
		all := d.Class(backtest.CadenceAll)
		lead, precision, brier := "-", "-", "-"
		if all.Lead != nil {
			lead = fmt.Sprintf("%.1f (%.1f to %.1f)", all.Lead.Value, all.Lead.Low, all.Lead.High)
		}
		if all.Precision != nil {
			precision = fmt.Sprintf("%.0f (%.0f to %.0f)", 100*all.Precision.Value, 100*all.Precision.Low, 100*all.Precision.High)
		}
		if all.Brier != nil {
			brier = fmt.Sprintf("%.4f", *all.Brier)
		}
		fmt.Fprintf(w, "%-22s %21s  %22s  %4.0f %%  %s\n", d.Name, lead, precision, 100*all.Early, brier)
	}
	if n := len(r.Splits); n > 0 {
		fmt.Fprintf(w, "over %d divisions: mean (least to most)\n", n)
		for i := range r.Detectors {
			name := r.Detectors[i].Name
			lead := r.DetectorSpread(name, func(d *backtest.SplitDetector) *float64 { return d.Lead })
			fmt.Fprintf(w, "%-22s %21s\n", name, fmt.Sprintf("%.1f (%.1f to %.1f)", lead.Mean, lead.Least, lead.Most))
		}
	}
	if r.Everybody != nil {
		fmt.Fprintf(w, "churn risk: Brier %.4f, calibration error %.3f; of everybody who had bought %.4f, %.3f\n",
			r.Calibration.Brier, r.Calibration.ECE, r.Everybody.Brier, r.Everybody.ECE)
	}
	if len(r.Files) > 0 {
		fmt.Fprintf(w, "the page is %s\n", r.Files[0])
	}
}
