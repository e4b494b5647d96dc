package engine

import (
	"errors"
	"fmt"
)

// Params are the settings of a clustering. The zero value is not useful: start from DefaultParams.
type Params struct {
	Fuzzy         bool    `json:"fuzzy"`         // false: hard k-means, memberships 0 or 1
	Fuzziness     float64 `json:"fuzziness"`     // m, over 1.01
	MaxIterations int     `json:"maxIterations"` // the most passes of one fit
	Tolerance     float64 `json:"tolerance"`     // the largest move of a centre, in sd units, under which it has converged; 0: exactly MaxIterations
	Starts        int     `json:"starts"`        // on a sample, the best continued on all; three times as many where they disagree
	ChooseK       bool    `json:"chooseK"`       // false: K, or 5, on every axis
	KMin          int     `json:"kMin"`
	KMax          int     `json:"kMax"`
	K             int     `json:"k"` // over 0: this number on every axis
	Normalized    bool    `json:"normalizedBalance"`
	Hierarchical  bool    `json:"hierarchical"`
	MaxVariance   float64 `json:"maxVariance"`     // for 5 features, scaled by their number
	MaxShare      float64 `json:"maxSegmentShare"` // 0 to 1
	MinSize       int     `json:"minSegmentSize"`
	MaxDepth      int     `json:"maxDepth"`
	// SweepSample is how many customers the choice of k looks at, at least 50000; 0: all. The final fit uses all.
	SweepSample int `json:"sweepSample"`
}

// fixedK is the number of segments where its choice is switched off and no number is given.
const fixedK = 5

// minSweepSample is the least number of customers, unless it is all, on which k is chosen: with fewer its silhouettes say
// too little about the rest.
const minSweepSample = 50_000

// DefaultParams are the settings of the source document.
func DefaultParams() Params {
	return Params{
		Fuzzy: true, Fuzziness: 2, MaxIterations: 150, Tolerance: 1e-5, Starts: 10,
		ChooseK: true, KMin: 2, KMax: 10,
		Hierarchical: true, MaxVariance: 2, MaxShare: 0.6, MinSize: 100, MaxDepth: 3,
		SweepSample: 50_000,
	}
}

// FixedK gives the number of segments that the settings ask for on every axis, and 0 where it is to be chosen.
func (p *Params) FixedK() int {
	switch {
	case p.K > 0:
		return p.K
	case !p.ChooseK:
		return fixedK
	default:
		return 0
	}
}

// Validate tells everything that is wrong with the settings, as one Error.
func (p *Params) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(p.Fuzziness > 1.01, "fuzziness must be over 1.01, is %g", p.Fuzziness)
	check(p.Fuzziness <= 100, "fuzziness must be at most 100, is %g", p.Fuzziness)
	check(p.MaxIterations >= 1 && p.MaxIterations <= 100_000, "maxIterations must be from 1 to 100000, is %d", p.MaxIterations)
	check(p.Tolerance >= 0 && p.Tolerance <= 1, "tolerance must be from 0 to 1, is %g", p.Tolerance)
	check(p.Starts >= 1 && p.Starts <= 1000, "starts must be from 1 to 1000, is %d", p.Starts)
	check(p.KMin >= 2, "kMin must be at least 2, is %d", p.KMin)
	check(p.KMax >= p.KMin && p.KMax <= 50, "kMax must be from kMin (%d) to 50, is %d", p.KMin, p.KMax)
	check(p.K == 0 || p.K >= 2 && p.K <= 50, "k must be from 2 to 50, is %d", p.K)
	check(p.MaxVariance > 0, "maxVariance must be over 0, is %g", p.MaxVariance)
	check(p.MaxShare > 0 && p.MaxShare <= 1, "maxSegmentShare must be over 0 and at most 1, is %g", p.MaxShare)
	check(p.MinSize >= 1, "minSegmentSize must be at least 1, is %d", p.MinSize)
	check(p.MaxDepth >= 0 && p.MaxDepth <= 10, "maxDepth must be from 0 to 10, is %d", p.MaxDepth)
	check(p.SweepSample == 0 || p.SweepSample >= minSweepSample, "sweepSample must be 0 (all) or at least %d, is %d", minSweepSample, p.SweepSample)
	if len(faults) > 0 {
		return Errorf(CodeInvalid, "%s", errors.Join(faults...))
	}
	return nil
}
