package explain

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/fit"
)

const (
	frequency = 0
	returns   = 8
	customers = 600
)

// shop is a table of which seven axes are on, with three groups of customers on every axis, one-time buyers, customers who never returned anything and
// undefined features, and a model of it with a deep tree. The number of purchases agrees with the features.
var shop = sync.OnceValues(func() (*engine.Table, *engine.Model) {
	random := rand.New(rand.NewPCG(5, 9))
	table := &engine.Table{AsOf: engine.NewDate(2026, 3, 1), Columns: engine.ColumnOrderID | engine.ColumnReturns}
	for i := range customers {
		var f engine.Features
		f.Purchases, f.FirstAt = 1+random.IntN(4)*random.IntN(12), table.AsOf-engine.Date(1+random.IntN(900))
		for a := range engine.Axes {
			group := float64(2 * random.IntN(3))
			for range engine.Axes[a].Features {
				v := group + random.NormFloat64()
				if random.IntN(20) == 0 {
					v = math.NaN()
				}
				f.Values = append(f.Values, float32(v))
			}
		}
		f.Values[0] = float32(math.Log1p(float64(f.Purchases)))
		for j := range 2 {
			at := engine.Axes[returns].First + j
			f.Values[at] = float32(math.Abs(float64(f.Values[at])))
			if i%3 == 0 {
				f.Values[at] = 0
			}
		}
		table.Append(int64(i), &f)
	}
	p := engine.DefaultParams()
	p.Starts, p.KMax, p.MinSize, p.MaxVariance = 2, 5, 40, 0.5
	m, err := fit.Model(context.Background(), p, 1, table, nil, nil)
	if err != nil {
		panic(err)
	}
	return table, m
})

// drawn gives an axis and a customer that has memberships on it.
func drawn(t *rapid.T) (axis int, values []float32) {
	table, m := shop()
	var on []int
	for i := range m.Axes {
		if m.Axes[i].Status == engine.AxisOn {
			on = append(on, i)
		}
	}
	axis = rapid.SampledFrom(on).Draw(t, "axis")
	return axis, drawnOn(t, table, m, axis)
}

func drawnOn(t *rapid.T, table *engine.Table, m *engine.Model, axis int) []float32 {
	scorer := m.NewAxisScorer(axis)
	from := rapid.IntRange(0, table.Len()-1).Draw(t, "customer")
	for i := range table.Len() {
		values := table.Row((from + i) % table.Len())
		if scorer.Memberships(engine.PurchasesOf(values), engine.Axes[axis].Of(values)) != nil {
			return values
		}
	}
	t.Fatalf("nobody has memberships on axis %d", axis)
	return nil
}

func drawnSegment(t *rapid.T, m *engine.Model, axis int) int {
	return rapid.IntRange(0, len(m.Axes[axis].Segments)-1).Draw(t, "segment")
}

func squared(z, center []float64) float64 {
	sum := 0.0
	for j := range z {
		sum += (z[j] - center[j]) * (z[j] - center[j])
	}
	return sum
}

