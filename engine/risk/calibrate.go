package risk

import (
	"math"
	"slices"
	"time"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
)

// Calibration looks at so many past days, so many days apart: the last one a horizon before now, so that all outcomes are known.
const (
	observedDays = 4
	observedStep = 28
)

// The least number of customers with a known outcome, and of those among them who were lost, and who were not.
const (
	minObserved = 500
	minLost     = 100
)

// maxObserved is how many customers are looked at; of more a part is drawn by their numbers.
const maxObserved = 50_000

// folds is into how many parts customers are divided, so that each is judged by what was fitted on the others.
const folds = 5

// Observer collects what a purchase model says of customers on past days, and what came. It is not safe for concurrent use, but
// observers of parts can be merged.
type Observer struct {
	predictor *engine.Predictor
	asOf      engine.Date
	share     uint64 // customers with a hash up to it are looked at
	days      []engine.Date
	then      []engine.PurchaseHistory // scratch
	seen      []observation
	held      [folds]engine.Calibration // what Calibrate fitted without each fold
}

// observation is one customer on one day.
type observation struct {
	customer int64
	day      int     // as a place among the observer's
	logit    float64 // of the probability of no purchase
	lost     bool
	drift    drifts
}

// NewObserver makes an observer of a store with so many customers, of whom everything before a day is known. Its predictor need not
// be one that predicts: then nothing is observed.
func NewObserver(p *engine.Predictor, asOf engine.Date, customers int) *Observer {
	o := &Observer{predictor: p, asOf: asOf, share: math.MaxUint64}
	if customers > maxObserved {
		o.share = math.MaxUint64 / uint64(customers) * maxObserved
	}
	if p.Fault() != engine.PredictionGiven {
		return o
	}
	for i := observedDays - 1; i >= 0; i-- {
		o.days = append(o.days, asOf-engine.Date(p.Settings.HorizonDays+i*observedStep))
	}
	o.then = make([]engine.PurchaseHistory, len(o.days))
	return o
}

// Add looks at a customer's past: on each day at what was known then, and at the purchases of the horizon after it. The
// builder, of any columns, is not kept.
func (o *Observer) Add(b *feature.Builder, zone *time.Location, customer int64, lines []engine.Line) {
	if len(o.days) == 0 || mixed(customer) > o.share {
		return
	}
	clear(o.then)
	at := make([]engine.Instant, len(o.days))
	for i, day := range o.days {
		at[i].At = day.In(zone)
	}
	b.Histories(lines, at, func(i int, h engine.PurchaseHistory) { o.then[i] = h })
	if o.then[len(o.days)-1].Purchases == 0 {
		return
	}
	purchases := b.Purchases(lines, o.asOf.In(zone))
	for i, h := range o.then {
		if h.Purchases == 0 {
			continue
		}
		next, _ := slices.BinarySearchFunc(purchases, o.days[i], func(p engine.Purchase, day engine.Date) int { return int(p.Day - day) })
		lost := next == len(purchases) || purchases[next].Day >= o.days[i]+engine.Date(o.predictor.Settings.HorizonDays)
		o.seen = append(o.seen, observation{customer: customer, day: i, logit: logit(o.predictor.NoPurchase(h, o.days[i])), lost: lost})
	}
}

