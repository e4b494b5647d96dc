package alarm

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/btyd"
)

var asOf = engine.NewDate(2026, time.June, 7)

func predictor() *engine.Predictor {
	return &engine.Predictor{
		Settings:  engine.DefaultPredictionSettings(),
		Purchases: &btyd.Fit[btyd.MBGNBD]{Model: btyd.MBGNBD{R: 0.8, Alpha: 2.5, A: 0.3, B: 2}, Identifiable: true},
	}
}

// buyer draws the purchase days of somebody who buys at a rate a week from one day to before another.
func buyer(random *rand.Rand, rate float64, from, to engine.Date) []engine.Purchase {
	purchases := []engine.Purchase{{Day: from}}
	for at := 0.0; ; {
		at += random.ExpFloat64() / rate * daysPerWeek
		day := from + engine.Date(at)
		if day >= to {
			return purchases
		}
		if day > purchases[len(purchases)-1].Day {
			purchases = append(purchases, engine.Purchase{Day: day})
		}
	}
}

// watched are customers whom the model expects to see, with what they buy until a year later: rates drawn from it, known for some
// months, frequent enough to be watched.
func watched(random *rand.Rand, n int) (rates []float64, references []btyd.Reference, paths [][]engine.Purchase) {
	p := predictor()
	m := p.Purchases.Model
	for len(rates) < n {
		rate := distuv.Gamma{Alpha: m.R, Beta: m.Alpha, Src: random}.Rand()
		first := asOf - watchDays - engine.Date(60+random.IntN(300))
		path := buyer(random, rate, first, asOf+weeksPerYear*daysPerWeek)
		if ref, ok := Reference(p, engine.HistoryOf(until(path, ReferenceDay(asOf))), ReferenceDay(asOf)); ok {
			rates, references, paths = append(rates, rate), append(references, ref), append(paths, path)
		}
	}
	return rates, references, paths
}

// Of unchanged customers the chosen share gets an alarm of each kind within a year.
func TestFalseAlarms(t *testing.T) {
	t.Parallel()
	p := predictor()
	_, references, paths := watched(rand.New(rand.NewPCG(11, 12)), 1500)
	var err error
	if p.Alarms, err = Simulate(t.Context(), p, references); err != nil || p.Alarms.Watched != len(references) {
		t.Fatal(p.Alarms, err)
	}
	for _, share := range []float64{0.05, 0.2, 0.4} {
		w := NewWatcher(p, share)
		reported := map[engine.AlarmKind]int{}
		for _, path := range paths {
			seen := map[engine.AlarmKind]bool{}
			for week := 1; week <= weeksPerYear; week++ {
				for _, a := range w.Look(path, asOf+engine.Date(week*daysPerWeek)).Alarms {
					seen[a.Kind] = true
				}
			}
			for kind := range seen {
				reported[kind]++
			}
		}
		// The share among these customers and the threshold, which rests on the simulated ones, are both drawn.
		standardError := math.Sqrt(share * (1 - share) * (1/float64(len(paths)) + 1.0/simulated))
		for _, kind := range engine.AlarmKinds {
			got := float64(reported[kind]) / float64(len(paths))
			t.Logf("share %g, kind %d: %.3f of the unchanged, standard error %.3f", share, kind, got, standardError)
			if math.Abs(got-share) > 3.5*standardError {
				t.Errorf("share %g, kind %d: %.3f of the unchanged were reported, standard error %.3f", share, kind, got, standardError)
			}
		}
	}
}

// Of those who stop nearly all are reported by each kind, soon; one silence is told once.
func TestStops(t *testing.T) {
	t.Parallel()
	p := predictor()
	rates, references, paths := watched(rand.New(rand.NewPCG(11, 12)), 600)
	var err error
	if p.Alarms, err = Simulate(t.Context(), p, references); err != nil {
		t.Fatal(err)
	}
	w := NewWatcher(p, engine.DefaultFalseAlarmRate)
	found, delay := map[engine.AlarmKind]int{}, map[engine.AlarmKind]float64{}
	stopped := 0
	for i, rate := range rates {
		if rate < 0.5 {
			continue
		}
		stopped++
		gone := until(paths[i], asOf)
		met := map[engine.AlarmKind]bool{}
		for week := 1; week <= weeksPerYear; week++ {
			for _, a := range w.Look(gone, asOf+engine.Date(week*daysPerWeek)).Alarms {
				if met[a.Kind] {
					if a.Kind == engine.AlarmSilence {
						t.Fatal("one silence was told twice")
					}
					continue
				}
				met[a.Kind] = true
				found[a.Kind]++
				delay[a.Kind] += float64(week * daysPerWeek)
			}
		}
	}
	for _, kind := range engine.AlarmKinds {
		mean := delay[kind] / float64(found[kind])
		t.Logf("kind %d: %d of %d who stopped, after %.0f days", kind, found[kind], stopped, mean)
		if float64(found[kind]) < 0.9*float64(stopped) || mean > 70 {
			t.Errorf("kind %d: %d of %d who stopped were found, after %.0f days", kind, found[kind], stopped, mean)
		}
	}
}

