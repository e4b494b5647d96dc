package hierarchy

import (
	"errors"
	"fmt"
	"math"

	"github.com/quimbi/quimbi/engine/fcm"
	"github.com/quimbi/quimbi/engine/kselect"
)

// Stop says why a segment was kept whole.
type Stop string

// The stop reasons; none where the segment was divided, may not be, or the hierarchy is off.
const (
	StopNone          Stop = ""
	StopSize          Stop = "size"            // it has no more than MinSize rows
	StopDepth         Stop = "depth"           // it lies at MaxDepth
	StopCohesive      Stop = "cohesive"        // nothing makes it too broad
	StopNoUsefulSplit Stop = "no-useful-split" // no division passes the tests of [Subdivide]
)

// Trigger says what makes a segment too broad.
type Trigger string

// The triggers.
const (
	Variance        Trigger = "VARIANCE"         // the variance is over VarianceLimit
	Diameter        Trigger = "DIAMETER"         // the radius is over RadiusLimit
	PopulationShare Trigger = "POPULATION_SHARE" // the share is over MaxShare
)

// Defaults of [Options].
const (
	DefaultMaxVariance = 2.0
	DefaultMaxShare    = 0.6
	DefaultMinSize     = 100
	DefaultMaxDepth    = 3
)

// RootsOnly as MaxDepth keeps the roots whole: they lie at the greatest depth.
const RootsOnly = -1

// varianceColumns is the number of columns for which MaxVariance is meant.
const varianceColumns = 5

// Options are the options of [Subdivide]; the zero value means the defaults.
type Options struct {
	MaxVariance float64 // of five columns, in squared standard deviations; the limit is MaxVariance*d/5; 2.0 if 0
	MaxShare    float64 // of the population, from 0 to 1; 0.6 if 0
	MinSize     int     // segments of this many rows or fewer are never divided; 100 if 0
	MaxDepth    int     // the depth of the deepest leaves, roots having depth 0; 3 if 0, and see [RootsOnly]
	FCM         fcm.Options
	Silhouette  kselect.SilhouetteOptions
	Normalized  bool    // rank divisions by the normalised balance
	SweepSample int     // if not 0, the number of children is chosen on a seeded sample of this many rows where a segment has more
	Population  int     // customers of the axis with all strata, for shares and the floor of 2 %; n if 0
	RadiusLimit float64 // the limit of the radius; if 0, the 95th percentile of distances from the own root centre
	Disabled    bool    // measure the roots and divide none
}

// Root is a segment to start from.
type Root struct {
	Center  []float64
	Members []int32 // rows of x
	NoSplit bool    // a stratum that may not be divided; its rows do not count in the limit of the radius
	Size    int     // number of members, where they are not rows of x; len(Members) if 0
}

// Node is a segment of the tree.
type Node struct {
	Parent        int    // index of the node above, -1 for roots
	Root          int    // index of the root above it, or itself, in the roots given to [Subdivide]
	Depth         int    // 0 for roots
	Index         int    // among its siblings, by size from the largest
	Path          string // seg_0 for the largest root, seg_0.1 for its second child
	Center        []float64
	Members       []int32   // rows that are dominant here among the siblings, level by level; ascending
	Size          int       // number of members
	Variance      float64   // mean squared distance of the members from their mean, summed over columns
	VarianceLimit float64   // as in the tree
	Radius        float64   // 95th percentile of the members' distances from Center
	RadiusLimit   float64   // as in the tree
	Share         float64   // of the population, from 0 to 1
	Triggers      []Trigger // what makes it too broad; kept whether or not it was divided
	Stop          Stop
	Children      []int // indices of the nodes below, by Index; nil for a leaf
}

// Tree is a forest of segments: roots first, by size from the largest, then level by level, the children of one node
// standing together.
type Tree struct {
	Nodes         []Node
	VarianceLimit float64
	RadiusLimit   float64
	ShareLimit    float64
}

// Leaves returns the indices of the nodes without children, ascending: the order in which leaf memberships stand.
func (t *Tree) Leaves() []int {
	var leaves []int
	for i := range t.Nodes {
		if len(t.Nodes[i].Children) == 0 {
			leaves = append(leaves, i)
		}
	}
	return leaves
}

// withDefaults fills and checks the options for n rows.
func (o Options) withDefaults(n int) (Options, error) {
	if o.MaxVariance == 0 {
		o.MaxVariance = DefaultMaxVariance
	}
	if o.MaxShare == 0 {
		o.MaxShare = DefaultMaxShare
	}
	if o.MinSize == 0 {
		o.MinSize = DefaultMinSize
	}
	switch o.MaxDepth {
	case 0:
		o.MaxDepth = DefaultMaxDepth
	case RootsOnly:
		o.MaxDepth = 0
	}
	if o.Population == 0 {
		o.Population = n
	}
	switch {
	case !(o.MaxVariance > 0):
		return o, fmt.Errorf("the greatest variance must be positive, got %v", o.MaxVariance)
	case !(o.MaxShare > 0 && o.MaxShare <= 1):
		return o, fmt.Errorf("the greatest share must be above 0 and at most 1, got %v", o.MaxShare)
	case o.MinSize < 0:
		return o, fmt.Errorf("the least size must not be negative, got %d", o.MinSize)
	case o.MaxDepth < 0:
		return o, fmt.Errorf("the greatest depth must not be negative, got %d: to divide nothing, take RootsOnly", o.MaxDepth)
	case !(o.RadiusLimit >= 0):
		return o, fmt.Errorf("the limit of the radius must not be negative, got %v", o.RadiusLimit)
	case o.SweepSample < 0:
		return o, fmt.Errorf("the sample must not have a negative size, got %d", o.SweepSample)
	}
	o.FCM.Init, o.FCM.Progress = nil, nil // both belong to one fit, and there are many here
	return o, nil
}

// checkInput validates the matrix and the roots, and returns the number of members of all roots.
func checkInput(x []float64, n, d int, roots []Root) (int, error) {
	if n < 0 || d < 1 || len(x)/d != n || len(x)%d != 0 {
		return 0, fmt.Errorf("the matrix has %d numbers, but %d rows of %d columns were announced", len(x), n, d)
	}
	if len(roots) == 0 {
		return 0, errors.New("there is no root segment to subdivide")
	}
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, fmt.Errorf("row %d, column %d is %v: only finite numbers can be measured", i/d, i%d, v)
		}
	}
	taken := make([]bool, n)
	total := 0
	for r, root := range roots {
		if len(root.Center) != d {
			return 0, fmt.Errorf("the centre of root %d has %d columns, the matrix %d", r, len(root.Center), d)
		}
		for f, v := range root.Center {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return 0, fmt.Errorf("the centre of root %d is %v in column %d: only finite numbers can be measured", r, v, f)
			}
		}
		if root.Size != 0 && root.Size < len(root.Members) {
			return 0, fmt.Errorf("root %d has %d members but a size of %d", r, len(root.Members), root.Size)
		}
		for _, i := range root.Members {
			if i < 0 || int(i) >= n {
				return 0, fmt.Errorf("root %d has row %d as a member, outside 0 to %d", r, i, n-1)
			}
			if taken[i] {
				return 0, fmt.Errorf("row %d is a member of two roots, or twice of root %d", i, r)
			}
			taken[i] = true
		}
		total += root.size()
	}
	return total, nil
}

func (r *Root) size() int { return max(r.Size, len(r.Members)) }
