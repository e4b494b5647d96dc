package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/fit"
)

type segmentsCommand struct {
	Settings
	Store   string `required:"" placeholder:"KEY" help:"The store."`
	Axis    string `placeholder:"KEY" help:"This axis alone, for example purchase_frequency."`
	Repeat  bool   `xor:"report" help:"The groups of customers with two or more purchases instead."`
	OneTime bool   `xor:"report" help:"The groups of customers with one purchase instead, before and after those of over a quarter are divided."`
	Seed    uint64 `default:"1" placeholder:"N" help:"The seed of --one-time; the same seed and orders give the same groups."`
	AsOf    string `placeholder:"DATE" help:"With --one-time: what was ordered before this day; the store's now unless set."`
}

// leafResult is a leaf with what its members have in common; values are in the store's currency.
type leafResult struct {
	Path           string  `json:"path"`
	Name           string  `json:"name"`
	Size           int     `json:"size"`
	Share          float64 `json:"share"`
	MinOrders      int     `json:"min_orders"`
	MaxOrders      int     `json:"max_orders"`
	MedianOrders   float64 `json:"median_orders"`
	OrdersPerMonth float64 `json:"orders_per_month"`
	MedianValue    float64 `json:"median_value"`
	TotalValue     float64 `json:"total_value"`
	StopReason     string  `json:"stop_reason"`
	Stratum        *string `json:"stratum"`
}

// axisLeaves is an axis with its leaves; reason is null where it is ON, and k where no model chose one.
type axisLeaves struct {
	Key       string            `json:"key"`
	Name      string            `json:"name"`
	Status    engine.AxisStatus `json:"status"`
	Reason    *string           `json:"reason"`
	Customers int               `json:"customers"`
	K         *int              `json:"k"`
	Leaves    []leafResult      `json:"leaves"`
}

type segmentsResult struct {
	Store        string       `json:"store"`
	ModelVersion int          `json:"model_version"`
	AsOf         engine.Date  `json:"as_of"`
	Customers    int          `json:"customers"`
	Axes         []axisLeaves `json:"axes"`
}

type repeatResult struct {
	Store        string            `json:"store"`
	ModelVersion int               `json:"model_version"`
	AsOf         engine.Date       `json:"as_of"`
	Status       engine.AxisStatus `json:"status"`
	Reason       *string           `json:"reason"`
	Customers    int               `json:"customers"` // with two or more purchases
	Features     []string          `json:"features"`
	K            *int              `json:"k"`
	Segments     []leafResult      `json:"segments"`
}

// partition is one column group of the table of one-time buyers.
type partition struct {
	Groups       int     `json:"groups"`
	LargestShare float64 `json:"largest_share"` // identical vectors left out
	Variance     float64 `json:"variance"`
}

type oneTimeAxis struct {
	axisLeaves
	Features []string  `json:"features"`
	Before   partition `json:"before"`
	After    partition `json:"after"`
}

type oneTimeResult struct {
	Store      string        `json:"store"`
	AsOf       engine.Date   `json:"as_of"`
	Seed       uint64        `json:"seed"`
	Customers  int           `json:"customers"` // all who bought
	OneTime    int           `json:"one_time_buyers"`
	ShareLimit float64       `json:"share_limit"`
	Axes       []oneTimeAxis `json:"axes"`
}

// Run lists segments.
func (c *segmentsCommand) Run(a *app) (err error) {
	only, err := c.check()
	if err != nil {
		return err
	}
	asOf, err := day(c.AsOf, "as-of")
	if err != nil {
		return err
	}
	o, err := a.office(&c.Settings)
	if err != nil {
		return err
	}
	defer closing(o, &err)
	store, err := o.db.StoreByKey(a.ctx, c.Store)
	if err != nil {
		return err
	}
	if c.OneTime {
		report, err := o.runner.OneTimeBuyers(a.ctx, store, asOf, c.Seed)
		if err != nil {
			return err
		}
		result := newOneTimeResult(store.Key, c.Seed, report.Customers, report.AsOf, report.Axes, only)
		return a.print(result, result.describe)
	}
	model, err := o.db.NewestModel(a.ctx, store.ID)
	if err != nil {
		return err
	}
	if c.Repeat {
		if model.Repeat == nil {
			return engine.Errorf(engine.CodeNotFound, "model %d has no report on repeat customers: run recluster", model.Version)
		}
		result := newRepeatResult(store.Key, model.Model)
		return a.print(result, result.describe)
	}
	result := newSegmentsResult(store.Key, model.Model, only)
	return a.print(result, result.describe)
}

