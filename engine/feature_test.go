package engine

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReferenceMonth(t *testing.T) {
	t.Parallel()
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, time.February, 29, 12, 0, 0, 0, time.UTC) // 1 March, 1:00 in Auckland
	if got, want := ReferenceMonth(at, time.UTC), NewDate(2024, time.February, 1); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := ReferenceMonth(at, auckland), NewDate(2024, time.March, 1); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestReferenceJSON(t *testing.T) {
	t.Parallel()
	r := &Reference{
		Month: NewDate(2024, time.March, 1), Shares: map[string]float64{"weekend_share": 1.0 / 3},
		Prices: map[string]float32{"b": 12.99, "a": 0.1}, Categories: map[string][]float32{"x > y": {1, 2.5}},
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"month":"2024-03-01","shares":{"weekend_share":0.3333333333333333},"prices":{"a":0.1,"b":12.99},"categories":{"x \u003e y":[1,2.5]}}`
	if string(text) != want {
		t.Errorf("%s\nwant %s", text, want)
	}
	var back Reference
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, &back); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}
