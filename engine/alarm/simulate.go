package alarm

import (
	"context"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/btyd"
)

const (
	simulated = 2000
	// levels is how many shares of the simulated are kept: half a per cent is the least that is told.
	levels = 200
	seed   = 1
)

// Reference is a customer as the simulation takes it up, 26 weeks before the model's day. watched is false where it is not known for long
// enough, or does not order often enough.
func Reference(p *engine.Predictor, h engine.PurchaseHistory, at engine.Date) (ref btyd.Reference, watched bool) {
	if p.Fault() != engine.PredictionGiven || h.Purchases == 0 {
		return ref, false
	}
	ref = btyd.Reference{X: h.Purchases - 1, Weeks: float64(at-h.FirstAt) / daysPerWeek}
	_, watched = p.Purchases.Predictor().Active().OwnRate(ref)
	return ref, watched
}

// ReferenceDay is the day as of which References are wanted by a model of a day.
func ReferenceDay(asOf engine.Date) engine.Date { return asOf - watchDays }

// Simulate gives what thresholds come from: customers after the references (watched ones, in any fixed order), with rates drawn from
// what is known of them, Gamma(r + x, alpha + weeks), who buy at them unchanged. Each is looked at in 52 weeks as Look does, with an own
// rate that goes on learning; the largest values count. So the uncertainty of the own rate and of the days is in the thresholds. nil where
// there is no reference. Fault: the context's.
func Simulate(ctx context.Context, p *engine.Predictor, references []btyd.Reference) (*engine.AlarmBasis, error) {
	if len(references) == 0 || p.Fault() != engine.PredictionGiven {
		return nil, nil
	}
	model := p.Purchases.Predictor().Active()
	highest := [2][]float64{make([]float64, simulated), make([]float64, simulated)}
	weekly := make([]int, engine.AlarmWeeks+weeksPerYear)
	for c := range simulated {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		source := rand.NewPCG(seed, uint64(c))
		ref := references[c*len(references)/simulated]
		lambda := distuv.Gamma{Alpha: model.R + float64(ref.X), Beta: model.Alpha + ref.Weeks, Src: source}.Rand()
		for i := range weekly {
			weekly[i] = 0
			if lambda > 0 {
				weekly[i] = int(distuv.Poisson{Lambda: lambda, Src: source}.Rand())
			}
		}
		for week := range weeksPerYear {
			ref.X += weekly[week]
			ref.Weeks++
			rate, watched := model.OwnRate(ref)
			if !watched {
				continue
			}
			for i := range detected {
				value := detected[i].run(weekly[week+1:week+1+engine.AlarmWeeks], rate)
				highest[i][c] = max(highest[i][c], value)
			}
		}
	}
	basis := &engine.AlarmBasis{Watched: len(references)}
	for i, kept := range []*[]float64{&basis.CUSUM, &basis.ShiryaevRoberts} {
		slices.Sort(highest[i])
		slices.Reverse(highest[i])
		for j := range levels {
			*kept = append(*kept, highest[i][(j+1)*simulated/levels-1])
		}
	}
	return basis, nil
}
