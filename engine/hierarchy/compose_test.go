package hierarchy

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine/fcm"
)

func TestComposeByHand(t *testing.T) {
	t.Parallel()
	// seg_0 has children at 0 and 4; a row at 1 has squared distances 1 and 9 and so, with m = 2, shares 0.9 and 0.1.
	// seg_0.1 has children at 3 and 5: squared distances 4 and 16, shares 0.8 and 0.2.
	tree := &Tree{Nodes: []Node{
		{Parent: -1, Center: []float64{2}, Children: []int{2, 3}},
		{Parent: -1, Center: []float64{9}},
		{Parent: 0, Center: []float64{0}},
		{Parent: 0, Center: []float64{4}, Children: []int{4, 5}},
		{Parent: 3, Center: []float64{3}},
		{Parent: 3, Center: []float64{5}},
	}}
	c, err := NewComposer(tree, 2, false)
	if err != nil {
		t.Fatal(err)
	}
	dst, u := make([]float64, len(c.Leaves())), make([]float64, c.Len())
	c.Compose(dst, u, []float64{1}, []float64{0.5, 0.5})
	for i, want := range []float64{0.5, 0.45, 0.04, 0.01} { // leaves 1, 2, 4, 5
		if math.Abs(dst[i]-want) > 1e-15 {
			t.Errorf("leaf %d: %v, want %v", c.Leaves()[i], dst[i], want)
		}
	}
	// The dominant leaf is the other root; the path from seg_0, the first of two equal roots, ends at seg_0.0.
	if c.Dominant(u) != 1 || c.PathTo(u) != 2 {
		t.Errorf("dominant leaf %d, end of the path %d; want 1, 2", c.Dominant(u), c.PathTo(u))
	}
	c.Compose(dst, u, []float64{4.5}, []float64{1, 0})
	if c.PathTo(u) != 5 {
		t.Errorf("end of the path of a row at 4.5: %d, want 5", c.PathTo(u))
	}

	hard, err := NewComposer(tree, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	hard.Compose(dst, u, []float64{4.5}, []float64{1, 0})
	for i, want := range []float64{0, 0, 0, 1} {
		if dst[i] != want {
			t.Errorf("hard, leaf %d: %v, want %v", c.Leaves()[i], dst[i], want)
		}
	}
}

func membershipsAddUp(t *rapid.T, x []float64, d int, tree *Tree) {
	n := len(x) / d
	m := rapid.SampledFrom([]float64{2, 1.2, 1.7, 3.5}).Draw(t, "m")
	hard := rapid.Bool().Draw(t, "hard")
	c, err := NewComposer(tree, m, hard)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "rows"), 6))
	u, dst, roots, row := make([]float64, c.Len()), make([]float64, len(c.Leaves())), make([]float64, c.Roots()), make([]float64, d)
	for range 50 {
		switch random.IntN(4) {
		case 0: // a fitted row
			i := random.IntN(n)
			copy(row, x[i*d:(i+1)*d])
		case 1: // a centre
			copy(row, tree.Nodes[random.IntN(len(tree.Nodes))].Center)
		default: // any row, some far away
			for f := range row {
				row[f] = math.Exp(10*random.Float64()) * random.NormFloat64()
			}
		}
		total := 0.0
		for j := range roots {
			roots[j] = random.Float64()
			total += roots[j]
		}
		for j := range roots {
			roots[j] /= total
		}
		c.Compose(dst, u, row, roots)
		sum := 0.0
		for _, v := range dst {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("leaf membership %v", v)
			}
			sum += v
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Fatalf("leaves sum to %v", sum)
		}
		for i, node := range tree.Nodes {
			if len(node.Children) == 0 {
				continue
			}
			children := 0.0
			for _, j := range node.Children {
				children += u[j]
			}
			if math.Abs(children-u[i]) > 1e-9 {
				t.Fatalf("%s has membership %v, its children sum to %v", node.Path, u[i], children)
			}
		}
	}
}

// The leaf that a fitted row reaches level by level is the one that has it as a member.
func pathLeadsToMembers(t *rapid.T, x []float64, d int, tree *Tree) {
	c, err := NewComposer(tree, 2, false)
	if err != nil {
		t.Fatal(err)
	}
	var centers []float64
	for _, node := range tree.Nodes[:c.Roots()] {
		centers = append(centers, node.Center...)
	}
	u := make([]float64, c.Len())
	for _, leaf := range c.Leaves() {
		for _, i := range tree.Nodes[leaf].Members {
			row := x[int(i)*d : int(i+1)*d]
			fcm.Memberships(u[:c.Roots()], row, centers, c.Roots(), 2)
			c.Nodes(u, row)
			if got := c.PathTo(u); got != leaf {
				t.Fatalf("row %d is a member of %s, but its path ends at %s", i, tree.Nodes[leaf].Path, tree.Nodes[got].Path)
			}
		}
	}
}

func TestComposeDoesNotAllocate(t *testing.T) {
	tree := &Tree{Nodes: []Node{
		{Parent: -1, Center: []float64{2, 0}, Children: []int{1, 2}}, {Parent: 0, Center: []float64{0, 0}}, {Parent: 0, Center: []float64{4, 1}},
	}}
	c, err := NewComposer(tree, 1.8, false)
	if err != nil {
		t.Fatal(err)
	}
	dst, u, row, roots := make([]float64, 2), make([]float64, 3), []float64{1, 2}, []float64{1}
	if allocs := testing.AllocsPerRun(100, func() { c.Compose(dst, u, row, roots) }); allocs != 0 {
		t.Errorf("%v allocations a row", allocs)
	}
}

func TestNewComposerRejects(t *testing.T) {
	t.Parallel()
	at := []float64{0}
	for name, nodes := range map[string][]Node{
		"no nodes":             nil,
		"no root":              {{Parent: 0, Center: at}},
		"its own child":        {{Parent: -1, Center: at}, {Parent: 1, Center: at, Children: []int{1}}},
		"a child out of range": {{Parent: -1, Center: at, Children: []int{1}}},
		"another's child":      {{Parent: -1, Center: at, Children: []int{2}}, {Parent: -1, Center: at}, {Parent: 1, Center: at}},
		"a node that hangs":    {{Parent: -1, Center: at}, {Parent: 0, Center: at}},
		"children out of order": {
			{Parent: -1, Center: at, Children: []int{2, 1}}, {Parent: 0, Center: at}, {Parent: 0, Center: at},
		},
		"centres of two sizes": {{Parent: -1, Center: at, Children: []int{1}}, {Parent: 0, Center: []float64{0, 1}}},
	} {
		if _, err := NewComposer(&Tree{Nodes: nodes}, 2, false); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := NewComposer(&Tree{Nodes: []Node{{Parent: -1, Center: at}}}, 1, false); err == nil {
		t.Error("m = 1 was accepted")
	}
}
