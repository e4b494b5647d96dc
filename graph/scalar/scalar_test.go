package scalar_test

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"pgregory.net/rapid"

	"github.com/quimbi/quimbi/engine"
	"github.com/quimbi/quimbi/graph/scalar"
)

func text(m graphql.Marshaler) string {
	var b strings.Builder
	m.MarshalGQL(&b)
	return b.String()
}

// parsed reads what a scalar wrote as a client would send it back.
func parsed(t *rapid.T, m graphql.Marshaler) any {
	var v any
	decoder := json.NewDecoder(strings.NewReader(text(m)))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%s is no JSON: %v", text(m), err)
	}
	return v
}

func TestScalarsLoseNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cents := rapid.Int64Range(-1<<62, 1<<62).Draw(t, "cents")
		if got, err := scalar.UnmarshalDecimal(parsed(t, scalar.MarshalDecimal(cents))); err != nil || got != cents {
			t.Fatalf("Decimal %d became %d, %v", cents, got, err)
		}
		long := rapid.Int64().Draw(t, "long")
		if got, err := scalar.UnmarshalLong(parsed(t, scalar.MarshalLong(long))); err != nil || got != long {
			t.Fatalf("Long %d became %d, %v", long, got, err)
		}
		date := engine.Date(rapid.Int32Range(-700_000, 2_000_000).Draw(t, "date"))
		if got, err := scalar.UnmarshalDate(parsed(t, scalar.MarshalDate(date))); err != nil || got != date {
			t.Fatalf("Date %s became %s, %v", date, got, err)
		}
		at := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		if got, err := scalar.UnmarshalDateTime(parsed(t, scalar.MarshalDateTime(at))); err != nil || !got.Equal(at) {
			t.Fatalf("DateTime %s became %s, %v", at, got, err)
		}
		list := rapid.SliceOf(rapid.Float64()).Draw(t, "list")
		got, err := scalar.UnmarshalFloatList(parsed(t, scalar.MarshalFloatList(list)))
		if err != nil || len(got) != len(list) {
			t.Fatalf("FloatList %v became %v, %v", list, got, err)
		}
		for i := range list {
			if list[i] != got[i] && !math.IsNaN(got[i]) {
				t.Fatalf("FloatList %v became %v", list, got)
			}
		}
	})
}

func TestDecimalForms(t *testing.T) {
	t.Parallel()
	for cents, want := range map[int64]string{0: `"0.00"`, 5: `"0.05"`, -5: `"-0.05"`, 46400025: `"464000.25"`, math.MinInt64: `"-92233720368547758.08"`} {
		if got := text(scalar.MarshalDecimal(cents)); got != want {
			t.Errorf("%d is written %s, want %s", cents, got, want)
		}
	}
	for v, want := range map[any]int64{"1": 100, "1.5": 150, json.Number("2.25"): 225, int64(3): 300, "-0.01": -1} {
		if got, err := scalar.UnmarshalDecimal(v); err != nil || got != want {
			t.Errorf("%v is read as %d, %v; want %d", v, got, err, want)
		}
	}
	for _, v := range []any{"", "-", ".5", "1.234", "1e3", "1,5", "--1", "99999999999999999999", true, nil} {
		if got, err := scalar.UnmarshalDecimal(v); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%v is read as %d, %v; want a fault", v, got, err)
		}
	}
}

func TestNothingIsNull(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]graphql.Marshaler{
		"time": scalar.MarshalDateTime(time.Time{}), "reason": scalar.MarshalAxisReason(engine.ReasonNone), "stage": scalar.MarshalRunStage(""),
	} {
		if got := text(m); got != "null" {
			t.Errorf("no %s is written %s", name, got)
		}
	}
	if got := text(scalar.MarshalFloatList([]float64{0.25, math.NaN(), 1})); got != "[0.25,null,1]" {
		t.Errorf("a list with a gap is written %s", got)
	}
	if got := text(scalar.MarshalFloatTable([][]float64{{0.25, math.NaN()}, {}, {1e-7, math.Inf(1)}})); got != "[[0.25,null],[],[1e-07,null]]" {
		t.Errorf("a table with gaps is written %s", got)
	}
	rows, err := scalar.UnmarshalFloatTable([]any{[]any{json.Number("0.25"), nil}, []any{}})
	if err != nil || len(rows) != 2 || rows[0][0] != 0.25 || !math.IsNaN(rows[0][1]) || len(rows[1]) != 0 {
		t.Errorf("a table with a gap is read as %v, %v", rows, err)
	}
	for _, v := range []any{nil, "x", []any{1.0}, []any{[]any{"x"}}} {
		if rows, err := scalar.UnmarshalFloatTable(v); engine.CodeOf(err) != engine.CodeInvalid {
			t.Errorf("%v is read as %v, %v; want a fault", v, rows, err)
		}
	}
}

// Memberships are written by a way of their own, and as strconv writes them.
func TestUnits(t *testing.T) {
	t.Parallel()
	same := func(x float64) {
		if got, want := text(scalar.MarshalFloatList([]float64{x})), "["+strconv.FormatFloat(x, 'f', -1, 64)+"]"; got != want {
			t.Fatalf("%v is written %s, want %s", x, got, want)
		}
	}
	for n := range 20_001 {
		x := float64(n) / 10_000
		same(x)
		if x > 0.001 { // smaller ones are written with an exponent
			same(math.Nextafter(x, 2))
			same(math.Nextafter(x, 0))
			same(-x)
		}
	}
	same(math.Copysign(0, -1))
}
