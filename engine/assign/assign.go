// Package assign pairs rows with columns at the least total cost (Kuhn 1955; by shortest augmenting paths with potentials, as in
// Jonker and Volgenant 1987).
package assign

import (
	"errors"
	"fmt"
	"math"
)

// ErrCost rejects costs that cannot be added up.
var ErrCost = errors.New("a cost of an assignment must be a finite number")

// Min pairs every row of an n x m matrix of costs with a column of its own, or, where n > m, every column with a row. cost is
// row-major. The result names the column of each row, -1 for a row that is left over. Of equally cheap assignments the
// same one is found always. It takes O(min(n,m)^2 max(n,m)) time and panics only if len(cost) != n*m.
func Min(cost []float64, n, m int) ([]int, error) {
	if len(cost) != n*m {
		panic(fmt.Sprintf("assign: matrix of %d costs given as %d x %d", len(cost), n, m))
	}
	for i, c := range cost {
		if math.IsNaN(c) || math.IsInf(c, 0) {
			return nil, fmt.Errorf("%w: that of row %d and column %d is %v", ErrCost, i/m, i%m, c)
		}
	}
	columns := make([]int, n)
	if n <= m {
		for column, row := range pair(n, m, func(i, j int) float64 { return cost[i*m+j] }) {
			if row >= 0 {
				columns[row] = column
			}
		}
		return columns, nil
	}
	copy(columns, pair(m, n, func(j, i int) float64 { return cost[i*m+j] }))
	return columns, nil
}

// pair gives for each of m columns the row that it is paired with, -1 for none; every one of the n <= m rows has a column.
func pair(n, m int, cost func(i, j int) float64) []int {
	row := make([]int, m) // of each column
	for j := range row {
		row[j] = -1
	}
	u, v := make([]float64, n), make([]float64, m) // potentials: cost(i, j) - u[i] - v[j] >= 0, and 0 where paired
	least, from, done := make([]float64, m), make([]int, m), make([]bool, m)
	for start := range n {
		for j := range m {
			least[j], from[j], done[j] = math.Inf(1), -1, false
		}
		// A shortest path from the unpaired row to an unpaired column, over pairs that are given up on the way.
		i, last, reached := start, -1, 0.0
		for {
			next := -1
			for j := range m {
				if done[j] {
					continue
				}
				if d := reached + cost(i, j) - u[i] - v[j]; d < least[j] {
					least[j], from[j] = d, last
				}
				if next < 0 || least[j] < least[next] {
					next = j
				}
			}
			done[next] = true
			last, reached = next, least[next]
			if row[next] < 0 {
				break
			}
			i = row[next]
		}
		u[start] += reached
		for j := range m {
			if done[j] && j != last {
				u[row[j]] += reached - least[j]
				v[j] -= reached - least[j]
			}
		}
		for j := last; j >= 0; j = from[j] {
			if from[j] < 0 {
				row[j] = start
			} else {
				row[j] = row[from[j]]
			}
		}
	}
	return row
}
