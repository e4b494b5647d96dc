package fit

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/fcm"
	"github.com/quimbi/quimbi/engine/hierarchy"
	"github.com/quimbi/quimbi/engine/kselect"
	"github.com/quimbi/quimbi/engine/scale"
)

const (
	// tooCorrelated drops the later of two features.
	tooCorrelated = 0.95
	// minClustered is the least number of customers beside the strata that are clustered.
	minClustered = 100
	// outlierQuantile of the fitted customers are no outliers.
	outlierQuantile = 0.99
	// percentileSteps is the number of steps between the percentiles that a model keeps.
	percentileSteps = 20
)

// axisFit fits one axis.
type axisFit struct {
	axis           *engine.Axis
	table          *engine.Table
	width          int // feature values of a row of the table
	params         engine.Params
	seed           uint64
	previous       *engine.AxisModel // of the model before; nil without one
	previousParams engine.Params
	stage          func(engine.RunStage)

	model    engine.AxisModel
	overlap  leafOverlap      // with previous; nil where one of them is off
	eligible []int32          // rows of the table
	strata   []engine.Segment // roots that a rule sets apart
	stratum  []int8           // for every eligible customer its place in strata, -1 without one
	on       []int            // features in use

	scaled []int32   // rows that the scale is made of: first those to be clustered, then those of stratum (a)
	rest   int       // how many of scaled are to be clustered
	z      []float64 // len(scaled) x len(on), standardised
}

// run fills in the model. The axis's status tells where it could not be fitted.
func (f *axisFit) run(ctx context.Context) error {
	f.model.Features = make([]engine.FeatureModel, len(f.axis.Features))
	for i := range f.table.Purchases {
		if ok, _ := f.axis.Eligible(int(f.table.Purchases[i])); ok && f.table.Purchases[i] > 0 {
			f.eligible = append(f.eligible, int32(i))
		}
	}
	f.model.Eligible = len(f.eligible)
	f.model.Status, f.model.Reason = f.axis.Availability(f.table.Columns)
	if f.model.Status != engine.AxisOn {
		return nil
	}
	if len(f.eligible) < engine.MinEligibleCustomers {
		return f.off(engine.AxisTooFewCustomers, engine.ReasonTooFewCustomers)
	}
	f.stage(engine.StageSelectingK)
	f.applyRule()
	if !f.openFeatures() {
		return f.off(engine.AxisOff, engine.ReasonTooFewFeatures)
	}
	if err := f.scale(); err != nil {
		return err
	}
	selection, err := f.selectK(ctx)
	if err != nil {
		return err
	}
	if selection == nil && len(f.strata) == 0 || f.allInOne() {
		return f.off(engine.AxisNotFitted, engine.ReasonNoStructure)
	}
	f.stage(engine.StageSubdividing)
	tree, roots, err := f.subdivide(ctx, selection)
	if err != nil {
		return err
	}
	f.plant(tree, roots)
	f.z = nil
	f.stage(engine.StageNaming)
	members, err := f.settle(ctx)
	if err != nil {
		return err
	}
	f.profile(members)
	if err := f.compare(ctx, members); err != nil {
		return err
	}
	f.model.OutlierDistance = f.outlierDistance()
	return nil
}

// off ends the fit without segments.
func (f *axisFit) off(status engine.AxisStatus, reason engine.AxisReason) error {
	f.model = engine.AxisModel{Status: status, Reason: reason, Eligible: f.model.Eligible, Features: f.model.Features}
	return nil
}

// values are a customer's features of the axis.
func (f *axisFit) values(row int32) []float32 {
	start := int(row)*f.width + f.axis.First
	return f.table.Values[start : start+len(f.axis.Features)]
}

// applyRule sets the stratum apart that a rule about behaviour defines.
func (f *axisFit) applyRule() {
	f.stratum = make([]int8, len(f.eligible))
	for i := range f.stratum {
		f.stratum[i] = -1
	}
	kind := f.axis.RuledStratum()
	if kind == engine.StratumNone {
		return
	}
	segment := engine.Segment{Stratum: kind}
	found := false
	for i, row := range f.eligible {
		if segment.RuledIn(int(f.table.Purchases[row]), f.values(row), nil) {
			f.stratum[i] = 0
			found = true
		}
	}
	if found {
		f.strata = append(f.strata, segment)
	}
}

