package fit

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/scale"
)

// membership is who belongs where on an axis.
type membership struct {
	leaf []int16 // the end of the path of every eligible customer
	soft []int64 // sum of memberships of every leaf, in units of 1/10000
}

// maxSettling bounds the rounds of ordering: ties go to whoever stands first, so an order may change sizes, and a size the order.
const maxSettling = 8

// settle scores all eligible customers, puts siblings into the order of their sizes, and fills in the sizes.
func (f *axisFit) settle(ctx context.Context) (membership, error) {
	for round := 0; ; round++ {
		members, err := f.scoreAll(ctx, &f.model, f.params)
		if err != nil {
			return members, err
		}
		count(&f.model, members)
		if round == maxSettling || !sortSegments(&f.model) {
			return members, nil
		}
	}
}

// scoringBlock is the number of customers that a goroutine scores at a time.
const scoringBlock = 4096

// scoreAll scores all eligible customers under a model of the axis. Soft sizes are sums of integers, so the order of the work
// does not matter.
func (f *axisFit) scoreAll(ctx context.Context, model *engine.AxisModel, p engine.Params) (membership, error) {
	all := membership{leaf: make([]int16, len(f.eligible)), soft: make([]int64, model.Leaves)}
	blocks := make(chan int)
	var mutex sync.Mutex
	var running sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(f.eligible)/scoringBlock+1) {
		running.Go(func() {
			scorer := engine.NewAxisScorer(f.axis, model, p)
			soft := make([]int64, model.Leaves)
			for start := range blocks {
				for i := start; i < min(start+scoringBlock, len(f.eligible)); i++ {
					row := f.eligible[i]
					leaf, units := scorer.Leaf(int(f.table.Purchases[row]), f.values(row))
					all.leaf[i] = int16(leaf)
					for j, u := range units {
						soft[j] += int64(u)
					}
				}
			}
			mutex.Lock()
			defer mutex.Unlock()
			for j, u := range soft {
				all.soft[j] += u
			}
		})
	}
	for start := 0; start < len(f.eligible) && ctx.Err() == nil; start += scoringBlock {
		blocks <- start
	}
	close(blocks)
	running.Wait()
	return all, ctx.Err()
}

// compare counts the customers by their leaf under the model before and under this one.
func (f *axisFit) compare(ctx context.Context, now membership) error {
	if f.previous == nil || f.previous.Status != engine.AxisOn || f.previous.Leaves == 0 {
		return nil
	}
	before, err := f.scoreAll(ctx, f.previous, f.previousParams)
	if err != nil {
		return err
	}
	f.overlap = make(leafOverlap, f.previous.Leaves)
	for i := range f.overlap {
		f.overlap[i] = make([]int, f.model.Leaves)
	}
	for i, leaf := range now.leaf {
		if before.leaf[i] >= 0 && leaf >= 0 {
			f.overlap[before.leaf[i]][leaf]++
		}
	}
	return nil
}

// count fills in the sizes of all segments.
func count(a *engine.AxisModel, m membership) {
	members := make([]int, a.Leaves)
	for _, leaf := range m.leaf {
		members[leaf]++
	}
	for i := range a.Segments {
		s := &a.Segments[i]
		s.Members = 0
		soft := int64(0)
		for _, t := range a.Segments[i:a.Subtree(i)] {
			if t.Leaf >= 0 {
				s.Members += members[t.Leaf]
				soft += m.soft[t.Leaf]
			}
		}
		s.FuzzySize = float64(soft) / engine.MembershipUnit
		s.Share = float64(s.Members) / float64(a.Eligible)
	}
}