// check refuses flags that do not go together, and gives the axis that is asked for, -1 for all.
func (c *segmentsCommand) check() (axis int, err error) {
	if c.AsOf != "" && !c.OneTime {
		return 0, engine.Errorf(engine.CodeInvalid, "--as-of goes with --one-time: the segments of a model are as of its own day")
	}
	if c.Axis == "" {
		return -1, nil
	}
	if c.Repeat {
		return 0, engine.Errorf(engine.CodeInvalid, "--axis does not go with --repeat: its groups are those of no axis")
	}
	axis, ok := engine.AxisIndex(c.Axis)
	if !ok {
		return 0, engine.Errorf(engine.CodeInvalid, "there is no axis %q; recluster --json lists the keys", c.Axis)
	}
	if c.OneTime && engine.Axes[axis].MinPurchases > 1 {
		return 0, engine.Errorf(engine.CodeInvalid, "the axis %s says nothing of one purchase", c.Axis)
	}
	return axis, nil
}

func newLeafResult(path, name string, stratum engine.Stratum, members int, share float64, stop string, p *engine.Profile) leafResult {
	return leafResult{
		Path: path, Name: name, Size: members, Share: share, MinOrders: p.MinOrders, MaxOrders: p.MaxOrders,
		MedianOrders: p.MedianOrders, OrdersPerMonth: p.OrdersPerMonth,
		MedianValue: float64(p.MedianValueCents) / 100, TotalValue: float64(p.TotalValueCents) / 100,
		StopReason: stop, Stratum: orNil(string(stratum)),
	}
}

func newSegmentsResult(store string, m *engine.Model, only int) segmentsResult {
	result := segmentsResult{Store: store, ModelVersion: m.Version, AsOf: m.AsOf, Customers: m.Customers, Axes: []axisLeaves{}}
	for i := range m.Axes {
		if only >= 0 && i != only {
			continue
		}
		axis := &m.Axes[i]
		r := newAxisLeaves(i, axis.Status, axis.Reason, axis.Eligible)
		if axis.Fit != nil {
			r.K = &axis.Fit.K
		}
		for j := range axis.Segments {
			if s := &axis.Segments[j]; s.IsLeaf() {
				r.Leaves = append(r.Leaves, newLeafResult(s.Path, s.Name, s.Stratum, s.Members, s.Share, axis.StopReason(j), &s.Profile))
			}
		}
		result.Axes = append(result.Axes, r)
	}
	return result
}

func newAxisLeaves(axis int, status engine.AxisStatus, reason engine.AxisReason, customers int) axisLeaves {
	return axisLeaves{
		Key: engine.Axes[axis].Key, Name: engine.Axes[axis].Name, Status: status, Reason: orNil(string(reason)),
		Customers: customers, Leaves: []leafResult{},
	}
}

func subSegmentResults(segments []engine.SubSegment) []leafResult {
	list := []leafResult{}
	for i := range segments {
		s := &segments[i]
		list = append(list, newLeafResult(s.Path, s.Name, s.Stratum, s.Members, s.Share, s.StopReason, &s.Profile))
	}
	return list
}

func newRepeatResult(store string, m *engine.Model) repeatResult {
	r := m.Repeat
	return repeatResult{
		Store: store, ModelVersion: m.Version, AsOf: m.AsOf, Status: r.Status, Reason: orNil(string(r.Reason)), Customers: r.Customers,
		Features: r.Features, K: orNil(r.K), Segments: subSegmentResults(r.Segments),
	}
}