// The contributions sum to the difference of the squared distances, and that is positive just where the membership is larger.
func TestReasonsSum(t *testing.T) {
	t.Parallel()
	_, m := shop()
	rapid.Check(t, func(t *rapid.T) {
		axis, values := drawn(t)
		segment := drawnSegment(t, m, axis)
		model := &m.Axes[axis]
		r, err := New(m, axis).Reasons(values, segment, -1)
		if err != nil {
			t.Fatal(err)
		}
		text := r.Text(&engine.Axes[axis], model)
		if r.Missing != MissingNothing {
			if len(r.Contributions) > 0 || text == "" {
				t.Fatalf("%+v %q", r, text)
			}
			return
		}
		scorer := m.NewAxisScorer(axis)
		u := append([]float64(nil), scorer.Memberships(engine.PurchasesOf(values), engine.Axes[axis].Of(values))...)
		z := scorer.Point(engine.Axes[axis].Of(values))
		sum := 0.0
		for i, c := range r.Contributions {
			sum += c.Amount
			if i > 0 && c.Amount > r.Contributions[i-1].Amount {
				t.Fatalf("the contributions are out of order: %+v", r.Contributions)
			}
		}
		want := squared(z, model.Segments[r.Over].Center) - squared(z, model.Segments[segment].Center)
		if sum != r.Total && math.Abs(sum-r.Total) > 1e-12*math.Abs(sum) || math.Abs(r.Total-want) > 1e-9*max(1, math.Abs(want)) {
			t.Fatalf("the contributions sum to %v, the total is %v, the distances differ by %v", sum, r.Total, want)
		}
		if math.Abs(r.Total) > 1e-9 && u[segment] != u[r.Over] && (r.Total > 0) != (u[segment] > u[r.Over]) {
			t.Fatalf("%v speaks for a segment with %v over one with %v", r.Total, u[segment], u[r.Over])
		}
		for i := range model.Segments {
			if s := &model.Segments[i]; i != segment && s.Parent == model.Segments[segment].Parent && s.Stratum == engine.StratumNone && u[i] > u[r.Over] {
				t.Fatalf("compared with %d of %v, although %d has %v", r.Over, u[r.Over], i, u[i])
			}
		}
		if strings.Contains(text, "NaN") || !strings.Contains(text, model.Segments[segment].Name) {
			t.Fatalf("%q", text)
		}
	})
}

