package alarm

import (
	"cmp"
	"context"
	"math"
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
// what is known of them, Gamma(r + x, alpha + weeks), who buy at them unchanged. Each is looked at for 52 weeks by the same readings as in
// Look; a threshold counts where there would be an alarm. So the uncertainty of the own rate and of the days is in the thresholds. nil
// where there is no reference. Fault: the context's.
func Simulate(ctx context.Context, p *engine.Predictor, references []btyd.Reference) (*engine.AlarmBasis, error) {
	if len(references) == 0 || p.Fault() != engine.PredictionGiven {
		return nil, nil
	}
	detectors := detectorsOf(p)
	raised := make([][]span, len(detectors))
	evidence := make([]float64, weeksPerYear+1)
	var purchases []engine.Purchase
	for c := range simulated {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		random := rand.New(rand.NewPCG(seed, uint64(c)))
		ref := references[c*len(references)/simulated]
		begin := engine.Date(math.Round(ref.Weeks*daysPerWeek)) + watchDays // by when the first week to look at has begun
		purchases = unchanged(purchases[:0], detectors[0].model, ref, begin+weeksPerYear*daysPerWeek, random)
		for i := range detectors {
			for week := range evidence {
				at := begin + engine.Date(week*daysPerWeek)
				evidence[week] = detectors[i].look(until(purchases, at), at).evidence
			}
			raised[i] = append(raised[i], spans(evidence)...)
		}
	}
	return &engine.AlarmBasis{
		Watched: len(references), Silence: levelsOf(raised[0]), CUSUM: levelsOf(raised[1]), ShiryaevRoberts: levelsOf(raised[2]),
	}, nil
}

// unchanged appends the purchases of somebody who buys as in the reference, and goes on like that until before a day; the first is on
// day 0. A purchase is a customer-day, so a day has one or none.
func unchanged(purchases []engine.Purchase, m btyd.NBD, ref btyd.Reference, end engine.Date, random *rand.Rand) []engine.Purchase {
	purchases = append(purchases, engine.Purchase{})
	days, left := engine.Date(math.Round(ref.Weeks*daysPerWeek)), ref.X
	for day := engine.Date(1); day < days; day++ { // each choice of days is as likely as the others
		if random.IntN(int(days-day)) < left {
			purchases = append(purchases, engine.Purchase{Day: day})
			left--
		}
	}
	chance := distuv.Gamma{Alpha: m.R + float64(ref.X), Beta: m.Alpha + ref.Weeks, Src: random}.Rand() / daysPerWeek
	for day := max(1, days); day < end; day++ {
		if random.Float64() < chance {
			purchases = append(purchases, engine.Purchase{Day: day})
		}
	}
	return purchases
}

// span holds the thresholds from one to under another.
type span struct{ from, to float64 }

// spans are the thresholds with which a customer gets an alarm, by the evidence of weeks on end: the evidence is over the threshold, and
// was not a week before. They lie apart from each other.
func spans(evidence []float64) []span {
	var rises []span
	for i := 1; i < len(evidence); i++ {
		if evidence[i] > evidence[i-1] {
			rises = append(rises, span{evidence[i-1], evidence[i]})
		}
	}
	slices.SortFunc(rises, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	apart := rises[:0]
	for _, s := range rises {
		if n := len(apart); n > 0 && s.from <= apart[n-1].to {
			apart[n-1].to = max(apart[n-1].to, s.to)
		} else {
			apart = append(apart, s)
		}
	}
	return apart
}

// levelsOf gives for each share of the simulated the highest threshold with which as many get an alarm. A share that no threshold
// reaches has that of the largest one that is.
func levelsOf(raised []span) []float64 {
	type end struct {
		at    float64
		count int // of the customers who get an alarm with thresholds under it, less those who do with higher ones
	}
	ends := make([]end, 0, 2*len(raised))
	for _, s := range raised {
		ends = append(ends, end{s.to, 1}, end{s.from, -1})
	}
	slices.SortFunc(ends, func(a, b end) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.count, a.count)) })
	var kept []float64
	count := 0
	for _, e := range ends {
		count += e.count
		for len(kept) < levels && count*levels >= (len(kept)+1)*simulated {
			kept = append(kept, e.at)
		}
	}
	for len(kept) > 0 && len(kept) < levels {
		kept = append(kept, kept[len(kept)-1])
	}
	return kept
}
