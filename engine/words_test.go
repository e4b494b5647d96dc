package engine

import (
	"fmt"
	"testing"
)

func TestSay(t *testing.T) {
	t.Parallel()
	feature := func(key string) *Feature {
		for i := range Axes {
			for j := range Axes[i].Features {
				if Axes[i].Features[j].Key == key {
					return &Axes[i].Features[j]
				}
			}
		}
		panic(key)
	}
	for _, test := range []struct {
		key    string
		value  float64
		say    string
		beside string
	}{
		{"purchases", 12, "12 purchases", "12"},
		{"purchases", 1.0000001, "1 purchase", "1"},
		{"median_gap", 1, "1 day", "1 day"},
		{"median_gap", 20.37, "20.4 days", "20.4 days"},
		{"median_gap", 0.04567, "0.0457 days", "0.0457 days"},
		{"recency", 1234.5, "1234 days", "1234"},
		{"total_value", 1234.567, "1234.57", "1234.57"},
		{"weekend_share", 0.5, "0.5", "0.5"},
		{"expected_categories", 1, "1 category", "1"},
		{"gap_slope", 0, "0", "0"},
		{"value_slope", -0.12345, "-0.123", "-0.123"},
	} {
		f := feature(test.key)
		if say, beside := f.Say(test.value), f.SayBeside(test.value); say != test.say || beside != test.beside {
			t.Errorf("%s %v: %q and %q, want %q and %q", test.key, test.value, say, beside, test.say, test.beside)
		}
	}
	for unit := range singulars {
		used := false
		for i := range Axes {
			for _, f := range Axes[i].Features {
				used = used || f.Unit == unit
			}
		}
		if !used {
			t.Errorf("no feature has the unit %q", unit)
		}
	}
	for i := range Axes {
		for _, f := range Axes[i].Features {
			if _, known := singulars[f.Unit]; !known && f.Unit != "" && f.Unit != unitMoney {
				t.Errorf("%s: what is one of %q?", f.Key, fmt.Sprint(f.Unit))
			}
		}
	}
}
