package fit

import (
	"context"
	"fmt"
	"math"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/scale"
)

const (
	// exceptionalValue is how many times the median value makes a customer exceptionally valuable.
	exceptionalValue = 10
	// minExceptional is the least number of customers that are a group.
	minExceptional = 2
	// leastValue stands for a value of nothing or less where its logarithm is taken, in the store's currency.
	leastValue = 0.01
)

// repeatCustomers clusters the customers with two or more purchases by how many there were, how often and of what value. A very
// small, very valuable group cannot come of that, since balance counts in the choice of k: it is set apart afterwards, by
// exceptional. A previous model's k is kept as on the axes.
func repeatCustomers(ctx context.Context, p engine.Params, seed uint64, t *engine.Table, previous *engine.Model) (*engine.PartReport, error) {
	f := axisFit{
		axis: &engine.RepeatAxis, table: repeatTable(t), width: len(engine.RepeatAxis.Features), params: p, seed: axisSeed(seed, engine.RepeatAxis.Key),
		stage: func(engine.RunStage) {},
	}
	if previous != nil && previous.Repeat != nil && previous.Repeat.K > 0 {
		f.previous = &engine.AxisModel{Fit: &engine.FitReport{K: previous.Repeat.K}} // all that a report keeps
	}
	r, members, err := f.report(ctx)
	if err != nil || r.Status != engine.AxisOn {
		return r, err
	}
	set := f.exceptional()
	if len(set) < minExceptional {
		return r, nil
	}
	group := int16(f.model.Leaves)
	for _, i := range set {
		members.leaf[i] = group
	}
	f.describe(r, members)
	return r, nil
}

// repeatTable has the features of RepeatAxis for the customers with two or more purchases.
func repeatTable(t *engine.Table) *engine.Table {
	part := &engine.Table{AsOf: t.AsOf, Columns: t.Columns}
	for i, purchases := range t.Purchases {
		if purchases < 2 {
			continue
		}
		takeOver(part, t, i)
		part.Values = append(part.Values,
			float32(math.Log(float64(purchases))),
			float32(math.Log(monthlyRate(purchases, t.TenureDays[i]))),
			float32(math.Log(max(leastValue, float64(t.ValueCents[i])/100))),
		)
	}
	return part
}

// takeOver appends all of a customer of another table but the features.
func takeOver(t, from *engine.Table, i int) {
	t.CustomerID = append(t.CustomerID, from.CustomerID[i])
	t.Purchases = append(t.Purchases, from.Purchases[i])
	t.ValueCents = append(t.ValueCents, from.ValueCents[i])
	t.TenureDays = append(t.TenureDays, from.TenureDays[i])
}

// exceptional lists the customers, as places in eligible, who fit no cluster (further from every centre than 99 % of
// the fitted, before winsorising) and are worth at least ten times the median of them all.
func (f *axisFit) exceptional() []int32 {
	cents := make([]int64, len(f.eligible))
	for i, row := range f.eligible {
		cents[i] = f.table.ValueCents[row]
	}
	least := exceptionalValue * max(scale.Median(cents), 100*leastValue)
	scorer := engine.NewAxisScorer(f.axis, &f.model, f.params)
	var set []int32
	for i, row := range f.eligible {
		if float64(f.table.ValueCents[row]) >= least && scorer.Distance(f.values(row)) > f.model.OutlierDistance {
			set = append(set, int32(i))
		}
	}
	return set
}

// report fits a part of the customers and describes its leaves.
func (f *axisFit) report(ctx context.Context) (*engine.PartReport, membership, error) {
	if err := f.run(ctx); err != nil {
		return nil, membership{}, fmt.Errorf("the report on %s: %w", f.axis.Key, err)
	}
	r := &engine.PartReport{Status: f.model.Status, Reason: f.model.Reason, Customers: f.model.Eligible, Features: []string{}, Segments: []engine.SubSegment{}}
	if f.model.Status != engine.AxisOn {
		return r, membership{}, nil
	}
	for _, j := range f.model.FeaturesOn() {
		r.Features = append(r.Features, f.axis.Features[j].Key)
	}
	if f.model.Fit != nil {
		r.K = f.model.Fit.K
	}
	f.nameLeaves()
	members, err := f.scoreAll(ctx, &f.model, f.params)
	if err != nil {
		return nil, membership{}, err
	}
	f.describe(r, members)
	return r, members, nil
}

// nameLeaves names the leaves alone: names of what is above them would only be taken.
func (f *axisFit) nameLeaves() {
	taken := make(map[string]bool)
	for i := range f.model.Segments {
		if s := &f.model.Segments[i]; s.IsLeaf() {
			s.Name = freeName(&f.model, f.axis, i, taken)
			taken[s.Name] = true
		}
	}
}

