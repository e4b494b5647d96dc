package hierarchy

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine/fcm"
	"github.com/quimbi/quimbi/engine/kselect"
)

// cloud is a group of normally distributed rows.
type cloud struct {
	n  int
	at []float64
	sd float64
}

// rowsOf draws the rows of the clouds one after the other, and names the rows of each.
func rowsOf(seed uint64, clouds ...cloud) (x []float64, groups [][]int32) {
	random := rand.New(rand.NewPCG(seed, 9))
	row := int32(0)
	for _, c := range clouds {
		var group []int32
		for range c.n {
			for _, v := range c.at {
				x = append(x, v+c.sd*random.NormFloat64())
			}
			group = append(group, row)
			row++
		}
		groups = append(groups, group)
	}
	return x, groups
}

func center(x []float64, d int, members []int32) []float64 {
	mean := make([]float64, d)
	for _, i := range members {
		for f := range d {
			mean[f] += x[int(i)*d+f] / float64(len(members))
		}
	}
	return mean
}

func subdivide(t *testing.T, x []float64, d int, roots []Root, o Options) *Tree {
	t.Helper()
	tree, err := Subdivide(t.Context(), x, len(x)/d, d, roots, o)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// outline is path, size and stop reason of every node.
func outline(tree *Tree) []string {
	var lines []string
	for _, node := range tree.Nodes {
		lines = append(lines, strings.TrimSpace(strings.Join([]string{node.Path, itoa(node.Size), string(node.Stop)}, " ")))
	}
	return lines
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestSubdivideDividesWhatIsTooBroad(t *testing.T) {
	t.Parallel()
	// A broad root of three clouds, 700 of 1,000 rows; a tight one of 220; one of 80.
	x, groups := rowsOf(
		1,
		cloud{300, []float64{-4, 0}, 0.2}, cloud{250, []float64{-4, 5}, 0.2}, cloud{150, []float64{-9, 0}, 0.2},
		cloud{220, []float64{5, 0}, 0.2}, cloud{80, []float64{5, 9}, 0.2},
	)
	broad := slices.Concat(groups[0], groups[1], groups[2])
	roots := []Root{
		{Center: center(x, 2, groups[3]), Members: groups[3]},
		{Center: center(x, 2, broad), Members: broad},
		{Center: center(x, 2, groups[4]), Members: groups[4]},
	}
	tree := subdivide(t, x, 2, roots, Options{})
	want := []string{
		"seg_0 700", "seg_1 220 cohesive", "seg_2 80 size",
		"seg_0.0 300 cohesive", "seg_0.1 250 cohesive", "seg_0.2 150 cohesive",
	}
	if diff := cmp.Diff(want, outline(tree)); diff != "" {
		t.Fatalf("tree (-want +got):\n%s", diff)
	}
	root := tree.Nodes[0]
	if diff := cmp.Diff([]int{3, 4, 5}, root.Children); diff != "" {
		t.Errorf("children (-want +got):\n%s", diff)
	}
	if !slices.Contains(root.Triggers, Variance) || !slices.Contains(root.Triggers, PopulationShare) {
		t.Errorf("triggers %v", root.Triggers)
	}
	if root.Root != 1 || tree.Nodes[4].Root != 1 || tree.Nodes[4].Parent != 0 || tree.Nodes[4].Depth != 1 || tree.Nodes[4].Index != 1 {
		t.Errorf("links of seg_0 and seg_0.1: %+v", tree.Nodes[4])
	}
	if diff := cmp.Diff(groups[1], tree.Nodes[4].Members); diff != "" {
		t.Errorf("members of seg_0.1 (-want +got):\n%s", diff)
	}
	if tree.VarianceLimit != 2.0*2/5 || root.VarianceLimit != tree.VarianceLimit || root.Share != 0.7 || tree.ShareLimit != 0.6 {
		t.Errorf("limits %v %v, share %v", tree.VarianceLimit, tree.ShareLimit, root.Share)
	}
	if diff := cmp.Diff([]int{1, 2, 3, 4, 5}, tree.Leaves()); diff != "" {
		t.Errorf("leaves (-want +got):\n%s", diff)
	}
}

func TestMeasures(t *testing.T) {
	t.Parallel()
	// Distances from the centre at 0 are 0..100 in one column, so the 95th percentile is 95; of the second root 0..10,
	// where it lies halfway between 9 and 10; of both together (112 rows) at rank 105.45 of 0..111.
	var x []float64
	first, second := Root{Center: []float64{0}}, Root{Center: []float64{1000}}
	for i := range 101 {
		first.Members = append(first.Members, int32(len(x)))
		x = append(x, float64(i))
	}
	for i := range 11 {
		second.Members = append(second.Members, int32(len(x)))
		x = append(x, 1000-float64(i))
	}
	tree := subdivide(t, x, 1, []Root{second, first}, Options{Disabled: true})
	a, b := tree.Nodes[0], tree.Nodes[1]
	if a.Radius != 95 || math.Abs(b.Radius-9.5) > 1e-12 || math.Abs(tree.RadiusLimit-94.45) > 1e-9 {
		t.Errorf("radii %v, %v, limit %v; want 95, 9.5, 94.45", a.Radius, b.Radius, tree.RadiusLimit)
	}
	// The variance is about the members' mean, not about the centre: of 0..100 it is (101^2-1)/12.
	if math.Abs(a.Variance-850) > 1e-9 || math.Abs(b.Variance-10) > 1e-9 {
		t.Errorf("variances %v, %v; want 850, 10", a.Variance, b.Variance)
	}
	if a.Share != 101.0/112 || a.Stop != StopNone || len(tree.Nodes) != 2 || a.Root != 1 {
		t.Errorf("largest root: %+v", a)
	}
	// A stratum that may not be divided does not count in the limit, but in the population.
	first.NoSplit = true
	tree = subdivide(t, x, 1, []Root{first, second}, Options{Population: 200})
	if tree.RadiusLimit != 9.5 || tree.Nodes[0].Share != 101.0/200 {
		t.Errorf("limit %v, share %v; want 9.5, 0.505", tree.RadiusLimit, tree.Nodes[0].Share)
	}
	if a := tree.Nodes[0]; a.Stop != StopNone || a.Children != nil || !slices.Contains(a.Triggers, Variance) {
		t.Errorf("the stratum: %+v", a)
	}
}

func TestStratumWithoutRows(t *testing.T) {
	t.Parallel()
	x, groups := rowsOf(3, cloud{150, []float64{0}, 1})
	tree := subdivide(t, x, 1, []Root{
		{Center: center(x, 1, groups[0]), Members: groups[0]},
		{Center: []float64{-3}, NoSplit: true, Size: 850},
	}, Options{Population: 1000})
	if got := tree.Nodes[0]; got.Share != 0.85 || got.Path != "seg_0" || got.Root != 1 || got.Variance != 0 || got.Stop != StopNone {
		t.Errorf("the stratum: %+v", got)
	}
	if got := tree.Nodes[1]; got.Share != 0.15 {
		t.Errorf("the cluster: %+v", got)
	}
}

func TestStops(t *testing.T) {
	t.Parallel()
	two := []cloud{{300, []float64{-5}, 0.1}, {300, []float64{5}, 0.1}}
	whole := func(clouds ...cloud) ([]float64, []Root) {
		x, _ := rowsOf(2, clouds...)
		all := make([]int32, len(x))
		for i := range all {
			all[i] = int32(i)
		}
		return x, []Root{{Center: center(x, 1, all), Members: all}}
	}
	tests := []struct {
		name    string
		clouds  []cloud
		options Options
		want    []string
	}{
		{"two clouds", two, Options{}, []string{"seg_0 600", "seg_0.0 300 cohesive", "seg_0.1 300 cohesive"}},
		{"size comes before depth", two, Options{MinSize: 600, MaxDepth: 1}, []string{"seg_0 600 size"}},
		{"one more than MinSize", two, Options{MinSize: 599, MaxDepth: 1}, []string{"seg_0 600", "seg_0.0 300 size", "seg_0.1 300 size"}},
		{"depth", two, Options{MaxDepth: 1}, []string{"seg_0 600", "seg_0.0 300 depth", "seg_0.1 300 depth"}},
		{"all equal", []cloud{{300, []float64{1}, 0}}, Options{}, []string{"seg_0 300 no-useful-split"}},
		{"a child under 2 %", []cloud{{981, []float64{0}, 0}, {19, []float64{9}, 0}}, Options{}, []string{"seg_0 1000 no-useful-split"}},
		{"a child of 2 %", []cloud{{980, []float64{0}, 0}, {20, []float64{9}, 0}}, Options{}, []string{"seg_0 1000", "seg_0.0 980 no-useful-split", "seg_0.1 20 size"}},
		{"2 % of the population", []cloud{{980, []float64{0}, 0}, {20, []float64{9}, 0}}, Options{Population: 1100, MaxShare: 0.1}, []string{"seg_0 1000 no-useful-split"}},
		{"19 rows are too few", []cloud{{119, []float64{0}, 0}, {19, []float64{9}, 0}}, Options{}, []string{"seg_0 138 no-useful-split"}},
		{"roots only", two, Options{MaxDepth: RootsOnly}, []string{"seg_0 600 depth"}},
		{"disabled", two, Options{Disabled: true}, []string{"seg_0 600"}},
	}
	for _, test := range tests {
		x, roots := whole(test.clouds...)
		if diff := cmp.Diff(test.want, outline(subdivide(t, x, 1, roots, test.options))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestTriggersAreStrict(t *testing.T) {
	t.Parallel()
	// Rows at -0.5 and 0.5: variance 0.25 and radius 0.5, all exact.
	var x []float64
	var members []int32
	for i := range 200 {
		members = append(members, int32(i))
		x = append(x, 0.5-float64(i%2))
	}
	root := []Root{{Center: []float64{0}, Members: members}}
	tree := subdivide(t, x, 1, root, Options{MaxVariance: 1.25, MaxShare: 1, RadiusLimit: 0.5})
	if got := tree.Nodes[0]; got.Stop != StopCohesive || len(got.Triggers) != 0 {
		t.Errorf("at the limits: %v %v", got.Stop, got.Triggers)
	}
	tree = subdivide(t, x, 1, root, Options{MaxVariance: 1.24, MaxShare: 1})
	if got := tree.Nodes[0]; !slices.Equal(got.Triggers, []Trigger{Variance}) || len(got.Children) != 2 {
		t.Errorf("over the variance: %v %v", got.Triggers, got.Children)
	}
	tree = subdivide(t, x, 1, root, Options{MaxVariance: 5, MaxShare: 0.999})
	if got := tree.Nodes[0]; !slices.Equal(got.Triggers, []Trigger{PopulationShare}) {
		t.Errorf("over the share: %v", got.Triggers)
	}
	tree = subdivide(t, x, 1, root, Options{MaxVariance: 5, MaxShare: 1, RadiusLimit: 0.49})
	if got := tree.Nodes[0]; !slices.Equal(got.Triggers, []Trigger{Diameter}) {
		t.Errorf("over the radius: %v", got.Triggers)
	}
}

func TestSubdivideOnASample(t *testing.T) {
	t.Parallel()
	x, groups := rowsOf(
		4,
		cloud{1100, []float64{-4, 0}, 0.4}, cloud{1000, []float64{4, 0}, 0.4}, cloud{900, []float64{0, 9}, 0.4},
	)
	all := slices.Concat(groups...)
	tree := subdivide(t, x, 2, []Root{{Center: center(x, 2, all), Members: all}}, Options{SweepSample: 600})
	want := []string{"seg_0 3000", "seg_0.0 1100 cohesive", "seg_0.1 1000 cohesive", "seg_0.2 900 cohesive"}
	if diff := cmp.Diff(want, outline(tree)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

// randomForest subdivides random rows around random centres, sparsely enough that several levels arise.
func randomForest(t *rapid.T) (x []float64, d int, tree *Tree) {
	d = rapid.IntRange(1, 4).Draw(t, "d")
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 4))
	var clouds []cloud
	for range 2 + random.IntN(5) {
		at := make([]float64, d)
		for f := range at {
			at[f] = 3 * random.NormFloat64()
		}
		clouds = append(clouds, cloud{60 + random.IntN(150), at, 0.1 + random.Float64()})
	}
	x, _ = rowsOf(random.Uint64(), clouds...)
	n := len(x) / d
	fit, err := fcm.Fit(t.Context(), x, n, d, 3, fcm.Options{Starts: 2})
	if err != nil {
		t.Fatal(err)
	}
	roots := make([]Root, 3)
	for i, label := range fit.Labels {
		roots[label].Members = append(roots[label].Members, int32(i))
	}
	for j := range roots {
		roots[j].Center = fit.Centers[j*d : (j+1)*d]
	}
	tree, err = Subdivide(t.Context(), x, n, d, roots, Options{
		MaxVariance: 0.5, MaxShare: 0.2, MinSize: 60, FCM: fcm.Options{Starts: 2}, Silhouette: kselect.SilhouetteOptions{MaxExact: 300},
	})
	if err != nil {
		t.Fatal(err)
	}
	return x, d, tree
}

// What holds for every forest, looked at on one after the other since making one is the work.
func TestForests(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x, d, tree := randomForest(t)
		treeIsConsistent(t, x, d, tree)
		membershipsAddUp(t, x, d, tree)
		pathLeadsToMembers(t, x, d, tree)
	})
}

func treeIsConsistent(t *rapid.T, x []float64, d int, tree *Tree) {
	n := len(x) / d
	for i, node := range tree.Nodes {
		if node.Size != len(node.Members) || !slices.IsSorted(node.Members) {
			t.Fatalf("%s: size %d, %d members", node.Path, node.Size, len(node.Members))
		}
		tooBroad := node.Size > 60 && node.Depth < 3 && len(node.Triggers) > 0
		if divided := len(node.Children) > 0; (divided || node.Stop == StopNoUsefulSplit) != tooBroad || divided == (node.Stop != StopNone) {
			t.Fatalf("%s: triggers %v, stop %q, children %v", node.Path, node.Triggers, node.Stop, node.Children)
		}
		if len(node.Children) == 0 {
			continue
		}
		var joined []int32
		squares, last := 0.0, math.MaxInt
		g := grower{x: x, d: d}
		for at, j := range node.Children {
			child := tree.Nodes[j]
			if j <= i || child.Parent != i || child.Index != at || child.Path != node.Path+"."+itoa(at) || child.Depth != node.Depth+1 {
				t.Fatalf("%s: child %d is %+v", node.Path, at, child)
			}
			if child.Size > last || child.Size < 20 || child.Size*50 < n {
				t.Fatalf("%s: child of %d rows after one of %d, of %d in all", node.Path, child.Size, last, n)
			}
			last = child.Size
			joined = append(joined, child.Members...)
			squares += g.sumOfSquares(child.Members)
		}
		slices.Sort(joined)
		if !slices.Equal(joined, node.Members) {
			t.Fatalf("%s: the children's members are not its own", node.Path)
		}
		if before := g.sumOfSquares(node.Members); squares > 0.85*before*(1+1e-12) {
			t.Fatalf("%s: the sum of squares falls from %v to %v only", node.Path, before, squares)
		}
	}
}

func TestSubdivideIsTheSameForAnyWorkers(t *testing.T) {
	t.Parallel()
	x, groups := rowsOf(5, cloud{900, []float64{-3, 0, 1}, 0.8}, cloud{700, []float64{3, 0, 1}, 0.8}, cloud{500, []float64{0, 6, 1}, 0.8})
	all := slices.Concat(groups...)
	var first *Tree
	for _, workers := range []int{1, 2, 5} {
		tree := subdivide(t, x, 3, []Root{{Center: center(x, 3, all), Members: all}}, Options{
			MaxVariance: 0.1, FCM: fcm.Options{Workers: workers, Starts: 3}, Silhouette: kselect.SilhouetteOptions{Workers: workers, MaxExact: 600},
		})
		if first == nil {
			first = tree
		}
		if diff := cmp.Diff(first, tree); diff != "" {
			t.Errorf("%d workers (-one +these):\n%s", workers, diff)
		}
	}
}

func TestSubdivideRejects(t *testing.T) {
	t.Parallel()
	x := []float64{0, 1, 2, 3}
	one := []Root{{Center: []float64{0}, Members: []int32{0, 1, 2, 3}}}
	tests := map[string]struct {
		x       []float64
		n       int
		roots   []Root
		options Options
	}{
		"no root":                {x, 4, nil, Options{}},
		"a wrong number of rows": {x, 5, one, Options{}},
		"NaN":                    {[]float64{0, math.NaN(), 2, 3}, 4, one, Options{}},
		"a NaN in a centre":      {x, 4, []Root{{Center: []float64{math.NaN()}}}, Options{}},
		"a centre of two":        {x, 4, []Root{{Center: []float64{0, 1}}}, Options{}},
		"a row out of range":     {x, 4, []Root{{Center: []float64{0}, Members: []int32{4}}}, Options{}},
		"a negative row":         {x, 4, []Root{{Center: []float64{0}, Members: []int32{-1}}}, Options{}},
		"a row twice":            {x, 4, []Root{{Center: []float64{0}, Members: []int32{1, 1}}}, Options{}},
		"a size too small":       {x, 4, []Root{{Center: []float64{0}, Members: []int32{1, 2}, Size: 1}}, Options{}},
		"a population too small": {x, 4, one, Options{Population: 3}},
		"a share in per cent":    {x, 4, one, Options{MaxShare: 60}},
		"a negative variance":    {x, 4, one, Options{MaxVariance: -1}},
		"a negative depth":       {x, 4, one, Options{MaxDepth: -2}},
		"a negative size":        {x, 4, one, Options{MinSize: -1}},
		"a NaN limit":            {x, 4, one, Options{RadiusLimit: math.NaN()}},
		"a negative sample":      {x, 4, one, Options{SweepSample: -1}},
	}
	for name, test := range tests {
		if _, err := Subdivide(t.Context(), test.x, test.n, 1, test.roots, test.options); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