// openFeatures finds the features that the store's orders define; false where too few are left for the axis. Those who
// never returned anything do not count where the features are about returns.
func (f *axisFit) openFeatures() bool {
	counted := 0
	undefined := make([]int, len(f.axis.Features))
	for i, row := range f.eligible {
		if f.stratum[i] >= 0 && f.strata[f.stratum[i]].Stratum == engine.StratumNeverReturned {
			continue
		}
		counted++
		for j, v := range f.values(row) {
			if v != v {
				undefined[j]++
			}
		}
	}
	for j := range f.model.Features {
		f.model.Features[j].Status = engine.FeatureOn
		if !f.table.Columns.Has(f.axis.Features[j].Needs) || 2*undefined[j] > counted {
			f.model.Features[j].Status = engine.FeatureNoData
		}
	}
	f.on = f.model.FeaturesOn()
	return len(f.on) >= 2 && 2*len(f.on) >= len(f.axis.Features)
}

// scale sets identical customers apart and takes the scale of the features from the others. A feature that turns out to
// be of no use leaves the comparison, and then more customers may be identical: so it goes on until nothing changes.
func (f *axisFit) scale() error {
	ruled := len(f.strata)
	for {
		f.strata = f.strata[:ruled]
		for i, s := range f.stratum {
			if int(s) >= ruled {
				f.stratum[i] = -1
			}
		}
		f.findIdentical()
		f.gather()
		columns, err := f.scaleFeatures()
		if err != nil {
			return err
		}
		f.dropCorrelated(columns)
		on := f.model.FeaturesOn()
		if len(on) == len(f.on) {
			f.standardise(columns)
			return nil
		}
		f.on = on
		if len(on) == 0 {
			return nil
		}
	}
}

// findIdentical sets apart the customers who agree in all features in use with at least a third of the eligible.
func (f *axisFit) findIdentical() {
	var open []int32 // places in eligible
	for i, s := range f.stratum {
		if s < 0 {
			open = append(open, int32(i))
		}
	}
	at := func(i int32) vector { return vectorOf(f.values(f.eligible[i]), f.on) }
	for _, mass := range pointMasses(open, len(f.eligible), at) {
		segment := engine.Segment{Stratum: engine.StratumIdentical}
		for _, i := range open {
			if f.stratum[i] < 0 && at(i) == mass {
				f.stratum[i] = int8(len(f.strata))
				if segment.Identical == nil {
					for _, j := range f.on {
						segment.Identical = append(segment.Identical, f.values(f.eligible[i])[j])
					}
				}
			}
		}
		f.strata = append(f.strata, segment)
	}
}

// gather lists the rows that the scale is made of.
func (f *axisFit) gather() {
	f.scaled = f.scaled[:0]
	for i, s := range f.stratum {
		if s < 0 {
			f.scaled = append(f.scaled, f.eligible[i])
		}
	}
	f.rest = len(f.scaled)
	for i, s := range f.stratum {
		if s >= 0 && f.strata[s].Stratum == engine.StratumOnePurchase {
			f.scaled = append(f.scaled, f.eligible[i])
		}
	}
}

// scaleFeatures takes the scale of every feature in use, drops those that do not vary, and gives the standardised columns of
// the others. Where strata leave nobody over the scale is that of all eligible customers.
func (f *axisFit) scaleFeatures() (map[int][]float64, error) {
	rows := f.scaled
	if len(rows) == 0 {
		rows = f.eligible
	}
	columns := make(map[int][]float64, len(f.on))
	for _, j := range f.on {
		column := make([]float64, len(rows))
		for i, row := range rows {
			column[i] = float64(f.values(row)[j])
		}
		s, err := scale.Fit(column)
		if errors.Is(err, scale.ErrNoValues) {
			f.model.Features[j].Status = engine.FeatureConstant
			continue
		}
		if err != nil {
			return nil, err
		}
		feature := &f.model.Features[j]
		feature.Fill, feature.Low, feature.High, feature.Mean, feature.SD = s.Fill, s.Lo, s.Hi, s.Mean, s.SD
		if s.Constant() {
			feature.Status = engine.FeatureConstant
			continue
		}
		for i, v := range column {
			column[i] = s.Transform(v)
		}
		columns[j] = column
	}
	return columns, nil
}