// mixed spreads numbers evenly (the finaliser of SplitMix64, Steele, Lea, Flood 2014).
func mixed(customer int64) uint64 {
	z := uint64(customer) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func fold(customer int64) int { return int(mixed(customer) >> 3 % folds) }

// Merge adds what another observer of the same predictor and day saw of other customers. As with Tally, the order counts.
func (o *Observer) Merge(other *Observer) { o.seen = append(o.seen, other.seen...) }

// Calibrate fits the logistic recalibration sigma(c0 + c1 logit p) (Cox 1958) and judges it: every customer by the coefficients that the
// other customers gave. The predictor gets it if it is better for customers who were not fitted on, by Brier score and by
// calibration error, and stays as it is otherwise; the report, which is kept with it, says why.
func (o *Observer) Calibrate() {
	if o.predictor.Fault() != engine.PredictionGiven {
		return
	}
	p := o.predictor
	report := &engine.CalibrationReport{From: o.days[0], To: o.days[len(o.days)-1], Outcomes: len(o.seen)}
	p.Calibration, p.Calibrated = engine.Uncalibrated(), report
	var seen outcomes
	for i := range o.seen {
		seen.add(&o.seen[i])
	}
	report.Lost, report.Customers = seen.lost, seen.customers()
	if seen.tooFew() {
		report.Reason = engine.CalibrationTooFew
		return
	}
	fitted, ok := fitLogistic(o.seen, nobody, false)
	report.Fitted = fitted
	if !ok {
		report.Reason = engine.CalibrationNoFit
		return
	}
	before, after := o.judge(engine.Uncalibrated()), judgement{}
	for f := range folds {
		c, ok := fitLogistic(o.seen, f, false)
		if !ok {
			report.Reason = engine.CalibrationNoFit
			return
		}
		o.held[f] = c
		for i := range o.seen {
			if fold(o.seen[i].customer) == f {
				after.add(c.Apply(sigmoid(o.seen[i].logit), nil), o.seen[i].lost)
			}
		}
	}
	report.Before, report.After = before.scores(), after.scores()
	if !(report.After.Brier < report.Before.Brier && report.After.Error <= report.Before.Error) {
		report.Reason = engine.CalibrationNoGain
		return
	}
	p.Calibration = fitted
}

// outcomes counts observations and the customers in them.
type outcomes struct {
	observations, lost int
	left, returned     map[int64]bool // on one of the days or more
}

func (c *outcomes) add(s *observation) {
	if c.left == nil {
		c.left, c.returned = map[int64]bool{}, map[int64]bool{}
	}
	c.observations++
	if s.lost {
		c.lost++
		c.left[s.customer] = true
	} else {
		c.returned[s.customer] = true
	}
}

func (c *outcomes) customers() int {
	n := len(c.left)
	for customer := range c.returned {
		if !c.left[customer] {
			n++
		}
	}
	return n
}

func (c *outcomes) tooFew() bool {
	return c.customers() < minObserved || len(c.left) < minLost || len(c.returned) < minLost
}

func (o *Observer) judge(c engine.Calibration) judgement {
	var j judgement
	for i := range o.seen {
		j.add(c.Apply(sigmoid(o.seen[i].logit), nil), o.seen[i].lost)
	}
	return j
}

// nearCertain is how close to 0 or 1 a probability is taken for its logit.
const nearCertain = 1e-6

func logit(p float64) float64 {
	p = math.Min(1-nearCertain, math.Max(nearCertain, p))
	return math.Log(p / (1 - p))
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

const (
	logisticSteps     = 50
	logisticTolerance = 1e-9
	// widestCoefficient is beyond what a recalibration can sensibly be: the outcomes are separable, or nearly so. Deviations from a
	// baseline are a tenth of what logits are, so the coefficient of drift may be ten times as large.
	widestCoefficient = 20
	widestDrift       = 200
	// nobody is the fold that leaves none out.
	nobody = -1
)

// fitLogistic maximises the likelihood of the recalibration by Newton's method on all observations but those of a fold, with the
// term of drift or without. ok is false where it has no maximum, or one that would turn the order of customers round.
func fitLogistic(seen []observation, but int, withDrift bool) (c engine.Calibration, ok bool) {
	c = engine.Uncalibrated()
	terms := 2
	if withDrift {
		terms = 3
	}
	for range logisticSteps {
		var gradient [3]float64
		var hessian [3][3]float64
		for i := range seen {
			s := &seen[i]
			if but != nobody && fold(s.customer) == but {
				continue
			}
			x := [3]float64{1, s.logit, 0}
			odds := c.Intercept + c.Slope*s.logit
			if withDrift {
				x[2] = s.drift.without(s.customer, but)
				odds += c.Drift * x[2]
			}
			q := sigmoid(odds)
			e, w := -q, q*(1-q)
			if s.lost {
				e++
			}
			for j := range terms {
				gradient[j] += e * x[j]
				for k := range j + 1 {
					hessian[j][k] += w * x[j] * x[k]
				}
			}
		}
		step := solve(hessian, gradient, terms)
		c.Intercept += step[0]
		c.Slope += step[1]
		c.Drift += step[2]
		if !(math.Abs(c.Intercept) < widestCoefficient && math.Abs(c.Slope) < widestCoefficient && math.Abs(c.Drift) < widestDrift) {
			return c, false
		}
		if math.Abs(step[0])+math.Abs(step[1])+math.Abs(step[2]) < logisticTolerance {
			return c, c.Slope > 0
		}
	}
	return c, false
}

// solve gives the solution of a x = b, a being symmetric and positive definite, of which the lower triangle is there (Cholesky). It is not
// finite where a is singular.
func solve(a [3][3]float64, b [3]float64, n int) (x [3]float64) {
	for j := range n {
		for k := range j + 1 {
			sum := a[j][k]
			for i := range k {
				sum -= a[j][i] * a[k][i]
			}
			if j == k {
				a[j][j] = math.Sqrt(sum)
			} else {
				a[j][k] = sum / a[k][k]
			}
		}
	}
	for j := range n {
		x[j] = b[j]
		for k := range j {
			x[j] -= a[j][k] * x[k]
		}
		x[j] /= a[j][j]
	}
	for j := n - 1; j >= 0; j-- {
		for k := j + 1; k < n; k++ {
			x[j] -= a[k][j] * x[k]
		}
		x[j] /= a[j][j]
	}
	return x
}

// bins is into how many classes of equal width probabilities are sorted.
const bins = 10

// judgement sums up how good probabilities were.
type judgement struct {
	n, squares float64
	bins       [bins]struct{ predicted, lost float64 }
}

func (j *judgement) add(p float64, lost bool) {
	j.n++
	j.squares += squared(p, lost)
	b := &j.bins[min(bins-1, int(p*bins))]
	b.predicted += p
	if lost {
		b.lost++
	}
}

// squared is how far a probability lies from what came, squared.
func squared(p float64, lost bool) float64 {
	if lost {
		p--
	}
	return p * p
}

// scores are the Brier score (Brier 1950), mean (p - y)^2, and the expected calibration error: how far the mean probability of a
// class lies from the share that was lost, averaged over customers.
func (j *judgement) scores() *engine.CalibrationScores {
	s := &engine.CalibrationScores{Brier: j.squares / j.n}
	for _, b := range j.bins {
		s.Error += math.Abs(b.predicted-b.lost) / j.n
	}
	return s
}