// sortSegments puts siblings into the order of their sizes, largest first, and tells whether anything moved.
func sortSegments(a *engine.AxisModel) bool {
	var roots []int
	for i := range a.Segments {
		if a.Segments[i].Parent < 0 {
			roots = append(roots, i)
		}
	}
	var sorted []engine.Segment
	moved := false
	var add func(siblings []int, parent int) []int
	add = func(siblings []int, parent int) []int {
		order := slices.Clone(siblings)
		slices.SortStableFunc(order, func(i, j int) int {
			p, q := &a.Segments[i], &a.Segments[j]
			switch {
			case p.Members != q.Members:
				return q.Members - p.Members
			case p.FuzzySize > q.FuzzySize:
				return -1
			case p.FuzzySize < q.FuzzySize:
				return 1
			default:
				return 0
			}
		})
		moved = moved || !slices.Equal(order, siblings)
		var places []int
		for _, i := range order {
			at := len(sorted)
			places = append(places, at)
			s := a.Segments[i]
			s.Parent = parent
			sorted = append(sorted, s)
			sorted[at].Children = add(a.Segments[i].Children, at)
		}
		return places
	}
	add(roots, -1)
	if moved {
		a.Segments = sorted
		a.NumberSegments()
	}
	return moved
}

// profile fills in what the members of every segment have in common.
func (f *axisFit) profile(m membership) {
	f.measurePercentiles()
	starts, order := m.byLeaf(f.model.Leaves)
	p := profiler{table: f.table, eligible: f.eligible}
	for i := range f.model.Segments {
		s := &f.model.Segments[i]
		first, last := f.model.LeafRange(i)
		members := order[starts[first]:starts[last+1]]
		s.Profile = p.profile(members)
		s.Profile.Features = featureProfiles(&f.model, f.axis, s.Center, f.rawMeans(s, members))
	}
	f.findRules(m)
}

// rawMeans gives the means of the features in use, as stored, in a stratum that the scale was not made of, or of those whom it
// takes for less than they are; NaN where nobody's is defined; nil for other segments. The centre is winsorised at what others
// do and would show that.
func (f *axisFit) rawMeans(s *engine.Segment, members []int32) []float64 {
	if s.Stratum == engine.StratumNone || s.Stratum == engine.StratumOnePurchase {
		return nil
	}
	means := make([]float64, len(f.on))
	for j, feature := range f.on {
		sum, defined := 0.0, 0
		for _, i := range members {
			if v := f.values(f.eligible[i])[feature]; v == v {
				sum += float64(v)
				defined++
			}
		}
		means[j] = sum / float64(defined)
	}
	return means
}

// byLeaf sorts the customers by leaf; those of leaf l stand at order[starts[l]:starts[l+1]].
func (m membership) byLeaf(leaves int) (starts []int, order []int32) {
	starts = make([]int, leaves+1)
	for _, leaf := range m.leaf {
		starts[leaf+1]++
	}
	for l := range leaves {
		starts[l+1] += starts[l]
	}
	next := slices.Clone(starts)
	order = make([]int32, len(m.leaf))
	for i, leaf := range m.leaf {
		order[next[leaf]] = int32(i)
		next[leaf]++
	}
	return starts, order
}

// measurePercentiles keeps how every feature is distributed among the eligible customers.
func (f *axisFit) measurePercentiles() {
	values := make([]float64, 0, len(f.eligible))
	for j := range f.model.Features {
		if f.model.Features[j].Status == engine.FeatureNoData {
			continue
		}
		values = values[:0]
		for _, row := range f.eligible {
			if v := f.values(row)[j]; v == v {
				values = append(values, float64(v))
			}
		}
		if len(values) == 0 {
			continue
		}
		slices.Sort(values)
		percentiles := make([]float64, percentileSteps+1)
		for p := range percentiles {
			percentiles[p] = scale.Quantile(values, float64(p)/percentileSteps)
		}
		f.model.Features[j].Percentiles = percentiles
	}
}

// profiler profiles groups of customers.
type profiler struct {
	table    *engine.Table
	eligible []int32
	orders   []int32
	values   []int64
}