// dropCorrelated drops the later of two features that say nearly the same.
func (f *axisFit) dropCorrelated(columns map[int][]float64) {
	var kept []int
	for _, j := range f.model.FeaturesOn() {
		feature := &f.model.Features[j]
		feature.Correlation = 0
		for _, k := range kept {
			if r := scale.Correlation(columns[k], columns[j]); math.Abs(r) > math.Abs(feature.Correlation) {
				feature.Correlation = r
			}
		}
		if math.Abs(feature.Correlation) > tooCorrelated {
			feature.Status = engine.FeatureCorrelated
			continue
		}
		kept = append(kept, j)
	}
}

// standardise lays the columns out as the matrix that is clustered.
func (f *axisFit) standardise(columns map[int][]float64) {
	d := len(f.on)
	f.z = make([]float64, len(f.scaled)*d)
	for j, feature := range f.on {
		for i := range f.scaled {
			f.z[i*d+j] = columns[feature][i]
		}
		delete(columns, feature)
	}
}

// selectK chooses how many segments the customers beside the strata have, and finds them; nil where they are too few,
// or where nothing tells them apart. The least share of a segment refers to those customers too: of all the eligible it
// would rule out every k but the smallest where a stratum holds most of them.
func (f *axisFit) selectK(ctx context.Context) (*kselect.Selection, error) {
	if f.rest < minClustered || len(f.on) == 0 {
		return nil, nil
	}
	selection, err := kselect.Select(ctx, f.z[:f.rest*len(f.on)], f.rest, len(f.on), kselect.Options{
		KMin: f.params.KMin, KMax: f.params.KMax, Fixed: f.params.FixedK(), Previous: f.previousK(),
		Normalized: f.params.Normalized, SweepSample: f.params.SweepSample,
		FCM: f.fcmOptions(), Silhouette: kselect.SilhouetteOptions{Seed: f.seed}, NumOfShare: f.rest,
	})
	if errors.Is(err, kselect.ErrNoStructure) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	final := &selection.Final
	f.model.Fit = &engine.FitReport{
		K: selection.Chosen, Rule: selection.Rule, Candidates: selection.Candidates,
		Silhouette: final.Silhouette, Balance: final.Balance, PartitionCoefficient: final.PartitionCoefficient,
		Objective: selection.Fit.Objective, Iterations: selection.Fit.Iterations, Converged: selection.Fit.Converged,
	}
	for i := range f.model.Fit.Candidates {
		c := &f.model.Fit.Candidates[i]
		if math.IsNaN(c.XieBeni) || math.IsInf(c.XieBeni, 0) {
			c.XieBeni = 0 // of coincident centres, which is said in the reasons; JSON has no way to write it
		}
	}
	return selection, nil
}

// previousK is the k of the model before; 0 where there is none.
func (f *axisFit) previousK() int {
	if f.previous == nil || f.previous.Fit == nil {
		return 0
	}
	return f.previous.Fit.K
}

func (f *axisFit) fcmOptions() fcm.Options {
	return fcm.Options{
		M: f.params.Fuzziness, MaxIterations: f.params.MaxIterations, Tolerance: f.params.Tolerance,
		ExactIterations: f.params.Tolerance == 0, Starts: f.params.Starts, Seed: f.seed, Hard: !f.params.Fuzzy,
	}
}

// allInOne tells that a single stratum that cannot be subdivided holds everyone: the axis would say the same of all.
func (f *axisFit) allInOne() bool {
	return len(f.strata) == 1 && f.rest == 0 && f.strata[0].Stratum != engine.StratumOnePurchase
}

