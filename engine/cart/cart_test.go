package cart

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The first split of Fisher's irises (R's rpart and scikit-learn's DecisionTreeClassifier agree on it): setosa is told from the
// others by petals of up to 1.9 against 3.0 cm and up. Here the petal lengths and widths of some of each kind.
func TestIris(t *testing.T) {
	t.Parallel()
	x := []float64{
		1.4, 0.2, 1.9, 0.2, 1.0, 0.2, 1.7, 0.5, 1.6, 0.6, // setosa
		4.7, 1.4, 3.0, 1.1, 5.1, 1.6, 4.5, 1.5, 3.3, 1.0, // versicolor
		6.0, 2.5, 5.1, 1.9, 4.5, 1.7, 6.9, 2.3, 4.8, 1.8, // virginica
	}
	g, err := NewGrower(x, 15, 2)
	if err != nil {
		t.Fatal(err)
	}
	kind := func(from, to int) []bool {
		marks := make([]bool, 15)
		for i := from; i < to; i++ {
			marks[i] = true
		}
		return marks
	}
	nodes, err := g.Grow(kind(0, 5), 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []Node{
		{Parent: -1, Left: 1, Right: 2, Column: 0, Low: 1.9, High: 3.0, Rows: 15, Positive: 5},
		{Parent: 0, Left: -1, Right: -1, Rows: 5, Positive: 5},
		{Parent: 0, Left: -1, Right: -1, Rows: 10},
	}
	if diff := cmp.Diff(want, nodes); diff != "" {
		t.Errorf("setosa (-want +got):\n%s", diff)
	}
	// Versicolor needs two thresholds of one column: width from 0.6 to 1.0 and from 1.6 to 1.7.
	nodes, err = g.Grow(kind(5, 10), 3)
	if err != nil {
		t.Fatal(err)
	}
	pure := 0
	for _, n := range nodes {
		if n.Left < 0 && n.Positive == n.Rows {
			pure += n.Rows
		}
	}
	if pure != 5 {
		t.Errorf("%d of 5 versicolor stand in pure leaves: %+v", pure, nodes)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		if _, err := NewGrower([]float64{1, bad}, 2, 1); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for _, shape := range [][2]int{{0, 1}, {1, 0}, {3, 1}, {1, 1}} {
		if _, err := NewGrower([]float64{1, 2}, shape[0], shape[1]); err == nil {
			t.Errorf("%v is taken for the shape of two numbers", shape)
		}
	}
	g, err := NewGrower([]float64{1, 2}, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Grow([]bool{true}, 3); err == nil {
		t.Error("one mark for two rows is taken")
	}
}

func TestTrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n, d := rapid.IntRange(1, 40).Draw(t, "rows"), rapid.IntRange(1, 3).Draw(t, "columns")
		x := make([]float64, n*d)
		for i := range x {
			x[i] = float64(rapid.IntRange(0, 6).Draw(t, "value")) // few values, many ties
		}
		positive := make([]bool, n)
		for i := range positive {
			positive[i] = rapid.Bool().Draw(t, "positive")
		}
		depth := rapid.IntRange(0, 4).Draw(t, "depth")
		g, err := NewGrower(x, n, d)
		if err != nil {
			t.Fatal(err)
		}
		nodes, err := g.Grow(positive, depth)
		if err != nil {
			t.Fatal(err)
		}
		rows, marks := make([]int, len(nodes)), make([]int, len(nodes))
		for i := range n {
			levels := 0
			for at := 0; at >= 0; levels++ {
				rows[at]++
				if positive[i] {
					marks[at]++
				}
				node := &nodes[at]
				if node.Left < 0 {
					break
				}
				if !(node.Low < node.High) {
					t.Fatalf("node %d splits between %v and %v", at, node.Low, node.High)
				}
				v := x[i*d+node.Column]
				if v > node.Low && v < node.High {
					t.Fatalf("row %d has %v between %v and %v", i, v, node.Low, node.High)
				}
				at = node.Left
				if v > node.Low {
					at = node.Right
				}
			}
			if levels > depth {
				t.Fatalf("row %d lies %d splits deep, at most %d were asked for", i, levels, depth)
			}
		}
		for at, node := range nodes {
			if node.Rows != rows[at] || node.Positive != marks[at] || node.Rows == 0 {
				t.Fatalf("node %d says %d of %d, counted are %d of %d", at, node.Positive, node.Rows, marks[at], rows[at])
			}
			if node.Left >= 0 && impurity(nodes[node.Left].Rows, nodes[node.Left].Positive)+impurity(nodes[node.Right].Rows, nodes[node.Right].Positive) >= impurity(node.Rows, node.Positive) {
				t.Fatalf("the split of node %d lowers nothing", at)
			}
		}
		// No single split of all rows is better than the first one.
		best := 0.0
		for c := range d {
			for threshold := range 6 {
				left, leftMarks := 0, 0
				for i := range n {
					if x[i*d+c] <= float64(threshold) {
						left++
						if positive[i] {
							leftMarks++
						}
					}
				}
				if left > 0 && left < n {
					best = max(best, impurity(n, marks[0])-impurity(left, leftMarks)-impurity(n-left, marks[0]-leftMarks))
				}
			}
		}
		if depth > 0 && best > 1e-6 {
			top := &nodes[0]
			if top.Left < 0 {
				t.Fatalf("the top is a leaf, a split would gain %v", best)
			}
			l, r := &nodes[top.Left], &nodes[top.Right]
			if got := impurity(n, marks[0]) - impurity(l.Rows, l.Positive) - impurity(r.Rows, r.Positive); got < best-1e-9 {
				t.Fatalf("the first split gains %v, another %v", got, best)
			}
		}
	})
}
