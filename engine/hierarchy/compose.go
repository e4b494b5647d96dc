package hierarchy

import (
	"errors"
	"fmt"

	"github.com/quimbi/quimbi/engine/fcm"
)

// Composer computes memberships of all nodes of a tree from those of the roots. It is immutable and may be shared by
// goroutines; its methods do not allocate.
type Composer struct {
	m        float64
	hard     bool
	columns  int
	roots    int
	nodes    int
	families []family // by parent, so that parents are done before their children
	leaves   []int
}

// family is a divided node with its children, which stand together.
type family struct {
	parent, first, count int
	centers              []float64 // count x columns
}

// NewComposer prepares a tree for scoring with fuzzifier m, or with memberships of 0 and 1 if hard. Of the tree it
// uses Parent, Center and Children, so one that was stored with these alone is enough.
func NewComposer(t *Tree, m float64, hard bool) (*Composer, error) {
	if len(t.Nodes) == 0 {
		return nil, errors.New("the tree has no nodes")
	}
	if !hard && !(m > 1.01) {
		return nil, fmt.Errorf("the fuzzifier m must be above 1.01, got %v", m)
	}
	c := &Composer{m: m, hard: hard, columns: len(t.Nodes[0].Center), nodes: len(t.Nodes), leaves: t.Leaves()}
	for ; c.roots < len(t.Nodes) && t.Nodes[c.roots].Parent < 0; c.roots++ {
	}
	next := c.roots
	for i := range t.Nodes {
		node := &t.Nodes[i]
		if len(node.Center) != c.columns {
			return nil, fmt.Errorf("node %d has a centre of %d columns, node 0 of %d", i, len(node.Center), c.columns)
		}
		if len(node.Children) == 0 {
			continue
		}
		f := family{parent: i, first: next, count: len(node.Children)}
		for _, child := range node.Children {
			if child != next || child <= i || child >= len(t.Nodes) || t.Nodes[child].Parent != i {
				return nil, fmt.Errorf("node %d has child %d, where the order of the tree puts %d: give the tree as it was grown", i, child, next)
			}
			f.centers = append(f.centers, t.Nodes[child].Center...)
			next++
		}
		c.families = append(c.families, f)
	}
	if c.roots == 0 || next != len(t.Nodes) {
		return nil, fmt.Errorf("of %d nodes only %d hang on a root: give the tree as it was grown", len(t.Nodes), next)
	}
	return c, nil
}

// Len is the number of nodes, roots and leaves included.
func (c *Composer) Len() int { return c.nodes }

// Roots is the number of roots, the first nodes of the tree.
func (c *Composer) Roots() int { return c.roots }

// Leaves are the indices of the nodes without children, ascending. Do not change them.
func (c *Composer) Leaves() []int { return c.leaves }

// Nodes completes u, of length [Composer.Len], whose first [Composer.Roots] numbers are the memberships of the roots,
// in the tree's order: u of a child is u of its parent times the conditional membership among the siblings, by the
// formula of fuzzy c-means over their centres. row is standardised like the fitted rows.
func (c *Composer) Nodes(u, row []float64) {
	for i := range c.families {
		f := &c.families[i]
		children := u[f.first : f.first+f.count]
		parent := u[f.parent]
		switch {
		case parent == 0:
			clear(children)
			continue
		case c.hard:
			fcm.HardMemberships(children, row, f.centers, f.count)
		default:
			fcm.Memberships(children, row, f.centers, f.count, c.m)
		}
		for j := range children {
			children[j] *= parent
		}
	}
}

// Compose sets dst, in the order of [Composer.Leaves], to the leaf memberships of a row from the memberships of the
// roots, in the tree's order. u is scratch of length [Composer.Len]; afterwards it holds the memberships of all nodes.
func (c *Composer) Compose(dst, u, row, roots []float64) {
	copy(u[:c.roots], roots)
	c.Nodes(u, row)
	c.LeavesTo(dst, u)
}

// LeavesTo copies the leaves' memberships out of those of all nodes.
func (c *Composer) LeavesTo(dst, u []float64) {
	for at, i := range c.leaves {
		dst[at] = u[i]
	}
}

// PathTo returns the leaf that is reached from the dominant root by going to the dominant child level by level, the
// lowest index where memberships are equal. It need not be the leaf of greatest membership, see [Composer.Dominant].
func (c *Composer) PathTo(u []float64) int {
	at := greatest(u, 0, c.roots)
	for i := range c.families {
		if f := &c.families[i]; f.parent == at {
			at = greatest(u, f.first, f.count)
		}
	}
	return at
}

// Dominant returns the leaf of greatest membership, the lowest index where memberships are equal.
func (c *Composer) Dominant(u []float64) int {
	best := c.leaves[0]
	for _, i := range c.leaves[1:] {
		if u[i] > u[best] {
			best = i
		}
	}
	return best
}

func greatest(u []float64, first, count int) int {
	best := first
	for i := first + 1; i < first+count; i++ {
		if u[i] > u[best] {
			best = i
		}
	}
	return best
}
