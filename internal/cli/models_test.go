package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/engine/btyd"
	"github.com/quimbi/quimbi/jobs"
)

// regulars are customers of whom every other one bought twice or three times, for values that differ within and among them.
func regulars(n int, cents func(i, purchase int) int64) []jobs.CustomerHistory {
	histories := make([]jobs.CustomerHistory, n)
	for i := range histories {
		h := engine.PurchaseHistory{Purchases: 1 + i%2*(1+i/2%2), FirstAt: engine.Date(i % 150)}
		h.LastAt = h.FirstAt
		for p := range h.Purchases - 1 {
			h.LastAt += engine.Date(3 + i*7%40)
			h.RepeatCents += cents(i, p)
		}
		histories[i] = jobs.CustomerHistory{CustomerID: int64(i), PurchaseHistory: h}
	}
	return histories
}

func varied(i, purchase int) int64 { return int64(1000 + 37*(i%50) + 1500*((i+purchase)%3)) }

// One model that cannot be fitted takes nothing from the others, and every model has the same keys.
func TestModelsAreFittedEachForItself(t *testing.T) {
	t.Parallel()
	const until = 300
	for _, test := range []struct {
		name      string
		histories []jobs.CustomerHistory
		only      string
		fitted    map[string]bool
	}{
		{"all", regulars(600, varied), "", map[string]bool{"bg_nbd": true, "mbg_nbd": true, "pareto_nbd": true, "gamma_gamma": true}},
		{"one", regulars(600, varied), "pareto_nbd", map[string]bool{"pareto_nbd": true, "gamma_gamma": true}},
		{"no spend", regulars(600, func(int, int) int64 { return 0 }), "bg_nbd", map[string]bool{"bg_nbd": true, "gamma_gamma": false}},
		{"spend alone", regulars(150, varied), "", map[string]bool{"bg_nbd": false, "mbg_nbd": false, "pareto_nbd": false, "gamma_gamma": true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := fitModels(t.Context(), test.histories, until, test.only)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(modelsResult{Models: f.models})
			if err != nil {
				t.Fatal(err)
			}
			var got map[string][]map[string]any
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if keys := slices.Collect(maps.Keys(got)); !slices.Equal(keys, []string{"models"}) {
				t.Errorf("keys %v", keys)
			}
			fitted := map[string]bool{}
			for i, m := range got["models"] {
				name := m["name"].(string)
				fitted[name] = m["log_likelihood"] != nil
				keys := []string{"correlation", "customers", "identifiable", "log_likelihood", "name", "parameters", "standard_errors"}
				if diff := cmp.Diff(keys, slices.Sorted(maps.Keys(m))); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				for parameter, value := range m["parameters"].(map[string]any) {
					if (value != nil) != fitted[name] {
						t.Errorf("%s of %s is %v", parameter, name, value)
					}
				}
				var out bytes.Buffer
				if f.models[i].describe(&out); strings.Contains(out.String(), name+strings.Repeat(" ", 12-len(name))+"not fitted: ") == fitted[name] {
					t.Errorf("people read %q", &out)
				}
			}
			if diff := cmp.Diff(test.fitted, fitted); diff != "" {
				t.Errorf("fitted (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoModelCanBeFitted(t *testing.T) {
	t.Parallel()
	_, err := fitModels(t.Context(), regulars(40, varied), 300, "")
	if coded := (*engine.Error)(nil); !errors.As(err, &coded) || coded.Code != engine.CodeInsufficientData {
		t.Errorf("%v", err)
	}
}

// Who bought once is never shown to be a customer for certain, by whatever model.
func TestOneTimeBuyersAreNotCertain(t *testing.T) {
	t.Parallel()
	const today = 300
	once := engine.PurchaseHistory{Purchases: 1, FirstAt: 290, LastAt: 290}
	now := engine.PurchaseHistory{Purchases: 1, FirstAt: today, LastAt: today}
	twice := engine.PurchaseHistory{Purchases: 2, FirstAt: 280, LastAt: today}
	for _, test := range []struct {
		model   btyd.Model
		history engine.PurchaseHistory
		want    bool // whether P(alive) is shown
	}{
		{btyd.BGNBD{R: 0.243, Alpha: 4.414, A: 0.793, B: 2.426}, once, false},
		{btyd.BGNBD{R: 0.243, Alpha: 4.414, A: 0.793, B: 2.426}, twice, true},
		{btyd.MBGNBD{R: 0.525, Alpha: 6.183, A: 0.891, B: 1.614}, now, true},
		{btyd.ParetoNBD{R: 0.553, Alpha: 10.578, S: 0.606, Beta: 11.669}, now, false},
		{btyd.ParetoNBD{R: 0.553, Alpha: 10.578, S: 0.606, Beta: 11.669}, once, true},
	} {
		p := predictions{until: today, weeks: 13, model: predictor{test.model, true}}
		row := p.row("x", test.history)
		if shown := row[4] != ""; shown != test.want || row[4] == "1" || row[4] == "0" {
			t.Errorf("%s %+v: P(alive) is %q", test.model.Name(), test.history, row[4])
		}
		if row[6] == "" || row[6] == "0" || row[6] == "1" {
			t.Errorf("%s %+v: P0 is %q", test.model.Name(), test.history, row[6])
		}
	}
}
