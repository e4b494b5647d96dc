package btyd

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"
)

// optimum is where a likelihood is largest.
type optimum struct {
	logs           []float64 // of the parameters
	logLikelihood  float64   // summed over customers, without ridge
	standardErrors []float64 // of the parameters; nil where the information is singular
}

// maximise climbs from every start by BFGS in the log-parameters, goes on by Nelder-Mead where BFGS fails, and sharpens
// the best result by Newton steps. Results for which reject (it may be nil) is true do not count.
func maximise(
	ctx context.Context, l likelihood, starts [][]float64, ridge float64, reject func(logs []float64) bool,
) (*optimum, error) {
	o := &objective{ctx: ctx, likelihood: l, ridge: ridge}
	var best []float64
	lowest := math.Inf(1)
	for _, start := range starts {
		x, f := o.descend(start)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if f < lowest && (reject == nil || !reject(x)) {
			best, lowest = x, f
		}
	}
	if best == nil || math.IsInf(lowest, 0) || math.IsNaN(lowest) {
		return nil, ErrNoOptimum
	}
	best = o.sharpen(best)
	result := &optimum{logs: best, standardErrors: o.standardErrors(best)}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	result.logLikelihood = l.evaluate(exponentials(best), make([]float64, len(best)))
	return result, nil
}

// objective is minus the mean log-likelihood in log-parameters, plus the ridge, plus a wall far outside the range of
// identifiable parameters: a search that runs to infinity stops there instead of at rounding noise.
type objective struct {
	ctx        context.Context
	likelihood likelihood
	ridge      float64

	// The optimiser asks for value and gradient one by one; they are computed together.
	lastX, lastGradient []float64
	lastValue           float64
}

const (
	wallAt     = 12 // e^12 = 160,000
	wallWeight = 0.01
	farthest   = 25 // beyond e^25 the likelihood is not evaluated any more, only the wall grows
)

func (o *objective) at(x []float64) (value float64, gradient []float64) {
	if o.lastX != nil && slices.Equal(o.lastX, x) {
		return o.lastValue, o.lastGradient
	}
	logs := make([]float64, len(x))
	for i, v := range x {
		logs[i] = math.Max(-farthest, math.Min(farthest, v))
	}
	parameters := exponentials(logs)
	gradient = make([]float64, len(x))
	n := o.likelihood.size()
	value = -o.likelihood.evaluate(parameters, gradient) / n
	for i, v := range x {
		gradient[i] *= -parameters[i] / n
		if v != logs[i] {
			gradient[i] = 0
		}
		value += o.ridge * v * v
		gradient[i] += 2 * o.ridge * v
		if over := math.Abs(v) - wallAt; over > 0 {
			value += wallWeight * over * over
			gradient[i] += 2 * wallWeight * math.Copysign(over, v)
		}
	}
	if math.IsNaN(value) {
		value = math.Inf(1)
	}
	o.lastX, o.lastValue, o.lastGradient = slices.Clone(x), value, gradient
	return value, gradient
}

func (o *objective) problem() optimize.Problem {
	return optimize.Problem{
		Func: func(x []float64) float64 { v, _ := o.at(x); return v },
		Grad: func(gradient, x []float64) { _, g := o.at(x); copy(gradient, g) },
		Status: func() (optimize.Status, error) {
			if err := o.ctx.Err(); err != nil {
				return optimize.Failure, err
			}
			return optimize.NotTerminated, nil
		},
	}
}

// descend returns the lowest point found from the start. The line search of BFGS often gives up at the optimum itself,
// where a step changes nothing but rounding; whether it stopped there is told by the gradient.
func (o *objective) descend(start []float64) (x []float64, value float64) {
	settings := &optimize.Settings{
		GradientThreshold: 1e-9,
		MajorIterations:   300,
		Converger:         &optimize.FunctionConverge{Absolute: 1e-13, Iterations: 10},
	}
	x, value = o.run(start, settings, &optimize.BFGS{})
	if o.flatAt(x) || o.ctx.Err() != nil {
		return x, value
	}
	settings.Converger = &optimize.FunctionConverge{Absolute: 1e-12, Iterations: 60}
	settings.MajorIterations = 2000
	if y, v := o.run(x, settings, &optimize.NelderMead{}); v < value {
		return y, v
	}
	return x, value
}