// describe fills in the leaves with their members. Whoever stands at the leaf after the last is exceptional; nobody may be.
func (f *axisFit) describe(r *engine.PartReport, members membership) {
	starts, order := members.byLeaf(f.model.Leaves + 1)
	p := profiler{table: f.table, eligible: f.eligible}
	add := func(of *engine.Segment, s engine.SubSegment, leaf int) {
		group := order[starts[leaf]:starts[leaf+1]]
		if len(group) == 0 {
			return
		}
		s.Stratum, s.Members, s.Share = of.Stratum, len(group), float64(len(group))/float64(len(f.eligible))
		if s.Profile = of.Profile; len(group) != of.Members {
			s.Profile = p.profile(group)
			s.Profile.Features = featureProfiles(&f.model, f.axis, of.Center, f.rawMeans(of, group))
		}
		r.Segments = append(r.Segments, s)
	}
	r.Segments = r.Segments[:0]
	roots := 0
	for i := range f.model.Segments {
		s := &f.model.Segments[i]
		if s.Parent < 0 {
			roots++
		}
		if s.IsLeaf() {
			add(s, engine.SubSegment{Path: s.Path, Name: s.Name, StopReason: f.model.StopReason(i), Division: s.Division}, s.Leaf)
		}
	}
	var exceptional []int32
	for _, i := range order[starts[f.model.Leaves]:] {
		exceptional = append(exceptional, f.eligible[i])
	}
	add(&engine.Segment{Stratum: engine.StratumExceptional, Center: f.mean(exceptional)}, engine.SubSegment{
		Path: fmt.Sprintf("seg_%d", roots), Name: stratumNames[engine.StratumExceptional], StopReason: string(engine.StratumExceptional),
	}, f.model.Leaves)
}

// OneTimeShare is the share of the one-time buyers from which a group of them is divided.
const OneTimeShare = 0.25

// OneTimeAxis is what one axis says about the customers with one purchase.
type OneTimeAxis struct {
	Axis int // index in Axes
	engine.PartReport
	Roots, Leaves Partition // before and after subdivision
}

// Partition is how customers are divided into groups.
type Partition struct {
	Groups       int
	LargestShare float64 // of the largest group, 0 to 1; identical vectors left out, which nothing can divide
	// Variance is the mean squared distance of a customer from the mean of the group, summed over the standardised features.
	Variance float64
}

// OneTimeBuyers clusters the customers with one purchase among themselves on every axis that needs no second one, and
// divides what holds over a quarter of them. An axis whose features say nothing of a single purchase has the status for it.
func OneTimeBuyers(ctx context.Context, p engine.Params, seed uint64, t *engine.Table) ([]OneTimeAxis, error) {
	p.Hierarchical, p.MaxShare = true, min(p.MaxShare, OneTimeShare)
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	part := &engine.Table{AsOf: t.AsOf, Columns: t.Columns}
	for i, purchases := range t.Purchases {
		if purchases == 1 {
			takeOver(part, t, i)
			part.Values = append(part.Values, t.Row(i)...)
		}
	}
	var axes []OneTimeAxis
	for i := range engine.Axes {
		if engine.Axes[i].MinPurchases == 1 {
			axes = append(axes, OneTimeAxis{Axis: i})
		}
	}
	err := sideBySide(ctx, len(axes), func(ctx context.Context, i int) error {
		axis := &engine.Axes[axes[i].Axis]
		f := axisFit{axis: axis, table: part, width: engine.FeatureCount, params: p, seed: axisSeed(seed, axis.Key), stage: func(engine.RunStage) {}}
		r, _, err := f.report(ctx)
		if err != nil {
			return err
		}
		axes[i].PartReport = *r
		axes[i].Roots = partitionOf(&f.model, func(s *engine.Segment) bool { return s.Parent < 0 })
		axes[i].Leaves = partitionOf(&f.model, (*engine.Segment).IsLeaf)
		return nil
	})
	return axes, err
}

// partitionOf measures the segments that belong to a cut of the tree, those without members left out.
func partitionOf(a *engine.AxisModel, belongs func(*engine.Segment) bool) Partition {
	var p Partition
	for i := range a.Segments {
		s := &a.Segments[i]
		if !belongs(s) || s.Members == 0 {
			continue
		}
		p.Groups++
		p.Variance += s.Share * s.Division.Variance
		if s.Stratum != engine.StratumIdentical {
			p.LargestShare = max(p.LargestShare, s.Share)
		}
	}
	return p
}
