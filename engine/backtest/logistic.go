package backtest

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// logistic is a fitted logistic regression sigma(w0 + sum_j w_j (x_j - mean_j)/sd_j).
type logistic struct {
	columns  []int // of the signals
	mean, sd []float64
	weights  []float64 // the first is the intercept
}

const (
	// A little ridge keeps columns that say nearly the same from running away; it counts as much as so many customer-weeks
	// among thousands.
	ridge         = 1.0
	logisticSteps = 50
)

// fitLogistic fits on rows of signals with outcomes, by Newton's method with halved steps where the likelihood falls. A row
// in which a column is undefined is left out. ok is false where outcomes are all alike or nothing is left.
func fitLogistic(rows *observations, which []int, columns []int) (l *logistic, ok bool) {
	l = &logistic{columns: columns, mean: make([]float64, len(columns)), sd: make([]float64, len(columns)), weights: make([]float64, len(columns)+1)}
	var use []int
	churned := 0
	for _, i := range which {
		if rows.defined(i, columns) {
			use = append(use, i)
			churned += int(rows.lost[i])
		}
	}
	if churned == 0 || churned == len(use) {
		return nil, false
	}
	for j, c := range columns {
		sum, squares := 0.0, 0.0
		for _, i := range use {
			sum += rows.signal(i, c)
		}
		l.mean[j] = sum / float64(len(use))
		for _, i := range use {
			e := rows.signal(i, c) - l.mean[j]
			squares += e * e
		}
		if l.sd[j] = math.Sqrt(squares / float64(len(use))); !(l.sd[j] > 1e-12) {
			l.sd[j] = math.Inf(1) // a constant says nothing
		}
	}
	l.weights[0] = math.Log(float64(churned) / float64(len(use)-churned))
	n := len(l.weights)
	gradient, hessian, step := mat.NewVecDense(n, nil), mat.NewSymDense(n, nil), mat.NewVecDense(n, nil)
	x := make([]float64, n)
	value := l.evaluate(rows, use, x, gradient, hessian)
	before := make([]float64, n)
	for range logisticSteps {
		var chol mat.Cholesky
		if !chol.Factorize(hessian) {
			return nil, false
		}
		if err := chol.SolveVecTo(step, gradient); err != nil {
			return nil, false
		}
		copy(before, l.weights)
		last := value
		for scale := 1.0; scale > 1e-6; scale /= 2 {
			for j := range l.weights {
				l.weights[j] = before[j] + scale*step.AtVec(j)
			}
			if value = l.evaluate(rows, use, x, gradient, hessian); value >= last {
				break
			}
		}
		if value-last < 1e-9*(1+math.Abs(last)) {
			break
		}
	}
	return l, true
}

// evaluate gives the penalised log-likelihood with its gradient and negative Hessian.
func (l *logistic) evaluate(rows *observations, use []int, x []float64, gradient *mat.VecDense, hessian *mat.SymDense) float64 {
	n := len(x)
	gradient.Zero()
	hessian.Zero()
	g, h := gradient.RawVector().Data, hessian.RawSymmetric()
	value := 0.0
	for _, i := range use {
		l.standardise(rows, i, x)
		score := dot(l.weights, x)
		p := sigmoid(score)
		y := float64(rows.lost[i])
		value += y*score - softplus(score)
		for a := range n {
			g[a] += (y - p) * x[a]
			for b := a; b < n; b++ {
				h.Data[a*h.Stride+b] += p * (1 - p) * x[a] * x[b]
			}
		}
	}
	for j := 1; j < n; j++ {
		value -= ridge / 2 * l.weights[j] * l.weights[j]
		g[j] -= ridge * l.weights[j]
		h.Data[j*h.Stride+j] += ridge
	}
	return value
}

func (l *logistic) standardise(rows *observations, i int, x []float64) {
	x[0] = 1
	for j, c := range l.columns {
		x[j+1] = (rows.signal(i, c) - l.mean[j]) / l.sd[j]
	}
}

// probability is that of churn for a row; NaN where a column is undefined.
func (l *logistic) probability(rows *observations, i int) float64 {
	score := l.weights[0]
	for j, c := range l.columns {
		score += l.weights[j+1] * (rows.signal(i, c) - l.mean[j]) / l.sd[j]
	}
	return sigmoid(score)
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for j := range a {
		sum += a[j] * b[j]
	}
	return sum
}

func sigmoid(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

// softplus is ln(1+e^v) without overflow.
func softplus(v float64) float64 { return math.Max(v, 0) + math.Log1p(math.Exp(-math.Abs(v))) }

// logOdds of a probability that is kept from 0 and 1.
func logOdds(p float64) float64 {
	p = math.Min(1-1e-9, math.Max(1e-9, p))
	return math.Log(p / (1 - p))
}