// run keeps the better of the start and the result: on failure the optimiser's last point may be worse.
func (o *objective) run(start []float64, settings *optimize.Settings, method optimize.Method) ([]float64, float64) {
	value, _ := o.at(start)
	// An error means that the search ended early; how good its point is shows in the value and the gradient.
	result, _ := optimize.Minimize(o.problem(), start, settings, method)
	if result == nil || !(result.F < value) {
		return slices.Clone(start), value
	}
	return slices.Clone(result.X), result.F
}

func (o *objective) flatAt(x []float64) bool {
	_, gradient := o.at(x)
	for _, g := range gradient {
		if !(math.Abs(g) < 1e-5) {
			return false
		}
	}
	return true
}

// sharpen makes up to three Newton steps. The likelihoods are flat along curved ridges, where a tiny gradient still
// leaves the third digit of a parameter open.
func (o *objective) sharpen(x []float64) []float64 {
	value, gradient := o.at(x)
	for range 3 {
		var root mat.Cholesky
		if !root.Factorize(o.hessian(x, true)) {
			return x
		}
		var step mat.VecDense
		if err := root.SolveVecTo(&step, mat.NewVecDense(len(gradient), slices.Clone(gradient))); err != nil {
			return x
		}
		next, largest := make([]float64, len(x)), 0.0
		for i := range x {
			next[i] = x[i] - step.AtVec(i)
			largest = math.Max(largest, math.Abs(step.AtVec(i)))
		}
		nextValue, nextGradient := o.at(next)
		if largest > 1 || !(nextValue <= value+1e-12*math.Abs(value)) || mat.Norm(mat.NewVecDense(len(x), nextGradient), 2) >= mat.Norm(mat.NewVecDense(len(x), gradient), 2) {
			return x
		}
		x, value, gradient = next, nextValue, nextGradient
		if largest < 1e-7 {
			return x
		}
	}
	return x
}

// hessian of the objective by central differences of the gradient; without the penalties it is that of minus the mean
// log-likelihood alone.
func (o *objective) hessian(x []float64, penalties bool) *mat.SymDense {
	const step = 1e-4
	target := o
	if !penalties {
		target = &objective{ctx: o.ctx, likelihood: o.likelihood}
	}
	n := len(x)
	rows := make([][]float64, n)
	for i := range x {
		up, down := slices.Clone(x), slices.Clone(x)
		up[i] += step
		down[i] -= step
		_, high := target.at(up)
		high = slices.Clone(high)
		_, low := target.at(down)
		rows[i] = make([]float64, n)
		for j := range high {
			rows[i][j] = (high[j] - low[j]) / (2 * step)
		}
	}
	h := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			h.SetSym(i, j, (rows[i][j]+rows[j][i])/2)
		}
	}
	return h
}

// standardErrors come from the observed information of the log-parameters; by the delta method the error of theta is
// theta times that of ln theta.
func (o *objective) standardErrors(x []float64) []float64 {
	var root mat.Cholesky
	if !root.Factorize(o.hessian(x, false)) || root.Cond() > 1e12 {
		return nil
	}
	var covariance mat.SymDense
	if err := root.InverseTo(&covariance); err != nil {
		return nil
	}
	errs := make([]float64, len(x))
	for i, v := range x {
		errs[i] = math.Exp(v) * math.Sqrt(covariance.At(i, i)/o.likelihood.size())
		if math.IsNaN(errs[i]) || math.IsInf(errs[i], 0) {
			return nil
		}
	}
	return errs
}
