package hierarchy

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Subdivide grows the tree of segments below the given roots. x is row-major, n x d, standardised once for the whole
// axis and never again.
//
// For a segment of n members with centre c it measures the variance V (mean squared distance from the members' mean,
// summed over columns), the radius Q (95th percentile of distances from c) and the share of the population. With Q*
// the 95th percentile of distances of all rows from their own root's centre, fixed once, the segment is divided iff
//
//	n > MinSize and depth < MaxDepth and (V > MaxVariance*d/5 or Q > Q* or share > MaxShare)
//
// and some k in 2..min(6, n/20) passes: fuzzy c-means on the members alone gives k children that each have at least
// max(20, 2 % of the population) dominant members, and the sum of squares around the children's means is at least
// 15 % below the segment's. Of those that pass, the best by the score of kselect is taken, the smaller k where equal.
// Percentiles interpolate linearly between order statistics (type 7 of Hyndman and Fan 1996).
//
// Nodes stand as [Tree] says. What was measured and what triggered is kept of every node, and [Stop] of those that
// were to be divided but were not.
func Subdivide(ctx context.Context, x []float64, n, d int, roots []Root, o Options) (*Tree, error) {
	o, err := o.withDefaults(n)
	if err != nil {
		return nil, err
	}
	members, err := checkInput(x, n, d, roots)
	if err != nil {
		return nil, err
	}
	if o.Population < members {
		return nil, fmt.Errorf("the population of %d is smaller than the %d members of the roots", o.Population, members)
	}
	g := grower{options: o, x: x, d: d}
	g.tree.VarianceLimit = o.MaxVariance * float64(d) / varianceColumns
	g.tree.ShareLimit = o.MaxShare
	if g.tree.RadiusLimit = o.RadiusLimit; g.tree.RadiusLimit == 0 {
		g.tree.RadiusLimit = g.rootRadius(roots)
	}
	g.plant(roots)
	for i := 0; i < len(g.tree.Nodes); i++ { // children are appended, so this runs level by level
		if err := g.grow(ctx, i, roots); err != nil {
			return nil, fmt.Errorf("subdividing %s: %w", g.tree.Nodes[i].Path, err)
		}
	}
	return &g.tree, nil
}

// grower holds a tree while it grows.
type grower struct {
	options Options
	x       []float64
	d       int
	tree    Tree
}

// rootRadius is Q*: the 95th percentile of the distances of rows from their own root's centre, strata that may not be
// divided left out.
func (g *grower) rootRadius(roots []Root) float64 {
	var distances []float64
	for _, r := range roots {
		if !r.NoSplit {
			distances = g.distances(distances, r.Members, r.Center)
		}
	}
	return percentile95(distances)
}

// plant makes the root nodes, the largest first, equal ones as given.
func (g *grower) plant(roots []Root) {
	order := make([]int, len(roots))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return roots[b].size() - roots[a].size() })
	for index, r := range order {
		root := &roots[r]
		members := slices.Clone(root.Members)
		slices.Sort(members)
		g.tree.Nodes = append(g.tree.Nodes, Node{
			Parent: -1, Root: r, Index: index, Path: "seg_" + strconv.Itoa(index),
			Center: slices.Clone(root.Center), Members: members, Size: root.size(),
		})
	}
}

// grow measures node i and, if it is too broad and can be, divides it.
func (g *grower) grow(ctx context.Context, i int, roots []Root) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	node := &g.tree.Nodes[i]
	g.measure(node)
	if g.options.Disabled || roots[node.Root].NoSplit {
		return nil
	}
	if node.Stop = g.stop(node); node.Stop != StopNone {
		return nil
	}
	children, err := g.divide(ctx, node)
	if err != nil {
		return err
	}
	if children == nil {
		node.Stop = StopNoUsefulSplit
		return nil
	}
	for index := range children {
		child := &children[index]
		child.Parent, child.Root, child.Depth, child.Index = i, node.Root, node.Depth+1, index
		child.Path = node.Path + "." + strconv.Itoa(index)
		node.Children = append(node.Children, len(g.tree.Nodes)+index)
	}
	g.tree.Nodes = append(g.tree.Nodes, children...) // node is not valid beyond this line
	return nil
}

// measure fills in the figures of a node and what they trigger.
func (g *grower) measure(node *Node) {
	node.VarianceLimit, node.RadiusLimit = g.tree.VarianceLimit, g.tree.RadiusLimit
	if len(node.Members) > 0 {
		node.Variance = g.sumOfSquares(node.Members) / float64(len(node.Members))
		node.Radius = percentile95(g.distances(nil, node.Members, node.Center))
	}
	if g.options.Population > 0 {
		node.Share = float64(node.Size) / float64(g.options.Population)
	}
	if node.Variance > node.VarianceLimit {
		node.Triggers = append(node.Triggers, Variance)
	}
	if node.Radius > node.RadiusLimit {
		node.Triggers = append(node.Triggers, Diameter)
	}
	if node.Share > g.options.MaxShare {
		node.Triggers = append(node.Triggers, PopulationShare)
	}
}

// stop says what forbids a division before it is tried.
func (g *grower) stop(node *Node) Stop {
	switch {
	case len(node.Members) <= g.options.MinSize:
		return StopSize
	case node.Depth >= g.options.MaxDepth:
		return StopDepth
	case len(node.Triggers) == 0:
		return StopCohesive
	}
	return StopNone
}

func (g *grower) row(i int32) []float64 { return g.x[int(i)*g.d : (int(i)+1)*g.d] }

// distances appends the distances of the members from a centre.
func (g *grower) distances(dst []float64, members []int32, center []float64) []float64 {
	dst = slices.Grow(dst, len(members))
	for _, i := range members {
		squares := 0.0
		for f, v := range g.row(i) {
			e := v - center[f]
			squares += e * e
		}
		dst = append(dst, math.Sqrt(squares))
	}
	return dst
}

// sumOfSquares is the sum of squared distances of the members from their mean, over all columns.
func (g *grower) sumOfSquares(members []int32) float64 {
	mean := make([]float64, g.d)
	for _, i := range members {
		for f, v := range g.row(i) {
			mean[f] += v
		}
	}
	for f := range mean {
		mean[f] /= float64(len(members))
	}
	squares := 0.0
	for _, i := range members {
		for f, v := range g.row(i) {
			e := v - mean[f]
			squares += e * e
		}
	}
	return squares
}

// percentile95 sorts values and interpolates between the two that enclose the 95th percentile; 0 for none.
func percentile95(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	// 19/20 exactly: 0.95 in binary would move a percentile that falls on one value.
	whole, rest := (len(values)-1)*19/20, (len(values)-1)*19%20
	if rest == 0 {
		return values[whole]
	}
	return values[whole] + (values[whole+1]-values[whole])*float64(rest)/20
}
