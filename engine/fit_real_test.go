package engine

import (
	"testing"
	"time"
)

// RealTable is a store of the sample data, for the tests outside this package.
func RealTable(tb testing.TB, name string) *Table {
	tb.Helper()
	return tableOf(tb, loadStore(tb, name))
}

// tableOf is the whole store as of the day after its last order.
func tableOf(tb testing.TB, store *realStore) *Table {
	tb.Helper()
	asOf := store.to + 1
	month := ReferenceMonth(asOf.In(time.UTC), time.UTC)
	references := NewReferenceBuilder(time.UTC, store.have, []Date{month})
	for _, lines := range store.customers {
		references.Add(lines)
	}
	at := []Instant{{At: asOf.In(time.UTC), Reference: references.References()[0]}}
	table := &Table{AsOf: asOf, Columns: store.have}
	builder := NewBuilder(time.UTC, store.have)
	for i, lines := range store.customers {
		builder.Build(lines, at, func(_ int, f *Features) { table.Append(int64(i), f) })
	}
	return table
}

// The six axes that a store with nothing but dates, units and prices has.
var plainAxes = map[string]bool{
	"purchase_frequency": true, "purchase_value": true, "basket_composition": true, "customer_maturity": true,
	"loyalty_trajectory": true, "purchase_regularity": true,
}

func TestFitRealStores(t *testing.T) {
	t.Parallel()
	for name := range realStores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unraced(t)
			table := tableOf(t, loadStore(t, name))
			m, err := Fit(t.Context(), DefaultParams(), 1, table, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range m.Axes {
				a := &m.Axes[i]
				if name == "cdnow" && (a.Status == AxisOn) != plainAxes[Axes[i].Key] {
					t.Errorf("%s: status %s, %s", Axes[i].Key, a.Status, a.Reason)
				}
				t.Logf("%s: %s %s, %d eligible", Axes[i].Key, a.Status, a.Reason, a.Eligible)
				if a.Status != AxisOn {
					continue
				}
				if a.Fit != nil && (a.Fit.K < 3 || a.Fit.K > 7) {
					t.Errorf("%s: %d segments by rule %s", Axes[i].Key, a.Fit.K, a.Fit.Rule)
				}
				checkAxisModel(t, i, a)
				for j := range a.Segments {
					s := &a.Segments[j]
					if a.Fit != nil && s.Stratum == StratumNone && s.Members == 0 {
						t.Errorf("%s: nobody is in %s", Axes[i].Key, s.Path)
					}
					if a.Fit != nil && s.Parent < 0 && s.Stratum == StratumNone && s.Share > 0.6 {
						t.Errorf("%s: root %s holds %.1f %%", Axes[i].Key, s.Path, 100*s.Share)
					}
					t.Logf("  %-12s %6d %5.1f %% %q %s %s", s.Path, s.Members, 100*s.Share, s.Name, s.Stratum, s.Division.StoppedBy)
				}
			}
		})
	}
}

// unraced leaves a fit to runs without the race detector, under which it takes minutes. CI does both kinds of run, and the
// tests of jobs fit a real store under the detector.
func unraced(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("fitted without the race detector only")
	}
}
