package fit

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quimbi/quimbi/engine"
)

// repeatBuyers makes a table of n customers with 2 purchases or more in three groups, and of one one-time buyer for every four.
func repeatBuyers(n int, seed uint64) *engine.Table {
	random := rand.New(rand.NewPCG(seed, 3))
	t := &engine.Table{AsOf: engine.NewDate(2026, 3, 1), Columns: engine.AllColumns}
	for i := range n {
		group := float64(i % 3)
		purchases := 2 + int(math.Exp(0.5+group+0.2*random.NormFloat64()))
		cents := int64(math.Exp(8 + group + 0.3*random.NormFloat64()))
		addBuyer(t, purchases, cents, 200+random.IntN(300))
		if i%4 == 0 {
			addBuyer(t, 1, cents, 200)
		}
	}
	return t
}

func addBuyer(t *engine.Table, purchases int, cents int64, days int) {
	f := engine.Features{PurchaseHistory: engine.PurchaseHistory{Purchases: purchases, FirstAt: t.AsOf - engine.Date(days)}, ValueCents: cents, Values: make([]float32, engine.FeatureCount)}
	t.Append(int64(t.Len()), &f)
}

func repeatReport(tb testing.TB, t *engine.Table) *engine.PartReport {
	tb.Helper()
	p := engine.DefaultParams()
	p.Starts = 3
	r, err := repeatCustomers(tb.Context(), p, 5, t, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// checkReport checks what holds for every report: its leaves are a partition of the part, with names and reasons.
func checkReport(tb testing.TB, r *engine.PartReport) {
	tb.Helper()
	members, share := 0, 0.0
	names, paths := map[string]bool{}, map[string]bool{}
	for _, s := range r.Segments {
		members += s.Members
		share += s.Share
		if s.Name == "" || names[s.Name] || paths[s.Path] || s.StopReason == "" || s.Members == 0 {
			tb.Errorf("%+v", s)
		}
		names[s.Name], paths[s.Path] = true, true
		if p := s.Profile; p.MinOrders < 1 || p.MedianOrders < float64(p.MinOrders) || p.MedianOrders > float64(p.MaxOrders) || !(p.OrdersPerMonth > 0) || len(p.Features) != len(r.Features) {
			tb.Errorf("%s: %+v", s.Path, p)
		}
	}
	if r.Status == engine.AxisOn && (members != r.Customers || math.Abs(share-1) > 1e-9) {
		tb.Errorf("%d of %d customers, shares sum to %v", members, r.Customers, share)
	}
}

func TestRepeatCustomers(t *testing.T) {
	t.Parallel()
	unraced(t)
	table := repeatBuyers(1500, 1)
	r := repeatReport(t, table)
	checkReport(t, r)
	if r.Status != engine.AxisOn || r.Customers != 1500 || r.K < 3 || r.K > 7 {
		t.Fatalf("%s, %d customers, %d groups", r.Status, r.Customers, r.K)
	}
	for _, s := range r.Segments {
		if s.Stratum != engine.StratumNone {
			t.Errorf("%s is set apart, but all are of a kind", s.Name)
		}
	}
	p := engine.DefaultParams()
	p.Starts = 3
	if again, err := repeatCustomers(t.Context(), p, 6, table, &engine.Model{Repeat: r}); err != nil || again.K != r.K {
		t.Errorf("after a model with %d groups: %+v, %v", r.K, again, err)
	}
	total := int64(0)
	for _, s := range r.Segments {
		total += s.Profile.TotalValueCents
	}

	// Six businesses far from everyone are set apart, and change nothing else.
	for i := range 6 {
		addBuyer(table, 2000+i, 1e9, 400)
	}
	with := repeatReport(t, table)
	checkReport(t, with)
	last := with.Segments[len(with.Segments)-1]
	if last.Stratum != engine.StratumExceptional || last.Members != 6 || last.Profile.MinOrders != 2000 || last.Profile.TotalValueCents != 6e9 {
		t.Errorf("the last group is %+v", last)
	}
	if with.K != r.K || len(with.Segments) != len(r.Segments)+1 {
		t.Errorf("%d clusters and %d groups, were %d and %d", with.K, len(with.Segments), r.K, len(r.Segments))
	}
	for _, s := range with.Segments {
		total -= s.Profile.TotalValueCents
	}
	if total != -6e9 {
		t.Errorf("the others' value changed by %d", -6e9-total)
	}
}

// Who fits no cluster without being worth much is no exceptional customer, nor is one alone a group.
func TestExceptionalNeedsValueAndCompany(t *testing.T) {
	t.Parallel()
	unraced(t)
	table := repeatBuyers(1500, 3)
	for i := range 6 {
		addBuyer(table, 2000+i, 5000, 400)
	}
	addBuyer(table, 3000, 1e9, 400)
	r := repeatReport(t, table)
	checkReport(t, r)
	for _, s := range r.Segments {
		if s.Stratum == engine.StratumExceptional {
			t.Errorf("%+v", s)
		}
	}
}

func TestReportsOfFew(t *testing.T) {
	t.Parallel()
	table := repeatBuyers(99, 2)
	if r := repeatReport(t, table); r.Status != engine.AxisTooFewCustomers || r.Reason != engine.ReasonTooFewCustomers || r.Customers != 99 || len(r.Segments) != 0 {
		t.Errorf("%+v", r)
	}
	axes, err := OneTimeBuyers(t.Context(), engine.DefaultParams(), 1, table)
	if err != nil || len(axes) == 0 {
		t.Fatalf("%d axes, %v", len(axes), err)
	}
	for _, a := range axes {
		if a.Status != engine.AxisTooFewCustomers || a.Customers != 25 || a.Leaves.Groups != 0 {
			t.Errorf("%s: %+v", engine.Axes[a.Axis].Key, a)
		}
	}
	table.Values[0] = float32(math.Inf(1))
	if _, err := OneTimeBuyers(t.Context(), engine.DefaultParams(), 1, table); engine.CodeOf(err) != engine.CodeInvalid {
		t.Errorf("an infinite feature: %v", err)
	}
}

// One-time buyers: half of them identical on one axis, tenures spread on another, and nothing to tell on the others.
func TestOneTimeBuyers(t *testing.T) {
	t.Parallel()
	unraced(t)
	random := rand.New(rand.NewPCG(4, 4))
	table := &engine.Table{AsOf: engine.NewDate(2026, 3, 1), Columns: engine.AllColumns}
	for i := range 900 {
		addBuyer(table, 1+i%3/2, 1000, 1+random.IntN(600))
		values := table.Row(i)
		for j := range values {
			values[j] = float32(math.NaN())
		}
		set := func(axis string, feature int, v float64) {
			at, _ := engine.AxisIndex(axis)
			values[engine.Axes[at].First+feature] = float32(v)
		}
		set("customer_maturity", 0, math.Log1p(float64(table.TenureDays[i])))
		set("customer_maturity", 1, 0)
		for feature := range 4 {
			v := 1.0
			if random.IntN(2) == 0 {
				v = 3 + random.NormFloat64()
			}
			set("basket_composition", feature, v)
		}
	}
	p := engine.DefaultParams()
	p.Starts, p.Hierarchical = 3, false // the report is about subdivision, whatever the axes do
	axes, err := OneTimeBuyers(t.Context(), p, 1, table)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]OneTimeAxis{}
	for _, a := range axes {
		found[engine.Axes[a.Axis].Key] = a
		checkReport(t, &a.PartReport)
		if a.Customers != 600 {
			t.Errorf("%s: %d one-time buyers", engine.Axes[a.Axis].Key, a.Customers)
		}
	}
	maturity := found["customer_maturity"]
	if maturity.Status != engine.AxisOn || !slices.Equal(maturity.Features, []string{"tenure"}) {
		t.Fatalf("customer_maturity: %+v", maturity)
	}
	if maturity.Leaves.Groups <= maturity.Roots.Groups || maturity.Leaves.LargestShare > OneTimeShare || !(maturity.Leaves.Variance < maturity.Roots.Variance) {
		t.Errorf("customer_maturity: roots %+v, leaves %+v", maturity.Roots, maturity.Leaves)
	}
	if v := found["purchase_value"]; v.Status != engine.AxisOff {
		t.Errorf("purchase_value: %s", v.Status)
	}
	if _, ok := found["purchase_regularity"]; ok {
		t.Error("purchase_regularity says nothing of one purchase")
	}
}

func TestIdenticalIsNoLargestGroup(t *testing.T) {
	t.Parallel()
	unraced(t)
	table := &engine.Table{AsOf: engine.NewDate(2026, 3, 1), Columns: engine.AllColumns}
	random := rand.New(rand.NewPCG(6, 4))
	for i := range 900 {
		addBuyer(table, 1, 1000, 100)
		at, _ := engine.AxisIndex("basket_composition")
		for feature := range 4 {
			if i%2 == 0 {
				table.Row(i)[engine.Axes[at].First+feature] = random.Float32()
			}
		}
	}
	axes, err := OneTimeBuyers(t.Context(), engine.DefaultParams(), 1, table)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range axes {
		if engine.Axes[a.Axis].Key != "basket_composition" {
			continue
		}
		first := a.Segments[0]
		if first.Stratum != engine.StratumIdentical || first.StopReason != "IDENTICAL" || first.Share != 0.5 || a.Roots.LargestShare >= 0.5 || a.Leaves.LargestShare >= 0.5 {
			t.Errorf("largest root %v, leaf %v, the first leaf %+v", a.Roots.LargestShare, a.Leaves.LargestShare, first)
		}
	}
}
