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
	"github.com/quimbi/quimbi/jobs"
)

type backtestCommand struct {
	Settings
	Store   string  `required:"" placeholder:"KEY" help:"The store."`
	Horizon *int    `placeholder:"DAYS" help:"No purchase in so many days counts as churn; the churn horizon unless set."`
	Rule    *int    `placeholder:"DAYS" help:"The rule to compare with: silent for so many days; 90 unless set."`
	Warmup  *int    `placeholder:"DAYS" help:"So many days at the beginning customers are not judged; the horizon, at most half of the time there is, unless set."`
	Seed    *uint64 `placeholder:"N" help:"It divides the customers; drawn unless set."`
	Out     string  `placeholder:"FOLDER" help:"Write the page with its charts, and the figures, to this folder: backtest.md, backtest.json and SVG files."`
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
	run, err := o.queue.Backtest(a.ctx, jobs.BacktestRequest{
		Store: store, HorizonDays: c.Horizon, RuleDays: c.Rule, WarmupDays: c.Warmup, Seed: c.Seed, Trigger: engine.TriggerCLI,
	})
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
	if c.Out != "" {
		if result.Files, err = c.write(&result); err != nil {
			return err
		}
	}
	return a.print(result, func(w io.Writer) { result.describe(w) })
}

// write puts the page, its charts and the figures into a folder, and gives the files' paths.
func (c *backtestCommand) write(result *backtestResult) (files []string, err error) {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return nil, cannotWrite(c.Out, err)
	}
	put := func(name string, body []byte) {
		path := filepath.Join(c.Out, name)
		if writeErr := os.WriteFile(path, body, 0o644); writeErr != nil {
			err = errors.Join(err, cannotWrite(path, writeErr))
		}
		files = append(files, path)
	}
	put("backtest.md", []byte(report.Markdown(result.Store, result.Result, func(name string, svg []byte) string {
		put(name, svg)
		return name
	})))
	figures, jsonErr := json.MarshalIndent(result.Result, "", "  ")
	if jsonErr != nil {
		return nil, jsonErr
	}
	put("backtest.json", append(figures, '\n'))
	return files, err
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
	if r.Everybody != nil {
		fmt.Fprintf(w, "churn risk: Brier %.4f, calibration error %.3f; of everybody who had bought %.4f, %.3f\n",
			r.Calibration.Brier, r.Calibration.ECE, r.Everybody.Brier, r.Everybody.ECE)
	}
	if len(r.Files) > 0 {
		fmt.Fprintf(w, "the page is %s\n", r.Files[len(r.Files)-2])
	}
}
