package engine

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRuleText(t *testing.T) {
	t.Parallel()
	number := func(v float64) *float64 { return &v }
	rule := &Rule{Conditions: []Condition{{Feature: 0, Above: number(12)}, {Feature: 1, Above: number(0.5), AtMost: number(2)}}}
	if got, want := rule.Text(&Axes[0]), "purchases over 12, and purchases a month over 0.5 and at most 2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	regularity, _ := AxisIndex("purchase_regularity")
	rule = &Rule{Conditions: []Condition{{Feature: 1, AtMost: number(20)}}}
	if got, want := rule.Text(&Axes[regularity]), "median gap between purchases at most 20 days"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLevers(t *testing.T) {
	t.Parallel()
	movable := map[string]bool{}
	for i := range Axes {
		for _, f := range Axes[i].Features {
			if f.Lever != LeverNone {
				movable[f.Key] = true
			}
			if f.Lever != LeverNone && (strings.Contains(f.Key, "tenure") || Axes[i].Key == "customer_maturity") {
				t.Errorf("%s cannot be moved by anyone", f.Key)
			}
			if f.Count && f.Scale != ScaleLog1p {
				t.Errorf("%s: is it a whole number in this form?", f.Key)
			}
		}
	}
	want := map[string]bool{
		"purchases": true, "purchases_per_month": true, "recent_purchases": true, "recent_trend": true, // order count
		"relative_recency": true, "recency": true, "median_gap": true, "repurchase_interval": true, // gap
		"total_value": true, "median_order_value": true, "max_order_value": true, // value
		"mixed_orders": true, "category_entropy": true, "expected_categories": true, "exploring_orders": true, "top_category_share": true,
		"deep_categories": true, // breadth
	}
	if diff := cmp.Diff(want, movable); diff != "" {
		t.Error(diff)
	}
}

func TestPurchasesOf(t *testing.T) {
	t.Parallel()
	values := make([]float32, FeatureCount)
	for n := 1; n < 200_000; n += 1 + n/100 {
		values[atPurchases] = float32(math.Log1p(float64(n)))
		if got := PurchasesOf(values); got != n {
			t.Fatalf("%d purchases are read as %d", n, got)
		}
	}
}