// profile describes the customers at these places in eligible; the zero Profile for nobody.
func (p *profiler) profile(members []int32) engine.Profile {
	if len(members) == 0 {
		return engine.Profile{}
	}
	p.orders, p.values = p.orders[:0], p.values[:0]
	r := engine.Profile{MinOrders: math.MaxInt}
	var rate, tenure float64
	for _, i := range members {
		row := p.eligible[i]
		orders, days := int(p.table.Purchases[row]), p.table.TenureDays[row]
		r.MinOrders, r.MaxOrders = min(r.MinOrders, orders), max(r.MaxOrders, orders)
		r.TotalValueCents += p.table.ValueCents[row]
		rate += monthlyRate(p.table.Purchases[row], days)
		tenure += float64(days)
		p.orders = append(p.orders, p.table.Purchases[row])
		p.values = append(p.values, p.table.ValueCents[row])
	}
	n := float64(len(members))
	r.OrdersPerMonth = rate / n
	r.TenureMonths = tenure / n / engine.DaysPerMonth
	r.MedianOrders = scale.Median(p.orders)
	r.MedianValueCents = int64(math.Round(scale.Median(p.values)))
	return r
}

// shortestTenure is the least number of days that a monthly rate refers to: what happened within a month is no rate yet.
const shortestTenure = 30

// monthlyRate is how many purchases a month there were in a tenure of so many days.
func monthlyRate(purchases, tenureDays int32) float64 {
	return engine.DaysPerMonth * float64(purchases) / float64(max(tenureDays, shortestTenure))
}

// featureProfiles describes a centre feature by feature, most telling first: by the size of z, equal ones in the axis's order.
// raw, where not nil and defined, are the values to show in its place.
func featureProfiles(a *engine.AxisModel, axis *engine.Axis, center, raw []float64) []engine.FeatureProfile {
	var profiles []engine.FeatureProfile
	for j, f := range a.FeaturesOn() {
		model := &a.Features[f]
		stored := model.Scale().Inverse(center[j])
		if raw != nil && raw[j] == raw[j] {
			stored = raw[j]
		}
		stored = nearKnot(model.Percentiles, stored)
		percentile := percentileOf(model.Percentiles, stored)
		profiles = append(profiles, engine.FeatureProfile{
			Feature: f, Center: axis.Features[f].Shown(stored), Z: center[j],
			Percentile: percentile, Qualifier: qualifierOf(percentile),
		})
	}
	slices.SortStableFunc(profiles, func(p, q engine.FeatureProfile) int {
		switch z, y := math.Abs(p.Z), math.Abs(q.Z); {
		case z > y:
			return -1
		case z < y:
			return 1
		default:
			return 0
		}
	})
	return profiles
}

// sameValue is how near, in relation to its size and at least 1, a centre must be to a value that customers have, to be
// taken for it: features are rounded to float32, and a centre of equal values comes out of a sum.
const sameValue = 1e-6

// nearKnot gives the percentile that a value is but for rounding, else the value. Beside a point mass that makes the
// difference between its middle and its end.
func nearKnot(percentiles []float64, v float64) float64 {
	for _, p := range percentiles {
		if math.Abs(v-p) <= sameValue*max(1, math.Abs(p)) {
			return p
		}
	}
	return v
}

// percentileOf places a value among percentiles that stand at equal steps from 0 to 100, linearly between two of them,
// in the middle of those that equal it.
func percentileOf(percentiles []float64, v float64) float64 {
	if len(percentiles) < 2 {
		return 50
	}
	step := 100 / float64(len(percentiles)-1)
	below, _ := slices.BinarySearch(percentiles, v) // how many are less
	notAbove := below
	for notAbove < len(percentiles) && percentiles[notAbove] == v {
		notAbove++
	}
	switch {
	case notAbove > below:
		return step * float64(below+notAbove-1) / 2
	case below == 0:
		return 0
	case below == len(percentiles):
		return 100
	default:
		low, high := percentiles[below-1], percentiles[below]
		return step * (float64(below-1) + (v-low)/(high-low))
	}
}