// Thresholds by hand: an alarm is a rise over the threshold from one week to the next.
func TestSpans(t *testing.T) {
	t.Parallel()
	never := math.Inf(-1)
	for _, c := range []struct {
		evidence []float64
		want     []span
	}{
		{[]float64{5, 4, 3, 3}, nil}, // over it from the beginning is no alarm
		{[]float64{never, 2, 1, 3}, []span{{never, 3}}},
		{[]float64{0, 1, 4, 2, 2.5}, []span{{0, 4}}},
		{[]float64{4, 5, 0, 2}, []span{{0, 2}, {4, 5}}},
		{[]float64{never, never}, nil},
	} {
		if got := spans(c.evidence); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.evidence, got, c.want)
		}
	}
	// Of the simulated customers half rise to 4, a quarter from 1 to 2; nobody else has an alarm.
	var raised []span
	for range simulated / 4 {
		raised = append(raised, span{0, 4}, span{0, 4}, span{1, 2})
	}
	kept := levelsOf(raised)
	if len(kept) != levels || kept[0] != 4 || kept[levels/2-1] != 4 || kept[levels/2] != 2 || kept[3*levels/4-1] != 2 || kept[levels-1] != 2 {
		t.Errorf("levels %v", kept)
	}
	if levelsOf(nil) != nil {
		t.Error("levels of nobody's alarms")
	}
}

// What is told of a day depends on nothing that comes later, an alarm is beyond its threshold and told on its first day, and it
// has a p-value that goes with the rate allowed.
func TestLook(t *testing.T) {
	t.Parallel()
	p := predictor()
	_, references, _ := watched(rand.New(rand.NewPCG(1, 2)), 200)
	var err error
	if p.Alarms, err = Simulate(t.Context(), p, references); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.SampledFrom([]float64{0.01, 0.05, 0.2, 0.5, 0.9}).Draw(t, "share")
		w := NewWatcher(p, share)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		all := buyer(random, rapid.Float64Range(0.02, 3).Draw(t, "rate"), asOf-engine.Date(rapid.IntRange(0, 900).Draw(t, "age")), asOf)
		at := asOf - engine.Date(rapid.IntRange(-300, 400).Draw(t, "ago"))
		known := until(all, at)
		s := w.Look(known, at)
		if later := w.Look(append(slices.Clone(known), engine.Purchase{Day: at}, engine.Purchase{Day: at + 1}), at); !reflect.DeepEqual(s, later) {
			t.Fatalf("%+v, with what came later %+v", s, later)
		}
		for _, a := range s.Alarms {
			beyond := a.Value > a.Threshold
			if a.Kind == engine.AlarmSilence {
				beyond = a.Value <= a.Threshold
			}
			if !beyond || a.Date != at || !(a.PValue > 0 && a.PValue <= share+1e-9) || a.Rate < btyd.SlowestRate || a.DaysSilent < 1 {
				t.Fatalf("%+v", a)
			}
			if !slices.Contains(s.Watched, a.Kind) {
				t.Fatalf("an alarm about a customer who is not watched: %+v", a)
			}
			for _, b := range w.Look(until(all, at-daysPerWeek), at-daysPerWeek).Alarms {
				if a.Kind == b.Kind {
					t.Fatalf("told twice: %+v, %+v", b, a)
				}
			}
		}
	})
}

