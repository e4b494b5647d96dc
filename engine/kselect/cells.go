package kselect

import "slices"

// Labeling is a division of rows into K clusters: a label from 0 to K-1 for each row.
type Labeling struct {
	Labels []int32
	K      int
}

// cells are the parts that several labelings divide rows into together: the rows of a cell have one label in each. What
// is measured between two cells so counts for all labelings at once.
type cells struct {
	of     []int32   // cell of each row, by its place among the rows given
	labels [][]int32 // of each cell, by labeling
}

// newCells is one cell of so many rows.
func newCells(rows int) *cells { return &cells{of: make([]int32, rows), labels: [][]int32{nil}} }

// divide takes in one more labeling. The cells are numbered as they are met.
func (c *cells) divide(l Labeling, rows []int32) {
	const none = -1
	ids := slices.Repeat([]int32{none}, len(c.labels)*l.K)
	var labels [][]int32
	for at, i := range rows {
		label := l.Labels[i]
		id := &ids[int(c.of[at])*l.K+int(label)]
		if *id == none {
			*id = int32(len(labels))
			labels = append(labels, append(slices.Clone(c.labels[c.of[at]]), label))
		}
		c.of[at] = *id
	}
	c.labels = labels
}

// number numbers the cells by their labels instead of by which was met first.
func (c *cells) number() {
	order := make([]int, len(c.labels))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return slices.Compare(c.labels[a], c.labels[b]) })
	numbers, labels := make([]int32, len(order)), make([][]int32, len(order))
	for to, from := range order {
		numbers[from], labels[to] = int32(to), c.labels[from]
	}
	for at, cell := range c.of {
		c.of[at] = numbers[cell]
	}
	c.labels = labels
}

// sizes counts the rows of each cell.
func (c *cells) sizes() []int {
	sizes := make([]int, len(c.labels))
	for _, cell := range c.of {
		sizes[cell]++
	}
	return sizes
}

// sorted puts the rows into the order of their cells, those of a cell as given; ends tells where each cell's rows end.
func (c *cells) sorted(rows []int32) (order []int32, ends []int) {
	ends = c.sizes()
	next := make([]int, len(ends))
	for cell := 1; cell < len(ends); cell++ {
		next[cell] = ends[cell-1]
		ends[cell] += ends[cell-1]
	}
	order = make([]int32, len(rows))
	for at, i := range rows {
		cell := c.of[at]
		order[next[cell]] = i
		next[cell]++
	}
	return order, ends
}

// minCellRows is how many rows a cell must have on average: in smaller ones what is done once for two cells outweighs
// their distances.
const minCellRows = 32

// together groups labelings, in their order, that are to be measured in one pass over the rows.
func together(labelings []Labeling, rows []int32) [][]Labeling {
	var groups [][]Labeling
	var shared *cells
	for _, l := range labelings {
		if shared != nil {
			shared.divide(l, rows)
			if len(shared.labels)*minCellRows <= len(rows) {
				last := len(groups) - 1
				groups[last] = append(groups[last], l)
				continue
			}
		}
		shared = newCells(len(rows))
		shared.divide(l, rows)
		groups = append(groups, []Labeling{l})
	}
	return groups
}
