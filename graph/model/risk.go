package model

import (
	"math"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/risk"
)

// RiskBasis is what the segments' risk weights rest on; nil where they have none.
func (m *Model) RiskBasis() *engine.RiskBasis { return m.Risk }

// RiskLevel is the risk level of a thumbprint under a model; nil where either is missing, or the model has no weights.
func RiskLevel(m *engine.Model, t engine.Thumbprint) *float64 {
	level, ok := risk.WeightsOf(m).Level(t)
	return orNull(level, ok)
}

func orNull(value float64, ok bool) *float64 {
	if !ok {
		return nil
	}
	return &value
}

// RiskLevel is the axis's part of the level.
func (a *AxisMembership) RiskLevel() *float64 {
	if len(a.ranked) == 0 {
		return nil
	}
	level, ok := risk.WeightsOf(a.model).AxisLevel(a.Axis.Index, a.stand.Thumbprint)
	return orNull(level, ok)
}

// riskLevels are those of the series' dates, NaN where there is none.
func (s *Series) riskLevels() []float64 {
	weights := risk.WeightsOf(s.Model)
	levels := make([]float64, len(s.Prints))
	for i, print := range s.Prints {
		levels[i] = math.NaN()
		if level, ok := weights.Level(print); ok {
			levels[i] = level
		}
	}
	return levels
}

// RiskLevels are NaN where there is none.
func (t *Timeline) RiskLevels() []float64 { return t.riskLevels() }

// riskChange is that between the first and the last date.
func (s *Series) riskChange() *float64 {
	change, ok := risk.WeightsOf(s.Model).Drift(s.Prints[0], s.Prints[len(s.Prints)-1])
	return orNull(change, ok)
}

// RiskShift is where risk went between the first and the last date of a series.
type RiskShift struct {
	Series                *Series
	AsOf                  *engine.Date // the day that the question was put back to, beside the customer's own
	Before, After, Change *float64
	Direction             *risk.Direction
}

// NewRiskShift looks at a series of at least one date.
func NewRiskShift(s *Series, asOf *engine.Date) *RiskShift {
	shift := &RiskShift{
		Series: s, AsOf: asOf, Change: s.riskChange(),
		Before: RiskLevel(s.Model, s.Prints[0]), After: RiskLevel(s.Model, s.Prints[len(s.Prints)-1]),
	}
	if shift.Change != nil {
		direction := risk.DirectionOf(*shift.Change)
		shift.Direction = &direction
	}
	return shift
}

// Baseline is the range of days that FromBaseline compares with.
func (r *RiskShift) Baseline() *DateRange {
	last := r.Series.Rows[len(r.Series.Rows)-1].Date
	from, to := last-risk.BaselineFrom, last-risk.BaselineTo+1
	return &DateRange{From: &from, To: &to}
}

// FromBaseline is the level after less the mean of those of an earlier series, which is brought under the same model.
func (r *RiskShift) FromBaseline(earlier *Series) *float64 {
	if r.After == nil {
		return nil
	}
	under := NewSeries(earlier.Customer, r.Series.Model, earlier.Level, earlier.Type, earlier.Rows)
	var past []risk.Point
	for i, level := range under.riskLevels() {
		if !math.IsNaN(level) {
			past = append(past, risk.Point{Date: under.Rows[i].Date, Level: level})
		}
	}
	now := risk.Point{Date: r.Series.Rows[len(r.Series.Rows)-1].Date, Level: *r.After}
	deviation, ok := risk.FromBaseline(now, past)
	return orNull(deviation, ok)
}
