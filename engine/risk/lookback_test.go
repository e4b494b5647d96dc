package risk

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/feature"
	"github.com/quimbi/quimbi/engine/fit"
)

const lookedColumns = engine.ColumnOrderID | engine.ColumnReturns

// buyers makes customers up who buy in the two years before a day, some of them less and less, some with refunds and cancellations.
func buyers(seed uint64, customers int, end engine.Date) [][]engine.Line {
	random := rand.New(rand.NewPCG(seed, 11))
	all := make([][]engine.Line, customers)
	for c := range all {
		gap, growth := 5+60*random.Float64(), 0.9+0.3*random.Float64()
		at := (end - engine.Date(60+random.IntN(660))).UTC()
		for n := 0; at.Before(end.UTC()); n++ {
			l := engine.Line{OrderKey: fmt.Sprint(n), Number: 1, OrderedAt: at, Quantity: 1 + random.Int32N(3), NetCents: 500 + random.Int64N(9000)}
			if random.IntN(8) == 0 {
				l.RefundCents, l.RefundedAt = l.NetCents/2, at.AddDate(0, 0, random.IntN(90))
			}
			if random.IntN(20) == 0 {
				l.CancelledAt = at.AddDate(0, 0, random.IntN(90))
			}
			all[c] = append(all[c], l)
			gap = max(3, gap*growth)
			at = at.Add(time.Duration(24 * float64(time.Hour) * gap * (0.3 + random.ExpFloat64())))
		}
	}
	return all
}

// placed is a model of such customers as of a day, with what was counted of them by their segments.
func placed(t testing.TB, all [][]engine.Line, asOf engine.Date) (*engine.Model, *Tally) {
	t.Helper()
	b, table := feature.NewBuilder(time.UTC, lookedColumns), &engine.Table{AsOf: asOf, Columns: lookedColumns}
	for c, lines := range all {
		b.Build(lines, []engine.Instant{{At: asOf.UTC()}}, func(_ int, f *engine.Features) { table.Append(int64(c), f) })
	}
	params := engine.DefaultParams()
	params.ChooseK, params.Hierarchical, params.Starts, params.MaxIterations = false, false, 1, 20
	m, err := fit.Model(t.Context(), params, 1, table, nil, func(fit.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	tally := NewTally(m, 90)
	at := utc([]engine.Date{tally.AsOf(), asOf})
	for c, lines := range all {
		tally.Watch(b, at, int64(c), lines)
	}
	return m, tally
}

func utc(days []engine.Date) (at []engine.Instant) {
	for _, day := range days {
		at = append(at, engine.Instant{At: day.UTC()})
	}
	return at
}

// What a lookback finds is the definition: the level less the mean of the levels 56, 84, ... 364 days before, each looked at by itself; and it does
// not depend on what else is asked about.
func TestLookback(t *testing.T) {
	t.Parallel()
	end := engine.NewDate(2026, time.June, 1)
	all := buyers(1, 400, end)
	m, tally := placed(t, all, end)
	weights := []*Weights{tally.Weights(), tally.Weights(1), tally.Weights(2, 4)}
	plain := feature.NewBuilder(time.UTC, lookedColumns)
	scorer := m.NewScorer()
	level := func(lines []engine.Line, day engine.Date, w *Weights) (level float64, ok bool) {
		plain.Build(lines, utc([]engine.Date{day}), func(_ int, f *engine.Features) {
			var print engine.Thumbprint
			scorer.Score(f.Purchases, f.Values, &print)
			level, ok = w.Level(print)
		})
		return level, ok
	}
	definition := func(lines []engine.Line, day engine.Date, w *Weights) *float64 {
		now, ok := level(lines, day, w)
		if !ok {
			return nil
		}
		sum, n := 0.0, 0
		for back := engine.Date(364); back >= 56; back -= 28 {
			if r, ok := level(lines, day-back, w); ok {
				sum += r
				n++
			}
		}
		if n < 4 {
			return nil
		}
		deviation := now - sum/float64(n)
		return &deviation
	}
	some, none := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(0, 300), func(n int) engine.Date { return end - engine.Date(n) }), 1, 6, rapid.ID).Draw(t, "days")
		if rapid.Bool().Draw(t, "one the baseline of the other") {
			days = append(days, days[0]-84)
		}
		slices.Sort(days)
		days = slices.Compact(days)
		lines := all[rapid.IntRange(0, len(all)-1).Draw(t, "customer")]
		l := NewLookback(m, time.UTC, utc(days), utc(BaselineDays(days, end-2000)), weights...)
		short := NewLookback(m, time.UTC, utc(days), utc(BaselineDays(days, engine.DateOf(lines[0].OrderedAt, time.UTC))), weights[0])
		b := feature.NewBuilder(time.UTC, lookedColumns)
		var alone []*float64
		short.Look(b.Build, lines, func(int, *engine.Features, *engine.Thumbprint) { alone = append(alone, short.Drift(0)) })
		seen := 0
		l.Look(b.Build, lines, func(i int, f *engine.Features, print *engine.Thumbprint) {
			for w := range weights {
				got, want := l.Drift(w), definition(lines, days[i], weights[w])
				if (got == nil) != (want == nil) || got != nil && *got != *want {
					t.Fatalf("on %s %v, want %v", days[i], got, want)
				}
			}
			if got := l.Drift(0); (got == nil) != (alone[seen] == nil) || got != nil && *got != *alone[seen] {
				t.Fatalf("without the days before the first order: %v, with them %v", alone[seen], got)
			}
			if l.Drift(0) == nil {
				none++
			} else {
				some++
			}
			seen++
			var own engine.Thumbprint
			scorer.Score(f.Purchases, f.Values, &own)
			if !slices.Equal(own.Membership, print.Membership) || !slices.Equal(own.Dominant, print.Dominant) {
				t.Fatalf("%v, want %v", print, own)
			}
		})
	})
	if some == 0 || none == 0 {
		t.Errorf("%d times a deviation, %d times none", some, none)
	}
}

// Without weights nothing earlier is looked at, and there is no drift.
func TestLookbackWithoutWeights(t *testing.T) {
	t.Parallel()
	end := engine.NewDate(2026, time.June, 1)
	all := buyers(2, 100, end)
	m, _ := placed(t, all, end)
	l, b := NewLookback(m, time.UTC, utc([]engine.Date{end}), nil), feature.NewBuilder(time.UTC, lookedColumns)
	looked := 0
	l.Look(func(lines []engine.Line, at []engine.Instant, yield func(int, *engine.Features)) {
		looked = len(at)
		b.Build(lines, at, yield)
	}, all[0], func(int, *engine.Features, *engine.Thumbprint) {
		if l.Drift(0) != nil {
			t.Error("there is a drift")
		}
	})
	if looked != 1 {
		t.Errorf("%d instants", looked)
	}
}
