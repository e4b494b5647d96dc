package backtest

import "math"

// MaxSplits is the most divisions that one backtest makes.
const MaxSplits = 100

// Split is what one division of the customers gave.
type Split struct {
	Seed uint64 `json:"seed"`
	// Rule is the rule's precision on the threshold third.
	Rule float64 `json:"rule_precision"`
	// ECE is the calibration error of the recalibrated churn risk on everybody of the judged third, PastECE that of the churn risk
	// which outcomes known on the last day calibrate; nil without a purchase model.
	ECE       *float64        `json:"ece_everybody"`
	PastECE   *float64        `json:"ece_past_everybody"`
	Detectors []SplitDetector `json:"detectors"`
}

// SplitDetector is how a detector did on the judged third of one division: as in Class, among all customers.
type SplitDetector struct {
	Name      string   `json:"name"`
	Lead      *float64 `json:"lead_days"`
	Precision *float64 `json:"precision"`
	Brier     *float64 `json:"brier"`
}

func splitOf(r *Result) Split {
	s := Split{Seed: r.Seed, Rule: r.Rule}
	if r.Everybody != nil {
		s.ECE = &r.Everybody.ECE
	}
	if r.Past != nil {
		s.PastECE = &r.Past.ECE
	}
	value := func(i *Interval) *float64 {
		if i == nil {
			return nil
		}
		return &i.Value
	}
	for i := range r.Detectors {
		c := r.Detectors[i].Class(CadenceAll)
		s.Detectors = append(s.Detectors, SplitDetector{r.Detectors[i].Name, value(c.Lead), value(c.Precision), c.Brier})
	}
	return s
}

// Spread of a value over divisions.
type Spread struct {
	Count             int // of divisions that have the value
	Mean, Least, Most float64
}

// add counts a value; nil is none.
func (s *Spread) add(v *float64) {
	if v == nil {
		return
	}
	if s.Count == 0 {
		s.Least, s.Most = math.Inf(1), math.Inf(-1)
	}
	s.Count++
	s.Mean += (*v - s.Mean) / float64(s.Count)
	s.Least, s.Most = math.Min(s.Least, *v), math.Max(s.Most, *v)
}

// Spread is that of what is picked from every division.
func (r *Result) Spread(pick func(*Split) *float64) Spread {
	var s Spread
	for i := range r.Splits {
		s.add(pick(&r.Splits[i]))
	}
	return s
}

// DetectorSpread is that of what is picked from a detector in every division in which there was one.
func (r *Result) DetectorSpread(name string, pick func(*SplitDetector) *float64) Spread {
	return r.Spread(func(s *Split) *float64 {
		for i := range s.Detectors {
			if s.Detectors[i].Name == name {
				return pick(&s.Detectors[i])
			}
		}
		return nil
	})
}

// runSplits measures once for each division, with seeds that follow each other. The result is that of the first one, with what
// every division gave.
func runSplits(p *Plan, progress func(Progress), one func(*Plan, func(Progress)) (*Result, error)) (*Result, error) {
	var first *Result
	var splits []Split
	for n := range p.Splits {
		division := *p
		division.Seed += uint64(n)
		r, err := one(&division, func(at Progress) {
			progress(Progress{at.Stage, at.Done + n*at.Total, p.Splits * at.Total})
		})
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = r
		}
		splits = append(splits, splitOf(r))
	}
	first.Splits = splits
	return first, nil
}