func TestReasonsOfStrata(t *testing.T) {
	t.Parallel()
	table, m := shop()
	e := New(m, frequency)
	stratum, clustered := -1, -1
	for i := range m.Axes[frequency].Segments {
		switch s := &m.Axes[frequency].Segments[i]; {
		case s.Stratum == engine.StratumOnePurchase:
			stratum = i
		case s.Parent < 0:
			clustered = i
		}
	}
	once, often := -1, -1
	for i := range table.Len() {
		if table.Purchases[i] == 1 {
			once = i
		} else {
			often = i
		}
	}
	for _, test := range []struct {
		name                string
		row, segment, other int
	}{
		{"a member of the stratum", once, stratum, -1},
		{"a member of the stratum about another segment", once, clustered, -1},
		{"another about the stratum", often, stratum, -1},
		{"another, held against the stratum", often, clustered, stratum},
	} {
		r, err := e.Reasons(table.Row(test.row), test.segment, test.other)
		if err != nil || r.Missing != MissingDistance {
			t.Errorf("%s: %+v, %v", test.name, r, err)
		}
	}
	if r, err := e.Reasons(table.Row(often), clustered, -1); err != nil || r.Missing != MissingNothing || m.Axes[frequency].Segments[r.Over].Stratum != engine.StratumNone {
		t.Errorf("a clustered customer: %+v, %v", r, err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	table, m := shop()
	infinite := append([]float32(nil), table.Row(0)...)
	for i := range infinite {
		infinite[i] = float32(math.Inf(1))
	}
	e := New(m, 1)
	segments := m.Axes[1].Segments
	child := 0
	for i := range segments {
		if segments[i].Parent >= 0 {
			child = i
		}
	}
	for name, ask := range map[string]func() error{
		"too few features":    func() error { _, err := e.Reasons(nil, 0, -1); return err },
		"no such segment":     func() error { _, err := e.Reach(table.Row(0), len(segments)); return err },
		"no such other":       func() error { _, err := e.Reasons(table.Row(0), 0, len(segments)); return err },
		"the same segment":    func() error { _, err := e.Reasons(table.Row(0), 0, 0); return err },
		"another parent":      func() error { _, err := e.Reasons(table.Row(0), 0, child); return err },
		"infinite, reasons":   func() error { _, err := e.Reasons(infinite, 0, -1); return err },
		"infinite, change":    func() error { _, err := e.Change(table.Row(0), infinite, 0); return err },
		"infinite, reach":     func() error { _, err := e.Reach(infinite, 0); return err },
		"negative segment":    func() error { _, err := e.Change(table.Row(0), table.Row(0), -1); return err },
		"features of nothing": func() error { _, err := e.Change(table.Row(0), nil, 0); return err },
	} {
		if err := ask(); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if off := New(&engine.Model{}, 0); off != nil {
		t.Error("an axis without segments can be explained")
	}
}

// The effects sum to the change of the membership, on every axis and at every depth, strata included.
func TestChangeSums(t *testing.T) {
	t.Parallel()
	table, m := shop()
	rapid.Check(t, func(t *rapid.T) {
		axis, before := drawn(t)
		after := drawnOn(t, table, m, axis)
		segment := drawnSegment(t, m, axis)
		c, err := New(m, axis).Change(before, after, segment)
		if err != nil {
			t.Fatal(err)
		}
		scorer := m.NewAxisScorer(axis)
		was := scorer.Memberships(engine.PurchasesOf(before), engine.Axes[axis].Of(before))[segment]
		is := scorer.Memberships(engine.PurchasesOf(after), engine.Axes[axis].Of(after))[segment]
		sum := 0.0
		for _, effect := range c.Effects {
			sum += effect.Amount
			if effect.Before == effect.After && effect.Amount != 0 {
				t.Fatalf("a feature that stayed has an effect: %+v", effect)
			}
		}
		if c.Before != was || c.After != is || math.Abs(sum-(is-was)) > 1e-9 {
			t.Fatalf("from %v to %v, effects sum to %v; scored are %v and %v", c.Before, c.After, sum, was, is)
		}
	})
}

func stratumOf(m *engine.Model, axis int, kind engine.Stratum) int {
	for i := range m.Axes[axis].Segments {
		if m.Axes[axis].Segments[i].Stratum == kind {
			return i
		}
	}
	return -1
}

// A second purchase leaves the stratum of one: that is the effect of the number of purchases alone.
func TestChangeOfStratum(t *testing.T) {
	t.Parallel()
	table, m := shop()
	stratum := stratumOf(m, frequency, engine.StratumOnePurchase)
	for i := range table.Len() {
		if table.Purchases[i] != 1 {
			continue
		}
		after := append([]float32(nil), table.Row(i)...)
		after[0] = float32(math.Log1p(2))
		after[1] += 1
		after[2] += 1
		c, err := New(m, frequency).Change(table.Row(i), after, stratum)
		if err != nil {
			t.Fatal(err)
		}
		if c.Before != 1 || c.After != 0 || c.Effects[0].Feature != 0 || math.Abs(c.Effects[0].Amount+1) > 1e-12 || math.Abs(c.Effects[0].After-2) > 1e-6 {
			t.Fatalf("a second purchase: %+v", c)
		}
		break
	}
	// A first return changes two features that the rule reads: each is enough to leave, so they share it.
	stratum = stratumOf(m, returns, engine.StratumNeverReturned)
	before := append([]float32(nil), table.Row(0)...)
	first := engine.Axes[returns].First
	before[first], before[first+1], before[first+2] = 0, 0, 0
	after := append([]float32(nil), before...)
	after[first], after[first+1], after[first+2] = 0.5, 0.25, 1
	c, err := New(m, returns).Change(before, after, stratum)
	if err != nil {
		t.Fatal(err)
	}
	amounts := map[int]float64{}
	for _, effect := range c.Effects {
		amounts[effect.Feature] = effect.Amount
	}
	if c.Before != 1 || c.After != 0 || math.Abs(amounts[0]+0.5) > 1e-12 || math.Abs(amounts[1]+0.5) > 1e-12 || amounts[2] != 0 {
		t.Errorf("a first return: %+v", c)
	}
}

func TestOutliers(t *testing.T) {
	t.Parallel()
	table, m := shop()
	e := New(m, 1)
	far := append([]float32(nil), table.Row(0)...)
	for j := range engine.Axes[1].Features {
		far[engine.Axes[1].First+j] = 1000
	}
	outliers := 0
	for i := range table.Len() {
		if e.Outlier(table.Row(i)) {
			outliers++
		}
	}
	if !e.Outlier(far) || outliers > table.Len()/100+1 {
		t.Errorf("far: %v, %d outliers of %d", e.Outlier(far), outliers, table.Len())
	}
}
