package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/jobs"
)

type reclusterCommand struct {
	Settings
	Store  string  `required:"" placeholder:"KEY" help:"The store."`
	Seed   *uint64 `placeholder:"N" help:"The seed; the same seed and orders give the same model. Drawn unless set."`
	AsOf   string  `placeholder:"DATE" help:"Fit on what was ordered before this day; the store's now unless set."`
	K      int     `placeholder:"N" help:"This number of segments on every axis."`
	DryRun bool    `help:"Fit, but keep nothing."`
}

// axisResult is one axis of what recluster prints.
type axisResult struct {
	Key          string            `json:"key"`
	Name         string            `json:"name"`
	Status       engine.AxisStatus `json:"status"`
	Reason       *string           `json:"reason"`
	K            *int              `json:"k"`
	Segments     int               `json:"segments"` // leaves: those that memberships are given for
	Silhouette   *float64          `json:"silhouette"`
	Balance      *float64          `json:"balance"`
	LargestShare *float64          `json:"largest_share"`
	Iterations   *int              `json:"iterations"`
	Converged    *bool             `json:"converged"`
}

type reclusterResult struct {
	RunID        string       `json:"run_id"`
	Store        string       `json:"store"`
	ModelVersion *int         `json:"model_version"`
	Customers    int          `json:"customers"`
	Axes         []axisResult `json:"axes"`
	Seconds      float64      `json:"seconds"`
}

// Run fits a model.
func (c *reclusterCommand) Run(a *app) (err error) {
	asOf, err := day(c.AsOf, "as-of")
	if err != nil {
		return err
	}
	o, err := a.office(&c.Settings)
	if err != nil {
		return err
	}
	defer closing(o, &err)
	began := a.now()
	params := o.settings.Params
	params.K = c.K
	if err := params.Validate(); err != nil {
		return err
	}
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return err
	}
	run, report, err := a.recluster(o, jobs.ReclusterRequest{Store: store, Params: params, Seed: c.Seed, AsOf: asOf, DryRun: c.DryRun, Trigger: engine.TriggerCLI})
	if err != nil {
		return err
	}
	result := reclusterResult{RunID: run.ID, Store: store.Key, ModelVersion: orNil(report.ModelVersion), Customers: report.Customers, Axes: []axisResult{}}
	if c.DryRun {
		result.Axes = axisResults(report.Tried)
	} else {
		model, err := o.db.Model(a.ctx, store.ID, report.ModelVersion)
		if err != nil {
			return err
		}
		result.Axes = axisResults(model.Model)
	}
	result.Seconds = seconds(began, a.now())
	return a.print(result, func(w io.Writer) {
		for _, axis := range result.Axes {
			if axis.Status != engine.AxisOn {
				fmt.Fprintf(w, "%-24s off: %s\n", axis.Name, *axis.Reason)
				continue
			}
			fmt.Fprintf(w, "%-24s %2d segments, the largest with %2.0f %%\n", axis.Name, axis.Segments, 100**axis.LargestShare)
		}
		if c.DryRun {
			fmt.Fprintf(w, "%s: %s customers fitted in %.1f s, nothing kept\n", store.Key, number(int64(result.Customers)), result.Seconds)
			return
		}
		fmt.Fprintf(w, "%s: model %d of %s customers in %.1f s\n", store.Key, report.ModelVersion, number(int64(result.Customers)), result.Seconds)
	})
}

func (a *app) recluster(o *office, request jobs.ReclusterRequest) (*engine.Run, jobs.ReclusterReport, error) {
	var report jobs.ReclusterReport
	run, err := o.queue.Recluster(a.ctx, request)
	if err != nil {
		return nil, report, err
	}
	if run, err = a.work(o, run, "clustering"); err != nil {
		return nil, report, err
	}
	if err := json.Unmarshal(run.Report, &report); err != nil {
		return nil, report, fmt.Errorf("reading the report of run %s: %w", run.ID, err)
	}
	return run, report, nil
}

func axisResults(model *engine.Model) []axisResult {
	results := make([]axisResult, 0, engine.AxisCount)
	for i := range model.Axes {
		axis := &model.Axes[i]
		r := axisResult{Key: engine.Axes[i].Key, Name: engine.Axes[i].Name, Status: axis.Status}
		if axis.Status != engine.AxisOn {
			reason := string(axis.Reason)
			r.Reason = &reason
			results = append(results, r)
			continue
		}
		largest, iterations, converged := 0.0, 0, true
		for j := range axis.Segments {
			if axis.Segments[j].IsLeaf() {
				r.Segments++
				largest = max(largest, axis.Segments[j].Share)
			}
		}
		if fit := axis.Fit; fit != nil {
			r.K, r.Silhouette, r.Balance = &fit.K, &fit.Silhouette, &fit.Balance
			iterations, converged = fit.Iterations, fit.Converged
		}
		r.LargestShare, r.Iterations, r.Converged = &largest, &iterations, &converged
		results = append(results, r)
	}
	return results
}
