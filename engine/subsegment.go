package engine

import (
	"context"
	"fmt"
	"math"

	"github.com/quimbi/quimbi/engine/scale"
)

// Two parts of the customers are clustered on their own, apart from the thumbprint: those who came back, and those who
// bought once, of whom most axes see one large group.

// PartReport is what was found in a part of the customers. Unless Status is ON there are no segments.
type PartReport struct {
	Status    AxisStatus   `json:"status"`
	Reason    AxisReason   `json:"reason,omitempty"`
	Customers int          `json:"customers"` // in the part
	Features  []string     `json:"features"`  // keys of those in use
	K         int          `json:"k"`         // clusters at the top; 0 where strata are all there is
	Segments  []SubSegment `json:"segments"`  // leaves in the order of the tree, largest first, then the exceptional
}

// SubSegment is a leaf of a report's tree.
type SubSegment struct {
	Path       string   `json:"path"` // in the report's tree, for example seg_0.1
	Name       string   `json:"name"`
	Stratum    Stratum  `json:"stratum,omitempty"`
	Members    int      `json:"members"`
	Share      float64  `json:"share"` // of the part, 0 to 1
	StopReason string   `json:"stopReason"`
	Division   Division `json:"division"`
	Profile    Profile  `json:"profile"`
}

// RepeatAxis is what repeat customers are clustered by in their report. It is no axis of a thumbprint.
var RepeatAxis = Axis{
	Key: "repeat_customers", Name: "Repeat customers", MinPurchases: 2,
	Description: "How many purchases, how often, and of what value in all.",
	Features: []Feature{
		{Key: "purchases", Name: "Purchases", Unit: "purchases", Scale: ScaleLog, Few: "few purchases", Many: "many purchases"},
		{Key: "purchases_per_month", Name: "Purchases a month", Unit: "purchases a month", Scale: ScaleLog, Few: "seldom", Many: "often"},
		{Key: "total_value", Name: "Value of all orders less refunds", Unit: "currency", Scale: ScaleLog, Few: "low total", Many: "high total"},
	},
}

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
func repeatCustomers(ctx context.Context, p Params, seed uint64, t *Table, previous *Model) (*PartReport, error) {
	f := axisFit{
		axis: &RepeatAxis, table: repeatTable(t), width: len(RepeatAxis.Features), params: p, seed: axisSeed(seed, RepeatAxis.Key),
		stage: func(RunStage) {},
	}
	if previous != nil && previous.Repeat != nil && previous.Repeat.K > 0 {
		f.previous = &AxisModel{Fit: &FitReport{K: previous.Repeat.K}} // all that a report keeps
	}
	r, members, err := f.report(ctx)
	if err != nil || r.Status != AxisOn {
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
func repeatTable(t *Table) *Table {
	part := &Table{AsOf: t.AsOf, Columns: t.Columns}
	for i, purchases := range t.Purchases {
		if purchases < 2 {
			continue
		}
		part.takeOver(t, i)
		part.Values = append(part.Values,
			float32(math.Log(float64(purchases))),
			float32(math.Log(monthlyRate(purchases, t.TenureDays[i]))),
			float32(math.Log(max(leastValue, float64(t.ValueCents[i])/100))),
		)
	}
	return part
}

// takeOver appends all of a customer of another table but the features.
func (t *Table) takeOver(from *Table, i int) {
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
	scorer := newAxisScorer(f.axis, &f.model, f.params)
	var set []int32
	for i, row := range f.eligible {
		if float64(f.table.ValueCents[row]) >= least && scorer.distance(f.values(row)) > f.model.OutlierDistance {
			set = append(set, int32(i))
		}
	}
	return set
}

// report fits a part of the customers and describes its leaves.
func (f *axisFit) report(ctx context.Context) (*PartReport, membership, error) {
	if err := f.run(ctx); err != nil {
		return nil, membership{}, fmt.Errorf("the report on %s: %w", f.axis.Key, err)
	}
	r := &PartReport{Status: f.model.Status, Reason: f.model.Reason, Customers: f.model.Eligible, Features: []string{}, Segments: []SubSegment{}}
	if f.model.Status != AxisOn {
		return r, membership{}, nil
	}
	for _, j := range f.model.featuresOn() {
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
			s.Name = f.model.freeName(f.axis, i, taken)
			taken[s.Name] = true
		}
	}
}

// describe fills in the leaves with their members. Whoever stands at the leaf after the last is exceptional; nobody may be.
func (f *axisFit) describe(r *PartReport, members membership) {
	starts, order := members.byLeaf(f.model.Leaves + 1)
	p := profiler{table: f.table, eligible: f.eligible}
	add := func(of *Segment, s SubSegment, leaf int) {
		group := order[starts[leaf]:starts[leaf+1]]
		if len(group) == 0 {
			return
		}
		s.Stratum, s.Members, s.Share = of.Stratum, len(group), float64(len(group))/float64(len(f.eligible))
		if s.Profile = of.Profile; len(group) != of.Members {
			s.Profile = p.profile(group)
			s.Profile.Features = f.model.featureProfiles(f.axis, of.Center, f.rawMeans(of, group))
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
			add(s, SubSegment{Path: s.Path, Name: s.Name, StopReason: f.model.StopReason(i), Division: s.Division}, s.Leaf)
		}
	}
	var exceptional []int32
	for _, i := range order[starts[f.model.Leaves]:] {
		exceptional = append(exceptional, f.eligible[i])
	}
	add(&Segment{Stratum: StratumExceptional, Center: f.mean(exceptional)}, SubSegment{
		Path: fmt.Sprintf("seg_%d", roots), Name: stratumNames[StratumExceptional], StopReason: string(StratumExceptional),
	}, f.model.Leaves)
}

// OneTimeShare is the share of the one-time buyers from which a group of them is divided.
const OneTimeShare = 0.25

// OneTimeAxis is what one axis says about the customers with one purchase.
type OneTimeAxis struct {
	Axis int // index in Axes
	PartReport
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
func OneTimeBuyers(ctx context.Context, p Params, seed uint64, t *Table) ([]OneTimeAxis, error) {
	p.Hierarchical, p.MaxShare = true, min(p.MaxShare, OneTimeShare)
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	part := &Table{AsOf: t.AsOf, Columns: t.Columns}
	for i, purchases := range t.Purchases {
		if purchases == 1 {
			part.takeOver(t, i)
			part.Values = append(part.Values, t.Row(i)...)
		}
	}
	var axes []OneTimeAxis
	for i := range Axes {
		if Axes[i].MinPurchases == 1 {
			axes = append(axes, OneTimeAxis{Axis: i})
		}
	}
	err := sideBySide(ctx, len(axes), func(ctx context.Context, i int) error {
		axis := &Axes[axes[i].Axis]
		f := axisFit{axis: axis, table: part, width: FeatureCount, params: p, seed: axisSeed(seed, axis.Key), stage: func(RunStage) {}}
		r, _, err := f.report(ctx)
		if err != nil {
			return err
		}
		axes[i].PartReport = *r
		axes[i].Roots = f.model.partition(func(s *Segment) bool { return s.Parent < 0 })
		axes[i].Leaves = f.model.partition((*Segment).IsLeaf)
		return nil
	})
	return axes, err
}

// partition measures the segments that belong to a cut of the tree, those without members left out.
func (a *AxisModel) partition(belongs func(*Segment) bool) Partition {
	var p Partition
	for i := range a.Segments {
		s := &a.Segments[i]
		if !belongs(s) || s.Members == 0 {
			continue
		}
		p.Groups++
		p.Variance += s.Share * s.Division.Variance
		if s.Stratum != StratumIdentical {
			p.LargestShare = max(p.LargestShare, s.Share)
		}
	}
	return p
}

// StopReason says why a leaf was kept whole: SIZE, DEPTH, COHESIVE or NO_USEFUL_SPLIT where the hierarchy looked at it; the
// kind of a stratum that cannot be divided; NO_STRUCTURE where no feature varies; NOT_CLUSTERED for those beside the strata
// where they are too few or too alike to be clustered; HIERARCHY_OFF. It is empty for a segment that was divided.
func (a *AxisModel) StopReason(i int) string {
	s := &a.Segments[i]
	switch {
	case len(s.Children) > 0:
		return ""
	case s.Division.StoppedBy != "":
		return s.Division.StoppedBy
	case s.Stratum == StratumNeverReturned || s.Stratum == StratumIdentical:
		return string(s.Stratum)
	case len(s.Center) == 0:
		return "NO_STRUCTURE"
	case s.Stratum == StratumNone && a.Fit == nil:
		return "NOT_CLUSTERED"
	default:
		return "HIERARCHY_OFF"
	}
}