func newOneTimeResult(store string, seed uint64, customers int, asOf engine.Date, axes []fit.OneTimeAxis, only int) oneTimeResult {
	result := oneTimeResult{Store: store, AsOf: asOf, Seed: seed, Customers: customers, ShareLimit: fit.OneTimeShare, Axes: []oneTimeAxis{}}
	for i := range axes {
		axis := &axes[i]
		result.OneTime = axis.Customers
		if only >= 0 && axis.Axis != only {
			continue
		}
		r := oneTimeAxis{
			axisLeaves: newAxisLeaves(axis.Axis, axis.Status, axis.Reason, axis.Customers), Features: axis.Features,
			Before: partition(axis.Roots), After: partition(axis.Leaves),
		}
		r.K, r.Leaves = orNil(axis.K), subSegmentResults(axis.Segments)
		result.Axes = append(result.Axes, r)
	}
	return result
}

func (r segmentsResult) describe(w io.Writer) {
	for _, axis := range r.Axes {
		if axis.Status != engine.AxisOn {
			fmt.Fprintf(w, "%s is off: %s\n\n", axis.Name, *axis.Reason)
			continue
		}
		fmt.Fprintf(w, "%s, %s customers\n", axis.Name, number(int64(axis.Customers)))
		describeLeaves(w, axis.Leaves)
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s: model %d as of %s\n", r.Store, r.ModelVersion, r.AsOf)
}

func (r repeatResult) describe(w io.Writer) {
	if r.Status != engine.AxisOn {
		fmt.Fprintf(w, "%s customers of %s bought more than once; no groups: %s\n", number(int64(r.Customers)), r.Store, *r.Reason)
		return
	}
	fmt.Fprintf(w, "%s customers of %s bought more than once (model %d as of %s)\n", number(int64(r.Customers)), r.Store, r.ModelVersion, r.AsOf)
	describeLeaves(w, r.Segments)
}

// describeLeaves prints a table.
func describeLeaves(w io.Writer, leaves []leafResult) {
	fmt.Fprintf(w, "  %-10s %9s %7s %11s %7s %8s %12s %14s  %-16s %s\n", "id", "size", "share", "orders", "median", "a month", "value median", "in all", "stopped by", "name")
	for _, l := range leaves {
		fmt.Fprintf(w, "  %-10s %9s %5.1f %% %11s %7.4g %8.2f %12.2f %14.2f  %-16s %s\n", l.Path, number(int64(l.Size)), percentScale*l.Share,
			fmt.Sprintf("%d-%d", l.MinOrders, l.MaxOrders), l.MedianOrders, l.OrdersPerMonth, l.MedianValue, l.TotalValue, words(l.StopReason), l.Name)
	}
}

// words writes a constant such as NO_USEFUL_SPLIT for people.
func words(constant string) string { return strings.ToLower(strings.ReplaceAll(constant, "_", " ")) }

func (r oneTimeResult) describe(w io.Writer) {
	fmt.Fprintf(w, "%s of %s customers of %s bought once (as of %s)\n", number(int64(r.OneTime)), number(int64(r.Customers)), r.Store, r.AsOf)
	fmt.Fprintf(w, "%-24s %-31s %s\n", "", "before: roots alone", "after: divided over 25 %")
	fmt.Fprintf(w, "%-24s %6s %11s %10s    %6s %11s %10s\n", "", "groups", "largest", "variance", "leaves", "largest", "variance")
	for _, axis := range r.Axes {
		if axis.Status != engine.AxisOn {
			fmt.Fprintf(w, "%-24s off: %s\n", axis.Name, *axis.Reason)
			continue
		}
		b, f := axis.Before, axis.After
		fmt.Fprintf(w, "%-24s %6d %9.1f %% %10.3f    %6d %9.1f %% %10.3f\n", axis.Name, b.Groups, percentScale*b.LargestShare, b.Variance, f.Groups, percentScale*f.LargestShare, f.Variance)
		for _, l := range axis.Leaves {
			switch {
			case l.Stratum != nil && *l.Stratum == string(engine.StratumIdentical):
				fmt.Fprintf(w, "    %s, %q: %.1f %%, identical vectors, left out of the largest\n", l.Path, l.Name, percentScale*l.Share)
			case l.Share > r.ShareLimit:
				fmt.Fprintf(w, "    %s, %q: %.1f %%, stopped by: %s\n", l.Path, l.Name, percentScale*l.Share, words(l.StopReason))
			}
		}
	}
}
