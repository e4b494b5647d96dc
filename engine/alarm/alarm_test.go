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

// Of unchanged customers about the chosen share gets an alarm of each kind within a year; of those who stop nearly all do, once, and
// soon.
func TestFalseAlarmsAndStops(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 12))
	p := predictor()
	rates, references, paths := watched(random, 600)
	var err error
	if p.Alarms, err = Simulate(t.Context(), p, references); err != nil || p.Alarms.Watched != len(references) {
		t.Fatal(p.Alarms, err)
	}
	for _, share := range []float64{0.2} {
		w := NewWatcher(p, share)
		falsely := map[engine.AlarmKind]int{}
		found, delay := map[engine.AlarmKind]int{}, map[engine.AlarmKind]float64{}
		stopped := 0
		for i, rate := range rates {
			steady, gone := paths[i], until(paths[i], asOf)
			seen := map[engine.AlarmKind]int{}
			met := map[engine.AlarmKind]engine.Date{}
			for week := 1; week <= weeksPerYear; week++ {
				at := asOf + engine.Date(week*daysPerWeek)
				for _, a := range w.Look(steady, at).Alarms {
					seen[a.Kind]++
				}
				for _, a := range w.Look(gone, at).Alarms {
					if _, again := met[a.Kind]; again && a.Kind == engine.AlarmSilence {
						t.Fatal("one silence was told twice")
					}
					met[a.Kind] = at
				}
			}
			for kind := range seen {
				falsely[kind]++
			}
			if rate < 0.5 {
				continue
			}
			stopped++
			for kind, at := range met {
				found[kind]++
				delay[kind] += float64(at - asOf)
			}
		}
		for _, kind := range engine.AlarmKinds {
			got := float64(falsely[kind]) / float64(len(rates))
			t.Logf("share %g, kind %d: %.3f of the unchanged; %d of %d who stopped, after %.0f days", share, kind, got, found[kind], stopped, delay[kind]/float64(found[kind]))
			// The standard error of a share is at most 0.012 here. Silence is tested once a gap, by a bound.
			most := share + 0.05
			if got > most || kind != engine.AlarmSilence && got < share-0.07 {
				t.Errorf("share %g, kind %d: %.3f of the unchanged were reported", share, kind, got)
			}
			if float64(found[kind]) < 0.9*float64(stopped) {
				t.Errorf("share %g, kind %d: %d of %d who stopped were found", share, kind, found[kind], stopped)
			}
		}
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
	for name, purchases := range map[string][]engine.Purchase{
		"nothing": nil, "once": often[:1], "seldom": {{Day: asOf - 800}, {Day: asOf - 300}},
	} {
		if s := w.Look(purchases, asOf); len(s.Watched) > 0 || len(s.Alarms) > 0 {
			t.Errorf("bought %s: %+v", name, s)
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
