// Package cart grows small classification trees that tell the rows of one kind from all others, with Gini's index
// (Breiman, Friedman, Olshen and Stone 1984, Classification and Regression Trees, chapters 2 and 4). It knows only numbers.
package cart

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrNotFinite means that the matrix holds a value that cannot be ordered or split.
var ErrNotFinite = errors.New("the matrix holds a value that is not finite: fill it first")

// Grower keeps columns sorted, so that trees for many kinds can be grown of the same rows. It may be shared by goroutines.
type Grower struct {
	columns [][]float64
	orders  [][]int32 // of every column: its rows from the least value to the greatest, equal ones in their order
	rows    int
}

// Node is a node of a tree: the rows that all splits above lead to it.
type Node struct {
	Parent      int // -1 at the top
	Left, Right int // nodes below; -1 for a leaf
	// Column, Low and High are the split of a node that is no leaf: rows with a value of at most Low go left, those of at least
	// High go right. No row of the node lies between, so any threshold in [Low, High) splits it alike.
	Column    int
	Low, High float64
	Rows      int
	Positive  int // of them
}

// NewGrower takes a matrix of n rows and d columns, row by row. It copies what it needs.
func NewGrower(x []float64, n, d int) (*Grower, error) {
	if n < 1 || d < 1 || n > math.MaxInt32 || len(x)%d != 0 || len(x)/d != n {
		return nil, fmt.Errorf("the matrix has %d numbers, but %d rows of %d columns were announced", len(x), n, d)
	}
	g := &Grower{rows: n}
	for c := range d {
		column, order := make([]float64, n), make([]int32, n)
		for i := range n {
			column[i], order[i] = x[i*d+c], int32(i)
			if math.IsNaN(column[i]) || math.IsInf(column[i], 0) {
				return nil, fmt.Errorf("%w: row %d, column %d is %v", ErrNotFinite, i, c, column[i])
			}
		}
		slices.SortStableFunc(order, func(a, b int32) int {
			switch {
			case column[a] < column[b]:
				return -1
			case column[a] > column[b]:
				return 1
			default:
				return 0
			}
		})
		g.columns, g.orders = append(g.columns, column), append(g.orders, order)
	}
	return g, nil
}

// Grow splits the rows, at most depth levels deep, so that those that are positive part from the others: each node by
// the column and the threshold that lower Gini's index most, of equal ones the first column and the least threshold. A
// node is a leaf where it lies at the depth, holds one kind only, or no split lowers the index. The first node is the top;
// parents come before their children.
func (g *Grower) Grow(positive []bool, depth int) ([]Node, error) {
	if len(positive) != g.rows {
		return nil, fmt.Errorf("%d rows are marked, the matrix has %d", len(positive), g.rows)
	}
	top := Node{Parent: -1, Left: -1, Right: -1, Rows: g.rows}
	for _, is := range positive {
		if is {
			top.Positive++
		}
	}
	nodes := []Node{top}
	at := make([]int32, g.rows) // the node of every row
	for first, level := 0, 0; level < depth && first < len(nodes); level++ {
		next := len(nodes)
		nodes = g.split(nodes, first, at, positive)
		first = next
	}
	return nodes, nil
}

// search is a node's best split so far, and where the scan of a column stands in it.
type search struct {
	gain           float64
	column         int
	low, high      float64
	rows, positive int // at most the last value
	last           float64
}

// split splits the nodes from first on and moves their rows down.
func (g *Grower) split(nodes []Node, first int, at []int32, positive []bool) []Node {
	open := make([]search, len(nodes)-first)
	for c := range g.columns {
		for i := range open {
			open[i].rows, open[i].positive = 0, 0
		}
		for _, row := range g.orders[c] {
			if int(at[row]) < first {
				continue
			}
			s := &open[int(at[row])-first]
			v := g.columns[c][row]
			if s.rows > 0 && v > s.last {
				s.consider(&nodes[at[row]], c, v)
			}
			s.last = v
			s.rows++
			if positive[row] {
				s.positive++
			}
		}
	}
	for i := range open {
		if s := &open[i]; s.gain > 0 {
			n := &nodes[first+i]
			n.Column, n.Low, n.High, n.Left, n.Right = s.column, s.low, s.high, len(nodes), len(nodes)+1
			below := Node{Parent: first + i, Left: -1, Right: -1}
			nodes = append(nodes, below, below)
		}
	}
	for row := range at {
		n := &nodes[at[row]]
		if int(at[row]) < first || n.Left < 0 {
			continue
		}
		at[row] = int32(n.Left)
		if g.columns[n.Column][row] > n.Low {
			at[row] = int32(n.Right)
		}
		nodes[at[row]].Rows++
		if positive[row] {
			nodes[at[row]].Positive++
		}
	}
	return nodes
}

// leastGain is the least improvement, in rows, that counts as one: less is rounding.
const leastGain = 1e-9

// consider weighs the split between the last value and the next one.
func (s *search) consider(n *Node, column int, next float64) {
	gain := impurity(n.Rows, n.Positive) - impurity(s.rows, s.positive) - impurity(n.Rows-s.rows, n.Positive-s.positive)
	if gain > leastGain && gain > s.gain {
		s.gain, s.column, s.low, s.high = gain, column, s.last, next
	}
}

// impurity is half of Gini's index times the number of rows: p (n - p)/n.
func impurity(rows, positive int) float64 {
	return float64(positive) * float64(rows-positive) / float64(rows)
}