// Who ordered once, orders seldom or is of a store without a model is not watched; without thresholds silence alone is.
func TestNotWatched(t *testing.T) {
	t.Parallel()
	p := predictor()
	w := NewWatcher(p, engine.DefaultFalseAlarmRate)
	often := []engine.Purchase{}
	for day := asOf - 300; day < asOf-30; day += 5 {
		often = append(often, engine.Purchase{Day: day})
	}
	for name, c := range map[string]struct {
		purchases []engine.Purchase
		off       engine.AlarmsOff
	}{
		"nothing":  {nil, engine.AlarmsTooYoung},
		"once":     {[]engine.Purchase{{Day: asOf - 60}}, engine.AlarmsTooYoung}, // 0.8/(2.5 + 4/7) is over 0.1
		"long ago": {often[:1], engine.AlarmsTooSlow},
		"lately":   {[]engine.Purchase{{Day: asOf - 50}, {Day: asOf - 40}, {Day: asOf - 30}}, engine.AlarmsTooYoung},
		"seldom":   {[]engine.Purchase{{Day: asOf - 800}, {Day: asOf - 300}}, engine.AlarmsTooSlow},
		"often":    {often, engine.AlarmsOn},
	} {
		s := w.Look(c.purchases, asOf)
		kinds, off := w.Watches(c.purchases, asOf)
		if off != c.off || !slices.Equal(kinds, s.Watched) || (len(kinds) == 0) != (off != engine.AlarmsOn) {
			t.Errorf("bought %s: %+v, watched by %v, off because %q", name, s, kinds, off)
		}
	}
	if s := w.Look(often, asOf); !slices.Equal(s.Watched, []engine.AlarmKind{engine.AlarmSilence}) {
		t.Errorf("without thresholds: %+v", s)
	}
	var none *Watcher
	if s := none.Look(often, asOf); len(s.Watched) > 0 || NewWatcher(&engine.Predictor{Reason: engine.PredictionTooFew}, 0.2) != nil || NewWatcher(nil, 0.2) != nil {
		t.Errorf("without a model: %+v", s)
	}
	if basis, err := Simulate(t.Context(), p, nil); basis != nil || err != nil {
		t.Errorf("nobody to simulate: %+v, %v", basis, err)
	}
}

// A gap is reported by how rare it is in itself, and by how many there are in a year.
func TestSilenceByHand(t *testing.T) {
	t.Parallel()
	m := predictor().Purchases.Predictor().Active()
	for _, c := range []struct {
		every   engine.Date // days between orders
		perYear float64
		limit   func(rate float64) float64
	}{
		{4, 0.2, func(rate float64) float64 { return 0.2 / (52 * rate) }},
		{60, 0.9, func(float64) float64 { return 0.05 }},
	} {
		var purchases []engine.Purchase
		for day := asOf - 900; day < asOf; day += c.every {
			purchases = append(purchases, engine.Purchase{Day: day})
		}
		for at, reported := asOf, false; !reported; at++ {
			r := silence(m, purchases, at)
			reported = r.evidence > -math.Log(c.perYear)
			if gap, limit := chance(m, purchases, at), c.limit(r.rate); reported != (gap <= limit) || !r.watched {
				t.Fatalf("every %d days, then none for %d: chance %g, limit %g, %+v", c.every, at-asOf, gap, limit, r)
			}
		}
	}
}

// The words have the numbers.
func TestExplanation(t *testing.T) {
	t.Parallel()
	w := NewWatcher(predictor(), 0.2)
	var purchases []engine.Purchase
	for day := asOf - 300; day <= asOf-24; day += 4 {
		purchases = append(purchases, engine.Purchase{Day: day})
	}
	for at := asOf - 23; ; at++ {
		s := w.Look(purchases, at)
		if len(s.Alarms) == 0 {
			if at > asOf+30 {
				t.Fatal("nobody missed the customer")
			}
			continue
		}
		a := s.Alarms[0]
		h := engine.HistoryOf(purchases).Repeats(at)
		chance := math.Pow((2.5+h.Tx)/(2.5+h.T), 0.8+float64(h.X))
		if math.Abs(a.Value-chance) > 1e-12 || a.Orders != len(purchases)-len(until(purchases, at-182)) {
			t.Errorf("%+v, want the chance %v", a, chance)
		}
		if limit := 0.2 / (52 * a.Rate); math.Abs(a.Threshold-limit) > 1e-12 || limit > 0.05 { // 0.2 false alarms a year
			t.Errorf("%+v, want the threshold %v", a, limit)
		}
		want := "Usually 4 days between orders, silent for "
		if text := a.Explanation(); text[:len(want)] != want {
			t.Error(text)
		}
		break
	}
	few := engine.Alarm{Kind: engine.AlarmCUSUM, Orders: 1, Rate: 0.5, PValue: 0.17}
	if want := "1 order in the last 26 weeks, where the customer's own rate makes 13.0: 17 % of unchanged customers show as much within a year."; few.Explanation() != want {
		t.Error(few.Explanation())
	}
}