// subdivide grows the tree. Its roots are the clusters, or one segment of all whom no stratum holds, and then the strata.
func (f *axisFit) subdivide(ctx context.Context, selection *kselect.Selection) (*hierarchy.Tree, []engine.Segment, error) {
	d := len(f.on)
	var roots []hierarchy.Root
	var kinds []engine.Segment
	if selection != nil {
		for c := range selection.Fit.K {
			roots = append(roots, hierarchy.Root{Center: selection.Fit.Centers[c*d : (c+1)*d]})
			kinds = append(kinds, engine.Segment{})
		}
		for i, label := range selection.Fit.Labels {
			roots[label].Members = append(roots[label].Members, int32(i))
		}
	} else {
		roots = append(roots, hierarchy.Root{Center: f.mean(f.scaled[:f.rest]), Members: upTo(0, f.rest), NoSplit: true})
		kinds = append(kinds, engine.Segment{})
	}
	for s, kind := range f.strata {
		rows := f.rowsOf(s)
		root := hierarchy.Root{Center: f.mean(rows), Size: len(rows), NoSplit: kind.Stratum != engine.StratumOnePurchase}
		if kind.Stratum == engine.StratumOnePurchase {
			root.Members = upTo(f.rest, len(f.scaled))
		}
		roots = append(roots, root)
		kinds = append(kinds, kind)
	}
	if d == 0 { // nothing to measure with
		tree := &hierarchy.Tree{}
		for r := range roots {
			tree.Nodes = append(tree.Nodes, hierarchy.Node{Parent: -1, Root: r, Center: []float64{}})
		}
		return tree, kinds, nil
	}
	depth := f.params.MaxDepth
	if depth == 0 {
		depth = hierarchy.RootsOnly
	}
	tree, err := hierarchy.Subdivide(ctx, f.z, len(f.scaled), d, roots, hierarchy.Options{
		MaxVariance: f.params.MaxVariance, MaxShare: f.params.MaxShare, MinSize: f.params.MinSize, MaxDepth: depth,
		FCM: f.fcmOptions(), Silhouette: kselect.SilhouetteOptions{Seed: f.seed}, Normalized: f.params.Normalized,
		SweepSample: f.params.SweepSample, Population: len(f.eligible),
		Disabled: !f.params.Hierarchical,
	})
	return tree, kinds, err
}

func upTo(from, to int) []int32 {
	var list []int32
	for i := from; i < to; i++ {
		list = append(list, int32(i))
	}
	return list
}

// rowsOf lists the table's rows of a stratum.
func (f *axisFit) rowsOf(stratum int) []int32 {
	var rows []int32
	for i, s := range f.stratum {
		if int(s) == stratum {
			rows = append(rows, f.eligible[i])
		}
	}
	return rows
}

// mean is the mean of standardised rows; the middle of the scale for none.
func (f *axisFit) mean(rows []int32) []float64 {
	mean := make([]float64, len(f.on))
	for j, feature := range f.on {
		s := f.model.Features[feature].Scale()
		for _, row := range rows {
			mean[j] += s.Transform(float64(f.values(row)[feature])) / float64(len(rows))
		}
	}
	return mean
}

// plant turns the tree into the model's segments, depth first.
func (f *axisFit) plant(tree *hierarchy.Tree, kinds []engine.Segment) {
	var add func(node, parent int) int
	add = func(i, parent int) int {
		node := &tree.Nodes[i]
		s := engine.Segment{Parent: parent, Depth: node.Depth, Leaf: -1, Center: slices.Clone(node.Center), Division: divisionOf(tree, node)}
		if parent < 0 {
			s.Stratum, s.Identical = kinds[node.Root].Stratum, kinds[node.Root].Identical
		}
		at := len(f.model.Segments)
		f.model.Segments = append(f.model.Segments, s)
		var children []int
		for _, c := range node.Children {
			children = append(children, add(c, at))
		}
		f.model.Segments[at].Children = children
		return at
	}
	for i := range tree.Nodes {
		if tree.Nodes[i].Parent < 0 {
			add(i, -1)
		}
	}
	f.model.NumberSegments()
}

func divisionOf(tree *hierarchy.Tree, node *hierarchy.Node) engine.Division {
	d := engine.Division{
		Divided:   len(node.Children) > 0,
		StoppedBy: strings.ReplaceAll(strings.ToUpper(string(node.Stop)), "-", "_"),
		Variance:  node.Variance, VarianceLimit: tree.VarianceLimit,
		Radius: node.Radius, RadiusLimit: tree.RadiusLimit, ShareLimit: tree.ShareLimit,
	}
	for _, t := range node.Triggers {
		d.Triggers = append(d.Triggers, string(t))
	}
	return d
}

// outlierDistance is the limit beyond which a customer fits no segment.
func (f *axisFit) outlierDistance() float64 {
	if len(f.scaled) == 0 || len(f.on) == 0 {
		return 0
	}
	scorer := engine.NewAxisScorer(f.axis, &f.model, f.params)
	distances := make([]float64, len(f.scaled))
	for i, row := range f.scaled {
		distances[i] = scorer.Distance(f.values(row))
	}
	return scale.QuantileUnsorted(distances, outlierQuantile)
}
