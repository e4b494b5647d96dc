package backtest

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// averagePrecision is the area under precision and recall: the sum over scores, from the highest, of precision times the
// gain in recall; equal scores are taken together. Rows without a score are the lowest. NaN where nothing is churn.
// Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.
func averagePrecision(score []float64, lost []int8) float64 {
	_, area := precisionRecall(score, lost, 0)
	return area
}

// Point of a curve of precision over recall.
type Point struct {
	Recall    float64 `json:"recall"`
	Precision float64 `json:"precision"`
}

// precisionRecall gives the area and, where points is over 0, the curve at about so many recalls.
func precisionRecall(score []float64, lost []int8, points int) (curve []Point, area float64) {
	order := make([]int, len(score))
	all := 0
	for i := range order {
		order[i] = i
		all += int(lost[i])
	}
	if all == 0 {
		return nil, math.NaN()
	}
	value := func(i int) float64 {
		if math.IsNaN(score[i]) {
			return math.Inf(-1)
		}
		return score[i]
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(value(b), value(a)), cmp.Compare(a, b)) })
	hits, before := 0, 0
	for n, i := range order {
		hits += int(lost[i])
		if n+1 < len(order) && value(order[n+1]) == value(i) {
			continue
		}
		precision, recall := float64(hits)/float64(n+1), float64(hits)/float64(all)
		area += precision * float64(hits-before) / float64(all)
		before = hits
		if points > 0 && (len(curve) == 0 || recall-curve[len(curve)-1].Recall >= 1/float64(points) || n+1 == len(order)) {
			curve = append(curve, Point{recall, precision})
		}
	}
	return curve, area
}

// Bin holds the predictions of a tenth: of those from 0 to 0.1, from 0.1 to 0.2 and so on.
type Bin struct {
	Predicted float64 `json:"predicted"` // their mean
	Observed  float64 `json:"observed"`  // the share that was churn
	Count     int     `json:"count"`
}

// Reliability says how true probabilities are.
type Reliability struct {
	// Brier is the mean squared error (Brier 1950); Base is that of predicting the share of churn for everybody.
	Brier float64 `json:"brier"`
	Base  float64 `json:"brier_of_base_rate"`
	// ECE is the expected calibration error over the bins: the mean distance of predicted and observed, weighted by count
	// (Naeini, Cooper and Hauskrecht, AAAI 2015).
	ECE float64 `json:"ece"`
	// Count is the number of predictions, BaseRate the share that was churn.
	Count    int     `json:"count"`
	BaseRate float64 `json:"base_rate"`
	// Bins are those with predictions, in order.
	Bins []Bin `json:"bins"`
}

const binCount = 10

// reliabilityOf judges probabilities; NaN ones are left out.
func reliabilityOf(p []float64, lost []int8) Reliability {
	var r Reliability
	var bins [binCount]Bin
	churned := 0
	for i, v := range p {
		if math.IsNaN(v) {
			continue
		}
		e := v - float64(lost[i])
		r.Brier += e * e
		r.Count++
		churned += int(lost[i])
		b := &bins[min(binCount-1, int(v*binCount))]
		b.Predicted += v
		b.Observed += float64(lost[i])
		b.Count++
	}
	if r.Count == 0 {
		return r
	}
	n := float64(r.Count)
	r.Brier /= n
	r.BaseRate = float64(churned) / n
	r.Base = r.BaseRate * (1 - r.BaseRate)
	for _, b := range bins {
		if b.Count == 0 {
			continue
		}
		r.ECE += math.Abs(b.Predicted-b.Observed) / n
		b.Predicted /= float64(b.Count)
		b.Observed /= float64(b.Count)
		r.Bins = append(r.Bins, b)
	}
	return r
}

// Interval is a value with its 95 % interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// bootstrapSamples is the number of samples that an interval is made of.
const bootstrapSamples = 1000

// cluster holds one customer's part of a ratio.
type cluster struct{ sum, count float64 }

// ratio gives sum/count over customers with its percentile interval from a bootstrap that draws whole customers, since the gaps
// of one customer are alike (Efron and Tibshirani 1993, chapter 13; Cameron, Gelbach and Miller 2008 on clusters).
func ratio(customers []cluster, seed uint64) Interval {
	var sum, count float64
	for _, c := range customers {
		sum += c.sum
		count += c.count
	}
	if count == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	random := rand.New(rand.NewPCG(seed, uint64(len(customers))))
	values := make([]float64, 0, bootstrapSamples)
	for range bootstrapSamples {
		var s, n float64
		for range customers {
			c := customers[random.IntN(len(customers))]
			s += c.sum
			n += c.count
		}
		values = append(values, s/n)
	}
	slices.Sort(values)
	return Interval{sum / count, quantile(values, 0.025), quantile(values, 0.975)}
}

// quantile of ascending values, type 7 of Hyndman and Fan 1996.
func quantile(values []float64, q float64) float64 {
	place := q * float64(len(values)-1)
	low := int(place)
	if low+1 >= len(values) {
		return values[len(values)-1]
	}
	return values[low] + (place-float64(low))*(values[low+1]-values[low])
}
