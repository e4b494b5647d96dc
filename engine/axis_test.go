package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRegistry(t *testing.T) {
	t.Parallel()
	features := 0
	axes, keys := map[string]bool{}, map[string]bool{}
	for i := range Axes {
		a := &Axes[i]
		if a.First != features {
			t.Errorf("%s begins at %d, want %d", a.Key, a.First, features)
		}
		features += len(a.Features)
		if index, ok := AxisIndex(a.Key); !ok || index != i {
			t.Errorf("AxisIndex(%q) is %d, %t", a.Key, index, ok)
		}
		if axes[a.Key] || a.Name == "" || a.Description == "" || a.MinPurchases < 1 {
			t.Errorf("axis %q is not complete or there twice", a.Key)
		}
		axes[a.Key] = true
		for _, f := range a.Features {
			if keys[f.Key] || f.Name == "" || f.Few == "" || f.Many == "" {
				t.Errorf("feature %q is not complete or there twice", f.Key)
			}
			keys[f.Key] = true
		}
	}
	if features != FeatureCount {
		t.Errorf("%d features in the registry, FeatureCount is %d", features, FeatureCount)
	}
	if key := Axes[0].Features[atPurchases].Key; key != "purchases" {
		t.Errorf("%s stands where the number of purchases is looked for", key)
	}
	if _, ok := AxisIndex("no_such_axis"); ok {
		t.Error("an axis that is not there was found")
	}
}

func TestAvailability(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		have Columns
		off  map[string]AxisReason
	}{
		{"everything", AllColumns, map[string]AxisReason{}},
		{"CDNOW: customer, date, units and value", 0, map[string]AxisReason{
			"price_sensitivity": ReasonTooFewFeatures, "value_sophistication": ReasonNoCategory, "repurchase_behavior": ReasonNoSKU,
			"return_behavior": ReasonNoReturns, "problem_complexity": ReasonTooFewFeatures, "category_exploration": ReasonNoCategory,
			"product_knowledge": ReasonTooFewFeatures, "purchase_cadence": ReasonNoTime,
		}},
		{"no categories, no discounts", AllColumns &^ (ColumnCategory | ColumnDiscount), map[string]AxisReason{
			"price_sensitivity": ReasonNoDiscount, "value_sophistication": ReasonNoCategory, "category_exploration": ReasonNoCategory,
			"product_knowledge": ReasonNoCategory,
		}},
		{"dates only", AllColumns &^ ColumnTimeOfDay, map[string]AxisReason{"purchase_cadence": ReasonNoTime}},
		{"no returns", AllColumns &^ ColumnReturns, map[string]AxisReason{"return_behavior": ReasonNoReturns}},
	} {
		off := map[string]AxisReason{}
		for i := range Axes {
			status, reason := Axes[i].Availability(c.have)
			switch {
			case status == AxisOff:
				off[Axes[i].Key] = reason
			case status != AxisOn || reason != ReasonNone:
				t.Errorf("%s: %s is %s, %q", c.name, Axes[i].Key, status, reason)
			}
		}
		if diff := cmp.Diff(c.off, off); diff != "" {
			t.Errorf("%s: axes off (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestEligible(t *testing.T) {
	t.Parallel()
	for key, want := range map[string][]AxisReason{ // for 1, 2 and 3 purchases
		"purchase_frequency":  {ReasonNone, ReasonNone, ReasonNone},
		"repurchase_behavior": {ReasonNeeds2Orders, ReasonNone, ReasonNone},
		"problem_complexity":  {ReasonNeeds2Orders, ReasonNone, ReasonNone},
		"loyalty_trajectory":  {ReasonNeeds3Orders, ReasonNeeds3Orders, ReasonNone},
		"purchase_regularity": {ReasonNeeds3Orders, ReasonNeeds3Orders, ReasonNone},
	} {
		index, _ := AxisIndex(key)
		for i, reason := range want {
			if ok, got := Axes[index].Eligible(i + 1); got != reason || ok != (reason == ReasonNone) {
				t.Errorf("%s with %d purchases: %t, %q, want %q", key, i+1, ok, got, reason)
			}
		}
	}
}

func TestReasonsHaveSentences(t *testing.T) {
	t.Parallel()
	for reason, text := range reasonTexts {
		if reason.Text() != text || text == "" || text[len(text)-1] != '.' {
			t.Errorf("%s is explained by %q", reason, text)
		}
	}
	if text := ReasonNone.Text(); text != "" {
		t.Errorf("no reason is explained by %q", text)
	}
}
