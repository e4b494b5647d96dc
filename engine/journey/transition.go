package journey

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// prior is what is added to every cell of a row that customers can go to, in customers (Jeffreys' prior of a multinomial).
const prior = 0.5

// Counts gives how many times a customer went from state to state in one step, and in two, over all dates. Nobody stays NEW
// or becomes it again: steps from NEW are those of the dates at which customers come.
func (j *Journey) Counts() (one, two Matrix) {
	one, two = newMatrix(len(j.States)), newMatrix(len(j.States))
	fresh := j.index(New)
	for _, w := range j.Ways {
		addSteps(one, w.At, fresh, 1, float64(w.Customers))
		addSteps(two, w.At, fresh, 2, float64(w.Customers))
	}
	return one, two
}

// addSteps adds a way's steps of a length; those over a date at which the customer stays NEW do not count.
func addSteps(m Matrix, at []uint16, fresh, length int, weight float64) {
	for t := 0; t+length < len(at); t++ {
		if int(at[t]) == fresh && int(at[t+1]) == fresh {
			continue
		}
		m[at[t]][at[t+length]] += weight
	}
}

// Probabilities are the rows of counts with half a customer added to each cell, summing to 1. The columns of NEW and of states in
// which nobody ever is are 0: nobody can go to the one, and of the other nothing is known.
func (j *Journey) Probabilities(counts Matrix) Matrix {
	p := newMatrix(len(j.States))
	entered := j.occupied()
	if fresh := j.index(New); fresh >= 0 {
		entered[fresh] = false
	}
	for i, row := range counts {
		sum := 0.0
		for k, n := range row {
			if entered[k] {
				p[i][k] = n + prior
				sum += p[i][k]
			}
		}
		for k := range p[i] {
			if sum > 0 {
				p[i][k] /= sum
			}
		}
	}
	return p
}

// occupied tells in which states somebody is on some date.
func (j *Journey) occupied() []bool {
	occupied := make([]bool, len(j.States))
	for _, w := range j.Ways {
		for _, s := range w.At {
			occupied[s] = true
		}
	}
	return occupied
}

// Shares are rows that sum to 1, without a prior; a row of zeros stays one.
func Shares(flows Matrix) Matrix {
	p := newMatrix(len(flows))
	for i, row := range flows {
		if sum := total(row); sum > 0 {
			for k, f := range row {
				p[i][k] = f / sum
			}
		}
	}
	return p
}

func total(row []float64) float64 {
	sum := 0.0
	for _, x := range row {
		sum += x
	}
	return sum
}

// replicates is how many samples a bootstrap draws: a standard error of a standard error of 5 %.
const replicates = 200

// StandardErrors are those of Probabilities of one step, by a bootstrap over customers, whose steps are not independent of each
// other. In each sample a customer counts Poisson(1) times, and so n customers of one way Poisson(n) times together (Hanley and
// MacGibbon 2006, Computer Methods and Programs in Biomedicine 83; Chamandy, Muralidharan, Najmi and Naidu 2012).
func (j *Journey) StandardErrors(seed uint64) Matrix {
	n, fresh := len(j.States), j.index(New)
	steps := make([][]cell, len(j.Ways))
	for w := range j.Ways {
		steps[w] = cellsOf(j.Ways[w].At, fresh)
	}
	source := rand.NewPCG(seed, 0)
	counts, sum, squares := newMatrix(n), newMatrix(n), newMatrix(n)
	for range replicates {
		for i := range counts {
			clear(counts[i])
		}
		for w := range steps {
			times := distuv.Poisson{Lambda: float64(j.Ways[w].Customers), Src: source}.Rand()
			for _, c := range steps[w] {
				counts[c.from][c.to] += times * c.count
			}
		}
		for i, row := range j.Probabilities(counts) {
			for k, p := range row {
				sum[i][k] += p
				squares[i][k] += p * p
			}
		}
	}
	errors := newMatrix(n)
	for i := range errors {
		for k := range errors[i] {
			mean := sum[i][k] / replicates
			errors[i][k] = math.Sqrt(max(0, squares[i][k]-replicates*mean*mean) / (replicates - 1))
		}
	}
	return errors
}

// cell is how often a way has one step.
type cell struct {
	from, to uint16
	count    float64
}

func cellsOf(at []uint16, fresh int) []cell {
	var cells []cell
next:
	for t := 0; t+1 < len(at); t++ {
		if int(at[t]) == fresh && int(at[t+1]) == fresh {
			continue
		}
		for i := range cells {
			if cells[i].from == at[t] && cells[i].to == at[t+1] {
				cells[i].count++
				continue next
			}
		}
		cells = append(cells, cell{at[t], at[t+1], 1})
	}
	return cells
}
